//! `keygen`: three keys and the trust file that names them.

use super::key::{SecretKey, create, write_public};
use super::words::Keygen;
use super::{file, say};
use crate::model::{Failure, Identifier, ReasonCode, Result};
use crate::trust::{Role, Trust};
use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const KEYS: [(&str, Role, &str); 3] = [
    ("root", Role::Root, "signs trust files"),
    ("release", Role::Release, "signs releases"),
    ("release-next", Role::Release, "signs releases when `release` is lost or retired"),
];

pub(super) fn run(words: &Keygen) -> Result<()> {
    let name: Identifier =
        words.name.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))?;
    say(&make_keys(&words.out, &name)?)
}

/// Makes the three keys and their trust file in the folder `out`; returns what a person should
/// know about them. Nothing that is there is overwritten (`USAGE`).
pub fn make_keys(out: &Path, name: &Identifier) -> Result<String> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out);
    made.map_err(|e| file::failure(out, &e))?;
    // All or nothing: half a set of keys beside half of an older one would be a trap.
    let names = KEYS.iter().flat_map(|(n, ..)| [format!("{n}.key"), format!("{n}.pub")]);
    for name in names.chain(["trust.toml".to_owned()]) {
        let path = out.join(name);
        if path.symlink_metadata().is_ok() {
            let detail = format!("{} is there already; keys are never overwritten", path.display());
            return Err(Failure::new(ReasonCode::Usage, detail));
        }
    }
    let mut trust = trust_head(name);
    let mut said = String::new();
    let widest =
        KEYS.iter().map(|(n, ..)| out.join(format!("{n}.key")).display().to_string().len());
    let width = widest.max().unwrap_or(0);
    for (name, role, what) in KEYS {
        let key = SecretKey::generate(role)?;
        let public = key.public()?;
        key.write(&out.join(format!("{name}.key")))?;
        write_public(&out.join(format!("{name}.pub")), role, &public)?;
        let id = public.id();
        // Writing to a String cannot fail.
        let _ = write!(
            trust,
            "\n[[keys]]\nid = \"{id}\"\nrole = \"{role}\"\nalg = \"ed25519\"\npublic = \"{}\"\ncomment = \"{name}: {what}\"\n",
            public.to_hex()
        );
        let path = out.join(format!("{name}.key"));
        let _ = writeln!(
            said,
            "  {:<width$}  {}  {what}",
            path.display().to_string(),
            &id.to_string()[..12]
        );
    }
    Trust::parse(&trust)?;
    let path = out.join("trust.toml");
    create(&path, 0o644, trust.as_bytes())?;
    let folder = out.display();
    Ok(format!(
        "Made three keys:\n{said}\nand {}, which goes onto every device.\n\n\
         Take {folder}/root.key and {folder}/release-next.key offline now, in two places: they replace\n\
         {folder}/release.key when it is lost. The .key files are not encrypted: whoever reads one can sign.\n\n\
         next: surefoot-forge build --rootfs IMG --product P --compatible C --version 1.0.0 --key {folder}/release.key -o X.surefoot\n",
        path.display()
    ))
}

fn trust_head(name: &Identifier) -> String {
    format!(
        "# Who speaks for these devices. Put it where `[trust] file` of surefoot.toml points, on a\n\
         # filesystem that updates bring along: a device believes nobody else.\n\
         format = 1\n\
         name = \"{name}\"\n\
         version = 1             # counts up with every change\n\
         min_epoch = 0           # releases below this security epoch are refused\n\
         revoked = []            # ids of keys that must never be believed again\n\n\
         [thresholds]            # how many different keys must sign\n\
         root = 1\n\
         release = 1\n\n\
         # A key may be narrowed to products and payload kinds:\n\
         #   scope = {{ products = [\"demo\"], payloads = [\"rootfs\"] }}\n"
    )
}

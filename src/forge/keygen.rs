//! `keygen`: four keys and the trust file that names them.

use super::file;
use super::key::{SecretKey, create, write_public};
use super::say::{document, say};
use super::words::Keygen;
use crate::model::{Failure, Identifier, ReasonCode, Result};
use crate::trust::{Role, Trust};
use serde_json::{Value, json};
use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const KEYS: [(&str, Role, &str); 4] = [
    ("root", Role::Root, "signs trust files"),
    ("release", Role::Release, "signs releases"),
    ("release-next", Role::Release, "signs releases when `release` is lost or retired"),
    ("channel", Role::Channel, "signs channels, which say which release is for which device"),
];

pub(super) fn run(words: &Keygen) -> Result<()> {
    if let Some(app) = &words.develop {
        return for_app(&words.out, app, Role::Develop, words.json);
    }
    if let Some(app) = &words.app {
        return for_app(&words.out, app, Role::Release, words.json);
    }
    let name: Identifier =
        words.name.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))?;
    let made = make_keys(&words.out, &name)?;
    match words.json {
        true => say(&document(&made.document())),
        false => say(&made.text()),
    }
}

/// One key for the bundles of an app, and the entry that a trust file names it with.
fn for_app(out: &Path, app: &str, role: Role, json: bool) -> Result<()> {
    let develop = role == Role::Develop;
    let name = if develop { "develop" } else { "app" };
    let app: Identifier = app.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out);
    made.map_err(|e| file::failure(out, &e))?;
    let path = |ending: &str| out.join(format!("{name}-{app}.{ending}"));
    let (secret, public_file) = (path("key"), path("pub"));
    for path in [&secret, &public_file] {
        if path.symlink_metadata().is_ok() {
            let detail = format!("{} is there already; keys are never overwritten", path.display());
            let next = "Name another folder with `--out`.";
            return Err(Failure::new(ReasonCode::Usage, detail).with_next(next));
        }
    }
    let key = SecretKey::generate(role)?;
    let public = key.public()?;
    key.write(&secret)?;
    write_public(&public_file, role, &public)?;
    let (id, hex) = (public.id(), public.to_hex());
    let what = if develop { "development of" } else { "bundles of" };
    let entry = format!(
        "[[keys]]\nid = \"{id}\"\nrole = \"{role}\"\nalg = \"ed25519\"\npublic = \"{hex}\"\n\
         comment = \"{what} {app}\"\nscope = {{ apps = [\"{app}\"] }}\n"
    );
    if json {
        let id = id.to_string();
        return say(&document(&json!({
            "v": 1, "secret": secret, "public": public_file, "id": id, "app": app, "entry": entry,
        })));
    }
    let secret = secret.display();
    let (whom, next) = match develop {
        true => (
            " for devices under hold",
            format!("apps push HOST compose.yaml --images DIR --key {secret}"),
        ),
        false => (
            "",
            format!(
                "build --app {app} --compose compose.yaml --images DIR --product P --compatible C --version 1.0.0 --key {secret} -o {app}.surefoot"
            ),
        ),
    };
    say(&format!(
        "Made {secret}, which signs bundles of `{app}`{whom} and nothing else.\n\n\
         Add this to the trust file of the devices that are to take them, with a higher `version`:\n\n{entry}\n\
         next: surefoot-forge {next}\n",
    ))
}

/// Keys that were made, and their trust file.
pub struct Made {
    folder: PathBuf,
    keys: Vec<(&'static str, Role, &'static str, String)>,
}

impl Made {
    fn path(&self, name: &str, ending: &str) -> String {
        self.folder.join(format!("{name}.{ending}")).display().to_string()
    }

    fn document(&self) -> Value {
        let keys = self.keys.iter().map(|(name, role, what, id)| {
            json!({
                "name": name, "role": role.to_string(), "id": id, "purpose": what,
                "secret": self.path(name, "key"), "public": self.path(name, "pub"),
            })
        });
        json!({ "v": 1, "trust": self.path("trust", "toml"), "keys": keys.collect::<Vec<_>>() })
    }

    fn text(&self) -> String {
        let secret = |name: &str| self.path(name, "key");
        let width = self.keys.iter().map(|(name, ..)| secret(name).len()).max().unwrap_or(0);
        let line = |(name, _, what, id): &(&str, Role, &str, String)| {
            format!("  {:<width$}  {}  {what}\n", secret(name), &id[..12])
        };
        let said: String = self.keys.iter().map(line).collect();
        let folder = self.folder.display();
        format!(
            "Made four keys:\n{said}\nand {}, which goes onto every device.\n\n\
             Take {folder}/root.key and {folder}/release-next.key offline now, in two places: they replace\n\
             {folder}/release.key when it is lost. {folder}/channel.key stays where channels are published, and signs nothing else. The .key files are not encrypted: whoever reads one can sign.\n\n\
             next: surefoot-forge build --rootfs IMG --product P --compatible C --version 1.0.0 --key {folder}/release.key -o X.surefoot\n",
            self.path("trust", "toml")
        )
    }
}

/// Makes the four keys and their trust file in the folder `out`. Nothing that is there is
/// overwritten (`USAGE`).
pub fn make_keys(out: &Path, name: &Identifier) -> Result<Made> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out);
    made.map_err(|e| file::failure(out, &e))?;
    // All or nothing: half a set of keys beside half of an older one would be a trap.
    let names = KEYS.iter().flat_map(|(n, ..)| [format!("{n}.key"), format!("{n}.pub")]);
    for name in names.chain(["trust.toml".to_owned()]) {
        let path = out.join(name);
        if path.symlink_metadata().is_ok() {
            let detail = format!("{} is there already; keys are never overwritten", path.display());
            let next = "Name another folder with `--out`.";
            return Err(Failure::new(ReasonCode::Usage, detail).with_next(next));
        }
    }
    let mut trust = trust_head(name);
    let mut keys = Vec::new();
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
        keys.push((name, role, what, id.to_string()));
    }
    Trust::parse(&trust)?;
    create(&out.join("trust.toml"), 0o644, trust.as_bytes())?;
    Ok(Made { folder: out.to_owned(), keys })
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
         release = 1\n\
         # channel = 1         # where there are channel keys; else release keys sign channels\n\n\
         # A key may be narrowed to products and payload kinds:\n\
         #   scope = {{ products = [\"demo\"], payloads = [\"rootfs\"] }}\n"
    )
}

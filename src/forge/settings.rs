//! surefoot-forge.toml: what is the same from release to release.

use super::say::say;
use super::words::{Build, KeyWords};
use super::{file, key};
use crate::model::{Failure, PART_ROOTFS, ReasonCode, Result, WithReason, paths};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NAME: &str = "surefoot-forge.toml";

/// The file's keys; each stands in for the flag of its name. Unknown keys are refused: a
/// misspelt one would silently be the default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) product: Option<String>,
    pub(super) compatible: Vec<String>,
    pub(super) version: Option<String>,
    pub(super) counter: Option<u64>,
    pub(super) epoch: Option<u32>,
    pub(super) store_epoch: Option<u32>,
    pub(super) rootfs: Option<PathBuf>,
    pub(super) parts: BTreeMap<String, PathBuf>,
    pub(super) with: Vec<PathBuf>,
    pub(super) raw: bool,
    pub(super) hardware: Vec<String>,
    pub(super) verity_root: Option<String>,
    pub(super) notes: Option<PathBuf>,
    pub(super) source_revision: Option<String>,
    pub(super) build_id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) r#pub: Option<PathBuf>,
    pub(super) trust: Option<PathBuf>,
    pub(super) trust_file_inside: Option<PathBuf>,
    pub(super) output: Option<PathBuf>,
    pub(super) level: Option<i32>,
    pub(super) chunk_size: Option<String>,
    pub(super) context: Option<String>,
    pub(super) hints: toml::Table,
    pub(super) payloads: Vec<PayloadSettings>,
}

/// One image of several: `rootfs`, or `part` and `image`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayloadSettings {
    pub(super) rootfs: Option<PathBuf>,
    pub(super) part: Option<String>,
    pub(super) image: Option<PathBuf>,
    #[serde(default)]
    pub(super) hardware: Vec<String>,
    pub(super) verity_root: Option<String>,
}

/// Reads the file named, or surefoot-forge.toml if it is there. Paths in it count from its folder.
pub(super) fn load(named: Option<&Path>) -> Result<Settings> {
    let path = match named {
        Some(path) => path,
        None if Path::new(NAME).exists() => Path::new(NAME),
        None => return Ok(Settings::default()),
    };
    let text = file::read_text(path, 256 * 1024, ReasonCode::ConfigInvalid)?;
    let mut settings: Settings =
        toml::from_str(&text).reason(ReasonCode::ConfigInvalid, path.display())?;
    let base = path.parent().unwrap_or(Path::new(""));
    let paths = [
        &mut settings.rootfs,
        &mut settings.notes,
        &mut settings.r#pub,
        &mut settings.trust,
        &mut settings.trust_file_inside,
        &mut settings.output,
    ];
    for path in paths.into_iter().flatten() {
        *path = base.join(&*path);
    }
    let payloads = settings.payloads.iter_mut().flat_map(|p| [&mut p.rootfs, &mut p.image]);
    let others = settings.parts.values_mut().chain(&mut settings.with);
    for path in payloads.flatten().chain(others) {
        *path = base.join(&*path);
    }
    if let Some(key) = &mut settings.key
        && !key.starts_with("cmd:")
    {
        *key = base.join(&*key).to_string_lossy().into_owned();
    }
    Ok(settings)
}

impl Settings {
    /// What was typed wins.
    pub(super) fn under(mut self, words: Build) -> Result<Settings> {
        // One image on the command line replaces all that the file names.
        if words.rootfs.is_some() {
            self.payloads.clear();
        }
        let instead = |typed: Vec<String>, set: &mut Vec<String>| {
            if !typed.is_empty() {
                *set = typed;
            }
        };
        instead(words.compatible, &mut self.compatible);
        instead(words.hardware, &mut self.hardware);
        // A counter or version typed alone must not meet its partner from an older file.
        if words.version.is_some() && words.counter.is_none() {
            self.counter = None;
        }
        self.product = words.product.or(self.product);
        self.version = words.version.or(self.version);
        self.counter = words.counter.or(self.counter);
        self.epoch = words.epoch.or(self.epoch);
        self.store_epoch = words.store_epoch.or(self.store_epoch);
        self.rootfs = words.rootfs.or(self.rootfs);
        for (nth, word) in words.part.iter().enumerate() {
            let (part, image) = word.split_once('=').ok_or_else(|| {
                Failure::new(ReasonCode::Usage, format!("--part {word}: say PART=IMG"))
            })?;
            if part == PART_ROOTFS {
                let text = format!("--part {word}: the root filesystem is given as --rootfs IMG");
                return Err(Failure::new(ReasonCode::Usage, text));
            }
            let same = |other: &String| other.split_once('=').is_some_and(|(name, _)| name == part);
            if words.part[..nth].iter().any(same) {
                let text = format!("--part {word}: the image of `{part}` is given twice");
                return Err(Failure::new(ReasonCode::Usage, text));
            }
            self.parts.insert(part.to_owned(), PathBuf::from(image));
        }
        if !words.with.is_empty() {
            self.with = words.with;
        }
        self.raw |= words.raw;
        self.verity_root = words.verity_root.or(self.verity_root);
        self.notes = words.notes.or(self.notes);
        self.source_revision = words.source_revision.or(self.source_revision);
        self.build_id = words.build_id.or(self.build_id);
        self.output = words.output.or(self.output);
        self.level = words.level.or(self.level);
        self.chunk_size = words.chunk_size.or(self.chunk_size);
        self.context = words.context.or(self.context);
        let key = self.signing(words.key);
        (self.key, self.r#pub, self.trust) = (key.key, key.r#pub, key.trust);
        self.trust_file_inside = key.trust_file_inside;
        if self.rootfs.is_some() && !self.payloads.is_empty() {
            let detail = format!("{NAME}: either `rootfs` or `[[payloads]]`, not both");
            return Err(Failure::new(ReasonCode::ConfigInvalid, detail));
        }
        Ok(self)
    }

    /// How to sign, where what was typed wins.
    pub(super) fn signing(&self, words: KeyWords) -> KeyWords {
        // `--trust` typed must not be overruled by a `pub` in the file.
        let any_typed = words.r#pub.is_some() || words.trust.is_some();
        let or = |typed: Option<PathBuf>, set: &Option<PathBuf>| {
            if any_typed { typed } else { set.clone() }
        };
        KeyWords {
            key: words.key.or(self.key.clone()),
            r#pub: or(words.r#pub, &self.r#pub),
            trust: or(words.trust, &self.trust),
            trust_file_inside: words.trust_file_inside.or(self.trust_file_inside.clone()),
        }
    }
}

/// `init`: a commented file; nothing is overwritten.
pub(super) fn init(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        let detail = format!("{} is there already", path.display());
        return Err(Failure::new(ReasonCode::Usage, detail));
    }
    key::create(path, 0o644, TEMPLATE.replace("@TRUST@", paths::TRUST).as_bytes())?;
    say(&format!(
        "Wrote {}.\nnext: edit it, then: surefoot-forge build --version 1.0.0 -o X.surefoot\n",
        path.display()
    ))
}

const TEMPLATE: &str = r#"# What `surefoot-forge build` does when no flag says otherwise. Flags win.
# Paths count from the folder of this file.

product = "demo"                 # what `[device] product` says on the devices
compatible = ["demo-board"]      # the boards it runs on; one must be the device's own

rootfs = "rootfs.ext4"           # the image: ext4, squashfs, erofs …, or one in .gz, .xz or .zst
# parts = { boot = "boot.vfat" } # the other parts of a slot of several partitions
# with = ["shop.surefoot"]       # bundles of apps that are installed together with the system
# raw = true                     # take its bytes as they are, whatever they are
# hardware = ["rev2", "rev3"]    # only for these hardware revisions
# verity_root = "…"              # dm-verity root hash of the image, 64 hexadecimal digits

# version = "1.0.0"              # usually a flag: --version
# counter = 1000000              # orders releases; from MAJOR.MINOR.PATCH where not given
# epoch = 0                      # raise it when older releases must never run again

# notes = "notes.txt"            # what people should know
# source_revision = "…"
# build_id = "…"

key = "KEYS/release.key"         # or "cmd:/usr/local/bin/sign-with-token"; leave out to build unsigned
trust = "KEYS/trust.toml"        # whose release keys a cmd: may sign for
# trust_file_inside = "root@TRUST@"   # warn if it does not accept the release
# pub = "KEYS/release.pub"       # or one key

# store_epoch = 1                # the form in which its container engine keeps images

# output = "demo.surefoot"
# level = 19                     # zstd, 1 to 22
# chunk_size = "64K"             # average; 16K to 256K
# context = "1M"                 # how far a chunk may refer back; 0 to 4M (else 0 where level is 1 to 4)

# Several images for different revisions, instead of `rootfs`:
# [[payloads]]
# rootfs = "rev1.ext4"           # or: part = "boot" and image = "rev1.vfat"
# hardware = ["rev1"]

# What old updaters may ignore:
# [hints]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_read_by_build() {
        let settings: Settings = toml::from_str(TEMPLATE).unwrap();
        assert_eq!(settings.product.as_deref(), Some("demo"));
        // Every commented setting is one that exists.
        let all: String = TEMPLATE
            .lines()
            .map(|l| {
                l.strip_prefix("# ").filter(|l| l.contains(" = ") && !l.ends_with('.')).unwrap_or(l)
            })
            .filter(|l| !l.starts_with("rootfs = \"rev1") && !l.starts_with("hardware = [\"rev1"))
            .map(|l| format!("{l}\n"))
            .collect();
        let all: Settings = toml::from_str(&all).unwrap();
        assert!(all.version.is_some() && all.counter.is_some() && all.r#pub.is_some());
        assert!(toml::from_str::<Settings>("prodcut = 'x'").is_err());
    }
}

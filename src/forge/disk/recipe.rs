//! The recipe of a disk: what the file says, what was typed, and where each value comes from.

use super::words::Image;
use crate::forge::file;
use crate::model::{ByteLen, Failure, Identifier, ReasonCode, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Values {
    pub(super) product: Option<String>,
    pub(super) compatible: Option<String>,
    pub(super) disk: Disk,
    pub(super) root: Root,
    pub(super) boot: Boot,
    pub(super) data: Data,
    pub(super) trust: Trust,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Disk {
    pub(super) size: Option<Sizes>,
    pub(super) table: Option<String>,
    pub(super) id: Option<String>,
    pub(super) variant: Option<String>,
    /// What the disk is called on the device.
    pub(super) device: Option<String>,
}

/// One size or several.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write a size in quotes with its unit, `size = \"8G\"`, or a list of such texts"
)]
pub(super) enum Sizes {
    One(String),
    Several(Vec<String>),
}

impl Sizes {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Sizes::One(size) => std::slice::from_ref(size),
            Sizes::Several(sizes) => sizes,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Root {
    pub(super) rootfs: Option<PathBuf>,
    pub(super) artifact: Option<PathBuf>,
    pub(super) hardware: Option<String>,
    pub(super) config: Option<PathBuf>,
    pub(super) version: Option<String>,
    /// Orders releases; from a version MAJOR.MINOR.PATCH where not given.
    pub(super) release_counter: Option<u64>,
    pub(super) key: Option<String>,
    pub(super) r#pub: Option<PathBuf>,
    pub(super) artifact_out: Option<PathBuf>,
    /// Of zstd, for that artifact.
    pub(super) level: Option<i32>,
    pub(super) slot_size: Option<String>,
    pub(super) at: Option<[String; 2]>,
    pub(super) arch: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Boot {
    pub(super) uboot_env: Option<PathBuf>,
    pub(super) counter: Option<String>,
    pub(super) size: Option<String>,
    pub(super) at: Option<String>,
    pub(super) firmware: Option<PathBuf>,
    pub(super) raw: Vec<Raw>,
    pub(super) environment: Memory,
    pub(super) set: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) file: PathBuf,
    pub(super) at: String,
}

/// Where the copies of the environment are.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Memory {
    pub(super) at: Option<Vec<String>>,
    pub(super) files: Option<Vec<String>>,
    pub(super) hwpart: Option<u32>,
    pub(super) size: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Data {
    pub(super) size: Option<String>,
    pub(super) at: Option<String>,
    pub(super) encrypt: bool,
    pub(super) preload: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Trust {
    pub(super) file: Option<PathBuf>,
}

/// A recipe; what was typed wins over what the file says.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) values: Values,
    path: Option<PathBuf>,
    text: String,
    /// Which keys were typed, and with which flag.
    typed: BTreeMap<&'static str, &'static str>,
}

impl Recipe {
    /// `RECIPE_INVALID` names the line of what cannot be read, and of a key that does not exist.
    pub(super) fn read(words: &mut Image) -> Result<Recipe> {
        let mut recipe = Recipe {
            values: Values::default(),
            path: words.recipe.take(),
            text: String::new(),
            typed: BTreeMap::new(),
        };
        if let Some(path) = recipe.path.clone() {
            let text = file::read_text(&path, 1 << 20, ReasonCode::RecipeInvalid);
            recipe.text = text.map_err(|f| {
                Failure::new(ReasonCode::RecipeInvalid, f.detail()).with_next(f.next())
            })?;
            recipe.values = toml::from_str(&recipe.text).map_err(|error| {
                let before = error.span().map_or("", |span| &recipe.text[..span.start]);
                let line = before.matches('\n').count() + 1;
                // A number without quotes where every value is a text: sizes, above all.
                let bare = error.message().starts_with("invalid type: integer")
                    && error.message().ends_with("expected a string");
                let quotes =
                    if bare { ": write it in quotes, a size with its unit: \"512M\"" } else { "" };
                let text = format!("{} line {line}: {}{quotes}", path.display(), error.message());
                Failure::new(ReasonCode::RecipeInvalid, text)
            })?;
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            recipe.values.count_from(&folder);
        }
        // A version typed alone must not meet its partner from an older file.
        if words.version.is_some() {
            recipe.values.root.release_counter = None;
        }
        recipe.take(words);
        recipe.check()?;
        Ok(recipe)
    }

    /// What nothing else would refuse: it ends in the files of the device.
    fn check(&mut self) -> Result<()> {
        if self.values.disk.id.as_deref().is_some_and(|id| id.trim().is_empty()) {
            return Err(self
                .wrong("disk.id", "it is empty: all such disks would have the same identifiers"));
        }
        let device = self.values.disk.device.take().filter(|device| device != "auto");
        if let Some(device) = &device {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:+@".contains(&b);
            let parts = device.strip_prefix("/dev/").into_iter().flat_map(|rest| rest.split('/'));
            let named = parts.map(|part| !["", ".", ".."].contains(&part)).reduce(|a, b| a && b);
            if named != Some(true) || !device.bytes().all(plain) {
                let why = format!(
                    "`{device}` is no device: a path below /dev of letters, digits and `._-:+@`, or `auto`"
                );
                return Err(self.wrong("disk.device", why));
            }
        }
        self.values.disk.device = device;
        Ok(())
    }

    /// Whether a value was typed.
    pub(super) fn is_typed(&self, key: &str) -> bool {
        self.typed.contains_key(key)
    }

    fn take(&mut self, words: &mut Image) {
        let (v, typed) = (&mut self.values, &mut self.typed);
        macro_rules! take {
            ($($word:ident $flag:literal $key:literal $place:expr;)*) => {
                $(if let Some(value) = words.$word.take() {
                    $place = Some(value);
                    typed.insert($key, $flag);
                })*
            };
        }
        take! {
            product "--product" "product" v.product;
            compatible "--compatible" "compatible" v.compatible;
            table "--table" "disk.table" v.disk.table;
            id "--id" "disk.id" v.disk.id;
            variant "--variant" "disk.variant" v.disk.variant;
            device "--device" "disk.device" v.disk.device;
            config "--config" "root.config" v.root.config;
            version "--version" "root.version" v.root.version;
            release_counter "--release-counter" "root.release-counter" v.root.release_counter;
            key "--key" "root.key" v.root.key;
            r#pub "--pub" "root.pub" v.root.r#pub;
            artifact_out "--artifact-out" "root.artifact-out" v.root.artifact_out;
            hardware "--hardware" "root.hardware" v.root.hardware;
            slot_size "--slot-size" "root.slot-size" v.root.slot_size;
            arch "--arch" "root.arch" v.root.arch;
            uboot_env "--uboot-env" "boot.uboot-env" v.boot.uboot_env;
            counter "--counter" "boot.counter" v.boot.counter;
            boot_size "--boot-size" "boot.size" v.boot.size;
            firmware "--firmware" "boot.firmware" v.boot.firmware;
            data_size "--data-size" "data.size" v.data.size;
            trust "--trust" "trust.file" v.trust.file;
        }
        // One source of the root on the command line replaces the file's.
        if words.rootfs.is_some() || words.artifact.is_some() {
            (v.root.rootfs, v.root.artifact) = (words.rootfs.take(), words.artifact.take());
            let flag = if v.root.rootfs.is_some() { "--rootfs" } else { "--artifact" };
            typed.insert("root.rootfs", flag);
            typed.insert("root.artifact", flag);
        }
        if !words.size.is_empty() {
            v.disk.size = Some(Sizes::Several(std::mem::take(&mut words.size)));
            typed.insert("disk.size", "--size");
        }
        if !words.preload.is_empty() {
            v.data.preload = std::mem::take(&mut words.preload);
            typed.insert("data.preload", "--preload");
        }
    }

    /// Where a value is said: the flag, or the line of the file.
    pub(super) fn place(&self, key: &str) -> String {
        if let Some(flag) = self.typed.get(key) {
            return (*flag).to_owned();
        }
        let Some(path) = &self.path else { return format!("`{key}`") };
        match line_of(&self.text, key) {
            Some(line) => format!("{} line {line}", path.display()),
            None => format!("{}: `{key}`", path.display()),
        }
    }

    /// Why no disk can be made, at the place of the value that must change.
    pub(super) fn wrong(&self, key: &str, why: impl AsRef<str>) -> Failure {
        let text = format!("{}: {}", self.place(key), why.as_ref());
        Failure::new(ReasonCode::RecipeInvalid, text)
    }

    /// The same for what another room has found. What says that bytes are not what was signed keeps its code.
    pub(super) fn blame(&self, key: &str) -> impl Fn(Failure) -> Failure {
        let place = self.place(key);
        move |failure| {
            let text = format!("{place}: {}", failure.detail());
            let kept = failure.code().class() == crate::model::Class::Reject;
            let code = if kept { failure.code() } else { ReasonCode::RecipeInvalid };
            // Theirs are about artifacts.
            let foreign = [ReasonCode::NotAnImage, ReasonCode::TooBig].contains(&code);
            let next = if foreign && failure.next() == code.next_step() {
                ReasonCode::RecipeInvalid.next_step()
            } else {
                failure.next()
            };
            Failure::new(code, text).with_next(next)
        }
    }

    /// A value that must be there.
    pub(super) fn need<'a, T>(&self, key: &str, flag: &str, value: &'a Option<T>) -> Result<&'a T> {
        value.as_ref().ok_or_else(|| {
            let place = self.path.as_ref().map_or(String::new(), |p| format!("{}: ", p.display()));
            let flag = if flag.is_empty() { String::new() } else { format!(" (or {flag})") };
            let text = format!("{place}`{key}`{flag} is missing");
            Failure::new(ReasonCode::RecipeInvalid, text)
        })
    }

    /// The file, where there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &str, text: &str) -> Result<u64> {
        let size: ByteLen = text.parse().map_err(|why: String| self.wrong(key, why))?;
        Ok(size.0)
    }

    pub(super) fn identifier(&self, key: &str, text: &str) -> Result<Identifier> {
        Identifier::from_str(text).map_err(|why| self.wrong(key, why))
    }

    /// One of several words; the first where nothing is said.
    pub(super) fn word<'a>(
        &self,
        key: &str,
        value: Option<&str>,
        known: &'a [&'a str],
    ) -> Result<&'a str> {
        let Some(value) = value else { return Ok(known[0]) };
        known
            .iter()
            .find(|word| **word == value)
            .copied()
            .ok_or_else(|| self.wrong(key, format!("`{value}` is not one of {}", known.join(", "))))
    }
}

impl Values {
    /// Paths count from the folder of the recipe.
    fn count_from(&mut self, folder: &Path) {
        let paths = [
            &mut self.root.rootfs,
            &mut self.root.artifact,
            &mut self.root.config,
            &mut self.root.r#pub,
            &mut self.root.artifact_out,
            &mut self.boot.uboot_env,
            &mut self.boot.firmware,
            &mut self.trust.file,
        ];
        let lists =
            self.data.preload.iter_mut().chain(self.boot.raw.iter_mut().map(|r| &mut r.file));
        for path in paths.into_iter().flatten().chain(lists) {
            *path = folder.join(&*path);
        }
        if let Some(key) = &mut self.root.key
            && !key.starts_with("cmd:")
        {
            *key = folder.join(&*key).to_string_lossy().into_owned();
        }
    }
}

/// The line of `boot.size`, of the table of a key that is in an inline table, or of the table itself.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut here, mut header) = (String::new(), None);
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix('[') {
            here = rest.trim_start_matches('[').split(']').next().unwrap_or("").trim().to_owned();
            // An entry of a list of tables stands for the list.
            if here == key {
                return Some(number);
            }
            if here == table {
                header = Some(number);
            }
        } else if let Some((said, _)) = line.split_once('=') {
            let said = said.trim().trim_matches(['"', '\'']);
            let path = if here.is_empty() { said.to_owned() } else { format!("{here}.{said}") };
            if path == key || here == table && said == name {
                return Some(number);
            }
            // `environment = { at = … }`.
            if path == table {
                return Some(number);
            }
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(disable_version_flag = true)]
    struct Line {
        #[command(flatten)]
        image: Image,
    }

    fn recipe(text: &str, flags: &[&str]) -> Result<Recipe> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(&path, text).unwrap();
        let words =
            ["x", path.to_str().unwrap(), "-o", "d.img"].into_iter().chain(flags.iter().copied());
        Recipe::read(&mut Line::try_parse_from(words).unwrap().image)
    }

    const TEXT: &str = "product = \"p\"\n[disk]\nsize = \"8G\"\n\n[boot]\nraw = [{ file = \"imx\", at = \"32K\" }]\n\
                        environment = { at = [\"4M\"] }\n[boot.set]\nsurefoot_args = \"x\"\n[data]\npreload = [\"a\"]\n";

    #[test]
    fn a_mistake_is_told_with_its_line_or_its_flag() {
        let good = recipe(TEXT, &["--counter", "no", "--size", "1G", "--size", "2G"]).unwrap();
        assert_eq!(good.values.disk.size.as_ref().unwrap().all(), ["1G", "2G"]);
        for (key, end) in [
            ("product", "r.toml line 1"),
            ("boot.raw", "r.toml line 6"),
            ("boot.environment", "r.toml line 7"),
            ("boot.environment.at", "r.toml line 7"),
            ("boot.set", "r.toml line 8"),
            ("boot.uboot-env", "r.toml line 5"),
            ("data.preload", "r.toml line 11"),
            ("boot.counter", "--counter"),
            ("disk.size", "--size"),
            ("root.rootfs", "r.toml: `root.rootfs`"),
        ] {
            assert!(good.place(key).ends_with(end), "{key}: {}", good.place(key));
        }
        let refused = good.word("boot.counter", Some("no"), &["script", "uboot"]).unwrap_err();
        assert_eq!(refused.detail(), "--counter: `no` is not one of script, uboot");
        assert_eq!(refused.code().class().exit_status(), 65);
        assert!(
            good.size("disk.size", "8X").is_err() && good.size("disk.size", "8G") == Ok(8 << 30)
        );
        assert!(
            good.need("root.rootfs", "--rootfs", &None::<u8>)
                .unwrap_err()
                .detail()
                .contains("--rootfs")
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        for (text, line) in [
            ("a = 1\n", 1),
            ("[disk]\nsice = \"1G\"\n", 2),
            ("[boot]\nraw = [{ file = \"x\", to = \"1\" }]\n", 2),
            ("[disk]\n\nsize = 8\n", 3),
            ("[disk\n", 1),
        ] {
            let failure = recipe(text, &[]).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::RecipeInvalid);
            assert!(failure.detail().contains(&format!("line {line}:")), "{failure}");
        }
    }
}

//! The updater's own three files in a root: surefoot.toml, fw_env.config and the trust file. They are put into a root
//! that is not sealed yet, and read in one that is; what differs from the recipe is refused, in both.

use super::recipe::Recipe;
use super::tools::Scratch;
use super::tree::{Item, Tree, What};
use crate::config::{Where, load};
use crate::disk::TableKind;
use crate::forge::file;
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, SlotId, paths};
use crate::provision::{env_places, fw_env_config};
use crate::rootfs::Root;
use crate::slot::SlotNames;
use crate::trust::{MAX_TRUST_LEN, Trust};
use std::path::{Path, PathBuf};

const CONFIG: &str = "surefoot.toml";
const LIMIT: u64 = 1 << 20;

/// What the recipe says of the device.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) product: Option<Identifier>,
    pub(super) compatible: Option<Identifier>,
    /// The disk as the device calls it; none where it is found by itself.
    pub(super) device: Option<String>,
    pub(super) hold: bool,
    pub(super) table: TableKind,
    /// The signature of an MBR.
    pub(super) signature: String,
    /// Where the copies of the environment are for the device.
    pub(super) places: Vec<(PathBuf, u64, u64)>,
    /// The text of the trust file.
    pub(super) trust: Option<String>,
    /// The text of a surefoot.toml.
    pub(super) config: Option<String>,
}

/// The files as they are on the device, and what follows from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) config: Option<String>,
    pub(super) env_config: Option<String>,
    pub(super) trust: Option<String>,
    pub(super) product: Option<Identifier>,
    pub(super) compatible: Option<Identifier>,
}

impl Wanted {
    fn slots(&self) -> [String; 2] {
        ["a", "b"].map(|slot| match self.table {
            TableKind::Gpt => format!("rootfs-{slot}"),
            TableKind::Mbr => {
                let number = if slot == "a" { 2 } else { 3 };
                format!("rootfs=partuuid:{}-{number:02x}", self.signature)
            }
        })
    }

    /// A surefoot.toml for a root that has none.
    fn made(&self, recipe: &Recipe) -> Result<String> {
        if let Some(text) = &self.config {
            return Ok(text.clone());
        }
        let product = recipe.need("product", "--product", &self.product)?;
        let compatible = recipe.need("compatible", "--compatible", &self.compatible)?;
        let [a, b] = self.slots();
        let device = self.device.as_deref().unwrap_or("auto");
        let hold = if self.hold {
            "hold = true               # a developer's device: automatic updates wait\n"
        } else {
            ""
        };
        Ok(format!(
            "# Made by `surefoot-forge image`. Every setting: surefoot.toml(5).\n\
             [device]\n\
             product = \"{product}\"\n\
             compatible = \"{compatible}\"\n\
             disk = \"{device}\"\n\
             {hold}\n\
             [slots]\n\
             a = [\"{a}\"]\n\
             b = [\"{b}\"]\n"
        ))
    }

    /// Puts what is missing into a tree, and holds what is there against the recipe. `mtime` is that of the
    /// new files.
    pub(super) fn put(
        &self,
        tree: &mut Tree,
        recipe: &Recipe,
        scratch: &Scratch,
        mtime: u64,
    ) -> Result<Own> {
        let add = |tree: &mut Tree, file: &str, text: &str| {
            let path = file;
            let named = path.trim_start_matches('/').replace('/', "-");
            let place = scratch.path().join(format!("own-{named}"));
            scratch.write(&place, text.as_bytes())?;
            let item = Item::new(What::File(place), 0o644, mtime);
            let path = tree.resolve(path).unwrap_or_else(|| path.to_owned());
            let put = tree.put(&path, Item { len: text.len() as u64, ..item });
            put.map_err(|f| {
                recipe.blame("root.rootfs")(f.at(format!("{file} cannot be put there")))
            })
        };
        let config = format!("{}/{CONFIG}", paths::ETC);
        // Settings of a product in files of their own say nothing of which device this is.
        let names_product = |path: &String| {
            let text = read_tree(tree, path).ok().flatten().unwrap_or_default();
            let table = toml::from_str::<toml::Table>(&text);
            // What is no TOML is told when all of it is read.
            table.is_ok_and(|t| t.get("device").is_some_and(|d| d.get("product").is_some()))
        };
        if !self.configs(tree).iter().any(names_product) && tree.file(&config).is_none() {
            let text = self.made(recipe)?;
            add(tree, &config, &text)?;
        }
        if tree.file(paths::FW_ENV_CONFIG).is_none() {
            add(tree, paths::FW_ENV_CONFIG, &fw_env_config(&self.places))?;
        }
        let read = |path: &str| read_tree(tree, path);
        let loaded = self.loaded(&self.configs(tree), scratch, &read, recipe)?;
        let trust = loaded.trust.clone();
        let own = self.checked(loaded, &read, recipe)?;
        match (&own.trust, &self.trust) {
            (None, Some(text)) => {
                add(tree, &trust.to_string_lossy(), text)?;
                Ok(Own { trust: Some(text.clone()), ..own })
            }
            _ => Ok(own),
        }
    }

    fn configs(&self, tree: &Tree) -> Vec<String> {
        let folders = [paths::LIB, paths::ETC].map(|folder| tree.resolve(folder));
        let mut found = Vec::new();
        for folder in folders.into_iter().flatten() {
            let begin = format!("{folder}/");
            let names = tree.iter().filter_map(|(path, _)| path.strip_prefix(&begin));
            found.extend(names.filter(|n| is_config(n)).map(|name| format!("/{begin}{name}")));
        }
        found
    }

    /// Reads the three of a finished root, and says what is missing.
    pub(super) fn read(
        &self,
        root: &Root,
        recipe: &Recipe,
        scratch: &Scratch,
    ) -> Result<(Own, Vec<String>)> {
        let mut warnings = Vec::new();
        let mut configs = Vec::new();
        for folder in [paths::LIB, paths::ETC] {
            let names = root.list(folder)?;
            configs.extend(names.iter().filter(|n| is_config(n)).map(|n| format!("{folder}/{n}")));
        }
        let read = |path: &str| root.read_text(path, LIMIT);
        let mut missing = |path: &str| {
            warnings.push(format!("the root has no {path}; it is finished and is not changed"));
        };
        let loaded = match configs.is_empty() {
            false => Some(self.loaded(&configs, scratch, &read, recipe)?),
            true => None,
        };
        let trust =
            loaded.as_ref().map_or_else(|| PathBuf::from(paths::TRUST), |l| l.trust.clone());
        let own = match loaded {
            Some(loaded) => self.checked(loaded, &read, recipe)?,
            None => {
                missing(&format!("{}/{CONFIG}", paths::ETC));
                let none =
                    Loaded { text: None, trust: trust.clone(), product: None, compatible: None };
                self.checked(none, &read, recipe)?
            }
        };
        for (there, path) in [
            (own.env_config.is_some(), Path::new(paths::FW_ENV_CONFIG)),
            (own.trust.is_some(), &trust),
        ] {
            if !there {
                missing(&path.to_string_lossy());
            }
        }
        Ok((own, warnings))
    }

    /// What the configuration files of a root mean together.
    fn loaded(
        &self,
        configs: &[String],
        scratch: &Scratch,
        read: &dyn Fn(&str) -> Result<Option<String>>,
        recipe: &Recipe,
    ) -> Result<Loaded> {
        let copy = scratch.path().join("config");
        let (mut text, blame) = (None, recipe.blame("root.rootfs"));
        for path in configs {
            let Some(content) = read(path)? else { continue };
            let folder = if path.starts_with(paths::LIB) { paths::LIB } else { paths::ETC };
            let name = path.rsplit('/').next().unwrap_or_default();
            let place = paths::within(&copy, folder);
            let made = std::fs::create_dir_all(&place);
            made.map_err(|e| Failure::new(ReasonCode::Io, format!("{}: {e}", place.display())))?;
            scratch.write(&place.join(name), content.as_bytes())?;
            if name == CONFIG || text.is_none() {
                text = Some(content);
            }
        }
        let loaded = load(&Where::Folders(copy.clone()));
        let _ = std::fs::remove_dir_all(&copy);
        let clean = |f: Failure| {
            let text = f.detail().replace(&*copy.to_string_lossy(), "");
            blame(Failure::new(f.code(), format!("the root's {text}")))
        };
        let settings = loaded.map_err(clean)?.settings;
        let differs = |what: &str, key: &str, theirs: &str, ours: &str| {
            recipe.wrong(
                key,
                format!("the {what} is `{ours}` here, and `{theirs}` in the root's surefoot.toml"),
            )
        };
        let device = &settings.device;
        if let Some(product) = self.product.as_ref().filter(|p| **p != device.product) {
            return Err(differs("product", "product", device.product.as_str(), product.as_str()));
        }
        if let Some(compatible) = self.compatible.as_ref().filter(|c| **c != device.compatible) {
            return Err(differs(
                "compatible",
                "compatible",
                device.compatible.as_str(),
                compatible.as_str(),
            ));
        }
        let [a, b] = self.slots();
        let ours = SlotNames::parse(std::slice::from_ref(&a), std::slice::from_ref(&b))
            .map_err(|why| recipe.wrong("disk.table", why))?;
        let said = |slots: &SlotNames| {
            let of = |slot| {
                slots.of(slot).iter().map(|n| n.partition.clone()).collect::<Vec<_>>().join(" ")
            };
            format!("{} and {}", of(SlotId::A), of(SlotId::B))
        };
        if settings.slots != ours {
            return Err(differs(
                "pair of slots",
                "disk.table",
                &said(&settings.slots),
                &said(&ours),
            ));
        }
        let (product, compatible) = (Some(device.product.clone()), Some(device.compatible.clone()));
        Ok(Loaded { text, trust: settings.trust_file, product, compatible })
    }

    fn checked(
        &self,
        loaded: Loaded,
        read: &dyn Fn(&str) -> Result<Option<String>>,
        recipe: &Recipe,
    ) -> Result<Own> {
        let env_config = read(paths::FW_ENV_CONFIG)?;
        if let Some(text) = &env_config {
            self.same_places(text, recipe)?;
        }
        let trust = read(&loaded.trust.to_string_lossy())?;
        if let (Some(theirs), Some(ours)) = (&trust, &self.trust)
            && theirs != ours
        {
            let name = |text: &str| match Trust::parse(text) {
                Ok(trust) => {
                    let keys = trust.keys().iter().map(|key| key.id.to_string()[..12].to_owned());
                    let (name, version) = (trust.name(), trust.version());
                    let hash = &Digest::of(text.as_bytes()).to_string()[..12];
                    format!(
                        "`{name}`, version {version}, keys {} (SHA-256 {hash}…)",
                        keys.collect::<Vec<_>>().join(" ")
                    )
                }
                Err(_) => "none that can be read".to_owned(),
            };
            let text = format!(
                "the trust file is {} here, and {} in the root ({})",
                name(ours),
                name(theirs),
                loaded.trust.display()
            );
            return Err(recipe.wrong("trust.file", text));
        }
        if let Some(text) = &trust {
            Trust::parse(text)
                .map_err(|f| recipe.blame("root.rootfs")(f.at(loaded.trust.display())))?;
        }
        let Loaded { text: config, product, compatible, .. } = loaded;
        Ok(Own { config, env_config, trust, product, compatible })
    }

    fn same_places(&self, text: &str, recipe: &Recipe) -> Result<()> {
        let theirs = env_places(text)
            .map_err(|f| recipe.blame("root.rootfs")(f.at(paths::FW_ENV_CONFIG)))?;
        let theirs: Vec<_> = theirs
            .into_iter()
            .map(|(path, at, len)| (path, u64::try_from(at).unwrap_or(u64::MAX), len))
            .collect();
        let device =
            |places: &[(PathBuf, u64, u64)]| places.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
        let rest =
            |places: &[(PathBuf, u64, u64)]| places.iter().map(|p| (p.1, p.2)).collect::<Vec<_>>();
        // A root may have a name of its own for the disk, unless the recipe says one.
        let by_name = self.device.is_some();
        if rest(&theirs) == rest(&self.places)
            && (!by_name || device(&theirs) == device(&self.places))
        {
            return Ok(());
        }
        let said = |places: &[(PathBuf, u64, u64)]| {
            let one = |(path, at, len): &(PathBuf, u64, u64)| {
                format!("{} {at:#x} {len:#x}", path.display())
            };
            places.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "the environment is at `{}` here, and at `{}` in the root's {}",
            said(&self.places),
            said(&theirs),
            paths::FW_ENV_CONFIG
        );
        Err(recipe.wrong("boot.environment", text))
    }
}

/// What the configuration of a root says.
struct Loaded {
    text: Option<String>,
    /// Where the trust file is.
    trust: PathBuf,
    product: Option<Identifier>,
    compatible: Option<Identifier>,
}

fn is_config(name: &str) -> bool {
    name.ends_with(".toml") && !name.contains('/') && name != "trust.toml"
}

fn read_tree(tree: &Tree, path: &str) -> Result<Option<String>> {
    let Some((_, host)) = tree.file(path) else { return Ok(None) };
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    file::read_text(host, limit, ReasonCode::NotAnImage).map(Some)
}

/// The text of a trust file that is one.
pub(super) fn trust_text(path: &Path) -> Result<String> {
    let text = file::read_text(path, MAX_TRUST_LEN, ReasonCode::TrustInvalid)?;
    Trust::parse(&text).map_err(|f| f.at(path.display()))?;
    Ok(text)
}

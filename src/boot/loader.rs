//! Which bootloader a device has: the configuration names it, and no room above this one needs to.

use super::BootControl;
#[cfg(any(test, feature = "sim"))]
use super::numbered::{self, NumberedControl, NumberedStore};
use super::uboot::{self, EnvStore, UbootControl};
use crate::disk::Disk;
use crate::model::Result;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The bootloaders that this program knows, as `[boot] loader` names them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loader {
    /// U-Boot, with its environment.
    #[default]
    Uboot,
    /// Two numbered files: a bootloader of tests and of the simulator, in no build for a device.
    #[cfg(any(test, feature = "sim"))]
    Numbered,
}

/// All of them.
const ALL: &[Loader] = &[
    Loader::Uboot,
    #[cfg(any(test, feature = "sim"))]
    Loader::Numbered,
];

impl Loader {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Loader::Uboot => uboot::NAME,
            #[cfg(any(test, feature = "sim"))]
            Loader::Numbered => numbered::NAME,
        }
    }
}

impl FromStr for Loader {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Loader, String> {
        let known = ALL.iter().find(|loader| loader.name() == word);
        known.copied().ok_or_else(|| {
            let names = ALL.iter().map(|l| format!("`{}`", l.name())).collect::<Vec<_>>();
            format!("`{word}` is no bootloader that this program knows: {}", names.join(", "))
        })
    }
}

/// The bootloader of one device, and where its memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootloader {
    /// U-Boot.
    Uboot {
        /// `fw_env.config`.
        config: PathBuf,
        /// Whether an environment of one copy is good enough.
        accept_single_copy: bool,
    },
    /// Two numbered files.
    #[cfg(any(test, feature = "sim"))]
    Numbered {
        /// The folder with the files.
        folder: PathBuf,
    },
}

impl Bootloader {
    /// Opens its memory for looking; nothing is read yet but where it is. Copies that lie in `disk`
    /// are reached through it. `ENV_CONFIG` if what describes them cannot be understood.
    pub fn open(&self, disk: Option<Arc<Disk>>) -> Result<Box<dyn BootControl>> {
        match self {
            Bootloader::Uboot { config, accept_single_copy } => {
                let control = UbootControl::new(EnvStore::open(config, disk)?);
                Ok(Box::new(control.accept_single_copy(*accept_single_copy)))
            }
            #[cfg(any(test, feature = "sim"))]
            Bootloader::Numbered { folder } => {
                Ok(Box::new(NumberedControl::new(NumberedStore::new(folder))))
            }
        }
    }

    /// The setting that says where its memory is, and the file or folder that it names.
    pub fn described_by(&self) -> (&'static str, &Path) {
        match self {
            Bootloader::Uboot { config, .. } => ("boot.fw_env_config", config),
            #[cfg(any(test, feature = "sim"))]
            Bootloader::Numbered { folder } => ("boot.loader", folder),
        }
    }

    /// What a stored copy says; `None` for bytes that are no valid copy.
    #[cfg(any(test, feature = "sim"))]
    pub fn read_copy(&self, copy: &[u8]) -> Option<super::BootMemory> {
        match self {
            Bootloader::Uboot { .. } => uboot::read_copy(copy).map(|(memory, _)| memory),
            Bootloader::Numbered { .. } => numbered::Copy::parse(copy).ok().map(|c| c.memory),
        }
    }
}

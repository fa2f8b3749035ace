//! What one file says. Every key is optional here; what is missing shows after the merge.

#[cfg(feature = "apps")]
use crate::apps::AppSettings;
use crate::boot::Loader;
use crate::health::Check;
use crate::hooks::Hook;
use crate::inhibit;
use crate::model::{Identifier, Unread, duration, from_toml};
use crate::slot::HardwareSource;
use crate::source;
use crate::update::Reboot;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// One configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Fragment {
    /// What this device is, and where its disk and state are.
    pub device: Device,
    /// Which partitions make a slot.
    pub slots: Slots,
    /// Whom this device believes.
    pub trust: Trust,
    /// How the bootloader is reached.
    pub boot: Boot,
    /// How a new system proves itself.
    pub health: Health,
    /// How long a trial may take.
    pub trial: Trial,
    /// What updates do that nobody asked for.
    pub update: Update,
    /// `[[hook]]`: programs that are run at named moments.
    pub hook: Vec<Hook>,
    /// What holds back an automatic update or reboot.
    pub inhibit: inhibit::Settings,
    /// Where the daemon is spoken to.
    pub daemon: Daemon,
    /// What a monitoring system reads.
    pub metrics: Metrics,
    /// What is done with a technician's stick.
    pub stick: Stick,
    /// Where files are dropped to be installed.
    pub inbox: Inbox,
    /// How the network is used.
    pub source: source::Settings,
    /// What is done once, at the first boot.
    pub first_boot: FirstBoot,
    /// Where apps live, and what they may have of the device.
    #[cfg(feature = "apps")]
    pub apps: AppSettings,
}

/// `[first_boot]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FirstBoot {
    /// Whether the data partition gets the rest of the disk (default yes).
    pub grow: Option<bool>,
    /// Whether `provision.toml` and `devices.csv` are taken from the boot partition (default yes).
    pub provision: Option<bool>,
    /// Files and folders below `/etc` that are copied to the data partition, and used from there.
    pub keep: Option<Vec<PathBuf>>,
    /// Where the id of the device is read, in place of the board's serial number.
    pub identity: Option<HardwareSource>,
}

impl Fragment {
    /// Reads a file's values; `note` is told each key that no setting has.
    pub(super) fn read(table: &toml::Table, note: &dyn Fn(&str)) -> Result<Fragment, Unread> {
        from_toml(table, note)
    }

    /// The same where unknown keys are known already.
    pub(super) fn of(table: &toml::Table) -> Result<Fragment, Unread> {
        Fragment::read(table, &|_| ())
    }
}

/// `[update]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Update {
    /// An automatic update waits, staged, for `surefoot confirm` (default no).
    pub confirm: Option<bool>,
    /// When the device reboots into an automatic update: `now`, in the next `window` (default; at
    /// once where no window is configured), or when it is `asked` to.
    #[serde(deserialize_with = "some_word")]
    pub reboot: Option<Reboot>,
}

/// `[trial]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// An undecided trial is left after this long, summed over its boots (default `1h`).
    #[serde(deserialize_with = "some_duration")]
    pub deadline: Option<Duration>,
    /// How many orderly reboots of a trial are no failed boots, 0 to 3 (default 3).
    pub clean_reboots: Option<u32>,
}

fn some_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// A word that must be known, unlike in a journal.
fn some_word<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err = String>,
{
    let word = String::deserialize(from)?;
    word.parse().map(Some).map_err(serde::de::Error::custom)
}

/// `[device]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Device {
    /// The product; an artifact must name the same.
    pub product: Option<Identifier>,
    /// What an artifact must be compatible with.
    pub compatible: Option<Identifier>,
    /// Where the hardware revision is read, if payloads depend on it.
    pub hardware: Option<HardwareSource>,
    /// The disk: a block device, an image file, or `auto` (default): the one that the running root is on.
    pub disk: Option<PathBuf>,
    /// Image mode: the file whose first line is the slot that runs.
    pub booted: Option<PathBuf>,
    /// The folder that outlives updates (default [`STATE`](crate::model::paths::STATE)).
    pub state: Option<PathBuf>,
    /// A developer's device: automatic updates are stopped (default no).
    pub hold: Option<bool>,
    /// What it is told apart from others by; wins over `id_file`.
    pub id: Option<String>,
    /// The file whose first line says that (default [`MACHINE_ID`](crate::model::paths::MACHINE_ID)).
    pub id_file: Option<PathBuf>,
    /// What a channel may choose devices by.
    pub tags: Option<Vec<Identifier>>,
}

/// `[slots]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Slots {
    /// Partitions of slot a, by name.
    pub a: Option<Vec<String>>,
    /// Partitions of slot b, by name.
    pub b: Option<Vec<String>>,
}

/// `[trust]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Trust {
    /// The trust file (default [`TRUST`](crate::model::paths::TRUST)).
    pub file: Option<PathBuf>,
}

/// `[boot]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// Which bootloader it is (default `uboot`).
    #[serde(deserialize_with = "some_word")]
    pub loader: Option<Loader>,
    /// Where the environment is described (default [`FW_ENV_CONFIG`](crate::model::paths::FW_ENV_CONFIG)).
    pub fw_env_config: Option<PathBuf>,
    /// Whether a single-copy environment, which one torn write loses, is good enough.
    pub accept_single_copy: Option<bool>,
}

/// `[health]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `[[health.check]]`: each must pass before a trial is committed.
    pub check: Vec<Check>,
    /// For how long everything must pass without a break (default `30s`).
    #[serde(deserialize_with = "some_duration")]
    pub stable: Option<Duration>,
    /// After how long in one boot what fails has failed (default `10m`).
    #[serde(deserialize_with = "some_duration")]
    pub deadline: Option<Duration>,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// The text file for a monitoring system; none unless set.
    pub file: Option<PathBuf>,
}

/// `[daemon]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// Where its sockets and its status are (default [`RUN`](crate::model::paths::RUN), from
    /// the root or from the folder of a configuration that was named).
    pub folder: Option<PathBuf>,
}

/// `[stick]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Stick {
    /// Whether a stick is looked at when it is put in (default `true`).
    pub enabled: Option<bool>,
    /// Whether a report is left on it (default `true`).
    pub report: Option<bool>,
}

/// `[inbox]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Inbox {
    /// The folder that whole files are moved into (default `inbox` in the state folder, if it is
    /// there when the daemon starts). Reports go to `outbox` in the state folder.
    pub folder: Option<PathBuf>,
}

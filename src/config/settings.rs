//! What is meant: every needed value present, every path absolute.

use super::Fragment;
use super::fragment::Trial;
#[cfg(feature = "apps")]
use crate::apps::AppSettings;
use crate::boot::{Bootloader, GIVE_BACK_MAX, Loader};
use crate::health::{APPS, CAN_UPDATE_AGAIN, Check, Patience};
use crate::hooks::{Hook, Root, check_all};
use crate::inhibit;
use crate::model::{Failure, Identifier, ReasonCode, StateFile, paths};
use crate::slot::{DiskPlace, HardwareSource, SlotNames};
use crate::source;
use crate::update::{Reboot, Rules};
use std::path::{Path, PathBuf};

/// The configuration of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What this device is, and where its disk and state are.
    pub device: DeviceSettings,
    /// What the partitions of both slots are called.
    pub slots: SlotNames,
    /// The trust file.
    pub trust_file: PathBuf,
    /// The bootloader, and where its memory is.
    pub bootloader: Bootloader,
    /// The health checks.
    pub checks: Vec<Check>,
    /// How long the checks are watched.
    pub patience: Patience,
    /// An automatic update waits for a person's word.
    pub confirm: bool,
    /// When the device reboots into an automatic update.
    pub reboot: Reboot,
    /// Programs that are run at named moments, in the order in which they are asked.
    pub hooks: Vec<Hook>,
    /// What holds back an automatic update or reboot.
    pub inhibit: inhibit::Settings,
    /// Where the daemon's sockets are.
    pub run: PathBuf,
    /// The text file for a monitoring system.
    pub metrics: Option<PathBuf>,
    /// Whether a stick is looked at when it is put in.
    pub stick: bool,
    /// Whether a report is left on a stick.
    pub stick_report: bool,
    /// The folder that whole artifacts are moved into, to be installed.
    pub inbox: PathBuf,
    /// How the network is used.
    pub source: source::Settings,
    /// How long a trial may take.
    pub trial: Rules,
    /// What is done once, at the first boot.
    pub first_boot: FirstBootSettings,
    /// Where apps live, and what they may have of the device.
    #[cfg(feature = "apps")]
    pub apps: AppSettings,
    /// Where relative paths and health checks start: the folder of the last file.
    pub folder: PathBuf,
}

/// What this device is, and where its disk and state are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// The product.
    pub product: Identifier,
    /// What an artifact must be compatible with.
    pub compatible: Identifier,
    /// Where the hardware revision is read.
    pub hardware: Option<HardwareSource>,
    /// A block device or an image file, or the disk that runs.
    pub disk: DiskPlace,
    /// Image mode: the file that names the running slot.
    pub booted: Option<PathBuf>,
    /// The state folder.
    pub state: PathBuf,
    /// Automatic updates are stopped.
    pub hold: bool,
    /// Its id, where the configuration says it.
    pub id: Option<String>,
    /// The file that says it else.
    pub id_file: PathBuf,
    /// Its tags.
    pub tags: Vec<Identifier>,
}

/// What is done once, at the first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstBootSettings {
    /// Whether the data partition gets the rest of the disk.
    pub grow: bool,
    /// Whether the boot partition says who this device is and what may log in.
    pub provision: bool,
    /// What of `/etc` is copied to the data partition, and used from there; full paths.
    pub keep: Vec<PathBuf>,
    /// Where the id of the device is read, in place of the board's serial number.
    pub identity: Option<HardwareSource>,
}

impl Settings {
    /// The meaning of the merged fragments, or everything that is wrong with them; relative paths
    /// are resolved against `folder`.
    pub fn from_merged(merged: Fragment, folder: &Path) -> Result<Settings, Vec<Failure>> {
        let mut wrong = Vec::new();
        let mut refuse = |text: String| wrong.push(Failure::new(ReasonCode::ConfigInvalid, text));
        let needed = [
            (merged.device.product.is_none(), "device.product"),
            (merged.device.compatible.is_none(), "device.compatible"),
        ];
        for (_, key) in needed.into_iter().filter(|(missing, _)| *missing) {
            refuse(format!("`{key}` is not set"));
        }
        let path = |value: Option<PathBuf>, default: &str| {
            folder.join(value.unwrap_or_else(|| PathBuf::from(default)))
        };
        let names = |value: Option<Vec<String>>, default: &str| {
            value.unwrap_or_else(|| vec![default.to_owned()])
        };
        let slots = [names(merged.slots.a, "rootfs-a"), names(merged.slots.b, "rootfs-b")];
        let slots = SlotNames::parse(&slots[0], &slots[1]).unwrap_or_else(|text| {
            refuse(text);
            SlotNames::default()
        });
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = merged.health.check.iter().find(|c| !seen.insert(&c.name)) {
            refuse(format!("two health checks are named `{}`", twice.name));
        }
        for own in [CAN_UPDATE_AGAIN, APPS] {
            if merged.health.check.iter().any(|c| c.name == own) {
                refuse(format!("the health check `{own}` is built in"));
            }
        }
        if let Err(text) = check_all(&merged.hook) {
            refuse(text);
        }
        let relative = |hook: &&Hook| hook.command.iter().take(1).any(|p| !p.starts_with('/'));
        if merged.device.booted.is_none()
            && let Some(hook) = merged.hook.iter().find(relative)
        {
            refuse(format!("hook `{}`: name its program by the full path", hook.name));
        }
        let keep = merged.first_boot.keep.unwrap_or_default();
        if let Some(path) = keep.iter().find(|path| !may_be_kept(path)) {
            refuse(format!("`first_boot.keep`: `{}` is no plain path below /etc", path.display()));
        }
        let trial = rules(&merged.trial, &mut refuse);
        merged.source.mistakes().into_iter().for_each(&mut refuse);
        #[cfg(feature = "apps")]
        merged.apps.mistakes().into_iter().for_each(&mut refuse);
        let device = merged.device;
        let (Some(product), Some(compatible), true) =
            (device.product, device.compatible, wrong.is_empty())
        else {
            return Err(wrong);
        };
        let state = path(device.state, paths::STATE);
        #[cfg(feature = "apps")]
        let apps = merged.apps.at(folder, &state);
        let usual_run = paths::within(folder, paths::RUN);
        let inbox =
            merged.inbox.folder.map_or_else(|| StateFile::INBOX.within(&state), |f| folder.join(f));
        Ok(Settings {
            device: DeviceSettings {
                product,
                compatible,
                hardware: device.hardware,
                disk: DiskPlace::read(device.disk, folder),
                booted: device.booted.map(|p| folder.join(p)),
                state,
                hold: device.hold.unwrap_or(false),
                id: device.id,
                id_file: path(device.id_file, paths::MACHINE_ID),
                tags: device.tags.unwrap_or_default(),
            },
            slots,
            trust_file: path(merged.trust.file, paths::TRUST),
            bootloader: match merged.boot.loader.unwrap_or_default() {
                Loader::Uboot => Bootloader::Uboot {
                    config: path(merged.boot.fw_env_config, paths::FW_ENV_CONFIG),
                    accept_single_copy: merged.boot.accept_single_copy.unwrap_or(false),
                },
                #[cfg(any(test, feature = "sim"))]
                Loader::Numbered => Bootloader::Numbered { folder: folder.join("boot") },
            },
            checks: merged.health.check,
            patience: Patience {
                stable: merged.health.stable.unwrap_or(Patience::default().stable),
                deadline: merged.health.deadline.unwrap_or(Patience::default().deadline),
            },
            confirm: merged.update.confirm.unwrap_or(false),
            reboot: merged.update.reboot.unwrap_or(Reboot::Window),
            hooks: merged.hook,
            inhibit: merged.inhibit.at(folder),
            run: merged.daemon.folder.map_or(usual_run, |f| folder.join(f)),
            metrics: merged.metrics.file.map(|file| folder.join(file)),
            stick: merged.stick.enabled.unwrap_or(true),
            stick_report: merged.stick.report.unwrap_or(true),
            inbox,
            source: merged.source.at(folder),
            trial,
            first_boot: FirstBootSettings {
                grow: merged.first_boot.grow.unwrap_or(true),
                provision: merged.first_boot.provision.unwrap_or(true),
                keep,
                identity: merged.first_boot.identity,
            },
            #[cfg(feature = "apps")]
            apps,
            folder: folder.to_owned(),
        })
    }
}

impl Settings {
    /// Where the programs of hooks may come from.
    pub fn hook_root(&self) -> Root {
        match self.device.booted {
            None => Root::Device,
            Some(_) => Root::Folder(self.folder.clone()),
        }
    }
}

/// A path below `/etc` that is mounted as it stands: an overlay takes no colon, comma or backslash in it.
fn may_be_kept(path: &Path) -> bool {
    use std::path::Component;
    let below = path.strip_prefix("/etc").ok().filter(|below| below.components().next().is_some());
    let plain = |c: Component<'_>| matches!(c, Component::Normal(name) if !name.to_string_lossy().contains([':', ',', '\\', '\n']));
    below.is_some_and(|below| below.components().all(plain))
}

fn rules(written: &Trial, refuse: &mut dyn FnMut(String)) -> Rules {
    let usual = Rules::default();
    let deadline = written.deadline.map_or(usual.deadline, |d| d.as_secs());
    let clean_reboots = written.clean_reboots.unwrap_or(usual.clean_reboots);
    if deadline == 0 {
        refuse("`trial.deadline` must be at least a second".to_owned());
    }
    if clean_reboots > GIVE_BACK_MAX {
        refuse(format!("`trial.clean_reboots` is at most {GIVE_BACK_MAX}"));
    }
    Rules { deadline, clean_reboots }
}

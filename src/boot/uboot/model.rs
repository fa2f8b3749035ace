//! A board in memory, for following a script of the stored environment.

use super::Env;
use super::hush::{Board, Budget, Halt, Shell};
use super::scheme::{self, names};
use crate::model::SlotId;
use std::collections::BTreeMap;

/// Much less than the simulator gives: a device asks this at each look.
const BUDGET: Budget = Budget { steps: 2_000, bytes: 256 * 1024 };

/// What is being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// `bootcmd`, up to the boot script.
    Bootcmd,
    /// `altbootcmd`, run by the boot script, which goes on when it is done.
    Nested,
    /// `altbootcmd`, run by U-Boot when its counter has passed the limit.
    Limit,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// At its goal: `bootcmd` is reached, or with [`Phase::Bootcmd`] the boot script.
    Arrived,
    /// At its last command.
    Over,
    /// It resets the board.
    Reset,
    /// It switches the board off.
    Off,
    /// It starts a kernel that no boot script has chosen.
    Kernel,
    /// At something that cannot be followed.
    Unknown(String),
    /// Never.
    Endless(String),
}

impl Ended {
    /// What there is to say beside that it did not arrive.
    pub(super) fn aside(&self) -> &str {
        match self {
            Ended::Kernel => ": it starts a kernel by itself",
            Ended::Reset => ": it resets the board",
            Ended::Off => ": it switches the board off",
            Ended::Endless(_) => ": it does not come to an end",
            _ => "",
        }
    }
}

/// The board.
pub(super) struct Model {
    phase: Phase,
    variables: BTreeMap<String, String>,
    /// What the last `saveenv` stored.
    pub(super) stored: BTreeMap<String, String>,
    saves: u32,
    /// One bit for each answer of the hardware, in order: 1 is failure.
    mask: u32,
    /// How many answers were asked for.
    pub(super) coins: u32,
    /// Commands that are not known here.
    pub(super) foreign: Vec<String>,
    /// The last step that failed.
    pub(super) step: Option<String>,
    ended: Option<Ended>,
    /// The load addresses where it ended: in the environment, or in the shell's own variables.
    pub(super) addresses: BTreeMap<&'static str, String>,
}

/// What the boot script loads with.
pub(super) const ADDRESSES: [&str; 3] = ["kernel_addr_r", "ramdisk_addr_r", "fdt_addr_r"];

impl Model {
    pub(super) fn new(env: &Env, phase: Phase, mask: u32) -> Model {
        let filled = env.iter().filter(|(_, value)| !value.is_empty());
        let pairs = filled.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let variables: BTreeMap<String, String> = pairs.collect();
        Model {
            phase,
            stored: variables.clone(),
            variables,
            saves: 0,
            mask,
            coins: 0,
            foreign: Vec::new(),
            step: None,
            ended: None,
            addresses: BTreeMap::new(),
        }
    }

    /// Follows a script to its end.
    pub(super) fn run(&mut self, script: &str) -> Ended {
        let mut shell = Shell::within(self, BUDGET);
        if shell.board().phase == Phase::Nested {
            shell.assign("sf_nested", "1");
        }
        let result = shell.run(script);
        let known = ADDRESSES.into_iter().filter_map(|name| Some((name, shell.value(name)?)));
        let known = known.collect();
        self.addresses = known;
        match (self.ended.take(), result) {
            (Some(ended), _) => ended,
            (None, Ok(_)) => Ended::Over,
            (None, Err(Halt::Unknown(what))) => Ended::Unknown(what),
            (None, Err(Halt::Spent(what))) => Ended::Endless(format!("it takes too many {what}")),
            (None, Err(Halt::Loop)) => Ended::Endless("its scripts run each other for ever".into()),
            (None, Err(Halt::Booted | Halt::Reset)) => Ended::Reset,
        }
    }

    fn end(&mut self, ended: Ended) -> Halt {
        let halt = if ended == Ended::Reset { Halt::Reset } else { Halt::Booted };
        self.ended = Some(ended);
        halt
    }

    /// Whether what is stored boots `good` without a trial, for the script and for U-Boot alike.
    pub(super) fn is_home(&self, good: SlotId) -> bool {
        Model::leads_home(&self.stored, good)
    }

    fn leads_home(variables: &BTreeMap<String, String>, good: SlotId) -> bool {
        let trial = variables.get(names::TRIAL).is_some_and(|v| scheme::number(v) != 0);
        let slot = variables.get(names::SLOT).map(String::as_str);
        !trial && slot == Some(good.letter())
    }

    /// What is missing.
    pub(super) fn why_not_home(&self, good: SlotId) -> String {
        let stored = |name: &str| self.stored.get(name).map_or("", String::as_str);
        if self.saves == 0 {
            let step = self.step.as_ref().map_or(String::new(), |step| format!("; `{step}` fails"));
            return format!("it stores nothing (no `saveenv` is reached){step}");
        }
        if Model::leads_home(&self.variables, good) {
            return "its `saveenv` comes before the variables are set".to_owned();
        }
        if stored(names::SLOT) != good.letter() {
            return format!("it stores surefoot_slot={}", stored(names::SLOT));
        }
        format!("it stores upgrade_available={}: the trial goes on", stored(names::TRIAL))
    }

    /// What the hardware would answer is not known: both are tried.
    fn answer(&mut self) -> bool {
        let failed = self.coins < 32 && self.mask >> self.coins & 1 == 1;
        self.coins += 1;
        !failed
    }

    /// A command that puts what it finds into a variable.
    fn found(&mut self, variable: &str) -> Result<bool, Halt> {
        if variable.starts_with("surefoot_") && variable != "surefoot_tmp" || is_ours(variable) {
            return Err(Halt::Unknown(format!("a command sets `{variable}`")));
        }
        let success = self.answer();
        if success {
            self.variables.insert(variable.to_owned(), "1".to_owned());
        }
        Ok(success)
    }
}

fn is_ours(name: &str) -> bool {
    [names::TRIAL, names::BOOTCOUNT, names::BOOTLIMIT, names::ALTBOOTCMD, "bootcmd"].contains(&name)
}

/// Commands that look at hardware or move it, and leave the environment alone but for the sizes
/// and addresses of what they load.
const HARDWARE: [&str; 34] = [
    "load",
    "fatload",
    "ext4load",
    "ext2load",
    "sqfsload",
    "mmc",
    "usb",
    "scsi",
    "sata",
    "nvme",
    "virtio",
    "ide",
    "pci",
    "wdt",
    "gpio",
    "led",
    "sleep",
    "i2c",
    "regulator",
    "pmic",
    "fdt",
    "bmp",
    "cls",
    "printenv",
    "md",
    "mw",
    "crc32",
    "size",
    "fstype",
    "test",
    "itest",
    "dhcp",
    "tftpboot",
    "ums",
];

impl Board for Model {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        match value.filter(|v| !v.is_empty()) {
            Some(value) => drop(self.variables.insert(name.to_owned(), value.to_owned())),
            None => drop(self.variables.remove(name)),
        }
    }

    fn running(&mut self, name: &str) -> Result<(), Halt> {
        match name == "bootcmd" && self.phase != Phase::Bootcmd {
            true => Err(self.end(Ended::Arrived)),
            false => Ok(()),
        }
    }

    fn script_at(&mut self, _: &str) -> Result<Result<String, String>, Halt> {
        Err(self.end(Ended::Arrived))
    }

    fn command(&mut self, words: &[&str]) -> Result<bool, Halt> {
        let success = match words {
            ["saveenv"] | ["env", "save"] => {
                self.stored = self.variables.clone();
                self.saves += 1;
                true
            }
            ["reset" | "reboot", ..] => return Err(self.end(Ended::Reset)),
            ["poweroff", ..] => return Err(self.end(Ended::Off)),
            ["env", "print" | "export" | "info", ..] => true,
            ["env" | "eraseenv" | "askenv" | "editenv" | "nvedit", ..] => {
                let what = format!("`{}` changes the environment", words.join(" "));
                return Err(Halt::Unknown(what));
            }
            ["bootflow" | "sysboot" | "bootefi" | "source" | "pxe", ..] => {
                return Err(self.end(Ended::Arrived));
            }
            ["booti" | "bootz" | "bootm" | "zboot" | "bootelf" | "go", ..] => {
                // The boot script itself may stand in the variables: it names the slot.
                let chosen =
                    self.variables.get("bootargs").is_some_and(|a| a.contains("surefoot.slot="));
                let by_script = chosen && self.phase == Phase::Bootcmd;
                return Err(self.end(if by_script { Ended::Arrived } else { Ended::Kernel }));
            }
            // A load address that is not set leaves a word out.
            ["load", ..] if words.len() < 5 => false,
            ["load", _, _, at, ..] if super::hex_address(at).is_none() => false,
            ["part", _, .., variable] if words.len() > 4 => self.found(variable)?,
            ["fstype", _, _, variable] => self.found(variable)?,
            ["setexpr", variable, ..] => self.found(variable)?,
            ["part", ..] => self.answer(),
            [name, ..] if HARDWARE.contains(name) => self.answer(),
            [name, ..] => {
                if !self.foreign.iter().any(|f| f == name) {
                    self.foreign.push((*name).to_owned());
                }
                self.answer()
            }
            [] => true,
        };
        if !success {
            self.failed(words);
        }
        Ok(success)
    }

    fn failed(&mut self, words: &[&str]) {
        self.step = Some(words.join(" "));
    }

    fn print(&mut self, _: &str) {}
}

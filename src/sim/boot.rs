//! One boot, from power to kernel: what U-Boot does with an environment, and the boot script on
//! top of it.

use super::environment::{Flash, Loaded, Variables, load};
use crate::boot::uboot::hex_address;
use crate::boot::uboot::hush::{self, Budget, Halt, Shell};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::provision::unwrap_script;
use std::collections::BTreeMap;

/// What does not change while U-Boot runs.
#[derive(Debug, Clone)]
pub(super) struct Hardware {
    /// Whether this U-Boot counts by itself (CONFIG_BOOTCOUNT_LIMIT, CONFIG_BOOTCOUNT_ENV).
    pub(super) counts: bool,
    /// The compiled-in environment.
    pub(super) defaults: Variables,
    /// The partitions that matter, by number.
    pub(super) partitions: BTreeMap<u32, Content>,
}

/// A partition as the boot script sees it.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) name: String,
    pub(super) uuid: String,
    /// The files of the boot partition; empty for others.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The slot whose kernel it holds, if that can be loaded now.
    pub(super) system: Option<SlotId>,
}

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The kernel of this slot was started.
    Slot(SlotId),
    /// U-Boot waits at its prompt; the step that failed last.
    Prompt(Option<String>),
    /// The script reset the board or switched it off.
    Reset,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    pub(super) end: End,
    /// The kernel command line.
    pub(super) arguments: String,
    /// The environment when the kernel was started: what was read, and what was set on the way.
    pub(super) variables: Variables,
    /// Whether both copies were dead.
    pub(super) from_defaults: bool,
    /// Whether altbootcmd ran in place of bootcmd.
    pub(super) gave_up_in_uboot: bool,
    /// How often the environment was stored.
    pub(super) saves: u32,
    /// The console, line by line.
    pub(super) console: Vec<String>,
}

/// Boots once.
pub(super) fn boot(hardware: &Hardware, flash: &mut dyn Flash) -> Result<Boot> {
    let loaded = load(&flash.read()?);
    let from_defaults = loaded.variables.is_none();
    let variables = loaded.variables.clone().unwrap_or_else(|| hardware.defaults.clone());
    let mut board = Board {
        hardware,
        flash,
        loaded,
        variables,
        memory: BTreeMap::new(),
        step: None,
        started: None,
        failed: None,
        saves: 0,
        console: Vec::new(),
    };
    if from_defaults {
        hush::Board::print(&mut board, "*** Warning - bad CRC, using default environment");
    }
    let gave_up_in_uboot = hardware.counts && board.count()?;
    let name = if gave_up_in_uboot { "altbootcmd" } else { "bootcmd" };
    let autoboot = board.number("bootdelay", 0) != -1;
    let script = hush::Board::get(&board, name).filter(|_| autoboot);
    let result = script.map(|script| Shell::within(&mut board, Budget::default()).run(&script));
    if let Some(failure) = board.failed {
        return Err(failure);
    }
    let stuck = |board: &mut Board<'_>, why: String| {
        board.console.push(why.clone());
        End::Prompt(Some(why))
    };
    let end = match (result, board.started) {
        (Some(Err(Halt::Booted)), Some(slot)) => End::Slot(slot),
        (Some(Err(Halt::Reset)), _) => End::Reset,
        (Some(Err(Halt::Loop)), _) => {
            stuck(&mut board, "scripts run each other without an end".to_owned())
        }
        (Some(Err(Halt::Spent(what))), _) => {
            stuck(&mut board, format!("`{name}` does not come to an end: too many {what}"))
        }
        (Some(Err(Halt::Unknown(what))), _) => {
            let why = format!("the simulator does not know {what}, which `{name}` uses");
            return Err(Failure::new(ReasonCode::EnvUnreadable, why));
        }
        (None, _) if !autoboot => stuck(&mut board, "`bootdelay` forbids autoboot".to_owned()),
        (None, _) => stuck(&mut board, format!("`{name}` is not set")),
        _ => End::Prompt(board.step.take()),
    };
    Ok(Boot {
        end,
        arguments: board.text("bootargs"),
        variables: board.variables,
        from_defaults,
        gave_up_in_uboot,
        saves: board.saves,
        console: board.console,
    })
}

/// What `load` put at an address.
enum Memory {
    /// A kernel, or another file of the same system.
    System(SlotId),
    File(Vec<u8>),
}

struct Board<'a> {
    hardware: &'a Hardware,
    flash: &'a mut dyn Flash,
    loaded: Loaded,
    variables: Variables,
    /// What `load` put where.
    memory: BTreeMap<u64, Memory>,
    /// The last step that failed, in words.
    step: Option<String>,
    started: Option<SlotId>,
    /// The disk itself failed: no answer of U-Boot's.
    failed: Option<Failure>,
    saves: u32,
    console: Vec<String>,
}

impl Board<'_> {
    fn text(&self, name: &str) -> String {
        let value = self.variables.get(name.as_bytes()).cloned().unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    }

    /// `env_get_ulong(name, 10, default)`: the digits in front, 0 if there are none. A minus sign
    /// counts only for bootdelay, which is read by another function.
    fn number(&self, name: &str, default: i64) -> i64 {
        if !self.variables.contains_key(name.as_bytes()) {
            return default;
        }
        let text = self.text(name);
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) if name == "bootdelay" => (-1, rest),
            _ => (1, text.as_str()),
        };
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        sign * digits.parse().unwrap_or(if digits.is_empty() { 0 } else { i64::MAX })
    }

    /// What BOOTCOUNT_ENV does before autoboot; true if the limit is passed.
    fn count(&mut self) -> Result<bool> {
        let trial = self.number("upgrade_available", 0) != 0;
        let before = if trial { self.number("bootcount", 0) } else { 0 };
        let now = before.saturating_add(1);
        self.variables.insert(b"bootcount".to_vec(), now.to_string().into_bytes());
        if trial {
            self.store()?;
        }
        let limit = self.number("bootlimit", 0);
        let counted = if trial { now } else { 0 };
        let passed = limit != 0 && counted > limit;
        if passed {
            hush::Board::print(
                self,
                &format!("Warning: Bootlimit ({limit}) exceeded. Using altbootcmd."),
            );
        }
        Ok(passed)
    }

    fn store(&mut self) -> Result<bool> {
        let stored = self.loaded.save(self.flash, &self.variables)?;
        self.saves += u32::from(stored);
        Ok(stored)
    }

    /// `mmc 0:2`, `mmc 0:0x2`: the partition, if this disk has it.
    fn partition(&self, kind: &str, place: &str) -> Option<&Content> {
        let (disk, number) = place.split_once(':')?;
        let number = u32::from_str_radix(number.trim_start_matches("0x"), 16).ok()?;
        (kind == "mmc" && disk == "0").then_some(())?;
        self.hardware.partitions.get(&number)
    }

    fn load_file(&mut self, words: [&str; 4]) -> bool {
        let [kind, place, at, path] = words;
        let Some(address) = hex_address(at) else {
            return false;
        };
        let Some(content) = self.partition(kind, place) else {
            return false;
        };
        let found = match content.system {
            // No file system is read here: a slot with a superblock has every file.
            Some(slot) => Some((Memory::System(slot), 0x0040_0000)),
            None => content
                .files
                .get(path.trim_start_matches('/'))
                .map(|bytes| (Memory::File(bytes.clone()), bytes.len())),
        };
        let Some((what, len)) = found else {
            return false;
        };
        self.variables.insert(b"filesize".to_vec(), format!("{len:x}").into_bytes());
        self.variables.insert(b"fileaddr".to_vec(), format!("{address:x}").into_bytes());
        self.memory.insert(address, what);
        true
    }

    fn obey(&mut self, words: &[&str]) -> std::result::Result<bool, Halt> {
        match words {
            ["saveenv"] | ["env", "save"] => match self.store() {
                Ok(stored) => {
                    let end = if stored { "OK" } else { "failed" };
                    hush::Board::print(self, &format!("Saving Environment to MMC... {end}"));
                    Ok(stored)
                }
                Err(failure) => {
                    self.failed = Some(failure);
                    Err(Halt::Reset)
                }
            },
            ["part", "number", "mmc", "0", name, into] => {
                let found = self.hardware.partitions.iter().find(|(_, c)| c.name == *name);
                let number = found.map(|(number, _)| format!("0x{number:x}"));
                if let Some(number) = &number {
                    hush::Board::set(self, into, Some(number));
                }
                Ok(number.is_some())
            }
            ["part", "uuid", kind, place, into] => {
                let uuid = self.partition(kind, place).map(|c| c.uuid.clone());
                if let Some(uuid) = &uuid {
                    hush::Board::set(self, into, Some(uuid));
                }
                Ok(uuid.is_some())
            }
            ["part", ..] => Ok(false),
            ["load", kind, place, address, path] => {
                Ok(self.load_file([kind, place, address, path]))
            }
            // A load address that is not set leaves a word out: U-Boot has no file name then.
            ["load", ..] => Ok(false),
            ["test", "-e", kind, place, path] => Ok(self
                .partition(kind, place)
                .is_some_and(|c| c.files.contains_key(path.trim_start_matches('/')))),
            ["booti" | "bootz" | "bootm", address, ..] => self.start(address),
            ["booti" | "bootz" | "bootm"] => Ok(false),
            ["wdt", ..] => Ok(true),
            ["reset" | "poweroff", ..] => Err(Halt::Reset),
            other => Err(Halt::Unknown(format!("the command `{}`", other.join(" ")))),
        }
    }

    fn start(&mut self, address: &str) -> std::result::Result<bool, Halt> {
        match hex_address(address).and_then(|at| self.memory.get(&at)) {
            Some(Memory::System(slot)) => {
                self.started = Some(*slot);
                Err(Halt::Booted)
            }
            _ => Ok(false),
        }
    }
}

impl hush::Board for Board<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.contains_key(name.as_bytes()).then(|| self.text(name))
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        match value.filter(|v| !v.is_empty()) {
            Some(v) => drop(self.variables.insert(name.as_bytes().to_vec(), v.as_bytes().to_vec())),
            None => drop(self.variables.remove(name.as_bytes())),
        }
    }

    fn command(&mut self, words: &[&str]) -> std::result::Result<bool, Halt> {
        let succeeded = self.obey(words)?;
        if !succeeded {
            hush::Board::failed(self, words);
        }
        Ok(succeeded)
    }

    fn script_at(
        &mut self,
        address: &str,
    ) -> std::result::Result<std::result::Result<String, String>, Halt> {
        Ok(match hex_address(address).and_then(|at| self.memory.get(&at)) {
            Some(Memory::File(bytes)) => {
                unwrap_script(bytes).map(str::to_owned).map_err(str::to_owned)
            }
            _ => Err("Wrong image format for \"source\" command".into()),
        })
    }

    fn failed(&mut self, words: &[&str]) {
        // Looking for what need not be there is no failed step.
        let boot_part = |name: &str| name.starts_with("boot-");
        match words {
            ["test", ..] => return,
            ["part", "number", _, _, name, ..] if boot_part(name) => return,
            // Another card, which may have been written from the same image.
            ["part", "uuid", _, place, ..] if !place.starts_with("0:") => return,
            _ => {}
        }
        let missing = match words {
            // `load mmc 0:2 /boot/Image`: an address that is not set leaves a word out.
            ["load", ..] if words.len() < 5 => " (a word is missing: is a load address not set?)",
            ["booti" | "bootz" | "bootm"] => " (no load address is set)",
            ["load", _, _, at, ..] if hex_address(at).is_none() => " (that is no load address)",
            _ => "",
        };
        let step = format!("`{}` failed{missing}", words.join(" "));
        self.console.push(step.clone());
        self.step = Some(step);
    }

    fn print(&mut self, line: &str) {
        self.console.push(line.to_owned());
    }
}

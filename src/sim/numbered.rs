//! The bootloader with two numbered files: what it does with them in one boot. Deliberately a
//! reading of its own beside [`crate::boot`]: the two judge each other.

use super::boot::Content;
use super::device::Device;
use super::told::{Fault, Told};
use crate::model::{ReasonCode, Result, SlotId, WithReason};
use crate::sys::durable;
use crate::sys::lock::FileLock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Names and values of a file, without its number.
type Values = BTreeMap<String, String>;

/// Its two files, read.
struct Memory {
    folder: PathBuf,
    /// The file that is written next, and the number that it gets.
    next: (usize, u64),
    values: Values,
    /// Whether neither file is whole, and the values are those that are compiled in.
    from_defaults: bool,
    saves: u32,
}

fn defaults() -> Values {
    let pairs = [("slot", "a"), ("good", "a"), ("trial", "0"), ("bootcount", "0")];
    let pairs = pairs.into_iter().chain([("bootlimit", "3"), ("clean", "0")]);
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The number and the values of a whole file.
fn parse(bytes: &[u8]) -> Option<(u64, Values)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (body, crc) = text.split_at(text.rfind("crc=")?);
    let crc = crc.strip_prefix("crc=")?.strip_suffix('\n')?;
    (crc == format!("{:08x}", crc32fast::hash(body.as_bytes()))).then_some(())?;
    let mut lines = body.lines();
    let number = lines.next()?.strip_prefix("number=")?.parse().ok()?;
    let pairs = lines.filter_map(|line| line.split_once('='));
    Some((number, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn print(number: u64, values: &Values) -> String {
    let mut text = format!("number={number}\n");
    for (name, value) in values {
        text.push_str(&format!("{name}={value}\n"));
    }
    let crc = crc32fast::hash(text.as_bytes());
    text + &format!("crc={crc:08x}\n")
}

/// Makes both files, as a factory does; the first one counts.
pub(super) fn factory(device: &Device) -> Result<()> {
    let folder = device.path("boot");
    std::fs::create_dir(&folder).reason(ReasonCode::Io, folder.display())?;
    for (copy, number) in [(0, 1), (1, 0)] {
        let text = print(number, &defaults());
        durable::write(&folder.join(format!("env-{copy}")), text.as_bytes())?;
    }
    Ok(())
}

impl Memory {
    fn load(folder: PathBuf) -> Result<Memory> {
        let read = |copy: usize| -> Result<Option<(u64, Values)>> {
            let bytes = durable::read_foreign(&folder.join(format!("env-{copy}")), 1 << 16)?;
            Ok(bytes.as_deref().and_then(parse))
        };
        let (chosen, found) = match (read(0)?, read(1)?) {
            (Some(first), Some(second)) if second.0 > first.0 => (1, Some(second)),
            (Some(first), _) => (0, Some(first)),
            (None, second) => (1, second),
        };
        let from_defaults = found.is_none();
        let (number, values) = found.unwrap_or((0, defaults()));
        Ok(Memory { folder, next: (1 - chosen, number + 1), values, from_defaults, saves: 0 })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> u32 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// A slot of this name; anything but `b` means a.
    fn slot(&self, name: &str) -> SlotId {
        if self.get(name) == Some("b") { SlotId::B } else { SlotId::A }
    }

    fn is_trial(&self) -> bool {
        self.get("trial") == Some("1")
    }

    /// Stores these values beside the others, in one write.
    fn store(&mut self, values: &[(&str, String)]) -> Result<()> {
        for (name, value) in values {
            self.values.insert((*name).to_owned(), value.clone());
        }
        let (copy, number) = self.next;
        let text = print(number, &self.values);
        durable::write(&self.folder.join(format!("env-{copy}")), text.as_bytes())?;
        self.next = (1 - copy, number + 1);
        self.saves += 1;
        Ok(())
    }

    /// The trial is over, and the good slot boots again.
    fn give_up(&mut self) -> Result<()> {
        let zero = || "0".to_owned();
        let good = self.slot("good").to_string();
        let mut values = vec![("slot", good), ("trial", zero()), ("bootcount", zero())];
        values.extend(self.get("txn").map(|txn| ("fallback", txn.to_owned())));
        self.store(&values)
    }
}

/// Boots once. Also returns the console.
pub(super) fn boot(device: &Device, fault: Option<Fault>) -> Result<(Told, Vec<String>)> {
    let disk = device.disk_held()?;
    let folder = device.path("boot");
    let _lock = FileLock::take(&folder.join("lock"), Duration::from_secs(10))?;
    let mut memory = Memory::load(folder)?;
    let mut console = Vec::new();
    let broken = (fault == Some(Fault::Kernel)).then(|| memory.slot("slot"));
    let partitions = disk.partitions(broken)?;
    let loads = |slot: SlotId| partitions.values().any(|content| content.system == Some(slot));
    device.nothing_runs();
    let before = memory.is_trial();
    if memory.is_trial() {
        let count = memory.number("bootcount").saturating_add(1);
        if count > memory.number("bootlimit") {
            console.push("the boots of this trial are used up".to_owned());
            memory.give_up()?;
        } else {
            memory.store(&[("bootcount", count.to_string())])?;
        }
    }
    if memory.is_trial() && !loads(memory.slot("slot")) {
        console.push(format!("slot {} has no kernel", memory.slot("slot")));
        memory.give_up()?;
    }
    let named = memory.slot("slot");
    let slot = [named, named.other()].into_iter().find(|slot| loads(*slot));
    let trial = memory.is_trial() && slot == Some(named);
    let root = slot.and_then(|slot| disk.root_of(slot));
    let uuid = |content: &&Content| Some(content.name.as_str()) == root;
    let uuid = partitions.values().find(uuid).map(|content| content.uuid.clone());
    let count = |name: &str| trial.then(|| memory.number(name));
    let gave_up = memory.get("fallback").filter(|_| before && !memory.is_trial());
    let told = Told {
        v: 1,
        slot,
        stopped: slot.is_none().then(|| "neither slot has a kernel".to_owned()),
        trial,
        boot: count("bootcount"),
        limit: count("bootlimit"),
        gave_up: gave_up.map(str::to_owned),
        degraded: slot.is_some_and(|slot| slot != named),
        default_environment: memory.from_defaults,
        saves: memory.saves,
        fail: fault.map(Fault::word),
        bootargs: slot.map_or(String::new(), |slot| {
            let root = uuid.unwrap_or_default();
            let panic = if trial { " panic=10" } else { "" };
            format!("root=PARTUUID={root} rootwait surefoot.slot={slot}{panic}")
        }),
    };
    Ok((told, console))
}

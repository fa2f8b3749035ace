//! One numbered file: its text, and what it says. Nothing here touches a medium.

use crate::boot::BootMemory;
use crate::model::SlotId;
use std::fmt::Write;

/// No file is longer, bytes.
pub(super) const LEN_MAX: u64 = 16 * 1024;

/// The names of the values of [`BootMemory`]. All other names are the board's.
const OWN: [&str; 8] =
    ["slot", "txn", "trial", "bootcount", "bootlimit", "good", "fallback", "clean"];

const NUMBER: &str = "number";
const CRC: &str = "crc";

/// One whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::boot) struct Copy {
    /// Its number: the larger one counts.
    pub(in crate::boot) number: u64,
    /// What it says.
    pub(in crate::boot) memory: BootMemory,
    /// Names and values of the board, in their order; a change keeps them.
    pub(in crate::boot) rest: Vec<(String, String)>,
}

impl Copy {
    /// As a factory writes it.
    #[cfg(test)]
    pub(in crate::boot) fn factory(number: u64) -> Copy {
        Copy { number, memory: BootMemory::factory(), rest: Vec::new() }
    }

    /// Reads the bytes of a file; an error says why they are no valid copy.
    pub(in crate::boot) fn parse(bytes: &[u8]) -> Result<Copy, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let body = text.strip_suffix('\n').ok_or("its last line has no end")?;
        let (body, last) = body.rsplit_once('\n').ok_or("it has no lines")?;
        let body = format!("{body}\n");
        if last != crc_line(&body) {
            return Err("its checksum is wrong".to_owned());
        }
        let mut lines = body.lines().zip(1..).map(|(line, n)| match line.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name, value)),
            _ => Err(format!("line {n} is not `name=value`")),
        });
        let first = lines.next().ok_or("it has no lines")??;
        let number = match first {
            (NUMBER, value) => value.parse().map_err(|_| wrong(first))?,
            _ => return Err("its first line is no number".to_owned()),
        };
        let empty = BootMemory { slot: None, good: None, bootlimit: 0, ..BootMemory::factory() };
        let mut copy = Copy { number, memory: empty, rest: Vec::new() };
        let mut seen = Vec::new();
        for line in lines {
            let (name, value) = line?;
            if seen.contains(&name) || [NUMBER, CRC].contains(&name) {
                return Err(format!("`{name}` stands twice"));
            }
            seen.push(name);
            copy.take(name, value)?;
        }
        Ok(copy)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = || wrong((name, value));
        let slot = || value.parse::<SlotId>().map_err(|_| bad());
        let txn = || value.parse().map_err(|_| bad());
        let count = || value.parse::<u32>().map_err(|_| bad());
        let memory = &mut self.memory;
        match name {
            "slot" => memory.slot = Some(slot()?),
            "good" => memory.good = Some(slot()?),
            "txn" => memory.txn = Some(txn()?),
            "fallback" => memory.fallback = Some(txn()?),
            "trial" => {
                memory.trial = match value {
                    "0" => false,
                    "1" => true,
                    _ => return Err(bad()),
                };
            }
            "bootcount" => memory.bootcount = count()?,
            "bootlimit" => memory.bootlimit = count()?,
            "clean" => memory.clean = count()?,
            _ => self.rest.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The text of the file; `None` if it does not fit or a name or value of the board's can be no
    /// line.
    pub(in crate::boot) fn text(&self) -> Option<String> {
        let mut body = format!("{NUMBER}={}\n", self.number);
        for (name, value) in self.values() {
            let _ = writeln!(body, "{name}={value}");
        }
        for (name, value) in &self.rest {
            let plain = |text: &str| !text.contains('\n');
            let free = ![NUMBER, CRC].contains(&name.as_str()) && !OWN.contains(&name.as_str());
            if name.is_empty() || name.contains('=') || !plain(name) || !plain(value) || !free {
                return None;
            }
            let _ = writeln!(body, "{name}={value}");
        }
        let last = crc_line(&body);
        body.push_str(&last);
        body.push('\n');
        (body.len() as u64 <= LEN_MAX).then_some(body)
    }

    /// The values of [`BootMemory`] that are set, each with its name.
    pub(super) fn values(&self) -> Vec<(&'static str, String)> {
        let BootMemory { slot, txn, trial, bootcount, bootlimit, good, fallback, clean } =
            &self.memory;
        let letter = |slot: &Option<SlotId>| slot.map(|s| s.letter().to_owned());
        let all = [
            letter(slot),
            txn.as_ref().map(ToString::to_string),
            Some(u32::from(*trial).to_string()),
            Some(bootcount.to_string()),
            Some(bootlimit.to_string()),
            letter(good),
            fallback.as_ref().map(ToString::to_string),
            Some(clean.to_string()),
        ];
        OWN.into_iter().zip(all).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn wrong((name, value): (&str, &str)) -> String {
    format!("`{name}` is `{value}`, which it cannot be")
}

fn crc_line(body: &str) -> String {
    format!("{CRC}={:08x}", crc32fast::hash(body.as_bytes()))
}

//! The environment as U-Boot 2025.01 itself loads and stores it. Deliberately a reading of its
//! own beside [`crate::boot`]: the two judge each other. Sources: env/common.c, env/mmc.c,
//! lib/hashtable.c.

use crate::model::Result;
use crate::sys::power::{self, Deed};
use std::collections::BTreeMap;

/// Variables by name, in the order in which U-Boot writes them.
pub(super) type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// The two stored copies.
pub(super) trait Flash {
    /// Both copies, whole.
    fn read(&self) -> Result<[Vec<u8>; 2]>;
    /// Replaces one.
    fn write(&mut self, copy: usize, bytes: &[u8]) -> Result<()>;
}

/// Which copy U-Boot holds for the one in force (`gd->env_valid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Valid {
    /// None: the compiled-in environment is used.
    Nothing,
    First,
    Second,
}

/// What `env load` took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) valid: Valid,
    serial: u8,
    /// `None`: the compiled-in environment is used.
    pub(super) variables: Option<Variables>,
}

const HEADER: usize = 5;

fn is_whole(copy: &[u8]) -> bool {
    copy.len() > HEADER && copy[..4] == crc32fast::hash(&copy[HEADER..]).to_le_bytes()
}

/// Chooses between the copies and reads the one chosen.
pub(super) fn load(copies: &[Vec<u8>; 2]) -> Loaded {
    let serial = |copy: usize| copies[copy][4];
    let valid = match (is_whole(&copies[0]), is_whole(&copies[1])) {
        (false, false) => Valid::Nothing,
        (true, false) => Valid::First,
        (false, true) => Valid::Second,
        (true, true) => match (serial(0), serial(1)) {
            // Only this exact pair is a wrap.
            (255, 0) => Valid::Second,
            (0, 255) => Valid::First,
            (first, second) if second > first => Valid::Second,
            _ => Valid::First,
        },
    };
    let chosen = match valid {
        Valid::Nothing => {
            return Loaded { valid, serial: 0, variables: None };
        }
        Valid::First => 0,
        Valid::Second => 1,
    };
    Loaded { valid, serial: serial(chosen), variables: import(&copies[chosen][HEADER..]) }
}

/// The variables in the data of a copy; `None` if U-Boot refuses to import them and uses the
/// compiled-in ones, which it does for a value without a name.
pub(super) fn import(data: &[u8]) -> Option<Variables> {
    let mut variables = Variables::new();
    let mut rest = data;
    loop {
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        rest = &rest[blanks..];
        let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
        let (entry, tail) = rest.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        if entry.first() != Some(&b'#') {
            let equals = entry.iter().position(|b| *b == b'=').unwrap_or(entry.len());
            let (name, value) = entry.split_at(equals);
            let value = unescape(value.get(1..).unwrap_or_default());
            match (name.is_empty(), value.is_empty()) {
                // `name` and `name=` remove the variable.
                (_, true) => drop(variables.remove(name)),
                (true, false) => return None,
                (false, false) => drop(variables.insert(name.to_vec(), value)),
            }
        }
        if rest.first().is_none_or(|b| *b == 0) {
            return Some(variables);
        }
    }
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(&byte) = bytes.next() {
        let next = (byte == b'\\').then(|| bytes.next()).flatten();
        out.push(next.copied().unwrap_or(byte));
    }
    out
}

/// The variables as U-Boot writes them: sorted, a backslash before each backslash.
pub(super) fn entries(variables: &Variables) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in variables {
        out.extend(name);
        out.push(b'=');
        for byte in value {
            if *byte == b'\\' {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(0);
    }
    out.push(0);
    out
}

/// A copy of `len` bytes as U-Boot writes it; `None` if the variables do not fit.
pub(super) fn export(variables: &Variables, len: usize, serial: u8) -> Option<Vec<u8>> {
    let mut copy = vec![0; HEADER];
    copy.extend(entries(variables));
    if copy.len() > len {
        return None;
    }
    copy.resize(len, 0);
    copy[4] = serial;
    let crc = crc32fast::hash(&copy[HEADER..]);
    copy[..4].copy_from_slice(&crc.to_le_bytes());
    Some(copy)
}

impl Loaded {
    /// `saveenv`: the other copy, one serial on. Right after a boot from the compiled-in
    /// environment the first two saves both go to the first copy, as in U-Boot. False if it
    /// cannot be stored.
    pub(super) fn save(&mut self, flash: &mut dyn Flash, variables: &Variables) -> Result<bool> {
        let copy = usize::from(self.valid == Valid::First);
        let Some(len) = flash.read()?.get(copy).map(Vec::len) else {
            return Ok(false);
        };
        self.serial = self.serial.wrapping_add(1);
        let Some(bytes) = export(variables, len, self.serial) else {
            return Ok(false);
        };
        flash.write(copy, &bytes)?;
        self.valid = if self.valid == Valid::Second { Valid::First } else { Valid::Second };
        Ok(true)
    }
}

/// Copies in memory, for tests and for judging many of them.
#[derive(Debug, Clone)]
pub(super) struct InMemory(pub(super) [Vec<u8>; 2]);

impl Flash for InMemory {
    fn read(&self) -> Result<[Vec<u8>; 2]> {
        Ok(self.0.clone())
    }
    fn write(&mut self, copy: usize, bytes: &[u8]) -> Result<()> {
        power::writing(Deed::Memory, bytes, |part| {
            self.0[copy][..part.len()].copy_from_slice(part)
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    fn pair(first: Option<u8>, second: Option<u8>) -> InMemory {
        let copy = |who: &str, serial: Option<u8>| match serial {
            Some(serial) => export(&variables(&[("who", who)]), 64, serial).unwrap(),
            None => vec![0xff; 64],
        };
        InMemory([copy("first", first), copy("second", second)])
    }

    #[test]
    fn the_newer_copy_is_chosen_as_uboot_does() {
        let cases = [
            (Some(1), Some(2), Valid::Second),
            (Some(2), Some(1), Valid::First),
            (Some(7), Some(7), Valid::First),
            (Some(255), Some(0), Valid::Second),
            (Some(0), Some(255), Valid::First),
            (Some(254), Some(0), Valid::First),
            (Some(3), None, Valid::First),
            (None, Some(3), Valid::Second),
            (None, None, Valid::Nothing),
        ];
        for (first, second, expected) in cases {
            let loaded = load(&pair(first, second).0);
            assert_eq!(loaded.valid, expected, "{first:?} {second:?}");
            assert_eq!(loaded.variables.is_none(), expected == Valid::Nothing);
        }
    }

    #[test]
    fn a_save_goes_to_the_stale_copy_one_serial_on() {
        let mut flash = pair(Some(254), Some(255));
        let mut loaded = load(&flash.0);
        for (serials, value) in [([0, 255], "x"), ([0, 1], "y"), ([2, 1], "z")] {
            assert!(loaded.save(&mut flash, &variables(&[("v", value)])).unwrap());
            assert_eq!([flash.0[0][4], flash.0[1][4]], serials);
            assert_eq!(load(&flash.0).variables.unwrap(), variables(&[("v", value)]));
        }
        assert!(!loaded.save(&mut flash, &variables(&[("v", &"x".repeat(60))])).unwrap());
    }

    #[test]
    fn after_two_dead_copies_two_saves_go_to_the_first() {
        let mut flash = pair(None, None);
        let mut loaded = load(&flash.0);
        for _ in 0..2 {
            loaded.save(&mut flash, &variables(&[("v", "x")])).unwrap();
            assert!(!is_whole(&flash.0[1]));
        }
        loaded.save(&mut flash, &variables(&[("v", "x")])).unwrap();
        assert!(is_whole(&flash.0[1]));
    }

    #[test]
    fn odd_data_is_read_as_uboot_reads_it() {
        type Case<'a> = (&'a [u8], Option<&'a [(&'a str, &'a str)]>);
        let cases: [Case<'_>; 8] = [
            (b"a=1\0b=2\0\0c=3\0\0", Some(&[("a", "1"), ("b", "2")])),
            (b"a=1\0a=\0\0", Some(&[])),
            (b"a=1\0a\0\0", Some(&[])),
            (b"  a=1\0#b=2\0\0", Some(&[("a", "1")])),
            (b"a=1\\\\2\\3\0\0", Some(&[("a", "1\\23")])),
            (b"a=b=c\0\0", Some(&[("a", "b=c")])),
            (b"=1\0\0", None),
            (b"\0\0", Some(&[])),
        ];
        for (data, expected) in cases {
            assert_eq!(import(data), expected.map(variables), "{}", data.escape_ascii());
        }
        let odd = variables(&[("a", "x\\y"), ("b", "=")]);
        let copy = export(&odd, 64, 9).unwrap();
        assert_eq!(load(&[copy.clone(), copy]).variables, Some(odd));
    }
}

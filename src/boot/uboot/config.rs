//! `fw_env.config`: where the copies of the environment lie.
//!
//! One line per copy, two for a redundant environment:
//! `DEVICE OFFSET SIZE [SECTOR_SIZE [SECTORS [DISABLE_LOCK]]]`, numbers as `fw_printenv` reads
//! them: the offset in C notation (`0x…`, decimal, octal; negative from the end), the size always
//! hexadecimal, with or without `0x`.

use crate::model::{Failure, ReasonCode, Result};
use std::path::PathBuf;

/// A copy that is larger than this is a mistake in the file: U-Boot's are some KiB.
const SIZE_MAX: u64 = 1 << 20;

/// Where one copy lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPlace {
    /// Device, image or file, as written; relative to the folder of the file.
    pub device: PathBuf,
    /// Offset, bytes; negative: from the end.
    pub offset: i64,
    /// Length, bytes.
    pub size: u64,
}

/// The file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwEnvConfig {
    /// One or two places, of one size.
    pub copies: Vec<CopyPlace>,
}

/// An integer in C notation, as `%lli` takes it.
fn c_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => unsigned(hex, 16)?,
        None if digits.len() > 1 && digits.starts_with('0') => unsigned(digits, 8)?,
        None => unsigned(digits, 10)?,
    };
    let value = i64::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

/// Digits only: the standard parser would take a second sign.
fn unsigned(digits: &str, radix: u32) -> Option<u64> {
    let good = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    good.then(|| u64::from_str_radix(digits, radix).ok())?
}

/// A hexadecimal number with or without `0x`, as `%lx` takes it.
fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    unsigned(digits.unwrap_or(text), 16)
}

impl FwEnvConfig {
    /// Reads the text of the file. `ENV_CONFIG` names the line that is wrong.
    pub fn parse(text: &str) -> Result<FwEnvConfig> {
        let mut copies: Vec<CopyPlace> = Vec::new();
        let wrong = |why: String| Err(Failure::new(ReasonCode::EnvConfig, why));
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let fields = (words.next(), words.next(), words.next());
            let (Some(device), Some(offset), Some(size)) = fields else {
                return wrong(format!(
                    "line {number} is not `DEVICE OFFSET SIZE` (the YAML form is not supported)"
                ));
            };
            let Some(offset) = c_integer(offset) else {
                return wrong(format!("line {number}: `{offset}` is not an offset"));
            };
            let Some(size) = hexadecimal(size).filter(|s| (32..=SIZE_MAX).contains(s)) else {
                return wrong(format!(
                    "line {number}: `{size}` is not a size (hexadecimal, at most 1 MiB)"
                ));
            };
            copies.push(CopyPlace { device: PathBuf::from(device), offset, size });
        }
        match &copies[..] {
            [_] => {}
            [first, second] if first.size == second.size => {
                if first.device == second.device && overlap(first, second) {
                    return wrong("the two copies overlap".to_owned());
                }
            }
            [_, _] => return wrong("the two copies differ in size".to_owned()),
            other => {
                return wrong(format!("{} copies are described; 1 or 2 can be", other.len()));
            }
        }
        Ok(FwEnvConfig { copies })
    }

    /// True if two copies are kept.
    pub fn is_redundant(&self) -> bool {
        self.copies.len() == 2
    }
}

fn overlap(a: &CopyPlace, b: &CopyPlace) -> bool {
    let same_end = (a.offset < 0) == (b.offset < 0);
    same_end && a.offset.abs_diff(b.offset) < a.size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_fw_printenv_reads() {
        let text =
            "# comment\n\n/dev/mmcblk0 0x400000 0x4000\n/dev/mmcblk0\t8388608 4000 0x200 1 0\n";
        let config = FwEnvConfig::parse(text).unwrap();
        assert!(config.is_redundant());
        assert_eq!(config.copies[0].offset, 4 << 20);
        assert_eq!(config.copies[1].offset, 8 << 20);
        assert_eq!(config.copies[1].size, 0x4000, "a size is hexadecimal");
        let end = FwEnvConfig::parse("disk.img -0x4000 0x4000").unwrap();
        assert_eq!(end.copies[0].offset, -0x4000);
        assert_eq!(c_integer("0100"), Some(64));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("", "0 copies"),
            ("/dev/x 0", "line 1"),
            ("a 0 0x4000\nb 0 0x8000", "size"),
            ("a 0 0x4000\na 0x3000 0x4000", "overlap"),
            ("a 0 1\n", "size"),
            ("a 0 0x40000000\n", "size"),
            ("a 0 0x4000k\n", "size"),
            ("a zero 0x4000\n", "offset"),
            ("a --1 0x4000\n", "offset"),
            ("a +-1 0x4000\n", "offset"),
            ("a 0 0x4000\nb 0 0x4000\nc 0 0x4000", "3 copies"),
            ("uboot:\n  size: 0x4000\n", "YAML"),
            ("a 99999999999999999999 0x4000\n", "offset"),
        ] {
            let failure = FwEnvConfig::parse(text).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::EnvConfig, "{text}");
            assert!(failure.detail().contains(word), "{text}: {failure}");
        }
    }
}

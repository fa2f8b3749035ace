//! Whether an eMMC is worn out: what it says of itself in `EXT_CSD` (JEDEC 84-B50, DEVICE_LIFE_TIME_EST
//! and PRE_EOL_INFO), as the kernel shows it.

use super::sysfs::{entries, line};
use std::path::Path;

/// More than the estimated life is used up.
pub(super) const EXCEEDED: u8 = 0x0b;
/// 80 % of the reserved blocks are used up, and 90 %.
const URGENT: u8 = 3;

/// Which media are worn out, one line each. `limit` in tenths of their life; 0 asks for nothing.
pub(super) fn worn(sys: &Path, limit: u8) -> Vec<String> {
    let cards = entries(&sys.join("block")).into_iter().filter(|(name, _)| is_card(name));
    let cards = cards.filter(|_| limit > 0);
    cards.filter_map(|(name, at)| worn_card(&name, &at.join("device"), limit)).collect()
}

/// `mmcblk0`, and not its boot partitions.
fn is_card(name: &str) -> bool {
    let number = name.strip_prefix("mmcblk");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn worn_card(name: &str, device: &Path, limit: u8) -> Option<String> {
    let urgent = line(&device.join("pre_eol_info")).and_then(|l| hexadecimal(&l)) == Some(URGENT);
    if urgent {
        return Some(format!("{name} is almost out of spare blocks; replace it"));
    }
    // Cheap blocks, then the others; 0 says nothing, and above 0x0b nothing is defined.
    let both = line(&device.join("life_time")).unwrap_or_default();
    let used = both.split_whitespace().take(2).filter_map(hexadecimal);
    let used = used.filter(|used| (1..=EXCEEDED).contains(used)).max()?;
    (used >= limit).then(|| match used {
        EXCEEDED => format!("{name} has outlived its estimated life; replace it"),
        _ => format!("{name} has used up to {} % of its estimated life", u32::from(used) * 10),
    })
}

fn hexadecimal(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("0x")?;
    u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, life: &str, end: &str, limit: u8) -> Option<String> {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("block").join(name).join("device");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("life_time"), life).unwrap();
        std::fs::write(device.join("pre_eol_info"), end).unwrap();
        let mut found = worn(sys.path(), limit);
        assert!(found.len() <= 1);
        found.pop()
    }

    #[test]
    fn a_card_that_is_worn_out_is_named() {
        for (life, end, limit, said) in [
            ("0x01 0x01\n", "0x01\n", 11, None),
            ("0x0a 0x01\n", "0x01\n", 11, None),
            ("0x0b 0x01\n", "0x01\n", 11, Some("outlived")),
            ("0x01 0x0b\n", "0x01\n", 11, Some("outlived")),
            ("0x01 0x09\n", "0x01\n", 9, Some("90 %")),
            ("0x01 0x01\n", "0x02\n", 11, None),
            ("0x01 0x01\n", "0x03\n", 11, Some("spare blocks")),
            ("0x00 0x00\n", "0x00\n", 1, None),
            ("0x0c 0xff\n", "0xff\n", 1, None),
            ("0x0b 0x0b\n", "0x03\n", 0, None),
        ] {
            let found = card("mmcblk0", life, end, limit);
            assert_eq!(found.is_some(), said.is_some(), "{life} {end} {limit}: {found:?}");
            assert!(found.unwrap_or_default().contains(said.unwrap_or("")));
        }
        for other in ["mmcblk0boot0", "mmcblk0p1", "mmcblk", "sda", "nvme0n1"] {
            assert_eq!(card(other, "0x0b 0x0b", "0x03", 11), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let huge = "0x0b".repeat(1 << 18);
        for text in [
            "",
            "\n",
            "0x",
            "11",
            "0xzz 0x",
            "0x+b 0x-b",
            "0x10b 0x1ff",
            "é",
            "\0\0",
            huge.as_str(),
        ] {
            assert_eq!(card("mmcblk1", text, text, 1), None, "{}", text.len());
        }
    }
}

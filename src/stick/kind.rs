//! What a volume is, by its first bytes.

use std::fmt;

/// A file system, as far as a stick may carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// FAT12, FAT16 or FAT32: read.
    Fat,
    /// Known, and not read here.
    Foreign(&'static str),
    /// Nothing that is known.
    Nothing,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Fat => "FAT",
            Kind::Foreign(name) => name,
            Kind::Nothing => "no file system",
        })
    }
}

/// How much of a volume [`kind`] looks at.
pub(super) const HEAD: usize = 36 << 10;

/// Offset, bytes, name. NTFS and exFAT begin as FAT does, so they come before it.
const MAGIC: [(usize, &[u8], &str); 10] = [
    (3, b"EXFAT   ", "exFAT"),
    (3, b"NTFS    ", "NTFS"),
    (1080, &[0x53, 0xef], "ext4"),
    (32, b"NXSB", "APFS"),
    (1024, b"H+", "HFS+"),
    (1024, b"HX", "HFS+"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"XFSB", "XFS"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "F2FS"),
    (32769, b"CD001", "ISO 9660"),
];

/// What begins with these bytes.
pub(super) fn kind(head: &[u8]) -> Kind {
    let found = MAGIC.iter().find(|(at, magic, _)| head.get(*at..at + magic.len()) == Some(magic));
    match found {
        Some((_, _, name)) => Kind::Foreign(name),
        None if is_fat(head) => Kind::Fat,
        None => Kind::Nothing,
    }
}

/// The kind of that name.
pub(super) fn named(name: &str) -> Option<Kind> {
    match name {
        "FAT" => Some(Kind::Fat),
        "no file system" => Some(Kind::Nothing),
        _ => MAGIC.iter().find(|(_, _, n)| *n == name).map(|(_, _, n)| Kind::Foreign(n)),
    }
}

/// A jump, and numbers that a FAT may have (Microsoft, "FAT: General Overview", the BPB).
fn is_fat(head: &[u8]) -> bool {
    let Some(sector) = head.get(..512) else {
        return false;
    };
    let jumps = sector[0] == 0xeb && sector[2] == 0x90 || sector[0] == 0xe9;
    let bytes = u16::from_le_bytes([sector[11], sector[12]]);
    let fits = matches!(bytes, 512 | 1024 | 2048 | 4096) && sector[13].is_power_of_two();
    let fats = matches!(sector[16], 1 | 2);
    jumps && fits && fats && sector[510..] == [0x55, 0xaa]
}

/// Whether the first sector of a medium begins a volume and no table.
pub(super) fn looks_like_a_volume(sector: &[u8; 512]) -> bool {
    kind(sector) != Kind::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for kind in [Kind::Fat, Kind::Nothing, Kind::Foreign("exFAT"), Kind::Foreign("ext4")] {
            assert_eq!(named(&kind.to_string()), Some(kind));
        }
        assert_eq!(named("ZFS"), None);
    }
}

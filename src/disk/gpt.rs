//! GUID partition tables, read only (UEFI specification 2.10, chapter 5). The checks are our own:
//! the `gpt` crate panics on an entry size it does not expect, takes overlapping partitions, and
//! does not fall back to a good backup when only the primary entries are torn (R50).

use super::mbr::BootRecord;
use super::{BlockDevice, Partition, PartitionTable, TableKind};
use crate::model::{Failure, ReasonCode, Result, printable};

/// Bytes of an entry.
pub(super) const ENTRY: usize = 128;
const ENTRIES_MAX: u32 = 1024;
const HEADER: usize = 92;

/// An EFI system partition, which is the firmware's.
const FIRMWARE: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// What the first 92 bytes of a header say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The sector that it was made for.
    at: u64,
    pub(super) alternate: u64,
    pub(super) first_usable: u64,
    last_usable: u64,
    disk: [u8; 16],
    /// In sectors.
    pub(super) entries_at: u64,
    pub(super) count: u32,
    /// Bytes of one entry.
    entry_len: u32,
    entries_crc: u32,
    /// Sectors of the entries, rounded up.
    pub(super) entries_sectors: u64,
}

impl Header {
    /// As it stands in its sector, of 512 bytes at least; `None` without its mark. Nothing is checked.
    pub(super) fn parse(sector: &[u8]) -> Option<Header> {
        if sector.len() < 512 || &sector[..8] != b"EFI PART" {
            return None;
        }
        let (count, sector_len) = (u32_at(sector, 80), u64::try_from(sector.len()).ok()?);
        Some(Header {
            at: u64_at(sector, 24),
            alternate: u64_at(sector, 32),
            first_usable: u64_at(sector, 40),
            last_usable: u64_at(sector, 48),
            disk: guid_at(sector, 56),
            entries_at: u64_at(sector, 72),
            count,
            entry_len: u32_at(sector, 84),
            entries_crc: u32_at(sector, 88),
            entries_sectors: (u64::from(count) * 128).div_ceil(sector_len),
        })
    }

    /// Whether its entries have the length that every tool gives them.
    pub(super) fn has_usual_entries(&self) -> bool {
        usize::try_from(self.entry_len) == Ok(ENTRY)
    }
}

/// A partition as an entry names it.
pub(super) struct Entry {
    type_id: [u8; 16],
    /// Its first and its last sector.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Entry {
    /// `None` for one that is not used. Nothing is checked.
    pub(super) fn parse(entry: &[u8]) -> Option<Entry> {
        let type_id = guid_at(entry, 0);
        let used = Entry { type_id, first: u64_at(entry, 32), last: u64_at(entry, 40) };
        (type_id != [0; 16]).then_some(used)
    }

    /// Whether it is an EFI system partition.
    pub(super) fn is_firmware(&self) -> bool {
        guid_text(&self.type_id) == FIRMWARE
    }
}

/// One complete copy of the table: the header at `at` and its entries.
pub(super) struct Copy {
    pub(super) at: u64,
    pub(super) header: Header,
    pub(super) entries: Vec<u8>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn guid_at(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    guid
}

/// The first three groups are stored little endian.
fn guid_text(g: &[u8; 16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!(
        "{:08x}-{:02x}{:02x}-{:02x}{:02x}-{}-{}",
        u32_at(g, 0),
        g[5],
        g[4],
        g[7],
        g[6],
        hex(&g[8..10]),
        hex(&g[10..])
    )
}

/// Reads the header sector at `at` of a disk with sectors `0..=last`, without its entries.
pub(super) fn parse_header(
    sector: &[u8],
    at: u64,
    last: u64,
) -> std::result::Result<Header, &'static str> {
    let header = Header::parse(sector).ok_or("no header")?;
    if u32_at(sector, 8) != 0x0001_0000 {
        return Err("unknown revision");
    }
    let size = usize::try_from(u32_at(sector, 12)).unwrap_or(usize::MAX);
    if size < HEADER || size > sector.len() {
        return Err("impossible header size");
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&sector[..16]);
    crc.update(&[0; 4]);
    crc.update(&sector[20..size]);
    if crc.finalize() != u32_at(sector, 16) {
        return Err("header checksum wrong");
    }
    if header.at != at {
        return Err("the header was made for another place");
    }
    if !header.has_usual_entries() {
        return Err("entries are not 128 bytes long");
    }
    if !(1..=ENTRIES_MAX).contains(&header.count) {
        return Err("impossible number of entries");
    }
    if header.first_usable > header.last_usable || header.last_usable > last {
        return Err("the usable range leaves the disk");
    }
    if header.alternate == at || header.alternate == 0 {
        return Err("the header names itself as its backup");
    }
    if header.first_usable < 2 || (header.first_usable..=header.last_usable).contains(&at) {
        return Err("the header lies in the usable range");
    }
    let end = header.entries_at.checked_add(header.entries_sectors);
    let Some(end) = end.filter(|end| header.entries_at >= 2 && *end <= last + 1) else {
        return Err("the entries leave the disk");
    };
    if header.entries_at <= header.last_usable && header.first_usable < end {
        return Err("the entries lie in the usable range");
    }
    if (header.entries_at..end).contains(&at) {
        return Err("the entries lie over the header");
    }
    Ok(header)
}

/// A sector that is worn out is what the other copy is for. Other failures are of the whole disk.
fn unreadable(read: Result<()>) -> Result<Option<&'static str>> {
    match read {
        Ok(()) => Ok(None),
        Err(failure) if failure.code() == ReasonCode::Io => Ok(Some("it cannot be read")),
        Err(failure) => Err(failure),
    }
}

/// Reads the copy whose header stands at sector `at`. The inner error says why it is no good.
pub(super) fn read_copy(
    device: &dyn BlockDevice,
    sector: usize,
    at: u64,
) -> Result<std::result::Result<Copy, &'static str>> {
    let size = u64::try_from(sector).unwrap_or(u64::MAX);
    let Some(last) = (device.len() / size).checked_sub(1) else {
        return Ok(Err("the disk is empty"));
    };
    if at > last {
        return Ok(Err("it would stand beyond the end of the disk"));
    }
    let mut bytes = vec![0; sector];
    if let Some(why) = unreadable(device.read_at(at * size, &mut bytes))? {
        return Ok(Err(why));
    }
    let header = match parse_header(&bytes, at, last) {
        Ok(header) => header,
        Err(why) => return Ok(Err(why)),
    };
    // At most 1024 entries, checked above.
    let mut entries = vec![0; ENTRY * usize::try_from(header.count).unwrap_or(0)];
    if let Some(why) = unreadable(device.read_at(header.entries_at * size, &mut entries))? {
        return Ok(Err(why));
    }
    if crc32fast::hash(&entries) != header.entries_crc {
        return Ok(Err("checksum of the entries wrong"));
    }
    Ok(Ok(Copy { at, header, entries }))
}

/// Both copies are read and judged each on its own; one good one is enough.
pub(super) fn read(device: &dyn BlockDevice, boot: &BootRecord) -> Result<PartitionTable> {
    let mut whys = Vec::new();
    for sector in [512, 4096] {
        let size = u64::try_from(sector).unwrap_or(u64::MAX);
        let end = (device.len() / size).saturating_sub(1);
        let primary = read_copy(device, sector, 1)?;
        let backup_at = primary.as_ref().map_or(end, |p| p.header.alternate);
        let backup = read_copy(device, sector, backup_at)?;
        let mut warnings = Vec::new();
        if boot.is_hybrid() {
            warnings.push("hybrid boot record: only its GPT is used".to_owned());
        }
        let (used, other) = match (primary, backup) {
            (Err(p), Err(b)) => {
                if p != "no header" || b != "no header" || whys.is_empty() {
                    whys.push(format!("primary: {p}; backup: {b}"));
                }
                continue;
            }
            (Ok(primary), Err(why)) => {
                warnings.push(format!("the backup partition table is damaged: {why}"));
                (primary, None)
            }
            (Err(why), Ok(backup)) => {
                warnings.push(format!(
                    "the primary partition table is damaged ({why}); the backup is used"
                ));
                (backup, None)
            }
            (Ok(primary), Ok(backup)) => {
                if primary.entries != backup.entries || primary.header.disk != backup.header.disk {
                    warnings
                        .push("the two partition tables differ; the primary is used".to_owned());
                }
                if backup.at != end {
                    warnings.push(
                        "the backup partition table is not at the end of the disk".to_owned(),
                    );
                }
                (primary, Some(backup))
            }
        };
        let mut reserved = vec![0..2 * size, end * size..device.len()];
        for copy in std::iter::once(&used).chain(&other) {
            let entries = copy.header.entries_at;
            reserved.push(entries * size..(entries + copy.header.entries_sectors) * size);
            reserved.push(copy.at * size..(copy.at + 1) * size);
        }
        return Ok(PartitionTable {
            partitions: parse_entries(&used, size)?,
            kind: TableKind::Gpt,
            reserved,
            warnings,
        });
    }
    let why = format!("no good copy of the GPT ({})", whys.join("; "));
    Err(Failure::new(ReasonCode::TableUnreadable, why))
}

fn parse_entries(copy: &Copy, sector: u64) -> Result<Vec<Partition>> {
    let mut out = Vec::new();
    for (entry, number) in copy.entries.chunks_exact(ENTRY).zip(1u32..) {
        let Some(Entry { type_id, first, last }) = Entry::parse(entry) else { continue };
        let usable = copy.header.first_usable..=copy.header.last_usable;
        if first > last || !usable.contains(&first) || !usable.contains(&last) {
            return Err(Failure::new(
                ReasonCode::LayoutInvalid,
                format!("partition {number} (sectors {first} to {last}) leaves the usable range"),
            ));
        }
        let name = entry[56..ENTRY].chunks_exact(2);
        let name: Vec<u16> =
            name.map(|c| u16::from_le_bytes([c[0], c[1]])).take_while(|c| *c != 0).collect();
        out.push(Partition {
            number,
            name: printable(&String::from_utf16_lossy(&name), 36),
            start: first * sector,
            len: (last - first + 1) * sector,
            uuid: guid_text(&guid_at(entry, 16)),
            type_id: guid_text(&type_id),
        });
    }
    Ok(out)
}

/// How many bytes a disk lacks of what its primary header was made for; `None` where that is not what is wrong.
pub(super) fn missing(device: &dyn BlockDevice) -> Option<u64> {
    [512u16, 4096].into_iter().find_map(|sector| {
        let size = u64::from(sector);
        let mut bytes = vec![0; sector.into()];
        device.read_at(size, &mut bytes).ok()?;
        let header = Header::parse(&bytes)?;
        parse_header(&bytes, 1, header.alternate).ok()?;
        let needed = header.alternate.checked_add(1)?.checked_mul(size)?;
        needed.checked_sub(device.len()).filter(|bytes| *bytes > 0)
    })
}

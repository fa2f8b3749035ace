//! One file in the root of a FAT file system, changed so that a cut at any moment leaves every other file as it was, and this
//! one whole: the old one, none, one that counts as taken, or the new one. What the library would write is collected in memory
//! first; it goes to the medium in an order of our own, with a flush between: what was free before, the table, the folder. The
//! content comes last, into a file that is there: a cut never leaves a secret where no file is that could be erased. What it
//! can leave behind besides is space that is counted as used, which `fsck.fat -a` gives back.

use crate::disk::BlockDevice;
use crate::firstboot::taken;
use crate::firstboot::volume::{Changes, Volume, changes, erase, erasure, write};
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Write};

/// How a file begins that counts as taken: a device takes nothing from it, and erases the rest.
const TAKEN: &[u8] = b"# taken\n";

/// Has the file hold `content`, or not be there. Nothing of what an old one held is left on the medium.
pub(super) fn written_part(
    device: &dyn BlockDevice,
    name: &str,
    content: Option<&[u8]>,
) -> Result<()> {
    let told = |e: Error| {
        // The library has no kind for it.
        let full = e.to_string().contains("No space left");
        let code = if full { ReasonCode::NoSpace } else { ReasonCode::Io };
        Failure::new(code, format!("{name} on the boot partition: {e}"))
    };
    let table_end = table_end(device)?;
    let erased = erasure(device, name).map_err(told)?;
    let remove = |volume: &Volume<'_>| match volume.root_dir().remove(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    };
    // One that a device has taken has nothing that is to be erased, and may be longer.
    if !changes(device, remove).map_err(told)?.is_empty() {
        // Before anything is lost it is known that there is room for the new one.
        changes(device, |volume| {
            volume.root_dir().remove(name)?;
            content.map_or(Ok(()), |new| volume.root_dir().create_file(name)?.write_all(new))
        })
        .map_err(told)?;
        erase(device, &erased)?;
        let removed = changes(device, remove).map_err(told)?;
        // The entry goes first, its last sector before the others: it is the one that counts.
        write(device, removed.range(table_end..).rev())?;
        write(device, removed.range(..table_end))?;
    }
    let Some(content) = content else { return Ok(()) };
    // Which sectors are of the folder shows where an empty file is made.
    let create = |volume: &Volume<'_>| volume.root_dir().create_file(name).map(drop);
    let named = changes(device, create).map_err(told)?;
    let folder: BTreeSet<u64> = named.range(table_end..).map(|(at, _)| *at).collect();
    let made = changes(device, |volume| {
        let mut file = volume.root_dir().create_file(name)?;
        file.write_all(&taken(content.len()))?;
        file.flush()
    })
    .map_err(told)?;
    write(device, made.range(table_end..).filter(|(at, _)| !folder.contains(at)))?;
    write(device, made.range(..table_end))?;
    write(device, made.range(table_end..).filter(|(at, _)| folder.contains(at)))?;
    filled(device, name, content)
}

/// Has a file that counts as taken, and is as long, hold `content`. Until the last write it counts as taken.
fn filled(device: &dyn BlockDevice, name: &str, content: &[u8]) -> Result<()> {
    let fill = changes(device, |volume| {
        let mut file = volume.root_dir().open_file(name)?;
        file.write_all(content)?;
        file.flush()
    });
    let fill = fill.map_err(|e| Failure::new(ReasonCode::Io, format!("{name}: {e}")))?;
    let (mut most, mut last) = (fill.clone(), Changes::new());
    for (at, bytes) in &mut most {
        let mut there = [0; TAKEN.len()];
        device.read_at(*at, &mut there)?;
        if there == TAKEN {
            last.insert(*at, bytes.clone());
            bytes[..TAKEN.len()].copy_from_slice(TAKEN);
        }
    }
    write(device, most.iter())?;
    write(device, last.iter())
}

/// Where the tables of the clusters end, bytes: what is before it is no folder and no content.
fn table_end(device: &dyn BlockDevice) -> Result<u64> {
    let mut head = [0; 512];
    device.read_at(0, &mut head)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let long = short(36) | short(38) << 16;
    let table = if short(22) == 0 { long } else { short(22) };
    Ok(short(11) * (short(14) + u64::from(head[16]) * table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fake::{FakeDevice, Survivors};
    use crate::firstboot::volume::read_file;
    use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
    use std::io::Cursor;

    const NAME: &str = "provision.toml";

    /// A file system with a boot script and a large file in it.
    fn fat(kind: FatType, mib: usize) -> Vec<u8> {
        let mut bytes = vec![0; mib << 20];
        let options = FormatVolumeOptions::new().fat_type(kind);
        let small = kind != FatType::Fat12;
        let options = if small { options.bytes_per_cluster(512) } else { options };
        fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options).unwrap();
        let volume = FileSystem::new(Cursor::new(bytes.as_mut_slice()), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), kind);
        for (name, len) in [("boot.scr", 3000), ("start4.elf", 300_000)] {
            let mut file = volume.root_dir().create_file(name).unwrap();
            file.write_all(&vec![name.len().to_le_bytes()[0]; len]).unwrap();
        }
        volume.unmount().unwrap();
        bytes
    }

    fn others_stand(device: &FakeDevice) {
        for (name, len) in [("boot.scr", 3000), ("start4.elf", 300_000)] {
            let bytes = read_file(device, name, 1 << 20).unwrap().unwrap();
            assert_eq!(bytes, vec![name.len().to_le_bytes()[0]; len], "{name}");
        }
    }

    fn holds(device: &FakeDevice, part: &[u8]) -> bool {
        device.contents().windows(part.len()).any(|w| w == part)
    }

    #[test]
    fn a_file_is_made_replaced_and_removed_and_nothing_of_it_is_left() {
        for (kind, mib) in [(FatType::Fat12, 3), (FatType::Fat16, 4), (FatType::Fat32, 34)] {
            let device = FakeDevice::new(fat(kind, mib));
            let clean = device.contents();
            let long = [b"format = 1\n# secret-one ".as_slice(), &[b'x'; 5000]].concat();
            for content in [&long[..], b"format = 1\n", b"format = 1\nid = 'secret-two'\n"] {
                written_part(&device, NAME, Some(content)).unwrap();
                assert_eq!(read_file(&device, NAME, 1 << 16).unwrap().unwrap(), content);
                others_stand(&device);
            }
            assert!(!holds(&device, b"secret-one") && holds(&device, b"secret-two"));
            written_part(&device, NAME, None).unwrap();
            assert_eq!(read_file(&device, NAME, 1 << 16).unwrap(), None);
            assert!(!holds(&device, b"secret-two"));
            // Nothing is allocated that was free.
            let end = usize::try_from(table_end(&device).unwrap()).unwrap();
            let start = 512 * usize::from(u16::from_le_bytes([clean[14], clean[15]]));
            assert!(device.contents()[start..end] == clean[start..end], "{kind:?}");
            let counts = device.counts().writes;
            written_part(&device, NAME, None).unwrap();
            assert_eq!(device.counts().writes, counts, "there is nothing to write");
        }
    }

    #[test]
    fn a_cut_at_any_write_leaves_the_old_file_none_or_the_new_one() {
        let old = [b"format = 1\nid = 'old'\n#".as_slice(), &[b'o'; 1500]].concat();
        let new = [b"format = 1\nid = 'new'\n#".as_slice(), &[b'n'; 2500]].concat();
        for (kind, mib, seeds) in [(FatType::Fat16, 3, 0..3), (FatType::Fat32, 34, 1..2)] {
            for before in [None, Some(&old)] {
                let start = FakeDevice::new(fat(kind, mib));
                if let Some(before) = before {
                    written_part(&start, NAME, Some(before)).unwrap();
                }
                let start = start.contents();
                let whole = FakeDevice::new(start.clone());
                written_part(&whole, NAME, Some(&new)).unwrap();
                let writes = whole.counts().writes;
                assert!(writes >= 6, "{writes}");
                for (nth, seed) in
                    (1..=writes).flat_map(|n| seeds.clone().map(move |seed| (n, seed)))
                {
                    let device = FakeDevice::new(start.clone());
                    device.cut_at_write(nth, 512 * usize::from(seed != 0));
                    written_part(&device, NAME, Some(&new)).unwrap_err();
                    device.power_on(Survivors::Some(seed));
                    others_stand(&device);
                    // A chain that was let go reads as an error, or as nothing: never as a half.
                    if let Ok(Some(found)) = read_file(&device, NAME, 1 << 16) {
                        let taken = found.is_empty() || found.starts_with(b"# taken\n");
                        let kept = before.is_some_and(|old| found == *old);
                        assert!(taken || kept || found == new, "{kind:?} cut {nth}, {seed}");
                    }
                    written_part(&device, NAME, Some(&new)).unwrap();
                    assert_eq!(read_file(&device, NAME, 1 << 16).unwrap().unwrap(), new);
                    others_stand(&device);
                }
            }
        }
    }

    #[test]
    fn after_a_cut_at_any_write_the_secret_can_be_erased() {
        let secret = b"secret-nine";
        for (other, len) in [(None, 300), (Some(&b"format = 1\n"[..]), 300), (None, 1500)] {
            let text = [b"format = 1\nid = 'x'\n# ".as_slice(), &vec![b'x'; len], secret].concat();
            let start = FakeDevice::new(fat(FatType::Fat16, 3)).contents();
            let whole = FakeDevice::new(start.clone());
            written_part(&whole, NAME, Some(&text)).unwrap();
            let (writes, mut held) = (whole.counts().writes, false);
            for nth in 1..=writes {
                for survivors in [Survivors::Everything, Survivors::Some(nth), Survivors::Nothing] {
                    let device = FakeDevice::new(start.clone());
                    device.cut_at_write(nth, 512);
                    written_part(&device, NAME, Some(&text)).unwrap_err();
                    device.power_on(survivors);
                    held |= holds(&device, secret);
                    written_part(&device, NAME, other).unwrap();
                    assert!(!holds(&device, secret), "cut {nth} of {writes}, {survivors:?}");
                    others_stand(&device);
                }
            }
            assert!(held, "no cut left the secret on the medium: nothing was tried");
        }
    }

    #[test]
    fn a_full_file_system_is_told_and_keeps_what_it_has() {
        let device = FakeDevice::new(fat(FatType::Fat12, 1));
        let large = vec![1; 900_000];
        let failure = written_part(&device, NAME, Some(&large)).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::NoSpace, "{failure}");
        assert_eq!(device.counts().writes, 0);
        others_stand(&device);
        let zeros = FakeDevice::new(vec![0; 1 << 20]);
        assert!(read_file(&zeros, NAME, 10).is_err());
    }
}

//! A small FAT file system in memory, for the boot partition.

use super::dots;
use super::layout::{MIB, in_mib};
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

/// A FAT file system, and whether it is a FAT32.
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) fat32: bool,
}

/// A FAT file system of `len` bytes with these files, by paths in it. `TOO_BIG` where they do not fit.
pub(super) fn format(len: u64, serial: u32, files: &[(String, Vec<u8>)]) -> Result<Made> {
    let told = "making the boot partition";
    let room = usize::try_from(len).reason(ReasonCode::Internal, told)?;
    let mut bytes = vec![0; room];
    let options = fatfs::FormatVolumeOptions::new().volume_id(serial).volume_label(*b"BOOT       ");
    fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options)
        .reason(ReasonCode::Internal, told)?;
    let volume = fatfs::FileSystem::new(Cursor::new(bytes.as_mut_slice()), fatfs::FsOptions::new())
        .reason(ReasonCode::Internal, told)?;
    let fat32 = volume.fat_type() == fatfs::FatType::Fat32;
    let stats = volume.stats().reason(ReasonCode::Internal, told)?;
    let (unit, free) = (u64::from(stats.cluster_size()), u64::from(stats.free_clusters()));
    let clusters = |len: usize| (len as u64).div_ceil(unit);
    let needed: u64 = files.iter().map(|(_, bytes)| clusters(bytes.len())).sum();
    let lack = |lack: u64| {
        let text = format!("its files need {}: it lacks {}", in_mib(needed * unit), in_mib(lack));
        Failure::new(ReasonCode::TooBig, text)
    };
    if needed > free {
        return Err(lack((needed - free) * unit));
    }
    {
        let root = volume.root_dir();
        for (path, content) in files {
            let named = |e: std::io::Error| match e.kind() {
                // Folders take clusters too.
                std::io::ErrorKind::WriteZero => lack(MIB),
                _ => Failure::new(ReasonCode::NotAnImage, format!("the file {path}: {e}")),
            };
            for (at, _) in path.match_indices('/') {
                root.create_dir(&path[..at]).map_err(named)?;
            }
            let mut file = root.create_file(path).map_err(named)?;
            file.write_all(content).map_err(named)?;
        }
    }
    volume.unmount().reason(ReasonCode::Internal, told)?;
    // A FAT12 has no room for more than some files in its root.
    let folders = files.iter().any(|(path, _)| path.contains('/'));
    if folders && dots::mend(&mut bytes, fat32).is_none() {
        return Err(Failure::new(ReasonCode::Internal, format!("{told}: its folders")));
    }
    Ok(Made { bytes, fat32 })
}

/// One file of a FAT file system, or why there is none. It is one that this program's user made:
/// the library's answer to a hostile one is not to be relied on.
pub fn read(device: &dyn BlockDevice, path: &str) -> std::io::Result<Vec<u8>> {
    const LIMIT: u64 = 1 << 20;
    let reader = Reader { device, at: 0, from: 0, held: Vec::new() };
    let volume = fatfs::FileSystem::new(reader, fatfs::FsOptions::new())?;
    let mut out = Vec::new();
    let file = volume.root_dir().open_file(path.trim_start_matches('/'))?;
    file.take(LIMIT).read_to_end(&mut out)?;
    Ok(out)
}

/// All files of a FAT file system by their paths in it, sorted; at most 2 GiB of them. The same holds.
pub fn read_all(device: &dyn BlockDevice) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    const LIMIT: u64 = 2 << 30;
    let reader = Reader { device, at: 0, from: 0, held: Vec::new() };
    let volume = fatfs::FileSystem::new(reader, fatfs::FsOptions::new())?;
    let (mut waiting, mut files, mut left) = (vec![String::new()], Vec::new(), LIMIT);
    while let Some(folder) = waiting.pop() {
        let root = volume.root_dir();
        let here = if folder.is_empty() { root } else { root.open_dir(&folder)? };
        for entry in here.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.is_dir() {
                waiting.push(path);
                continue;
            }
            let too_long = || std::io::Error::other("its files are longer than 2 GiB");
            left = left.checked_sub(entry.len()).ok_or_else(too_long)?;
            let mut bytes = Vec::new();
            entry.to_file().take(entry.len()).read_to_end(&mut bytes)?;
            files.push((path, bytes));
        }
    }
    files.sort();
    Ok(files)
}

/// A device as a file, read in pieces: the boot partition is large and its script is small.
struct Reader<'a> {
    device: &'a dyn BlockDevice,
    at: u64,
    from: u64,
    held: Vec<u8>,
}

const PIECE: u64 = 64 << 10;

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let held = self.from..self.from + self.held.len() as u64;
        if !held.contains(&self.at) {
            self.from = self.at - self.at % PIECE;
            let len = PIECE.min(self.device.len().saturating_sub(self.from));
            self.held = vec![0; usize::try_from(len).unwrap_or(0)];
            let read = self.device.read_at(self.from, &mut self.held);
            read.map_err(|f| std::io::Error::other(f.to_string()))?;
        }
        let skip = usize::try_from(self.at - self.from).unwrap_or(usize::MAX);
        let there = self.held.get(skip..).unwrap_or_default();
        let len = there.len().min(buf.len());
        buf[..len].copy_from_slice(&there[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let end = self.device.len();
        let found = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => end.checked_add_signed(by),
        };
        let outside = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "outside");
        self.at = found.filter(|at| *at <= end).ok_or_else(outside)?;
        Ok(self.at)
    }
}

/// The library asks for it; nothing is written.
impl Write for Reader<'_> {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("this file system is only read"))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::fake::FakeDevice;

    #[test]
    fn what_is_written_reads_back() {
        let long = vec![7; 200_000];
        let files = [
            ("boot.scr".to_owned(), b"hello".to_vec()),
            ("overlays/deep/A long name.dtbo".to_owned(), long.clone()),
            ("overlays/README".to_owned(), b"x".to_vec()),
        ];
        let disk = |bytes: &[u8]| FakeDevice::new(bytes.to_vec());
        let image = super::format(32 << 20, 7, &files).unwrap();
        assert!(!image.fat32 && super::format(32 << 20, 7, &files).unwrap().bytes == image.bytes);
        let made = disk(&image.bytes);
        assert_eq!(super::read(&made, "boot.scr").unwrap(), b"hello");
        assert_eq!(super::read(&made, "/overlays/deep/A long name.dtbo").unwrap(), long);
        assert!(super::read(&made, "other").is_err());
        assert!(super::read(&disk(&vec![0; 1 << 20]), "boot.scr").is_err());
    }
    #[test]
    fn fsck_is_content_with_folders_of_every_depth_and_length_in_both_kinds() {
        let dir = tempfile::tempdir().unwrap();
        let many =
            (0..300).map(|n| (format!("overlays/a long name of a file {n}.dtbo"), vec![7; 10]));
        let deep = ("a/b/c/d/e".to_owned(), vec![1; 5000]);
        let files: Vec<_> = many.chain([deep, ("config.txt".to_owned(), vec![2; 3])]).collect();
        for len in [20, 64, 600] {
            let made = super::format(len << 20, 7, &files).unwrap();
            assert_eq!(made.fat32, len == 600);
            let path = dir.path().join("boot");
            std::fs::write(&path, &made.bytes).unwrap();
            let done =
                std::process::Command::new("fsck.fat").arg("-n").arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success() && said.contains("308 files"), "{len}: {said}");
            let device = FakeDevice::new(made.bytes);
            assert_eq!(super::read(&device, "a/b/c/d/e").unwrap().len(), 5000);
        }
    }

    #[test]
    fn a_lack_of_room_is_told_in_mib_and_a_bad_name_by_its_path() {
        let why = |name: &str, len: usize| {
            let made = super::format(4 << 20, 7, &[(name.to_owned(), vec![0; len])]);
            made.err().unwrap().detail().to_owned()
        };
        assert!(why("kernel", 5 << 20).contains("lacks 1."), "{}", why("kernel", 5 << 20));
        assert!(why("a:b", 1).contains("the file a:b"));
    }
}

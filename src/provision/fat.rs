//! A small FAT file system in memory, for the boot partition.

use crate::disk::BlockDevice;
use crate::model::{ReasonCode, Result, WithReason};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

/// A FAT file system of `len` bytes with these files in its root.
pub(super) fn format(len: u64, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let told = "making the boot partition";
    let len = usize::try_from(len).reason(ReasonCode::Internal, told)?;
    let mut bytes = vec![0; len];
    // A fixed serial number: the same input makes the same image.
    let options =
        fatfs::FormatVolumeOptions::new().volume_id(0x5355_5246).volume_label(*b"BOOT       ");
    fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options)
        .reason(ReasonCode::Internal, told)?;
    let volume = fatfs::FileSystem::new(Cursor::new(bytes.as_mut_slice()), fatfs::FsOptions::new())
        .reason(ReasonCode::Internal, told)?;
    for (name, content) in files {
        let mut file = volume.root_dir().create_file(name).reason(ReasonCode::Internal, told)?;
        file.write_all(content).reason(ReasonCode::NoSpace, told)?;
    }
    volume.unmount().reason(ReasonCode::Internal, told)?;
    Ok(bytes)
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
        let files: [(&str, &[u8]); 2] = [("boot.scr", b"hello"), ("long", &long)];
        let disk = |bytes: &[u8]| FakeDevice::new(bytes.to_vec());
        let made = disk(&super::format(32 << 20, &files).unwrap());
        assert_eq!(super::read(&made, "boot.scr").unwrap(), b"hello");
        assert_eq!(super::read(&made, "/long").unwrap(), long);
        assert!(super::read(&made, "other").is_err());
        assert!(super::read(&disk(&vec![0; 1 << 20]), "boot.scr").is_err());
    }
}

//! A small FAT file system in memory, for the boot partition.

use crate::model::{ReasonCode, Result, WithReason};
use std::io::{Cursor, Read, Write};

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

/// One file of a FAT file system, or why there is none. `bytes` is a file system that this
/// program's user made: the library's answer to a hostile one is not to be relied on.
pub fn read(bytes: Vec<u8>, path: &str) -> std::io::Result<Vec<u8>> {
    const LIMIT: u64 = 1 << 20;
    let volume = fatfs::FileSystem::new(Cursor::new(bytes), fatfs::FsOptions::new())?;
    let mut out = Vec::new();
    let file = volume.root_dir().open_file(path.trim_start_matches('/'))?;
    file.take(LIMIT).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_written_reads_back() {
        let bytes = super::format(32 << 20, &[("boot.scr", b"hello")]).unwrap();
        assert_eq!(super::read(bytes.clone(), "boot.scr").unwrap(), b"hello");
        assert_eq!(super::read(bytes.clone(), "/boot.scr").unwrap(), b"hello");
        assert!(super::read(bytes, "other").is_err());
        assert!(super::read(vec![0; 1 << 20], "boot.scr").is_err());
    }
}

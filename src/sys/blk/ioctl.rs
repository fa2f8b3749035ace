//! The requests of block devices and file locks: numbers of `linux/fs.h`.
#![allow(unsafe_code)]

use super::number::as_off;
use crate::sys::aligned::ALIGNMENT;
use crate::sys::power::{self, Deed};
use nix::libc;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::path::Path;

// With these an offset has 64 bits; those without the number in their names have 32 on armv7, which is 2 GiB.
#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
use libc::{fallocate, lseek, posix_fadvise};
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
use libc::{fallocate64 as fallocate, lseek64 as lseek, posix_fadvise64 as posix_fadvise};

/// The bare requests; the macro makes them public and writes no documentation.
mod raw {
    #![allow(missing_docs, unreachable_pub)]
    /// `struct blkpg_partition` of linux/blkpg.h.
    #[repr(C)]
    pub struct BlkpgPartition {
        pub start: nix::libc::c_longlong,
        pub length: nix::libc::c_longlong,
        pub number: nix::libc::c_int,
        pub names: [u8; 128],
    }

    /// `struct blkpg_ioctl_arg`.
    #[repr(C)]
    pub struct Blkpg {
        pub op: nix::libc::c_int,
        pub flags: nix::libc::c_int,
        pub length: nix::libc::c_int,
        pub data: *const BlkpgPartition,
    }

    nix::ioctl_read_bad!(
        blkgetsize64,
        nix::request_code_read!(0x12, 114, std::mem::size_of::<usize>()),
        u64
    );
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), nix::libc::c_int);
    nix::ioctl_none_bad!(blkrrpart, nix::request_code_none!(0x12, 95));
    nix::ioctl_write_ptr_bad!(blkzeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_write_ptr_bad!(blkpg, nix::request_code_none!(0x12, 105), Blkpg);
    nix::ioctl_write_ptr!(ext4_resize_fs, b'f', 16, u64);
    nix::ioctl_write_int_bad!(
        ficlone,
        nix::request_code_write!(0x94, 9, std::mem::size_of::<nix::libc::c_int>())
    );
}

const BLKPG_RESIZE_PARTITION: libc::c_int = 3;

/// Tells the kernel that a partition of an open disk, which may be mounted, has another length. Bytes.
pub fn resize_partition(disk: &File, number: u32, start: u64, len: u64) -> Result<()> {
    let number = libc::c_int::try_from(number).map_err(Error::other)?;
    let (start, length) = (as_off(start)?, as_off(len)?);
    let partition = raw::BlkpgPartition { start, length, number, names: [0; 128] };
    let length = libc::c_int::try_from(std::mem::size_of::<raw::BlkpgPartition>());
    let length = length.map_err(Error::other)?;
    let asked = raw::Blkpg { op: BLKPG_RESIZE_PARTITION, flags: 0, length, data: &partition };
    // SAFETY: the descriptor is open, and `asked` points to a partition that outlives the call; the kernel reads both.
    unsafe { raw::blkpg(disk.as_raw_fd(), &asked) }?;
    Ok(())
}

/// Makes the mounted ext4 that `folder` lies on `blocks` of its blocks long; the same length again is no
/// error. The kernel does it through its journal: after a cut the file system is whole and has some length
/// between the old and the new one.
pub fn resize_ext4(folder: &Path, blocks: u64) -> Result<()> {
    let folder = crate::sys::files::folder(folder)?;
    // SAFETY: the descriptor is open, and the request reads the u64 that it is given.
    power::acting(Deed::Memory, || unsafe { raw::ext4_resize_fs(folder.as_raw_fd(), &blocks) })?;
    Ok(())
}

/// Gives an empty file the content of another without copying it, where the file system of both can (`FICLONE`).
pub fn share(from: &File, to: &File) -> Result<()> {
    // SAFETY: both descriptors are open, and the request takes the second one by value.
    unsafe { raw::ficlone(to.as_raw_fd(), from.as_raw_fd()) }?;
    Ok(())
}

/// The length of a block device and its logical block size, both in bytes.
pub(super) fn device_geometry(file: &File) -> Result<(u64, usize)> {
    let mut len = 0u64;
    let mut block: libc::c_int = 0;
    // SAFETY: the descriptor is open and each request writes exactly the value it is given.
    unsafe {
        raw::blkgetsize64(file.as_raw_fd(), &mut len)?;
        raw::blksszget(file.as_raw_fd(), &mut block)?;
    }
    match usize::try_from(block) {
        Ok(b) if b.is_power_of_two() && (512..=ALIGNMENT).contains(&b) => Ok((len, b)),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("logical blocks of {block} bytes are not supported"),
        )),
    }
}

/// Has the kernel read the partition table again.
pub(super) fn reread_partitions(file: &File) -> Result<()> {
    // SAFETY: the descriptor is open, and the request takes no value.
    unsafe { raw::blkrrpart(file.as_raw_fd()) }?;
    Ok(())
}

/// Zeroes whole blocks of a device; the kernel chooses a way that surely reads back as zeros.
pub(super) fn zero_blocks(file: &File, offset: u64, len: u64) -> Result<()> {
    let range = [offset, len];
    // SAFETY: the descriptor is open and `range` is the two u64 the request reads.
    unsafe { raw::blkzeroout(file.as_raw_fd(), &range) }?;
    Ok(())
}

/// The next offset at or after `from` where `whence` (SEEK_DATA, SEEK_HOLE) finds something;
/// `None` if there is nothing of that kind up to the end.
pub(super) fn seek(file: &File, from: u64, whence: libc::c_int) -> Result<Option<u64>> {
    // SAFETY: the descriptor is open; the file position it moves is used by nobody, as every
    // transfer names its own offset.
    let at = unsafe { lseek(file.as_raw_fd(), as_off(from)?, whence) };
    match u64::try_from(at) {
        Ok(at) => Ok(Some(at)),
        Err(_) => match Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            // A file system without the request: everything counts as data.
            e if e.raw_os_error() == Some(libc::EINVAL) && whence == libc::SEEK_DATA => {
                Ok(Some(from))
            }
            e if e.raw_os_error() == Some(libc::EINVAL) => Ok(None),
            e => Err(e),
        },
    }
}

/// Changes what a range of a file holds: `how` is one of FALLOC_FL_*.
pub(super) fn change_range(file: &File, how: libc::c_int, offset: u64, len: u64) -> Result<()> {
    // SAFETY: the descriptor is open for the length of the call.
    match unsafe { fallocate(file.as_raw_fd(), how, as_off(offset)?, as_off(len)?) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Tells the kernel that the pages of a range are not needed any more.
pub(super) fn forget(file: &File, offset: u64, len: u64) -> Result<()> {
    let advice = libc::POSIX_FADV_DONTNEED;
    // SAFETY: the descriptor is open for the length of the call.
    match unsafe { posix_fadvise(file.as_raw_fd(), as_off(offset)?, as_off(len)?, advice) } {
        0 => Ok(()),
        errno => Err(Error::from_raw_os_error(errno)),
    }
}

/// Takes the exclusive lock of an open file without waiting; `false` if another holds it. The
/// lock ends with [`unlock`], or when the last process that has this open file has closed it: one that
/// is being started has it until its program runs.
pub fn try_lock(file: &File) -> Result<bool> {
    // SAFETY: the descriptor is open for the length of the call.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match Error::last_os_error() {
        e if e.kind() == ErrorKind::WouldBlock => Ok(false),
        e => Err(e),
    }
}

/// Gives back what [`try_lock`] has taken, also where another process has the same open file.
pub fn unlock(file: &File) {
    // SAFETY: the descriptor is open for the length of the call. It only fails for what is no
    // descriptor.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

//! Extended attributes: access lists, labels, capabilities (xattr(7)).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Result;
use std::os::fd::AsRawFd;

/// What the kernel gives at most: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const MOST: usize = 64 << 10;

/// Copies them all from one open file or folder to another. Where a file system knows none there is nothing to copy.
pub fn copy(from: &File, to: &File) -> Result<()> {
    let mut names = vec![0u8; MOST];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let len = unsafe { libc::flistxattr(from.as_raw_fd(), names.as_mut_ptr().cast(), MOST) };
    let len = match Errno::result(len) {
        Err(Errno::EOPNOTSUPP) => return Ok(()),
        len => usize::try_from(len?).unwrap_or(0),
    };
    let names = names.get(..len).unwrap_or_default().split_inclusive(|b| *b == 0);
    for name in names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        one(from, to, &name.to_owned())?;
    }
    Ok(())
}

fn one(from: &File, to: &File, name: &CString) -> Result<()> {
    let mut value = vec![0u8; MOST];
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: a name that ends with a zero, and a buffer of the length that is told.
    let len = unsafe { libc::fgetxattr(from, name.as_ptr(), value.as_mut_ptr().cast(), MOST) };
    let len = usize::try_from(Errno::result(len)?).unwrap_or(0);
    // SAFETY: as above; the kernel only reads.
    let set = unsafe { libc::fsetxattr(to, name.as_ptr(), value.as_ptr().cast(), len, 0) };
    match Errno::result(set) {
        // A label of another kind of file system.
        Err(Errno::EOPNOTSUPP) => Ok(()),
        set => Ok(set.map(drop)?),
    }
}

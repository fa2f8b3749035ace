//! What is shown at another place: a file or folder of the data partition at its place in `/etc`. Needs
//! `CAP_SYS_ADMIN`, in the mount namespace of the whole system.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::io::Result;
use std::path::Path;

/// Shows a file or folder at the place of another one that exists.
pub fn bind(from: &Path, to: &Path) -> Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// Takes away what was mounted there last. Programs that have it open keep it.
pub fn unmount(from: &Path) -> Result<()> {
    Ok(umount2(from, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?)
}

/// What a layer of ours is called among the mounts.
pub const LAYER: &str = "surefoot";

/// Shows what is in `upper` beside what is in `folder`, read-only, in place of `folder`: an overlay of two layers without one that can be
/// written. Neither path may have a colon, a comma or a backslash.
pub fn layer(upper: &Path, folder: &Path) -> Result<()> {
    let options = format!("lowerdir={}:{}", upper.display(), folder.display());
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    Ok(mount(Some(LAYER), folder, Some("overlay"), flags, Some(options.as_str()))?)
}

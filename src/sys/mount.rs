//! What is shown at another place: a file or folder of the data partition at its place in `/etc`. Needs
//! `CAP_SYS_ADMIN`, in the mount namespace of the whole system.

use nix::mount::{MsFlags, mount};
use std::io::Result;
use std::path::Path;

/// Shows a file or folder at the place of another one that exists.
pub fn bind(from: &Path, to: &Path) -> Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// Shows what is in `upper` beside what is in `folder`, read-only, in place of `folder`: an overlay of two layers without one that can be
/// written. Neither path may have a colon, a comma or a backslash.
pub fn layer(upper: &Path, folder: &Path) -> Result<()> {
    let options = format!("lowerdir={}:{}", upper.display(), folder.display());
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    Ok(mount(Some("surefoot"), folder, Some("overlay"), flags, Some(options.as_str()))?)
}

//! The words typed.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot-forge flash disk.img /dev/sdb\n  \
    surefoot-forge flash disk.img.zst /dev/sdb --yes --json\n  \
    surefoot-forge flash disk.img /dev/nvme1n1 --yes-really nvme1n1\n\n\
    Everything on the disk is lost. The disk that this computer runs from is\n\
    refused, and one that is mounted, swapped to or held by another device.\n\
    The first MiB is written last: a disk that was pulled out before does not boot.")]
pub(in crate::forge) struct Words {
    /// The disk image; in .gz, .xz or .zst it is expanded while it is written. The checksums of a
    /// bmap beside it (disk.img.bmap or disk.bmap) are compared
    #[arg(value_name = "disk.img")]
    pub(super) image: PathBuf,
    /// The whole disk to write to, or a file as long as one
    #[arg(value_name = "/dev/sdX")]
    pub(super) target: PathBuf,
    /// Do not ask before a disk that can be taken out, or a file that holds something, is erased
    #[arg(long)]
    pub(super) yes: bool,
    /// Erase this disk though it cannot be taken out of the computer: its name, as in nvme1n1
    #[arg(long, value_name = "NAME")]
    pub(super) yes_really: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub(in crate::forge) json: bool,
}

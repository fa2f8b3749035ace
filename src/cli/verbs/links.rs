//! `surefoot links`: for udev, or for an init script where there is none.

use crate::cli::context::Context;
use crate::cli::end::{End, Printed};
use crate::firstboot;
use crate::model::Class;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Name the disk that the running root is on, and its partitions, by links in /dev
#[derive(Debug, Args)]
#[command(after_help = concat!("\
Makes ", env!("SUREFOOT_PATH_LINKS"), "/disk, boot, rootfs-a, rootfs-b, data, boot-a and boot-b, as
far as they are there: links to the disk that the running root filesystem is on
and to no other. With udev its rule does this, by `--of`."))]
pub(in crate::cli) struct Links {
    /// Make nothing; print the link to this block device, below /dev. Exit status 3 if it has none
    #[arg(long, value_name = "DEVICE")]
    of: Option<PathBuf>,
}

impl Links {
    /// No configuration is read: udev asks for every block device, and before there is one.
    pub(super) fn run(self, _: &Context) -> Printed {
        let mut out = String::new();
        if let Some(node) = self.of {
            let name = firstboot::name_of(&node);
            let none = || End::Passed(String::new(), Class::Nothing.exit_status());
            return name.map(|name| name + "\n").ok_or_else(none);
        }
        for (path, node) in firstboot::link(Path::new("/dev"))? {
            let _ = writeln!(out, "{} -> {}", path.display(), node.display());
        }
        Ok(out)
    }
}

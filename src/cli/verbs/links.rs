//! `surefoot links`: for udev, or for an init script where there is none.

use crate::cli::context::Context;
use crate::cli::end::{End, Printed};
use crate::cli::json::{self, Json};
use crate::firstboot;
use crate::model::Class;
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Name the disk that the running root is on, and its partitions, by links in /dev
#[derive(Debug, Args)]
#[command(after_help = concat!("\
Examples:
  surefoot links
  surefoot links --of /dev/mmcblk0p2

Makes ", env!("SUREFOOT_PATH_LINKS"), "/disk, boot, rootfs-a, rootfs-b, data, boot-a and boot-b, as
far as they are there: links to the disk that the running root filesystem is on
and to no other. With udev its rule does this, by `--of`."))]
pub(in crate::cli) struct Links {
    /// Make nothing; print the link to this block device, below /dev. Exit status 3 if it has none
    #[arg(long, value_name = "DEVICE")]
    of: Option<PathBuf>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Links {
    /// No configuration is read: udev asks for every block device, and before there is one.
    pub(super) fn run(self, _: &Context) -> Printed {
        let json = self.json.json;
        if let Some(node) = self.of {
            return match firstboot::name_of(&node) {
                Some(name) if !json => Ok(name + "\n"),
                Some(name) => Ok(json::text(&serde_json::json!({ "v": 1, "link": name }))),
                None if !json => Err(none(String::new())),
                None => Err(none(json::text(&serde_json::json!({ "v": 1, "link": null })))),
            };
        }
        let made = firstboot::link(Path::new("/dev"))?;
        if json {
            let links: BTreeMap<_, _> = made.into_iter().collect();
            return Ok(json::text(&serde_json::json!({ "v": 1, "links": links })));
        }
        let mut out = String::new();
        for (path, node) in made {
            let _ = writeln!(out, "{} -> {}", path.display(), node.display());
        }
        Ok(out)
    }
}

fn none(printed: String) -> End {
    End::Passed(printed, Class::Nothing.exit_status())
}

//! The root filesystem of slot a: the updater, its units, and for which processor they are.

use super::judge::Judge;
use super::table::{is_root_a, opened};
use crate::disk::{BlockDevice, Disk, PartitionTable};
use crate::inspect::{Diagnosis, System, units_wired};
use crate::model::{Failure, ReasonCode, paths};
use crate::rootfs::Root;
use crate::slot::{FILESYSTEM_HEAD, filesystem};
use crate::sys::files;
use std::path::Path;

/// Where init systems begin.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// The unit of the daemon.
const DAEMON: &str = "surefoot.service";

/// The root filesystem in slot a.
pub(super) fn root(
    path: &Path,
    disk: &Disk,
    table: &PartitionTable,
    out: &mut Diagnosis,
) -> Option<Root> {
    let partition = table.partitions.iter().find(|p| is_root_a(p))?;
    let failure = match opened(path, partition).and_then(|root| root.exists("/").map(|_| root)) {
        Ok(root) => return Some(root),
        Err(failure) => failure,
    };
    let mut head = vec![0; FILESYSTEM_HEAD];
    let read = disk.read_partition(partition).and_then(|part| part.read_at(0, &mut head));
    let text = format!("its root filesystem cannot be read: {}", failure.detail());
    match (read, filesystem(&head)) {
        // One that only the kernel reads: what starts it is looked at, and not what is in it.
        (Ok(()), None) => {
            let remedy = "Nothing to do where the kernel of this board reads it: what is in it is not looked at.";
            out.warn("slot a", text, remedy.to_owned());
        }
        _ => {
            let failure = Failure::new(ReasonCode::NotBootable, text);
            let next = "Build the image from a root filesystem in ext4, squashfs or erofs.";
            out.block("slot a", &failure.with_next(next));
        }
    }
    None
}

/// The processor that an ELF program is for: its class and `e_machine` (System V ABI).
fn machine(head: &[u8]) -> Option<(u8, u16)> {
    let two: [u8; 2] = *head.get(18..20)?.first_chunk()?;
    let number = if head[5] == 2 { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) };
    head.starts_with(b"\x7fELF").then_some((head[4], number))
}

/// Where the kernel looks for the first program, and initramfs-tools after it; /bin/sh comes last, and is no system.
const FIRST: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/init"];

/// Whether there is a first program. Where something else may start one that cannot be seen here, it is a warning.
pub(super) fn starts(
    root: &Root,
    boot_part: bool,
    variable: &dyn Fn(&str) -> Option<String>,
    out: &mut Diagnosis,
) {
    const TOPIC: &str = "init";
    let said = |name: &str| variable(name).filter(|value| !value.is_empty());
    let args = said("surefoot_args").unwrap_or_default();
    let named = args.split_whitespace().filter_map(|word| word.strip_prefix("init=")).next_back();
    let there = |path: &str| root.exists(path).unwrap_or(true);
    let text = match named {
        Some(path) if there(path) => return,
        Some(path) => format!("`surefoot_args` says init={path}, and the root has no such file"),
        None if FIRST.iter().any(|path| there(path)) => return,
        None => "the root has no /sbin/init: the kernel would find nothing to start".to_owned(),
    };
    let perhaps = [
        (said("surefoot_initrd").is_some() || there("/boot/initrd.img"), "the initramfs"),
        (said("surefoot_go").is_some(), "`surefoot_go`"),
        (boot_part, "the boot part of the slot"),
    ];
    let remedy = "Put the init system into the root: /sbin/init.";
    match perhaps.iter().find(|(there, _)| *there) {
        Some((_, what)) => {
            let text = format!("{text}, unless {what} knows another program");
            out.warn(TOPIC, text, remedy.to_owned());
        }
        None => {
            let failure = Failure::new(ReasonCode::NotBootable, text);
            out.block(TOPIC, &failure.with_next(remedy));
        }
    }
}

pub(super) fn look(root: &Root, judge: &Judge, out: &mut Diagnosis) {
    let head = |path: &str| root.read_head(path, 64).ok().flatten();
    let init =
        ["/sbin/init", "/usr/sbin/init", "/bin/busybox", "/bin/sh"].iter().find_map(|p| head(p));
    match head(paths::BIN) {
        None => {
            let text =
                format!("the root has no updater ({}): the device cannot be updated", paths::BIN);
            judge.lack("updater", text, "Install Surefoot into the root.".to_owned(), out);
        }
        Some(program) => match (machine(&program), init.as_deref().and_then(machine)) {
            (Some(own), Some(init)) if own != init => {
                let text = format!(
                    "{} is built for another processor than /sbin/init (ELF machine {} and {})",
                    paths::BIN,
                    own.1,
                    init.1
                );
                let failure = Failure::new(ReasonCode::NoUpdater, text);
                let next = "Install the program that is built for this board.";
                out.block("updater", &failure.with_next(next));
            }
            (None, _) => {
                let text = format!("{} is no program for a processor (ELF)", paths::BIN);
                judge.lack("updater", text, "Install Surefoot into the root.".to_owned(), out);
            }
            _ => out.good("updater", format!("{} is there, for this processor", paths::BIN)),
        },
    }
    units(root, judge, out);
}

fn units(root: &Root, judge: &Judge, out: &mut Diagnosis) {
    let text = |path: &str| root.read_text(path, files::SMALL).ok().flatten();
    let names = |folder: &str| root.list(folder).unwrap_or_default();
    if SYSTEMD.iter().any(|path| root.exists(path).unwrap_or(false)) {
        let system = System { text: &text, names: &names };
        if judge.production && !system.has_unit(DAEMON) {
            let text = format!("{DAEMON} is not installed: nothing starts the updater");
            let remedy = "Install Surefoot's units into the root: `systemd/install DESTDIR`.";
            return judge.lack("systemd", text, remedy.to_owned(), out);
        }
        return units_wired(&system, out);
    }
    let script = names("/etc/init.d").into_iter().find(|name| name.contains("surefoot"));
    match script {
        Some(name) => out.good("init", format!("/etc/init.d/{name} starts the daemon")),
        None => judge.lack(
            "init",
            "neither systemd nor a script in /etc/init.d starts the daemon".to_owned(),
            "See docs/integrator.md for what the init system must start, and run before a reboot."
                .to_owned(),
            out,
        ),
    }
}

//! Two disks that were written from one image carry the same identifiers. The kernel then takes the
//! first that it finds for `root=PARTUUID=…`, and U-Boot may have started from the other: the updater
//! would write an environment that U-Boot never reads.
//!
//! What may be believed then is what names a device and no identifier: the boot script's
//! `surefoot.disk=TYPE:NUMBER`, or a `root=` that is a node.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::open_foreign;
use crate::sys::mounts::{self, DeviceNumber};
use std::os::unix::fs::FileExt;

/// So much of a disk holds its identifiers, whatever its sectors are.
const HEAD: usize = 8192;

/// The identifiers of a disk, as they stand in its first bytes: the GUID of a GPT, else the signature of
/// an MBR. `None` where there is neither.
fn identifier(head: &[u8]) -> Option<Vec<u8>> {
    for sector in [512, 4096] {
        if head.get(sector..sector + 8) == Some(b"EFI PART") {
            return head.get(sector + 56..sector + 72).map(<[u8]>::to_vec);
        }
    }
    let signature = head.get(440..444).filter(|s| **s != [0; 4])?;
    (head.get(510..512) == Some(&[0x55, 0xaa])).then(|| signature.to_vec())
}

/// The kernel's name of a disk that U-Boot calls `TYPE:NUMBER`; `None` where the two do not count alike.
fn kernel_name(word: &str) -> Option<String> {
    let (kind, number) = word.split_once(':')?;
    let number: u8 = number.parse().ok()?;
    match kind {
        "mmc" => Some(format!("mmcblk{number}")),
        "nvme" => Some(format!("nvme{number}n1")),
        "virtio" if number < 26 => Some(format!("vd{}", char::from(b'a' + number))),
        _ => None,
    }
}

/// Whether the disk that runs is the one that the boot script names, as far as the kernel's command line tells.
fn is_named(command_line: &str, own: &str) -> bool {
    let value = |key: &str| {
        let words = command_line.split_ascii_whitespace().rev();
        words.filter_map(|word| word.strip_prefix(key)).next()
    };
    if let Some(name) = value("surefoot.disk=").and_then(kernel_name) {
        return name == own;
    }
    // `mmcblk1p2` of `mmcblk1`, `vda2` of `vda`.
    let part = value("root=/dev/").and_then(|node| node.strip_prefix(own));
    let number = part.map(|rest| rest.strip_prefix('p').unwrap_or(rest));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `mmcblk0`.
fn name(disk: DeviceNumber) -> String {
    let node = mounts::node_of(disk).unwrap_or_default();
    node.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Refuses a disk that is not known to be U-Boot's, where another one of this machine carries its identifiers:
/// `DISK_TWIN`. Reads the first bytes of every disk, through the page cache.
pub(crate) fn refuse_twin(disk: DeviceNumber, command_line: &str) -> Result<()> {
    let head = |disk: DeviceNumber| {
        let file = open_foreign(&mounts::node_of(disk)?, false).ok()?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).ok()?;
        identifier(&head)
    };
    let Some(own) = head(disk) else { return Ok(()) };
    let mut others = mounts::disks().into_iter().filter(|other| *other != disk);
    let Some(twin) = others.find(|other| head(*other).as_ref() == Some(&own)) else {
        return Ok(());
    };
    let [ours, its] = [disk, twin].map(name);
    if is_named(command_line, &ours) {
        return Ok(());
    }
    let why = format!(
        "`/` lies on {ours}, and {its} carries the same identifiers; the boot script does not say that U-Boot has started from {ours}"
    );
    Err(Failure::new(ReasonCode::DiskTwin, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_of_the_table() {
        let mut head = vec![0; HEAD];
        assert_eq!(identifier(&head), None);
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(identifier(&head), None, "a signature of zeros is none");
        head[440..444].copy_from_slice(b"sign");
        assert_eq!(identifier(&head).unwrap(), b"sign");
        for sector in [4096, 512] {
            head[sector..sector + 8].copy_from_slice(b"EFI PART");
            head[sector + 56..sector + 72].copy_from_slice(&[sector.to_le_bytes()[1]; 16]);
            assert_eq!(identifier(&head).unwrap(), [sector.to_le_bytes()[1]; 16]);
        }
        assert_eq!(identifier(&head[..100]), None);
    }

    #[test]
    fn only_what_names_a_device_tells_two_alike_apart() {
        for (line, own, known) in [
            ("root=PARTUUID=ab-02 surefoot.slot=a", "mmcblk0", false),
            ("root=/dev/mmcblk0p2", "mmcblk0", true),
            ("root=/dev/mmcblk1p2", "mmcblk0", false),
            ("root=/dev/mmcblk10p2", "mmcblk1", false),
            ("root=/dev/vda2", "vda", true),
            ("root=/dev/vdaa2", "vda", false),
            ("root=/dev/vda", "vda", false),
            ("root=/dev/mmcblk0p2 surefoot.disk=mmc:1", "mmcblk0", false),
            ("root=PARTUUID=ab surefoot.disk=mmc:1", "mmcblk1", true),
            ("root=PARTUUID=ab surefoot.disk=nvme:0", "nvme0n1", true),
            ("root=PARTUUID=ab surefoot.disk=virtio:1", "vdb", true),
            // U-Boot counts them in its own way: only a node tells.
            ("root=PARTUUID=ab surefoot.disk=usb:0", "sda", false),
            ("root=/dev/sda2 surefoot.disk=usb:0", "sda", true),
            ("surefoot.disk=mmc:x", "mmcblk0", false),
        ] {
            assert_eq!(is_named(line, own), known, "{line}: {own}");
        }
    }
}

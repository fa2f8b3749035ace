//! Two disks that were written from one image carry the same identifiers. The kernel then takes the
//! first that it finds for `root=PARTUUID=…`, and U-Boot may have started from the other: the updater
//! would write an environment that U-Boot never reads.
//!
//! What may be believed then is what names a device and no identifier: the boot script's
//! `surefoot.disk=TYPE:NUMBER`, or a `root=` that is a node.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::open_foreign;
use crate::sys::files;
use crate::sys::mounts::{self, DeviceNumber};
use std::os::unix::fs::FileExt;
use std::path::Path;

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

/// Whether the disk that runs, `own`, is the one that the boot script names. U-Boot and the kernel give a card the same number only where
/// the device tree names it, so the number of `mmc:N` counts only for the card that the alias `mmcN` leads to, which `alias` tells of
/// `own`. Other disks the two count in their own ways, and only a node names them.
fn is_named(command_line: &str, own: &str, alias: Option<&str>) -> bool {
    let value = |key: &str| {
        let words = command_line.split_ascii_whitespace().rev();
        words.filter_map(|word| word.strip_prefix(key)).next()
    };
    if let Some(number) = value("surefoot.disk=mmc:") {
        return own.strip_prefix("mmcblk") == Some(number) && alias == Some(number);
    }
    // `mmcblk1p2` of `mmcblk1`, `vda2` of `vda`.
    let part = value("root=/dev/").and_then(|node| node.strip_prefix(own));
    let number = part.map(|rest| rest.strip_prefix('p').unwrap_or(rest));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The number that the running device tree gives a card: the N of the alias `mmcN` that leads to its host.
fn alias(own: &str) -> Option<String> {
    let number = own.strip_prefix("mmcblk")?;
    let tree = Path::new("/sys/firmware/devicetree/base");
    let path = files::kernel_text(tree.join(format!("aliases/mmc{number}"))).ok()?;
    let named = tree.join(path.trim_end_matches('\0').trim_start_matches('/'));
    // The card, its slot, the host.
    let host = std::fs::canonicalize(format!("/sys/block/{own}/device")).ok()?;
    let mut nodes = host.ancestors().filter_map(|f| std::fs::canonicalize(f.join("of_node")).ok());
    let named = std::fs::canonicalize(named).ok()?;
    nodes.any(|node| node == named).then(|| number.to_owned())
}

/// `mmcblk0`.
fn name(disk: DeviceNumber) -> String {
    let node = mounts::node_of(disk).unwrap_or_default();
    node.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The identifiers of a disk of `len` bytes; from the backup in its last sector where its first bytes are damaged.
fn in_first_or_last(len: u64, read: impl Fn(u64, &mut [u8]) -> Option<()>) -> Option<Vec<u8>> {
    let mut head = [0; HEAD];
    read(0, &mut head)?;
    let last = |sector: u64| {
        let mut head = [0; HEAD];
        let (at, to) = (len.checked_sub(sector)?, usize::try_from(sector).ok()?);
        // As if it were the first one after the boot record.
        read(at, &mut head[to..2 * to])?;
        identifier(&head)
    };
    identifier(&head).or_else(|| last(512)).or_else(|| last(4096))
}

/// Refuses a disk that is not known to be U-Boot's, where another one of this machine carries its identifiers:
/// `DISK_TWIN`. Reads the first bytes of every disk, through the page cache.
pub(crate) fn refuse_twin(disk: DeviceNumber, command_line: &str) -> Result<()> {
    let head = |disk: DeviceNumber| {
        let file = open_foreign(&mounts::node_of(disk)?, false).ok()?;
        let len = mounts::len_of(disk).unwrap_or(0);
        in_first_or_last(len, |at, bytes| file.read_exact_at(bytes, at).ok())
    };
    let Some(own) = head(disk) else { return Ok(()) };
    let mut others = mounts::disks().into_iter().filter(|other| *other != disk);
    let Some(twin) = others.find(|other| head(*other).as_ref() == Some(&own)) else {
        return Ok(());
    };
    let [ours, its] = [disk, twin].map(name);
    if is_named(command_line, &ours, alias(&ours).as_deref()) {
        return Ok(());
    }
    let why = format!(
        "`/` lies on {ours}, and {its} carries the same identifiers; nothing proves that U-Boot has started from {ours}"
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
        for (line, own, alias, known) in [
            ("root=PARTUUID=ab-02 surefoot.slot=a", "mmcblk0", Some("0"), false),
            ("root=/dev/mmcblk0p2", "mmcblk0", None, true),
            ("root=/dev/mmcblk1p2", "mmcblk0", None, false),
            ("root=/dev/mmcblk10p2", "mmcblk1", None, false),
            ("root=/dev/vda2", "vda", None, true),
            ("root=/dev/vdaa2", "vda", None, false),
            ("root=/dev/vda", "vda", None, false),
            ("root=/dev/mmcblk0p2 surefoot.disk=mmc:1", "mmcblk0", Some("0"), false),
            ("root=/dev/mmcblk1p2 surefoot.disk=mmc:1", "mmcblk1", Some("1"), true),
            // The number is U-Boot's, and nothing says that it is the kernel's.
            ("root=/dev/mmcblk1p2 surefoot.disk=mmc:1", "mmcblk1", None, false),
            ("root=/dev/sda2 surefoot.disk=usb:0", "sda", None, true),
            ("surefoot.disk=mmc:x", "mmcblk0", Some("0"), false),
            ("surefoot.disk=nvme:0", "nvme0n1", None, false),
        ] {
            assert_eq!(is_named(line, own, alias), known, "{line}: {own}");
        }
    }

    #[test]
    fn a_disk_with_a_damaged_head_is_known_by_its_backup() {
        for sector in [512, 4096] {
            let mut disk = vec![0; 1 << 16];
            let at = disk.len() - sector;
            disk[at..at + 8].copy_from_slice(b"EFI PART");
            disk[at + 56..at + 72].fill(7);
            let read = |at: u64, bytes: &mut [u8]| {
                let at = usize::try_from(at).unwrap();
                bytes.copy_from_slice(disk.get(at..at + bytes.len())?);
                Some(())
            };
            let found = in_first_or_last(disk.len() as u64, read);
            assert_eq!(found.as_deref(), Some(&[7; 16][..]), "{sector}");
            assert_eq!(in_first_or_last(8192, |_, _| Some(())), None);
        }
    }
}

//! Whole disks, as a person knows them: name, make, length, and whether they can be taken out of this machine.

use super::files;
use super::mounts::DeviceNumber;
use std::path::PathBuf;

/// What the kernel says about a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name in `/dev`: `sdb`, `mmcblk0`.
    pub name: String,
    /// Maker and model; empty where the device does not say.
    pub model: String,
    /// Bytes.
    pub len: u64,
    /// Its medium can be taken out: a stick, a card in a reader or a slot.
    pub removable: bool,
    /// It is a part of a disk.
    pub partition: bool,
}

/// What the kernel says about a block device; where it says nothing, its number is its name.
pub fn about(number: DeviceNumber) -> About {
    let link = PathBuf::from(format!("/sys/dev/block/{number}"));
    let folder = std::fs::canonicalize(&link).unwrap_or(link);
    let text = |name: &str| {
        let text = files::kernel_text(folder.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let name = folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    // A card in a slot of the machine is not called removable; its kind tells it from soldered memory.
    let removable = text("removable") == "1" || text("device/type") == "SD";
    let words = [text("device/vendor"), text("device/model"), text("device/name")];
    let model = words.iter().filter(|w| !w.is_empty()).map(String::as_str).collect::<Vec<_>>();
    About {
        name,
        model: model.join(" "),
        // Counted in 512 bytes whatever the block size is.
        len: text("size").parse::<u64>().unwrap_or(0).saturating_mul(512),
        removable,
        partition: folder.join("partition").exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disk_here_has_a_name_and_no_other_number_has() {
        for entry in std::fs::read_dir("/sys/block").unwrap().flatten() {
            let number = files::kernel_text(entry.path().join("dev")).unwrap();
            let about = about(number.parse().unwrap());
            assert_eq!(Some(about.name.as_str()), entry.file_name().to_str());
            assert!(!about.partition, "{about:?}");
        }
        let none = about(DeviceNumber { major: 4_000, minor: 9 });
        assert_eq!((none.name.as_str(), none.len, none.removable), ("4000:9", 0, false));
    }
}

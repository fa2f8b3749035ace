//! What the kernel says about mounts, swap, partitions and its command line. Parsers take text;
//! the functions that open files say so.

use super::files;
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Major and minor number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u64,
    /// The device of that driver.
    pub minor: u64,
}

impl DeviceNumber {
    /// From what `stat` says.
    pub fn from_rdev(rdev: u64) -> DeviceNumber {
        DeviceNumber { major: nix::sys::stat::major(rdev), minor: nix::sys::stat::minor(rdev) }
    }

    /// The folder of the device in sysfs.
    fn sysfs(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{self}"))
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl std::str::FromStr for DeviceNumber {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.trim().split_once(':').ok_or(())?;
        match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) => Ok(DeviceNumber { major, minor }),
            _ => Err(()),
        }
    }
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device of the files in it; major 0 for overlays, tmpfs and the like.
    pub device: DeviceNumber,
    /// The folder or file of that file system which is shown: `/` unless it is a bind mount.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    /// File system type.
    pub fs: String,
    /// What was named when it was mounted: `/dev/mmcblk0p2`.
    pub source: String,
    /// The lowest layer of an overlay.
    pub lowest: Option<String>,
    /// The folders that an overlay writes to.
    pub written: Vec<String>,
}

/// Reads the text of `mountinfo`; lines that are not understood are left out.
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(2);
        let device = head.next()?.parse().ok()?;
        let root = unescape(head.next()?);
        let point = unescape(head.next()?);
        let mut tail = tail.split(' ');
        let fs = tail.next()?.to_owned();
        let source = unescape(tail.next()?);
        let options = tail.next().unwrap_or_default();
        let named = |key| options.split(',').find_map(move |o: &str| o.strip_prefix(key));
        let lowest = named("lowerdir=").and_then(|l| l.rsplit(':').next()).map(unescape);
        let written = ["upperdir=", "workdir="].into_iter().filter_map(named).map(unescape);
        let written = written.collect();
        Some(Mount { device, root, point, fs, source, lowest, written })
    };
    text.lines().filter_map(line).collect()
}

/// `\040` and its like, as the kernel writes spaces in paths.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|d| {
            let value = u32::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok()?;
            u8::try_from(value).ok()
        });
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// All mounts of this mount namespace.
pub fn mounts() -> Result<Vec<Mount>> {
    let text = files::kernel_text("/proc/self/mountinfo")?;
    Ok(parse_mountinfo(&text))
}

/// What `/` is, and the devices that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// For people: `/dev/root (btrfs)`.
    pub said: String,
    /// The devices under it, below device mappers; none for a memory file system.
    pub devices: Vec<DeviceNumber>,
}

/// The root file system. Of several mounts on `/` the last one counts. An overlay is looked through
/// to its lowest layer, `/dev/root` to what `root=` names, a device mapper to all that it stands on
/// (dm-verity: data and hashes).
pub fn root() -> Result<Root> {
    let mounts = mounts()?;
    let line = kernel_command_line().unwrap_or_default();
    let Some(root) = mounts.iter().rev().find(|m| m.point == "/") else {
        return Ok(Root { said: "nothing".to_owned(), devices: Vec::new() });
    };
    let below = lowest(&mounts, root);
    let found = device_of(below).or_else(|| named_device(&root_word(&line)?));
    let said = match std::ptr::eq(below, root) {
        true => format!("{} ({})", root.source, root.fs),
        false => format!("{} over {} ({})", root.fs, below.source, below.fs),
    };
    Ok(Root { said, devices: found.map(all_under).unwrap_or_default() })
}

/// The device of a mount; `None` for a file system that lies on none.
fn device_of(mount: &Mount) -> Option<DeviceNumber> {
    match mount.device.major {
        // btrfs and its like have no device number of their own; the source names the device.
        0 => named_device(&mount.source),
        _ => Some(mount.device),
    }
}

/// The mount that a path, which has no link in it, lies in. Of several on one place the last counts.
pub fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    mounts.iter().filter(|m| path.starts_with(&m.point)).max_by_key(|m| m.point.len())
}

/// The disks that a folder lies on, and what a person calls the place: `/dev/sda4 (ext4)`. No disks where it lies on none, or on
/// what does not tell.
pub fn disks_under(folder: &Path) -> Result<(Vec<DeviceNumber>, String)> {
    let (mounts, folder) = (mounts()?, std::fs::canonicalize(folder)?);
    let Some(mount) = mount_of(&mounts, &folder) else { return Ok((Vec::new(), String::new())) };
    let devices = device_of(lowest(&mounts, mount)).map(all_under).unwrap_or_default();
    // A file system may lie on a disk as a whole.
    let disks = devices.into_iter().map(|d| disk_of(d).map_or(d, |(disk, _)| disk)).collect();
    Ok((disks, format!("{} ({})", mount.source, mount.fs)))
}

/// The mount in which the lowest layer of an overlay lies; the mount itself for any other.
fn lowest<'m>(mounts: &'m [Mount], mount: &'m Mount) -> &'m Mount {
    let mut now = mount;
    // Overlays of overlays are not made by people; the bound is against a loop.
    for _ in 0..4 {
        let Some(layer) = now.lowest.as_deref().filter(|_| now.fs == "overlay") else {
            break;
        };
        let holds = |m: &&Mount| m.point != now.point && Path::new(layer).starts_with(&m.point);
        let Some(next) = mounts.iter().filter(holds).max_by_key(|m| m.point.len()) else {
            break;
        };
        now = next;
    }
    now
}

/// What `root=` on the kernel's command line names, as a path.
fn root_word(line: &str) -> Option<String> {
    let word = line.split_ascii_whitespace().rev().find_map(|w| w.strip_prefix("root="))?;
    Some(match word.split_once('=') {
        Some(("PARTUUID", id)) => format!("/dev/disk/by-partuuid/{}", id.to_ascii_lowercase()),
        Some(("UUID", id)) => format!("/dev/disk/by-uuid/{id}"),
        Some(("LABEL", id)) => format!("/dev/disk/by-label/{id}"),
        Some(("PARTLABEL", id)) => format!("/dev/disk/by-partlabel/{id}"),
        _ => word.to_owned(),
    })
}

fn named_device(path: &str) -> Option<DeviceNumber> {
    let named = std::fs::metadata(path).ok().filter(|s| s.rdev() != 0);
    named.map(|s| DeviceNumber::from_rdev(s.rdev()))
}

/// Processes and mount namespaces that are looked at, at most: a device has some hundred and some
/// dozen.
const PROCESSES: usize = 32_768;
const NAMESPACES: usize = 1024;

/// The mounts of every other mount namespace, one process for each: a container or a service with
/// `PrivateMounts` may hold what is not mounted here. What this user may not look at is passed.
fn elsewhere() -> Vec<(u32, Vec<Mount>)> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let mut known: Vec<PathBuf> = namespace("self").into_iter().collect();
    let mut found = Vec::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|e| e.ok());
    let numbers = processes.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    for number in numbers.take(PROCESSES) {
        let Some(its) = namespace(&number.to_string()).filter(|its| !known.contains(its)) else {
            continue;
        };
        // A process that has just ended leaves its namespace to be found through another one.
        let Ok(text) = files::kernel_text(format!("/proc/{number}/mountinfo")) else { continue };
        known.push(its);
        found.push((number, parse_mountinfo(&text)));
        if found.len() >= NAMESPACES {
            break;
        }
    }
    found
}

/// Why a block device is in use: mounted in any mount namespace, swapped to, or under another device
/// (device mapper, RAID). `None` if it is free as far as this process can see; opening with
/// O_EXCL is the answer that cannot be raced.
pub fn in_use(device: DeviceNumber) -> Result<Option<String>> {
    for m in mounts()? {
        let named = || std::fs::metadata(&m.source).is_ok_and(|s| same(s.rdev(), device));
        if m.device == device || (m.source.starts_with('/') && named()) {
            return Ok(Some(format!("mounted on {}", m.point)));
        }
    }
    for (process, mounts) in elsewhere() {
        // A source is a path of that namespace, and may be another device here.
        if let Some(m) = mounts.iter().find(|m| m.device == device) {
            let text =
                format!("mounted on {} in the mount namespace of process {process}", m.point);
            return Ok(Some(text));
        }
    }
    // Absent where the kernel is built without swap.
    let swaps = files::kernel_text("/proc/swaps").unwrap_or_default();
    for line in swaps.lines().skip(1) {
        let path = unescape(line.split_whitespace().next().unwrap_or_default());
        if std::fs::metadata(path).is_ok_and(|s| same(s.rdev(), device)) {
            return Ok(Some("used as swap".to_owned()));
        }
    }
    let holders = std::fs::read_dir(device.sysfs().join("holders"));
    let holder = holders.ok().and_then(|mut d| d.next()).and_then(|e| e.ok());
    Ok(holder.map(|h| format!("held by {}", h.file_name().to_string_lossy())))
}

fn same(rdev: u64, device: DeviceNumber) -> bool {
    rdev != 0 && DeviceNumber::from_rdev(rdev) == device
}

/// Whether the kernel refuses writes to a block device: a card's switch, `blockdev --setro`.
pub fn is_read_only(device: DeviceNumber) -> bool {
    number_in(&device.sysfs().join("ro")) == Some(1)
}

/// The text of `/proc/cmdline`.
pub fn kernel_command_line() -> Result<String> {
    let text = files::kernel_text("/proc/cmdline")?;
    Ok(text.trim_end().to_owned())
}

/// A partition as the kernel has it, in bytes of its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPartition {
    /// Its own number.
    pub device: DeviceNumber,
    /// Its node: `/dev/mmcblk0p2`.
    pub node: PathBuf,
    /// Its number in the table: the 2 of `mmcblk0p2`.
    pub number: u64,
    /// Its name in the table, where it has one.
    pub name: Option<String>,
    /// Offset in the disk, bytes.
    pub start: u64,
    /// Length, bytes.
    pub len: u64,
}

/// Sysfs counts in 512 bytes whatever the device's block size is.
const SYSFS_SECTOR: u64 = 512;

fn number_in(path: &Path) -> Option<u64> {
    files::kernel_text(path).ok()?.trim().parse().ok()
}

fn partition_in(folder: &Path) -> Option<KernelPartition> {
    let number = number_in(&folder.join("partition"))?;
    let text = |name: &str| files::kernel_text(folder.join(name)).ok();
    let uevent = text("uevent")?;
    let said = |key: &str| uevent.lines().find_map(|l| l.strip_prefix(key));
    Some(KernelPartition {
        device: text("dev")?.parse().ok()?,
        node: Path::new("/dev").join(said("DEVNAME=")?),
        number,
        name: said("PARTNAME=").map(str::to_owned),
        start: number_in(&folder.join("start"))?.checked_mul(SYSFS_SECTOR)?,
        len: number_in(&folder.join("size"))?.checked_mul(SYSFS_SECTOR)?,
    })
}

/// The devices that a device mapper target stands on (dm-verity, dm-crypt); the device itself for
/// any other.
pub fn all_under(device: DeviceNumber) -> Vec<DeviceNumber> {
    let (mut open, mut found) = (vec![device], Vec::new());
    // Stacks are two or three high; the bound is against a loop that cannot be.
    for _ in 0..32 {
        let Some(next) = open.pop() else { break };
        let slaves = std::fs::read_dir(next.sysfs().join("slaves"));
        let slaves = slaves.into_iter().flatten().filter_map(|e| e.ok());
        let number = |e: std::fs::DirEntry| files::kernel_text(e.path().join("dev")).ok();
        let below: Vec<DeviceNumber> = slaves.filter_map(|e| number(e)?.parse().ok()).collect();
        match below.is_empty() {
            true => found.push(next),
            false => open.extend(below),
        }
    }
    found
}

/// The partitions that the kernel knows of a disk.
pub fn partitions_of(disk: DeviceNumber) -> Vec<KernelPartition> {
    let Ok(entries) = std::fs::read_dir(disk.sysfs()) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|e| e.ok()).map(|e| e.path());
    folders.filter_map(|f| partition_in(&f)).collect()
}

/// The node of a whole disk: `/dev/mmcblk0`.
pub fn node_of(disk: DeviceNumber) -> Option<PathBuf> {
    let uevent = files::kernel_text(disk.sysfs().join("uevent")).ok()?;
    let node = uevent.lines().find_map(|l| l.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(node))
}

/// The length of a block device, bytes.
pub fn len_of(device: DeviceNumber) -> Option<u64> {
    number_in(&device.sysfs().join("size"))?.checked_mul(SYSFS_SECTOR)
}

/// Every disk of this machine that has partitions.
pub fn disks() -> Vec<DeviceNumber> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().filter_map(|e| e.ok());
    let numbers = entries.filter_map(|e| files::kernel_text(e.path().join("dev")).ok());
    let numbers = numbers.filter_map(|text| text.parse().ok());
    numbers.filter(|disk| !partitions_of(*disk).is_empty()).collect()
}

/// The disk a partition lies on and the partition's place in it; `None` for a whole disk.
pub fn disk_of(partition: DeviceNumber) -> Option<(DeviceNumber, KernelPartition)> {
    let folder = std::fs::canonicalize(partition.sysfs()).ok()?;
    let place = partition_in(&folder)?;
    let disk = files::kernel_text(folder.parent()?.join("dev")).ok()?;
    Some((disk.parse().ok()?, place))
}

/// Why bytes of an image file are in use: a loop device over them, or a partition of one, is
/// mounted. `None` if not as far as this process can see.
pub fn image_in_use(image: &Path, range: std::ops::Range<u64>) -> Result<Option<String>> {
    let image = std::fs::canonicalize(image)?;
    let own = std::fs::metadata(&image)?;
    // Another name of the same file is the same bytes.
    let same_file = |path: &Path| {
        let named = || std::fs::metadata(path).ok();
        path == image || named().is_some_and(|f| (f.dev(), f.ino()) == (own.dev(), own.ino()))
    };
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return Ok(None);
    };
    for folder in entries.filter_map(|e| e.ok()).map(|e| e.path()) {
        let backing = files::kernel_text(folder.join("loop/backing_file"));
        if !backing.is_ok_and(|b| same_file(Path::new(b.trim_end_matches('\n')))) {
            continue;
        }
        let Some(device) = files::kernel_text(folder.join("dev"))
            .ok()
            .and_then(|t| t.parse::<DeviceNumber>().ok())
        else {
            continue;
        };
        let offset = number_in(&folder.join("loop/offset")).unwrap_or(0);
        let len = number_in(&folder.join("size")).unwrap_or(0) * SYSFS_SECTOR;
        let whole = (device, 0, len);
        let parts = partitions_of(device).into_iter();
        let parts = parts.map(|p| (p.device, p.start, p.len));
        for (number, start, len) in std::iter::once(whole).chain(parts) {
            let (from, to) = (offset + start, offset + start + len);
            if from < range.end
                && range.start < to
                && let Some(why) = in_use(number)?
            {
                return Ok(Some(format!("{} over it is {why}", folder.display())));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_reads_devices_points_and_sources() {
        let text = "22 1 179:2 / / ro,relatime shared:1 - ext4 /dev/mmcblk0p2 ro\n\
                    30 22 0:25 / /tmp\\040dir rw - tmpfs tmpfs rw\n\
                    nonsense\n\
                    31 22 x:y / /bad rw - ext4 /dev/x rw\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].device.to_string(), "179:2");
        assert_eq!((mounts[0].root.as_str(), mounts[0].point.as_str()), ("/", "/"));
        assert_eq!(mounts[0].source, "/dev/mmcblk0p2");
        assert_eq!(mounts[1].point, "/tmp dir");
        assert_eq!(mounts[1].fs, "tmpfs");
    }

    #[test]
    fn an_overlay_is_looked_through_to_its_lowest_layer_and_root_words_are_paths() {
        let text = "30 1 0:25 / / rw - overlay overlay rw,lowerdir=/run/upper:/run/ro,upperdir=/x\n\
                    31 30 0:3 / /run rw - tmpfs tmpfs rw\n\
                    32 31 179:2 / /run/ro ro - ext4 /dev/mmcblk0p2 ro\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(lowest(&mounts, &mounts[0]).source, "/dev/mmcblk0p2");
        assert_eq!(lowest(&mounts, &mounts[2]).source, "/dev/mmcblk0p2");
        assert_eq!(mounts[0].written, ["/x"]);
        let mount = |path: &str| mount_of(&mounts, Path::new(path)).unwrap().point.as_str();
        assert_eq!((mount("/run/ro/x"), mount("/runs"), mount("/run")), ("/run/ro", "/", "/run"));
        let gone = parse_mountinfo("30 1 0:25 / / rw - overlay o rw,lowerdir=/gone\n");
        assert_eq!(lowest(&gone, &gone[0]).fs, "overlay");
        for (line, path) in [
            ("a root=PARTUUID=AB-01 ro", Some("/dev/disk/by-partuuid/ab-01")),
            ("root=/dev/mmcblk0p2", Some("/dev/mmcblk0p2")),
            ("root=LABEL=x root=/dev/sda1", Some("/dev/sda1")),
            ("quiet", None),
        ] {
            assert_eq!(root_word(line).as_deref(), path, "{line}");
        }
    }

    #[test]
    fn this_machine_has_a_root_and_a_command_line() {
        assert!(mounts().unwrap().iter().any(|m| m.point == "/"));
        assert!(!kernel_command_line().unwrap().contains('\n'));
        assert_eq!(unescape("a\\0"), "a\\0");
        assert_eq!(unescape("a\\777b"), "a\\777b");
    }

    #[test]
    fn an_image_that_no_loop_device_shows_is_free() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(image_in_use(file.path(), 0..4096).unwrap(), None);
    }
}

//! The shared suite on every device, and what opening refuses.

#[path = "../../tests/common/skip.rs"]
mod skip;

use super::conformance::suite;
use super::fake::{FakeDevice, Op, Survivors, gpt_disk};
use super::medium::{Medium, failed_open};
use super::{BlockDevice, Disk, Window, open_image, open_image_writable};
use crate::model::{ReasonCode, Result};
use crate::sys::blk::{Access, Blk};
use std::io::Error;
use std::path::Path;
use std::sync::Arc;

const LEN: usize = 4 << 20;

fn pattern() -> Vec<u8> {
    (0..LEN).map(|i| (i / 7).to_le_bytes()[0]).collect()
}

fn on_file(folder: &Path, len: usize) -> (tempfile::NamedTempFile, Arc<dyn BlockDevice>) {
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::fs::write(file.path(), &pattern()[..len]).unwrap();
    let device = open_image_writable(file.path()).unwrap();
    (file, device)
}

/// Where image files of tests live on a disk: temporary folders may be in memory.
fn on_disk() -> std::path::PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

#[test]
fn an_image_file_conforms_past_the_page_cache() {
    let (file, device) = on_file(&on_disk(), LEN);
    suite(&device, pattern());
    let mut holes = vec![1; LEN / 2];
    device.zero(0, LEN as u64).unwrap();
    device.read_at(0, &mut holes).unwrap();
    assert!(holes.iter().all(|b| *b == 0));
    let blk = Blk::open(file.path(), Access::Read).unwrap();
    println!("direct: {}", blk.is_direct());
    assert!(blk.is_hole(0, LEN as u64), "zeroed ranges are known without reading");
    assert!(!blk.is_hole(0, LEN as u64 + 1));
}

#[test]
fn an_image_file_conforms_through_the_page_cache() {
    // A length that is not whole blocks forbids direct transfers.
    let (file, device) = on_file(&on_disk(), LEN - 100);
    assert!(!Blk::open(file.path(), Access::Read).unwrap().is_direct());
    suite(&device, pattern()[..LEN - 100].to_vec());
}

#[test]
fn an_image_file_in_memory_conforms() {
    let (_file, device) = on_file(Path::new("/dev/shm"), LEN);
    suite(&device, pattern());
}

/// Loop devices need root; without it this says so.
#[test]
fn a_block_device_conforms() {
    for block in ["512", "4096"] {
        let (file, keep) = on_file(&on_disk(), LEN);
        drop(keep);
        let made = std::process::Command::new("losetup")
            .args(["-b", block, "-f", "--show"])
            .arg(file.path())
            .output()
            .expect("apt-get install mount");
        if !made.status.success() {
            skip::skipped(&format!(
                "no loop device: {}",
                String::from_utf8_lossy(&made.stderr).trim()
            ));
            return;
        }
        let node = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let result = std::panic::catch_unwind(|| {
            let medium = Medium::open(Path::new(&node), Access::WriteAlone).unwrap();
            assert_eq!(medium.block_size().to_string(), block);
            let second = Medium::open(Path::new(&node), Access::WriteAlone).err().unwrap();
            assert_eq!(second.code(), ReasonCode::SlotMounted);
            assert!(open_image_writable(Path::new(&node)).is_err());
            suite(&(Arc::new(medium) as Arc<dyn BlockDevice>), pattern());
        });
        let freed = std::process::Command::new("losetup").args(["-d", &node]).status();
        assert!(freed.unwrap().success());
        result.unwrap();
    }
}

#[test]
fn the_fake_conforms() {
    for block in [512, 4096] {
        let device: Arc<dyn BlockDevice> =
            Arc::new(FakeDevice::with_blocks(pattern(), block, false));
        suite(&device, pattern());
    }
}

#[test]
fn a_window_conforms_and_nothing_around_it_changes() {
    let mut whole = vec![0xab; LEN + 10_000];
    whole[4096..4096 + LEN].copy_from_slice(&pattern());
    let disk = Arc::new(FakeDevice::new(whole));
    let window = Window::new(disk.clone(), 4096, LEN as u64).unwrap();
    suite(&(Arc::new(window) as Arc<dyn BlockDevice>), pattern());
    let after = disk.contents();
    assert!(after[..4096].iter().all(|b| *b == 0xab));
    assert!(after[4096 + LEN..LEN + 10_000].iter().all(|b| *b == 0xab));
    assert!(Window::new(disk.clone(), 4096, disk.len()).is_err());
    assert!(Window::new(disk, u64::MAX, 2).is_err());
}

#[test]
fn a_second_writer_of_an_image_is_busy_and_readers_are_not() {
    let (file, first) = on_file(&on_disk(), LEN);
    let second = open_image_writable(file.path()).err().unwrap();
    assert_eq!(second.code(), ReasonCode::Busy);
    open_image(file.path()).unwrap();
    drop(first);
    open_image_writable(file.path()).unwrap();
}

#[test]
fn what_is_no_disk_is_refused_and_never_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("disk.img");
    for path in [missing.as_path(), dir.path(), Path::new("/dev/null")] {
        for access in [Access::Read, Access::WriteAlone, Access::WriteShared] {
            let failure = Medium::open(path, access).err().unwrap();
            assert_eq!(failure.code(), ReasonCode::DiskMissing, "{failure}");
        }
    }
    assert!(!missing.exists());
}

/// `EROFS` and `EACCES` are told from a disk that is not there: their remedies differ.
#[test]
fn a_disk_that_is_read_only_or_forbidden_is_not_a_missing_one() {
    // EROFS, EACCES, EPERM, ENOENT, ENXIO, EBUSY.
    for (error, code) in [
        (30, ReasonCode::DiskReadOnly),
        (13, ReasonCode::DiskDenied),
        (1, ReasonCode::DiskDenied),
        (2, ReasonCode::DiskMissing),
        (6, ReasonCode::DiskMissing),
        (16, ReasonCode::SlotMounted),
    ] {
        let failure =
            failed_open(Path::new("/dev/x"), Access::WriteAlone, &Error::from_raw_os_error(error));
        assert_eq!(failure.code(), code, "{failure}");
    }
    // EROFS, EPERM, EIO, ENOSPC.
    for (error, code) in [
        (30, ReasonCode::DiskReadOnly),
        (1, ReasonCode::DiskReadOnly),
        (5, ReasonCode::Io),
        (28, ReasonCode::NoSpace),
    ] {
        let (file, keep) = on_file(&on_disk(), LEN);
        drop(keep);
        let medium = Medium::open(file.path(), Access::Read).unwrap();
        let failure =
            medium.place::<()>("writing", 0, Err(Error::from_raw_os_error(error))).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
    }
}

#[test]
fn a_disk_gives_out_readers_that_cannot_write() {
    let (file, keep) = on_file(&on_disk(), LEN);
    drop(keep);
    let disk = Disk::open(file.path()).unwrap();
    assert!(disk.is(file.path()) && !disk.is(Path::new("/dev/null")));
    assert!(disk.reader().write_at(0, &[1]).is_err());
    // One lock for all who write parts of it in this process.
    let first = disk.writable().unwrap();
    let second = disk.writable().unwrap();
    assert_eq!(open_image_writable(file.path()).err().unwrap().code(), ReasonCode::Busy);
    drop((first, second));
    open_image_writable(file.path()).unwrap();
    let given = Disk::given(Path::new("x"), Arc::new(FakeDevice::new(vec![0; 4096])));
    for refused in [given.reader().write_at(0, &[1]), given.reader().zero(0, 1)] {
        assert_eq!(refused.unwrap_err().code(), ReasonCode::Internal);
    }
}

#[test]
fn the_fake_loses_what_was_not_flushed() -> Result<()> {
    let fake = FakeDevice::with_blocks(vec![0; 8192], 512, false);
    fake.record();
    fake.write_at(0, &[1; 512])?;
    fake.flush()?;
    fake.write_at(512, &[2; 1024])?;
    fake.cut();
    assert!(
        fake.write_at(0, &[9]).is_err()
            && fake.read_at(0, &mut [0]).is_err()
            && fake.flush().is_err()
    );
    fake.power_on(Survivors::Nothing);
    assert_eq!(fake.contents()[..512], [1; 512]);
    assert_eq!(fake.contents()[512..], [0; 8192 - 512]);
    assert_eq!(fake.log().len(), 3);
    assert_eq!(fake.log()[1], Op::Flush);
    // In some seed the second sector survives and the first does not: no order is promised.
    let outcomes: std::collections::BTreeSet<Vec<u8>> = (0..64)
        .map(|seed| {
            let fake = FakeDevice::new(vec![0; 2048]);
            fake.write_at(0, &[7; 2048]).unwrap();
            fake.power_on(Survivors::Some(seed));
            fake.medium().chunks(512).map(|s| u8::from(s == [7; 512])).collect()
        })
        .collect();
    assert!(outcomes.len() > 8, "{outcomes:?}");
    // The write of a chosen number fails, once.
    fake.fail_write(2);
    fake.write_at(0, &[3])?;
    assert!(fake.write_at(0, &[4]).is_err());
    fake.write_at(0, &[5])?;
    fake.stick(1, 0x80);
    let mut two = [0; 2];
    fake.read_at(0, &mut two)?;
    assert_eq!(two, [5, 0x81]);
    let strict = FakeDevice::with_blocks(vec![0; 8192], 4096, true);
    let mut aligned = crate::sys::AlignedBuf::new(4096);
    strict.write_at(4096, &aligned)?;
    strict.read_at(0, &mut aligned)?;
    assert!(strict.write_at(512, &aligned).is_err());
    assert!(strict.write_at(0, &aligned[..512]).is_err());
    Ok(())
}

#[test]
fn a_table_is_read_through_the_disk() {
    let bytes = gpt_disk(8 << 20, &[("one", 1 << 20, 1 << 20), ("two", 4 << 20, 1 << 20)]);
    let disk = Disk::given(Path::new("x"), Arc::new(FakeDevice::new(bytes)));
    let table = disk.table().unwrap();
    assert_eq!(table.by_name("two").unwrap().range(), 4 << 20..5 << 20);
    assert_eq!(table.by_name("Two"), None);
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
}

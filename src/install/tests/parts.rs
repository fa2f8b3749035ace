//! A slot of two partitions: the heads of both are destroyed before anything else is written, and
//! written after everything else, the first part's last.

use super::{Fixture, Memory, carry_out, code, name, offers_something};
use crate::artifact::Chunk;
use crate::disk::Window;
use crate::disk::fake::{FakeDevice, Op, Survivors};
use crate::install::part::PartOrder;
use crate::install::spans::Places;
use crate::install::write::{Order, Report, aligned};
use crate::install::{FIRST_LEN, Reuse};
use crate::model::Result;
use crate::slot::record::{RECORD_LEN, decode_record, encode_record};
use crate::source::{ByteStream, Source};
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A slot `boot`, `rootfs` on one disk, and an artifact that brings them the other way round.
struct Two {
    boot: Fixture,
    rootfs: Fixture,
    table: Vec<Chunk>,
    payload: Vec<u8>,
}

fn small(len: u64) -> usize {
    usize::try_from(len).unwrap()
}

impl Two {
    fn new(seed: u64, boot: usize, rootfs: usize) -> Two {
        let (boot, rootfs) =
            (Fixture::new(seed, boot, 20 << 10), Fixture::new(seed + 1, rootfs, 40 << 10));
        let table = [&rootfs.chunks[..], &boot.chunks].concat();
        let payload = [&rootfs.payload[..], &boot.payload].concat();
        Two { boot, rootfs, table, payload }
    }

    /// The partitions in the disk, the boot partition first. The second one has no record.
    fn places(&self) -> [Range<usize>; 2] {
        let middle = self.boot.slot_len;
        let rootfs = self.rootfs.slot_len - small(RECORD_LEN);
        [0..middle, middle..middle + rootfs]
    }

    fn old(&self) -> Vec<u8> {
        let [boot, rootfs] = self.places();
        let mut old = vec![0xa5; rootfs.end];
        old[boot.end - small(RECORD_LEN)..boot.end]
            .copy_from_slice(&encode_record(b"old").unwrap());
        old
    }

    fn windows(&self, disk: &Arc<FakeDevice>) -> [Window; 2] {
        let open = |place: Range<usize>| {
            let (start, len) = (place.start as u64, place.len() as u64);
            Window::new(disk.clone(), start, len).unwrap()
        };
        self.places().map(open)
    }

    fn write(&self, disk: &Arc<FakeDevice>, input: Source, reuse: &Reuse) -> Result<Report> {
        let [boot, rootfs] = self.windows(disk);
        let after = self.rootfs.payload.len() as u64;
        let (kernel, root) =
            (Places::new(&self.boot.chunks, after), Places::new(&self.rootfs.chunks, 0));
        let parts = vec![
            PartOrder::new(name("boot"), &boot, self.rootfs.chunks.len(), kernel),
            PartOrder::new(name("rootfs"), &rootfs, 0, root),
        ];
        let record = aligned(&encode_record(b"a record").unwrap()).unwrap();
        let (table, firsts) = (&self.table, Vec::new());
        let order = Order { table, pages: &[], parts, record, delta: None, firsts };
        carry_out(order, input, reuse)
    }

    fn file(&self) -> Source {
        Source::Ranges(Arc::new(Memory::new(self.payload.clone())))
    }

    fn is_complete(&self, disk: &[u8]) -> bool {
        let [boot, rootfs] = self.places();
        self.boot.is_complete(&disk[boot]) && disk[rootfs].starts_with(&self.rootfs.image)
    }

    /// What the disk may be at any instant.
    fn check(&self, disk: &[u8], old: &[u8], when: &str) {
        let [boot, rootfs] = self.places().map(|place| &disk[place]);
        let record = boot.len() - small(RECORD_LEN);
        let untouched = |part: Range<usize>, from: usize| {
            let part = part.start + from..part.end;
            disk[part.clone()] == old[part]
        };
        let [old_boot, old_rootfs] = self.places();
        let old_boot = old_boot.start..old_boot.start + record;
        // The first block itself may be torn; all behind it is of one system.
        if offers_something(boot) {
            let whole = boot[4096..].starts_with(self.boot.image.get(4096..).unwrap_or_default())
                && rootfs.starts_with(&self.rootfs.image);
            let as_before = untouched(old_boot.clone(), 4096) && untouched(old_rootfs.clone(), 0);
            assert!(whole || as_before, "a torn slot offers a kernel {when}");
        }
        if offers_something(rootfs) {
            let image = self.rootfs.image.get(4096..).unwrap_or_default();
            let as_before = untouched(old_rootfs.clone(), 4096)
                && untouched(old_boot.start + small(FIRST_LEN)..old_boot.end, 0);
            assert!(rootfs[4096..].starts_with(image) || as_before, "a torn root {when}");
        }
        if let Ok(record) = decode_record(&boot[record..]) {
            let as_before = record == b"old" && untouched(old_boot, 0) && untouched(old_rootfs, 0);
            let complete = record == b"a record" && self.is_complete(disk);
            assert!(complete || as_before, "a record describes a torn slot {when}");
        }
    }
}

#[test]
fn both_parts_are_written_from_a_file_and_from_a_stream() {
    for (seed, boot, rootfs) in [(61, 1, 9), (62, 300 << 10, 60 << 10), (63, 200 << 10, 3 << 20)] {
        let two = Two::new(seed, boot, rootfs);
        for input in [two.file(), Source::Stream(ByteStream::new(Cursor::new(two.payload.clone())))]
        {
            let disk = Arc::new(FakeDevice::new(two.old()));
            let report = two.write(&disk, input, &Reuse::Nothing).unwrap();
            assert!(two.is_complete(&disk.medium()), "seed {seed}");
            let image = (two.boot.image.len() + two.rootfs.image.len()) as u64;
            assert_eq!((report.image, report.kept), (image, 0));
            assert_eq!(report.fetched, two.payload.len() as u64);
        }
    }
}

#[test]
fn no_prefix_of_the_writes_offers_a_kernel_without_its_root() {
    // Images that begin with zeros have no head to look for.
    let begins = |fixture: &Fixture| fixture.image[..4096].iter().any(|b| *b != 0);
    let mut worlds = (64..).map(|seed| Two::new(seed, 400 << 10, 700 << 10));
    let two = worlds.find(|two| begins(&two.boot) && begins(&two.rootfs)).unwrap();
    let (old, heads) = (two.old(), two.places().map(|place| place.start));
    let disk = Arc::new(FakeDevice::new(old.clone()));
    disk.record();
    two.write(&disk, two.file(), &Reuse::Nothing).unwrap();
    let mut now = old.clone();
    let mut order = Vec::new();
    for (nth, op) in disk.log().iter().enumerate() {
        two.check(&now, &old, &format!("before request {nth}"));
        match op {
            Op::Write(at, bytes) => {
                let at = small(*at);
                if let Some(part) = heads.iter().position(|head| *head == at) {
                    order.push((part, bytes.iter().any(|b| *b != 0)));
                } else if order.len() == 1 {
                    let rest = heads[0] + 4096;
                    assert_eq!(
                        at, rest,
                        "something else is written before all heads are destroyed"
                    );
                }
                for (n, sector) in bytes.chunks(512).enumerate() {
                    now[at + 512 * n..][..sector.len()].copy_from_slice(sector);
                    two.check(&now, &old, &format!("in request {nth}"));
                }
            }
            Op::Zero(at, len) => {
                assert!(order.len() >= 2, "zeros are made before all heads are destroyed");
                now[small(*at)..][..small(*len)].fill(0);
            }
            Op::Flush => {}
        }
    }
    assert!(two.is_complete(&now));
    // Destroyed: boot, rootfs. Written: rootfs, boot.
    assert_eq!(order, [(0, false), (1, false), (1, true), (0, true)]);
}

#[test]
fn a_cut_anywhere_is_resumed_in_the_part_where_it_stopped() {
    let two = Two::new(66, 600 << 10, 2 << 20);
    let old = two.old();
    let whole = Arc::new(FakeDevice::new(old.clone()));
    two.write(&whole, two.file(), &Reuse::Nothing).unwrap();
    let (mut least, rootfs) = (u64::MAX, two.rootfs.payload.len() as u64);
    for nth in 1..=whole.counts().writes {
        for survivors in [Survivors::Nothing, Survivors::Everything, Survivors::Some(nth + 7)] {
            let disk = Arc::new(FakeDevice::new(old.clone()));
            disk.cut_at_write(nth, 1700);
            assert!(two.write(&disk, two.file(), &Reuse::Nothing).is_err());
            disk.power_on(survivors);
            two.check(&disk.medium(), &old, &format!("at write {nth}"));
            let source = Arc::new(Memory::new(two.payload.clone()));
            let input = Source::Ranges(Arc::clone(&source) as _);
            let report = two.write(&disk, input, &Reuse::Resume).unwrap();
            assert!(two.is_complete(&disk.medium()), "after write {nth}");
            assert_eq!(source.read.load(Ordering::Relaxed), report.fetched);
            if survivors == Survivors::Everything {
                least = least.min(report.fetched);
            }
        }
    }
    assert!(least < rootfs / 2, "the last cuts leave {least} bytes to fetch");
}

#[test]
fn a_part_that_does_not_read_back_leaves_no_part_with_a_head() {
    let two = Two::new(68, 300 << 10, 300 << 10);
    let mut wrong = Two::new(68, 300 << 10, 300 << 10);
    let last = wrong.boot.chunks.iter().rposition(|c| !c.is_zero()).unwrap();
    wrong.boot.chunks[last].plain = wrong.boot.chunks[last].stored;
    wrong.boot.chunks[last].plain.0[0] ^= 1;
    let disk = Arc::new(FakeDevice::new(two.old()));
    let result = wrong.write(&disk, two.file(), &Reuse::Nothing);
    let told = result.as_ref().unwrap_err().to_string();
    assert!(told.contains("part boot"), "{told}");
    assert_eq!(code(result), "CHUNK_CORRUPT");
    let after = disk.contents();
    for place in two.places() {
        assert!(after[place][..small(FIRST_LEN)].iter().all(|b| *b == 0));
    }
    // Nothing of the other part is lost for the next try.
    let report = two.write(&disk, two.file(), &Reuse::Resume).unwrap();
    assert!(report.kept > 100 << 10 && two.is_complete(&disk.medium()));
}

//! What was signed once installs for ever: the golden artifact is brought to a slot of two parts by
//! every way that an installation has, and leaves the golden slot record.

use super::{Memory, carry_out, name};
use crate::artifact::{Codec, Payload, Release, read_head};
use crate::disk::fake::FakeDevice;
use crate::disk::{BlockDevice, Partition};
use crate::event::Nowhere;
use crate::install::part::PartOrder;
use crate::install::spans::Places;
use crate::install::write::{Order, aligned};
use crate::install::{Depth, Reuse, Target, check_file, plan};
use crate::model::Digest;
use crate::slot::Part;
use crate::slot::record::{PAYLOAD_MAX, RECORD_LEN, encode_record};
use crate::source::{ByteStream, Source};
use crate::trust::{Trust, Verified};
use std::io::Cursor;
use std::sync::Arc;

const GOLDEN: &[u8] = include_bytes!("../../../artifacts/format-1/golden.surefoot");
/// Without the zeros that follow.
const RECORD: &[u8] = include_bytes!("../../../artifacts/format-1/slot-record");
const TRUST: &str = include_str!("../../../artifacts/test-keys/trust.toml");
const MIB: u64 = 1 << 20;

fn release() -> Verified<Release> {
    let trust = Trust::parse(TRUST).unwrap();
    read_head(&mut &GOLDEN[..]).unwrap().verify(&trust).unwrap()
}

/// The parts of a slot of a device of revision rev1, the boot part first.
fn parts() -> [Part; 2] {
    let partition = |number, len| Partition {
        number,
        name: String::new(),
        uuid: String::new(),
        type_id: String::new(),
        start: 0,
        len,
    };
    let part = |of: &str, number, len| Part {
        name: of.parse().unwrap(),
        partition: partition(number, len),
    };
    [part("boot", 1, MIB / 2 + RECORD_LEN), part("rootfs", 2, 4 * MIB)]
}

fn small(len: u64) -> usize {
    usize::try_from(len).unwrap()
}

/// Whether the first bytes of a partition are the image that the manifest names.
fn holds(device: &FakeDevice, payload: &Payload) -> bool {
    Digest::of(&device.medium()[..small(payload.size)]) == payload.sha256
}

#[test]
fn the_golden_artifact_installs_and_leaves_the_golden_record() {
    let release = release();
    let target = Target {
        product: "golden".parse().unwrap(),
        compatible: "golden-board-2".parse().unwrap(),
        hardware: Some("rev1".parse().unwrap()),
    };
    let planned = plan(&release, &target, &parts()).unwrap();
    let payloads: Vec<usize> = planned.parts.iter().map(|part| part.payload).collect();
    assert_eq!(payloads, [1, 0], "the boot part first");
    let file = || Source::Ranges(Arc::new(Memory::new(GOLDEN.to_vec())));
    check_file(file().ranges().unwrap(), &release, Depth::Decoded, &Nowhere).unwrap();
    let rest = &GOLDEN[small(release.rest_offset())..];
    let stream = || Source::Stream(ByteStream::new(Cursor::new(rest)));
    let install = |slot: &[FakeDevice; 2], input: Source, reuse: &Reuse| {
        let part = |(index, device): (&usize, _)| {
            let payload = &release.manifest.payloads[*index];
            let places = Places::new(release.chunks_of(payload), release.stored_offset_of(payload));
            let of = name(payload.part().unwrap().as_str());
            PartOrder::new(of, device, payload.first_chunk as usize, places)
        };
        let parts = payloads.iter().zip(slot.iter().map(|d| d as &dyn BlockDevice)).map(part);
        let record = release.record(&[0, 1], PAYLOAD_MAX).unwrap();
        let record = aligned(&encode_record(&record).unwrap()).unwrap();
        let (table, pages, parts) = (&release.table.chunks[..], release.pages(), parts.collect());
        let report = carry_out(
            Order { table, pages, parts, record, delta: None, firsts: Vec::new() },
            input,
            reuse,
        )
        .unwrap();
        for (index, device) in payloads.iter().zip(slot) {
            assert!(holds(device, &release.manifest.payloads[*index]), "payload {index}");
        }
        let boot = slot[0].medium();
        let record = &boot[boot.len() - small(RECORD_LEN)..];
        assert!(record.starts_with(RECORD) && record[RECORD.len()..].iter().all(|b| *b == 0));
        report
    };
    let all: u64 = release.manifest.payloads[..2].iter().map(|p| p.stored_size).sum();
    for from in [&file as &dyn Fn() -> Source, &stream] {
        let slot = parts().map(|part| FakeDevice::new(vec![0xa5; small(part.partition.len)]));
        let report = install(&slot, from(), &Reuse::Nothing);
        assert_eq!((report.kept, report.fetched), (0, all));
        // Chunks that refer to others were lost: what they refer to stands in the slot.
        let root = &release.manifest.payloads[0];
        let (mut at, mut lost) = (0, 0);
        for chunk in release.chunks_of(root) {
            let middle = at + u64::from(chunk.plain_len) / 2;
            if matches!(chunk.codec, Codec::Context { .. }) && at > 128 << 10 {
                slot[1].write_at(middle - middle % 4096, &[0x11; 4096]).unwrap();
                lost += 1;
            }
            at += u64::from(chunk.plain_len);
        }
        assert!(lost > 20, "{lost}");
        let report = install(&slot, from(), &Reuse::Resume);
        assert!(report.kept > 0 && report.fetched < all, "{report:?}");
    }
}

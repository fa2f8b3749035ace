//! What is refused, and that it changes nothing.

use super::world::{Device, Draft, Memory, ROOM, image, nowhere, of_file, of_stream, release_of};
use surefoot::install::{Depth, Reuse, check_file, plan};
use surefoot::model::{ReasonCode, Result};
use surefoot::source::{ByteStream, Source};

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, code: ReasonCode) {
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), code, "{failure}");
}

#[test]
fn what_is_not_for_this_device_touches_nothing() {
    let device = Device::of_revision("r1");
    let before = device.disk_bytes();
    let small = image(1, 1 << 20);
    let draft = || Draft::new("1.0").rootfs(&small);
    for (draft, code) in [
        (draft().product("other"), ReasonCode::WrongProduct),
        (draft().product("TEST"), ReasonCode::WrongProduct),
        (draft().compatible("board2"), ReasonCode::Incompatible),
        (Draft::new("1.0").rootfs_for(&small, &["r2"]), ReasonCode::NoPayload),
        (Draft::new("1.0").rootfs(&image(2, ROOM + 1)), ReasonCode::TooBig),
        (draft().part("boot", &small), ReasonCode::PartUnknown),
        (Draft::new("1.0").part("boot", &small), ReasonCode::PartMissing),
    ] {
        let (release, input) = of_file(&draft.build());
        refused(device.write(&release, input, Reuse::Nothing), code);
        assert!(device.disk_bytes() == before, "{code}");
    }
}

/// Slots of two partitions: what does not bring exactly their parts, each of a length that fits, is
/// refused by name, and the plan writes nothing.
#[test]
fn a_release_brings_exactly_the_parts_that_the_slots_have() {
    let device = Device::new();
    let part = |name: &str, len: u64| {
        let mut part = device.part();
        (part.name, part.partition.len) = (name.parse().unwrap(), len);
        part
    };
    let record = surefoot::slot::record::RECORD_LEN;
    let slot = [part("boot", (1 << 20) + record), part("rootfs", 2 << 20)];
    let (mib, two) = (image(5, 1 << 20), image(6, 2 << 20));
    let draft = || Draft::new("1.0").rootfs(&two);
    let planned = |draft: Draft| plan(&release_of(&draft.build()), &device.target, &slot);
    let good = planned(draft().part("boot", &mib)).unwrap();
    let parts: Vec<_> = good.parts.iter().map(|p| (p.part.as_str(), p.payload, p.image)).collect();
    // In the order of the slot; the record takes its room from the first part alone.
    assert_eq!(parts, [("boot", 1, 1 << 20), ("rootfs", 0, 2 << 20)]);
    assert_eq!((good.image, good.slot), (3 << 20, (3 << 20) + record));
    let longer = |image: &[u8]| [image, &[1]].concat();
    for (draft, code, told) in [
        (draft(), ReasonCode::PartMissing, "`boot`"),
        (Draft::new("1.0").part("boot", &mib), ReasonCode::PartMissing, "`rootfs`"),
        (draft().part("boot", &mib).part("fpga", &mib), ReasonCode::PartUnknown, "`fpga`"),
        (draft().part("Boot", &mib), ReasonCode::PartMissing, "`boot`"),
        (draft().part("boot", &longer(&mib)), ReasonCode::TooBig, "`boot`"),
        (
            Draft::new("1.0").rootfs(&longer(&two)).part("boot", &mib),
            ReasonCode::TooBig,
            "`rootfs`",
        ),
    ] {
        let failure = planned(draft).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.detail().contains(told), "{failure}");
    }
}

#[test]
fn an_image_may_fill_the_slot_to_the_last_byte_before_its_record() {
    let device = Device::new();
    let full = image(3, ROOM);
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&full).build());
    device.write(&release, input, Reuse::Nothing).unwrap();
    assert!(device.slot_bytes().starts_with(&full));
}

#[test]
fn every_damaged_byte_of_a_file_is_found_before_anything_is_written() {
    let artifact = Draft::new("1.0").rootfs(&image(6, 1 << 20)).build();
    let (release, _) = of_file(&artifact);
    let payload = release.rest_offset() as usize..artifact.len();
    assert!(payload.len() > 20_000);
    check_file(&Memory(artifact.clone()), &release, Depth::Stored, nowhere()).unwrap();
    for at in payload.clone().step_by(1499).chain([payload.end - 1]) {
        let mut damaged = artifact.clone();
        damaged[at] ^= 1;
        let found = check_file(&Memory(damaged), &release, Depth::Stored, nowhere());
        refused(found, ReasonCode::ChunkCorrupt);
    }
    for cut in payload.clone().step_by(20_011) {
        let short = Memory(artifact[..cut].to_vec());
        refused(check_file(&short, &release, Depth::Stored, nowhere()), ReasonCode::Truncated);
    }
    let mut long = artifact.clone();
    long.push(0);
    let found = check_file(&Memory(long), &release, Depth::Stored, nowhere());
    refused(found, ReasonCode::TrailingBytes);
}

fn frame(plain: &[u8], checksum: bool) -> Vec<u8> {
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::ChecksumFlag(checksum)).unwrap();
    let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut bytes, plain).unwrap();
    bytes
}

/// What a signer may have made of a chunk: what it is, and how its frame is changed.
type Form = (&'static str, fn(&[u8], &mut Vec<u8>));

#[test]
fn a_frame_of_another_form_is_found_before_anything_is_written() {
    let image = image(6, 1 << 20);
    let draft = Draft::new("1.0").rootfs(&image);
    let forms: [Form; 11] = [
        ("one byte more", |_, f| f.push(0)),
        ("a skippable frame after", |_, f| f.extend(b"\x50\x2a\x4d\x18\x04\0\0\0skip")),
        ("an empty frame after", |_, f| f.extend(frame(b"", false))),
        ("two frames", |p, f| {
            let (one, two) = p.split_at(p.len() / 2);
            *f = [frame(one, false), frame(two, false)].concat();
        }),
        ("a window instead of one segment", |_, f| {
            f[4] &= !0x20;
            f.insert(5, 21 << 3);
        }),
        ("a length that is too high", |p, f| *f = frame(&[p, b"x"].concat(), false)),
        ("a length that is too low", |p, f| *f = frame(&p[1..], false)),
        ("a frame cut short", |_, f| f.truncate(f.len() - 1)),
        ("a checksum that is not there", |_, f| f[4] |= 4),
        ("a checksum", |p, f| *f = frame(p, true)),
        ("a reserved bit", |_, f| f[4] |= 8),
    ];
    let device = Device::new();
    let before = device.disk_bytes();
    for (what, change) in forms {
        let artifact = draft.build_storing(change);
        let (release, _) = of_file(&artifact);
        for depth in [Depth::Stored, Depth::Decoded] {
            let found = check_file(&Memory(artifact.clone()), &release, depth, nowhere());
            assert_eq!(found.unwrap_err().code(), ReasonCode::ChunkCorrupt, "{what}");
        }
        // What goes on after a cut looks at the missing chunks only, and as closely.
        let input = of_file(&artifact).1;
        let checked = device
            .with_job(&release, input, Reuse::Resume, nowhere(), |j| j.prepare()?.check_missing());
        assert_eq!(checked.unwrap_err().code(), ReasonCode::ChunkCorrupt, "{what}");
    }
    assert!(device.disk_bytes() == before);
}

#[test]
fn what_decodes_to_other_bytes_is_the_artifacts_fault_and_not_the_mediums() {
    let forms: [Form; 2] = [
        ("one other byte", |p, f| {
            let mut other = p.to_vec();
            other[p.len() / 2] ^= 1;
            *f = frame(&other, false);
        }),
        ("zeros of the same length", |p, f| *f = frame(&vec![0; p.len()], false)),
    ];
    for (what, change) in forms {
        let artifact = Draft::new("1.0").rootfs(&image(7, 1 << 20)).build_storing(change);
        let (release, input) = of_file(&artifact);
        let whole = check_file(&Memory(artifact.clone()), &release, Depth::Decoded, nowhere());
        assert_eq!(whole.unwrap_err().code(), ReasonCode::ChunkCorrupt, "{what}");
        for input in [input, of_stream(&artifact).1] {
            let device = Device::new();
            let failure = device.write(&release, input, Reuse::Nothing).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::ChunkCorrupt, "{what}: {failure}");
        }
    }
}

#[test]
fn a_file_that_was_exchanged_after_its_check_is_refused_untouched_or_unbootable() {
    let artifact = Draft::new("1.0").rootfs(&image(5, 2 << 20)).build();
    let device = Device::new();
    let before = device.disk_bytes();
    for (bytes, code) in [
        (artifact[..artifact.len() - 1].to_vec(), ReasonCode::Truncated),
        ([&artifact[..], b"x"].concat(), ReasonCode::TrailingBytes),
    ] {
        let (release, input) = of_file(&bytes);
        refused(device.write(&release, input, Reuse::Nothing), code);
        assert!(device.disk_bytes() == before);
    }
    let mut damaged = artifact.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (release, input) = of_file(&damaged);
    let result = device.write(&release, input, Reuse::Nothing);
    refused(result, ReasonCode::ChunkCorrupt);
    assert!(device.slot_bytes()[..128 << 10].iter().all(|b| *b == 0));
}

#[test]
fn a_stream_that_fails_says_that_the_slot_is_empty_and_the_next_one_installs() {
    let image = image(6, 3 << 20);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    let device = Device::new();
    let (release, input) = of_stream(&artifact[..artifact.len() - 9]);
    let failure = device.write(&release, input, Reuse::Nothing).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::SourceLost);
    assert!(failure.detail().starts_with("slot b: left without a system: "), "{failure}");
    let (release, input) = of_stream(&artifact);
    let report = device.write(&release, input, Reuse::Resume).unwrap();
    assert!(report.kept > 0, "{report:?}");
    assert!(device.slot_bytes().starts_with(&image));
}

/// A body that is cut before the end that it announced: its reader says so where a stream that has
/// ended says nothing.
struct Cut;

impl std::io::Read for Cut {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn a_body_that_is_cut_after_the_last_signed_byte_is_not_a_whole_one() {
    use std::io::{Cursor, Read};
    let artifact = Draft::new("1.0").rootfs(&image(8, 1 << 20)).build();
    let device = Device::new();
    let (release, _) = of_stream(&artifact);
    let payload = Cursor::new(artifact[release.rest_offset() as usize..].to_vec());
    let cut = Source::Stream(ByteStream::new(payload.clone().chain(Cut)));
    refused(device.write(&release, cut, Reuse::Nothing), ReasonCode::SourceLost);
    let longer = Source::Stream(ByteStream::new(payload.clone().chain(&b"x"[..])));
    refused(device.write(&release, longer, Reuse::Nothing), ReasonCode::TrailingBytes);
    device.write(&release, Source::Stream(ByteStream::new(payload)), Reuse::Nothing).unwrap();
}

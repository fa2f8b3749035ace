//! A child at the other end, and one that fails.

use super::*;
use crate::source::wire::ASKED;
use crate::source::{answer_ranges, refuse_ranges};

fn pair(len: u64, fails_at: u64) -> (UnixStream, std::thread::JoinHandle<()>) {
    let (here, there) = UnixStream::pair().unwrap();
    let child = std::thread::spawn(move || {
        let stream = File::from(OwnedFd::from(there));
        let mut read = |offset: u64, buf: &mut [u8]| {
            if offset + buf.len() as u64 > fails_at {
                return Err(Error::other("EIO"));
            }
            buf.iter_mut().zip(offset..).for_each(|(b, at)| *b = u8::try_from(at % 251).unwrap());
            Ok(())
        };
        let _ = answer_ranges(&stream, len, &mut read);
    });
    (here, child)
}

#[test]
fn any_part_is_read_through_the_socket() {
    let size = 3 * PIECE_MAX + 17;
    let len = size as u64;
    let (here, child) = pair(len, u64::MAX);
    let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
    assert_eq!(socket.len(), len);
    let mut all = vec![0; size];
    socket.read_at(0, &mut all).unwrap();
    assert!(all.iter().zip(0u64..).all(|(b, at)| *b == u8::try_from(at % 251).unwrap()));
    let past = socket.read_at(len - 3, &mut [0; 4]).unwrap_err();
    assert_eq!(past.code(), ReasonCode::Truncated);
    drop(socket);
    child.join().unwrap();
}

/// A child that answers nothing before it has heard all questions would wait for ever, were
/// they put one after the other.
#[test]
fn many_ranges_are_one_round_trip() {
    const COUNT: usize = 100;
    let (here, mut there) = UnixStream::pair().unwrap();
    let child = std::thread::spawn(move || {
        let mut asked = [0; 16];
        there.read_exact(&mut asked).unwrap();
        there.write_all(&[&[0; 4][..], &number(8), &5000_u64.to_le_bytes()].concat()).unwrap();
        let mut all = [0; 16 * COUNT];
        there.read_exact(&mut all).unwrap();
        for asked in all.chunks_exact(16) {
            assert_eq!(asked[..8], [&ASKED[..], &number(3)].concat());
            let bytes = [asked[8], asked[9], 7];
            there.write_all(&[&[0; 4][..], &number(3), &bytes].concat()).unwrap();
        }
    });
    let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
    socket.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ranges: Vec<_> = (0..COUNT as u64).map(|n| 40 * n..40 * n + 3).collect();
    let mut buf = [0; 3 * COUNT];
    socket.read_ranges(&ranges, &mut buf).unwrap();
    for (range, bytes) in ranges.iter().zip(buf.chunks_exact(3)) {
        assert_eq!(bytes, [&range.start.to_le_bytes()[..2], &[7]].concat());
    }
    child.join().unwrap();
    let short = socket.read_ranges(&ranges, &mut [0; 3 * COUNT - 1]).unwrap_err();
    assert_eq!(short.code(), ReasonCode::Internal);
}

#[test]
fn a_medium_that_fails_is_lost_and_stays_lost() {
    let (here, child) = pair(1000, 500);
    let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
    socket.read_at(0, &mut [0; 500]).unwrap();
    for offset in [500, 0] {
        let lost = socket.read_at(offset, &mut [0; 10]).unwrap_err();
        assert_eq!(lost.code(), ReasonCode::SourceLost);
        assert!(offset == 0 || lost.detail().contains("EIO"), "{lost}");
    }
    drop(socket);
    child.join().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    drop(there);
    let lost = RangeSocket::handed(here.into(), "x").unwrap().unwrap_err();
    assert_eq!(lost.code(), ReasonCode::SourceLost);
}

#[test]
fn a_childs_reason_and_its_class_reach_the_parent() {
    for (medium_failed, code) in [(false, ReasonCode::FileDamaged), (true, ReasonCode::SourceLost)]
    {
        let (here, there) = UnixStream::pair().unwrap();
        let why = format!("its chain ends\x1b[2J {}", "x".repeat(500));
        let child = std::thread::spawn(move || {
            refuse_ranges(&File::from(OwnedFd::from(there)), medium_failed, &why).unwrap();
        });
        let failure = RangeSocket::handed(here.into(), "x").unwrap().unwrap_err();
        assert_eq!(failure.code(), code);
        assert!(failure.detail().contains("its chain ends"), "{failure}");
        assert!(!failure.detail().contains('\x1b'), "{failure}");
        child.join().unwrap();
    }
}

#[test]
fn what_is_no_socket_is_given_back() {
    let file = tempfile::tempfile().unwrap();
    assert!(RangeSocket::handed(file.into(), "x").is_err());
}

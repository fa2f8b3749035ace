//! H: the header, before anything is believed.

use super::stranger::{parts, refused, trust};
use std::io::Read;
use surefoot::artifact::read_head;
use surefoot::model::ReasonCode::{
    HeaderInvalid, NotAnArtifact, SignatureMissing, Truncated, UpdaterTooOld,
};

fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut artifact = parts().bytes();
    artifact[at..at + bytes.len()].copy_from_slice(bytes);
    artifact
}

#[test]
fn h01_h02_h11_short_files_are_truncated() {
    let good = parts().bytes();
    refused(&[], &trust(1), Truncated);
    refused(&good[..31], &trust(1), Truncated);
    let head = good.len() - parts().payload().len();
    for len in [32, 33, 135, 136, 137, head - 1, head, good.len() - 1] {
        refused(&good[..len], &trust(1), Truncated);
    }
}

#[test]
fn h03_h13_foreign_and_mangled_files_are_no_artifacts() {
    let foreign: [&[u8]; 11] = [
        b"\x7fELF\x02\x01\x01",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"hsqs",
        b"070702 cpio of an swu",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08",
        b"version/000644 of a mender tar",
        b"#!/bin/sh\n",
        b"{}",
        b"x",
    ];
    for bytes in foreign {
        refused(bytes, &trust(1), NotAnArtifact);
        let long = [bytes, &[b'x'; 5000]].concat();
        refused(&long, &trust(1), NotAnArtifact);
    }
    // Text mode, the other text mode, seven bits.
    for magic in [b"\x89SFT\r\r\n\x1a", b"\x89SFT\n\x1a\n\x01", b"\x09SFT\r\n\x1a\n"] {
        refused(&patched(0, magic), &trust(1), NotAnArtifact);
    }
}

#[test]
fn h04_a_newer_format_asks_for_a_newer_updater() {
    refused(&patched(8, &[4, 0]), &trust(1), UpdaterTooOld);
    // Formats 2 and 3 are deltas, and their lists are of hashes.
    refused(&patched(8, &[2, 0]), &trust(1), HeaderInvalid);
    refused(&patched(8, &[3, 0]), &trust(1), HeaderInvalid);
    refused(&patched(8, &[0xff, 0xff]), &trust(1), UpdaterTooOld);
    refused(&patched(8, &[0, 0]), &trust(1), HeaderInvalid);
}

#[test]
fn h05_h06_h07_h08_h09_lengths_and_reserved_bytes_are_exact() {
    let u32s = |n: u32| n.to_le_bytes();
    for body_len in [0, 65_537, u32::MAX] {
        refused(&patched(12, &u32s(body_len)), &trust(1), HeaderInvalid);
    }
    for table_len in [0, 1, 79, 81, 8 * 1024 * 1024 + 32, u32::MAX - 15, u32::MAX] {
        refused(&patched(16, &u32s(table_len)), &trust(1), HeaderInvalid);
    }
    for n in [2, 9, 255] {
        refused(&patched(20, &[n]), &trust(1), HeaderInvalid);
    }
    for header_len in [0u16, 31, 32, 135, 137, 240, u16::MAX] {
        refused(&patched(10, &header_len.to_le_bytes()), &trust(1), HeaderInvalid);
    }
    for at in 21..32 {
        refused(&patched(at, &[1]), &trust(1), HeaderInvalid);
    }
    // Nine records, consistently announced.
    let mut nine = parts();
    nine.signers = (2..11).collect();
    refused(&nine.bytes(), &trust(1), HeaderInvalid);
}

#[test]
fn h07_no_signature_is_no_permission() {
    refused(&parts().bytes_signed(&[]), &trust(1), SignatureMissing);
}

#[test]
fn h14_only_the_one_algorithm() {
    for alg in [0, 2, 255] {
        refused(&patched(32 + 32, &[alg]), &trust(1), HeaderInvalid);
    }
    for at in 33..40 {
        refused(&patched(32 + at, &[1]), &trust(1), HeaderInvalid);
    }
}

/// A source that counts, and fails the test if more is read than a head may have.
struct Endless {
    start: Vec<u8>,
    read: usize,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        for byte in buf.iter_mut() {
            *byte = self.start.get(self.read).copied().unwrap_or(b'x');
            self.read += 1;
        }
        Ok(buf.len())
    }
}

#[test]
fn n01_an_endless_source_is_read_no_further_than_the_head() {
    let good = parts().bytes();
    let head = good.len() - parts().payload().len() - parts().pages().len();
    let mut source = Endless { start: good, read: 0 };
    read_head(&mut source).unwrap();
    assert_eq!(source.read, head);
    let mut source = Endless { start: Vec::new(), read: 0 };
    read_head(&mut source).unwrap_err();
    assert_eq!(source.read, 32);
}

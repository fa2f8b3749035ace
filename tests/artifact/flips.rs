//! H12 and R12: no byte of an artifact is "don't care".

use super::stranger::{judge, parts, trust};
use std::collections::BTreeSet;

#[test]
fn every_single_flipped_bit_is_refused() {
    let mut artifact = parts();
    artifact.signers = vec![2, 3];
    let (bytes, trust) = (artifact.bytes(), trust(2));
    judge(&bytes, &trust).unwrap();
    let mut codes = BTreeSet::new();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match judge(&bad, &trust) {
            Ok(()) => panic!("bit {} of byte {} does not matter", bit % 8, bit / 8),
            Err(failure) => codes.insert(failure.code()),
        };
    }
    // The test reached every stage of the reader.
    let names: Vec<&str> = codes.iter().map(|c| c.as_str()).collect();
    assert_eq!(
        names,
        [
            "TRUNCATED",
            "NOT_AN_ARTIFACT",
            "UPDATER_TOO_OLD",
            "HEADER_INVALID",
            "SIGNATURE_INVALID",
            "SIGNATURE_THRESHOLD",
            "CHUNK_CORRUPT"
        ]
    );
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let (bytes, trust) = (parts().bytes(), trust(1));
    for len in 0..bytes.len() {
        let failure = judge(&bytes[..len], &trust).unwrap_err();
        assert_eq!(failure.code().as_str(), "TRUNCATED", "{len}");
    }
    for extra in 0..=255 {
        let longer = [&bytes[..], &[extra]].concat();
        assert_eq!(judge(&longer, &trust).unwrap_err().code().as_str(), "TRAILING_BYTES");
    }
}

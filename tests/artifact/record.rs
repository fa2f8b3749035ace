//! The slot record proves what was installed without the artifact, and nothing else.

use super::stranger::{parts, trust};
use surefoot::artifact::{Release, read_head, read_record};
use surefoot::model::ReasonCode;
use surefoot::trust::Verified;

fn release() -> Verified<Release> {
    read_head(&mut parts().bytes().as_slice()).unwrap().verify(&trust(1)).unwrap()
}

#[test]
fn a_record_reads_back_with_its_chunks_or_without() {
    let release = release();
    let payload = &release.manifest.payloads[0];
    let full = release.record(&[0], 1024 * 1024).unwrap();
    let installed = read_record(&full, &trust(1)).unwrap();
    assert_eq!(installed.manifest, release.manifest);
    assert_eq!(installed.body_digest, release.body_digest());
    assert_eq!(installed.chunks_of(0), Some(release.chunks_of(payload)));
    assert_eq!(installed.chunks_of(1), None);
    let short = release.record(&[0], full.len() - 1).unwrap();
    let installed = read_record(&short, &trust(1)).unwrap();
    assert!(installed.chunks.is_none());
    assert_eq!(installed.rootfs(), Some(payload));
    assert!(release.record(&[0], short.len() - 1).is_err());
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_record_is_refused() {
    let release = release();
    let full = release.record(&[0], 1024 * 1024).unwrap();
    for bit in 0..full.len() * 8 {
        let mut bad = full.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read_record(&bad, &trust(1)).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
    let without_chunks = full.len() - 5 * 80;
    for len in (0..full.len()).filter(|len| *len != without_chunks) {
        assert!(read_record(&full[..len], &trust(1)).is_err(), "{len}");
    }
}

#[test]
fn a_record_that_nobody_trusted_signed_is_refused() {
    let mut artifact = parts();
    artifact.signers = vec![9];
    let release = read_head(&mut artifact.bytes().as_slice()).unwrap().parse_unverified().unwrap();
    let record = release.record(&[0], 1024 * 1024).unwrap();
    let failure = read_record(&record, &trust(1)).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::SignatureUntrusted);
}

//! Patches of signers who mean harm, or whose tools are broken: what a device checks behind a good signature.

use super::shop::{Layer, Shop, folders};
use crate::common::rounds;
use surefoot::artifact::{BundleDelta, BundleDeltaManifest, DELTA_BLOCK_LEN, Unverified};
use surefoot::layer::{LayerFolders, apply, bundle_head, patch_offset};
use surefoot::model::{Digest, Failure, ReasonCode, Result};

/// A delta whose stored bytes are these, with good hashes.
fn signed(manifest: &BundleDeltaManifest, stored: &[u8]) -> Result<BundleDelta> {
    let hashes: Vec<Digest> = stored.chunks(DELTA_BLOCK_LEN as usize).map(Digest::of).collect();
    Unverified::of_bundle_delta(manifest, &hashes)?.parse_unverified_bundle_delta()
}

struct Case {
    _shop: Shop,
    new: Layer,
    from: LayerFolders,
    manifest: BundleDeltaManifest,
    stored: Vec<u8>,
    index: usize,
}

fn case() -> Case {
    let shop = Shop::new();
    let (old, new) = (shop.base(1), shop.base(2));
    let from = shop.bundle("shop", 1, &[vec![old.clone()]]);
    let to = shop.bundle("shop", 2, &[vec![new.clone()]]);
    let (bytes, delta) = shop.delta(&[&from], &to);
    let offset = usize::try_from(delta.stored_offset()).unwrap();
    let plans = &delta.manifest.payloads;
    let index = plans.iter().position(|plan| plan.sha256 == new.digest()).unwrap();
    let (from, stored) = (folders(&[&old]), bytes[offset..].to_vec());
    Case { manifest: delta.manifest.clone(), _shop: shop, new, from, stored, index }
}

impl Case {
    fn make(&self, manifest: &BundleDeltaManifest, stored: &[u8]) -> Result<Vec<u8>> {
        let delta = signed(manifest, stored)?;
        let at = patch_offset(&delta, self.index) - delta.stored_offset();
        let mut out = Vec::new();
        let rest = &stored[usize::try_from(at).unwrap()..];
        apply(&delta, self.index, &mut { rest }, &self.from, &mut out)?;
        Ok(out)
    }

    fn refused(
        &self,
        change: impl Fn(&mut BundleDeltaManifest, &mut Vec<u8>),
        why: &str,
    ) -> Failure {
        let (mut manifest, mut stored) = (self.manifest.clone(), self.stored.clone());
        change(&mut manifest, &mut stored);
        let failure = self.make(&manifest, &stored).expect_err(why);
        let code = failure.code();
        assert!(
            matches!(code, ReasonCode::DeltaInvalid | ReasonCode::DeltaBase),
            "{why}: {failure}"
        );
        failure
    }
}

#[test]
fn lengths_and_digests_that_contradict_each_other_are_refused() {
    let case = case();
    assert!(case.make(&case.manifest, &case.stored).unwrap() == case.new.tar);
    let n = case.index;
    type Change = fn(&mut BundleDeltaManifest, usize);
    let changes: [(Change, &str); 14] = [
        (|m, n| m.payloads[n].size += 1, "a byte more"),
        (|m, n| m.payloads[n].size -= 1, "a byte less"),
        (|m, n| m.payloads[n].size = u64::MAX, "an endless layer"),
        (|m, n| m.payloads[n].size = 0, "an empty one"),
        (|m, n| m.payloads[n].sha256.0[3] ^= 1, "another layer"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().stored = u64::MAX, "an endless patch"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().list += 1, "a longer list"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().list = 0, "no list"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().list_len = 8 << 20, "another list"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().list_len = u32::MAX, "a list of 4 GiB"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().from_size += 1, "other files"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().sources.clear(), "no source"),
        (|m, n| m.payloads[n].patch.as_mut().unwrap().sources[0].sha256.0[0] ^= 1, "a hash"),
        (|m, _| m.windows = [20, 20, 21, 31], "a window of 2 GiB"),
    ];
    for (change, why) in changes {
        case.refused(|manifest, _| change(manifest, n), why);
    }
    case.refused(|m, _| m.payloads[n].patch = None, "nothing of the layer");
    case.refused(|m, s| (m.stored, _) = (m.stored - 1, s.pop()), "a byte cut off");
}

#[test]
fn each_changed_byte_of_a_patch_is_refused_or_means_the_same() {
    let case = case();
    let delta = signed(&case.manifest, &case.stored).unwrap();
    let part = delta.stored_of(case.index);
    let mut same = 0;
    for round in 0..u64::from(rounds(300)) {
        let mut stored = case.stored.clone();
        let at = part.start + round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (part.end - part.start);
        stored[usize::try_from(at).unwrap()] ^= 1 << (round % 8);
        match case.make(&case.manifest, &stored) {
            // zstd may have a second spelling of the same.
            Ok(made) => {
                assert!(made == case.new.tar, "byte {at}");
                same += 1;
            }
            Err(failure) => {
                let known =
                    matches!(failure.code(), ReasonCode::DeltaInvalid | ReasonCode::DeltaBase);
                assert!(known, "byte {at}: {failure}");
            }
        }
    }
    assert!(same < rounds(300) / 10, "{same}");
}

#[test]
fn a_stored_byte_that_was_not_signed_is_not_looked_at() {
    let case = case();
    let delta = signed(&case.manifest, &case.stored).unwrap();
    let at = usize::try_from(patch_offset(&delta, case.index) - delta.stored_offset()).unwrap();
    for byte in [at, case.stored.len() - 1] {
        let mut stored = case.stored.clone();
        stored[byte] ^= 1;
        let mut out = Vec::new();
        let made = apply(&delta, case.index, &mut &stored[at..], &case.from, &mut out);
        assert_eq!(made.unwrap_err().code(), ReasonCode::ChunkCorrupt);
    }
    let mut cut = &case.stored[at..case.stored.len() - 1];
    let made = apply(&delta, case.index, &mut cut, &case.from, &mut Vec::new());
    assert_eq!(made.unwrap_err().code(), ReasonCode::Truncated);
}

#[test]
fn the_head_needs_the_bundles_that_it_was_compressed_with() {
    let case = case();
    let delta = signed(&case.manifest, &case.stored).unwrap();
    for known in [None, Some(Vec::new()), Some(vec![7; 4000]), Some(vec![0; 9 << 20])] {
        let made = bundle_head(&delta, &mut &case.stored[..], &mut |_| known.clone());
        let code = made.unwrap_err().code();
        assert!(matches!(code, ReasonCode::DeltaBase | ReasonCode::DeltaInvalid), "{code}");
    }
}

//! Properties of deltas for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::{Blocks, Player, WINDOW, carry_out, check_blocks};
use crate::artifact::{
    DELTA_BLOCK_LEN, Delta, DeltaEnd, DeltaManifest, DeltaPayload, PayloadKind, Requires,
    Unverified,
};
use crate::model::{Digest, Result};

/// The old image, and what is made of it.
const OLD: u64 = 100_000;
const NEW: [u64; 2] = [60_000, 300_000];

fn delta(stored: &[u8]) -> Delta {
    let end = || DeltaEnd {
        version: "1.0.0".parse().unwrap(),
        release_counter: 1,
        digest: Digest([1; 32]),
    };
    let payload =
        |size| DeltaPayload { kind: PayloadKind::Rootfs, size, from: Some(0), from_size: OLD };
    let manifest = DeltaManifest {
        format: 2,
        product: "demo".parse().unwrap(),
        security_epoch: 0,
        stored: stored.len() as u64,
        head: 0,
        table: 0,
        table_prefix: false,
        windows: [20, 20, 21, 23],
        requires: Requires { updater: "0.3.0".to_owned() },
        from: end(),
        to: end(),
        payloads: NEW.map(payload).to_vec(),
    };
    let hashes: Vec<Digest> = stored.chunks(DELTA_BLOCK_LEN as usize).map(Digest::of).collect();
    let head = Unverified::of_delta(&manifest, &hashes).unwrap();
    head.parse_unverified_delta().unwrap()
}

/// Batches that anybody has made, behind a good signature: they are refused, or make exactly the lengths
/// that are signed from bytes inside the old image, and the same however they are asked for.
pub fn player(stored: &[u8]) {
    if stored.is_empty() {
        return;
    }
    let delta = delta(stored);
    let checked = check_blocks(&delta, Blocks::default(), &mut &stored[..], &mut |_| Ok(()));
    let made = [7_001, 150_000].map(|step| make(&delta, stored, step));
    match checked {
        Ok(()) => assert!(made[0].is_ok() && made[0] == made[1], "it depends on the step"),
        Err(_) => assert!(made.iter().all(|made| made.is_err()), "only the check refuses it"),
    }
}

fn make(delta: &Delta, stored: &[u8], step: u64) -> Result<Vec<u8>> {
    let mut player = Player::new(delta, Blocks::default())?;
    let (mut input, mut pieces, mut all) = (stored, Vec::new(), Vec::new());
    let mut window = vec![0; WINDOW];
    for (index, size) in NEW.into_iter().enumerate() {
        let mut at = 0;
        while at < size {
            let some = step.min(size - at);
            let mut out = vec![0; usize::try_from(some).unwrap()];
            player.bring(&delta.blocks, &mut input, (index, at), &mut out, &mut pieces)?;
            let mut read = |at: u64, buf: &mut [u8]| {
                assert!(at + buf.len() as u64 <= OLD, "outside of the old image");
                let byte = |n: u64| ((at + n) % 251).to_le_bytes()[0];
                buf.iter_mut().zip(0..).for_each(|(out, n)| *out = byte(n));
                Ok(())
            };
            carry_out(&mut pieces, &mut out, (OLD, 512), &mut window, &mut read)?;
            all.extend(out);
            at += some;
        }
    }
    player.finish(&delta.blocks, &mut input)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    #[test]
    fn batches_are_refused_or_make_what_is_signed() {
        crate::model::corpus::run("delta", super::player);
    }
}

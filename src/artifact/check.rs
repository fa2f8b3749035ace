//! Checking a whole artifact without a device: every stored hash, every plain hash, the digest of
//! every image, and that nothing follows.

use super::input::read_exactly;
use super::{Codec, Decoder, History, Release};
use crate::model::{Digest, Failure, ReasonCode, Result};
use sha2::{Digest as _, Sha256};
use std::io::Read;

/// What a full check has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Bytes of the artifact, head included: all of them.
    pub artifact_len: u64,
    /// Bytes of all images.
    pub plain_len: u64,
}

/// Reads the payload that follows the head of `release`, to the end of `input`.
pub fn check_payload(
    release: &Release,
    input: &mut dyn Read,
    progress: &dyn Fn(u64),
) -> Result<Checked> {
    let mut decoder = Decoder::new()?;
    let (mut stored_len, mut plain_len) = (0u64, 0u64);
    let mut plain = Vec::new();
    release.pass_pages(input)?;
    for (n, payload) in release.manifest.payloads.iter().enumerate() {
        let mut sha256 = Sha256::new();
        let mut history = History::of(release.chunks_of(payload));
        for (m, chunk) in release.chunks_of(payload).iter().enumerate() {
            let place = format!("payload {n}, chunk {m}");
            if chunk.codec == Codec::Zero {
                hash_zeros(&mut sha256, u64::from(chunk.plain_len));
            } else {
                let stored = read_exactly(input, u64::from(chunk.stored_len), "payload")?;
                stored_len += stored.len() as u64;
                plain.resize(chunk.plain_len as usize, 0);
                let decoded = history
                    .context(chunk)
                    .and_then(|context| decoder.decode(chunk, context, &stored, &mut plain));
                decoded.map_err(|f| f.at(&place))?;
                history.push(&plain)?;
                sha256.update(&plain);
            }
            plain_len += u64::from(chunk.plain_len);
            progress(plain_len);
        }
        if Digest(sha256.finalize().into()) != payload.sha256 {
            let detail = format!("payload {n}: the image does not have the manifest's SHA-256");
            return Err(Failure::new(ReasonCode::ChunkCorrupt, detail));
        }
    }
    match read_exactly(input, 1, "payload") {
        Err(end) if end.code() == ReasonCode::Truncated => {}
        // A source that fails says nothing about what it would have brought.
        Err(failure) => return Err(failure),
        Ok(_) => {
            let detail = "there are bytes after the payload";
            return Err(Failure::new(ReasonCode::TrailingBytes, detail));
        }
    }
    Ok(Checked { artifact_len: release.payload_offset() + stored_len, plain_len })
}

pub(super) fn hash_zeros(hash: &mut Sha256, mut len: u64) {
    let zeros = [0u8; 64 * 1024];
    while len > 0 {
        let step = len.min(zeros.len() as u64);
        // At most 64 KiB, so it fits.
        hash.update(&zeros[..usize::try_from(step).unwrap_or(0)]);
        len -= step;
    }
}

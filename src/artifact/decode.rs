//! From stored bytes to plain bytes, with nothing left to the input's good will.

use super::{Chunk, Codec};
use crate::model::{Digest, Failure, ReasonCode, Result};
use zstd_safe::DCtx;

/// What a zstd dictionary begins with (RFC 8878 section 5): a decoder would not take it as plain bytes.
pub(super) const DICTIONARY: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// Decodes chunks one after the other; keep one per thread. Holds about 100 KiB.
pub struct Decoder {
    context: DCtx<'static>,
}

impl Decoder {
    /// A fresh decoder.
    pub fn new() -> Result<Decoder> {
        let context = DCtx::try_create()
            .ok_or_else(|| Failure::new(ReasonCode::NoMemory, "a decoder needs 100 KiB"))?;
        Ok(Decoder { context })
    }

    /// Checks `stored` against its signed hash, decodes it into `out`, which is exactly
    /// `chunk.plain_len` bytes, with the help of `context` (the plain bytes of the data chunks that
    /// [`Codec::Context`] names, each of which had its own hash compared; else nothing), and checks those against theirs: what decodes to other bytes than
    /// were signed is the artifact's fault, and must never be blamed on the medium that it was
    /// written to. After an error `out` holds bytes that must not be used.
    pub fn decode(
        &mut self,
        chunk: &Chunk,
        context: &[u8],
        stored: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        if u32::try_from(out.len()) != Ok(chunk.plain_len) {
            return Err(Failure::new(ReasonCode::Internal, "the buffer is not the chunk's length"));
        }
        check_stored(chunk, stored)?;
        match chunk.codec {
            Codec::Zero => out.fill(0),
            Codec::Raw => {
                // No table that was parsed has two hashes here; that is all that is left to compare,
                // and nothing after this compares it again.
                if chunk.plain != chunk.stored {
                    return Err(corrupt("a raw chunk with two hashes"));
                }
                out.copy_from_slice(stored);
            }
            Codec::Zstd | Codec::Context { .. } => {
                let written = match chunk.codec {
                    Codec::Context { .. } => {
                        if context.starts_with(&DICTIONARY) {
                            return Err(corrupt("a context that begins as a dictionary does"));
                        }
                        self.context.decompress_using_dict(out, stored, context)
                    }
                    _ => self.context.decompress(out, stored),
                };
                let written = written.map_err(|code| {
                    corrupt(&format!("zstd: {}", zstd_safe::get_error_name(code)))
                })?;
                if written != out.len() {
                    return Err(corrupt("the frame holds fewer bytes than it says"));
                }
                if Digest::of(out) != chunk.plain {
                    return Err(corrupt("the decoded bytes do not match their signed hash"));
                }
            }
        }
        Ok(())
    }

    /// Whether a device decodes `stored`, just packed, to `plain`. The hashes are those of these bytes already.
    #[cfg(feature = "forge")]
    pub(super) fn gives(
        &mut self,
        chunk: &Chunk,
        context: &[u8],
        stored: &[u8],
        plain: &[u8],
    ) -> bool {
        if chunk.codec == Codec::Raw {
            return stored == plain;
        }
        let mut out = Vec::with_capacity(plain.len());
        check_frame(chunk, stored).is_ok()
            && self.context.decompress_using_dict(&mut out, stored, context).is_ok()
            && out == plain
    }
}

/// Whether `stored` are the chunk's stored bytes, and where they are compressed, exactly one frame of
/// the form that the format demands. This costs one hash; what the frame decodes to is not known.
pub fn check_stored(chunk: &Chunk, stored: &[u8]) -> Result<()> {
    if u32::try_from(stored.len()) != Ok(chunk.stored_len) {
        return Err(corrupt("the chunk has another length"));
    }
    // The hash of nothing is not carried: a zero run has no bytes that could be wrong.
    if chunk.codec != Codec::Zero && Digest::of(stored) != chunk.stored {
        return Err(corrupt("the stored bytes do not match their signed hash"));
    }
    match chunk.codec {
        Codec::Zstd | Codec::Context { .. } => check_frame(chunk, stored),
        Codec::Raw | Codec::Zero => Ok(()),
    }
}

/// One frame, of one segment (so that no window is allocated), without dictionary and checksum, that says it
/// holds exactly `plain_len` bytes (RFC 8878 section 3.1.1.1).
fn check_frame(chunk: &Chunk, stored: &[u8]) -> Result<()> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const SINGLE_SEGMENT: u8 = 1 << 5;
    // The signed hashes are the checksum; one of the frame's own would be a second one that a reader may skip.
    const RESERVED_CHECKSUM_OR_DICTIONARY: u8 = 0b1111;
    let descriptor = stored.get(4).copied().unwrap_or(0);
    if !stored.starts_with(&MAGIC)
        || descriptor & SINGLE_SEGMENT == 0
        || descriptor & RESERVED_CHECKSUM_OR_DICTIONARY != 0
    {
        return Err(corrupt("no plain zstd frame of one segment"));
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(len)) if len == u64::from(chunk.plain_len) => {}
        _ => return Err(corrupt("the frame says it holds another number of bytes")),
    }
    if zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(corrupt("the frame does not end with the chunk"));
    }
    Ok(())
}

fn corrupt(why: &str) -> Failure {
    Failure::new(ReasonCode::ChunkCorrupt, why)
}

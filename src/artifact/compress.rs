//! From plain bytes to stored ones: the frames of one group of chunks, each decoded again where it is kept.

use super::cut::Piece;
use super::cut::Span;
use super::decode::DICTIONARY;
use super::{Chunk, Codec, Decoder, MAX_CHUNK_LEN};
use crate::model::{Digest, Failure, ReasonCode, Result, WithReason};
use std::ops::Range;
use zstd_safe::{CCtx, CParameter};

/// A chunk, what is stored of it, and where its plain bytes are in its group.
pub(super) type Stored = (Chunk, Vec<u8>, Range<usize>);

/// What a group became: its plain bytes and its chunks in order.
pub(super) type Answer = Result<(Vec<u8>, Vec<Stored>)>;

/// Chunks that may refer to those before them in it. It is as long as a context may be, so that a device
/// can decode one group beside another, and one thread compresses it.
#[derive(Default)]
pub(super) struct Group {
    /// The plain bytes of its data chunks, back to back.
    pub(super) plain: Vec<u8>,
    pieces: Vec<Span>,
}

impl Group {
    pub(super) fn add(&mut self, piece: Piece) {
        self.pieces.push(piece.span());
        if let Piece::Data(plain) = piece {
            match self.plain.is_empty() {
                true => self.plain = plain,
                false => self.plain.extend_from_slice(&plain),
            }
        }
    }
}

/// Compresses groups one after the other. What zstd holds for a frame is kept from one frame to the next.
pub(super) struct Compressor {
    level: i32,
    context: CCtx<'static>,
    /// For what is kept.
    decoder: Option<Decoder>,
    /// A copy of a chunk: it must not lie behind its context.
    apart: Vec<u8>,
}

impl Compressor {
    pub(super) fn new(level: i32, kept: bool) -> Result<Compressor> {
        // The longest chunk: low levels have a shorter window, and then zstd writes a frame of
        // several segments, which no reader takes.
        let mut context = compressing(level)?;
        window(&mut context, MAX_CHUNK_LEN.ilog2())?;
        let decoder = kept.then(Decoder::new).transpose()?;
        Ok(Compressor { level, context, decoder, apart: Vec::new() })
    }

    pub(super) fn compress(&mut self, group: Group) -> Answer {
        let Group { plain, pieces } = group;
        let (mut stored, mut starts, mut at) = (Vec::with_capacity(pieces.len()), Vec::new(), 0);
        // It refers to the group, so it lives no longer.
        let mut referring = compressing(self.level)?;
        for piece in pieces {
            if piece.zeros {
                stored.push((Chunk::zeros(piece.len), Vec::new(), at..at));
                continue;
            }
            let place = at..at + piece.len as usize;
            // A decoder would take such a context for a dictionary.
            let dictionary = |start: &&usize| plain[**start..].starts_with(&DICTIONARY);
            let passed = starts.iter().take_while(dictionary).count();
            let first = starts.get(passed).copied().unwrap_or(at);
            let (before, chunk) = (&plain[first..at], &plain[place.clone()]);
            let frame = match before {
                [] => self.alone(chunk)?,
                _ => self.referring(&mut referring, before, chunk)?,
            };
            let codec = match u16::try_from(starts.len() - passed) {
                Ok(0) => Codec::Zstd,
                chunks => {
                    Codec::Context { chunks: chunks.reason(ReasonCode::Internal, "context")? }
                }
            };
            let (record, bytes) = store(chunk, frame, codec)?;
            if let Some(decoder) = &mut self.decoder
                && !decoder.gives(&record, before, &bytes, chunk)
            {
                let detail = "a chunk that was packed decodes to other bytes";
                return Err(Failure::new(ReasonCode::Internal, detail));
            }
            starts.push(at);
            at = place.end;
            stored.push((record, bytes, place));
        }
        drop(referring);
        Ok((plain, stored))
    }

    fn alone(&mut self, chunk: &[u8]) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(chunk.len()));
        self.context.compress2(&mut frame, chunk).map_err(zstd_failed)?;
        Ok(frame)
    }

    /// `before` ends where `chunk` begins, in one buffer.
    fn referring<'a>(
        &mut self,
        context: &mut CCtx<'a>,
        before: &'a [u8],
        chunk: &[u8],
    ) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(chunk.len()));
        // The window reaches over all of it: its length is that of a whole power of two.
        let all = before.len() + chunk.len();
        window(context, all.next_power_of_two().ilog2().max(17))?;
        context.ref_prefix(before).map_err(zstd_failed)?;
        // zstd makes other frames where the prefix ends just before what it compresses.
        self.apart.clear();
        self.apart.extend_from_slice(chunk);
        let chunk = &self.apart;
        context.compress2(&mut frame, chunk).map_err(zstd_failed)?;
        Ok(frame)
    }
}

fn compressing<'a>(level: i32) -> Result<CCtx<'a>> {
    let no_memory = || Failure::new(ReasonCode::NoMemory, "compressing needs memory");
    let mut context = CCtx::try_create().ok_or_else(no_memory)?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(zstd_failed)?;
    }
    Ok(context)
}

/// Of the frames that follow.
fn window(context: &mut CCtx<'_>, log: u32) -> Result<()> {
    context.set_parameter(CParameter::WindowLog(log)).map(drop).map_err(zstd_failed)
}

fn zstd_failed(code: usize) -> Failure {
    let name = zstd_safe::get_error_name(code);
    Failure::new(ReasonCode::Internal, format!("zstd: {name}"))
}

fn store(plain: &[u8], bytes: Vec<u8>, codec: Codec) -> Result<(Chunk, Vec<u8>)> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).reason(ReasonCode::Internal, "chunk");
    let plain_len = length(plain)?;
    let plain_hash = Digest::of(plain);
    let (codec, bytes, stored) = if bytes.len() < plain.len() {
        let stored = Digest::of(&bytes);
        (codec, bytes, stored)
    } else {
        (Codec::Raw, plain.to_vec(), plain_hash)
    };
    let chunk = Chunk { plain_len, stored_len: length(&bytes)?, codec, plain: plain_hash, stored };
    Ok((chunk, bytes))
}

//! The stored bytes of a delta: ops in batches of four compressed streams, and the hash of each block.

use super::super::file;
use crate::artifact::DELTA_BLOCK_LEN;
use crate::delta::BATCH_MAX;
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// The windows of the four streams, as powers of two. Of a large update (v1 to v2 of the benchmark, 26 MB)
/// a window of 8 MiB for extra bytes saves 3.6 kB more, one of 8 MiB for differences 8 kB, and each costs a
/// device what it is longer; lengths and seeks have 388 and 255 kB in all.
pub(super) const WINDOWS: [u8; 4] = [18, 18, 21, 22];

/// What an op does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zero = 0,
    Copy = 1,
    Add = 2,
    Extra = 3,
}

/// Stored bytes on their way into a file.
pub(super) struct Stored {
    out: BufWriter<File>,
    block: Vec<u8>,
    pub(super) hashes: Vec<Digest>,
    pub(super) len: u64,
}

impl Stored {
    /// Into a file without a name, beside `near`.
    pub(super) fn new(near: &Path) -> Result<Stored> {
        let out = BufWriter::with_capacity(1 << 20, file::scratch(near)?);
        Ok(Stored { out, block: Vec::new(), hashes: Vec::new(), len: 0 })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = DELTA_BLOCK_LEN as usize - self.block.len();
            let (some, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(some);
            if self.block.len() == DELTA_BLOCK_LEN as usize {
                self.end_block()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        self.hashes.push(Digest::of(&self.block));
        let failed = |e| Failure::new(ReasonCode::NoSpace, format!("writing the delta: {e}"));
        self.out.write_all(&self.block).map_err(failed)?;
        self.block.clear();
        Ok(())
    }

    /// The file, the hashes of its blocks and its length.
    pub(super) fn finish(mut self) -> Result<(File, Vec<Digest>, u64)> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let failed = |e: std::io::Error| {
            Failure::new(ReasonCode::NoSpace, format!("writing the delta: {e}"))
        };
        let file = self.out.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok((file, self.hashes, self.len))
    }
}

/// Writes ops. Neighbours of one kind that go on where the one before ends become one op.
pub(super) struct Encoder {
    stored: Stored,
    streams: [CCtx<'static>; 4],
    /// Of the batch at hand, not compressed yet.
    raw: [Vec<u8>; 4],
    pending: Option<(Kind, u64, u64)>,
    /// Where the old bytes of the next op begin if it does not seek.
    old: u64,
    /// Where each old file ends, if the old image is a row of files.
    files: Vec<u64>,
    /// Bytes that the ops behind have made.
    made: u64,
}

impl Encoder {
    pub(super) fn new(stored: Stored, level: i32) -> Result<Encoder> {
        Encoder::with_files(stored, level, Vec::new())
    }

    /// For a layer that is made from the files that end there, one behind the other.
    pub(super) fn with_files(stored: Stored, level: i32, files: Vec<u64>) -> Result<Encoder> {
        let mut streams = WINDOWS.map(|_| CCtx::create());
        for (stream, window) in streams.iter_mut().zip(WINDOWS) {
            let set = [
                CParameter::CompressionLevel(level),
                CParameter::WindowLog(window.into()),
                CParameter::ChecksumFlag(false),
            ];
            for parameter in set {
                stream.set_parameter(parameter).map_err(zstd)?;
            }
        }
        let (raw, pending) = (Default::default(), None);
        Ok(Encoder { stored, streams, raw, pending, old: 0, files, made: 0 })
    }

    /// The ops of the next payload follow.
    pub(super) fn begin_payload(&mut self) -> Result<()> {
        self.end_op();
        self.old = 0;
        Ok(())
    }

    /// One op, or the next part of one: `old` for those that read old bytes, `data` for those that carry
    /// bytes. Nothing for a length of 0.
    pub(super) fn put(&mut self, kind: Kind, len: u64, old: u64, data: &[u8]) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        // Room for the numbers of this op and of the one that waits.
        let raw: usize = self.raw.iter().map(Vec::len).sum();
        if raw + data.len() + 64 > BATCH_MAX {
            self.end_op();
            self.end_batch(ZSTD_EndDirective::ZSTD_e_flush)?;
        }
        match kind {
            Kind::Add => self.raw[2].extend_from_slice(data),
            Kind::Extra => self.raw[3].extend_from_slice(data),
            Kind::Zero | Kind::Copy => {}
        }
        if let Some((pending, done, from)) = &mut self.pending
            && *pending == kind
            && (matches!(kind, Kind::Zero | Kind::Extra) || *from + *done == old)
        {
            *done += len;
            return Ok(());
        }
        self.end_op();
        self.pending = Some((kind, len, old));
        Ok(())
    }

    fn end_op(&mut self) {
        let Some((kind, len, old)) = self.pending.take() else { return };
        let at = self.made;
        self.made += len;
        // The two ops of no length: zeros to the end of the archive's block, and all of the next file.
        if !self.files.is_empty() && kind == Kind::Zero && at + len == at.next_multiple_of(512) {
            return number(&mut self.raw[0], kind as u64);
        }
        if kind == Kind::Copy && self.next_file() == Some((old, len)) {
            self.old = old + len;
            return number(&mut self.raw[0], kind as u64);
        }
        number(&mut self.raw[0], len << 2 | kind as u64);
        if matches!(kind, Kind::Copy | Kind::Add) {
            // Zigzag: the lowest bit is the sign.
            let seek = match old.checked_sub(self.old) {
                Some(forward) => forward << 1,
                None => (self.old - old - 1) << 1 | 1,
            };
            number(&mut self.raw[1], seek);
            self.old = old + len;
        }
    }

    /// Where the file begins that follows the one that was read last, and its length.
    fn next_file(&self) -> Option<(u64, u64)> {
        let next = self.files.partition_point(|end| *end < self.old) + usize::from(self.old > 0);
        let start = if next == 0 { 0 } else { *self.files.get(next - 1)? };
        Some((start, self.files.get(next)? - start))
    }

    fn end_batch(&mut self, how: ZSTD_EndDirective) -> Result<()> {
        let (mut lens, mut parts) = (Vec::new(), Vec::new());
        for (stream, raw) in self.streams.iter_mut().zip(&mut self.raw) {
            let (mut part, mut room) = (Vec::new(), vec![0; 64 << 10]);
            let mut input = InBuffer::around(raw);
            loop {
                let mut output = OutBuffer::around(&mut room[..]);
                let left = stream.compress_stream2(&mut output, &mut input, how).map_err(zstd)?;
                part.extend_from_slice(output.as_slice());
                if left == 0 {
                    break;
                }
            }
            raw.clear();
            lens.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            parts.push(part);
        }
        self.stored.write(&lens)?;
        parts.iter().try_for_each(|part| self.stored.write(part))
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<Stored> {
        self.end_op();
        self.end_batch(ZSTD_EndDirective::ZSTD_e_end)?;
        Ok(self.stored)
    }
}

fn zstd(code: zstd_safe::ErrorCode) -> Failure {
    Failure::new(ReasonCode::Internal, format!("zstd: {}", zstd_safe::get_error_name(code)))
}

/// LEB128: seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    out.push((number & 127) as u8);
}

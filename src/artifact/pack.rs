//! Packing: images become chunks and a table, on all cores, in order.

use super::cut::{Cutter, DEFAULT_AVERAGE, Piece};
use super::{
    Chunk, ChunkTable, Codec, MAX_CHUNK_LEN, MAX_TABLE_LEN, Payload, PayloadKind, RECORD_LEN,
    image_digest,
};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, WithReason};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use zstd_safe::{CCtx, CParameter};

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Average chunk length in bytes, a power of two from 16 KiB to 256 KiB.
    pub average: u32,
    /// Compressing threads.
    pub threads: usize,
}

impl Default for Packing {
    fn default() -> Packing {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Packing { level: 19, average: DEFAULT_AVERAGE, threads }
    }
}

/// One image to pack.
pub struct Image<'a> {
    /// Its bytes, to the end.
    pub input: Box<dyn Read + Send + 'a>,
    /// The part of a slot that it is for; `None` is the root filesystem.
    pub part: Option<Identifier>,
    /// The hardware revisions it is for; empty means every one.
    pub hardware: Vec<Identifier>,
    /// The dm-verity root hash, if it has one.
    pub verity_root: Option<Digest>,
}

impl<'a> Image<'a> {
    /// A root filesystem for every hardware revision.
    pub fn rootfs(input: impl Read + Send + 'a) -> Image<'a> {
        Image { input: Box::new(input), part: None, hardware: Vec::new(), verity_root: None }
    }
}

/// What packing found out: everything that the head needs to know about the payload.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// The payloads, as the manifest will name them.
    pub payloads: Vec<Payload>,
    /// Their chunks.
    pub table: ChunkTable,
}

/// Packs the images one after the other into `out`. The same images and settings give the same
/// bytes, however many threads work. `progress` hears the number of image bytes behind us.
pub fn pack(
    images: Vec<Image<'_>>,
    packing: Packing,
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<Packed> {
    let mut packed = Packed::default();
    let mut done = 0;
    for image in images {
        let first = packed.table.chunks.len();
        let (part, hardware, verity_root) = (image.part, image.hardware, image.verity_root);
        let (size, sha256) = pack_one(image.input, packing, &mut |chunk, stored| {
            if packed.table.chunks.len() >= (MAX_TABLE_LEN / RECORD_LEN) as usize {
                let detail = "the chunk table is full; choose longer chunks: --chunk-size 256K";
                return Err(Failure::new(ReasonCode::TooBig, detail));
            }
            out.write_all(stored).map_err(|e| cannot_write(&e))?;
            packed.table.chunks.push(chunk);
            done += u64::from(chunk.plain_len);
            progress(done);
            Ok(())
        })?;
        let chunks = &packed.table.chunks[first..];
        let count = |n: usize| u32::try_from(n).reason(ReasonCode::TooBig, "chunks");
        packed.payloads.push(Payload {
            kind: if part.is_some() { PayloadKind::Part } else { PayloadKind::Rootfs },
            part,
            hardware,
            required: true,
            size,
            stored_size: chunks.iter().map(|c| u64::from(c.stored_len)).sum(),
            first_chunk: count(first)?,
            chunks: count(chunks.len())?,
            digest: image_digest(chunks.iter().map(|c| (c.plain_len, c.plain))),
            sha256,
            verity_root,
        });
    }
    Ok(packed)
}

fn cannot_write(error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => ReasonCode::NoSpace,
        _ => ReasonCode::Io,
    };
    Failure::new(code, format!("writing the artifact: {error}"))
}

type Stored = Result<(Chunk, Vec<u8>)>;
type Job = (Vec<u8>, SyncSender<Stored>);

/// One thread cuts, some compress, this one takes the results in order. Every job carries the
/// channel for its own answer, and the queue of answers is what bounds the memory.
fn pack_one(
    input: Box<dyn Read + Send + '_>,
    packing: Packing,
    take: &mut dyn FnMut(Chunk, &[u8]) -> Result<()>,
) -> Result<(u64, Digest)> {
    let threads = packing.threads.clamp(1, 64);
    std::thread::scope(|scope| {
        let (jobs, job_queue) = sync_channel::<Job>(threads);
        let (answers, answer_queue) = sync_channel::<Receiver<Stored>>(4 * threads);
        let job_queue = std::sync::Arc::new(Mutex::new(job_queue));
        let cut = move || cut_image(input, packing.average, &jobs, &answers);
        let no_thread = "a thread could not be started";
        let cutting = Builder::new().spawn_scoped(scope, cut);
        let cutting = cutting.reason(ReasonCode::NoMemory, no_thread)?;
        for n in 0..threads {
            let job_queue = job_queue.clone();
            let compress = move || {
                let mut compressor = Compressor::new(packing.level);
                loop {
                    let job = job_queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((plain, answer)) = job else { return };
                    let compressed = match &mut compressor {
                        Ok(compressor) => compressor.compress(plain),
                        Err(failure) => Err(failure.clone()),
                    };
                    // Nobody listens any more after a failure: then there is nothing to say.
                    let _ = answer.send(compressed);
                }
            };
            // One is enough; each more is only faster.
            let started = Builder::new().spawn_scoped(scope, compress);
            if n == 0 {
                started.reason(ReasonCode::NoMemory, no_thread)?;
            }
        }
        drop(job_queue);
        for answer in answer_queue {
            let stored = answer.recv().reason(ReasonCode::Internal, "a compressor died")?;
            let (chunk, bytes) = stored?;
            take(chunk, &bytes)?;
        }
        let cut = cutting.join();
        cut.map_err(|_| Failure::new(ReasonCode::Internal, "the cutter died"))?
    })
}

fn cut_image(
    input: Box<dyn Read + Send + '_>,
    average: u32,
    jobs: &SyncSender<Job>,
    answers: &SyncSender<Receiver<Stored>>,
) -> Result<(u64, Digest)> {
    let mut cutter = Cutter::new(input, average);
    let (mut size, mut sha256) = (0u64, Sha256::new());
    let zeros = [0u8; 64 * 1024];
    while let Some(piece) = cutter.next_piece().reason(ReasonCode::Io, "reading the image")? {
        let (answer, receiver) = sync_channel(1);
        let gone = |_| Failure::new(ReasonCode::Internal, "the packer stopped");
        answers.send(receiver).map_err(|_| gone(()))?;
        match piece {
            Piece::Zeros(len) => {
                size += u64::from(len);
                let mut left = len as usize;
                while left > 0 {
                    let step = left.min(zeros.len());
                    sha256.update(&zeros[..step]);
                    left -= step;
                }
                let chunk = Chunk {
                    plain_len: len,
                    stored_len: 0,
                    codec: Codec::Zero,
                    plain: Digest::NONE,
                    stored: Digest::NONE,
                };
                answer.send(Ok((chunk, Vec::new()))).map_err(|_| gone(()))?;
            }
            Piece::Data(plain) => {
                size += plain.len() as u64;
                sha256.update(&plain);
                jobs.send((plain, answer)).map_err(|_| gone(()))?;
            }
        }
    }
    Ok((size, Digest(sha256.finalize().into())))
}

/// Compresses chunks one after the other; a context of level 19 is worth keeping.
struct Compressor {
    context: CCtx<'static>,
}

impl Compressor {
    fn new(level: i32) -> Result<Compressor> {
        let mut context = CCtx::create();
        for parameter in [
            CParameter::CompressionLevel(level),
            // The longest chunk: low levels have a shorter window, and then zstd writes a frame of
            // several segments, which no reader takes.
            CParameter::WindowLog(MAX_CHUNK_LEN.ilog2()),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context.set_parameter(parameter).map_err(zstd_failed)?;
        }
        Ok(Compressor { context })
    }

    /// One chunk: a zstd frame of one segment with its length in the header, without checksum
    /// (the table has better ones); raw where that is not smaller.
    fn compress(&mut self, plain: Vec<u8>) -> Stored {
        let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        let written = self.context.compress2(&mut bytes, &plain);
        written.map_err(zstd_failed)?;
        store(plain, bytes)
    }
}

fn zstd_failed(code: usize) -> Failure {
    let name = zstd_safe::get_error_name(code);
    Failure::new(ReasonCode::Internal, format!("zstd: {name}"))
}

fn store(plain: Vec<u8>, bytes: Vec<u8>) -> Stored {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).reason(ReasonCode::Internal, "chunk");
    let plain_len = length(&plain)?;
    let plain_hash = Digest::of(&plain);
    let (codec, bytes, stored) = if bytes.len() < plain.len() {
        let stored = Digest::of(&bytes);
        (Codec::Zstd, bytes, stored)
    } else {
        (Codec::Raw, plain, plain_hash)
    };
    let chunk = Chunk { plain_len, stored_len: length(&bytes)?, codec, plain: plain_hash, stored };
    Ok((chunk, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Decoder;

    #[test]
    fn every_level_and_chunk_size_makes_frames_that_a_reader_takes() {
        // Nothing here ends a chunk before its longest, but for the noise at the end.
        let mut image = b"one foot on firm ground, ".repeat((1 << 20) / 20);
        image.extend((0..9000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes()));
        let mut decoder = Decoder::new().unwrap();
        for average in [16, 32, 64, 128, 256].map(|kib| kib << 10) {
            let mut longest = 0;
            for level in 1..=22 {
                let mut stored = Vec::new();
                let packing = Packing { level, average, threads: 1 };
                let images = vec![Image::rootfs(&image[..])];
                let packed = pack(images, packing, &mut stored, &|_| ()).unwrap();
                let (mut rest, mut plain) = (&stored[..], Vec::new());
                for chunk in &packed.table.chunks {
                    let (mine, after) = rest.split_at(chunk.stored_len as usize);
                    let mut out = vec![0; chunk.plain_len as usize];
                    let decoded = decoder.decode(chunk, mine, &mut out);
                    decoded.unwrap_or_else(|f| panic!("level {level}, {average}: {f}"));
                    plain.extend(out);
                    rest = after;
                    longest = longest.max(chunk.plain_len);
                }
                assert!(plain == image, "level {level}, {average}");
            }
            assert_eq!(longest, 4 * average);
        }
    }
}

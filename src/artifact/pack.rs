//! Packing: images become chunks and a table, on all cores, in order.

use super::cut::{Cutter, DEFAULT_AVERAGE, Piece};
use super::decode::DICTIONARY;
use super::{
    Chunk, ChunkTable, Codec, MAX_CHUNK_LEN, MAX_CONTEXT_LEN, MAX_TABLE_LEN, Payload, PayloadKind,
    RECORD_LEN, image_digest,
};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, WithReason};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use zstd_safe::{CCtx, CParameter};

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Average chunk length in bytes, a power of two from 16 KiB to 256 KiB.
    pub average: u32,
    /// The most plain bytes that a chunk may refer to before itself; at most 4 MiB, 0 for none.
    pub context: u32,
    /// Compressing threads.
    pub threads: usize,
}

/// The context the measurements chose (docs/chunk-size.md).
pub const DEFAULT_CONTEXT: u32 = 1024 * 1024;

impl Default for Packing {
    fn default() -> Packing {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Packing { level: 19, average: DEFAULT_AVERAGE, context: DEFAULT_CONTEXT, threads }
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
    /// Where it is cut besides: ascending offsets.
    pub cuts: Vec<u64>,
}

impl<'a> Image<'a> {
    /// A root filesystem for every hardware revision.
    pub fn rootfs(input: impl Read + Send + 'a) -> Image<'a> {
        Image {
            input: Box::new(input),
            part: None,
            hardware: Vec::new(),
            verity_root: None,
            cuts: Vec::new(),
        }
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
        let pieces = Cutter::new(image.input, packing.average).at(image.cuts);
        let (size, sha256) = pack_one(pieces, packing, &mut |chunk, stored| {
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
type Plain = Arc<Vec<u8>>;

/// A chunk to compress, the chunks before it that it may refer to, and where the answer goes.
type Job = (Plain, Vec<Plain>, SyncSender<Stored>);

/// One thread cuts, some compress, this one takes the results in order. Every job carries the
/// channel for its own answer, and the queue of answers is what bounds the memory.
fn pack_one(
    pieces: Cutter<impl Read + Send>,
    packing: Packing,
    take: &mut dyn FnMut(Chunk, &[u8]) -> Result<()>,
) -> Result<(u64, Digest)> {
    let threads = packing.threads.clamp(1, 64);
    std::thread::scope(|scope| {
        let (jobs, job_queue) = sync_channel::<Job>(threads);
        let (answers, answer_queue) = sync_channel::<Receiver<Stored>>(4 * threads);
        let job_queue = Arc::new(Mutex::new(job_queue));
        let cut = move || cut_image(pieces, packing.context, &jobs, &answers);
        let no_thread = "a thread could not be started";
        let cutting = Builder::new().spawn_scoped(scope, cut);
        let cutting = cutting.reason(ReasonCode::NoMemory, no_thread)?;
        for n in 0..threads {
            let job_queue = job_queue.clone();
            let compress = move || {
                let mut compressor = Compressor::new(packing.level);
                loop {
                    let job = job_queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((plain, context, answer)) = job else { return };
                    let compressed = match &mut compressor {
                        Ok(compressor) => compressor.compress(&plain, &context),
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
    mut cutter: Cutter<impl Read>,
    context: u32,
    jobs: &SyncSender<Job>,
    answers: &SyncSender<Receiver<Stored>>,
) -> Result<(u64, Digest)> {
    let mut group = Group { most: context.min(MAX_CONTEXT_LEN) as usize, ..Group::default() };
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
                let plain = Arc::new(plain);
                let before = group.before(&plain);
                jobs.send((plain, before, answer)).map_err(|_| gone(()))?;
            }
        }
    }
    Ok((size, Digest(sha256.finalize().into())))
}

/// The chunks that the next one may refer to. A group is as long as a context may be and then begins
/// anew, so that a device can decode one group beside another.
#[derive(Default)]
struct Group {
    most: usize,
    len: usize,
    chunks: Vec<Plain>,
}

impl Group {
    /// The context of `plain`, which then is in the group itself.
    fn before(&mut self, plain: &Plain) -> Vec<Plain> {
        if self.most == 0 {
            return Vec::new();
        }
        if self.len + plain.len() > self.most {
            (self.len, self.chunks) = (0, Vec::new());
        }
        self.len += plain.len();
        let before = self.chunks.clone();
        self.chunks.push(Arc::clone(plain));
        before
    }
}

/// Compresses chunks one after the other; a context of level 19 is worth keeping.
struct Compressor {
    level: i32,
    context: CCtx<'static>,
    before: Vec<u8>,
}

impl Compressor {
    fn new(level: i32) -> Result<Compressor> {
        // The longest chunk: low levels have a shorter window, and then zstd writes a frame of
        // several segments, which no reader takes.
        let context = compressing(level, MAX_CHUNK_LEN.ilog2())?;
        Ok(Compressor { level, context, before: Vec::new() })
    }

    /// One chunk: a zstd frame of one segment with its length in the header, without checksum
    /// (the table has better ones); raw where that is not smaller.
    fn compress(&mut self, plain: &[u8], mut before: &[Plain]) -> Stored {
        // A decoder would take such a context for a dictionary.
        while before.first().is_some_and(|first| first.starts_with(&DICTIONARY)) {
            before = &before[1..];
        }
        let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        let chunks = u16::try_from(before.len()).reason(ReasonCode::Internal, "context")?;
        if chunks == 0 {
            let written = self.context.compress2(&mut bytes, plain);
            written.map_err(zstd_failed)?;
            return store(plain, bytes, Codec::Zstd);
        }
        self.before.clear();
        before.iter().for_each(|piece| self.before.extend_from_slice(piece));
        // The window reaches over all of it: its length is that of a whole power of two.
        let all = self.before.len() + plain.len();
        let mut context = compressing(self.level, all.next_power_of_two().ilog2().max(17))?;
        context.ref_prefix(&self.before).map_err(zstd_failed)?;
        context.compress2(&mut bytes, plain).map_err(zstd_failed)?;
        store(plain, bytes, Codec::Context { chunks })
    }
}

fn compressing<'a>(level: i32, window_log: u32) -> Result<CCtx<'a>> {
    let no_memory = || Failure::new(ReasonCode::NoMemory, "compressing needs memory");
    let mut context = CCtx::try_create().ok_or_else(no_memory)?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(window_log),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(zstd_failed)?;
    }
    Ok(context)
}

fn zstd_failed(code: usize) -> Failure {
    let name = zstd_safe::get_error_name(code);
    Failure::new(ReasonCode::Internal, format!("zstd: {name}"))
}

fn store(plain: &[u8], bytes: Vec<u8>, codec: Codec) -> Stored {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Decoder, History};

    #[test]
    fn every_level_and_chunk_size_makes_frames_that_a_reader_takes() {
        // Nothing here ends a chunk before its longest, but for the noise at the end.
        let mut image = b"one foot on firm ground, ".repeat((1 << 20) / 20);
        image.extend((0..9000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes()));
        let mut decoder = Decoder::new().unwrap();
        let averages = [16, 32, 64, 128, 256].map(|kib| kib << 10);
        for (average, context) in averages.into_iter().flat_map(|a| [(a, 0), (a, 600 << 10)]) {
            let mut longest = 0;
            // With a context each level makes the same frames but for their tables: some are enough.
            let levels: Vec<i32> =
                if context == 0 { (1..=22).collect() } else { vec![1, 3, 9, 19] };
            for level in levels {
                let mut stored = Vec::new();
                let packing = Packing { level, average, context, threads: 1 };
                let images = vec![Image::rootfs(&image[..])];
                let packed = pack(images, packing, &mut stored, &|_| ()).unwrap();
                let (mut rest, mut plain) = (&stored[..], Vec::new());
                let mut history = History::of(&packed.table.chunks);
                for chunk in &packed.table.chunks {
                    let (mine, after) = rest.split_at(chunk.stored_len as usize);
                    let mut out = vec![0; chunk.plain_len as usize];
                    let before = history.context(chunk).unwrap();
                    let decoded = decoder.decode(chunk, before, mine, &mut out);
                    decoded.unwrap_or_else(|f| panic!("level {level}, {average}, {context}: {f}"));
                    history.push(&out).unwrap();
                    plain.extend(out);
                    rest = after;
                    longest = longest.max(chunk.plain_len);
                }
                assert!(plain == image, "level {level}, {average}");
            }
            assert_eq!(longest, 4 * average);
        }
    }

    #[test]
    fn what_comes_again_is_found_in_the_context_and_no_dictionary_is_one() {
        let mut state = 7u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            };
            (0..len).map(next).collect()
        };
        let (once, other) = (noise(200_000), noise(100_000));
        let image = [&once[..], &vec![0; 80_000], &other, &once].concat();
        let pack_with = |image: &[u8], context| {
            let mut stored = Vec::new();
            let packing = Packing { level: 3, average: 16 << 10, context, threads: 3 };
            let images = vec![Image::rootfs(image)];
            (pack(images, packing, &mut stored, &|_| ()).unwrap(), stored)
        };
        let (packed, stored) = pack_with(&image, 1 << 20);
        // The second time costs little: it is found behind a run of zeros and behind other chunks.
        assert!(stored.len() < 330_000, "{}", stored.len());
        let chunks = &packed.table.chunks;
        assert!(chunks.iter().any(|c| matches!(c.codec, Codec::Context { chunks } if chunks > 20)));
        // A group begins anew before its context is too long.
        let (packed, _) = pack_with(&image, 64 << 10);
        let mut len = 0;
        for chunk in packed.table.chunks.iter().filter(|c| !c.is_zero()) {
            match chunk.codec {
                Codec::Context { .. } => len += chunk.plain_len,
                _ if len + chunk.plain_len > 64 << 10 => len = chunk.plain_len,
                _ => len += chunk.plain_len,
            }
            assert!(len <= 64 << 10);
        }
        assert!(pack_with(&image, 0).0.table.chunks.iter().all(|c| c.codec.back() == 0));
        let dictionary = [&DICTIONARY[..], &b"one foot on firm ground ".repeat(9000)].concat();
        let (packed, stored) = pack_with(&dictionary, 1 << 20);
        let (mut decoder, mut at) = (Decoder::new().unwrap(), 0);
        let mut history = History::of(&packed.table.chunks);
        for chunk in &packed.table.chunks {
            let mut out = vec![0; chunk.plain_len as usize];
            let mine = &stored[at..at + chunk.stored_len as usize];
            at += mine.len();
            decoder.decode(chunk, history.context(chunk).unwrap(), mine, &mut out).unwrap();
            history.push(&out).unwrap();
        }
        assert_eq!(packed.table.chunks[1].codec, Codec::Zstd);
        assert_eq!(packed.table.chunks[2].codec, Codec::Context { chunks: 1 });
    }
}

//! Packing: images become chunks and a table, on all cores, in order.

use super::check::hash_zeros;
use super::compress::{Answer, Compressor, Group};
use super::cut::{DEFAULT_AVERAGE, Piece};
use super::spans::{Cuts, Pieces};
use super::{
    Chunk, ChunkTable, Codec, MAX_CONTEXT_LEN, MAX_TABLE_LEN, Payload, PayloadKind, RECORD_LEN,
    image_digest,
};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, WithReason};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

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
/// The last of the levels that have none by themselves: there zstd is so fast that most of the time would go into
/// reading the context again for each chunk.
const FAST: i32 = 4;

impl Packing {
    /// What is right for this level, on all cores.
    pub fn of(level: i32) -> Packing {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let context = if level <= FAST { 0 } else { DEFAULT_CONTEXT };
        Packing { level, average: DEFAULT_AVERAGE, context, threads }
    }
}

impl Default for Packing {
    fn default() -> Packing {
        Packing::of(19)
    }
}

/// One image to pack.
pub struct Image<'a> {
    /// Its bytes, to the end.
    pub input: Box<dyn Read + Send + 'a>,
    /// What it is.
    pub kind: PayloadKind,
    /// The part of a slot that it is for, where the kind is `part`.
    pub part: Option<Identifier>,
    /// The hardware revisions it is for; empty means every one.
    pub hardware: Vec<Identifier>,
    /// The dm-verity root hash, if it has one.
    pub verity_root: Option<Digest>,
    /// Where it is cut.
    pub cuts: Cuts,
}

impl<'a> Image<'a> {
    /// A root filesystem for every hardware revision.
    pub fn rootfs(input: impl Read + Send + 'a) -> Image<'a> {
        Image {
            input: Box::new(input),
            kind: PayloadKind::Rootfs,
            part: None,
            hardware: Vec::new(),
            verity_root: None,
            cuts: Cuts::default(),
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

/// Packs the images one after the other into `out`, and decodes again what goes there. The same images and
/// settings give the same bytes, however many threads work. `progress` hears the number of image bytes behind us.
pub fn pack(
    images: Vec<Image<'_>>,
    packing: Packing,
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<Packed> {
    pack_to(images, packing, Some(out), progress)
}

/// What [`pack`] finds out. The stored bytes are made for their hashes alone: nothing decodes them.
pub fn pack_for_head(
    images: Vec<Image<'_>>,
    packing: Packing,
    progress: &dyn Fn(u64),
) -> Result<Packed> {
    pack_to(images, packing, None, progress)
}

fn pack_to(
    images: Vec<Image<'_>>,
    packing: Packing,
    mut out: Option<&mut dyn Write>,
    progress: &dyn Fn(u64),
) -> Result<Packed> {
    let mut packed = Packed::default();
    let mut done = 0;
    for image in images {
        let first = packed.table.chunks.len();
        let (kind, part) = (image.kind, image.part);
        let (hardware, verity_root) = (image.hardware, image.verity_root);
        let pieces = Pieces::new(image.input, packing.average, image.cuts);
        let kept = out.is_some();
        // A bundle is packed already: it is only cut, and not searched again for what repeats.
        let packing = match kind {
            PayloadKind::Bundle => Packing { level: 1, context: 0, ..packing },
            _ => packing,
        };
        let (size, sha256) = pack_one(pieces, packing, kept, &mut |chunk, stored| {
            if packed.table.chunks.len() >= (MAX_TABLE_LEN / RECORD_LEN) as usize {
                let detail = "the chunk table is full; choose longer chunks: --chunk-size 256K";
                return Err(Failure::new(ReasonCode::TooBig, detail));
            }
            if let Some(out) = &mut out {
                out.write_all(stored).map_err(|e| cannot_write(&e))?;
            }
            packed.table.chunks.push(chunk);
            done += u64::from(chunk.plain_len);
            progress(done);
            Ok(())
        })?;
        let chunks = &packed.table.chunks[first..];
        let count = |n: usize| u32::try_from(n).reason(ReasonCode::TooBig, "chunks");
        packed.payloads.push(Payload {
            kind,
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

/// A group to compress, and where the answer goes.
type Job = (Group, SyncSender<Answer>);

/// One thread cuts, some compress, this one hashes the image and takes the results in order. Every job
/// carries the channel for its own answer, and the queue of answers is what bounds the memory.
fn pack_one(
    pieces: Pieces<impl Read + Send>,
    packing: Packing,
    kept: bool,
    take: &mut dyn FnMut(Chunk, &[u8]) -> Result<()>,
) -> Result<(u64, Digest)> {
    let threads = packing.threads.clamp(1, 64);
    std::thread::scope(|scope| {
        let (jobs, job_queue) = sync_channel::<Job>(threads);
        let (answers, answer_queue) = sync_channel::<Receiver<Answer>>(2 * threads);
        let job_queue = Arc::new(Mutex::new(job_queue));
        let cut = move || cut_image(pieces, packing.context, &jobs, &answers);
        let no_thread = "a thread could not be started";
        let cutting = Builder::new().spawn_scoped(scope, cut);
        let cutting = cutting.reason(ReasonCode::NoMemory, no_thread)?;
        for n in 0..threads {
            let job_queue = job_queue.clone();
            let compress = move || {
                let mut compressor = Compressor::new(packing.level, kept);
                loop {
                    let job = job_queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((group, answer)) = job else { return };
                    let compressed = match &mut compressor {
                        Ok(compressor) => compressor.compress(group),
                        Err(failure) => Err(failure.clone()),
                    };
                    // After a failure nothing listens any more: then there is nothing to say.
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
        let (mut size, mut sha256) = (0u64, Sha256::new());
        for answer in answer_queue {
            let answer = answer.recv().reason(ReasonCode::Internal, "a compressor died")?;
            let (plain, chunks) = answer?;
            for (chunk, stored, place) in chunks {
                size += u64::from(chunk.plain_len);
                match chunk.codec {
                    Codec::Zero => hash_zeros(&mut sha256, u64::from(chunk.plain_len)),
                    _ => sha256.update(&plain[place]),
                }
                take(chunk, &stored)?;
            }
        }
        let cut = cutting.join();
        cut.map_err(|_| Failure::new(ReasonCode::Internal, "the cutter died"))??;
        Ok((size, Digest(sha256.finalize().into())))
    })
}

fn cut_image(
    mut pieces: Pieces<impl Read>,
    context: u32,
    jobs: &SyncSender<Job>,
    answers: &SyncSender<Receiver<Answer>>,
) -> Result<()> {
    let most = context.min(MAX_CONTEXT_LEN) as usize;
    let send = |group: Group| {
        let (answer, receiver) = sync_channel(1);
        let sent = answers.send(receiver).is_ok() && jobs.send((group, answer)).is_ok();
        sent.then_some(()).ok_or_else(|| Failure::new(ReasonCode::Internal, "the packer stopped"))
    };
    let mut group = Group::default();
    while let Some(piece) = pieces.next().reason(ReasonCode::Io, "reading the image")? {
        if let Piece::Data(plain) = &piece
            && !group.plain.is_empty()
            && group.plain.len() + plain.len() > most
        {
            send(std::mem::take(&mut group))?;
        }
        group.add(piece);
    }
    send(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::decode::DICTIONARY;
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
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let mut state = 3u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Few values, so that there is something to find.
                state.to_be_bytes()[0] & 0x13
            };
            (0..len).map(next).collect()
        };
        let image = [noise(300_000), vec![0; 100_000], noise(200_000), vec![0; 9000]].concat();
        for (level, context) in [(3, 0), (3, 128 << 10), (9, 1 << 20)] {
            let of = |threads| {
                let (mut stored, average) = (Vec::new(), 16 << 10);
                let packing = Packing { level, average, context, threads };
                let images = vec![Image::rootfs(&image[..]), Image::rootfs(&image[5000..])];
                let packed = pack(images, packing, &mut stored, &|_| ()).unwrap();
                let images = vec![Image::rootfs(&image[..]), Image::rootfs(&image[5000..])];
                let head = pack_for_head(images, packing, &|_| ()).unwrap();
                assert_eq!(
                    (&head.table.chunks, &head.payloads),
                    (&packed.table.chunks, &packed.payloads)
                );
                (packed.table.to_bytes(), packed.payloads, stored)
            };
            let one = of(1);
            assert!(one.1[0].chunks > 10, "{:?}", one.1);
            for threads in [2, 7] {
                assert!(of(threads) == one, "level {level}, context {context}, {threads} threads");
            }
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

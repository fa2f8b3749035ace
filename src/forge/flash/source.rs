//! The plain bytes of a disk image, in order and once: of a file with its holes, or expanded by a thread of its own.

use super::bmap::{Bmap, Checker};
use crate::disk::{BlockDevice, open_device};
use crate::forge::file;
use crate::forge::image::{packing_of, plain};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::AlignedBuf;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// What is read and written at once.
pub(super) const BLOCK: usize = 4 << 20;

/// Blocks that wait to be written.
const WAITING: usize = 3;

/// The next block of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes, in the buffer.
    Bytes(usize),
    /// So many zeros; the buffer is as it was.
    Zeros(usize),
    /// There are no more.
    End,
}

enum From {
    /// A file as it is, read up to here.
    File(Arc<dyn BlockDevice>, u64),
    /// What another thread expands.
    Thread(Receiver<std::io::Result<Vec<u8>>>),
}

/// An image that is read.
pub(super) struct Source<'m> {
    path: PathBuf,
    from: From,
    checker: Option<Checker<'m>>,
    /// The length of the plain image, where that is known before it was read.
    pub(super) len: Option<u64>,
    /// What it is packed with, for people.
    pub(super) packed: Option<&'static str>,
}

impl<'m> Source<'m> {
    pub(super) fn open(path: &Path, bmap: Option<&'m Bmap>) -> Result<Source<'m>> {
        let input = file::open(path)?;
        let checker = bmap.map(Bmap::checker);
        let said = bmap.map(|map| map.image_len);
        let path = path.to_owned();
        let Some((input, packing)) = packing_of(&path, input)? else {
            let device = open_device(&path)?;
            let len = device.len();
            if len == 0 || said.is_some_and(|said| said != len) {
                let said = said.map_or(String::new(), |said| format!(", and its bmap says {said}"));
                let text = format!("{} has {len} bytes{said}", path.display());
                return Err(Failure::new(ReasonCode::ImageDamaged, text));
            }
            let from = From::File(device, 0);
            return Ok(Source { path, from, checker, len: Some(len), packed: None });
        };
        let (give, take) = sync_channel(WAITING);
        let reader = BufReader::with_capacity(1 << 20, input);
        let mut plain = plain(packing, reader).map_err(|e| damaged(&path, &e))?;
        // It ends when the last block is taken, or with the first that nobody takes any more.
        std::thread::spawn(move || {
            loop {
                let mut block = vec![0; BLOCK];
                let filled = fill(&mut plain, &mut block);
                let last = !matches!(filled, Ok(BLOCK));
                let block = filled.map(|len| {
                    block.truncate(len);
                    block
                });
                if give.send(block).is_err() || last {
                    return;
                }
            }
        });
        let packed = Some(packing.name());
        Ok(Source { path, from: From::Thread(take), checker, len: said, packed })
    }

    /// The next block, of [`BLOCK`] bytes but for the last.
    pub(super) fn next(&mut self, buf: &mut AlignedBuf) -> Result<Next> {
        let next = match &mut self.from {
            From::File(device, at) => {
                let left = device.len() - *at;
                let len = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
                let start = *at;
                *at += len as u64;
                if len == 0 {
                    Next::End
                } else if device.is_hole(start, len as u64) {
                    Next::Zeros(len)
                } else {
                    device.read_at(start, &mut buf[..len])?;
                    bytes(&buf[..len])
                }
            }
            From::Thread(blocks) => match blocks.recv() {
                Ok(Ok(block)) if block.is_empty() => Next::End,
                Ok(Ok(block)) => {
                    buf[..block.len()].copy_from_slice(&block);
                    bytes(&block)
                }
                Ok(Err(error)) => return Err(damaged(&self.path, &error)),
                Err(_) => Next::End,
            },
        };
        match (&mut self.checker, next) {
            (None, _) => {}
            (Some(checker), Next::Bytes(len)) => checker.take(&buf[..len])?,
            (Some(checker), Next::Zeros(len)) => checker.take(&ZEROS[..len])?,
            (Some(checker), Next::End) => checker.finish()?,
        }
        Ok(next)
    }
}

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Whether there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes == &ZEROS[..bytes.len()]
}

fn bytes(block: &[u8]) -> Next {
    if is_zero(block) { Next::Zeros(block.len()) } else { Next::Bytes(block.len()) }
}

fn fill(from: &mut dyn Read, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match from.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn damaged(path: &Path, error: &std::io::Error) -> Failure {
    let text = format!("{} cannot be expanded: {error}", path.display());
    Failure::new(ReasonCode::ImageDamaged, text)
}

//! The image of a part of a slot: what it is, and where it is packed, its plain bytes.

use super::file;
use super::kind::{Kind, PROBE, Packing, kind};
use super::progress::Progress;
use crate::model::{ByteLen, Failure, ReasonCode, Result};
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Error, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest image that a chunk table can describe is about this long; what expands further has no
/// end.
const LIMIT: u64 = 32 << 30;

/// How often what was expanded may be packed again: an Android sparse image in a `.gz`.
const LAYERS: usize = 2;

/// An image to pack.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) len: u64,
    /// What it is, for people.
    pub(super) kind: String,
}

/// What an image is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A root filesystem.
    Rootfs,
    /// The part from which a bootloader loads kernel and device tree.
    Boot,
    /// A root filesystem, or a tar archive of one: its kind begins with [`TAR`].
    Tree,
    /// A whole disk with a partition table.
    Disk,
    /// Anything: its bytes are taken as they are.
    Anything,
}

/// What to do where something else was given.
const DISK: &str = "Give the image of a whole disk with one root filesystem; `surefoot-forge image --rootfs` takes a root filesystem by itself.";
const FILESYSTEM: &str = "Give the image of a filesystem; `surefoot-forge image --rootfs` also takes a folder or a tar archive.";

/// How the kind of what cannot be told begins.
const UNKNOWN: &str = "no filesystem that is known here";

/// How the kind of a disk begins.
const WHOLE: &str = "a whole disk";

/// How the kind of a tar archive begins.
pub(super) const TAR: &str = "a tar archive";

/// The file systems that U-Boot's `load` reads, besides FAT.
const LOADS: [&str; 3] = ["ext2/3/4", "squashfs", "erofs"];

/// Opens `path`, expands what is packed, and refuses what is no filesystem of the right kind.
/// `near` is where there is room for a scratch file.
pub(super) fn open(path: &Path, wanted: For, near: &Path) -> Result<Opened> {
    let input = file::open(path)?;
    let about = input.metadata().map_err(|e| file::failure(path, &e))?.file_type();
    if about.is_char_device() {
        let detail = format!("{} is a device without an end", path.display());
        return Err(Failure::new(ReasonCode::NotAnImage, detail));
    }
    let mut file = match about.is_file() || about.is_block_device() {
        true => input,
        // A pipe cannot be looked at twice.
        false => copied(path, "reading", 0, near, input)?,
    };
    let mut layers = Vec::new();
    loop {
        let len = length(path, &mut file)?;
        let refuse = |what: &str| {
            let layers =
                layers.iter().map(|l: &&str| format!("{l} that holds ")).collect::<String>();
            let detail = format!("{} is {layers}{what}", path.display());
            let failure = Failure::new(ReasonCode::NotAnImage, detail);
            Err(match wanted {
                For::Disk => failure.with_next(DISK),
                _ => failure,
            })
        };
        if wanted == For::Anything && len == 0 {
            return refuse("empty");
        }
        if wanted == For::Anything {
            return Ok(Opened { file, len, kind: "taken as it is".to_owned() });
        }
        let from = || layers.iter().rev().map(|l| format!(" from {l}")).collect::<String>();
        match look(path, &mut file)? {
            Kind::Filesystem(name, _) if wanted == For::Disk => {
                return refuse(&format!("{name}, and no disk with a partition table"));
            }
            Kind::Filesystem(name, Some(own)) if own > len => {
                return refuse(&format!(
                    "{name} of {own} bytes, of which only {len} are there: it was cut short"
                ));
            }
            Kind::Filesystem(name, _) if wanted == For::Boot && !LOADS.contains(&name) => {
                return refuse(&format!(
                    "{name}: U-Boot loads a kernel from FAT, ext4, squashfs or erofs"
                ));
            }
            Kind::Filesystem(name, _) => {
                return Ok(Opened { file, len, kind: format!("{name}{}", from()) });
            }
            Kind::Fat if wanted == For::Boot => {
                return Ok(Opened { file, len, kind: format!("FAT{}", from()) });
            }
            Kind::Fat => {
                return refuse("a FAT filesystem: no root filesystem can be FAT: it has no rights");
            }
            Kind::Other(what, _) if wanted == For::Boot => {
                return refuse(&format!(
                    "{what}: give the image of a file system that holds kernel and device tree"
                ));
            }
            Kind::Other(what, _) if wanted == For::Disk && what.starts_with(WHOLE) => {
                return Ok(Opened { file, len, kind: format!("{what}{}", from()) });
            }
            Kind::Other(what, _) if wanted == For::Tree && what == TAR => {
                return Ok(Opened { file, len, kind: format!("{what}{}", from()) });
            }
            Kind::Other(what, _) if wanted == For::Disk => {
                return refuse(&format!("{what}, and no disk with a partition table"));
            }
            Kind::Other(what, advice) => {
                let refused = refuse(&format!("{what}: {advice}"));
                // `--raw` is for what this program does not know.
                return match what.starts_with(UNKNOWN) {
                    true => refused,
                    false => refused.map_err(|f| f.with_next(FILESYSTEM)),
                };
            }
            Kind::Packed(_) if layers.len() >= LAYERS => return refuse("packed once more"),
            Kind::Packed(packing) => {
                file = expanded(path, packing, len, near, file)?;
                layers.push(packing.name());
            }
        }
    }
}

/// A block device has no length in its metadata; its end is where seeking ends.
fn length(path: &Path, file: &mut File) -> Result<u64> {
    let len = file.seek(SeekFrom::End(0)).and_then(|len| file.rewind().map(|()| len));
    len.map_err(|e| file::failure(path, &e))
}

fn look(path: &Path, file: &mut File) -> Result<Kind> {
    let mut head = Vec::new();
    let read = Read::by_ref(file).take(PROBE as u64).read_to_end(&mut head);
    read.and_then(|_| file.rewind()).map_err(|e| file::failure(path, &e))?;
    Ok(kind(&head))
}

/// Counts what is read, for people who wait.
struct Counted<'a>(File, &'a AtomicU64);

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buf)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn expanded(path: &Path, packing: Packing, len: u64, near: &Path, file: File) -> Result<File> {
    let done = AtomicU64::new(0);
    let input = BufReader::with_capacity(1 << 20, Counted(file, &done));
    let mut plain = plain(packing, input).map_err(|e| broken(path, packing, &e))?;
    let progress = Progress::new("expanding", len);
    let at = |_| progress.at(done.load(Ordering::Relaxed));
    spool(path, near, &mut plain, &at, &|e| broken(path, packing, e))
}

/// What reads the plain bytes of what is packed.
pub(super) fn plain<'a>(
    packing: Packing,
    input: impl BufRead + Send + 'a,
) -> std::io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Xz => Box::new(XzDecoder::new_multi_decoder(input)),
        Packing::Zstd => Box::new(Zstd::new(input).map_err(|f| Error::other(f.to_string()))?),
        Packing::Sparse => Box::new(Sparse::new(input)?),
    })
}

/// How a file is packed, and the file from its beginning; `None` for one that is not.
pub(super) fn packing_of(path: &Path, mut file: File) -> Result<Option<(File, Packing)>> {
    match look(path, &mut file)? {
        Kind::Packed(packing) => Ok(Some((file, packing))),
        _ => Ok(None),
    }
}

fn broken(path: &Path, packing: Packing, error: &Error) -> Failure {
    let detail = format!("{}: {} that is damaged: {error}", path.display(), packing.name());
    Failure::new(ReasonCode::NotAnImage, detail)
}

fn copied(
    path: &Path,
    doing: &'static str,
    len: u64,
    near: &Path,
    mut input: File,
) -> Result<File> {
    let progress = Progress::new(doing, len);
    spool(path, near, &mut input, &|done| progress.at(done), &|e| file::failure(path, e))
}

/// All of `input` in a scratch file that has no name.
fn spool(
    path: &Path,
    near: &Path,
    input: &mut dyn Read,
    progress: &dyn Fn(u64),
    failed: &dyn Fn(&Error) -> Failure,
) -> Result<File> {
    let mut out = file::scratch(near)?;
    let (mut block, mut done) = (vec![0; 1 << 20], 0u64);
    loop {
        let n = match input.read(&mut block) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(&e)),
        };
        done += n as u64;
        if done > LIMIT {
            let detail = format!("{} goes on after {}", path.display(), ByteLen(LIMIT));
            return Err(Failure::new(ReasonCode::NotAnImage, detail));
        }
        out.write_all(&block[..n]).map_err(|e| file::failure(near, &e))?;
        progress(done);
    }
    out.rewind().map_err(|e| file::failure(near, &e))?;
    Ok(out)
}

/// zstd frames, one after the other, through a window of at most 128 MiB.
struct Zstd<R> {
    input: R,
    context: zstd_safe::DCtx<'static>,
    held: Vec<u8>,
    at: usize,
    /// Inside of a frame.
    within: bool,
}

impl<R: Read> Zstd<R> {
    fn new(input: R) -> Result<Zstd<R>> {
        let context = zstd_safe::DCtx::try_create()
            .ok_or_else(|| Failure::new(ReasonCode::NoMemory, "a decoder needs 100 KiB"))?;
        Ok(Zstd { input, context, held: Vec::new(), at: 0, within: false })
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.at == self.held.len() {
                self.held.resize(256 << 10, 0);
                let n = self.input.read(&mut self.held)?;
                self.held.truncate(n);
                self.at = 0;
                if n == 0 {
                    return match self.within {
                        true => Err(std::io::ErrorKind::UnexpectedEof.into()),
                        false => Ok(0),
                    };
                }
            }
            let mut from = zstd_safe::InBuffer::around(&self.held[self.at..]);
            let mut into = zstd_safe::OutBuffer::around(&mut *buf);
            let left = self.context.decompress_stream(&mut into, &mut from);
            let left = left.map_err(|code| Error::other(zstd_safe::get_error_name(code)))?;
            self.within = left != 0;
            let written = into.pos();
            self.at += from.pos();
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

/// An Android sparse image (AOSP, libsparse/sparse_format.h): chunks that are raw, one word that
/// repeats, a hole, or a checksum.
struct Sparse<R> {
    input: R,
    block: u64,
    chunks: u32,
    /// Bytes of skipping per chunk header beyond what is known.
    header: usize,
    now: Run,
    left: u64,
}

#[derive(Clone, Copy)]
enum Run {
    Raw,
    Word([u8; 4]),
}

fn invalid(why: &str) -> Error {
    Error::new(std::io::ErrorKind::InvalidData, why)
}

impl<R: Read> Sparse<R> {
    fn new(mut input: R) -> std::io::Result<Sparse<R>> {
        let mut head = [0; 28];
        input.read_exact(&mut head)?;
        let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        let (major, file_header, header) = (half(4), usize::from(half(8)), usize::from(half(10)));
        let block = word(12);
        if major != 1 || file_header < 28 || header < 12 || block == 0 || block % 4 != 0 {
            return Err(invalid("its header is none of version 1"));
        }
        let mut more = vec![0; file_header - 28];
        input.read_exact(&mut more)?;
        let (block, chunks) = (u64::from(block), word(20));
        Ok(Sparse { input, block, chunks, header, now: Run::Raw, left: 0 })
    }

    fn next(&mut self) -> std::io::Result<()> {
        let mut head = vec![0; self.header];
        self.input.read_exact(&mut head)?;
        self.chunks -= 1;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        let len = u64::from(word(4)) * self.block;
        let carried = u64::from(word(8)).checked_sub(self.header as u64);
        let mut four = [0; 4];
        (self.now, self.left) = match (u16::from_le_bytes([head[0], head[1]]), carried) {
            (0xcac1, Some(carried)) if carried == len => (Run::Raw, len),
            (0xcac2, Some(4)) => {
                self.input.read_exact(&mut four)?;
                (Run::Word(four), len)
            }
            (0xcac3, Some(0)) => (Run::Word(four), len),
            (0xcac4, Some(4)) => {
                self.input.read_exact(&mut four)?;
                (Run::Raw, 0)
            }
            _ => return Err(invalid("a chunk of an unknown kind or length")),
        };
        Ok(())
    }
}

impl<R: Read> Read for Sparse<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            if self.chunks == 0 {
                return Ok(0);
            }
            self.next()?;
        }
        // A word is never cut: blocks are whole words.
        let whole = if buf.len() < 4 {
            return Err(invalid("a buffer below one word"));
        } else {
            buf.len() & !3
        };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(whole);
        let n = match self.now {
            Run::Raw => match self.input.read(&mut buf[..most])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => n,
            },
            Run::Word(word) => {
                buf[..most].chunks_mut(4).for_each(|c| c.copy_from_slice(&word[..c.len()]));
                most
            }
        };
        self.left -= n as u64;
        Ok(n)
    }
}

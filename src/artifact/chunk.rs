//! Chunks: what a payload is made of.

use super::{MAX_CHUNK_LEN, RECORD_LEN};
use crate::model::{Digest, Failure, ReasonCode, Result};
use sha2::{Digest as _, Sha256};

/// How a chunk's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
    /// Not at all: the chunk is zeros.
    Zero,
    /// One zstd frame that refers to the plain bytes of the data chunks before it.
    Context {
        /// How many of them, at least one. Runs of zeros do not count.
        chunks: u16,
    },
}

impl Codec {
    fn to_byte(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Zstd => 1,
            Codec::Zero => 2,
            Codec::Context { .. } => 3,
        }
    }

    /// How many data chunks before it are its context.
    pub(super) fn back(self) -> u16 {
        if let Codec::Context { chunks } = self { chunks } else { 0 }
    }

    fn parse(byte: u8, chunks: u16) -> Option<Codec> {
        let all = [Codec::Raw, Codec::Zstd, Codec::Zero, Codec::Context { chunks }];
        all.into_iter().find(|codec| codec.to_byte() == byte)
    }
}

/// One record of the chunk table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Length in the image, bytes; never 0.
    pub plain_len: u32,
    /// Length in the payload, bytes; 0 exactly for [`Codec::Zero`].
    pub stored_len: u32,
    /// How it is stored.
    pub codec: Codec,
    /// SHA-256 of the bytes in the image; [`Digest::NONE`] for [`Codec::Zero`].
    pub plain: Digest,
    /// SHA-256 of the bytes as stored; [`Digest::NONE`] for [`Codec::Zero`].
    pub stored: Digest,
}

impl Chunk {
    /// A zero run.
    #[cfg(feature = "forge")]
    pub(super) fn zeros(plain_len: u32) -> Chunk {
        let (plain, stored) = (Digest::NONE, Digest::NONE);
        Chunk { plain_len, stored_len: 0, codec: Codec::Zero, plain, stored }
    }

    /// Whether it is a zero run, which is not transported.
    pub fn is_zero(&self) -> bool {
        self.codec == Codec::Zero
    }

    /// As shipped: `plain_len 4 | stored_len 4 | codec 1 | zero 1 | context 2 | zero 4 | SHA-256 plain 32 | SHA-256
    /// stored 32`.
    pub fn to_bytes(self) -> [u8; RECORD_LEN as usize] {
        let mut bytes = [0; RECORD_LEN as usize];
        bytes[..4].copy_from_slice(&self.plain_len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[8] = self.codec.to_byte();
        bytes[10..12].copy_from_slice(&self.codec.back().to_le_bytes());
        bytes[16..48].copy_from_slice(&self.plain.0);
        bytes[48..].copy_from_slice(&self.stored.0);
        bytes
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Chunk, &'static str> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let digest_at = |at: usize| {
            let mut digest = Digest::NONE;
            digest.0.copy_from_slice(&bytes[at..at + 32]);
            digest
        };
        let back = u16::from_le_bytes([bytes[10], bytes[11]]);
        let chunk = Chunk {
            plain_len: u32_at(0),
            stored_len: u32_at(4),
            codec: Codec::parse(bytes[8], back).ok_or("an unknown codec")?,
            plain: digest_at(16),
            stored: digest_at(48),
        };
        if bytes[9] != 0 || bytes[12..16] != [0; 4] {
            return Err("reserved bytes that are not zero");
        }
        match chunk.codec {
            Codec::Context { chunks: 0 } => return Err("a context of no chunks"),
            Codec::Context { .. } => {}
            _ if back != 0 => return Err("a context that its codec does not have"),
            _ => {}
        }
        chunk.check().map(|()| chunk)
    }

    fn check(&self) -> std::result::Result<(), &'static str> {
        let hashed = self.plain != Digest::NONE && self.stored != Digest::NONE;
        let lengths = match self.codec {
            _ if self.plain_len == 0 => return Err("no plain bytes"),
            Codec::Zero if self.plain == Digest::NONE && self.stored == Digest::NONE => {
                return if self.stored_len == 0 { Ok(()) } else { Err("stored zeros") };
            }
            Codec::Zero => return Err("a hash of zeros"),
            // A missing hash is an error, never "do not check" (R8).
            _ if !hashed => return Err("no hash"),
            _ if self.plain_len > MAX_CHUNK_LEN => return Err("too many plain bytes"),
            Codec::Raw => self.stored_len == self.plain_len && self.stored == self.plain,
            // What does not get smaller is stored raw: one way to write a chunk.
            Codec::Zstd | Codec::Context { .. } => {
                self.stored_len > 0 && self.stored_len < self.plain_len
            }
        };
        if lengths { Ok(()) } else { Err("lengths that do not fit its codec") }
    }
}

/// All chunks of an artifact, in payload order; a payload of the manifest is a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkTable {
    /// The records.
    pub chunks: Vec<Chunk>,
}

impl ChunkTable {
    /// Reads the table as shipped; each record must keep the rules of docs/artifact-format.md.
    pub(super) fn parse(bytes: &[u8]) -> Result<ChunkTable> {
        let invalid = |why| Failure::new(ReasonCode::TableInvalid, why);
        let records = bytes.chunks_exact(RECORD_LEN as usize);
        if bytes.is_empty() || !records.remainder().is_empty() {
            return Err(invalid(format!("the table has {} bytes", bytes.len())));
        }
        let chunks = records.enumerate().map(|(n, record)| {
            Chunk::parse(record).map_err(|e| invalid(format!("chunk {n} has {e}")))
        });
        Ok(ChunkTable { chunks: chunks.collect::<Result<_>>()? })
    }

    /// The table as shipped.
    #[cfg(feature = "forge")]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|c| c.to_bytes()).collect()
    }
}

/// The digest of an image as a sequence of chunks: SHA-256 over `SUREFOOT-IMG-v1` NUL and, per
/// chunk, its plain length (u32, little endian) and its plain hash (zeros for a zero run). It
/// says the same as a digest of all bytes, and costs no pass over them.
pub fn image_digest(chunks: impl IntoIterator<Item = (u32, Digest)>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"SUREFOOT-IMG-v1\0");
    for (len, plain) in chunks {
        hash.update(len.to_le_bytes());
        hash.update(plain.0);
    }
    Digest(hash.finalize().into())
}

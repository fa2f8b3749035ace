//! Chunks: what a payload is made of.

use crate::model::Digest;

/// How a chunk's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
    /// Not at all: the chunk is zeros.
    Zero,
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

/// All chunks of an artifact, in payload order; a payload of the manifest is a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkTable {
    /// The records.
    pub chunks: Vec<Chunk>,
}

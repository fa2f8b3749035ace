//! The file format: read, write and inspect a signed artifact as a stream. This room never
//! decides whether a release is wanted, and never touches a device.

mod chunk;

pub use chunk::{Chunk, ChunkTable, Codec};

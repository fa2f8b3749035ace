//! What a fake disk is asked and what it keeps.

/// One request that changed the device or ordered its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Bytes written at an offset.
    Write(u64, Vec<u8>),
    /// A range zeroed: offset and length.
    Zero(u64, u64),
    /// A flush that returned.
    Flush,
}

/// What has been asked of the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes and zeroings.
    pub writes: u64,
    /// Bytes written, zeroings not counted.
    pub written: u64,
    /// Bytes zeroed.
    pub zeroed: u64,
    /// Bytes read.
    pub read: u64,
    /// Flushes.
    pub flushes: u64,
}

/// Which of the unflushed sectors are on the medium after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None.
    Nothing,
    /// All of them.
    Everything,
    /// Any, chosen by this seed; one of them is torn in the middle.
    Some(u64),
}

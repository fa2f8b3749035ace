//! Which partitions are A and B, which one runs, and the only key to the other. This room never
//! writes a byte itself and never decides when to update.

mod hardware;

pub use hardware::{HardwareSource, revision};

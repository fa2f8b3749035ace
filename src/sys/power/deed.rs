//! What is done to a medium, and the variables by which the simulator meets it.

use std::fs::File;
use std::path::Path;

/// The exit status of a process whose power was cut.
pub const CUT_STATUS: i32 = 99;

/// The variable that sets the plug.
pub const CUT_VARIABLE: &str = "SUREFOOT_SIM_CUT";

/// The variable that makes the medium lie.
pub const LIE_VARIABLE: &str = "SUREFOOT_SIM_LIE";

/// The variable that stops a process after so many bytes.
pub const STOP_VARIABLE: &str = "SUREFOOT_SIM_STOP";

/// The variable that makes the program have a defect.
pub const DEFECT_VARIABLE: &str = "SUREFOOT_SIM_DEFECT";

/// The variable that names the write log.
pub const LOG_VARIABLE: &str = "SUREFOOT_SIM_LOG";

/// What is done to a medium.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// Bytes are written to a file or device, from this offset.
    Write(&'a File, u64),
    /// A range (offset, length) is made to read as zeros.
    Zero(&'a File, u64, u64),
    /// A file is made, or emptied.
    Create(&'a Path),
    /// A file takes another's name, and its place.
    Rename(&'a Path, &'a Path),
    /// What was written to a file or device is made durable.
    Sync(&'a File),
    /// The names in a folder are made durable.
    SyncFolder(&'a Path),
    /// Something in memory that stands for a medium.
    Memory,
}

//! Who does something that nothing else may be done beside.

use serde::{Deserialize, Serialize};

/// Who holds the lock of a device, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The command: `install`, `commit` and so on.
    pub verb: String,
    /// The number of the process.
    pub pid: u32,
    /// The user, or what brought it: `stick`, `inbox`.
    pub by: String,
    /// Seconds since 1970 at which it began.
    pub since: u64,
}

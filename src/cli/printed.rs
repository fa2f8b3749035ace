//! Standard output.

use crate::model::printable_lines;
use std::io::Write;

/// Prints an answer. A pipe that was closed is the reader's choice, not our failure.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Every text was made printable where it entered; this is the last line of defence.
    let text = printable_lines(text, usize::MAX);
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

//! What the properties of records need of this room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::line::{Entry, of_kernel, parse};
use super::{BootLog, Line};

pub fn boots(a: &[u8], b: &[u8]) -> Vec<BootLog> {
    super::read::boots([a.to_vec(), b.to_vec()])
}

pub fn kernel(bytes: &[u8]) -> Vec<Line> {
    of_kernel(bytes)
}

/// Whether a line is read back as it was.
pub fn again(line: &Line) -> bool {
    let text = line.written();
    let text = text.strip_suffix('\n').unwrap_or(&text);
    matches!(parse(text), Some(Entry::Line(read)) if read == *line)
}

/// The lines of a record that the kernel has kept over a panic.
pub fn pstore(bytes: &[u8]) -> Vec<Line> {
    super::pstore::lines(bytes).iter().map(|line| Line::pstore(line)).collect()
}

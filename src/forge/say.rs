//! What the program prints.

use crate::model::{Failure, ReasonCode, Result, printable_lines, shown_json};
use std::io::Write;

/// What is not the result goes to stderr; the exit status speaks where nobody listens.
pub(super) fn tell(text: &str) -> Result<()> {
    let text = printable_lines(text, usize::MAX);
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    Ok(())
}

/// One JSON document, as people can read it too.
pub(super) fn document(value: &serde_json::Value) -> String {
    shown_json(&format!("{value:#}")) + "\n"
}

/// Results go to stdout; a closed stdout is an error, not a panic.
pub(super) fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let text = printable_lines(text, usize::MAX);
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::new(ReasonCode::Io, format!("writing to standard output: {e}")))
}

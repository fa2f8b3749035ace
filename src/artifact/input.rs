//! Reading as far as the bytes come, never as far as they are announced.

use crate::model::{Failure, ReasonCode, Result};
use std::io::Read;

pub(super) fn read_exactly(input: &mut dyn Read, len: u64, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_some(input, len, &mut bytes)?;
    if bytes.len() as u64 != len {
        return Err(truncated(what));
    }
    Ok(bytes)
}

/// Grows with what comes, not with what was announced.
pub(super) fn read_some(input: &mut dyn Read, len: u64, bytes: &mut Vec<u8>) -> Result<()> {
    // A source that knows why it failed says so itself: its Failure travels inside the io::Error.
    let read = input.take(len).read_to_end(bytes);
    read.map(drop).map_err(|e| {
        let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
        inner.cloned().unwrap_or_else(|| {
            Failure::new(ReasonCode::SourceLost, format!("reading the artifact: {e}"))
        })
    })
}

pub(super) fn truncated(what: &str) -> Failure {
    Failure::new(ReasonCode::Truncated, format!("the artifact ends inside its {what}"))
}

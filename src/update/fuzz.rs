//! What the properties of the state folder need of this room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::{committed, floor, store};

/// Whether a journal reads back as it was; `None` if it is none.
pub fn journal(bytes: &[u8]) -> Option<bool> {
    let (sequence, found) = store::decode(bytes, 1)?;
    let Some(journal) = found.journal else { return Some(true) };
    let again = store::encode(found.format, sequence, &journal).ok()?;
    let read = store::decode(&again, 1);
    Some(read.is_some_and(|(again, r)| {
        again == sequence && r.format == found.format && r.journal == Some(journal)
    }))
}

pub fn floor(bytes: &[u8]) -> Option<u32> {
    floor::decode(bytes)
}

pub fn committed(bytes: &[u8]) -> bool {
    committed::parse(bytes).is_some()
}

pub fn history(text: &str) {
    for outcome in super::history::parse(text.as_bytes()) {
        let line = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<super::Outcome>(&line).unwrap(), outcome);
    }
}

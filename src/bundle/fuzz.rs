//! Properties of documents for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "properties: they panic where one does not hold"
)]

use super::parse_document;

/// What is read has one spelling, and an order in which each service waits only for those before it.
pub fn document(data: &[u8]) {
    let Ok(document) = parse_document(data) else { return };
    let bytes = document.to_bytes();
    let again = parse_document(&bytes).unwrap_or_else(|f| panic!("written, it is refused: {f}"));
    assert_eq!(again, document);
    assert_eq!(again.to_bytes(), bytes);
    let levels = document.start_order().unwrap();
    let mut before = Vec::new();
    for level in levels {
        for name in &level {
            let after = document.services[*name].after.keys();
            assert!(after.into_iter().all(|other| before.contains(&other)), "{name}");
        }
        before.extend(level);
    }
    assert_eq!(before.len(), document.services.len());
    let total: u64 = document.files().iter().map(|file| file.size).sum();
    assert!(total <= super::MAX_TREE_LEN);
}

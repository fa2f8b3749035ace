//! Properties for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "properties: they panic where one does not hold"
)]

use super::app::parse_compose;

/// A Compose file is read or refused, with one printable line. What is read is the same each time.
pub fn compose(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let name = "shop".parse().unwrap();
    match parse_compose(text, &name) {
        Ok(composed) => {
            let bytes = composed.document.to_bytes();
            assert_eq!(parse_compose(text, &name).unwrap().document.to_bytes(), bytes);
            let _ = composed.document.check();
        }
        Err(failure) => assert!(!failure.detail().contains('\n')),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_of_the_fuzzer_and_mutations_of_them_keep_their_promises() {
        crate::model::corpus::run("compose", super::compose);
    }
}

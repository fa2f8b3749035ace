//! Properties for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "properties: they panic where one does not hold"
)]

use super::{Found, Provision, taken};

/// Every file is read or refused; what is read is printed so that it reads the same, and is taken without a rest.
pub fn provision(bytes: &[u8]) {
    match Provision::parse(bytes) {
        Ok(Found::Wish(wish)) => {
            wish.check().unwrap();
            if let Ok(text) = wish.text() {
                assert_eq!(Provision::parse(text.as_bytes()), Ok(Found::Wish(wish)));
            }
        }
        Ok(Found::Taken { .. }) => {}
        Err(failure) => assert!(!failure.detail().contains('\n')),
    }
    let over = taken(bytes.len());
    assert_eq!(over.len(), bytes.len());
    let clean = Ok(Found::Taken { clean: true });
    assert!(bytes.len() < 8 || Provision::parse(&over) == clean || bytes.len() > 16 << 10);
}

//! What the properties of texts need of this room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

/// The answer of systemctl.
pub fn units(text: &str) {
    super::units::tell(text);
}

/// The address of a check.
pub fn url(text: &str) -> bool {
    super::url::Url::parse(text).is_ok()
}

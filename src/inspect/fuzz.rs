//! Properties of what is told about a device, for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

/// A report in which a secret stands behind each of the marks that announce one: it is gone, whatever
/// surrounds it. Bytes are `[where][text before] FF [text behind]`.
pub fn redact(data: &[u8]) {
    const SECRET: &str = "5up3r53cr3t";
    let Some((mode, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data).replace(SECRET, "");
    let (before, behind) = text.split_once('\u{fffd}').unwrap_or((&text, ""));
    let hidden = match mode % 5 {
        0 => format!("{before} https://user:{SECRET}@host/ {behind}"),
        1 => format!("{before} Authorization: Bearer {SECRET} {behind}"),
        2 => format!("{before} bAsIc {SECRET} {behind}"),
        3 => format!("{before} Bearer x Bearer {SECRET}\n{behind}"),
        _ => format!("{before} //:{SECRET}@h http://u:{SECRET}@h {behind}"),
    };
    let told = super::redact::redacted(
        serde_json::json!({ "list": [{ "text": hidden, "token": SECRET }] }),
    );
    let told = told.to_string();
    assert!(!told.contains(SECRET), "{told}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_report_tells_no_secret() {
        crate::model::corpus::run("redact", super::redact);
    }
}

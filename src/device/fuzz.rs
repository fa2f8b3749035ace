//! Properties of what a device keeps and tells, for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use crate::blackbox::fuzz as blackbox;
use crate::slot::record::{decode_record, encode_record};
use crate::update::fuzz as update;

/// What this program itself has written and finds again, damaged by a power cut or by hand: it is read
/// as it was, or not at all.
pub fn state(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 6 {
        0 => {
            let mut b = data.to_vec();
            if mode & 0x80 != 0 && b.len() >= 20 {
                let len =
                    (u32::from_le_bytes(b[12..16].try_into().unwrap()) as usize).min(b.len() - 20);
                let mut c = crc32fast::Hasher::new();
                c.update(&b[..16]);
                c.update(&b[20..20 + len]);
                let c = c.finalize().to_le_bytes();
                b[16..20].copy_from_slice(&c);
            }
            if let Ok(p) = decode_record(&b) {
                assert_eq!(decode_record(&encode_record(p).unwrap()), Ok(p));
            }
        }
        1 => {
            let mut b = data.to_vec();
            if mode & 0x80 != 0
                && let Ok(text) = std::str::from_utf8(data)
                && let Some((head, body)) = text.split_once('\n')
            {
                let words: Vec<&str> = head.split(' ').collect();
                if let [a, f, s, _] = words[..]
                    && let Ok(n) = s.parse::<u64>()
                {
                    let sum = crc32fast::hash(format!("{n}\n{body}").as_bytes());
                    b = format!("{a} {f} {s} {sum:08x}\n{body}").into_bytes();
                }
            }
            if let Some(same) = update::journal(&b) {
                assert!(same, "a journal reads back as it was");
            }
            let _ = (update::floor(data), update::committed(data));
        }
        2 => {
            if let Ok(text) = std::str::from_utf8(data) {
                update::history(text);
            }
        }
        3 => {
            let at = data.len() / 2;
            for b in blackbox::boots(&data[..at], &data[at..]) {
                for l in &b.lines {
                    assert!(blackbox::again(l), "{l:?}");
                    assert!(l.text.chars().count() <= 401);
                }
            }
        }
        4 => {
            for l in blackbox::kernel(data) {
                assert!(blackbox::again(&l), "{l:?}");
            }
        }
        _ => {
            for line in blackbox::pstore(data) {
                assert!(blackbox::again(&line), "{line:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_written_is_read_as_it_was_or_not_at_all() {
        crate::model::corpus::run("state", super::state);
    }
}

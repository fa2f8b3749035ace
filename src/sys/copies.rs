//! One document in two files, each under a checksum and never edited in place: a cut while one is replaced leaves the
//! other.
//!
//! A file is one line `WORD FORMAT SEQUENCE CRC32` and the document; the higher valid sequence counts. The first line
//! is the same in every format, so that a program knows a newer document when it meets one.

use super::durable;
use crate::model::{Failure, ReasonCode, Result};
use std::path::PathBuf;

/// The two files.
#[derive(Debug, Clone)]
pub struct Copies {
    /// The first word of each.
    pub word: &'static str,
    /// Where they are; their folder must exist before anything is written.
    pub files: [PathBuf; 2],
    /// More bytes than one may have.
    pub limit: u64,
}

/// A file whose checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The format of its document.
    pub format: u32,
    /// The higher one counts.
    pub sequence: u64,
    /// The document: all but the first line.
    pub body: String,
}

/// What the two files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCopies<T> {
    /// The newest that is whole.
    pub newest: Option<T>,
    /// There is a file at all, whole or not.
    pub there: bool,
    older: usize,
    sequence: u64,
}

impl Copies {
    /// Looks at both. What `read` makes nothing of is not whole.
    pub fn find<T>(&self, read: impl Fn(&Sealed) -> Option<T>) -> FoundCopies<T> {
        let files = self.files.each_ref().map(|file| match durable::read(file, self.limit) {
            Ok(None) => (None, false),
            Ok(Some(bytes)) => {
                let sealed = unseal(self.word, &bytes);
                (sealed.and_then(|s| read(&s).map(|it| (s.sequence, it))), true)
            }
            Err(_) => (None, true),
        });
        let there = files.iter().any(|(_, there)| *there);
        let [a, b] = files.map(|(found, _)| found);
        let sequences = [&a, &b].map(|found| found.as_ref().map(|(sequence, _)| *sequence));
        let (older, newest) = if sequences[0] > sequences[1] { (1, a) } else { (0, b) };
        let sequence = newest.as_ref().map_or(0, |(sequence, _)| *sequence);
        FoundCopies { newest: newest.map(|(_, it)| it), there, older, sequence }
    }

    /// Writes the document over the older of what was found; then it is the newest. Durable when it returns.
    pub fn write<T>(&self, found: &FoundCopies<T>, format: u32, body: &str) -> Result<()> {
        let bytes = seal(self.word, format, found.sequence.saturating_add(1), body);
        let file = &self.files[found.older];
        let too_long = u64::try_from(bytes.len()).is_ok_and(|len| len > self.limit);
        if too_long {
            let text = format!(
                "{} would have {} bytes, and may have {}",
                file.display(),
                bytes.len(),
                self.limit
            );
            return Err(Failure::new(ReasonCode::StateNotDurable, text));
        }
        durable::write(file, &bytes).map_err(|e| match e.code() {
            ReasonCode::NoSpace | ReasonCode::NotAllowed => e,
            _ => Failure::new(ReasonCode::StateNotDurable, e.detail()),
        })
    }
}

fn checksum(sequence: u64, body: &str) -> u32 {
    crc32fast::hash(format!("{sequence}\n{body}").as_bytes())
}

/// The bytes of one file. `body` ends with a line feed, so that a file that was cut short is noticed.
pub fn seal(word: &str, format: u32, sequence: u64, body: &str) -> Vec<u8> {
    let crc = checksum(sequence, body);
    format!("{word} {format} {sequence} {crc:08x}\n{body}").into_bytes()
}

/// What one file says; `None` if it is another kind of file or its checksum is wrong.
pub fn unseal(word: &str, bytes: &[u8]) -> Option<Sealed> {
    let (head, body) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let words: Vec<&str> = head.split(' ').collect();
    let [first, format, sequence, crc] = words.as_slice() else { return None };
    let (format, sequence) = (format.parse().ok()?, sequence.parse().ok()?);
    let whole = *first == word && *crc == format!("{:08x}", checksum(sequence, body));
    whole.then(|| Sealed { format, sequence, body: body.to_owned() })
}

//! The child's side of the socket: it has the bytes.

use super::wire::{ASKED, PIECE_MAX, REASON_MAX};
use std::fs::File;
use std::io::{Error, Read, Write};

/// Answers until the other end asks no more. `read` fills a piece from an offset.
pub(crate) fn answer_ranges(
    mut stream: &File,
    len: u64,
    read: &mut dyn FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut answer = Vec::new();
    loop {
        let mut asked = [0; 16];
        if stream.read_exact(&mut asked).is_err() || asked[..4] != ASKED {
            return Ok(());
        }
        let want = u32::from_le_bytes([4, 5, 6, 7].map(|i| asked[i]));
        let mut offset = [0; 8];
        offset.copy_from_slice(&asked[8..]);
        let offset = u64::from_le_bytes(offset);
        answer.clear();
        answer.resize(8, 0);
        if want == 0 {
            answer.extend_from_slice(&len.to_le_bytes());
        } else {
            let size = usize::try_from(want).unwrap_or(usize::MAX);
            let end = offset.checked_add(want.into());
            answer.resize(8 + size.min(PIECE_MAX), 0);
            let fits = size <= PIECE_MAX && end.is_some_and(|end| end <= len);
            let done = match fits {
                true => read(offset, &mut answer[8..]),
                false => Err(Error::other("that is not in the file")),
            };
            if let Err(error) = done {
                answer = reason(1, &format!("the medium failed: {error}"));
            }
        }
        let size = u32::try_from(answer.len() - 8).unwrap_or(0);
        answer[4..8].copy_from_slice(&size.to_le_bytes());
        stream.write_all(&answer)?;
    }
}

/// An answer without bytes of the file.
fn reason(status: u8, why: &str) -> Vec<u8> {
    let why = &why.as_bytes()[..why.len().min(REASON_MAX)];
    let mut answer = vec![status, 0, 0, 0, 0, 0, 0, 0];
    answer.extend_from_slice(why);
    answer
}

/// Where there is nothing to give: whatever is asked, this is why.
pub(crate) fn refuse_ranges(
    mut stream: &File,
    medium_failed: bool,
    why: &str,
) -> std::io::Result<()> {
    let mut answer = reason(if medium_failed { 1 } else { 2 }, why);
    let size = u32::try_from(answer.len() - 8).unwrap_or(0);
    answer[4..8].copy_from_slice(&size.to_le_bytes());
    let mut asked = [0; 16];
    while stream.read_exact(&mut asked).is_ok() {
        stream.write_all(&answer)?;
    }
    Ok(())
}

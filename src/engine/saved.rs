//! Reads an archive that an engine saves: of its files only what they hash to.

use crate::model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read, Result};

/// More files than an archive of an image has: three by layer, in old forms.
const FILES_MAX: usize = 4096;

/// The longest archive of an image that is read: a stream without an end ends there.
pub(super) const IMAGE_MAX: u64 = 1 << 35;

/// The longest extended head.
const EXTENDED_MAX: u64 = 64 << 10;

/// The digests of the files of an archive. One that breaks off is `UnexpectedEof`, what is no archive `InvalidData`.
pub(super) fn digests(mut from: impl Read) -> Result<BTreeSet<Digest>> {
    let (mut found, mut extended) = (BTreeSet::new(), None);
    for _ in 0..FILES_MAX {
        let mut head = [0; 512];
        from.read_exact(&mut head)?;
        if head == [0; 512] {
            // The rest is padding; it is read, so that an error behind it is seen.
            let rest = std::io::copy(&mut from.by_ref().take(EXTENDED_MAX), &mut std::io::sink())?;
            return if rest < EXTENDED_MAX { Ok(found) } else { Err(strange("it does not end")) };
        }
        let len = length(&head)?;
        match head[156] {
            b'x' => {
                let mut text = Vec::new();
                (&mut from).take(len.min(EXTENDED_MAX)).read_to_end(&mut text)?;
                extended = size_of(&text);
                skip(&mut from, padding(len) + len.saturating_sub(EXTENDED_MAX))?;
                continue;
            }
            b'0' | 0 => {
                let len = extended.take().unwrap_or(len);
                let mut hash = Hashing(Sha256::new());
                if std::io::copy(&mut from.by_ref().take(len), &mut hash)? < len {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                found.insert(Digest(hash.0.finalize().into()));
                skip(&mut from, padding(len))?;
            }
            _ => {
                // Folders, links, and long names: nothing in them is a layer.
                let len = extended.take().unwrap_or(len);
                skip(
                    &mut from,
                    len.checked_add(padding(len)).ok_or_else(|| strange("a length is none"))?,
                )?;
            }
        }
    }
    Err(strange("it has too many files"))
}

fn strange(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn padding(len: u64) -> u64 {
    len.wrapping_neg() % 512
}

fn skip(from: &mut impl Read, len: u64) -> Result<()> {
    match std::io::copy(&mut from.take(len), &mut std::io::sink())? == len {
        true => Ok(()),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// The length in a head whose sum is right.
fn length(head: &[u8; 512]) -> Result<u64> {
    let octal = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
        u64::from_str_radix(text, 8).ok().filter(|_| !text.starts_with('+'))
    };
    let sum = |at: usize, b: u8| if (148..156).contains(&at) { 32 } else { u64::from(b) };
    let sum: u64 = head.iter().enumerate().map(|(at, b)| sum(at, *b)).sum();
    if octal(&head[148..156]) != Some(sum) {
        return Err(strange("it is no archive"));
    }
    let found = match head[124] {
        0x80 if head[125..128] == [0; 3] => head[128..136].try_into().ok().map(u64::from_be_bytes),
        _ => octal(&head[124..136]),
    };
    found.filter(|len| *len < IMAGE_MAX).ok_or_else(|| strange("a length is none"))
}

/// `size` of an extended head: lines of `LENGTH NAME=VALUE`.
fn size_of(text: &[u8]) -> Option<u64> {
    let lines = text.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut sizes =
        lines.filter_map(|line| line.split_once(' ')?.1.strip_prefix("size=")?.parse().ok());
    sizes.next_back().filter(|len| *len < IMAGE_MAX)
}

struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

//! The bytes of one copy: `crc32 LE | flags (redundant only) | name=value\0…\0\0 | padding`.
//! The checksum covers the data alone; the flags byte is under no checksum.

use crate::model::{Failure, ReasonCode, Result};
use std::borrow::Cow;

/// An environment. What this program does not know is kept byte for byte and in its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    /// `name=value`, or whatever else stood between two NULs.
    entries: Vec<Vec<u8>>,
}

/// Whether a variable may have this name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
        && !name.starts_with('#')
}

/// The name under which U-Boot files an entry: leading blanks are skipped, a comment has none.
fn name_of(entry: &[u8]) -> Option<&[u8]> {
    let start = entry.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    let entry = &entry[start..];
    if entry[0] == b'#' {
        return None;
    }
    Some(match entry.iter().position(|b| *b == b'=') {
        Some(end) => &entry[..end],
        None => entry,
    })
}

fn value_of(entry: &[u8]) -> Option<&[u8]> {
    let at = entry.iter().position(|b| *b == b'=')?;
    Some(&entry[at + 1..])
}

/// Checksum, and the flags byte of a redundant copy.
fn header_len(redundant: bool) -> usize {
    4 + usize::from(redundant)
}

impl Env {
    /// An empty environment.
    pub fn new() -> Env {
        Env::default()
    }

    /// The value of a variable, bytes that are no UTF-8 replaced. As for U-Boot, an entry without
    /// `=` or without a value removes the variable, and the last entry counts.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut named = self.entries.iter().rev();
        let entry = named.find(|e| name_of(e) == Some(name.as_bytes()))?;
        let value = value_of(entry).filter(|v| !v.is_empty())?;
        Some(String::from_utf8_lossy(value))
    }

    /// All entries with a name and a `=`, in stored order, as `fw_printenv` lists them.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.entries.iter().filter_map(|e| {
            let (name, value) = (name_of(e)?, value_of(e)?);
            Some((String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        })
    }

    /// Sets a variable in its place, or puts a new one before the first greater name: an
    /// environment that U-Boot or libubootenv sorted stays sorted. Refused (`INTERNAL`): a name
    /// that no reader could find again, an empty value, a NUL.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if !is_name(name) || value.is_empty() || value.contains('\0') {
            return Err(Failure::new(
                ReasonCode::Internal,
                format!("environment variable `{name}` cannot be set to `{value}`"),
            ));
        }
        let entry = format!("{name}={value}").into_bytes();
        let same = |e: &Vec<u8>| name_of(e) == Some(name.as_bytes());
        match self.entries.iter().position(same) {
            Some(at) => {
                self.entries[at] = entry;
                let mut index = 0;
                self.entries.retain(|e| {
                    index += 1;
                    index - 1 <= at || !same(e)
                });
            }
            None => {
                let greater = |e: &Vec<u8>| name_of(e).is_some_and(|n| n > name.as_bytes());
                let at = self.entries.iter().position(greater);
                self.entries.insert(at.unwrap_or(self.entries.len()), entry);
            }
        }
        Ok(())
    }

    /// Removes a variable, however often it stands there.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|e| name_of(e) != Some(name.as_bytes()));
    }

    /// The copy as it is stored: exactly `size` bytes, padded with zeros as U-Boot does. `serial`
    /// is the flags byte of a redundant copy, `None` for the only one. `ENV_FULL` if it does not
    /// fit. What comes out has been read again and compared (R43).
    pub fn encode(&self, size: usize, serial: Option<u8>) -> Result<Vec<u8>> {
        let header = header_len(serial.is_some());
        let content: usize = self.entries.iter().map(|e| e.len() + 1).sum();
        // The NUL that ends the list; an empty list is that NUL alone.
        if size < header || content + 1 > size - header {
            return Err(Failure::new(
                ReasonCode::EnvFull,
                format!("{} bytes do not fit an environment of {size}", content + 1 + header),
            ));
        }
        let mut out = vec![0; size];
        let mut at = header;
        for entry in &self.entries {
            out[at..at + entry.len()].copy_from_slice(entry);
            at += entry.len() + 1;
        }
        let crc = crc32fast::hash(&out[header..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        if let Some(flags) = serial {
            out[4] = flags;
        }
        match Env::decode(&out, serial.is_some()) {
            Ok((env, flags)) if env == *self && flags == serial => Ok(out),
            _ => Err(Failure::new(
                ReasonCode::Internal,
                "the environment does not decode to what was encoded",
            )),
        }
    }

    /// Reads a copy and its flags byte (`None` unless `redundant`). The error says why the copy
    /// is not valid. Never panics.
    pub fn decode(
        bytes: &[u8],
        redundant: bool,
    ) -> std::result::Result<(Env, Option<u8>), &'static str> {
        let header = header_len(redundant);
        let (Some(data), Some(crc)) = (bytes.get(header..), bytes.get(..4)) else {
            return Err("too short");
        };
        if crc != crc32fast::hash(data).to_le_bytes() {
            return Err("checksum wrong");
        }
        let mut entries = Vec::new();
        let mut rest = data;
        loop {
            match rest.first() {
                None => return Err("the end of the list is missing"),
                Some(0) => break,
                Some(_) => {}
            }
            let Some(end) = rest.iter().position(|b| *b == 0) else {
                return Err("the end of the list is missing");
            };
            // U-Boot drops the whole environment for one of these.
            let entry = &rest[..end];
            if name_of(entry) == Some(b"") && value_of(entry).is_some_and(|v| !v.is_empty()) {
                return Err("a variable without a name");
            }
            entries.push(rest[..end].to_vec());
            rest = &rest[end + 1..];
        }
        let flags = redundant.then(|| bytes[4]);
        Ok((Env { entries }, flags))
    }

    /// Reads the text of `mkenvimage`, `fw_setenv -s` and `u-boot-initial-env`: `name=value`
    /// lines, `#` comments; a backslash before the end of a line puts a line break into the
    /// value. A name without a value is not set, as where U-Boot reads such a text (`himport_r`).
    /// `ENV_CONFIG` for anything else.
    pub fn from_text(text: &str) -> Result<Env> {
        let mut env = Env::new();
        let mut whole = String::new();
        for (line, number) in text.lines().zip(1..) {
            if whole.is_empty() && (line.trim().is_empty() || line.starts_with('#')) {
                continue;
            }
            whole.push_str(line);
            if whole.ends_with('\\') {
                whole.pop();
                whole.push('\n');
                continue;
            }
            let line = std::mem::take(&mut whole);
            let set = line.split_once('=').map(|(n, v)| match v {
                "" if is_name(n) => {
                    env.remove(n);
                    Ok(())
                }
                _ => env.set(n, v),
            });
            if !matches!(set, Some(Ok(()))) {
                return Err(Failure::new(
                    ReasonCode::EnvConfig,
                    format!("line {number} is not `name=value`: {line}"),
                ));
            }
        }
        Ok(env)
    }
}

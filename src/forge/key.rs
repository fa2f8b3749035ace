//! Key files: `NAME.key` holds a secret and is read only if nobody else can read it, `NAME.pub`
//! its public half.
//!
//! ```text
//! surefoot-secret-key-1 release 64 hexadecimal digits        surefoot-public-key-1 release 64 hexadecimal digits
//! ```

use super::file;
use crate::model::{Failure, ReasonCode, Result};
use crate::trust::{PublicKey, Role};
use ed25519_dalek::{Signer, SigningKey};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const SECRET: &str = "surefoot-secret-key-1";
const PUBLIC: &str = "surefoot-public-key-1";
const MAX_LEN: usize = 1024;

/// A secret key and what it may sign. Its memory is cleared when it goes.
pub(super) struct SecretKey {
    role: Role,
    key: SigningKey,
}

impl SecretKey {
    pub(super) fn generate(role: Role) -> Result<SecretKey> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *seed).map_err(|e| {
            Failure::new(ReasonCode::Io, format!("the system gives no random bytes: {e}"))
        })?;
        let key = SigningKey::from_bytes(&seed);
        Ok(SecretKey { role, key })
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn public(&self) -> Result<PublicKey> {
        PublicKey::from_bytes(self.key.verifying_key().as_bytes())
    }

    pub(super) fn sign(&self, statement: &[u8; 128]) -> [u8; 64] {
        self.key.sign(statement).to_bytes()
    }

    /// Writes `NAME.key`, 0600, and fails if something of that name is there.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = Zeroizing::new(String::with_capacity(256));
        text.push_str("# Secret. Whoever has this file speaks for your devices.\n");
        text.push_str(&format!("{SECRET} {} ", self.role));
        for byte in self.key.as_bytes() {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        text.push('\n');
        create(path, 0o600, text.as_bytes())
    }

    /// Reads `NAME.key`. A link, a file that others can read or a folder in which others can
    /// replace it is refused.
    pub(super) fn read(path: &Path) -> Result<SecretKey> {
        let refuse = |why: &str| {
            let detail = format!("{}: {why}", path.display());
            Err(Failure::new(ReasonCode::KeyUnusable, detail))
        };
        let named = std::fs::symlink_metadata(path).map_err(|e| file::failure(path, &e))?;
        if named.is_symlink() {
            return refuse("a key is not read through a symbolic link");
        }
        let opened = crate::sys::files::own(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidInput => {
                Failure::new(ReasonCode::KeyUnusable, format!("{}: {e}", path.display()))
            }
            _ => file::failure(path, &e),
        })?;
        let meta = opened.metadata().map_err(|e| file::failure(path, &e))?;
        // Between the look and the opening somebody may have put a link there.
        if (meta.dev(), meta.ino()) != (named.dev(), named.ino()) || !meta.is_file() {
            return refuse("not an ordinary file");
        }
        if path.extension().is_some_and(|ending| ending == "pub") {
            return refuse("a public key; the secret one beside it, NAME.key, signs");
        }
        if meta.mode() & 0o077 != 0 {
            return refuse(&format!("mode {:04o}: others can read it", meta.mode() & 0o7777));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = std::fs::metadata(folder.unwrap_or(Path::new(".")));
        if folder.is_ok_and(|m| m.mode() & 0o1002 == 0o0002) {
            return refuse("anybody can replace files in its folder");
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
        let read = opened.take(MAX_LEN as u64 + 1).read_to_end(&mut text);
        read.map_err(|e| file::failure(path, &e))?;
        match parse_secret(&text) {
            Some(key) => Ok(key),
            None => refuse("not a surefoot secret key"),
        }
    }
}

fn parse_secret(text: &[u8]) -> Option<SecretKey> {
    let (role, hex) = fields(text, SECRET)?;
    let mut seed = Zeroizing::new([0u8; 32]);
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    let key = SigningKey::from_bytes(&seed);
    Some(SecretKey { role, key })
}

/// The role and the digits of the one line that is no comment.
fn fields<'a>(text: &'a [u8], kind: &str) -> Option<(Role, &'a str)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let mut words = lines.next()?.split_ascii_whitespace();
    let (first, role, hex) = (words.next()?, words.next()?, words.next()?);
    let role = match role {
        "root" => Role::Root,
        "release" => Role::Release,
        "channel" => Role::Channel,
        "develop" => Role::Develop,
        _ => return None,
    };
    let complete = first == kind && words.next().is_none() && lines.next().is_none();
    complete.then_some((role, hex))
}

/// Writes `NAME.pub`.
pub(super) fn write_public(path: &Path, role: Role, key: &PublicKey) -> Result<()> {
    let text = format!("# Key {}\n{PUBLIC} {role} {}\n", key.id(), key.to_hex());
    create(path, 0o644, text.as_bytes())
}

/// Reads `NAME.pub`.
pub(super) fn read_public(path: &Path) -> Result<(Role, PublicKey)> {
    let text = file::read_text(path, MAX_LEN, ReasonCode::KeyUnusable)?;
    let Some((role, hex)) = fields(text.as_bytes(), PUBLIC) else {
        let detail = format!("{}: not a surefoot public key", path.display());
        return Err(Failure::new(ReasonCode::KeyUnusable, detail));
    };
    Ok((role, PublicKey::from_hex(hex).map_err(|f| f.at(path.display()))?))
}

/// A new file with exactly this mode, on the medium.
pub(super) fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(mode);
    let written =
        options.open(path).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    written.map_err(|e| file::failure(path, &e))
}

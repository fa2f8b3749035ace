//! Signing 128 bytes: with a key file, or with a program that speaks for a key that never leaves
//! its token.

use super::file;
use super::key::{SecretKey, read_public};
use super::words::KeyWords;
use crate::artifact::Unverified;
use crate::model::{Failure, Identifier, ReasonCode, Result};
use crate::sys::spare;
use crate::trust::{PublicKey, Role, SignatureRecord, Statement};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a person may look for the token's button.
const DEADLINE: Duration = Duration::from_secs(60);

/// Signs the artifact's head; the signature is checked before it is added. Returns the key.
pub(super) fn sign(head: &mut Unverified, key: &str, words: &KeyWords) -> Result<PublicKey> {
    let statement = *head.statement()?.as_bytes();
    let app = head.clone().parse_unverified().is_ok_and(|release| release.manifest.app.is_some());
    let what = if app { What::App } else { What::Release };
    let (public, signature) = signed(&statement, key, words, what)?;
    head.add_signature(&public, signature)?;
    Ok(public)
}

/// What is signed: that decides which keys may.
#[derive(Clone, Copy)]
enum What<'a> {
    /// A system, or a delta.
    Release,
    /// A bundle of an app.
    App,
    /// A channel of a product.
    Channel(&'a Identifier),
}

/// A signature over the statement of a channel of `product`, by a channel key or by a release key: which
/// of them counts is for the trust file to say.
pub(super) fn sign_channel(
    statement: &Statement,
    product: &Identifier,
    key: &str,
    words: &KeyWords,
) -> Result<SignatureRecord> {
    let (public, signature) = signed(statement.as_bytes(), key, words, What::Channel(product))?;
    Ok(SignatureRecord { key_id: public.id(), signature })
}

/// Whether a key file can be read and may sign channels.
pub(super) fn may_sign_channels(path: &Path) -> Result<()> {
    demand_channel(SecretKey::read(path)?.role(), &path.display().to_string())
}

/// Whether a key file can be read and may sign releases.
pub(super) fn may_sign_releases(path: &Path) -> Result<()> {
    demand_release(SecretKey::read(path)?.role(), &path.display().to_string())
}

fn signed(
    statement: &[u8; 128],
    key: &str,
    words: &KeyWords,
    what: What<'_>,
) -> Result<(PublicKey, [u8; 64])> {
    match key.strip_prefix("cmd:") {
        None => {
            let secret = SecretKey::read(Path::new(key))?;
            what.demand(secret.role(), key)?;
            Ok((secret.public()?, secret.sign(statement)))
        }
        Some(program) => {
            let candidates = candidates(words, what)?;
            let signature = ask(program, statement, DEADLINE)?;
            let public = candidates
                .into_iter()
                .find(|key| key.verifies(statement, &signature))
                .ok_or_else(|| {
                    let detail =
                        format!("what `{program}` returned is no signature by an expected key");
                    Failure::new(ReasonCode::SignatureInvalid, detail)
                })?;
            Ok((public, signature))
        }
    }
}

impl What<'_> {
    fn demand(self, role: Role, name: &str) -> Result<()> {
        match self {
            What::App if role == Role::Develop => Ok(()),
            What::Release | What::App => demand_release(role, name),
            What::Channel(_) => demand_channel(role, name),
        }
    }
}

fn demand_channel(role: Role, name: &str) -> Result<()> {
    if matches!(role, Role::Channel | Role::Release) {
        return Ok(());
    }
    let detail = format!("{name} is a {role} key; channels are signed with a channel key");
    let next = "Sign with a channel key: `surefoot-forge keygen` calls it `channel.key`.";
    Err(Failure::new(ReasonCode::KeyRole, detail).with_next(next))
}

fn demand_release(role: Role, name: &str) -> Result<()> {
    if role == Role::Release {
        return Ok(());
    }
    let detail = format!("{name} is a {role} key; releases are signed with a release key");
    let next = "Sign with a release key: `surefoot-forge keygen` calls it `release.key`.";
    Err(Failure::new(ReasonCode::KeyRole, detail).with_next(next))
}

/// The keys for which a program may speak.
fn candidates(words: &KeyWords, what: What<'_>) -> Result<Vec<PublicKey>> {
    if let Some(path) = &words.r#pub {
        let (role, key) = read_public(path)?;
        what.demand(role, &path.display().to_string())?;
        return Ok(vec![key]);
    }
    let Some(path) = &words.trust else {
        let detail = "cmd:PROGRAM needs --pub FILE or --trust FILE, to check what it returns";
        return Err(Failure::new(ReasonCode::Usage, detail));
    };
    let trust = file::read_trust(path)?;
    let role = match what {
        What::Release | What::App => Role::Release,
        What::Channel(product) => trust.channel_role(product),
    };
    let develop = trust.keys_of(Role::Develop).filter(|_| matches!(what, What::App));
    Ok(trust.keys_of(role).chain(develop).map(|k| k.public.clone()).collect())
}

/// Runs `program`, without a shell and without arguments: the statement on its stdin, exactly 64
/// bytes on its stdout, status 0, in time.
fn ask(program: &str, statement: &[u8; 128], deadline: Duration) -> Result<[u8; 64]> {
    let unusable = |why: String| {
        let next = "Run the program by itself: docs/keys.md says what it must read and print.";
        Failure::new(ReasonCode::KeyUnusable, format!("`{program}` {why}")).with_next(next)
    };
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| unusable(format!("cannot be run: {e}")))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, answer) = mpsc::channel();
    let statement = *statement;
    // Not joined: a grandchild may hold the pipe open after the program was killed.
    let talk = spare::thread("signer", move || {
        if let Some(mut stdin) = stdin {
            // A program that answers without reading all of it answers wrongly; that is seen below.
            let _ = stdin.write_all(&statement);
        }
        let mut bytes = Vec::new();
        let read = stdout.map(|out| out.take(65).read_to_end(&mut bytes));
        let _ = sender.send(read.is_some_and(|r| r.is_ok()).then_some(bytes));
    });
    if let Err(failure) = talk {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failure);
    }
    let until = Instant::now() + deadline;
    let bytes = answer.recv_timeout(deadline);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if bytes.is_ok() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(None) => break Err(format!("did not end within {} s", deadline.as_secs())),
            Err(e) => break Err(format!("cannot be waited for: {e}")),
        }
    };
    let status = status.map_err(|why| {
        let _ = child.kill();
        let _ = child.wait();
        unusable(why)
    })?;
    if !status.success() {
        return Err(unusable(format!("failed: {status}")));
    }
    let bytes = bytes.ok().flatten().unwrap_or_default();
    <[u8; 64]>::try_from(bytes.as_slice())
        .map_err(|_| unusable(format!("returned {} bytes instead of 64", shown(bytes.len()))))
}

fn shown(len: usize) -> String {
    if len > 64 { "more than 64".to_owned() } else { len.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_or_never_stops_talking_is_ended() {
        let began = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let pause = folder.path().join("pause");
        let made = Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\nexec sleep 600\\n' >\"$1\" && chmod 755 \"$1\"",
                "sh",
            ])
            .arg(&pause)
            .status();
        assert!(made.unwrap().success());
        let program = pause.to_str().unwrap();
        let failure = ask(program, &[0; 128], Duration::from_millis(300)).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::KeyUnusable);
        assert!(failure.detail().contains("did not end"), "{failure}");
        assert!(ask("yes", &[0; 128], Duration::from_secs(600)).is_err());
        assert!(began.elapsed() < Duration::from_secs(300));
        let failure = ask("cat", &[0; 128], Duration::from_secs(20)).unwrap_err();
        assert!(failure.detail().contains("more than 64"), "{failure}");
    }
}

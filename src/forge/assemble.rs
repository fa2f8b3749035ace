//! Writing an artifact: what is written is read back and checked before it gets its name.

use super::file::{self, Replacement};
use super::progress::Progress;
use crate::artifact::{Format, Release, Unverified, check_payload, check_stored, read_head};
use crate::delta::stored_only;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::trust::PublicKey;
use std::fs::File;
use std::io::{BufReader, Error, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Where the payload comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// This program has just packed it: what is wrong with it is not the caller's fault.
    Packed,
    /// An artifact that the caller gave.
    Given,
}

/// Writes `head` and what stands in `stored` from `from` on, reads all of it back, and only then
/// gives it its name. What goes to standard output is checked before the first byte of it. Returns
/// its length.
pub(super) fn assemble(
    head: &Unverified,
    (payload, mut stored, from): (Payload, File, u64),
    output: &Path,
    signer: Option<&PublicKey>,
) -> Result<u64> {
    let bytes = head.to_bytes();
    let failed = |e: Error| file::failure(output, &e);
    if file::is_standard(output) {
        stored.seek(SeekFrom::Start(from)).map_err(failed)?;
        let len = check(payload, &bytes, bytes.chain(&stored), signer)
            .map_err(|f| own_fault(payload, f, Ok(true)))?;
        stored.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut out = std::io::stdout().lock();
        let sent = out.write_all(&bytes).and_then(|()| std::io::copy(&mut stored, &mut out));
        sent.and_then(|_| out.flush()).map_err(|e| {
            let text = format!("writing to standard output: {e}");
            Failure::new(file::failure(output, &e).code(), text)
        })?;
        return Ok(len);
    }
    let (replacement, len) = assembled(head, (payload, stored, from), output, signer)?;
    replacement.finish()?;
    Ok(len)
}

/// All but its name, for a file.
pub(super) fn assembled(
    head: &Unverified,
    (payload, mut stored, from): (Payload, File, u64),
    output: &Path,
    signer: Option<&PublicKey>,
) -> Result<(Replacement, u64)> {
    let bytes = head.to_bytes();
    let failed = |e: Error| file::failure(output, &e);
    let mut replacement = Replacement::of(output)?;
    let written = replacement
        .file
        .write_all(&bytes)
        .and_then(|()| stored.seek(SeekFrom::Start(from)))
        .and_then(|_| std::io::copy(&mut stored, &mut replacement.file))
        .and_then(|_| replacement.file.rewind());
    written.map_err(failed)?;
    let len = check(payload, &bytes, &replacement.file, signer).map_err(|f| {
        let begin = stored.seek(SeekFrom::Start(from)).and_then(|_| replacement.file.rewind());
        let same = begin.and_then(|()| same(bytes.chain(&stored), &replacement.file));
        own_fault(payload, f.at(replacement.path().display()), same)
    })?;
    Ok((replacement, len))
}

/// Reads an artifact that must have this head, to its end. What this program has packed has been decoded
/// already: there the stored bytes are compared with their hashes.
fn check(
    payload: Payload,
    bytes: &[u8],
    input: impl Read,
    signer: Option<&PublicKey>,
) -> Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, input);
    let again = read_head(&mut reader)?;
    // What is given has its page hashes behind the head, and only there.
    if !bytes.starts_with(&again.to_bytes()) {
        return Err(Failure::new(ReasonCode::Io, "the artifact reads back differently"));
    }
    if let Some(key) = signer {
        let statement = again.statement()?;
        let id = key.id();
        let good = again
            .signatures()
            .iter()
            .any(|r| r.key_id == id && key.verifies(statement.as_bytes(), &r.signature));
        if !good {
            return Err(Failure::new(
                ReasonCode::SignatureInvalid,
                "the signature reads back wrong",
            ));
        }
    }
    if again.format() == Format::Delta {
        let delta = again.parse_unverified_delta()?;
        stored_only(&delta.blocks, &mut reader)?;
        return Ok(delta.file_len());
    }
    if again.format() == Format::BundleDelta {
        let delta = again.parse_unverified_bundle_delta()?;
        stored_only(&delta.blocks, &mut reader)?;
        return Ok(delta.file_len());
    }
    let release = again.parse_unverified()?;
    if payload == Payload::Packed {
        release.pass_pages(&mut reader)?;
        return release_stored(&release, &mut reader);
    }
    let total = release.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Progress::new("checking", total);
    Ok(check_payload(&release, &mut reader, &|done| progress.at(done))?.artifact_len)
}

/// Reads the stored bytes of a release, which must be those that its table names and nothing more. Returns the
/// length of the artifact.
fn release_stored(release: &Release, input: &mut impl Read) -> Result<u64> {
    let (mut stored, mut len) = (Vec::new(), release.payload_offset());
    let chunks = release.manifest.payloads.iter().flat_map(|p| release.chunks_of(p)).enumerate();
    for (n, chunk) in chunks.filter(|(_, chunk)| !chunk.is_zero()) {
        stored.clear();
        let mut some = Read::take(&mut *input, u64::from(chunk.stored_len));
        some.read_to_end(&mut stored).reason(ReasonCode::Io, "payload")?;
        check_stored(chunk, &stored).map_err(|f| f.at(format!("chunk {n}")))?;
        len += u64::from(chunk.stored_len);
    }
    match input.read(&mut [0]).reason(ReasonCode::Io, "payload")? {
        0 => Ok(len),
        _ => Err(Failure::new(ReasonCode::TrailingBytes, "there are bytes after the payload")),
    }
}

/// What a failed check of what was just written means. It must not send the caller to get the
/// artifact again: there is no other copy of it.
fn own_fault(payload: Payload, failure: Failure, same: std::io::Result<bool>) -> Failure {
    let found = failure.detail();
    match same {
        Ok(true) if payload == Payload::Given => failure,
        Ok(true) => {
            let text = format!("what was packed fails its own check: {found}");
            Failure::new(ReasonCode::Internal, text)
        }
        Ok(false) => {
            let text = format!("what was written reads back differently: {found}");
            Failure::new(ReasonCode::Io, text)
        }
        Err(e) => Failure::new(ReasonCode::Io, format!("what was written is not read back: {e}")),
    }
}

fn same(one: impl Read, other: impl Read) -> std::io::Result<bool> {
    let mut one = BufReader::with_capacity(1 << 20, one).bytes();
    let mut other = BufReader::with_capacity(1 << 20, other).bytes();
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Provenance;
    use crate::artifact::write::{Draft, Image, Packing, pack};

    #[test]
    fn a_failed_check_of_what_was_just_written_is_the_writers_own() {
        let mut stored = Vec::new();
        let image: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let images = vec![Image::rootfs(image.as_slice())];
        let packed = pack(images, Packing::default(), &mut stored, &|_| ()).unwrap();
        let draft = Draft {
            product: "demo".parse().unwrap(),
            compatible: vec!["demo-board".parse().unwrap()],
            version: "1.0.0".parse().unwrap(),
            release_counter: 1,
            security_epoch: 0,
            app: None,
            notes: None,
            provenance: Provenance::default(),
            hints: toml::Table::default(),
        };
        let head = draft.head(packed).unwrap();
        stored[1000] ^= 1;
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("stored");
        let of = |payload| {
            std::fs::write(&scratch, &stored).unwrap();
            let output = folder.path().join("x.surefoot");
            let stored = File::open(&scratch).unwrap();
            let failure = assemble(&head, (payload, stored, 0), &output, None).unwrap_err();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
            failure
        };
        let own = of(Payload::Packed);
        assert_eq!(own.code(), ReasonCode::Internal);
        // Of an artifact that was given there may be a better copy.
        let given = of(Payload::Given);
        assert_eq!(given.code(), ReasonCode::ChunkCorrupt);
        let medium = own_fault(Payload::Given, given.clone(), Ok(false));
        assert_eq!(medium.code(), ReasonCode::Io);
        for failure in [own, medium, own_fault(Payload::Packed, given, Err(Error::other("x")))] {
            let next = failure.next().to_lowercase();
            assert!(!next.contains("download") && !next.contains("copy"), "{failure}: {next}");
        }
    }

    #[test]
    fn what_is_the_same_is_told_from_what_is_not() {
        for (other, expected) in [("abc", true), ("abd", false), ("ab", false), ("abcd", false)] {
            assert_eq!(same(&b"abc"[..], other.as_bytes()).unwrap(), expected, "{other}");
        }
    }
}

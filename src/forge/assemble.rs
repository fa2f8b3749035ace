//! Writing an artifact: what is written is read back and checked before it gets its name.

use super::file::{self, Replacement};
use super::progress::Progress;
use crate::artifact::{Unverified, check_payload, read_head};
use crate::model::{Failure, ReasonCode, Result};
use crate::trust::PublicKey;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::Path;

/// Writes `head` and what stands in `stored` from `from` on, reads all of it back, and only then
/// gives it its name. Returns its length.
pub(super) fn assemble(
    head: &Unverified,
    mut stored: File,
    from: u64,
    output: &Path,
    signer: Option<&PublicKey>,
) -> Result<u64> {
    let mut replacement = Replacement::of(output)?;
    let bytes = head.to_bytes();
    let written = replacement
        .file
        .write_all(&bytes)
        .and_then(|()| stored.seek(SeekFrom::Start(from)))
        .and_then(|_| std::io::copy(&mut stored, &mut replacement.file));
    let payload_len = written.map_err(|e| file::failure(replacement.path(), &e))?;
    let reopened = File::open(replacement.path());
    let reopened = reopened.map_err(|e| file::failure(replacement.path(), &e))?;
    let mut reader = BufReader::with_capacity(1 << 20, reopened);
    let again = read_head(&mut reader)?;
    if again.to_bytes() != bytes {
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
    let release = again.parse_unverified()?;
    let total = release.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Progress::new("checking", total);
    let checked = check_payload(&release, &mut reader, &|done| progress.at(done))?;
    if checked.artifact_len != bytes.len() as u64 + payload_len {
        return Err(Failure::new(ReasonCode::Internal, "lengths written and read differ"));
    }
    replacement.finish()?;
    Ok(checked.artifact_len)
}

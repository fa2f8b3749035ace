//! The slot record of a release as a file: for build systems that lay out a disk by themselves.

use super::file::{self, Replacement};
use super::say::{document, say};
use super::words::Record;
use crate::artifact::read_head;
use crate::model::{Failure, Identifier, ReasonCode, Result};
use crate::slot::record::{PAYLOAD_MAX, encode_record};
use crate::trust::Trust;
use std::io::{BufReader, Write};

/// Writes the record of the parts that fit, in the order of the artifact, which is that of a slot.
pub(super) fn run(words: &Record) -> Result<()> {
    file::may_be_written(&words.output)?;
    let mut input = BufReader::new(file::open(&words.artifact)?);
    let at = |f: Failure| f.at(words.artifact.display());
    let head = read_head(&mut input).map_err(at)?;
    let release = match &words.trust {
        Some(path) => {
            let trust: Trust = file::read_trust(path)?;
            (*head.verify(&trust).map_err(at)?).clone()
        }
        None => head.parse_unverified().map_err(at)?,
    };
    let fits = |revisions: &[Identifier]| {
        let wanted = words.hardware.as_deref();
        revisions.is_empty() || revisions.iter().any(|r| Some(r.as_str()) == wanted)
    };
    let all = release.manifest.payloads.iter().enumerate();
    let fitting: Vec<usize> = all.filter(|(_, p)| fits(&p.hardware)).map(|(n, _)| n).collect();
    if fitting.is_empty() {
        let why = "it has no image for this hardware revision: say --hardware";
        return Err(Failure::new(ReasonCode::Incompatible, why).at(words.artifact.display()));
    }
    let record = encode_record(&release.record(&fitting, PAYLOAD_MAX)?)?;
    let mut out = Replacement::of(&words.output)?;
    out.file.write_all(&record).map_err(|e| file::failure(out.path(), &e))?;
    out.finish()?;
    match words.json {
        true => say(&document(&serde_json::json!({
            "v": 1,
            "record": words.output,
            "product": release.manifest.product,
            "version": release.manifest.version,
            "payloads": fitting,
        }))),
        false => Ok(()),
    }
}

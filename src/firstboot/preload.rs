//! Artifacts that the image brings on its data partition: each is verified, and one that this updater cannot install stays and
//! is named.

use super::work::Work;
use crate::device::examine;
use crate::event::Nowhere;
use crate::model::{Result, printable};
use crate::source::Source;
use std::path::PathBuf;

/// The folder of the data partition.
pub(super) const PRELOAD: &str = "preload";

/// More than an image brings.
const MOST: usize = 64;

/// What each of them is, after the boot: reading some GB takes minutes. Signature, kind, product, version and every stored byte are looked at, and
/// not whether the device is well.
pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let world = work.world()?;
    let folder = work.data.join(PRELOAD);
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|p| p.extension().is_some_and(|x| x == "surefoot")).collect();
    files.sort();
    files.truncate(MOST);
    let mut told = Vec::new();
    for file in files {
        let name = printable(&file.file_name().unwrap_or_default().to_string_lossy(), 255);
        let judged = Source::open(&file).and_then(|source| examine(world, source, &Nowhere));
        told.push(match judged {
            Ok(_) => format!("{name} can be installed"),
            Err(failure) => {
                let text = format!("{name} stays in {}: {failure}", folder.display());
                work.warn(text.clone());
                text
            }
        });
    }
    Ok(if told.is_empty() { "none".to_owned() } else { told.join("; ") })
}

//! Artifacts that the image brings on its data partition: each is verified, and one that this updater cannot install stays and
//! is named.

use super::work::Work;
use crate::device::World;
use crate::event::Nowhere;
use crate::model::{Result, printable};
use std::path::{Path, PathBuf};

/// The folder of the data partition.
pub(super) const PRELOAD: &str = "preload";

/// A release of a system waits for a person; a bundle of an app is installed by the daemon.
#[cfg(feature = "apps")]
fn judge(world: &World, file: &Path) -> Result<&'static str> {
    crate::device::judge_preload(world, file, &Nowhere)
}

#[cfg(not(feature = "apps"))]
fn judge(world: &World, file: &Path) -> Result<&'static str> {
    use crate::source::Source;
    Source::open(file)
        .and_then(|source| crate::device::examine(world, source, &Nowhere))
        .map(|_| "can be installed")
}

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
        told.push(match judge(world, &file) {
            Ok(how) => format!("{name} {how}"),
            Err(failure) => {
                let text = format!("{name} stays in {}: {failure}", folder.display());
                work.warn(text.clone());
                text
            }
        });
    }
    Ok(if told.is_empty() { "none".to_owned() } else { told.join("; ") })
}

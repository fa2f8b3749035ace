//! Whole bundles on this device, from which a store that has lost or damaged something is filled again without a network:
//! those that `keep_files` has kept, and those of the folder for preloads.

use super::bundles::folder_of;
use super::{AppContext, BundleHead, read_bundle};
use crate::bundle::ServiceName;
use crate::model::{Digest, ReasonCode, Result, WithReason};
use crate::source::{Fetch, LocalFile, Sequential};
use crate::sys::tree;
use std::path::PathBuf;

/// The bundle, beside its head.
const FILE: &str = "file.surefoot";

/// More files than an image brings are not looked at.
const MOST: usize = 64;

/// The bundles of the folder for preloads, by name; what is none of ours is among them.
pub fn preloads(ctx: &AppContext<'_>) -> Vec<PathBuf> {
    let folder = ctx.settings.preload.iter();
    let entries = folder.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|x| x == "surefoot")).collect();
    found.sort();
    found.truncate(MOST);
    found
}

/// The whole bundle of a generation, if it lies on this device and a trusted key has signed it. Its payloads are compared
/// with what it signs when they are read.
pub fn kept_file(ctx: &AppContext<'_>, app: &ServiceName, digest: &Digest) -> Option<LocalFile> {
    let own = folder_of(ctx.state, app, digest).join(FILE);
    let files = std::iter::once(own).chain(preloads(ctx));
    files.into_iter().find_map(|path| {
        let file = LocalFile::open(&path).ok()?;
        let head = read_bundle(ctx.trust, &file).ok()?;
        let whole = head.release().artifact_len() == file.len();
        (head.digest() == *digest && head.app() == app && whole).then_some(file)
    })
}

/// Keeps a whole bundle, durably, where the settings ask for it and it does not lie here already.
pub(super) fn keep_file(ctx: &AppContext<'_>, head: &BundleHead, source: &dyn Fetch) -> Result<()> {
    if !ctx.settings.keep_files || kept_file(ctx, head.app(), &head.digest()).is_some() {
        return Ok(());
    }
    let folder = folder_of(ctx.state, head.app(), &head.digest());
    let file = folder.join(FILE);
    let beside = file.with_extension("new");
    tree::make_folder(&folder)?;
    tree::clear(&beside).reason(ReasonCode::Io, beside.display())?;
    let len = head.release().artifact_len();
    tree::fill(&beside, 0o600, &mut Sequential::new(source), len, &mut |_| ())?;
    tree::clear(&file).reason(ReasonCode::Io, file.display())?;
    tree::rename(&beside, &file)
}

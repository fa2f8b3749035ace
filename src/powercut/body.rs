//! Images without their first block: what a slot may hold that offers a kernel and does not run.

use super::folder::Folder;
use super::pages::{Base, Pages};
use super::phase::Map;
use crate::model::{Digest, Result, SlotId};
use std::collections::BTreeSet;

/// An image without its first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) len: u64,
    pub(super) digest: Digest,
}

impl Body {
    const FIRST: usize = 4096;

    /// Of the bytes of a slot.
    fn of(image: &[u8]) -> Option<Body> {
        let rest = image.get(Body::FIRST..)?;
        Some(Body { len: image.len() as u64, digest: Digest::of(rest) })
    }

    /// Whether a slot holds one of `all`.
    pub(super) fn stands_in(slot: &[u8], all: &[Body]) -> bool {
        let lens: BTreeSet<u64> = all.iter().map(|body| body.len).collect();
        let found = |len: u64| slot.get(..super::small(len)).and_then(Body::of);
        lens.into_iter().filter_map(found).any(|body| all.contains(&body))
    }
}

/// The images that the records of the slots vouch for, if they stand there.
pub(super) fn bodies(folder: &Folder, map: &Map) -> Result<Vec<Body>> {
    let world = folder.open_world()?;
    let disk = Pages::new(Base::read(&folder.disk())?);
    let body = |slot: SlotId| {
        let installed = world.installed(slot)?;
        let payload = installed.rootfs()?;
        let mut bytes = vec![0; super::small(payload.size)];
        disk.read(map.slot(slot).start, &mut bytes);
        let stands = Digest::of(&bytes) == payload.sha256;
        stands.then(|| Body::of(&bytes)).flatten()
    };
    Ok([SlotId::A, SlotId::B].into_iter().filter_map(body).collect())
}

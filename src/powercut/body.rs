//! Images without their first block: what a slot may hold that offers a kernel and does not run.

use super::folder::Folder;
use super::pages::{Base, Pages};
use super::phase::{Map, Place};
use crate::model::{Digest, Result, SlotId};
use std::collections::BTreeSet;

/// The images of a slot, in the order of its parts, without the first block of the first one: that
/// is destroyed before and written after everything else, so that it alone may be torn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    lens: Vec<u64>,
    digests: Vec<Digest>,
}

impl Body {
    const FIRST: usize = 4096;

    /// Of the images of all parts.
    fn of(images: &[&[u8]]) -> Option<Body> {
        let rest = |(part, image): (usize, &&[u8])| {
            let from = if part == 0 { Body::FIRST } else { 0 };
            image.get(from..).map(Digest::of)
        };
        let digests = images.iter().enumerate().map(rest).collect::<Option<_>>()?;
        Some(Body { lens: images.iter().map(|image| image.len() as u64).collect(), digests })
    }

    /// Whether a slot holds one of `all`. `slot`: the bytes of its parts.
    pub(super) fn stands_in(slot: &[Vec<u8>], all: &[Body]) -> bool {
        let lens: BTreeSet<&[u64]> = all.iter().map(|body| &body.lens[..]).collect();
        let found = |lens: &[u64]| {
            let image = |(part, len): (&'_ Vec<u8>, &u64)| part.len() as u64 >= *len;
            let fit = lens.len() == slot.len() && slot.iter().zip(lens).all(image);
            let images = || slot.iter().zip(lens).map(|(part, len)| &part[..super::small(*len)]);
            fit.then(|| Body::of(&images().collect::<Vec<_>>())).flatten()
        };
        lens.into_iter().filter_map(found).any(|body| all.contains(&body))
    }
}

/// The images that the records of the slots vouch for, if they stand there.
pub(super) fn bodies(folder: &Folder, map: &Map) -> Result<Vec<Body>> {
    let world = folder.open_world()?;
    let disk = Pages::new(Base::read(&folder.disk())?);
    let body = |slot: SlotId| {
        let installed = world.installed(slot)?;
        let image = |place: &Place| {
            let payload = &installed.manifest.payloads[installed.payload_of(&place.name)?];
            let mut bytes = vec![0; super::small(payload.size)];
            disk.read(place.range.start, &mut bytes);
            (Digest::of(&bytes) == payload.sha256).then_some(bytes)
        };
        let images = map.parts(slot).iter().map(image).collect::<Option<Vec<_>>>()?;
        Body::of(&images.iter().map(|image| &image[..]).collect::<Vec<_>>())
    };
    Ok([SlotId::A, SlotId::B].into_iter().filter_map(body).collect())
}

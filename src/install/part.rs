//! What is written to one part of a slot.

use super::origin::{Origin, Other, without_copies};
use super::spans::Places;
use crate::disk::BlockDevice;
use crate::model::{Failure, Identifier};

/// One part: its partition, the image for it, and where each of its chunks comes from.
pub(super) struct PartOrder<'a> {
    pub(super) name: &'a Identifier,
    pub(super) device: &'a dyn BlockDevice,
    /// The payload's first chunk in the artifact's table.
    pub(super) first_chunk: usize,
    pub(super) places: Places<'a>,
    /// One for each chunk.
    pub(super) origins: Vec<Origin>,
    /// Where copies come from; without one, everything that does not stand is fetched.
    pub(super) other: Option<Other<'a>>,
}

impl<'a> PartOrder<'a> {
    /// All of it, with nothing that stands yet.
    pub(super) fn new(
        name: &'a Identifier,
        device: &'a dyn BlockDevice,
        first_chunk: usize,
        places: Places<'a>,
    ) -> PartOrder<'a> {
        let origins = places.chunks.iter().map(|c| Origin::of(c, false)).collect();
        PartOrder { name, device, first_chunk, places, origins, other: None }
    }

    /// The same without copies: see [`without_copies`].
    pub(super) fn fetch_copies(&mut self) {
        self.origins = without_copies(&self.origins);
    }

    /// A failure of this part, named where a slot has several.
    pub(super) fn place(&self, parts: usize) -> impl FnOnce(Failure) -> Failure {
        let name = (parts > 1).then(|| self.name.clone());
        move |failure| match name {
            Some(name) => failure.at(format_args!("part {name}")),
            None => failure,
        }
    }
}

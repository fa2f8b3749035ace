//! What is written to one part of a slot.

use super::origin::{Origin, Other};
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

    /// Image bytes that stand already.
    pub(super) fn kept(&self) -> u64 {
        self.sum(|origin| origin == Origin::Stands)
    }

    /// Image bytes of the chunks whose origin is one of these.
    pub(super) fn sum(&self, of: impl Fn(Origin) -> bool) -> u64 {
        let chunks = self.places.chunks.iter().zip(&self.origins);
        chunks.filter(|(_, o)| of(**o)).map(|(c, _)| u64::from(c.plain_len)).sum()
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

//! What an installation from a distance would cost, before it begins. Pure.

use super::origin::Origin;
use super::part::PartOrder;
use crate::event::Forecast;

/// Where the bytes of parts come from whose origins are known.
pub(super) fn sums(parts: &[PartOrder]) -> Forecast {
    let sum = |of: fn(Origin) -> bool| parts.iter().map(|part| part.sum(of)).sum();
    let stored = |part: &PartOrder| -> u64 {
        let chunks = part.places.chunks.iter().zip(&part.origins);
        let fetched = chunks.filter(|(_, origin)| **origin == Origin::Fetch);
        fetched.map(|(chunk, _)| u64::from(chunk.stored_len)).sum()
    };
    Forecast {
        stands: sum(|origin| origin == Origin::Stands),
        copied: sum(Origin::is_copy),
        zeros: sum(|origin| origin == Origin::Zero),
        fetch: sum(|origin| origin == Origin::Fetch),
        to_fetch: parts.iter().map(stored).sum(),
        ..Forecast::default()
    }
}

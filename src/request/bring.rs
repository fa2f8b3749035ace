//! Bringing an artifact, for each request that has one.

use super::query::usage;
use crate::device::{self, Installation, Installed, World};
use crate::event::Sink;
use crate::model::Result;
use crate::source::{Source, Tries};

/// The artifact of a request that has one.
pub(super) fn artifact(source: Option<Source>) -> Result<Source> {
    source.ok_or_else(|| usage("an artifact goes with it".to_owned()))
}

/// Brings an artifact, from where it is.
pub(super) fn install(
    world: &World,
    ask: Installation,
    source: Option<Source>,
    wait: bool,
    sink: &dyn Sink,
) -> Result<Installed> {
    let tries = if wait { Tries::Endless } else { Tries::Minute };
    match ask.url {
        Some(_) => device::install_url(world, &*world.web(), tries, ask, sink),
        None => device::install(world, artifact(source)?, ask, sink),
    }
}

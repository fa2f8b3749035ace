//! Installations whose bytes a server has: opened here, and begun anew where the server has another file
//! meanwhile.

use super::beside::shown;
use super::install::{install, install_by};
use super::installation::{Installation, Installed};
use super::offers::Web;
use super::unfinished::Origin;
use super::ways::Ways;
use super::world::World;
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, Result};
use crate::source::{Source, Tries};
use crate::sys::stop;

/// Brings the release that `ask` names the URL of. The codes of the network, and what [`install`] says.
pub fn install_url(
    world: &World,
    web: &dyn Web,
    tries: Tries,
    ask: Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    let mut ways = Ways::over(Some((web, tries)));
    match from_url(world, (web, tries), &mut ways, ask.clone(), sink) {
        // Another file has taken its place, or the same one under another mark: what stands of it is
        // found by its hashes, and the rules decide about another one.
        Err(failure) if failure.code() == ReasonCode::SourceChanged => {
            sink.emit(&Event::Warning { text: format!("{failure}; it is begun anew") });
            from_url(world, (web, tries), &mut ways.anew(), ask, sink)
        }
        done => done,
    }
}

fn from_url(
    world: &World,
    (web, tries): (&dyn Web, Tries),
    ways: &mut Ways<'_>,
    mut ask: Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    let none = || Failure::new(ReasonCode::Internal, "an installation without a URL");
    let url = ask.url.clone().ok_or_else(none)?;
    let source = match &ask.full {
        None => web.artifact(&url, tries)?,
        Some(full) => match web.artifact(&url, tries) {
            Ok(source) => source,
            // A delta is only a shorter way.
            Err(why) => {
                stop::look()?;
                let text = format!("{}: {why}: {} takes its place", shown(&url), shown(full));
                sink.emit(&Event::Warning { text });
                let full = full.clone();
                let source = web.artifact(&full, tries)?;
                (ask.url, ask.full) = (Some(full), None);
                source
            }
        },
    };
    install_by(world, ways, source, ask, sink)
}

/// Goes on with an installation that did not finish. A server is asked until it answers; where a channel is
/// followed only for a minute, for looks at that must have their turn: it may be what names another server.
pub fn go_on(
    world: &World,
    origin: &Origin,
    ask: Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    match origin {
        Origin::File(path) => install(world, Source::open(path)?, ask, sink),
        Origin::Url(_) => {
            let tries = match world.settings.source.channel {
                Some(_) => Tries::Minute,
                None => Tries::Endless,
            };
            install_url(world, &*world.web(), tries, ask, sink)
        }
    }
}

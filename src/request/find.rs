//! Which client there is.

use super::client::Client;
use super::daemon::Daemon;
use super::here::Here;
use crate::config::{Where, load};
use crate::event::{Event, Sink};
use crate::model::Result;

/// The daemon of this configuration if one listens; else this process, with the device opened.
/// `by` is who stands in the record; the user of this process where nothing else is said.
pub fn find<'a>(
    place: &'a Where,
    by: Option<&str>,
    sink: &dyn Sink,
) -> Result<Box<dyn Client + 'a>> {
    let loaded = load(place)?;
    if let Some(daemon) = Daemon::find(&loaded.settings.run) {
        return Ok(Box::new(daemon.speaking_for(by)));
    }
    for what in &loaded.ignored {
        sink.emit(&Event::Warning { text: format!("ignored: {what}") });
    }
    let here = Here::alone(place).speaking_for(by);
    here.open(loaded.settings)?;
    Ok(Box::new(here))
}

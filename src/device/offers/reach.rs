//! The last clause of can-update-again: the server of the channel that the old system reached is reached by
//! the new one. The old one writes down that it did, before it is left; the new one asks until there was an
//! answer. A server that is out sends no release home, as long as anything else answers.

use super::Web;
use crate::device::World;
use crate::device::look::on_trial;
use crate::event::{Event, Sink};
use crate::health::Outcome;
use crate::model::{ReasonCode, Result, StateFile, WithReason, document};
use crate::source::Reached;
use crate::sys::{durable, files};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `reached.json`: what the system that is left has reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    v: u32,
    /// The server of its channel, without a path; nothing where it was not reached.
    source: Option<String>,
    /// Whether something else answered too. What was not there before an update is not missed after it.
    network: bool,
}

/// The server of a URL: scheme, host and port.
fn server(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(format!("{scheme}://{host}/"))
}

impl World {
    fn reached_file(&self) -> PathBuf {
        StateFile::REACHED.within(&self.settings.device.state)
    }

    fn own_server(&self) -> Option<String> {
        self.settings.source.channel.as_deref().and_then(server)
    }

    fn ask_whether(&self, server: &str, again: bool) -> Result<Reached> {
        let own;
        let web: &dyn Web = match &self.web {
            Some(web) => &**web,
            None => {
                own = self.web();
                &*own
            }
        };
        web.reach(server, &self.settings.source.witness, again)
    }

    /// Before this system is left: writes down whether it reaches the server of its channel.
    pub(in crate::device) fn keep_reached(&self) -> Result<()> {
        let bytes = durable::read(&self.reached_file(), StateFile::REACHED.limit).ok().flatten();
        let Some(server) = self.own_server() else {
            // Nothing is asked, and what was known of another time does not count.
            return if bytes.is_some() { self.write_reached(&Known::default()) } else { Ok(()) };
        };
        let found = match self.ask_whether(&server, false) {
            Ok(found) => found,
            Err(failure) if failure.code() == ReasonCode::Interrupted => return Err(failure),
            Err(_) => Reached::default(),
        };
        let source = found.source.then_some(server);
        let known = Known { v: 1, source, network: found.network.is_some() };
        // Each life of a flash counts its writes.
        match bytes.and_then(|b| document::<Known>(&b)) == Some(known.clone()) {
            true => Ok(()),
            false => self.write_reached(&known),
        }
    }

    fn write_reached(&self, known: &Known) -> Result<()> {
        let text = serde_json::to_string(known).reason(ReasonCode::Internal, "reached")?;
        durable::write(&self.reached_file(), text.as_bytes())
    }

    /// Whether the system on trial reaches what the one before it has reached. Good where that one had
    /// reached nothing, or no trial runs.
    pub(in crate::device) fn source_again(&self, sink: &dyn Sink) -> Outcome {
        let Ok(Some((_, txn))) = on_trial(self) else { return Outcome::Good };
        let bytes = durable::read(&self.reached_file(), StateFile::REACHED.limit).ok().flatten();
        let known: Known = bytes.and_then(|b| document(&b)).unwrap_or_default();
        let Some(before) = known.source else { return Outcome::Good };
        // Once is enough: a link may be down in just the second in which it is decided. No reboot keeps
        // what lies there.
        let (mark, word) = (self.settings.run.join("reached"), format!("{txn} {}", self.boot_id()));
        if files::foreign_text(&mark, files::SMALL).is_ok_and(|text| text == word) {
            return Outcome::Good;
        }
        let outcome = self.reaches(&before, known.network);
        if outcome == Outcome::Good
            && self.settings.run.is_dir()
            && let Err(failure) = durable::publish(&mark, word.as_bytes())
        {
            // It is asked again.
            sink.emit(&Event::Warning { text: failure.to_string() });
        }
        outcome
    }

    fn reaches(&self, before: &str, network_before: bool) -> Outcome {
        let own = self.own_server().filter(|own| own != before);
        let (mut network, mut said) = (None, Vec::new());
        // A release may move a device to another server.
        for server in std::iter::once(before.to_owned()).chain(own) {
            match self.ask_whether(&server, true) {
                Ok(found) if found.source => return Outcome::Good,
                Ok(found) => {
                    network = network.or(found.network);
                    said.push(found.said);
                }
                Err(failure) if failure.code() == ReasonCode::Interrupted => {
                    return Outcome::CouldNot(failure.to_string());
                }
                // Without a fetcher there is no network for this program.
                Err(failure) => said.push(failure.to_string()),
            }
        }
        let said = said.join("; ");
        match network {
            Some(network) => {
                Outcome::Open(format!("the server is not reached ({said}); {network}"))
            }
            None if !network_before => Outcome::Open(format!(
                "the server is not reached ({said}), and nothing else answered before the update"
            )),
            None => Outcome::Bad(format!("nothing answers over the network: {said}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn a_server_is_known_without_path_and_credentials() {
        for (url, known) in [
            ("https://h.example/a/stable.channel?x", Some("https://h.example/")),
            ("http://u:p@[::1]:8080", Some("http://[::1]:8080/")),
            ("stable.channel", None),
        ] {
            assert_eq!(server(url).as_deref(), known, "{url}");
        }
    }
}

//! Who does what was asked: the daemon if it runs, this process if not.

use super::args::Install;
use crate::config::{Where, load};
use crate::daemon::Remote;
use crate::device::{
    self, Allowed, Answer, Cancellation, Hold, Installation, Installed, Judgement, Order, Outcome,
    Reboot, SlotVerdict, Source, Then, Why, World,
};
use crate::event::{Event, Sink};
use crate::inspect::{self, Diagnosis, Status};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// Who is asked.
pub(super) enum Asked {
    /// This process, on the device itself.
    Here(Box<World>),
    /// The daemon.
    There(Remote),
}

#[derive(Deserialize)]
struct Said {
    text: String,
}

#[derive(Deserialize)]
struct History {
    history: Vec<Outcome>,
}

impl Asked {
    /// The daemon of this configuration if one listens; else the device is opened.
    pub(super) fn find(place: &Where, sink: &dyn Sink) -> Result<Asked> {
        let loaded = load(place)?;
        if let Some(remote) = Remote::find(&loaded.settings.run) {
            return Ok(Asked::There(remote));
        }
        for what in &loaded.ignored {
            sink.emit(&Event::Warning { text: format!("ignored: {what}") });
        }
        World::open(loaded.settings).map(|world| Asked::Here(Box::new(world)))
    }

    /// What follows an end, where no daemon does it.
    pub(super) fn aftermath(&self, sink: &dyn Sink) {
        if let Asked::Here(world) = self
            && let Err(failure) = device::aftermath(world, sink)
        {
            sink.emit(&Event::Warning { text: failure.to_string() });
        }
    }

    pub(super) fn status(&self) -> Result<Status> {
        match self {
            Asked::Here(world) => inspect::status(world),
            Asked::There(daemon) => daemon.ask("/v1/status"),
        }
    }

    pub(super) fn why(&self, sink: &dyn Sink) -> Result<Why> {
        match self {
            Asked::Here(world) => device::why(world, true, sink),
            Asked::There(daemon) => daemon.ask("/v1/why"),
        }
    }

    pub(super) fn hold(&self, seconds: Option<u64>, reason: &str, sink: &dyn Sink) -> Result<Hold> {
        match self {
            Asked::Here(world) => device::hold(world, seconds, reason, &device::user(), sink),
            Asked::There(daemon) => {
                let seconds = seconds.map_or_else(String::new, |s| format!("&seconds={s}"));
                let reason = parameter("reason", reason);
                daemon.act(&format!("/v1/hold{reason}{seconds}"), None, sink)
            }
        }
    }

    pub(super) fn drill(&self, kind: &str, sink: &dyn Sink) -> Result<Answer> {
        match self {
            Asked::Here(world) => {
                let usage = |e: String| Failure::new(ReasonCode::Usage, e);
                device::drill(world, kind.parse().map_err(usage)?, &device::user(), sink)
            }
            Asked::There(daemon) => {
                daemon.act(&format!("/v1/drill{}", parameter("kind", kind)), None, sink)
            }
        }
    }

    pub(super) fn release(&self, sink: &dyn Sink) -> Result<String> {
        match self {
            Asked::Here(world) => device::release(world, &device::user(), sink),
            Asked::There(daemon) => daemon.act("/v1/release", None, sink).map(|s: Said| s.text),
        }
    }

    pub(super) fn history(&self) -> Result<Vec<Outcome>> {
        match self {
            Asked::Here(world) => device::history(world),
            Asked::There(daemon) => daemon.ask("/v1/history").map(|h: History| h.history),
        }
    }

    pub(super) fn switch(&self, sink: &dyn Sink) -> Result<Answer> {
        match self {
            Asked::Here(world) => device::switch(world, sink),
            Asked::There(daemon) => daemon.act("/v1/switch", None, sink),
        }
    }

    pub(super) fn commit(&self, unchecked: Option<String>, sink: &dyn Sink) -> Result<Answer> {
        match self {
            Asked::Here(world) => {
                let unchecked = unchecked.map(|why| device::signed(&why, &device::user()));
                device::commit(world, unchecked, sink)
            }
            Asked::There(daemon) => {
                let forced = |r: String| format!("{}&force=1", parameter("reason", &r));
                let reason = unchecked.map_or_else(String::new, forced);
                daemon.act(&format!("/v1/commit{reason}"), None, sink)
            }
        }
    }

    pub(super) fn cancel(&self, reason: &str, sink: &dyn Sink) -> Result<Cancellation> {
        match self {
            Asked::Here(world) => device::cancel(world, reason, &device::user(), sink),
            Asked::There(daemon) => {
                daemon.act(&format!("/v1/cancel{}", parameter("reason", reason)), None, sink)
            }
        }
    }

    pub(super) fn rollback(&self, reason: &str, retry: bool, sink: &dyn Sink) -> Result<Answer> {
        match self {
            Asked::Here(world) => {
                let by = device::user();
                device::rollback(world, &device::signed(reason, &by), &by, retry, sink)
            }
            Asked::There(daemon) => {
                let retry = if retry { "&retry_rolled_back=1" } else { "" };
                let reason = parameter("reason", reason);
                daemon.act(&format!("/v1/rollback{reason}{retry}"), None, sink)
            }
        }
    }

    pub(super) fn verify_slot(
        &self,
        slot: Option<SlotId>,
        sink: &dyn Sink,
    ) -> Result<(SlotId, SlotVerdict)> {
        match self {
            Asked::Here(world) => {
                let slot = slot.map_or_else(|| world.booted(), Ok)?;
                Ok((slot, device::verify_slot(world, slot, sink)?))
            }
            Asked::There(daemon) => {
                let booted = || self.status().map(|s| s.booted);
                let slot = match slot {
                    Some(slot) => slot,
                    None => booted()?.ok_or_else(|| {
                        let code = ReasonCode::BootedUnknown;
                        Failure::new(code, code.meaning())
                    })?,
                };
                Ok((slot, daemon.ask(&format!("/v1/verify?slot={slot}"))?))
            }
        }
    }

    pub(super) fn judge(&self, path: &Path, sink: &dyn Sink) -> Result<Judgement> {
        let stdin = path == Path::new("-");
        match self {
            Asked::Here(world) if stdin => device::judge(world, Source::Stdin, sink),
            Asked::Here(world) => device::judge(world, Source::File(path.to_owned()), sink),
            Asked::There(daemon) if stdin => {
                daemon.act("/v1/judge", Some(std::io::stdin().as_fd()), sink)
            }
            Asked::There(daemon) => daemon.act("/v1/judge", Some(opened(path)?.as_fd()), sink),
        }
    }

    pub(super) fn install(&self, ask: &Install, sink: &dyn Sink) -> Result<Installed> {
        let stdin = ask.artifact == "-";
        let path = Path::new(&ask.artifact);
        match self {
            Asked::Here(world) => {
                let source = if stdin { Source::Stdin } else { Source::File(path.to_owned()) };
                let allowed = Allowed {
                    older: ask.allow_older,
                    reinstall: ask.reinstall,
                    retry_rolled_back: ask.retry_rolled_back,
                };
                let then = if ask.stage { Then::Stage } else { Then::Switch };
                let reboot = if ask.reboot { Reboot::Now } else { Reboot::Asked };
                let order = Order { by: device::user(), reboot, ..Order::default() };
                let (hold_ok, dry_run) = (ask.hold_ok, ask.dry_run);
                let request = Installation {
                    source,
                    then,
                    allowed,
                    order,
                    hold_ok,
                    anew: false,
                    path: None,
                    only: None,
                    dry_run,
                };
                let done = device::install(world, request, sink)?;
                Ok(done)
            }
            Asked::There(daemon) => {
                let words = [
                    (ask.stage, "stage"),
                    (ask.reboot && !ask.dry_run, "reboot"),
                    (ask.dry_run, "dry_run"),
                    (ask.hold_ok, "hold_ok"),
                    (ask.allow_older, "allow_older"),
                    (ask.reinstall, "reinstall"),
                    (ask.retry_rolled_back, "retry_rolled_back"),
                ];
                let set = words.iter().filter(|(set, _)| *set);
                let set: Vec<_> = set.map(|(_, name)| format!("{name}=1")).collect();
                let target = format!("/v1/install?{}", set.join("&"));
                let target = target.trim_end_matches('?');
                match stdin {
                    true => daemon.act(target, Some(std::io::stdin().as_fd()), sink),
                    false => daemon.act(target, Some(opened(path)?.as_fd()), sink),
                }
            }
        }
    }
}

/// Whoever may not look for himself asks the daemon.
pub(super) fn doctor(place: &Where, sink: &dyn Sink) -> Result<Diagnosis> {
    let settings = load(place)?.settings;
    match Remote::find(&settings.run).filter(|_| !device::is_root()) {
        Some(daemon) => daemon.ask("/v1/doctor"),
        // What may not be read is unknown, and no finding.
        None => device::may_look(&settings).map(|()| inspect::doctor(settings, |_| (), sink)),
    }
}

/// The daemon knows more; what it cannot tell, this process can.
pub(super) fn report(place: &Where) -> Result<Value> {
    let settings = match load(place) {
        Ok(loaded) => Some(loaded.settings),
        Err(failure) if failure.code() == ReasonCode::NotAllowed => return Err(failure),
        Err(_) => None,
    };
    let daemon = settings.as_ref().and_then(|settings| Remote::find(&settings.run));
    let silent = match daemon.map(|daemon| daemon.ask("/v1/report")) {
        Some(Ok(report)) => return Ok(report),
        Some(Err(failure)) => failure.to_string(),
        None => "no daemon runs".to_owned(),
    };
    settings.as_ref().map_or(Ok(()), device::may_look)?;
    Ok(inspect::report(place, Value::Array(vec![Value::String(silent)]), |_| ()))
}

/// What the daemon may not be able to see, it is handed.
fn opened(path: &Path) -> Result<File> {
    let source = crate::device::FileSource::open(path)?;
    Ok(source.into())
}

/// `?name=value`, encoded.
fn parameter(name: &str, value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encoded: String = value
        .bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("?{name}={encoded}")
}

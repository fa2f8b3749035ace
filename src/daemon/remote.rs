//! The daemon's answers, for whoever asks from another process.

use super::hub::Numbered;
use crate::control::{Answered, Call, Lines, call};
use crate::event::{Event, Sink};
use crate::model::{Condition, Failure, Owner, ReasonCode, Result, WithReason};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A daemon that answers.
pub struct Remote {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
    #[serde(default)]
    findings: Vec<Condition>,
}

#[derive(Deserialize)]
struct Refusal {
    code: ReasonCode,
    detail: String,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Last<T> {
    answer: T,
}

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Remote {
    /// The daemon whose sockets are in `folder`; `None` if nobody listens there, and then whoever
    /// asks does it himself.
    pub fn find(folder: &Path) -> Option<Remote> {
        let socket = folder.join("status.sock");
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => Some(Remote { folder: folder.to_owned() }),
            // It is there, and we may not ask: told when we do.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                Some(Remote { folder: folder.to_owned() })
            }
            Err(_) => None,
        }
    }

    fn call(&self, socket: &str, call: &Call<'_>) -> Result<Answered> {
        let path = self.folder.join(socket);
        self::call(&path, call).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => {
                let (user, path) = (crate::sys::host::user(), path.display());
                let text = format!("{user} may not ask the daemon: {path}: {e}");
                Failure::new(ReasonCode::NotAllowed, text)
            }
            _ => Failure::new(ReasonCode::DaemonSilent, format!("{}: {e}", path.display())),
        })
    }

    /// Asks a question: `GET` of a target.
    pub fn ask<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        // Reading a whole slot back, and running the health checks, take as long as they take.
        let long = ["/v1/verify", "/v1/report", "/v1/doctor", "/v1/why"];
        let lasts = long.iter().any(|path| target.starts_with(path));
        let patience = (!lasts).then_some(PATIENCE);
        let call = Call { method: "GET", target, body: "", handed: None, patience };
        let answered = self.call("status.sock", &call)?;
        let good = answered.status == 200;
        let text = answered.lines.rest().reason(ReasonCode::DaemonSilent, "the answer")?;
        match good {
            true => parsed(&text),
            false => Err(refused(&text)),
        }
    }

    /// Has something done; events on the way go to `sink`.
    pub fn act<T: DeserializeOwned>(
        &self,
        target: &str,
        handed: Option<BorrowedFd<'_>>,
        sink: &dyn Sink,
    ) -> Result<T> {
        let joint = if target.contains('?') { '&' } else { '?' };
        let target = &format!("{target}{joint}progress=1");
        let call = Call { method: "POST", target, body: "", handed, patience: None };
        let answered = self.call("control.sock", &call)?;
        let mut lines = answered.lines;
        loop {
            let line = lines.line().reason(ReasonCode::DaemonSilent, "the answer")?;
            let broken = || Failure::new(ReasonCode::DaemonSilent, "the answer broke off");
            let line = line.ok_or_else(broken)?;
            match serde_json::from_str::<Event>(&line) {
                Ok(event) => sink.emit(&event),
                Err(_) => match serde_json::from_str::<Last<T>>(&line) {
                    Ok(last) => return Ok(last.answer),
                    Err(_) => return Err(refused(&line)),
                },
            }
        }
    }

    /// Events after `after`, and with `follow` for as long as the daemon runs.
    pub fn events(&self, after: u64, follow: bool) -> Result<Events> {
        let follow = if follow { "&follow=1" } else { "" };
        let target = &format!("/v1/events?after={after}{follow}");
        let call = Call { method: "GET", target, body: "", handed: None, patience: None };
        Ok(Events { lines: self.call("status.sock", &call)?.lines })
    }
}

/// Events as they come.
pub struct Events {
    lines: Lines,
}

impl Events {
    /// The next one, and the line it came as; `None` when there are no more.
    pub fn line(&mut self) -> Result<Option<(Numbered, String)>> {
        match self.lines.line().reason(ReasonCode::DaemonSilent, "events")? {
            None => Ok(None),
            Some(line) => Ok(Some((parsed(&line)?, line))),
        }
    }
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).reason(ReasonCode::DaemonSilent, "the answer is of another version")
}

fn refused(text: &str) -> Failure {
    match serde_json::from_str::<Refused>(text) {
        // No code of ours: the request did not get as far as that.
        Ok(Refused { error, .. }) if error.code == ReasonCode::Unknown => {
            Failure::new(ReasonCode::DaemonSilent, error.detail)
        }
        Ok(Refused { error, findings }) => {
            let failure = Failure::new(error.code, error.detail).with_conditions(findings);
            let failure = error.owner.into_iter().fold(failure, Failure::held_by);
            match error.next {
                Some(next) => failure.with_next(next),
                None => failure,
            }
        }
        Err(e) => Failure::new(ReasonCode::DaemonSilent, format!("the answer is none: {e}")),
    }
}

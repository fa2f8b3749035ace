//! The daemon's answers, for another process.

use super::client::Client;
#[cfg(feature = "apps")]
use super::response::LogLine;
use super::response::{Numbered, Response, parse, read, refused};
use super::route::Route;
use super::table::Request;
use crate::control::{Answered, Call, Lines, call};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, Result, WithReason, from_value};
use crate::source::Source;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A daemon that answers.
pub struct Daemon {
    folder: PathBuf,
    by: Option<String>,
}

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Daemon {
    /// The daemon whose sockets are in `folder`; `None` if nothing listens there, and then the one
    /// who asks does it himself.
    pub fn find(folder: &Path) -> Option<Daemon> {
        let socket = folder.join("status.sock");
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => {}
            // It is there, and we may not ask: told when we do.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
            Err(_) => return None,
        }
        Some(Daemon { folder: folder.to_owned(), by: None })
    }

    /// The same, for orders whose record is to name somebody else.
    #[must_use]
    pub fn speaking_for(self, by: Option<&str>) -> Daemon {
        Daemon { by: by.map(str::to_owned), ..self }
    }

    /// The failure where none listens in `folder`, for what only a daemon knows.
    pub(super) fn missing(folder: &Path) -> Failure {
        let text = format!("no daemon listens in {}", folder.display());
        let next = "The daemon keeps the events: start it with `systemctl start surefoot`, or `surefoot daemon`. `surefoot history` lists every update without it.";
        Failure::new(ReasonCode::DaemonSilent, text).with_next(next)
    }

    fn call(
        &self,
        request: &Request,
        handed: Option<BorrowedFd<'_>>,
    ) -> Result<(&'static Route, Answered)> {
        let (route, target) = &request.target(self.by.as_deref());
        let (method, socket) = match route.is_order() {
            true => ("POST", "control.sock"),
            false => ("GET", "status.sock"),
        };
        let patience = (!route.lasts()).then_some(PATIENCE);
        let path = self.folder.join(socket);
        let asked = Call { method, target, body: "", handed, patience };
        let answered = call(&path, &asked).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => {
                let (user, path) = (crate::sys::host::user(), path.display());
                let text = format!("{user} may not ask the daemon: {path}: {e}");
                Failure::new(ReasonCode::NotAllowed, text)
            }
            _ => Failure::new(ReasonCode::DaemonSilent, format!("{}: {e}", path.display())),
        })?;
        Ok((route, answered))
    }

    /// Asks, and listens to the end of the answer.
    fn answer(
        &self,
        request: &Request,
        handed: Option<BorrowedFd<'_>>,
        sink: &dyn Sink,
    ) -> Result<Response> {
        let (route, answered) = self.call(request, handed)?;
        let mut lines = answered.lines;
        if !route.is_order() {
            let text = lines.rest().reason(ReasonCode::DaemonSilent, "the answer")?;
            let document = parse(&text)?;
            return match answered.status {
                200 => (route.answer)(&document),
                _ => Err(refused(&document)),
            };
        }
        loop {
            let line = lines.line().reason(ReasonCode::DaemonSilent, "the answer")?;
            let broken = || Failure::new(ReasonCode::DaemonSilent, "the answer broke off");
            let line = line.ok_or_else(broken)?;
            let document = parse(&line)?;
            match from_value::<Event>(&document) {
                Ok(event) => sink.emit(&event),
                Err(_) => {
                    return match document.get("answer") {
                        Some(answer) => (route.answer)(answer),
                        None => Err(refused(&document)),
                    };
                }
            }
        }
    }

    /// Events after `after`, and with `follow` for as long as the daemon runs.
    pub fn events(folder: &Path, after: u64, follow: bool) -> Result<Events> {
        let daemon = Daemon::find(folder).ok_or_else(|| Daemon::missing(folder))?;
        let request = Request::Events { after: Some(after), follow };
        Ok(Events { lines: daemon.call(&request, None)?.1.lines })
    }
}

impl Client for Daemon {
    fn send(&self, request: Request, source: Option<Source>, sink: &dyn Sink) -> Result<Response> {
        // What reads a stick for the source lives until the answer is there.
        let handed = match &source {
            Some(source) => Some(source.descriptor().ok_or_else(|| {
                Failure::new(ReasonCode::Internal, "these bytes cannot be handed over")
            })?),
            None => None,
        };
        self.answer(&request, handed, sink)
    }

    #[cfg(feature = "apps")]
    fn lines(&self, request: Request, line: &mut dyn FnMut(LogLine) -> bool) -> Result<()> {
        let (_, answered) = self.call(&request, None)?;
        let mut lines = answered.lines;
        while let Some(text) = lines.line().reason(ReasonCode::DaemonSilent, "the log")? {
            let document = parse(&text)?;
            match read::<LogLine>(&document) {
                Ok(told) => {
                    if !line(told) {
                        return Ok(());
                    }
                }
                Err(_) => return Err(refused(&document)),
            }
        }
        Ok(())
    }

    fn alone(&self) -> Option<&World> {
        None
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
            Some(line) => Ok(Some((read(&parse(&line)?)?, line))),
        }
    }
}

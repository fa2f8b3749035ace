//! What comes through the control socket (docs/control.md): read as a request, answered by this
//! process. With `?progress=1` an order is answered with JSON lines, events as they come and the
//! answer last.

use super::core::{Core, Rings};
use super::hub::Pace;
use crate::control::{Handler, Head, Incoming, May, Reply, Stream};
use crate::event::{Event, Nowhere, Phase, Sink};
use crate::model::{Class, Failure, ReasonCode, Result, WithReason, printable, shown_json};
use crate::request::{Asked, Client, Here, Request, Wanted};
use crate::source::{ByteStream, SILENCE, Source};
use crate::sys::host;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers what comes through the control sockets.
pub(super) struct Api {
    pub(super) core: Arc<Core>,
}

impl Handler for Api {
    fn lasts(&self, head: &Head) -> bool {
        matches!(Asked::by(head), Asked::This(route) if route.lasts())
    }

    fn answer(&self, incoming: Incoming, reply: Reply) {
        let head = &incoming.head;
        let route = match Asked::by(head) {
            Asked::This(route) => route,
            Asked::OtherMethod(route) => {
                let methods = route.methods().join(", ");
                let text = format!("{} knows only {methods}", route.path);
                let document = Failure::new(ReasonCode::Usage, text).document();
                return heard(reply.other_method(&methods, head.method == "HEAD", &document));
            }
            Asked::Nothing => {
                let text =
                    format!("{} is nothing that can be asked for", printable(&head.path, 100));
                return heard(document(Err(Failure::new(ReasonCode::NoSuchFile, text)), reply));
            }
        };
        heard(match route.read(head) {
            Err(failure) => document(Err(failure), reply),
            Ok(_) if route.is_order() && incoming.may < May::Control => {
                let text = "this socket only answers questions; the other one is for control";
                document(Err(Failure::new(ReasonCode::NotAllowed, text)), reply)
            }
            Ok(Wanted { request: Request::Events { after, follow }, .. }) => {
                self.events(after.unwrap_or(0), follow, reply)
            }
            #[cfg(feature = "apps")]
            Ok(Wanted { request: request @ Request::AppsLogs { .. }, .. }) => {
                self.logs(request, reply)
            }
            Ok(wanted) if route.is_order() => self.perform(wanted, incoming, reply),
            Ok(wanted) => document(self.ask(wanted.request), reply),
        });
    }
}

/// A client that is gone is nobody's failure.
fn heard(_: std::io::Result<()>) {}

impl Api {
    fn ask(&self, request: Request) -> Result<String> {
        // Reading a slot takes its time, which is told to who follows.
        let sink: &dyn Sink = match request {
            Request::Verify { .. } => &self.core.hub,
            _ => &Nowhere,
        };
        let told = match request {
            Request::Report => serde_json::to_value(self.core.hub.kept(0)).unwrap_or_default(),
            _ => serde_json::Value::Null,
        };
        let equip = |world: &mut _| self.core.equip(world);
        let here = Here::in_daemon(self.core.place(), host::user(), &equip).telling(told);
        text(&here.ask(request, sink)?)
    }

    fn events(&self, after: u64, follow: bool, reply: Reply) -> std::io::Result<()> {
        let (kept, follower) = match follow {
            true => self.core.hub.follow(after).map(|(kept, follower)| (kept, Some(follower)))?,
            false => (self.core.hub.kept(after), None),
        };
        let mut lines = reply.lines()?;
        for told in kept {
            lines.line(&told)?;
        }
        let Some(follower) = follower else {
            return lines.end();
        };
        while let Some(told) = follower.next(|bell| lines.rest(bell)) {
            lines.line(&told)?;
        }
        Ok(())
    }

    /// What services have printed, line by line. A failure before the first line has its status; one after it is the
    /// last line.
    #[cfg(feature = "apps")]
    fn logs(&self, request: Request, reply: Reply) -> std::io::Result<()> {
        let equip = |world: &mut _| self.core.equip(world);
        let here = Here::in_daemon(self.core.place(), host::user(), &equip);
        let (mut reply, mut stream, mut gone) = (Some(reply), None::<Stream>, Ok(()));
        let done = here.lines(request, &mut |line| {
            if let Some(reply) = reply.take() {
                match reply.lines() {
                    Ok(lines) => stream = Some(lines),
                    Err(error) => gone = Err(error),
                }
            }
            let sent = stream.as_mut().map(|stream| stream.line(&line));
            matches!(sent, Some(Ok(())))
        });
        gone?;
        match (reply, stream, done) {
            (Some(reply), _, Err(failure)) => document(Err(failure), reply),
            (Some(reply), _, Ok(())) => reply.lines()?.end(),
            (None, Some(mut stream), Err(failure)) => {
                stream.line(&failure.document()).and_then(|()| stream.end())
            }
            (None, Some(stream), Ok(())) => stream.end(),
            (None, None, _) => Ok(()),
        }
    }

    fn perform(&self, wanted: Wanted, mut incoming: Incoming, reply: Reply) -> std::io::Result<()> {
        // Whoever asked has the answer before the device reboots, or is gone.
        let _rings = Rings(&self.core.bell);
        let _ = incoming.body.wait_for(SILENCE);
        if !wanted.progress {
            let told = Told { core: &self.core, stream: Mutex::default() };
            return document(self.act(wanted, incoming, &told), reply);
        }
        incoming.body.invite()?;
        let stream = Mutex::new((Some(reply.lines()?), Pace::default()));
        let told = Told { core: &self.core, stream };
        let result = self.act(wanted, incoming, &told);
        let (stream, _) = told.stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(mut stream) = stream else { return Ok(()) };
        let last = match result {
            Ok(answer) => RawValue::from_string(answer)
                .map_err(Into::into)
                .and_then(|answer| stream.line(&Last { v: 1, answer })),
            Err(failure) => stream.line(&failure.document()),
        };
        last.and_then(|()| stream.end())
    }

    fn act(&self, wanted: Wanted, incoming: Incoming, sink: &dyn Sink) -> Result<String> {
        let Wanted { request, by, .. } = wanted;
        let by = who(incoming.peer.uid, by);
        // Reading may take as long as it likes, and what stops others comes before them; what
        // changes something waits for the keeper.
        let at_once = matches!(
            request,
            Request::Judge { .. } | Request::Cancel { .. } | Request::Hold { .. }
        );
        let _turn = (!at_once).then(|| self.core.request());
        let equip = |world: &mut _| self.core.equip(world);
        let here = Here::in_daemon(self.core.place(), by, &equip);
        let source = request.takes_artifact().then(|| source(incoming)).transpose();
        let sent = source.and_then(|source| here.send(request, source, sink));
        let result = sent.and_then(|answer| text(&answer));
        if let Err(failure) = &result
            && failure.code() != ReasonCode::Cancelled
        {
            let (reason, text) = (failure.code(), failure.detail().to_owned());
            self.core.hub.emit(&Event::Refused { reason, text });
        }
        result
    }
}

/// The artifact: what was handed over, or the body as it comes.
fn source(incoming: Incoming) -> Result<Source> {
    match incoming.handed {
        Some(fd) => Source::handed(fd),
        None => Ok(Source::Stream(ByteStream::new(incoming.body))),
    }
}

/// Who asks, by the kernel's word. Only root is believed to ask for somebody else; of others both
/// names are told.
fn who(uid: u32, by: Option<String>) -> String {
    let user = host::user_name(uid);
    match by {
        Some(by) if uid == 0 => printable(&by, 40),
        Some(by) if by != user => printable(&format!("{by} ({user})"), 80),
        _ => user,
    }
}

fn text<T: Serialize>(answer: &T) -> Result<String> {
    let text = serde_json::to_string(answer).reason(ReasonCode::Internal, "the answer")?;
    Ok(shown_json(&text))
}

/// The last line of an answer in lines.
#[derive(Serialize)]
struct Last {
    v: u32,
    answer: Box<RawValue>,
}

fn document(result: Result<String>, reply: Reply) -> std::io::Result<()> {
    match result {
        Ok(answer) => reply.text(200, "application/json", &(answer + "\n")),
        Err(failure) => reply.json(status(failure.code()), &failure.document()),
    }
}

/// The HTTP status of a failure, by its class; the reason code in the document says more.
fn status(code: ReasonCode) -> u16 {
    match code.class() {
        _ if code == ReasonCode::NotAllowed => 403,
        Class::Usage => 400,
        Class::NoInput => 404,
        Class::Nothing | Class::Busy | Class::Denied => 409,
        Class::Reject => 422,
        Class::Retry => 503,
        Class::Bug | Class::Device | Class::Config => 500,
    }
}

/// Events to everybody, and to the one who asked.
struct Told<'a> {
    core: &'a Core,
    stream: Mutex<(Option<Stream>, Pace)>,
}

impl Sink for Told<'_> {
    fn emit(&self, event: &Event) {
        self.core.hub.emit(event);
        if matches!(event, Event::PhaseStarted { phase: Phase::Write, .. }) {
            // The journal says `installing` now, and the init system should too.
            self.core.bell.ring();
        }
        let mut asked = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, pace) = &mut *asked;
        // Whoever asked may leave, or listen no more; what was asked for goes on, and waits for
        // him only once.
        if pace.admits(event) && stream.as_mut().is_some_and(|s| s.line(&event.shown()).is_err()) {
            *stream = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Where;
    use crate::control::{Door, Limits};
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::mpsc::{Sender, channel};
    use std::time::{Duration, Instant};

    /// Tells everybody so much that no buffer holds it.
    struct Talker(Arc<Core>, Mutex<Sender<()>>);

    impl Handler for Talker {
        fn lasts(&self, _: &Head) -> bool {
            true
        }

        fn answer(&self, _: Incoming, reply: Reply) {
            let stream = Mutex::new((Some(reply.lines().unwrap()), Pace::default()));
            let told = Told { core: &self.0, stream };
            let phase = Phase::Verify;
            (0..5_000).for_each(|total| told.emit(&Event::PhaseStarted { phase, total }));
            self.1.lock().unwrap().send(()).unwrap();
        }
    }

    #[test]
    fn who_asked_and_does_not_listen_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let core = Arc::new(Core::new(Where::File(folder.path().join("none"))));
        let (sender, done) = channel();
        let patience = Duration::from_millis(200);
        let limits = Limits { patience, ..Limits::default() };
        let talker = Arc::new(Talker(core, Mutex::new(sender)));
        Door::open(UnixListener::bind(&socket).unwrap(), May::Read, limits, talker).unwrap();
        let mut deaf = UnixStream::connect(&socket).unwrap();
        deaf.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        let start = Instant::now();
        done.recv_timeout(Duration::from_secs(300)).unwrap();
        assert!(start.elapsed() >= patience, "the buffer took it all");
    }
}

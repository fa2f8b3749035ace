//! The control socket's words (docs/control.md). `GET` asks and is answered with one document;
//! `POST` has something done. With `?progress=1` a `POST` is answered with JSON lines, events as
//! they come and the answer last.

use super::core::{Core, Rings};
use super::hub::Pace;
use super::routes::{Asked, asked, check, flag, number, usage};
use crate::control::{Handler, Head, May, Reply, Request, Stream};
use crate::device::{self, Allowed, Installation, Order, Reboot, SlotVerdict, Source, Then, World};
use crate::event::{Event, Nowhere, Phase, Sink};
use crate::inspect;
use crate::model::{Class, Failure, ReasonCode, Result, SlotId, WithReason, printable, shown_json};
use crate::source::FileSource;
use crate::stick::Served;
use crate::sys::unix::Patient;
use crate::sys::{files, host};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The version of what can be asked for: raised when something goes away or changes its meaning.
const API: u32 = 1;

/// For how long an artifact that comes as a stream may pause, or nearly so.
const SILENCE: Duration = Duration::from_secs(120);

/// Answers what comes through the control sockets.
pub(super) struct Api {
    pub(super) core: Arc<Core>,
}

impl Handler for Api {
    fn lasts(&self, head: &Head) -> bool {
        matches!(asked(head), Asked::This(route) if route.lasts)
    }

    fn answer(&self, request: Request, reply: Reply) {
        let head = &request.head;
        // A client that is gone is nobody's failure.
        let _ = match asked(head) {
            Asked::Nothing => document(Err(unknown(&head.path)), reply),
            Asked::OtherMethod(route) => {
                let methods = route.methods.join(", ");
                let text = usage(format!("{} knows only {methods}", route.path));
                reply.other_method(&methods, head.method == "HEAD", &refusal(&text))
            }
            Asked::This(route) => match check(route, head) {
                Err(failure) => document(Err(failure), reply),
                Ok(()) if head.path == "/v1/events" => self.events(head, reply),
                Ok(()) if head.method == "GET" => document(self.ask(head), reply),
                Ok(()) if request.may < May::Control => {
                    let text = "this socket only answers questions; the other one is for control";
                    document(Err(Failure::new(ReasonCode::NotAllowed, text)), reply)
                }
                Ok(()) => self.perform(request, reply),
            },
        };
    }
}

impl Api {
    fn ask(&self, head: &Head) -> Result<String> {
        let world = || self.core.world();
        match head.path.as_str() {
            "/v1" | "/v1/" => {
                text(&json!({ "v": 1, "updater": env!("CARGO_PKG_VERSION"), "api": API }))
            }
            "/v1/status" => text(&inspect::status(&world()?)?),
            "/v1/history" => text(&json!({ "v": 1, "history": device::history(&world()?)? })),
            // These two are asked when nothing else answers: no world is needed.
            "/v1/doctor" => {
                let equip = |world: &mut World| self.core.equip(world);
                text(&inspect::doctor(self.core.settings()?, equip, &Nowhere))
            }
            "/v1/report" => {
                let told = serde_json::to_value(self.core.hub.kept(0)).unwrap_or_default();
                let equip = |world: &mut World| self.core.equip(world);
                text(&inspect::report(self.core.place(), told, equip))
            }
            "/v1/why" => text(&device::why(&world()?, false, &Nowhere)?),
            "/v1/verify" => {
                let world = world()?;
                let slot = match head.parameter("slot") {
                    Some(slot) => slot.parse().map_err(|e| Failure::new(ReasonCode::Usage, e))?,
                    None => world.booted()?,
                };
                let verdict = device::verify_slot(&world, slot, &self.core.hub)?;
                text(&Verified { v: 1, slot, verdict })
            }
            path => Err(unknown(path)),
        }
    }

    fn events(&self, head: &Head, reply: Reply) -> std::io::Result<()> {
        let (after, follow) = match (number(head, "after"), flag(head, "follow")) {
            (Ok(after), Ok(follow)) => (after.unwrap_or(0), follow),
            (Err(failure), _) | (_, Err(failure)) => return document(Err(failure), reply),
        };
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

    fn perform(&self, mut request: Request, reply: Reply) -> std::io::Result<()> {
        // Whoever asked has the answer before the device reboots, or is gone.
        let _rings = Rings(&self.core.bell);
        let streamed = match flag(&request.head, "progress") {
            Ok(streamed) => streamed,
            Err(failure) => return document(Err(failure), reply),
        };
        let _ = request.body.wait_for(SILENCE);
        if !streamed {
            let told = Told { core: &self.core, stream: Mutex::default() };
            return document(self.act(request, &told), reply);
        }
        request.body.invite()?;
        let stream = Mutex::new((Some(reply.lines()?), Pace::default()));
        let told = Told { core: &self.core, stream };
        let result = self.act(request, &told);
        let (stream, _) = told.stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(mut stream) = stream else { return Ok(()) };
        let last = match result {
            Ok(answer) => RawValue::from_string(answer)
                .map_err(Into::into)
                .and_then(|answer| stream.line(&Last { v: 1, answer })),
            Err(failure) => stream.line(&refusal(&failure)),
        };
        last.and_then(|()| stream.end())
    }

    fn act(&self, request: Request, sink: &dyn Sink) -> Result<String> {
        let head = request.head.clone();
        let of = |name: &str| head.parameter(name);
        let reason = || of("reason").map(str::to_owned);
        let by = who(&request);
        // Reading may take as long as it likes, and what stops others comes before them; what
        // changes something waits for the keeper.
        let at_once = ["/v1/judge", "/v1/cancel", "/v1/hold"].contains(&head.path.as_str());
        let _turn = (!at_once).then(|| self.core.request());
        let mut world = self.core.world()?;
        world.asked_by = Some(by.clone());
        let result = match head.path.as_str() {
            "/v1/install" => install(&world, request, by, sink),
            "/v1/judge" if flag(&head, "head")? => {
                source(request).and_then(|s| device::glance(&world, s)).and_then(|j| text(&j))
            }
            "/v1/judge" => {
                source(request).and_then(|s| device::judge(&world, s, sink)).and_then(|j| text(&j))
            }
            "/v1/hold" => {
                let seconds = number(&head, "seconds")?;
                let why = reason().unwrap_or_default();
                device::hold(&world, seconds, &why, &by, sink).and_then(|h| text(&h))
            }
            "/v1/drill" => {
                let kind = of("kind").unwrap_or("unhealthy").parse();
                let kind = kind.map_err(|e: String| Failure::new(ReasonCode::Usage, e))?;
                device::drill(&world, kind, &by, sink).and_then(|a| text(&a))
            }
            "/v1/release" => device::release(&world, &by, sink)
                .and_then(|said| text(&json!({ "v": 1, "text": said }))),
            "/v1/switch" | "/v1/confirm" => device::switch(&world, sink).and_then(|a| text(&a)),
            "/v1/commit" => {
                let force = flag(&head, "force")?;
                if force && reason().is_none() {
                    return Err(usage("`force` needs a `reason`, for the record".to_owned()));
                }
                let unchecked = reason().filter(|_| force).map(|why| device::signed(&why, &by));
                device::commit(&world, unchecked, sink).and_then(|a| text(&a))
            }
            "/v1/cancel" => {
                let why = reason().unwrap_or_else(|| "a person asked for it".to_owned());
                device::cancel(&world, &why, &by, sink).and_then(|c| text(&c))
            }
            "/v1/rollback" => {
                let why = reason().unwrap_or_else(|| "a person asked for it".to_owned());
                let why = device::signed(&why, &by);
                let retry = flag(&head, "retry_rolled_back")?;
                device::rollback(&world, &why, &by, retry, sink).and_then(|a| text(&a))
            }
            path => Err(unknown(path)),
        };
        if let Err(failure) = &result
            && failure.code() != ReasonCode::Cancelled
        {
            let (reason, text) = (failure.code(), failure.detail().to_owned());
            self.core.hub.emit(&Event::Refused { reason, text });
        }
        result
    }
}

/// Who asks, by the kernel's word. Only root is believed to ask for somebody else; of others both
/// names are told.
fn who(request: &Request) -> String {
    let user = host::user_name(request.peer.uid);
    match request.head.parameter("by") {
        Some(by) if request.peer.uid == 0 => printable(by, 40),
        Some(by) if by != user => printable(&format!("{by} ({user})"), 80),
        _ => user,
    }
}

fn install(world: &World, request: Request, by: String, sink: &dyn Sink) -> Result<String> {
    let head = request.head.clone();
    let set = |name: &str| flag(&head, name);
    let automatic = set("automatic")?;
    let reboot = match head.parameter("reboot") {
        None if automatic => world.settings.reboot,
        None => Reboot::Asked,
        Some("" | "1") => Reboot::Now,
        Some(word) => word.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))?,
    };
    let ask = Installation {
        order: Order { by, automatic, reboot, drill: None },
        hold_ok: set("hold_ok")?,
        anew: set("retry_cancelled")?,
        only: None,
        // So that the daemon goes on with it, should it be killed.
        path: request.handed.as_ref().and_then(|fd| files::path_of(fd.as_fd())),
        then: if set("stage")? { Then::Stage } else { Then::Switch },
        allowed: Allowed {
            older: set("allow_older")?,
            reinstall: set("reinstall")?,
            retry_rolled_back: set("retry_rolled_back")?,
        },
        dry_run: set("dry_run")?,
        source: source(request)?,
    };
    device::install(world, ask, sink).and_then(|done| text(&done))
}

/// The artifact: what was handed over, or the body as it comes. A file can be read anywhere, a
/// socket has somebody at its other end who reads a stick (`stick`), a pipe is read as it comes.
fn source(request: Request) -> Result<Source> {
    let Some(fd) = request.handed else {
        return Ok(Source::Stream(Box::new(request.body)));
    };
    let fd = match Served::handed(fd, "the stick") {
        Ok(served) => return Ok(Source::Open(Arc::new(served?))),
        Err(fd) => fd,
    };
    Ok(match FileSource::opened(fd.into(), "the file handed over") {
        Ok(file) => Source::Open(Arc::new(file)),
        Err(pipe) => Source::Stream(Box::new(Patient::new(pipe, SILENCE))),
    })
}

fn unknown(path: &str) -> Failure {
    let text = format!("{} is nothing that can be asked for", printable(path, 100));
    Failure::new(ReasonCode::NoSuchFile, text)
}

fn text<T: Serialize>(answer: &T) -> Result<String> {
    let text = serde_json::to_string(answer).reason(ReasonCode::Internal, "the answer")?;
    Ok(shown_json(&text))
}

/// What stands in a slot.
#[derive(Serialize)]
struct Verified {
    v: u32,
    slot: SlotId,
    #[serde(flatten)]
    verdict: SlotVerdict,
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
        Err(failure) => reply.json(status(failure.code()), &refusal(&failure)),
    }
}

fn refusal(failure: &Failure) -> serde_json::Value {
    failure.document()
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
    use std::time::Instant;

    /// Tells everybody so much that no buffer holds it.
    struct Talker(Arc<Core>, Mutex<Sender<()>>);

    impl Handler for Talker {
        fn lasts(&self, _: &Head) -> bool {
            true
        }

        fn answer(&self, _: Request, reply: Reply) {
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

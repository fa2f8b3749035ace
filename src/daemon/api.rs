//! The control socket's words (docs/control.md). `GET` asks and is answered with one document;
//! `POST` has something done. With `?progress=1` a `POST` is answered with JSON lines, events as
//! they come and the answer last.

use super::core::Core;
use super::hub::Pace;
use crate::config::load;
use crate::control::{Handler, Head, May, Reply, Request, Stream};
use crate::device::{self, Allowed, Installation, Order, Reboot, Source, Then, World};
use crate::event::{Event, Sink};
use crate::model::{Class, Failure, ReasonCode, Result, WithReason, printable};
use crate::source::FileSource;
use crate::sys::host;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers what comes through the control sockets.
pub(super) struct Api {
    pub(super) core: Arc<Core>,
}

impl Handler for Api {
    fn lasts(&self, head: &Head) -> bool {
        head.method != "GET" || head.path == "/v1/events" || head.path == "/v1/verify"
    }

    fn answer(&self, request: Request, reply: Reply) {
        // A client that is gone is nobody's failure.
        let _ = match (request.head.method.as_str(), request.head.path.as_str()) {
            ("GET", "/v1/events") => self.events(&request.head, reply),
            ("GET", _) => document(self.ask(&request.head), reply),
            ("POST" | "PUT", _) if request.may < May::Control => {
                let text = "this socket only answers questions; the other one is for control";
                document(Err(Failure::new(ReasonCode::NotAllowed, text)), reply)
            }
            ("POST" | "PUT", _) => self.perform(request, reply),
            _ => reply.json(405, &refusal(&Failure::new(ReasonCode::Usage, "GET or POST"))),
        };
    }
}

impl Api {
    fn ask(&self, head: &Head) -> Result<String> {
        let world = || self.core.world();
        match head.path.as_str() {
            "/v1/status" => text(&device::status(&world()?)?),
            "/v1/history" => text(&json!({ "v": 1, "history": device::history(&world()?)? })),
            // These two are asked when nothing else answers: no world is needed.
            "/v1/doctor" => text(&device::doctor(load(self.core.place())?.settings)),
            "/v1/report" => {
                let told = serde_json::to_value(self.core.hub.kept()).unwrap_or_default();
                text(&device::report(self.core.place(), told))
            }
            "/v1/why" => text(&device::why(&world()?)?),
            "/v1/verify" => {
                let world = world()?;
                let slot = match head.parameter("slot") {
                    Some(slot) => slot.parse().map_err(|e| Failure::new(ReasonCode::Usage, e))?,
                    None => world.booted()?,
                };
                text(&device::verify_slot(&world, slot, &self.core.hub)?)
            }
            path => Err(unknown(path)),
        }
    }

    fn events(&self, head: &Head, reply: Reply) -> std::io::Result<()> {
        let after = head.parameter("after").and_then(|a| a.parse().ok()).unwrap_or(0);
        let (kept, from_now) = self.core.hub.follow(after);
        let mut lines = reply.lines()?;
        for told in kept {
            lines.line(&told)?;
        }
        if head.parameter("follow").is_none() {
            return lines.end();
        }
        for told in from_now {
            lines.line(&told)?;
        }
        Ok(())
    }

    fn perform(&self, mut request: Request, reply: Reply) -> std::io::Result<()> {
        let streamed = request.head.parameter("progress").is_some();
        if !streamed {
            let done = document(self.act(request, &self.core.hub), reply);
            self.core.bell.ring();
            return done;
        }
        request.body.invite()?;
        let both =
            Both { hub: &self.core.hub, stream: Mutex::new((reply.lines()?, Pace::default())) };
        let result = self.act(request, &both);
        let (mut stream, _) = both.stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(answer) => stream.line(&Last { v: 1, answer: RawValue::from_string(answer)? })?,
            Err(failure) => stream.line(&refusal(&failure))?,
        }
        let ended = stream.end();
        // Whoever asked has the answer before the device reboots.
        self.core.bell.ring();
        ended
    }

    fn act(&self, request: Request, sink: &dyn Sink) -> Result<String> {
        let head = request.head.clone();
        let of = |name: &str| head.parameter(name);
        let reason = || of("reason").map(str::to_owned);
        let by = of("by").map_or_else(|| host::user_name(request.peer.uid), |b| printable(b, 40));
        // Reading may take as long as it likes; what changes something waits its turn.
        let _turn = (head.path != "/v1/judge").then(|| self.core.turn());
        let world = self.core.world()?;
        let result = match head.path.as_str() {
            "/v1/install" => install(&world, request, by, sink),
            "/v1/judge" => device::judge(&world, source(request), sink).and_then(|j| text(&j)),
            "/v1/hold" => {
                let seconds = of("seconds").map(|s| s.parse::<u64>());
                let seconds = seconds.transpose().reason(ReasonCode::Usage, "seconds")?;
                let why = reason().unwrap_or_default();
                device::hold(&world, seconds, &why, &by, sink).and_then(|h| text(&h))
            }
            "/v1/drill" => {
                let kind = of("kind").unwrap_or("unhealthy").parse();
                let kind = kind.map_err(|e: String| Failure::new(ReasonCode::Usage, e))?;
                device::drill(&world, kind, &by, sink).and_then(|a| text(&a))
            }
            "/v1/release" => device::release(&world, sink).and_then(|said| text(&said)),
            "/v1/switch" | "/v1/confirm" => device::switch(&world, sink).and_then(|a| text(&a)),
            "/v1/commit" => device::commit(&world, reason(), sink).and_then(|a| text(&a)),
            "/v1/rollback" => {
                let why = reason().unwrap_or_else(|| "a person asked for it".to_owned());
                device::rollback(&world, &why, &by, sink).and_then(|a| text(&a))
            }
            path => Err(unknown(path)),
        };
        if let Err(failure) = &result {
            let (reason, text) = (failure.code(), failure.detail().to_owned());
            self.core.hub.emit(&Event::Refused { reason, text });
        }
        result
    }
}

fn install(world: &World, request: Request, by: String, sink: &dyn Sink) -> Result<String> {
    let head = request.head.clone();
    let set = |name: &str| head.parameter(name).is_some();
    let automatic = set("automatic");
    let reboot = match head.parameter("reboot") {
        None if automatic => world.settings.reboot,
        None => Reboot::Asked,
        Some("1") => Reboot::Now,
        Some(word) => word.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))?,
    };
    let ask = Installation {
        order: Order { by, automatic, reboot, drill: None },
        hold_ok: set("hold_ok"),
        source: source(request),
        then: if set("stage") { Then::Stage } else { Then::Switch },
        allowed: Allowed {
            older: set("allow_older"),
            reinstall: set("reinstall"),
            retry_rolled_back: set("retry_rolled_back"),
        },
        dry_run: set("dry_run"),
    };
    device::install(world, ask, sink).and_then(|done| text(&done))
}

/// The artifact: a file that was handed over, or the body as it comes.
fn source(request: Request) -> Source {
    match request.handed {
        Some(fd) => match FileSource::opened(fd.into(), "the file handed over") {
            Ok(file) => Source::Open(Arc::new(file)),
            // A pipe is read as it comes.
            Err(pipe) => Source::Stream(Box::new(pipe)),
        },
        None => Source::Stream(Box::new(request.body)),
    }
}

fn unknown(path: &str) -> Failure {
    Failure::new(ReasonCode::NoSuchFile, format!("{path} is nothing that can be asked for"))
}

fn text<T: Serialize>(answer: &T) -> Result<String> {
    serde_json::to_string(answer).reason(ReasonCode::Internal, "the answer")
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
        Err(failure) => reply.json(status(failure.code().class()), &refusal(&failure)),
    }
}

fn refusal(failure: &Failure) -> serde_json::Value {
    let (code, detail) = (failure.code(), failure.detail());
    json!({ "v": 1, "error": { "code": code, "detail": detail, "next": code.next_step() } })
}

/// The HTTP status of a class of failures; the reason code in the document says more.
fn status(class: Class) -> u16 {
    match class {
        Class::Usage => 400,
        Class::NoInput => 404,
        Class::Nothing | Class::Busy | Class::Denied => 409,
        Class::Reject => 422,
        Class::Retry => 503,
        Class::Bug | Class::Device | Class::Config => 500,
    }
}

/// Events to everybody, and to the one who asked.
struct Both<'a> {
    hub: &'a dyn Sink,
    stream: Mutex<(Stream, Pace)>,
}

impl Sink for Both<'_> {
    fn emit(&self, event: &Event) {
        self.hub.emit(event);
        let mut both = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, pace) = &mut *both;
        if pace.admits(event) {
            // Whoever asked may leave; what was asked for goes on.
            let _ = stream.line(event);
        }
    }
}

//! The door: accepts, reads heads without waiting for anybody, and hands whole requests on.

use super::Request;
use super::body::Body;
use super::head::{HEAD_MAX, Head, Parsed, parse};
use super::reply::{Reply, refusal};
use crate::sys::unix::{self, Peer, Ready, wait};
use std::io::{ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a socket allows to whoever may open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum May {
    /// To ask.
    Read,
    /// To ask, and to have things done.
    Control,
}

/// Answers requests, from several threads at once.
pub trait Handler: Send + Sync + 'static {
    /// Whether the answer takes its time: it then gets a thread of its own.
    fn lasts(&self, head: &Head) -> bool;

    /// Answers one.
    fn answer(&self, request: Request, reply: Reply);
}

/// How much a door puts up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections whose head is not whole yet.
    pub waiting: usize,
    /// Answers that take their time.
    pub lasting: usize,
    /// For a head to be whole, for a client to take an answer, and for more of a body to come.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { waiting: 128, lasting: 8, patience: Duration::from_secs(5) }
    }
}

/// Threads for brief answers.
const WORKERS: usize = 2;

/// One of our threads: nothing here recurses.
const STACK: usize = 256 * 1024;

/// One listening socket and who waits there.
pub struct Door {
    listener: UnixListener,
    may: May,
    limits: Limits,
    handler: Arc<dyn Handler>,
    waiting: Vec<Waiting>,
    brief: SyncSender<(Request, Reply)>,
    lasting: Arc<AtomicUsize>,
}

struct Waiting {
    stream: UnixStream,
    peer: Peer,
    since: Instant,
    bytes: Vec<u8>,
    handed: Option<OwnedFd>,
}

impl Door {
    /// Listens from now on, in threads of its own that end with the process.
    pub fn open(
        listener: UnixListener,
        may: May,
        limits: Limits,
        handler: Arc<dyn Handler>,
    ) -> Result<()> {
        listener.set_nonblocking(true)?;
        let (brief, queue) = sync_channel(WORKERS);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..WORKERS {
            let (queue, handler) = (queue.clone(), handler.clone());
            spawn("answer", move || work(&queue, &*handler))?;
        }
        let (waiting, lasting) = (Vec::new(), Arc::new(AtomicUsize::new(0)));
        let mut door = Door { listener, may, limits, handler, waiting, brief, lasting };
        spawn("door", move || {
            loop {
                door.turn();
            }
        })
    }

    /// Waits until something happens, without a clock while nobody is at the door.
    fn turn(&mut self) {
        let patience = self.limits.patience;
        let due = self.waiting.iter().map(|w| w.since + patience).min();
        let left = due.map(|d| d.saturating_duration_since(Instant::now()));
        let full = self.waiting.len() >= self.limits.waiting;
        let streams = self.waiting.iter().map(|w| &w.stream);
        let ready = match wait((!full).then_some(&self.listener), streams, left) {
            Ok(ready) => ready,
            Err(error) => {
                // Out of memory or descriptors: it will not be better at once.
                log::warn!("control socket: {error}");
                std::thread::sleep(Duration::from_millis(200));
                return;
            }
        };
        self.hear(&ready);
        self.waiting.retain(|w| {
            let patient = w.since.elapsed() < patience;
            if !patient {
                refuse(&w.stream, 408, "The request took too long to arrive.");
            }
            patient
        });
        if ready.listener {
            self.accept();
        }
    }

    fn accept(&mut self) {
        while self.waiting.len() < self.limits.waiting {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        log::warn!("control socket: {error}");
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    return;
                }
            };
            let Ok(peer) = unix::peer(&stream) else { continue };
            if stream.set_nonblocking(true).is_ok() {
                let (since, bytes) = (Instant::now(), Vec::new());
                self.waiting.push(Waiting { stream, peer, since, bytes, handed: None });
            }
        }
    }

    /// Reads what has come; whole heads leave. `ready` speaks of the others by their place.
    fn hear(&mut self, ready: &Ready) {
        let mut place = 0;
        for readable in &ready.streams {
            if !readable {
                place += 1;
                continue;
            }
            match self.waiting[place].hear() {
                Heard::More => place += 1,
                Heard::Gone => drop(self.waiting.remove(place)),
                Heard::Bad(status, text) => {
                    let gone = self.waiting.remove(place);
                    refuse(&gone.stream, status, text);
                }
                Heard::Whole(head, len) => {
                    let whole = self.waiting.remove(place);
                    self.admit(whole, *head, len);
                }
            }
        }
    }

    fn admit(&self, mut whole: Waiting, head: Head, len: usize) {
        let patience = Some(self.limits.patience);
        let stream = whole.stream;
        let calm = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(patience));
        if calm.and_then(|()| stream.set_read_timeout(patience)).is_err() {
            return;
        }
        let Ok(back) = stream.try_clone() else { return };
        let (lasts, ahead) = (self.handler.lasts(&head), whole.bytes.split_off(len));
        let place = Place::take(&self.lasting);
        if lasts && place.number >= self.limits.lasting {
            let _ = Reply::new(back).json(503, &refusal("Too many long answers at a time."));
            return;
        }
        let body = Body::new(stream, ahead, head.length, head.expects);
        let (peer, handed, may) = (whole.peer, whole.handed, self.may);
        // Only a thread of its own has the time to wait for the rest of a body.
        let reply = match lasts {
            true => Reply::lingering(back, body.whole()),
            false => Reply::new(back),
        };
        let request = Request { head, body, handed, peer, may };
        if !lasts {
            drop(place);
            // Waits while all are busy: whoever comes meanwhile waits in the kernel's queue.
            let _ = self.brief.send((request, reply));
            return;
        }
        let handler = self.handler.clone();
        // Not started, or stopped at a defect: its place is free again.
        let _ = spawn("long-answer", move || {
            let _place = place;
            handler.answer(request, reply);
        });
    }
}

/// A place among the long answers; free again when it is dropped.
struct Place {
    of: Arc<AtomicUsize>,
    number: usize,
}

impl Place {
    fn take(of: &Arc<AtomicUsize>) -> Place {
        Place { number: of.fetch_add(1, Ordering::SeqCst), of: of.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Heard {
    More,
    Gone,
    Bad(u16, &'static str),
    Whole(Box<Head>, usize),
}

impl Waiting {
    fn hear(&mut self) -> Heard {
        let mut block = [0; 2048];
        match unix::receive(&self.stream, &mut block) {
            Ok((0, _)) => Heard::Gone,
            Ok((n, handed)) => {
                self.bytes.extend_from_slice(&block[..n]);
                self.handed = self.handed.take().or(handed);
                match parse(&self.bytes) {
                    Parsed::Whole(head, len) => Heard::Whole(head, len),
                    Parsed::Bad(status, text) => Heard::Bad(status, text),
                    Parsed::Partial if self.bytes.len() >= HEAD_MAX => {
                        Heard::Bad(431, "The request's head is too long.")
                    }
                    Parsed::Partial => Heard::More,
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::More,
            Err(_) => Heard::Gone,
        }
    }
}

/// A word to somebody who is sent away; a client that does not take it goes without.
fn refuse(stream: &UnixStream, status: u16, text: &str) {
    if let Ok(stream) = stream.try_clone() {
        let _ = Reply::new(stream).json(status, &refusal(text));
    }
}

fn work(queue: &Mutex<Receiver<(Request, Reply)>>, handler: &dyn Handler) {
    loop {
        let next = queue.lock().map(|queue| queue.recv());
        match next {
            // A defect in one answer is no reason to give none any more.
            Ok(Ok((request, reply))) => {
                let _ = catch_unwind(AssertUnwindSafe(|| handler.answer(request, reply)));
            }
            // The door is gone, or another worker has died with the queue in its hands.
            _ => return,
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body).map(drop)
}

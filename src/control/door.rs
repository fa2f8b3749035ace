//! The door: accepts, reads heads without waiting for anybody, and hands whole requests on.

use super::Incoming;
use super::body::Body;
use super::head::Head;
use super::limits::{Lasting, Limits, Place};
use super::reply::{Reply, refusal};
use super::waiting::{Heard, Waiting, refuse};
use crate::sys::unix::{self, Ready, wait};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::os::unix::net::UnixListener;
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
    fn answer(&self, request: Incoming, reply: Reply);
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
    brief: SyncSender<(Incoming, Reply)>,
    lasting: Arc<Lasting>,
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
        let (waiting, lasting) = (Vec::new(), Arc::default());
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
        self.thin_out();
        if ready.listener {
            self.accept();
        }
    }

    /// Whoever has more than his share and still says nothing loses the eldest.
    fn thin_out(&mut self) {
        let mut have: BTreeMap<u32, usize> = BTreeMap::new();
        let limits = self.limits;
        // The eldest stand first: from the end, so that the youngest are counted before them.
        for place in (0..self.waiting.len()).rev() {
            let uid = self.waiting[place].peer.uid;
            let own = have.entry(uid).or_default();
            *own += 1;
            if *own > limits.share_waiting(uid) {
                let gone = self.waiting.remove(place);
                refuse(&gone.stream, 503, "Too many wait at a time.");
            }
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
            // Most have said all already: they are heard before anybody is sent away.
            let own = self.waiting.iter().filter(|w| w.peer.uid == peer.uid).count();
            if own > self.limits.share_waiting(peer.uid) {
                return;
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
        let place = match lasts {
            true => Place::take(&self.lasting, whole.peer.uid, &self.limits),
            false => None,
        };
        if lasts && place.is_none() {
            let _ = Reply::new(back).json(503, &refusal("Too many long answers at a time."));
            return;
        }
        let body = Body::new(stream, ahead, head.length, head.expects, self.limits.patience);
        let (peer, handed, may) = (whole.peer, whole.handed, self.may);
        // Only a thread of its own has the time to wait for the rest of a body.
        let reply = match lasts {
            true => Reply::lingering(back, body.whole()),
            false => Reply::new(back),
        };
        let request = Incoming { head, body, handed, peer, may };
        if !lasts {
            // Waits while all are busy: whoever comes meanwhile waits in the kernel's queue.
            let _ = self.brief.send((request, reply));
            return;
        }
        let handler = self.handler.clone();
        // Not started: its place is free again.
        let _ = spawn("long-answer", move || {
            let _place = place;
            handler.answer(request, reply);
        });
    }
}

fn work(queue: &Mutex<Receiver<(Incoming, Reply)>>, handler: &dyn Handler) {
    loop {
        let next = queue.lock().map(|queue| queue.recv());
        match next {
            Ok(Ok((request, reply))) => handler.answer(request, reply),
            // The door is gone.
            _ => return,
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body).map(drop)
}

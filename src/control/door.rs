//! The door: accepts, reads heads without waiting for anybody, and hands whole requests on.

use super::Incoming;
use super::body::Body;
use super::head::{HEAD_MAX, Head, Parsed, parse};
use super::reply::{Reply, refusal};
use crate::sys::unix::{self, Peer, Ready, wait};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
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

impl Limits {
    /// How many of the places at the door one user may have; the rest is for others.
    fn share_waiting(&self, uid: u32) -> usize {
        if uid == ROOT { self.waiting } else { self.waiting / 2 }
    }

    /// Whether somebody who has `own` of `all` long answers may have one more: nobody takes more
    /// than half, and two places are always left for root.
    fn admits(&self, uid: u32, own: usize, all: usize) -> bool {
        match uid {
            ROOT => all < self.lasting,
            _ => own < self.lasting / 2 && all < self.lasting.saturating_sub(2),
        }
    }
}

/// Who looks after the device may always ask.
const ROOT: u32 = 0;

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
    brief: SyncSender<(Incoming, Reply)>,
    lasting: Arc<Lasting>,
}

/// Who has how many long answers.
type Lasting = Mutex<BTreeMap<u32, usize>>;

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
        // Not started, or stopped at a defect: its place is free again.
        let _ = spawn("long-answer", move || {
            let _place = place;
            handler.answer(request, reply);
        });
    }
}

/// A place among the long answers; free again when it is dropped.
struct Place {
    of: Arc<Lasting>,
    uid: u32,
}

impl Place {
    fn take(of: &Arc<Lasting>, uid: u32, limits: &Limits) -> Option<Place> {
        let mut have = of.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, all) = (have.get(&uid).copied().unwrap_or(0), have.values().sum());
        limits.admits(uid, own, all).then(|| {
            have.insert(uid, own + 1);
            Place { of: of.clone(), uid }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut have = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        match have.get_mut(&self.uid) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(have.remove(&self.uid)),
        }
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

fn work(queue: &Mutex<Receiver<(Incoming, Reply)>>, handler: &dyn Handler) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_takes_half_of_the_places_and_root_always_finds_one() {
        let (limits, have) = (Limits::default(), Arc::<Lasting>::default());
        let mut places = Vec::new();
        let mut taken = |uid: u32| {
            let mut n = 0;
            while let Some(place) = Place::take(&have, uid, &limits) {
                places.push(place);
                n += 1;
            }
            n
        };
        assert_eq!([taken(1000), taken(1001), taken(1002)], [4, 2, 0]);
        assert_eq!(taken(ROOT), 2);
        places.remove(0);
        assert!(Place::take(&have, 1001, &limits).is_none(), "the last two are root's");
        assert!(Place::take(&have, ROOT, &limits).is_some());
        drop(places);
        assert!(have.lock().unwrap().is_empty());
        assert_eq!((limits.share_waiting(1000), limits.share_waiting(ROOT)), (64, 128));
    }
}

//! Who is at work on the device, for everybody to read, and the way to stop them. Both are files in
//! the daemon's folder, which is in memory: `work` says who holds the lock and how far an
//! installation is, `stop` names the work that is to end.

use super::world::World;
use crate::event::{Event, Moved, Phase, Sink};
use crate::model::{ByteLen, Digest, Failure, Owner, ReasonCode, Result, document, printable};
use crate::sys::claim::{Claim, claimed};
use crate::sys::lock::FileLock;
use crate::sys::stop::{SLICE, Stop};
use crate::sys::{durable, files, host, signals};
use crate::update::Work;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two words about progress.
const PACE: Duration = Duration::from_secs(1);

/// More than a request to stop needs.
const REQUEST_MAX: u64 = 4096;

/// Work that runs now, whoever does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Who.
    #[serde(flatten)]
    pub owner: Owner,
    /// Which work: no other ever has this name.
    pub id: String,
    /// Whether it can be stopped, as an installation can.
    pub stoppable: bool,
    /// Nobody asked for this very update.
    pub automatic: bool,
    /// It is a change of an app, and no installation of a system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub app: bool,
    /// The release that is installed, once it is known.
    pub version: Option<String>,
    /// What orders it.
    pub release_counter: u64,
    /// Its artifact.
    pub artifact: Option<Digest>,
    /// What is done just now.
    pub phase: Option<Phase>,
    /// How much of the whole is done; it never goes back.
    pub percent: u8,
    /// Bytes of the phase that are done.
    pub done: u64,
    /// Bytes of the phase in all.
    pub total: u64,
    /// What has moved, once a slot is written.
    #[serde(flatten)]
    pub moved: Option<Moved>,
}

/// The word that ends one piece of work.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    /// Which work: a request that is older than the work that runs now is about other work.
    work: String,
    code: ReasonCode,
    text: String,
}

/// The lock, who holds it, and the flag that ends the work. Dropped, all of it is given back.
pub struct Working {
    shared: Arc<Shared>,
    /// Ends the work that is done under this lock.
    pub(super) stop: Stop,
    watcher: Option<(Sender<()>, JoinHandle<()>)>,
    /// Given back last: who sees it free finds nobody's name.
    _lock: FileLock,
}

struct Shared {
    /// What is said, where, when last, and whether it has changed since.
    said: Mutex<(Running, Option<Claim>, Option<Instant>, bool)>,
}

impl World {
    fn work_file(&self) -> PathBuf {
        self.settings.run.join("work")
    }

    fn stop_file(&self) -> PathBuf {
        self.settings.run.join("stop")
    }

    /// What is being done on this device just now, by any process. Anybody may ask.
    pub fn running(&self) -> Option<Running> {
        running(&self.settings.run)
    }

    /// The one lock that everything that writes holds, under a name that others are told; `BUSY` if
    /// somebody else holds it and goes on for longer than a look takes. `STATE_NOT_DURABLE` if the
    /// state folder cannot hold it.
    pub fn lock(&self, verb: &str) -> Result<Working> {
        self.lock_within(verb, Duration::from_millis(200))
    }

    /// The same, waiting for so long.
    pub fn lock_within(&self, verb: &str, patience: Duration) -> Result<Working> {
        let by = self.asked_by.clone().unwrap_or_else(host::user);
        self.take_lock(verb, by, None, patience)
    }

    /// The lock for an installation, which others may stop.
    pub(super) fn lock_to_install(
        &self,
        by: &str,
        automatic: bool,
        patience: Duration,
    ) -> Result<Working> {
        self.lock_for("install", by, automatic, patience)
    }

    /// The same for other work that others may stop.
    pub(super) fn lock_for(
        &self,
        verb: &str,
        by: &str,
        automatic: bool,
        patience: Duration,
    ) -> Result<Working> {
        let mut held = self.take_lock(verb, by.to_owned(), Some(automatic), patience)?;
        let (stop, request, shared) = (held.stop.clone(), self.stop_file(), held.shared.clone());
        let (over, ends) = channel();
        let watcher = std::thread::Builder::new()
            .name("stop".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || watch(&stop, &request, &shared, &ends));
        signals::heed();
        match watcher {
            Ok(thread) => held.watcher = Some((over, thread)),
            Err(error) => log::warn!("nothing can stop this installation: {error}"),
        }
        Ok(held)
    }

    /// The right to be the next that takes the lock, for an installation. `BUSY` if another one has it for
    /// longer than this. Without the daemon's folder there is nothing to be first in.
    pub(super) fn first_in_line(&self, patience: Duration) -> Result<Option<FileLock>> {
        self.run_folder();
        match FileLock::take(&self.settings.run.join("next"), patience) {
            Ok(first) => Ok(Some(first)),
            Err(failure) if failure.code() == ReasonCode::Busy => Err(self.busy(failure)),
            Err(failure) => {
                log::info!("installations are not told apart: {failure}");
                Ok(None)
            }
        }
    }

    fn run_folder(&self) {
        let folder = &self.settings.run;
        if !folder.exists()
            && let Err(error) = std::fs::create_dir(folder)
        {
            log::info!("{}: {error}", folder.display());
        }
    }

    /// `stoppable`: of what others may stop, whether it comes by itself.
    fn take_lock(
        &self,
        verb: &str,
        by: String,
        stoppable: Option<bool>,
        patience: Duration,
    ) -> Result<Working> {
        let lock = self.file_lock(patience).map_err(|failure| match failure.code() {
            ReasonCode::Busy => self.busy(failure),
            _ => failure,
        })?;
        let pid = std::process::id();
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let running = Running {
            owner: Owner { verb: verb.to_owned(), pid, by: printable(&by, 80), since: self.now() },
            id: format!("{pid}-{}", nanos.map_or(0, |n| n.as_nanos())),
            stoppable: stoppable.is_some(),
            automatic: stoppable == Some(true),
            app: false,
            version: None,
            release_counter: 0,
            artifact: None,
            phase: None,
            percent: 0,
            done: 0,
            total: 0,
            moved: None,
        };
        self.run_folder();
        let text = serde_json::to_string(&running).unwrap_or_default();
        let claim = Claim::make(&self.work_file(), &text);
        let claim = claim.map_err(|e| log::info!("nobody is told who is at work: {e}")).ok();
        let shared = Arc::new(Shared { said: Mutex::new((running, claim, None, false)) });
        Ok(Working { shared, stop: Stop::default(), watcher: None, _lock: lock })
    }

    /// `BUSY`, and who it is that holds the lock.
    pub(super) fn busy(&self, failure: Failure) -> Failure {
        match self.running() {
            Some(running) => {
                let text = running.text(self.now());
                Failure::new(ReasonCode::Busy, text).held_by(running.owner)
            }
            None => failure,
        }
    }

    /// Has this work end with such a failure. Whoever asks waits for it.
    pub(super) fn ask_to_stop(&self, running: &Running, why: &Failure) -> Result<()> {
        let (code, text) = (why.code(), why.detail().to_owned());
        let request = Request { work: running.id.clone(), code, text };
        let bytes = serde_json::to_vec(&request).unwrap_or_default();
        durable::publish(&self.stop_file(), &bytes)
            .map_err(|f| Failure::new(ReasonCode::NotAllowed, f.detail()))
    }

    /// An installation that comes by itself, once it has said what it brings.
    pub fn named_automatic(&self) -> Option<Running> {
        let start = Instant::now();
        loop {
            let running = self.running().filter(|r| r.stoppable && r.automatic)?;
            if running.artifact.is_some() {
                return Some(running);
            }
            if start.elapsed() >= NAMELESS {
                return None;
            }
            std::thread::sleep(SLICE / 10);
        }
    }

    /// Has an installation end that nobody asked for, and waits until it has. Says whether one ran.
    pub fn stop_automatic(&self, why: &Failure) -> Result<Option<Running>> {
        let Some(running) = self.running().filter(|r| r.stoppable && r.automatic) else {
            return Ok(None);
        };
        self.ask_to_stop(&running, why)?;
        let start = Instant::now();
        while self.running().is_some_and(|now| now.id == running.id) {
            if start.elapsed() >= PATIENCE {
                return Err(self.busy(Failure::new(ReasonCode::Busy, ReasonCode::Busy.meaning())));
            }
            std::thread::sleep(SLICE / 10);
        }
        Ok(Some(running))
    }
}

/// So long an installation that comes by itself is given to say what it brings.
pub(super) const NAMELESS: Duration = Duration::from_millis(500);

/// For work that was told to stop: longer than any wait between two looks.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What is being done on the device whose daemon's folder this is.
pub fn running(folder: &std::path::Path) -> Option<Running> {
    let text = claimed(&folder.join("work"))?;
    document(text.as_bytes())
}

impl Running {
    /// What is being installed, and how far it is.
    pub fn sentence(&self) -> String {
        match &self.version {
            Some(version) => format!("{version} is being installed, {} %.", self.percent),
            None => "An installation has begun.".to_owned(),
        }
    }

    /// One line for people.
    pub fn text(&self, now: u64) -> String {
        let Owner { verb, pid, by, since } = &self.owner;
        let since = crate::sys::clock::ago(*since, now);
        let what = match &self.version {
            Some(version) => format!("`surefoot {verb}` of {version}"),
            None => format!("`surefoot {verb}`"),
        };
        let mut far = if self.stoppable { format!(", {} %", self.percent) } else { String::new() };
        if let Some(moved) = &self.moved {
            let [fetched, reused, rate] = [moved.fetched, moved.reused, moved.rate].map(ByteLen);
            far += &format!(": {fetched} fetched, {reused} reused, {rate}/s");
            if let Some(seconds) = moved.seconds_left {
                far += &format!(", {}:{:02} left", seconds / 60, seconds % 60);
            }
        }
        format!("{what} by {by} (process {pid}) began {since}{far}")
    }
}

/// Looks for the word that ends this work, until the work has ended.
fn watch(stop: &Stop, request: &std::path::Path, shared: &Shared, ends: &Receiver<()>) {
    let id = shared.id();
    while ends.recv_timeout(SLICE) == Err(RecvTimeoutError::Timeout) {
        // Where nothing goes on any more, the last step is told all the same.
        shared.tell(false, |_| {});
        if let Some(signal) = signals::told() {
            let text = format!("{signal}: what was written is kept");
            stop.set(Failure::new(ReasonCode::Interrupted, text));
        }
        let asked = files::read_own(request, REQUEST_MAX).ok();
        let asked = asked.and_then(|bytes| document::<Request>(&bytes));
        if let Some(asked) = asked.filter(|asked| asked.work == id) {
            stop.set(Failure::new(asked.code, asked.text));
        }
    }
}

impl Shared {
    fn id(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).0.id.clone()
    }

    /// Changes what is said; at most once a second, unless it is said at once.
    fn tell(&self, at_once: bool, change: impl FnOnce(&mut Running)) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (running, claim, told, untold) = &mut *said;
        let before = running.clone();
        change(running);
        *untold |= *running != before;
        if !*untold || (!at_once && told.is_some_and(|told| told.elapsed() < PACE)) {
            return;
        }
        (*told, *untold) = (Some(Instant::now()), false);
        let text = serde_json::to_string(running).unwrap_or_default();
        if let Some(Err(error)) = claim.as_ref().map(|claim| claim.say(&text)) {
            log::debug!("nobody is told how far it is: {error}");
        }
    }
}

impl Working {
    /// Tells which release is installed.
    pub(super) fn announce(&self, work: &Work) {
        self.shared.tell(true, |running| {
            running.version = Some(work.to.to_string());
            running.release_counter = work.to.release_counter;
            running.artifact = Some(work.digest);
        });
    }

    /// Tells which app is changed.
    #[cfg(feature = "apps")]
    pub(super) fn announce_app(&self, name: &str, release_counter: u64, digest: Digest) {
        self.shared.tell(true, |running| {
            running.app = true;
            running.version = Some(name.to_owned());
            running.release_counter = release_counter;
            running.artifact = Some(digest);
        });
    }

    /// A sink that also tells others how far it is.
    pub(super) fn telling<'a>(&'a self, sink: &'a dyn Sink) -> Telling<'a> {
        Telling { shared: &self.shared, sink }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.watcher.take() {
            drop(over);
            let _ended = thread.join();
            signals::heed_no_more();
        }
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }
}

/// Passes on what is told, and keeps the progress for others.
pub(super) struct Telling<'a> {
    shared: &'a Shared,
    sink: &'a dyn Sink,
}

impl Sink for Telling<'_> {
    fn emit(&self, event: &Event) {
        let told = match event {
            Event::PhaseStarted { phase, total } => Some((*phase, 0, *total, true, None)),
            Event::Progress { phase, done, total, moved } => {
                Some((*phase, *done, *total, false, *moved))
            }
            _ => None,
        };
        if let Some((phase, done, total, at_once, moved)) = told {
            self.shared.tell(at_once, |running| {
                let percent = phase.of_the_whole(done, total);
                *running = Running {
                    phase: Some(phase),
                    percent: running.percent.max(percent),
                    done,
                    total,
                    // What was written is known until the work ends.
                    moved: moved.or(running.moved),
                    ..running.clone()
                };
            });
        }
        self.sink.emit(event);
    }
}

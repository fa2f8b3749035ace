//! The inbox: whatever brings a whole file there, by renaming it into it, brings an update. The
//! report is put into the outbox.

use super::desk;
use super::report::{Identity, Report, apart, today, told};
use super::shelf::Shelf;
use super::visit::{Ending, visit};
use crate::config::Settings;
use crate::daemon::core::{Bell, Core};
use crate::device;
use crate::event::{Event, Sink};
use crate::model::{Class, Failure, ReasonCode, Result, StateFile, WithReason, printable};
use crate::request::Daemon;
use crate::source::Source;
use crate::stick::{Board, Shown, Verdict, is_artifact};
use crate::sys::wait::{Watch, any};
use crate::sys::{durable, host};
use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Reports that are kept.
const KEPT: usize = 32;

/// Files that are looked at; a folder with more is somebody's mistake.
const FILES_MAX: usize = 1000;

/// What had to wait is tried again after so long, whatever happens.
const AGAIN: Duration = Duration::from_secs(300);

/// What is installed is compared with what has come so often, while a look does not know of it.
const UNHEARD: Duration = Duration::from_millis(300);

/// Nothing in these threads recurses deeply.
const STACK: usize = 512 * 1024;

/// Watches the inbox from now on, in threads that sleep until something happens. Nothing is done
/// where there is no such folder.
pub(in crate::daemon) fn watch(core: &Arc<Core>, settings: &Settings) -> Result<()> {
    let folder = &settings.inbox;
    if !folder.is_dir() {
        return Ok(());
    }
    let told = || folder.display().to_string();
    // What cannot be taken away would be done again and again. Root without capabilities is held to
    // the permissions as anybody is.
    if !host::writable(folder) {
        let text = format!("{} cannot be emptied: it must be writable for root", told());
        return Err(Failure::new(ReasonCode::Io, text));
    }
    // Before the first look: what comes in between is seen by one of the two.
    let arrivals = Watch::folder(folder).reason(ReasonCode::Io, told())?;
    let bell = Arc::new(Bell::default());
    // Whether somebody has brought something in this life of the daemon: what lies there from
    // before a reboot has had its chance.
    let brought = Arc::new(AtomicBool::new(false));
    // Rings for the look that goes on, whose list of files is an old one then.
    let news = Arc::new(Bell::default());
    let (ring, arrived, new) = (bell.clone(), brought.clone(), news.clone());
    let (asked, place, run) = (core.clone(), folder.clone(), settings.run.clone());
    spawn("arrivals", move || {
        let mut judged = None;
        // Until the look that goes on has heard of it, that may begin an older file at any moment.
        while any(&[arrivals.as_fd()], new.is_unheard().then_some(UNHEARD)).is_ok() {
            if arrivals.drain() {
                arrived.store(true, Ordering::SeqCst);
                new.ring();
                ring.ring();
                judged = None;
            }
            let named = device::running(&run).filter(|r| r.automatic && r.artifact.is_some());
            let running = named.map(|r| r.id);
            if running.is_none() || running == judged {
                continue;
            }
            judged = running;
            if let Err(failure) = make_way(&asked, &place) {
                log::info!("what has come into the inbox does not come first: {failure}");
            }
        }
    })?;
    // What had to wait may go on when the device stands elsewhere.
    let (ring, followed) = (bell.clone(), core.clone());
    spawn("states", move || {
        // One that fell behind is let go, comes again, and rings for what it may have missed.
        while let Ok((_, follower)) = followed.hub.follow(0) {
            ring.ring();
            while let Some(told) = follower.next(|at| any(&[at.as_fd()], None).map(|_| true)) {
                if matches!(told.event, Event::State { .. } | Event::Hold { .. }) {
                    ring.ring();
                }
            }
        }
    })?;
    let (core, settings) = (core.clone(), settings.clone());
    spawn("inbox", move || {
        let mut told = None;
        loop {
            let by_hand = brought.load(Ordering::SeqCst);
            let (event, later) = match sweep(&settings, by_hand, &news) {
                Ok(None) => (None, false),
                Ok(Some((ending, left))) => {
                    let text = format!("inbox: {}", ending.text);
                    (Some(Event::Media { text }), left)
                }
                Err(failure) => (Some(Event::Warning { text: format!("inbox: {failure}") }), true),
            };
            if event.is_some() && (!later || event != told) {
                event.iter().for_each(|e| core.hub.emit(e));
            }
            told = event;
            // The end of a hold and of what holds back updates is told by nobody.
            bell.wait(later.then_some(AGAIN));
        }
    })
}

/// An automatic installation ends where something newer has come, which the next look finds.
fn make_way(core: &Core, folder: &Path) -> Result<()> {
    let world = core.world()?;
    let Some(running) = world.running().filter(|r| r.automatic && r.artifact.is_some()) else {
        return Ok(());
    };
    let newer = artifacts(folder)?.into_iter().find_map(|(_, _, path, _)| {
        let source = Source::open(&path).ok()?;
        let judged = device::glance(&world, source).ok()?.unasked().ok()?;
        let newer = judged.plan.release_counter > running.release_counter;
        newer.then(|| judged.plan.version.to_string())
    });
    if let Some(version) = newer {
        let why = Failure::new(ReasonCode::Superseded, format!("{version} takes its place"));
        world.stop_automatic(&why)?;
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(work).map(drop).reason(ReasonCode::NoMemory, name)
}

/// Name, length, and which file that was.
type Found = (String, u64, PathBuf, Inode);

/// What was found, and what rings when more has come.
struct Folder<'a>(Vec<Found>, &'a Bell);

/// Device and number: another file may come under the same name.
type Inode = (u64, u64);

fn inode(about: &Metadata) -> Inode {
    (about.dev(), about.ino())
}

impl Shelf for Folder<'_> {
    fn offers(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(name, len, ..)| (printable(name, 120), *len)).collect()
    }

    fn take(&self, number: usize) -> Result<Source> {
        let none = || Failure::new(ReasonCode::NoSuchFile, "no such artifact");
        Source::open(&self.0.get(number).ok_or_else(none)?.2)
    }

    fn is_outdated(&self, within: Duration) -> bool {
        self.1.wait(Some(within))
    }
}

/// Whole artifacts in the folder, by name. No links: they could lead anywhere.
fn artifacts(folder: &Path) -> Result<Vec<Found>> {
    let entries = std::fs::read_dir(folder).reason(ReasonCode::Io, folder.display())?;
    let mut found: Vec<Found> = Vec::new();
    for entry in entries.take(FILES_MAX).flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata() {
            Ok(about) if about.is_file() && is_artifact(&name) => {
                let at = found.partition_point(|(other, ..)| *other < name);
                found.insert(at, (name, about.len(), entry.path(), inode(&about)));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Judges what is there, installs what fits, reports, and takes away what is done with. If the
/// power goes before that, it is all done again and comes to the same. Also says whether something
/// is left to be looked at again.
fn sweep(settings: &Settings, by_hand: bool, news: &Bell) -> Result<Option<(Ending, bool)>> {
    // What has rung until now is found by this look.
    news.wait(Some(Duration::ZERO));
    let shelf = Folder(artifacts(&settings.inbox)?, news);
    if shelf.0.is_empty() {
        return Ok(None);
    }
    let silent = || Failure::new(ReasonCode::DaemonSilent, "the daemon does not answer itself");
    let desk = Daemon::find(&settings.run).ok_or_else(silent)?.speaking_for(Some("inbox"));
    let board = Board::new(settings.run.join("inbox.status"), "inbox");
    let visit = visit(&desk, &shelf, "inbox", by_hand, &board, &Silent);
    board.show(visit.ending.shown, &visit.ending.text, visit.ending.code);
    if waits(&visit.ending) {
        return Ok(Some((visit.ending, true)));
    }
    let (status, unknown) = apart(desk::status(&desk));
    let report = Report {
        v: 1,
        device: Identity::of(settings),
        status,
        unknown,
        at: today(),
        places: vec![format!("inbox: {} artifacts", shelf.0.len())],
        ignored: Vec::new(),
        candidates: told(visit.judged, visit.fates),
        choice: visit.choice,
        result: (&visit.ending).into(),
    };
    file(&StateFile::OUTBOX.within(&settings.device.state), &report)?;
    // One that came meanwhile, or that nobody has judged, is the next look's.
    let mut left = shelf.0.len() > report.candidates.len();
    for ((_, _, path, known), judged) in shelf.0.iter().zip(&report.candidates) {
        let same = std::fs::symlink_metadata(path).is_ok_and(|about| inode(&about) == *known);
        match same && !may_fit_later(&judged.judged.verdict) {
            true => std::fs::remove_file(path).reason(ReasonCode::Io, path.display())?,
            false => left = true,
        }
    }
    Ok(Some((visit.ending, left)))
}

/// Whether the same files may fare better later, when the device stands elsewhere.
fn waits(ending: &Ending) -> bool {
    let later = ending.code.is_some_and(is_passing);
    let refused = matches!(ending.shown, Shown::Refused | Shown::Lost | Shown::Cancelled);
    ending.shown == Shown::Waiting || (refused && later)
}

fn is_passing(code: ReasonCode) -> bool {
    matches!(code.class(), Class::Busy | Class::Denied | Class::Retry)
}

fn may_fit_later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused { code, .. } if is_passing(*code))
}

/// Puts a report into the outbox as the next in number, and takes the oldest away.
fn file(outbox: &Path, report: &Report) -> Result<()> {
    if !outbox.exists() {
        std::fs::create_dir(outbox).reason(ReasonCode::Io, outbox.display())?;
    }
    let number = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
    };
    let entries = std::fs::read_dir(outbox).reason(ReasonCode::Io, outbox.display())?;
    let mut numbered: Vec<(u64, PathBuf)> = Vec::new();
    for path in entries.flatten().map(|e| e.path()) {
        if let Some(n) = number(&path) {
            numbered.insert(numbered.partition_point(|(other, _)| *other < n), (n, path));
        }
    }
    let next = numbered.last().map_or(1, |(n, _)| n.saturating_add(1));
    let files = report.files();
    for (name, content) in &files {
        let path = outbox.join(format!("{next:06}-{name}"));
        durable::write(&path, content)?;
        // It is for whoever brought the file.
        let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644));
    }
    let surplus = (numbered.len() + files.len()).saturating_sub(2 * KEPT);
    for (_, path) in numbered.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// The daemon that does the work tells of it.
struct Silent;

impl Sink for Silent {
    fn emit(&self, _: &Event) {}
}

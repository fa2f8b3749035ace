//! A stick from the moment it is put in to the report that is left on it.

use super::desk;
use super::report::{Identity, Report, apart, today, told};
use super::shelf::Shelf;
use super::visit::{Ending, JUDGED_MAX, visit};
use crate::config::{Settings, Where, load};
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result, WithReason, printable};
use crate::request::find;
use crate::source::Source;
use crate::stick::{Board, Candidate, Found, Kind, Shown, Stick, advice};
use crate::sys::host;
use crate::sys::lock::FileLock;
use crate::sys::signals;
use crate::sys::{blk, durable, files};
use std::path::Path;
use std::time::{Duration, Instant};

/// For another stick that is being served.
const QUEUE: Duration = Duration::from_secs(90 * 60);

/// What is printed, and how the program ends.
pub struct Seen {
    /// For people, a few lines.
    pub text: String,
    /// For programs: the whole report.
    pub report: serde_json::Value,
    /// Why nothing was installed, in one line.
    pub detail: String,
    /// What the person with the stick does next.
    pub next: String,
    /// Why nothing was installed, if so.
    pub code: Option<ReasonCode>,
}

impl Seen {
    fn nothing(text: String) -> Seen {
        let text = printable(&text, 400);
        let report = serde_json::json!({ "v": 1, "text": text });
        Seen { text: text + "\n", report, detail: String::new(), next: String::new(), code: None }
    }
}

/// Looks at a stick, installs the newest artifact that fits, once, and leaves a report.
pub fn stick(place: &Where, path: &Path, sink: &dyn Sink) -> Result<Seen> {
    let settings = load(place)?.settings;
    let name = path.display();
    if !settings.stick {
        return Ok(Seen::nothing(format!("{name}: `[stick] enabled` is false; left alone")));
    }
    let _ = std::fs::create_dir_all(&settings.run);
    let _turn = queue(&settings)?;
    // From here on the report is written before an orderly reboot, which this may be the cause of.
    signals::heed_for_ever();
    let stick = match Stick::open(path) {
        Ok(stick) => stick,
        // A card reader without a card is no stick.
        Err(f) if f.code() == ReasonCode::NoSuchFile => return Err(f),
        Err(f) => {
            board(&settings, path).show(Shown::Unreadable, f.detail(), Some(f.code()));
            return Err(f);
        }
    };
    if is_our_own(&settings, &stick) {
        return Ok(Seen::nothing(format!("{name} is the disk of this device; left alone")));
    }
    let board = board(&settings, path);
    board.show(Shown::Reading, "the stick is looked at", None);
    let found = stick.look();
    let told = serve(place, &settings, &stick, &found, &board, sink);
    let mut text = format!("{}: {}\n", told.result.word, told.choice);
    if matches!(told_state(told.result.state), Shown::Done | Shown::Waiting) {
        text.push_str(&format!("{}\n", told.result.text));
    }
    let mut shown = told.result.text.clone();
    if settings.stick_report
        && let Some(number) = found.place_for_report()
    {
        match stick.leave(number, &told.files()) {
            Ok(()) => text.push_str("The report is on the stick.\n"),
            Err(failure) => {
                let why = format!("No report is on the stick: {}.", failure.detail());
                text.push_str(&format!("{why}\n"));
                shown = format!("{shown} {why}");
            }
        }
    } else if settings.stick_report {
        text.push_str("No report is on the stick: it has no FAT partition where a person looks.\n");
    }
    let ending = &told.result;
    let state = told_state(ending.state);
    board.show(state, &shown, ending.code);
    let good = matches!(state, Shown::Done | Shown::Waiting);
    if good {
        text.push_str(&format!("Next: {}\n", ending.next));
    }
    let report = serde_json::to_value(&told).reason(ReasonCode::Internal, "report")?;
    let (detail, next) = (ending.text.clone(), ending.next.clone());
    Ok(Seen { text, report, detail, next, code: ending.code.filter(|_| !good) })
}

/// The stick was taken out, or its unit was stopped.
pub fn stick_gone(place: &Where, path: &Path) -> Result<()> {
    let settings = load(place)?.settings;
    board(&settings, path).gone();
    // Whatever is put in from now on, a person has put in.
    let mark = settings.run.join(TAKEN_OUT);
    if let Err(error) = durable::publish(&mark, host::boot_id().unwrap_or_default().as_bytes()) {
        log::info!("{error}");
    }
    Ok(())
}

/// Names the last boot in which one was taken out.
const TAKEN_OUT: &str = "stick.out";

fn board(settings: &Settings, path: &Path) -> Board {
    Board::new(settings.run.join("stick.status"), &path.display().to_string())
}

fn told_state(word: &str) -> Shown {
    let all = [Shown::Done, Shown::Waiting, Shown::Unreadable, Shown::Lost, Shown::Cancelled];
    all.into_iter().find(|s| s.word() == word).unwrap_or(Shown::Refused)
}

/// One stick after the other.
fn queue(settings: &Settings) -> Result<Option<FileLock>> {
    let file = settings.run.join("stick.lock");
    let start = Instant::now();
    loop {
        match FileLock::take(&file, Duration::ZERO) {
            Ok(lock) => return Ok(Some(lock)),
            Err(f) if f.code() == ReasonCode::Busy && start.elapsed() < QUEUE => {
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(f) if f.code() == ReasonCode::Busy => return Err(f),
            // Without a folder for it there is no daemon either, and nobody puts in two.
            Err(_) => return Ok(None),
        }
    }
}

/// A device that runs from a disk on USB sees that as a stick too.
fn is_our_own(settings: &Settings, stick: &Stick) -> bool {
    let own = settings.device.disk.path().ok().and_then(|disk| blk::Identity::of(&disk).ok());
    own == Some(stick.identity())
}

/// Whether a stick was taken out in this boot: before that all may have been in from its start,
/// however many there are.
fn put_in_by_hand(settings: &Settings) -> bool {
    let boot = host::boot_id().unwrap_or_default();
    files::read_own(&settings.run.join(TAKEN_OUT), 4096).is_ok_and(|text| text == boot.as_bytes())
}

struct OnStick<'a> {
    stick: &'a Stick,
    offers: Vec<(usize, &'a Candidate)>,
}

impl Shelf for OnStick<'_> {
    fn offers(&self) -> Vec<(String, u64)> {
        self.offers.iter().map(|(_, c)| (c.name.clone(), c.len)).collect()
    }

    fn take(&self, number: usize) -> Result<Source> {
        let none = || Failure::new(ReasonCode::NoSuchFile, "no such artifact");
        let (place, candidate) = self.offers.get(number).ok_or_else(none)?;
        self.stick.source(*place, candidate)
    }
}

fn serve(
    place: &Where,
    settings: &Settings,
    stick: &Stick,
    found: &Found,
    board: &Board,
    sink: &dyn Sink,
) -> Report {
    let by_hand = put_in_by_hand(settings);
    let places = found.places.iter().zip(0..);
    let offers = places.flat_map(|(p, number)| p.candidates.iter().map(move |c| (number, c)));
    let shelf = OnStick { stick, offers: offers.collect() };
    let device = Identity::of(settings);
    let places = describe(found, shelf.offers.len());
    let ignored: Vec<String> = found.places.iter().flat_map(|p| p.near.clone()).collect();
    let plain = |ending: &Ending, (status, unknown)| Report {
        v: 1,
        at: today(),
        device: device.clone(),
        status,
        unknown,
        places: places.clone(),
        ignored: ignored.clone(),
        candidates: Vec::new(),
        choice: "no artifact".to_owned(),
        result: ending.into(),
    };
    let client = match find(place, Some("stick"), sink) {
        Ok(client) => client,
        Err(failure) => {
            return plain(&Ending::refused(&failure), (None, Some(failure.to_string())));
        }
    };
    if let Some(why) = found.unreadable() {
        return plain(&unreadable(why), apart(desk::status(&*client)));
    }
    let mut visit = visit(&*client, &shelf, "stick", by_hand, board, sink);
    if visit.ending.code == Some(ReasonCode::NoSuchFile) && !ignored.is_empty() {
        let names = ignored.join(", ");
        visit.ending.text = format!("there is no artifact, but a file that may be one: {names}");
        visit.ending.next = "Copy the file itself to the stick, not into a folder and not packed, under a name that \
            ends in .surefoot, and put it in again."
            .to_owned();
    }
    let (status, unknown) = apart(desk::status(&*client));
    Report {
        v: 1,
        at: today(),
        device: device.clone(),
        status,
        unknown,
        places: places.clone(),
        ignored: ignored.clone(),
        candidates: told(visit.judged, visit.fates),
        choice: visit.choice,
        result: (&visit.ending).into(),
    }
}

fn unreadable(why: String) -> Ending {
    Ending {
        shown: Shown::Unreadable,
        code: Some(ReasonCode::StickUnreadable),
        text: why,
        next: advice(ReasonCode::StickUnreadable).to_owned(),
    }
}

/// One line for each place.
fn describe(found: &Found, offers: usize) -> Vec<String> {
    let many = (offers > JUDGED_MAX).then(|| format!("only {JUDGED_MAX} artifacts were looked at"));
    let lines = found.places.iter().zip(1..).map(|(place, number)| {
        let mut line = format!("place {number}: {}", place.kind);
        if place.kind == Kind::Fat {
            let n = place.candidates.len();
            line.push_str(&format!(", {n} artifact{}", if n == 1 { "" } else { "s" }));
        }
        if place.more {
            line.push_str(", and more files than are looked at");
        }
        if let Some(damage) = &place.damage {
            line.push_str(&format!(", damaged: {damage}"));
        }
        line
    });
    lines.chain(many).collect()
}

//! Looking at everything that may hold back an update.

use super::window::{Minute, Window};
use super::zone::{self, LocalTime};
use super::{Settings, Zone, power, sysfs, systemd, wear};
use crate::model::printable;
use crate::sys::lock::{Holder, holder};
use crate::sys::process::Runner;
use crate::sys::{clock, durable};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A file exists.
    File,
    /// Somebody holds a lock.
    Lock,
    /// It is not the time.
    Window,
    /// Nobody has set the clock, so that it cannot be the time.
    Clock,
    /// The init system was asked not to shut down.
    Systemd,
    /// The supply may not last.
    Power,
    /// The medium is worn out.
    Wear,
}

/// One thing that holds back an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What kind of thing it is.
    pub what: What,
    /// One printable line.
    pub text: String,
    /// In how many seconds it ends, where that is known. Look again then: clocks are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What holds back the update; nothing means that it may go on.
    pub held: Vec<Held>,
    /// What could not be looked at, and therefore holds back nothing; one printable line each.
    pub unsure: Vec<String>,
}

/// Where to look, and when.
pub struct Place<'a> {
    /// The kernel's view, `/sys`.
    pub sys: PathBuf,
    /// The time zone, `/etc/localtime`.
    pub zone: PathBuf,
    /// Exists once somebody has asked the login manager for an inhibitor in this boot: until then
    /// nobody needs to be asked, and where there is no login manager nobody could be.
    pub inhibitors: PathBuf,
    /// Seconds since 1970.
    pub now: u64,
    /// Seconds since 1970 before which no device of this build has lived: an earlier clock was not
    /// set.
    pub earliest: u64,
    /// Asks the init system's tools; they need no rights that we have not.
    pub runner: &'a dyn Runner,
}

impl<'a> Place<'a> {
    /// This machine, now.
    pub fn device(earliest: u64, runner: &'a dyn Runner) -> Place<'a> {
        Place::under(Path::new("/"), earliest, runner)
    }

    /// A folder that stands for a machine, now: nothing of the host holds back what is tried in it.
    pub fn under(root: &Path, earliest: u64, runner: &'a dyn Runner) -> Place<'a> {
        Place {
            sys: root.join("sys"),
            zone: root.join("etc/localtime"),
            inhibitors: root.join("run/systemd/inhibit"),
            now: clock::unix_seconds(),
            earliest,
            runner,
        }
    }
}

/// Looks at everything once.
pub fn look(settings: &Settings, place: &Place<'_>) -> Found {
    let mut found = Found::default();
    for file in &settings.files {
        let there = std::fs::symlink_metadata(file);
        found.weigh(What::File, there.map(|_| Some(said(file))), file);
    }
    for file in &settings.locks {
        let text = |held: Holder| match held {
            Holder::Nobody => None,
            Holder::Somebody => Some(format!("somebody holds a lock on {}", file.display())),
            Holder::Process(n) => Some(format!("process {n} holds a lock on {}", file.display())),
        };
        found.weigh(What::Lock, holder(file).map(text), file);
    }
    found.held.extend(outside(settings, place));
    if settings.systemd && place.inhibitors.exists() {
        match systemd::blocked(place.runner) {
            Ok(lines) => found.add(What::Systemd, lines),
            Err(why) => found.unsure.push(printable(&why, 200)),
        }
    }
    if settings.power {
        found.add(What::Power, power::weak(&place.sys, settings.battery_min));
    }
    found.add(What::Wear, wear::worn(&place.sys, settings.wear));
    found
}

impl Found {
    fn add(&mut self, what: What, lines: Vec<String>) {
        let held = |text: String| Held { what, text: printable(&text, 200), until: None };
        self.held.extend(lines.into_iter().map(held));
    }

    fn weigh(&mut self, what: What, seen: std::io::Result<Option<String>>, path: &Path) {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        match seen {
            Ok(held) => self.add(what, held.into_iter().collect()),
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => {}
            Err(e) => self.unsure.push(printable(&format!("{}: {e}", path.display()), 200)),
        }
    }
}

/// That a file exists, and what it says: whoever made it may have written why.
fn said(file: &Path) -> String {
    match sysfs::line(file) {
        Some(line) => format!("{} exists: {line}", file.display()),
        None => format!("{} exists", file.display()),
    }
}

/// That it is not the time, if it is not.
fn outside(settings: &Settings, place: &Place<'_>) -> Option<Held> {
    if settings.windows.is_empty() {
        return None;
    }
    // Images whose files are dated 1970, so that they can be built again byte by byte, know no better.
    if place.now < place.earliest || !clock::is_set(place.now) {
        // It may be right in a moment, and nobody knows which.
        let text = format!("the clock says {}, so nobody has set it", date(place.now));
        return Some(Held { what: What::Clock, text, until: None });
    }
    let zone = match settings.zone {
        Zone::Utc => LocalTime::UTC,
        Zone::Local => local(&place.zone),
    };
    let until = opens(&settings.windows, &zone, place.now)?;
    let windows: Vec<String> = settings.windows.iter().map(ToString::to_string).collect();
    let text =
        format!("outside of {}; the next begins in {}", windows.join(", "), clock::span(until));
    Some(Held { what: What::Window, text: printable(&text, 200), until: Some(until) })
}

/// A time as a person reads it; of one that nobody believes the year alone.
pub(super) fn date(now: u64) -> String {
    match clock::utc(now) {
        text if text.starts_with(|c: char| c.is_ascii_digit()) => text,
        _ => zone::year(now).to_string(),
    }
}

/// The zone of this device; without a file that can be read it is Greenwich's, as for everybody else.
fn local(file: &Path) -> LocalTime {
    let bytes = durable::read_foreign(file, zone::LIMIT).ok().flatten();
    bytes.and_then(|bytes| LocalTime::parse(&bytes)).unwrap_or(LocalTime::UTC)
}

/// Seconds until the first of these windows opens; `None` if one is open.
pub(super) fn opens(windows: &[Window], zone: &LocalTime, now: u64) -> Option<u64> {
    const MINUTES: u64 = 8 * 24 * 60;
    let open = |at: Minute| windows.iter().any(|w| w.is_open(at));
    if open(zone.minute(now)) {
        return None;
    }
    let begun = now % 60;
    let end = now.saturating_add(MINUTES * 60);
    let first = zone.minute(now);
    let steady = zone.is_steady(now, end);
    let minute = |n: u64| match steady {
        true => later(first, n),
        // The clocks are changed on the way.
        false => zone.minute(now.saturating_add(n * 60)),
    };
    let found = (1..=MINUTES).find(|n| open(minute(*n)));
    // Every window opens within eight days, but for one in an hour that the clock leaves out.
    Some(found.unwrap_or(MINUTES) * 60 - begun)
}

/// The minute of the week so many minutes later.
fn later(first: Minute, minutes: u64) -> Minute {
    const WEEK: u64 = 7 * 24 * 60;
    let day = u64::try_from(first.day).unwrap_or(0);
    let at = (day * 1_440 + u64::from(first.minute) + minutes) % WEEK;
    let number = "because a week has seven days of 1440 minutes";
    Minute {
        day: usize::try_from(at / 1_440).expect(number),
        minute: u16::try_from(at % 1_440).expect(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23, a Monday, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000;

    fn windows(texts: &[&str]) -> Vec<Window> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn when_the_next_window_opens_is_as_counted_all_over_a_week() {
        for texts in [
            &["02:00-04:00"][..],
            &["Sat,Sun 00:00-06:00"],
            &["Mon-Fri 22:00-05:00", "Sun 12:00-12:01"],
            &["Thu 23:59-00:01"],
        ] {
            let windows = windows(texts);
            let is_open = |at: u64| {
                let at = later(Minute { day: 0, minute: 0 }, at);
                windows.iter().any(|w| w.is_open(at))
            };
            // Every eleventh minute, a step that meets each hour and day at another place.
            for n in (0..7 * 1_440).step_by(11) {
                let expected = (n..).find(|m| is_open(*m)).unwrap() - n;
                for second in [0, 59] {
                    let found = opens(&windows, &LocalTime::UTC, MONDAY + n * 60 + second);
                    let seconds = (expected > 0).then(|| expected * 60 - second);
                    assert_eq!(found, seconds, "{texts:?} at minute {n} and {second} s");
                }
            }
        }
    }

    #[test]
    fn a_window_opens_by_the_clock_on_the_wall_also_when_that_is_changed() {
        let zone = LocalTime::parse(&super::super::zone::tests::file("CET-1CEST,M3.5.0,M10.5.0/3"));
        let zone = zone.unwrap();
        // 2026-10-25 01:00 UTC: at 3:00 it is 2:00 again. From Saturday 20:00 (CEST) to 5:00.
        let change = 1_792_890_000;
        let saturday = change - 7 * 3_600;
        assert_eq!(opens(&windows(&["05:00-06:00"]), &zone, saturday), Some(10 * 3_600));
        assert_eq!(opens(&windows(&["02:00-03:00"]), &zone, saturday), Some(6 * 3_600));
        assert_eq!(opens(&windows(&["02:00-03:00"]), &zone, change + 1_800), None, "again 2:30");
        // 2026-03-29 01:00 UTC: at 2:00 it is 3:00. There is no 2:30, but there is one a day later.
        let change = 1_774_746_000;
        assert_eq!(opens(&windows(&["05:00-06:00"]), &zone, change - 3_600), Some(3 * 3_600));
        let missing = opens(&windows(&["02:10-02:50"]), &zone, change - 60);
        assert_eq!(missing, Some(60 + 23 * 3_600 + 600));
        let weekly = opens(&windows(&["Sun 02:10-02:50"]), &zone, change - 60).unwrap();
        assert_eq!(weekly, 60 + (6 * 24 + 23) * 3_600 + 600);
    }

    #[test]
    fn a_clock_of_any_year_has_a_name() {
        assert_eq!(date(0), "1970");
        assert_eq!(date(946_684_800), "2000");
        assert_eq!(date(1_795_246_842), "2026-11-21 07:40 UTC");
    }
}

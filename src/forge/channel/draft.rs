//! The draft: what the next `publish` will say. It lies in `DIR.work`, which only its owner can read, with
//! artifacts that are not published yet. Each change replaces it in one step.

use super::words::{Place, Signing};
use crate::forge::file;
use crate::model::{Failure, Identifier, ReasonCode, Result, WithReason, parse_duration};
use crate::source::channel::{Body, MAX_CHANNEL_LEN, OptionValue, PhaseStart, Released, Unread};
use crate::sys::durable;
use crate::sys::lock::FileLock;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Far more than the longest channel needs.
const LIMIT: u64 = 4 << 20;

/// A channel as its folder's owner has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Draft {
    pub(super) v: u32,
    pub(super) product: Identifier,
    pub(super) name: Identifier,
    /// Where the keys are: their paths, never the keys.
    pub(super) keys: Vec<String>,
    /// Those that sign deltas, likewise.
    #[serde(default)]
    pub(super) delta_keys: Vec<String>,
    #[serde(default)]
    pub(super) r#pub: Option<PathBuf>,
    #[serde(default)]
    pub(super) trust: Option<PathBuf>,
    pub(super) valid_for: u64,
    #[serde(default)]
    pub(super) poll: Option<u64>,
    #[serde(default)]
    pub(super) report: Option<String>,
    #[serde(default)]
    pub(super) options: Vec<OptionValue>,
    /// The last serial that was published; 0 before the first.
    pub(super) serial: u64,
    pub(super) releases: Vec<Drafted>,
}

/// A release in the draft. Its phases count from the moment of its publication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Drafted {
    pub(super) release: Released,
    #[serde(default)]
    pub(super) plan: Vec<Planned>,
    /// When the plan was published first.
    #[serde(default)]
    pub(super) started: Option<u64>,
    /// When it was published as paused.
    #[serde(default)]
    pub(super) paused_since: Option<u64>,
}

/// So many per cent, so many seconds after the plan's publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) percent: u8,
    pub(super) after: u64,
}

/// The folder with its draft, locked for one process.
pub(super) struct Open {
    pub(super) dir: PathBuf,
    pub(super) work: PathBuf,
    pub(super) draft: Draft,
    _lock: FileLock,
}

/// `DIR.work` for `DIR`.
fn work_of(dir: &Path) -> Result<PathBuf> {
    let Some(name) = dir.file_name() else {
        let text = format!("{}: name the folder itself", dir.display());
        return Err(Failure::new(ReasonCode::Usage, text));
    };
    let mut name = name.to_owned();
    name.push(".work");
    Ok(dir.with_file_name(name))
}

impl Open {
    /// A new channel. `USAGE` where one is there already.
    pub(super) fn new(dir: &Path, draft: Draft) -> Result<Open> {
        let work = work_of(dir)?;
        // First what is served: folders above both are for everybody who reads it.
        std::fs::create_dir_all(dir).map_err(|e| file::failure(dir, &e))?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&work);
        made.map_err(|e| file::failure(&work, &e))?;
        let lock = lock(&work)?;
        if work.join("draft.json").exists() {
            let text = format!("{} has a channel already", dir.display());
            return Err(Failure::new(ReasonCode::Usage, text));
        }
        Ok(Open { dir: dir.to_owned(), work, draft, _lock: lock })
    }

    /// The channel in a folder. What is said about signing is remembered.
    pub(super) fn of(place: &Place) -> Result<Open> {
        let work = work_of(&place.dir)?;
        let none = || {
            let text = format!("{} has no channel", place.dir.display());
            let next =
                "Begin one: `surefoot-forge channel init DIR --product P --name NAME --key KEY`.";
            Failure::new(ReasonCode::NoSuchFile, text).with_next(next)
        };
        if !work.is_dir() {
            return Err(none());
        }
        let lock = lock(&work)?;
        let bytes = durable::read(&work.join("draft.json"), LIMIT)?.ok_or_else(none)?;
        let what = work.join("draft.json");
        let mut draft: Draft =
            serde_json::from_slice(&bytes).reason(ReasonCode::ConfigInvalid, what.display())?;
        draft.sign_with(&place.signing);
        Ok(Open { dir: place.dir.clone(), work, draft, _lock: lock })
    }

    /// Replaces the draft, on the medium.
    pub(super) fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.draft);
        let text = text.reason(ReasonCode::Internal, "draft")?;
        durable::write_strictly(&self.work.join("draft.json"), text.as_bytes())
    }

    /// Where a file of a release lies whole, before its publication or after it.
    pub(super) fn whole(&self, name: &str, size: u64) -> Option<PathBuf> {
        let mut places = [self.work.join(name), self.dir.join(name)].into_iter();
        places.find(|path| path.metadata().is_ok_and(|found| found.len() == size))
    }

    /// The files of `releases` that devices may ask for and that lie whole nowhere here.
    pub(super) fn lost(&self, releases: &[Released]) -> Vec<String> {
        let offered = releases.iter().filter(|release| !release.withdrawn);
        let files = offered.flat_map(Released::files);
        let lost = files.filter(|(name, size)| self.whole(name, *size).is_none());
        lost.map(|(name, _)| name.to_owned()).collect()
    }

    /// The file that devices fetch.
    pub(super) fn channel_file(&self) -> PathBuf {
        self.dir.join(format!("{}.channel", self.draft.name))
    }

    /// What is published, by what stands in the folder: it tells more than the draft after a cut between
    /// the two. `None` where nothing is.
    pub(super) fn published(&self) -> Result<Option<Body>> {
        let path = self.channel_file();
        let limit = u64::try_from(MAX_CHANNEL_LEN).unwrap_or(u64::MAX);
        match durable::read_foreign(&path, limit)? {
            None => Ok(None),
            Some(bytes) => {
                let body = Unread::parse(&bytes).and_then(|unread| unread.parse_unverified());
                body.map(Some).map_err(|f| f.at(path.display()))
            }
        }
    }

    /// The drafted releases of a version. `USAGE` where there is none.
    pub(super) fn releases(&mut self, version: &str) -> Result<Vec<&mut Drafted>> {
        let known: Vec<_> =
            self.draft.releases.iter().map(|d| d.release.version.to_string()).collect();
        let of = |d: &&mut Drafted| d.release.version.as_str() == version;
        let found: Vec<_> = self.draft.releases.iter_mut().filter(of).collect();
        match found.is_empty() {
            false => Ok(found),
            true => {
                let text =
                    format!("the channel has no release {version}; it has: {}", known.join(", "));
                Err(Failure::new(ReasonCode::Usage, text))
            }
        }
    }
}

fn lock(work: &Path) -> Result<FileLock> {
    FileLock::take(&work.join("lock"), Duration::from_secs(60))
}

fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A key as it is found from any folder.
fn remembered(key: &str) -> String {
    match key.strip_prefix("cmd:") {
        Some(_) => key.to_owned(),
        None => whole(Path::new(key)).display().to_string(),
    }
}

impl Draft {
    /// Remembers who signs.
    pub(super) fn sign_with(&mut self, signing: &Signing) {
        if !signing.key.is_empty() {
            self.keys = signing.key.iter().map(|key| remembered(key)).collect();
        }
        if let Some(path) = &signing.r#pub {
            self.r#pub = Some(whole(path));
        }
        if let Some(path) = &signing.trust {
            self.trust = Some(whole(path));
        }
    }

    /// Remembers who signs deltas.
    pub(super) fn sign_deltas_with(&mut self, keys: &[String]) {
        if !keys.is_empty() {
            self.delta_keys = keys.iter().map(|key| remembered(key)).collect();
        }
    }

    /// What is remembered of signing.
    pub(super) fn signing(&self) -> Signing {
        Signing { key: self.keys.clone(), r#pub: self.r#pub.clone(), trust: self.trust.clone() }
    }

    /// The body that would be published at `now`, and the draft that goes with it. `before` is what is
    /// published: a plan that has begun goes on, and a pause moves what it held back.
    pub(super) fn body(&self, now: u64, before: Option<&Body>) -> (Body, Draft) {
        // A host whose clock is behind the last one's begins no phase before its publication.
        let now = now.max(before.map_or(0, |b| b.issued));
        let mut next = self.clone();
        next.serial = before.map_or(0, |b| b.serial).max(self.serial) + 1;
        for drafted in &mut next.releases {
            let digest = drafted.release.digest;
            let shown = before.and_then(|b| b.releases.iter().find(|r| r.digest == digest));
            drafted.at(now, shown.zip(before.map(|b| b.issued)));
        }
        let body = Body {
            format: 1,
            product: next.product.clone(),
            name: next.name.clone(),
            serial: next.serial,
            issued: now,
            valid_for: next.valid_for,
            poll: next.poll,
            report: next.report.clone(),
            options: next.options.clone(),
            releases: next.releases.iter().map(Drafted::published).collect(),
        };
        (body, next)
    }
}

impl Drafted {
    fn at(&mut self, now: u64, shown: Option<(&Released, u64)>) {
        if let Some((shown, issued)) = shown {
            if self.started.is_none() && self.begins(shown) {
                self.started = shown.phases.first().map(|phase| phase.at);
            }
            if shown.paused {
                self.paused_since.get_or_insert(issued);
            }
        }
        if self.release.paused {
            self.paused_since.get_or_insert(now);
        } else if let Some(since) = self.paused_since.take()
            && let Some(started) = &mut self.started
        {
            *started = started.saturating_add(now.saturating_sub(since));
        }
        if !self.plan.is_empty() {
            self.started.get_or_insert(now);
        }
    }

    /// Whether what is published is this plan.
    fn begins(&self, shown: &Released) -> bool {
        let first = shown.phases.first().map_or(0, |phase| phase.at);
        let same = |(plan, phase): (&Planned, &PhaseStart)| {
            plan.percent == phase.percent && plan.after == phase.at.saturating_sub(first)
        };
        !self.plan.is_empty()
            && self.plan.len() == shown.phases.len()
            && self.plan.iter().zip(&shown.phases).all(same)
    }

    fn published(&self) -> Released {
        let start = self.started.unwrap_or(0);
        let phase =
            |p: &Planned| PhaseStart { at: start.saturating_add(p.after), percent: p.percent };
        Released { phases: self.plan.iter().map(phase).collect(), ..self.release.clone() }
    }
}

/// A time as people write it, in seconds; not none at all. The unit is written: `6` may mean hours or days.
pub(super) fn seconds(text: &str) -> Result<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let why =
            format!("`{text}` has no unit; write s, m, h or d behind it, for example `{text}h`");
        return Err(Failure::new(ReasonCode::Usage, why));
    }
    let time = parse_duration(text).map_err(|e| Failure::new(ReasonCode::Usage, e))?;
    match time.as_secs() {
        0 => Err(Failure::new(ReasonCode::Usage, format!("`{text}` is no time"))),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_begins_no_phase_before_its_publication() {
        let digest = "11".repeat(32);
        let draft = serde_json::json!({
            "v": 1, "product": "demo", "name": "stable", "keys": [], "valid_for": 60, "serial": 1,
            "releases": [{
                "plan": [{ "percent": 5, "after": 0 }, { "percent": 100, "after": 21_600 }],
                "release": {
                    "version": "2.0.0", "counter": 2, "digest": digest, "compatible": ["board"],
                    "url": "x.surefoot", "size": 1,
                },
            }],
        });
        let draft: Draft = serde_json::from_value(draft).unwrap();
        let empty = Draft { releases: Vec::new(), ..draft.clone() };
        let (before, _) = empty.body(2_000_000_000, None);
        let (body, next) = draft.body(1_900_000_000, Some(&before));
        let begins: Vec<_> = body.releases[0].phases.iter().map(|phase| phase.at).collect();
        assert_eq!(begins, [2_000_000_000, 2_000_021_600]);
        assert_eq!((body.issued, next.releases[0].started), (2_000_000_000, Some(2_000_000_000)));
    }
}

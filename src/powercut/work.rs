//! The workers: each takes a case, puts it down in a folder of its own, and judges it.

use super::broken;
use super::folder::Folder;
use super::image::Left;
use super::judge::{Bench, How, Verdict, copy_settings};
use super::pages::Mark;
use super::record::Recorded;
use super::report::{Report, Violation};
use super::rest::System;
use crate::model::Result;
use crate::sys::signals;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More kept devices help nobody.
const KEPT_MAX: usize = 10;

/// One image to be judged.
pub(super) struct Case<'a> {
    pub(super) story: &'a Recorded,
    pub(super) left: Left,
    pub(super) phase: &'static str,
    pub(super) kind: &'static str,
    pub(super) deed: String,
    /// Cut inside U-Boot, after so many sectors and bytes; else the image is the case.
    pub(super) inside: Option<(u64, u64)>,
    pub(super) how: How,
}

/// What the workers share.
pub(super) struct Desk<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) report: Mutex<Report>,
    pub(super) seen: Mutex<HashSet<Mark>>,
    pub(super) keep: &'a Path,
    pub(super) device: &'a Path,
    /// End at the first violation.
    pub(super) stop_at_first: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk<'_> {
    /// True the first time these bytes are met.
    pub(super) fn is_new(&self, mark: Mark) -> bool {
        lock(&self.seen).insert(mark)
    }

    pub(super) fn enough(&self) -> bool {
        signals::told().is_some()
            || (self.stop_at_first && !lock(&self.report).violations.is_empty())
    }

    pub(super) fn counts(&self) -> (u64, usize) {
        let report = lock(&self.report);
        (report.images, report.violations.len())
    }

    /// The life of one worker.
    pub(super) fn work(&self, folder: &Path, cases: &Mutex<Receiver<Case<'_>>>) -> Result<()> {
        copy_settings(self.device, folder)?;
        let folder = Folder::open(folder)?;
        let mut done = Ok(());
        loop {
            let Ok(case) = lock(cases).recv() else {
                return done;
            };
            // After a failure the rest is still taken, so that nobody waits for this worker.
            if done.is_ok() && !self.enough() {
                done = self.one(&folder, &case);
            }
        }
    }

    fn one(&self, folder: &Folder, case: &Case<'_>) -> Result<()> {
        Bench::put_down(&case.left, &case.story.trust, folder)?;
        let mut mark = Some(case.left.disk.mark());
        if let Some((sectors, bytes)) = case.inside {
            match self.bench.rom.boot_cut(&folder.path, sectors, bytes) {
                Some(Ok(true)) => {}
                Some(Err(failure)) => return Err(failure),
                Some(Ok(false)) | None => return Ok(()),
            }
            mark = Some(self.marked(case, folder)?);
            if !mark.is_some_and(|m| self.is_new(m.and(super::files::mark(&case.left.files)))) {
                return Ok(());
            }
            lock(&self.report).inside_uboot += 1;
        }
        let verdict =
            self.bench.judge(case.story, folder, mark.filter(|_| !case.how.wholly), case.how)?;
        // What a signal has ended says nothing of the product.
        if signals::told().is_some() {
            return Ok(());
        }
        self.told(case, verdict)
    }

    /// What U-Boot left of the disk: only the copies of the environment can have changed.
    fn marked(&self, case: &Case<'_>, folder: &Folder) -> Result<Mark> {
        let mut disk = case.left.disk.clone();
        let image = crate::disk::open_image(&folder.disk())?;
        for place in &case.story.map.copies {
            let mut copy = vec![0; super::small(place.end - place.start)];
            image.read_at(place.start, &mut copy)?;
            disk.write(place.start, &copy);
        }
        Ok(disk.mark())
    }

    fn told(&self, case: &Case<'_>, verdict: Verdict) -> Result<()> {
        let mut report = lock(&self.report);
        report.judged(case.phase, case.kind);
        report.wholly += u64::from(case.how.wholly);
        let what = match verdict {
            Ok(rested) => {
                let system = match rested.system {
                    System::Old => "old system",
                    System::New => "new one",
                    System::Next => "next one",
                };
                report.rests(rested.boots, rested.time, system);
                return Ok(());
            }
            Err(what) => what,
        };
        let (story, phase, kind) = (case.story.name, case.phase, case.kind);
        let number = report.violations.len();
        let kept = match number < KEPT_MAX {
            true => Some(self.keep(case, number, &what)?),
            false => None,
        };
        let deed = case.deed.clone();
        report.violations.push(Violation { story, phase, deed, kind, what, kept });
        Ok(())
    }

    /// Keeps the device as the cut left it, with a word on what to do with it.
    fn keep(&self, case: &Case<'_>, number: usize, what: &str) -> Result<PathBuf> {
        let path = self.keep.join(format!("{}-{number}", std::process::id()));
        copy_settings(self.device, &path)?;
        Bench::put_down(&case.left, &case.story.trust, &Folder::open(&path)?)?;
        let inside = case.inside.map_or(String::new(), |(sectors, bytes)| {
            format!("and then U-Boot was cut after {sectors} sectors and {bytes} bytes\n")
        });
        let text = format!(
            "The device as a power cut left it; nothing has run on it since.\n\n\
             story   {}\nphase   {}\ncut at  {}\nwhat    {}\n{inside}verdict {what}\n\n\
             look:   surefoot-sim reboot {path}; surefoot --config {path}/surefoot.toml status\n",
            case.story.name,
            case.phase,
            case.deed,
            case.kind,
            path = path.display()
        );
        std::fs::write(path.join("README"), text).map_err(|e| broken(path.display(), e))?;
        Ok(path)
    }
}

//! What devices have posted: files with one JSON document, or one a line.

use crate::forge::file;
use crate::model::{Digest, Result};
use crate::source::channel::{Report, place, reached};
use crate::sys::files;
use std::collections::BTreeMap;
use std::path::Path;

/// One file has at most this many bytes.
const FILE_MAX: u64 = 64 << 20;

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// By device and release: the reports, oldest first.
    by_device: BTreeMap<String, BTreeMap<Digest, Vec<Report>>>,
    /// Documents that are no reports.
    pub(super) unreadable: u64,
}

/// How far a release has come among the devices that have ever reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Devices that its open phase reaches.
    pub(super) reached: u64,
    /// Committed it.
    pub(super) updated: u64,
    /// Came back, or could not install it.
    pub(super) failed: u64,
    /// Began, and say nothing for a long time.
    pub(super) silent: u64,
    /// Began a short time ago.
    pub(super) under_way: u64,
}

impl Count {
    /// Per cent of the devices with an end, or without a word, that are bad: failed or silent.
    pub(super) fn bad_percent(&self) -> u64 {
        let ended = self.updated + self.failed + self.silent;
        ((self.failed + self.silent) * 100).checked_div(ended).unwrap_or(0)
    }
}

pub(super) fn read(folder: &Path, product: &str) -> Result<Reports> {
    let mut reports = Reports::default();
    let entries = std::fs::read_dir(folder).map_err(|e| file::failure(folder, &e))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.is_file()) {
        let Ok(text) = files::foreign_text(path, FILE_MAX) else {
            reports.unreadable += 1;
            continue;
        };
        match serde_json::from_str::<Report>(&text) {
            Ok(report) => reports.take(report, product),
            Err(_) => {
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    match serde_json::from_str::<Report>(line) {
                        Ok(report) => reports.take(report, product),
                        Err(_) => reports.unreadable += 1,
                    }
                }
            }
        }
    }
    let all = reports.by_device.values_mut().flat_map(|releases| releases.values_mut());
    // Of one second the end comes last.
    all.for_each(|of| of.sort_by_key(|report| (report.at, report.end.is_some())));
    Ok(reports)
}

impl Reports {
    fn take(&mut self, report: Report, product: &str) {
        if report.product.as_str() != product {
            return;
        }
        let Some(digest) = report.digest else { return };
        let releases = self.by_device.entry(report.device.clone()).or_default();
        releases.entry(digest).or_default().push(report);
    }

    /// How many devices have ever reported.
    pub(super) fn devices(&self) -> usize {
        self.by_device.len()
    }

    /// The count for one release of which `percent` of the devices are reached. A device with an end is
    /// that; one that began before `now` − `silent` and has no end is silent.
    pub(super) fn count(&self, digest: &Digest, percent: u8, now: u64, silent: u64) -> Count {
        let mut count = Count::default();
        for (id, releases) in &self.by_device {
            count.reached += u64::from(reached(place(id, digest), percent));
            let Some(last) = releases.get(digest).and_then(|reports| reports.last()) else {
                continue;
            };
            let of = match last.end {
                Some(end) if end.is_good() => &mut count.updated,
                Some(end) if end.is_bad() => &mut count.failed,
                // A person's cancel, or a newer release: no verdict on this one.
                Some(_) => continue,
                None if last.at.saturating_add(silent) < now => &mut count.silent,
                None => &mut count.under_way,
            };
            *of += 1;
        }
        count
    }
}

//! Deltas to a release from earlier ones of its channel: made beside it, and named in its entry. Each appears
//! whole or not at all, and what stands is not made again, so that a cut loses the one that was being made.

use super::draft::{Draft, Open};
use crate::forge::delta::{Costs, Series, standing};
use crate::forge::key_words::KeyWords;
use crate::forge::say::say;
use crate::forge::{file, signer};
use crate::model::{ByteLen, Failure, Identifier, ReasonCode, Result};
use crate::source::channel::{DeltaLink, Released};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where an artifact of the channel lies: public, or not yet.
fn place(open: &Open, name: &str) -> Option<PathBuf> {
    let places = [open.work.join(name), open.dir.join(name)];
    places.into_iter().find(|path| path.is_file())
}

/// The newest earlier releases from which devices may install this one: `count` of them for each hardware,
/// newest first.
fn bases<'r>(
    known: impl Iterator<Item = &'r Released>,
    release: &Released,
    count: usize,
) -> Vec<&'r Released> {
    let shared = |a: &[Identifier], b: &[Identifier]| {
        a.is_empty() || b.is_empty() || a.iter().any(|name| b.contains(name))
    };
    let fits = |old: &&Released| {
        !old.withdrawn
            && old.counter < release.counter
            && old.counter >= release.min_counter
            && old.compatible.iter().any(|name| release.compatible.contains(name))
            && shared(&old.hardware, &release.hardware)
    };
    let mut earlier: Vec<&Released> = known.filter(fits).collect();
    earlier.sort_by_key(|old| std::cmp::Reverse(old.counter));
    let revisions: BTreeSet<&Identifier> = match release.hardware.is_empty() {
        true => earlier.iter().flat_map(|old| &old.hardware).collect(),
        false => release.hardware.iter().collect(),
    };
    let mut left = vec![count; revisions.len().max(1)];
    earlier.retain(|old| {
        let mut taken = false;
        for (at, left) in left.iter_mut().enumerate() {
            let own = revisions.iter().nth(at);
            if *left > 0 && own.is_none_or(|own| shared(&old.hardware, std::slice::from_ref(*own)))
            {
                (*left, taken) = (*left - 1, true);
            }
        }
        taken
    });
    earlier
}

/// How the delta from a version is called beside its artifact.
fn name(full: &str, version: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_+~".contains(c) { c } else { '-' };
    let version: String = version.chars().map(plain).collect();
    format!("{}.from-{version}.delta.surefoot", full.strip_suffix(".surefoot").unwrap_or(full))
}

/// Makes what is missing of the deltas to `release` from `count` earlier ones, and names all of them in it. One
/// that is no shorter than what a device fetches without it is not kept.
pub(super) fn add(open: &Open, release: &mut Released, count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let keys = open.draft.delta_signers()?;
    let trust = open.draft.trust.as_deref().map(file::read_trust).transpose()?;
    let none = |name: &str| {
        Failure::new(ReasonCode::NoSuchFile, format!("{name} is not there")).at(open.dir.display())
    };
    let full = place(open, &release.url).ok_or_else(|| none(&release.url))?;
    let mut series = Series::to(&full);
    let (mut links, mut names) = (Vec::new(), BTreeSet::new());
    let known = open.draft.releases.iter().map(|drafted| &drafted.release);
    for old in bases(known, release, count) {
        let (from, base) = (old.version.clone(), old.digest);
        let mut url = name(&release.url, from.as_str());
        if !names.insert(url.clone()) {
            // Two hardware revisions have one version.
            url = name(&release.url, &format!("{from}-{}", base.short()));
        }
        let known = place(open, &url)
            .and_then(|path| standing(&path, (&base, &release.digest), trust.as_ref()));
        let size = match known {
            Some(size) => {
                say(&format!("delta from {from}: {}, stands already\n", ByteLen(size)))?;
                size
            }
            None => {
                let Some(source) = place(open, &old.url) else {
                    say(&format!("no delta from {from}: {} is not there\n", old.url))?;
                    continue;
                };
                let target = open.work.join(&url);
                let Costs { delta, adaptive } = series.from(&source, &target, &keys)?;
                let (made, other) = (ByteLen(delta), ByteLen(adaptive));
                if delta >= adaptive {
                    removed(&target)?;
                    let text =
                        format!("it would have {made}, and a device fetches {other} without it");
                    say(&format!("no delta from {from}: {text}\n"))?;
                    continue;
                }
                say(&format!("delta from {from}: {made}, {other} without it\n"))?;
                delta
            }
        };
        links.push(DeltaLink { from, base, url, size });
    }
    // What was named before and is not asked for now stays.
    let older = release.deltas.iter().filter(|old| links.iter().all(|new| new.base != old.base));
    let older: Vec<_> = older.cloned().collect();
    links.extend(older);
    release.deltas = links;
    Ok(())
}

fn removed(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|e| file::failure(path, &e))
}

impl Draft {
    /// How deltas are signed: by the keys that were named for them, else by the channel's own ones, where these
    /// are release keys.
    fn delta_signers(&self) -> Result<Vec<KeyWords>> {
        let file = |key: &&String| !key.starts_with("cmd:");
        let own = |key: &&String| file(key) && signer::may_sign_releases(Path::new(key)).is_ok();
        let keys: Vec<&String> = match self.delta_keys.is_empty() {
            true => self.keys.iter().filter(own).collect(),
            false => self.delta_keys.iter().collect(),
        };
        if keys.is_empty() {
            let text = "deltas are signed by release keys, and none is known for this channel";
            let next = "Name one, it is remembered: `--delta-key FILE`.";
            return Err(Failure::new(ReasonCode::Usage, text).with_next(next));
        }
        // Before an hour of work.
        for key in keys.iter().filter(|key| file(key)) {
            signer::may_sign_releases(Path::new(key))?;
        }
        let words = |key: &String| KeyWords {
            key: Some(key.clone()),
            r#pub: None,
            trust: self.trust.clone(),
            trust_file_inside: None,
        };
        Ok(keys.into_iter().map(words).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn released(counter: u64, hardware: &[&str]) -> Released {
        let version = format!("1.0.{counter}");
        let names = |list: &[&str]| list.iter().map(|name| name.parse().unwrap()).collect();
        Released {
            version: version.parse().unwrap(),
            counter,
            digest: Digest::of(format!("{version}{hardware:?}").as_bytes()),
            security_epoch: 0,
            compatible: names(&["board"]),
            hardware: names(hardware),
            url: "x.surefoot".to_owned(),
            size: 1,
            min_counter: 0,
            tags: Vec::new(),
            first: Vec::new(),
            critical: false,
            paused: false,
            withdrawn: false,
            requires: Vec::new(),
            notes: String::new(),
            phases: Vec::new(),
            deltas: Vec::new(),
        }
    }

    fn found(known: &[Released], release: &Released, count: usize) -> Vec<(u64, usize)> {
        let found = bases(known.iter(), release, count);
        found.iter().map(|old| (old.counter, old.hardware.len())).collect()
    }

    #[test]
    fn the_newest_earlier_ones_count_for_each_hardware() {
        let all: Vec<_> = (1..=5).map(|n| released(n, &[])).collect();
        assert_eq!(found(&all, &released(5, &[]), 3), [(4, 0), (3, 0), (2, 0)]);
        assert_eq!(found(&all, &released(9, &[]), 9).len(), 5);
        let mut mixed = [1, 2, 3, 4].map(|n| released(n, &["rev-a"])).to_vec();
        mixed.insert(0, released(1, &["rev-b"]));
        assert_eq!(found(&mixed, &released(5, &[]), 2), [(4, 1), (3, 1), (1, 1)]);
        assert_eq!(found(&mixed, &released(5, &["rev-b"]), 2), [(1, 1)]);
        assert_eq!(found(&mixed, &released(5, &["rev-c"]), 2), []);
    }

    #[test]
    fn what_devices_may_not_install_it_from_is_no_base() {
        let mut all: Vec<_> = (1..=4).map(|n| released(n, &[])).collect();
        all[2].withdrawn = true;
        all[1].compatible = vec!["other".parse().unwrap()];
        assert_eq!(found(&all, &released(5, &[]), 3), [(4, 0), (1, 0)]);
        let from = Released { min_counter: 2, ..released(5, &[]) };
        assert_eq!(found(&all, &from, 3), [(4, 0)]);
    }
}

//! The verbs that change the draft. Nothing of it is served before `publish`.

use super::deltas;
use super::draft::{Draft, Drafted, Open, Planned, seconds};
use super::publish::{accepted, bring, usable_keys};
use super::words::{Add, Change, Init, Phase};
use crate::artifact::{Release, check_payload, read_head};
use crate::forge::file;
use crate::forge::order::order;
use crate::forge::progress::Progress;
use crate::forge::say::say;
use crate::model::{ByteLen, Failure, Identifier, ReasonCode, Result};
use crate::source::channel::{Body, Released, names_host};
use std::io::{BufReader, Seek};
use std::path::Path;
use std::str::FromStr;

pub(super) fn usage(text: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::Usage, text)
}

pub(super) fn parse<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(|e: String| usage(e))
}

fn names(texts: &[String]) -> Result<Vec<Identifier>> {
    texts.iter().map(|text| parse(text)).collect()
}

pub(super) fn init(words: &Init) -> Result<()> {
    let mut draft = Draft {
        v: 1,
        product: parse(&words.product)?,
        name: parse(&words.name)?,
        keys: Vec::new(),
        delta_keys: Vec::new(),
        r#pub: None,
        trust: None,
        valid_for: seconds(&words.valid_for)?,
        poll: words.poll.as_deref().map(seconds).transpose()?,
        report: words.report.clone(),
        options: Vec::new(),
        serial: 0,
        releases: Vec::new(),
    };
    if draft.name.as_str().starts_with('.') {
        return Err(usage("a channel's name does not begin with a dot"));
    }
    let beside = |report: &&String| !report.starts_with('/') && !names_host(report);
    if let Some(report) = words.report.as_ref().filter(beside) {
        let text = "is no address for reports: write http://… or https://…, or /PATH on the server of the channel";
        return Err(usage(format!("`{report}` {text}")));
    }
    draft.sign_with(&words.place.signing);
    allowed(&draft, 1)?;
    usable_keys(&draft)?;
    accepted(&draft)?;
    let open = Open::new(&words.place.dir, draft)?;
    open.save()?;
    let dir = open.dir.display();
    say(&format!(
        "Channel {} of {} begins in {dir}; drafts lie in {}.\n\
         next: surefoot-forge channel add {dir} X.surefoot, then surefoot-forge channel publish {dir}\n",
        open.draft.name,
        open.draft.product,
        open.work.display()
    ))
}

/// Whether devices would read what the draft says.
fn allowed(draft: &Draft, now: u64) -> Result<()> {
    let (body, _) = draft.body(now, None);
    let text = toml::to_string(&body).map_err(|e| usage(format!("the channel: {e}")))?;
    Body::parse(text.as_bytes()).map(drop).map_err(|f| usage(f.detail()))
}

pub(super) fn changed(open: &Open, text: &str) -> Result<()> {
    allowed(&open.draft, 1)?;
    open.save()?;
    let dir = open.dir.display();
    say(&format!("{text}\nnext: surefoot-forge channel publish {dir}\n"))
}

pub(super) fn add(words: &Add) -> Result<()> {
    let mut open = Open::of(&words.place)?;
    accepted(&open.draft)?;
    let mut input = file::open(&words.artifact)?;
    let (release, len) = whole(&open.draft, &words.artifact, &input)?;
    let manifest = &release.manifest;
    if manifest.product != open.draft.product {
        let (own, other) = (&open.draft.product, &manifest.product);
        let text = format!("the artifact is for product `{other}`, the channel for `{own}`");
        return Err(Failure::new(ReasonCode::WrongProduct, text));
    }
    let (digest, count) = (release.body_digest(), usize::from(words.deltas_from));
    open.draft.sign_deltas_with(&words.delta_key);
    if let Some(at) = open.draft.releases.iter().position(|d| d.release.digest == digest) {
        let mut known = open.draft.releases[at].release.clone();
        if known.withdrawn {
            return Err(gone(&known.version));
        }
        if open.whole(&known.url, known.size).is_none() {
            return put_back(&open, &known, &mut input);
        }
        if count == 0 {
            return Err(usage(format!("release {} is in the channel already", known.version)));
        }
        // More deltas to it.
        deltas::add(&open, &mut known, count)?;
        let text = format!("Release {} has {} deltas.", known.version, known.deltas.len());
        open.draft.releases[at].release = known;
        return changed(&open, &text);
    }
    for other in open.draft.releases.iter().map(|d| &d.release) {
        let shared = other.compatible.iter().any(|c| manifest.compatible.contains(c));
        if shared && other.counter == manifest.release_counter && !other.withdrawn {
            let text = "has the same release counter: devices could not tell which is newer";
            return Err(usage(format!("release {} {text}", other.version)));
        }
    }
    let hardware = match manifest.payloads.iter().any(|p| p.hardware.is_empty()) {
        true => Vec::new(),
        false => {
            let mut all: Vec<_> =
                manifest.payloads.iter().flat_map(|p| p.hardware.clone()).collect();
            all.sort();
            all.dedup();
            all
        }
    };
    let min_counter = match &words.min_source {
        None => 0,
        Some(version) => {
            let known = open.draft.releases.iter().find(|d| d.release.version.as_str() == version);
            known.map_or_else(
                || order(Some(version), None).map(|o| o.1),
                |d| Ok(d.release.counter),
            )?
        }
    };
    let notes = match &words.notes {
        Some(path) => file::read_text(path, 4096, ReasonCode::Usage)?,
        None => manifest.notes.clone().filter(|n| n.len() <= 4096).unwrap_or_default(),
    };
    // A name that never has other bytes: caches may keep it for ever.
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let version: String = manifest.version.as_str().chars().map(plain).collect();
    let name = format!("{}-{version}-{}.surefoot", manifest.product, digest.short());
    copied(&open, &name, &mut input)?;
    let mut release = Released {
        version: manifest.version.clone(),
        counter: manifest.release_counter,
        digest,
        security_epoch: manifest.security_epoch,
        compatible: manifest.compatible.clone(),
        hardware,
        url: name,
        size: len,
        min_counter,
        tags: names(&words.tag)?,
        first: Vec::new(),
        critical: words.critical,
        paused: false,
        withdrawn: false,
        requires: Vec::new(),
        notes,
        phases: Vec::new(),
        deltas: Vec::new(),
    };
    deltas::add(&open, &mut release, count)?;
    let text = format!(
        "Release {} ({}, counter {}) is in the draft of {}, for every device at once.",
        release.version,
        ByteLen(len),
        release.counter,
        open.draft.name
    );
    open.draft.releases.push(Drafted {
        release,
        plan: Vec::new(),
        started: None,
        paused_since: None,
    });
    changed(&open, &text)
}

/// Copies an artifact to the drafts, on the medium.
fn copied(open: &Open, name: &str, input: &mut std::fs::File) -> Result<()> {
    let mut copy = file::Replacement::of(&open.work.join(name))?;
    let copied = input.rewind().and_then(|()| std::io::copy(input, &mut copy.file));
    copied.map_err(|e| file::failure(copy.path(), &e))?;
    copy.finish()
}

/// A file that was lost, or cut, is there again: where devices are told of it, in the folder that is served.
fn put_back(open: &Open, release: &Released, input: &mut std::fs::File) -> Result<()> {
    copied(open, &release.url, input)?;
    let served = open.published()?.is_some_and(|body| {
        body.releases.iter().any(|shown| shown.digest == release.digest && !shown.withdrawn)
    });
    if !served {
        return changed(open, &format!("The lost file of release {} is back.", release.version));
    }
    bring(open, &release.url, release.size)?;
    open.save()?;
    let (version, place) = (&release.version, open.dir.join(&release.url));
    say(&format!("The lost file of release {version} is back: {}\n", place.display()))
}

fn gone(version: impl std::fmt::Display) -> Failure {
    let text = format!("release {version} is withdrawn, and that is for good");
    usage(text).with_next("Build another release, with a greater version, and add that.")
}

/// The drafted releases of a version that are not withdrawn. `USAGE` where there is none.
fn standing<'a>(open: &'a mut Open, version: &str) -> Result<Vec<&'a mut Drafted>> {
    let mut found = open.releases(version)?;
    found.retain(|drafted| !drafted.release.withdrawn);
    if found.is_empty() { Err(gone(version)) } else { Ok(found) }
}

/// Reads an artifact to its last byte: what is published must install.
fn whole(draft: &Draft, path: &Path, input: &std::fs::File) -> Result<(Release, u64)> {
    let mut input = BufReader::with_capacity(1 << 20, input);
    let head = read_head(&mut input)?;
    if head.signatures().is_empty() {
        return Err(Failure::new(
            ReasonCode::SignatureMissing,
            format!("{} is not signed", path.display()),
        ));
    }
    if let Some(trust) = &draft.trust {
        head.clone().verify(&file::read_trust(trust)?)?;
    }
    let release = head.parse_unverified()?;
    let progress =
        Progress::new("checking", release.manifest.payloads.iter().map(|p| p.size).sum());
    let checked = check_payload(&release, &mut input, &|done| progress.at(done))?;
    Ok((release, checked.artifact_len))
}

pub(super) fn phase(words: &Phase) -> Result<()> {
    let (every, first) = (seconds(&words.every)?, names(&words.first)?);
    let mut open = Open::of(&words.place)?;
    let plan: Vec<Planned> = (0u64..)
        .zip(&words.percent)
        .map(|(n, percent)| Planned { percent: *percent, after: n.saturating_mul(every) })
        .collect();
    for drafted in standing(&mut open, &words.version)? {
        (drafted.plan, drafted.started) = (plan.clone(), None);
        drafted.release.first.clone_from(&first);
    }
    let told: Vec<_> = words.percent.iter().map(|p| format!("{p} %")).collect();
    let text = format!(
        "Release {} goes to {} of the devices, {} apart.",
        words.version,
        told.join(", "),
        words.every
    );
    changed(&open, &text)
}

pub(super) fn pause(words: &Change, paused: bool) -> Result<()> {
    let mut open = Open::of(&words.place)?;
    let found = standing(&mut open, &words.version)?;
    if !paused && found.iter().all(|drafted| !drafted.release.paused) {
        return Err(usage(format!("release {} is not paused", words.version)));
    }
    for drafted in found {
        drafted.release.paused = paused;
    }
    let what = if paused { "is paused" } else { "goes on" };
    changed(&open, &format!("Release {} {what} in the draft.", words.version))
}

pub(super) fn withdraw(words: &Change) -> Result<()> {
    let mut open = Open::of(&words.place)?;
    for drafted in open.releases(&words.version)? {
        drafted.release.withdrawn = true;
    }
    changed(&open, &format!("Release {} is withdrawn in the draft.", words.version))
}

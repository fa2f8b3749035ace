//! Images into an engine's store, and every byte of them out again.

use super::Engine;
use super::answers::{ImageConfig, digest};
use super::api::{Said, encoded, refused, strange};
use super::archive::Archive;
use super::saved;
use super::socket::EngineSocket;
use super::types::{EngineKind, ImageToLoad, LayerSource, StoredImage};
use crate::control::{Body, Upload};
use crate::model::{Digest, Failure, ReasonCode, Result, from_json};
use serde::Deserialize;
use std::io::ErrorKind;
use std::time::Duration;

/// For how long an engine may be silent while it unpacks or packs an image: a card writes some MiB each second.
const LONG: Duration = Duration::from_secs(20 * 60);

pub(super) fn load(
    engine: &EngineSocket,
    image: &ImageToLoad<'_>,
    layers: &mut dyn LayerSource,
) -> Result<()> {
    let config = config_of(image)?;
    let kind = engine.kind()?;
    let have = in_place(image, &engine.images()?);
    let mut attempt = |have: usize| {
        let done =
            send(engine, kind, image, have, layers).and_then(|()| compare(engine, image, &config));
        if done.is_err() {
            // Nothing that is not as it should be keeps its name. Where the engine does not answer either, the
            // same image is brought in again before its name is used.
            let target = format!("/images/{}", encoded(&image.tag));
            let _ = engine.api.act(engine.api.patience, "drop a name", "DELETE", &target);
        }
        done
    };
    match attempt(have) {
        Err(failure) if have > 0 && !is_of_the_source(&failure) => attempt(0),
        done => done,
    }
}

/// How many layers from the lowest stand in the store under the same layers.
pub(super) fn in_place(image: &ImageToLoad<'_>, stored: &[StoredImage]) -> usize {
    let common = |other: &StoredImage| {
        image.layers.iter().zip(&other.layers).take_while(|((a, _), b)| a == *b).count()
    };
    stored.iter().map(common).max().unwrap_or(0)
}

/// The configuration, where it agrees with what is said of the image.
pub(super) fn config_of(image: &ImageToLoad<'_>) -> Result<ImageConfig> {
    let short = image.id.short();
    let wrong =
        |why: &str| Failure::new(ReasonCode::ContainerImage, format!("image {short}: {why}"));
    if Digest::of(image.config) != image.id {
        return Err(wrong("its configuration has another digest"));
    }
    let config: ImageConfig =
        from_json(image.config).map_err(|e| wrong(&format!("its configuration is none: {e}")))?;
    let named = config.rootfs.diff_ids.iter().map(|d| digest(d));
    match named.eq(image.layers.iter().map(|(d, _)| Some(*d))) {
        true => Ok(config),
        false => Err(wrong("its configuration names other layers")),
    }
}

fn is_of_the_source(failure: &Failure) -> bool {
    let engine = [ReasonCode::EngineFailed, ReasonCode::EngineAnswer, ReasonCode::EngineMissing];
    !engine.contains(&failure.code())
}

fn send(
    engine: &EngineSocket,
    kind: EngineKind,
    image: &ImageToLoad<'_>,
    have: usize,
    layers: &mut dyn LayerSource,
) -> Result<()> {
    let what = format!("load the image {}", image.id.short());
    let archive = Archive::new(kind, image, have);
    let mut write = |to: &mut dyn std::io::Write| archive.write(layers, to);
    let upload = Upload::Archive(archive.len(), &mut write);
    match engine.api.ask_within(LONG, &what, "POST", "/images/load?quiet=true", upload)? {
        Said::Yes(body) => told(&what, &engine.api.text(&what, body)?),
        Said::Absent(words) => Err(refused(&what, &words)),
    }
}

/// An engine that has said 200 may still tell of an error, in a line of its own.
fn told(what: &str, text: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Told {
        error: String,
    }
    let error = text.split(|b| *b == b'\n').find_map(|line| from_json::<Told>(line).ok());
    error.map_or(Ok(()), |told| Err(refused(what, &told.error)))
}

/// What is there is what was sent.
fn compare(engine: &EngineSocket, image: &ImageToLoad<'_>, config: &ImageConfig) -> Result<()> {
    let what = format!("load the image {}", image.id.short());
    let Some(found) = engine.inspect(&image.id)? else {
        return Err(strange(&what, format_args!("it said that it has, and there is none")));
    };
    let tagged = found.repo_tags.contains(&image.tag);
    let same = (&found.architecture, &found.variant) == (&config.architecture, &config.variant);
    let layers = found.root.layers.iter().map(|l| digest(l));
    if !layers.eq(image.layers.iter().map(|(d, _)| Some(*d))) {
        return Err(strange(&what, format_args!("the image has other layers than it was given")));
    }
    match (same, tagged) {
        (true, true) => Ok(()),
        (false, _) => Err(strange(
            &what,
            format_args!("the image is for another processor than it was given"),
        )),
        (_, false) => Err(strange(&what, format_args!("the image has not the name {}", image.tag))),
    }
}

pub(super) fn scrub(engine: &EngineSocket, image: &Digest) -> Result<()> {
    let what = format!("read the image {}", image.short());
    let damaged = |why: &str| {
        Failure::new(ReasonCode::LayerDamaged, format!("image {}: {why}", image.short()))
    };
    let Some(found) = engine.inspect(image)?.and_then(|i| i.stored()) else {
        return Err(damaged("it is not in the store"));
    };
    let target = format!("/images/sha256:{image}/get");
    let answer = engine.api.ask_within(LONG, &what, "GET", &target, Upload::Nothing);
    let body: Body = match answer {
        Ok(Said::Yes(body)) => body,
        Ok(Said::Absent(words)) => return Err(damaged(&words)),
        Err(failure) if tells_of_damage(failure.detail()) => return Err(damaged(failure.detail())),
        Err(failure) => return Err(failure),
    };
    let read = match saved::digests(body) {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(strange(&what, format_args!("{error}")));
        }
        Err(error) => return Err(engine.api.unanswered(&what, &error)),
    };
    match found.layers.iter().find(|layer| !read.contains(layer)) {
        Some(layer) => Err(damaged(&format!("layer {} is not as it was given", layer.short()))),
        None if !read.contains(image) => Err(damaged("its configuration is not as it was given")),
        None => Ok(()),
    }
}

/// An engine that finds damage itself refuses to pack the image. A full disk is none.
fn tells_of_damage(words: &str) -> bool {
    ["integrity", "checksum", "no such file", "unexpected EOF", "not found", "does not exist"]
        .iter()
        .any(|sign| words.contains(sign))
}

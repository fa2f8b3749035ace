//! Images into an engine's store, and every byte of them out again.

use super::TAG_PREFIX;
use super::answers::{ImageConfig, ImageInspected, ImageListed, VersionAnswer, digest};
use super::api::{Api, Said, encoded, refused, strange};
use super::archive::Archive;
use super::saved;
use super::types::{EngineKind, ImageToLoad, LayerSource, StoredImage};
use crate::control::{Body, Upload};
use crate::model::{Digest, Failure, ReasonCode, Result, from_json};
use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Which engine it is, and its version.
pub(super) fn version(api: &Api) -> Result<(EngineKind, VersionAnswer)> {
    let version: VersionAnswer = api.must("tell its version", "/version")?;
    let podman = version.components.iter().any(|c| c.name.contains("Podman"));
    Ok((if podman { EngineKind::Podman } else { EngineKind::Docker }, version))
}

/// All images, with their layers.
pub(super) fn list(api: &Api) -> Result<Vec<StoredImage>> {
    let mut listed: Result<Vec<ImageListed>> = api.must("list its images", "/images/json");
    for _ in 0..3 {
        // Podman fails where another program removes an image at that moment.
        if !matches!(&listed, Err(failure) if failure.code() == ReasonCode::EngineFailed) {
            break;
        }
        crate::sys::stop::sleep(Duration::from_millis(200));
        listed = api.must("list its images", "/images/json");
    }
    let mut out: Vec<StoredImage> = Vec::new();
    for id in listed?.iter().filter_map(|i| digest(&i.id)) {
        if out.iter().any(|i| i.id == id) {
            continue;
        }
        // One that has gone meanwhile is none, and one whose layers have other names cannot be used.
        out.extend(inspect(api, &id)?.and_then(|i| i.stored()));
    }
    Ok(out)
}

/// An image by its id.
pub(super) fn inspect(api: &Api, image: &Digest) -> Result<Option<ImageInspected>> {
    let what = format!("tell of the image {}", image.short());
    let found: Option<ImageInspected> = api.get(&what, &format!("/images/sha256:{image}/json"))?;
    match found.as_ref().map(|found| digest(&found.id)) {
        None => Ok(None),
        Some(Some(id)) if id == *image => Ok(found),
        Some(_) => Err(strange(&what, format_args!("it told of another one"))),
    }
}

pub(super) fn load(api: &Api, image: &ImageToLoad<'_>, layers: &mut dyn LayerSource) -> Result<()> {
    let config = config_of(image)?;
    let kind = version(api)?.0;
    let have = in_place(image, &list(api)?);
    let mut attempt = |have: usize| {
        let done = send(api, kind, image, have, layers).and_then(|()| compare(api, image, &config));
        if done.is_err() {
            // Nothing that is not as it should be keeps its name. Where the engine does not answer either, the
            // same image is brought in again before its name is used.
            let target = format!("/images/{}", encoded(&image.tag));
            let _ = api.act(api.patience, "drop a name", "DELETE", &target);
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
    api: &Api,
    kind: EngineKind,
    image: &ImageToLoad<'_>,
    have: usize,
    layers: &mut dyn LayerSource,
) -> Result<()> {
    let what = format!("load the image {}", image.id.short());
    let archive = Archive::new(kind, image, have);
    let mut write = |to: &mut dyn std::io::Write| archive.write(layers, to);
    let upload = Upload::Archive(archive.len(), &mut write);
    match api.ask_within(api.long, &what, "POST", "/images/load?quiet=true", upload)? {
        Said::Yes(body) => told(&what, &api.text(&what, body)?),
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
fn compare(api: &Api, image: &ImageToLoad<'_>, config: &ImageConfig) -> Result<()> {
    let what = format!("load the image {}", image.id.short());
    let Some(found) = inspect(api, &image.id)? else {
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

pub(super) fn scrub(api: &Api, image: &Digest) -> Result<()> {
    let what = format!("read the image {}", image.short());
    let damaged = |why: &str| {
        Failure::new(ReasonCode::LayerDamaged, format!("image {}: {why}", image.short()))
    };
    let Some(found) = inspect(api, image)?.and_then(|i| i.stored()) else {
        return Err(damaged("it is not in the store"));
    };
    let target = format!("/images/sha256:{image}/get");
    let answer = api.ask_within(api.long, &what, "GET", &target, Upload::Nothing);
    let body: Body = match answer {
        Ok(Said::Yes(body)) => body,
        Ok(Said::Absent(words)) => return Err(damaged(&words)),
        Err(failure) if tells_of_damage(failure.detail()) => return Err(damaged(failure.detail())),
        Err(failure) => return Err(failure),
    };
    let read = match saved::digests(body.take(saved::IMAGE_MAX)) {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(strange(&what, format_args!("{error}")));
        }
        Err(error) => return Err(api.unanswered(&what, &error)),
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

impl ImageInspected {
    /// `None` where its layers have no names that could be compared.
    pub(super) fn stored(self) -> Option<StoredImage> {
        let layers: Option<Vec<Digest>> = self.root.layers.iter().map(|l| digest(l)).collect();
        let layers = layers?;
        let data = |name: &str| self.graph_driver.data.get(name).filter(|text| !text.is_empty());
        let below = data("LowerDir").into_iter().flat_map(|text| text.split(':').rev());
        let mut folders: Vec<PathBuf> =
            below.chain(data("UpperDir").map(String::as_str)).map(PathBuf::from).collect();
        if folders.len() != layers.len() {
            folders.clear();
        }
        let tags = self.repo_tags.into_iter().filter(|t| t.starts_with(TAG_PREFIX)).collect();
        let (architecture, variant) = (self.architecture, self.variant);
        Some(StoredImage { id: digest(&self.id)?, layers, architecture, variant, folders, tags })
    }
}

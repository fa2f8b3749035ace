//! The images that a folder offers, by their names: OCI archives and folders, and archives as `docker save` and
//! `podman save` write them, the older and the newer form.

use super::archive::{ImageArchive, bad, blob_name};
use super::service::WantedImage;
use super::yaml::refuse;
use crate::bundle::MAX_IMAGE_CONFIG_LEN;
use crate::model::{Digest, Failure, ReasonCode, Result, printable};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// An index or a manifest has at most this many bytes.
const MOST: u64 = 4 << 20;
/// An index may be in an index, of several platforms.
const DEPTH: usize = 3;
/// Files and folders of `--images` at most.
const OFFERED: usize = 4096;
/// Names by which an engine knows an image, and its layers in an archive.
const REF_NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An image that is offered.
pub(super) struct OfferedImage {
    /// SHA-256 of its configuration.
    pub(super) id: Digest,
    pub(super) config: Vec<u8>,
    pub(super) about: ImageConfig,
    /// What an engine calls it, in the full form.
    names: BTreeSet<String>,
    /// SHA-256 of manifests that name it.
    manifests: BTreeSet<Digest>,
    /// The archive, and the names of its layers there.
    pub(super) archive: usize,
    pub(super) layers: Vec<String>,
}

/// What matters here of the configuration of an image.
#[derive(Debug, Deserialize)]
pub(super) struct ImageConfig {
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) variant: String,
    #[serde(default)]
    os: String,
    rootfs: RootFs,
    #[serde(default)]
    pub(super) config: Value,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
struct OciIndex {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageConfig {
    pub(super) fn diff_ids(&self) -> Option<Vec<Digest>> {
        self.rootfs.diff_ids.iter().map(|text| digest(text)).collect()
    }
}

fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:")?.parse().ok()
}

/// All that is offered.
pub(super) struct ImageShelf {
    pub(super) archives: Vec<ImageArchive>,
    pub(super) images: Vec<OfferedImage>,
}

impl ImageShelf {
    /// Looks at everything in `folder`, which may be an OCI layout itself. `near` is where there is room.
    pub(super) fn open(folder: &Path, near: &Path) -> Result<ImageShelf> {
        let mut shelf = ImageShelf { archives: Vec::new(), images: Vec::new() };
        if !folder.is_dir() {
            shelf.add(folder, near)?;
            return Ok(shelf);
        }
        if folder.join("index.json").is_file() {
            shelf.add(folder, near)?;
        }
        let entries = std::fs::read_dir(folder).map_err(|e| bad(folder, e.to_string()))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|e| bad(folder, e.to_string()))?.path());
            if paths.len() > OFFERED {
                return Err(bad(folder, format!("more than {OFFERED} files")));
            }
        }
        // The order of a folder is not the same everywhere, and the bytes of a bundle are.
        paths.sort();
        for path in paths {
            shelf.add(&path, near)?;
        }
        Ok(shelf)
    }

    fn add(&mut self, path: &Path, near: &Path) -> Result<()> {
        let Some(archive) = ImageArchive::open(path, near)? else { return Ok(()) };
        let place = self.archives.len();
        let mut found: BTreeMap<Digest, OfferedImage> = BTreeMap::new();
        let stem = stem(path);
        if let Some(bytes) = archive.read("manifest.json", MOST)? {
            let saved: Vec<SavedImage> = parsed(&archive, "manifest.json", &bytes)?;
            for one in saved {
                let config = archive.read(&one.config, MAX_IMAGE_CONFIG_LEN)?;
                let config = config.ok_or_else(|| {
                    bad(path, format!("`{}` is not in it", printable(&one.config, 120)))
                })?;
                let names = one.repo_tags.unwrap_or_default();
                let names = names.iter().map(|name| full(name)).collect();
                insert(&mut found, &archive, place, config, one.layers, names, None)?;
            }
        }
        if let Some(bytes) = archive.read("index.json", MOST)? {
            let index: OciIndex = parsed(&archive, "index.json", &bytes)?;
            let mut walk = Walk { archive: &archive, place, stem: &stem, found: &mut found };
            walk.index(&index, &BTreeSet::new(), 0)?;
        }
        // A file that holds one image that nothing names is called like it.
        if let [image] = &mut found.values_mut().collect::<Vec<_>>()[..]
            && image.names.is_empty()
        {
            image.names.insert(full(&stem));
        }
        self.images.extend(found.into_values());
        self.archives.push(archive);
        Ok(())
    }

    /// The image that a service names.
    pub(super) fn find(&self, wanted: &WantedImage) -> Result<&OfferedImage> {
        let refused = |code, why: String| {
            let why =
                refuse(wanted.line, format!("image `{}`: {why}", printable(&wanted.name, 200)));
            Failure::new(code, why.detail())
        };
        let (name, pinned) = match wanted.name.split_once('@') {
            Some((_, pinned)) => (None, Some(pinned)),
            None if wanted.name.starts_with("sha256:") => (None, Some(wanted.name.as_str())),
            None => (Some(full(&wanted.name)), None),
        };
        let pinned = match pinned {
            Some(text) => Some(digest(text).ok_or_else(|| {
                refused(ReasonCode::ComposeInvalid, "its digest is no `sha256:…`".into())
            })?),
            None => None,
        };
        let fits = |image: &&OfferedImage| match (&name, &pinned) {
            (Some(name), _) => image.names.contains(name),
            (None, Some(pinned)) => image.id == *pinned || image.manifests.contains(pinned),
            (None, None) => false,
        };
        let mut found: BTreeMap<Digest, &OfferedImage> = BTreeMap::new();
        for image in self.images.iter().filter(fits) {
            found.entry(image.id).or_insert(image);
        }
        if let Some(platform) = &wanted.platform {
            let all = !found.is_empty();
            found.retain(|_, image| image.platform() == *platform || image.short() == *platform);
            if all && found.is_empty() {
                let why = format!("none of that name is for `{}`", printable(platform, 40));
                return Err(refused(ReasonCode::WrongArchitecture, why));
            }
        }
        match found.len() {
            1 => Ok(found.into_values().next().expect("because there is one")),
            0 => Err(refused(ReasonCode::ContainerImage, format!("not found; {}", self.offer()))),
            _ => {
                let each =
                    found.values().map(|image| format!("{} ({})", image.id, image.platform()));
                let each: Vec<String> = each.collect();
                let why = format!(
                    "several have that name: {}; say `platform`, or take away what is not meant",
                    each.join(", ")
                );
                Err(refused(ReasonCode::ContainerImage, why))
            }
        }
    }

    /// What there is, for a message.
    fn offer(&self) -> String {
        let names: BTreeSet<&str> =
            self.images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        match names.is_empty() {
            true => {
                "--images holds no image: save one there, as an OCI archive or with `docker save`"
                    .into()
            }
            false => {
                let names: Vec<&str> = names.into_iter().collect();
                format!("--images holds {}", printable(&names.join(", "), 1000))
            }
        }
    }
}

impl OfferedImage {
    /// `linux/arm/v7`
    pub(super) fn platform(&self) -> String {
        match self.about.variant.as_str() {
            "" => self.short(),
            variant => format!("{}/{variant}", self.short()),
        }
    }

    fn short(&self) -> String {
        format!("linux/{}", self.about.architecture)
    }
}

/// Goes through an index and those in it.
struct Walk<'a> {
    archive: &'a ImageArchive,
    place: usize,
    stem: &'a str,
    found: &'a mut BTreeMap<Digest, OfferedImage>,
}

impl Walk<'_> {
    fn index(&mut self, index: &OciIndex, above: &BTreeSet<String>, depth: usize) -> Result<()> {
        let path = &self.archive.path;
        if depth > DEPTH || index.manifests.len() > OFFERED {
            return Err(bad(path, "its index has too many others in it"));
        }
        for one in &index.manifests {
            // What tells how an image was built is beside it like an image.
            if one.annotations.contains_key("vnd.docker.reference.type") {
                continue;
            }
            let Some(at) = digest(&one.digest) else {
                return Err(bad(path, "its index names a blob by another hash than SHA-256"));
            };
            // Of several platforms a save may hold one.
            let Some(bytes) = self.archive.blob(&at, MOST)? else { continue };
            let mut names = above.clone();
            for name in REF_NAMES.iter().filter_map(|key| one.annotations.get(*key)) {
                // Some tools write the tag alone.
                names.insert(match name.contains(['/', ':', '.']) {
                    true => full(name),
                    false => full(&format!("{}:{name}", self.stem)),
                });
            }
            if one.media_type.contains("index") || one.media_type.contains("manifest.list") {
                let index: OciIndex = parsed(self.archive, &one.digest, &bytes)?;
                self.index(&index, &names, depth + 1)?;
                continue;
            }
            let manifest: OciManifest = parsed(self.archive, &one.digest, &bytes)?;
            // Other things than images are kept in such archives, too.
            if !manifest.config.media_type.contains("image") {
                continue;
            }
            let config = digest(&manifest.config.digest);
            let config = config.map(|at| self.archive.blob(&at, MAX_IMAGE_CONFIG_LEN));
            let Some(config) = config.transpose()?.flatten() else {
                return Err(bad(path, format!("the configuration of {at} is not in it")));
            };
            let layers: Option<Vec<String>> =
                manifest.layers.iter().map(|l| digest(&l.digest).map(|d| blob_name(&d))).collect();
            let Some(layers) = layers else {
                return Err(bad(path, "a manifest names a layer by another hash than SHA-256"));
            };
            insert(self.found, self.archive, self.place, config, layers, names, Some(at))?;
        }
        Ok(())
    }
}

fn insert(
    found: &mut BTreeMap<Digest, OfferedImage>,
    archive: &ImageArchive,
    place: usize,
    config: Vec<u8>,
    layers: Vec<String>,
    names: BTreeSet<String>,
    manifest: Option<Digest>,
) -> Result<()> {
    let id = Digest::of(&config);
    if let Some(same) = found.get_mut(&id) {
        same.names.extend(names);
        same.manifests.extend(manifest);
        return Ok(());
    }
    let about: ImageConfig = parsed(archive, "the configuration of an image", &config)?;
    let diff_ids = about.diff_ids();
    let wrong = |why: &str| Err(bad(&archive.path, format!("image {id}: {why}")));
    match diff_ids {
        None => return wrong("names a layer by another hash than SHA-256"),
        Some(ids) if ids.len() != layers.len() || ids.is_empty() => {
            return wrong(
                "its configuration has another number of layers than its manifest, or none",
            );
        }
        Some(_) => {}
    }
    if !about.os.is_empty() && about.os != "linux" {
        return wrong(&format!("is for `{}`, not for linux", printable(&about.os, 40)));
    }
    let manifests = manifest.into_iter().collect();
    let image = OfferedImage { id, config, about, names, manifests, archive: place, layers };
    found.insert(id, image);
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(
    archive: &ImageArchive,
    what: &str,
    bytes: &[u8],
) -> Result<T> {
    crate::model::from_json(bytes)
        .map_err(|e| bad(&archive.path, format!("{}: {e}", printable(what, 120))))
}

/// The full form of a name: without the parts that an engine adds by itself, and with a tag.
fn full(name: &str) -> String {
    let mut bare = name;
    for begin in ["docker.io/library/", "docker.io/", "localhost/"] {
        bare = bare.strip_prefix(begin).unwrap_or(bare);
    }
    let last = bare.rsplit('/').next().unwrap_or(bare);
    if last.contains(':') { bare.to_owned() } else { format!("{bare}:latest") }
}

/// The name of a file without what says its form.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut stem = name.as_str();
    for end in [".gz", ".zst", ".xz", ".tar", ".tgz", ".txz", ".oci", ".docker"] {
        stem = stem.strip_suffix(end).unwrap_or(stem);
    }
    stem.to_owned()
}

/// Whether a name says no version of the image.
pub(super) fn is_latest(name: &str) -> bool {
    !name.contains('@') && !name.starts_with("sha256:") && full(name).ends_with(":latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_image_are_the_same_in_whatever_form() {
        for name in ["web", "web:latest", "localhost/web", "docker.io/library/web:latest"] {
            assert_eq!(full(name), "web:latest");
        }
        assert_eq!(full("host:5000/a/web"), "host:5000/a/web:latest");
        assert_eq!(full("docker.io/acme/web:1"), "acme/web:1");
        assert_eq!(stem(Path::new("x/web-1.2.oci.tar.gz")), "web-1.2");
        assert!(is_latest("localhost/web") && !is_latest("web:1") && !is_latest("web@sha256:0"));
    }
}

//! The files of layers, by their archives: those that devices have, and those of a new layer.

use super::image::{Extent, Image, size};
use super::pair::masked;
use crate::layer::{LayerEntryKind, OldFile, OldFiles, is_plain, scan_layer};
use crate::model::{Digest, Failure, ReasonCode, Result};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A file of an archive.
#[derive(Debug, Clone)]
pub(super) struct LayerFile {
    /// Its path in the archive, or below the folder of its layer.
    pub(super) path: Vec<u8>,
    /// Its bytes in the archive.
    pub(super) run: Extent,
    pub(super) digest: Digest,
}

/// Every file of a new layer that has bytes, in the order of the archive, and where the archive ends to be one: what
/// follows is bytes like others.
pub(super) fn files_of(image: &Image) -> Result<Vec<LayerFile>> {
    let mut files = Vec::new();
    scan(image, &mut |path, kind, file| {
        if let (LayerEntryKind::File, Some((run, digest))) = (kind, file) {
            files.push(LayerFile { path: path.to_vec(), run, digest });
        }
    })?;
    Ok(files)
}

type Found<'a> = &'a mut dyn FnMut(&[u8], &LayerEntryKind, Option<(Extent, Digest)>);

/// An archive that breaks somewhere has the files before that.
fn scan(image: &Image, found: Found<'_>) -> Result<()> {
    let mut block = vec![0; 64 << 10];
    let scanned = scan_layer(&mut image.reader(), &mut |entry, content| {
        let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
        if entry.kind != LayerEntryKind::File || entry.len == 0 {
            found(path, &entry.kind, None);
            return Ok(());
        }
        let mut hash = Sha256::new();
        loop {
            let read = content.read(&mut block);
            let read = read.map_err(|e| Failure::new(ReasonCode::Io, format!("a layer: {e}")))?;
            if read == 0 {
                break;
            }
            hash.update(&block[..read]);
        }
        let run = Extent { at: entry.at, len: entry.len };
        found(path, &entry.kind, Some((run, Digest(hash.finalize().into()))));
        Ok(())
    });
    match scanned {
        Err(failure) if failure.code() != ReasonCode::ContainerImage => Err(failure),
        _ => Ok(()),
    }
}

/// A layer that devices have.
pub(super) struct OldLayer {
    pub(super) digest: Digest,
    image: Image,
    files: Vec<LayerFile>,
}

impl OldLayer {
    /// With those of its files that stand below its folder under their path, whichever engine has unpacked it.
    pub(super) fn of(digest: Digest, image: Image) -> Result<OldLayer> {
        let mut found: BTreeMap<Vec<u8>, Option<LayerFile>> = BTreeMap::new();
        let mut links = HashSet::new();
        scan(&image, &mut |path, kind, file| {
            if matches!(kind, LayerEntryKind::SymLink(_)) {
                links.insert(path.to_vec());
            }
            // The last entry of a path is the one that stays.
            let file = file.map(|(run, digest)| LayerFile { path: path.to_vec(), run, digest });
            found.insert(path.to_vec(), file);
        })?;
        let name = |path: &[u8]| path.rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec);
        let plain = |file: &LayerFile| {
            let ends = (0..file.path.len()).filter(|n| file.path[*n] == b'/');
            is_plain(&file.path)
                && !name(&file.path).is_some_and(|name| name.starts_with(b".wh."))
                && !ends.map(|end| &file.path[..end]).any(|above| links.contains(above))
        };
        let files = found.into_values().flatten().filter(plain).collect();
        Ok(OldLayer { digest, image, files })
    }
}

/// All layers that devices have.
#[derive(Default)]
pub(super) struct Archives {
    pub(super) layers: Vec<OldLayer>,
    by_digest: HashMap<[u8; 32], Place>,
    by_path: HashMap<Vec<u8>, Vec<Place>>,
    by_mask: HashMap<String, Vec<Place>>,
    by_name: HashMap<String, Vec<Place>>,
}

/// A file: the number of its layer, and its own there.
pub(super) type Place = (usize, usize);

fn mask(path: &[u8]) -> String {
    masked(&String::from_utf8_lossy(path))
}

fn name_mask(path: &[u8]) -> String {
    mask(path.rsplit(|byte| *byte == b'/').next().unwrap_or(path))
}

/// A file of the same name elsewhere is another one where it is so many times as long.
const ALIKE: u64 = 4;

impl Archives {
    pub(super) fn add(&mut self, layer: OldLayer) {
        let number = self.layers.len();
        for (n, file) in layer.files.iter().enumerate() {
            let place = (number, n);
            self.by_digest.entry(file.digest.0).or_insert(place);
            self.by_path.entry(file.path.clone()).or_default().push(place);
            self.by_mask.entry(mask(&file.path)).or_default().push(place);
            self.by_name.entry(name_mask(&file.path)).or_default().push(place);
        }
        self.layers.push(layer);
    }

    pub(super) fn file(&self, (layer, file): Place) -> &LayerFile {
        &self.layers[layer].files[file]
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, place: Place) -> Result<Vec<u8>> {
        self.layers[place.0].image.bytes(&[self.file(place).run])
    }

    /// The file that a new one is made from, and whether it has the same bytes.
    pub(super) fn like(&self, new: &LayerFile) -> Option<(Place, bool)> {
        if let Some(place) = self.by_digest.get(&new.digest.0) {
            return Some((*place, true));
        }
        let near = |places: &Vec<Place>| {
            places.iter().copied().min_by_key(|p| self.file(*p).run.len.abs_diff(new.run.len))
        };
        let alike = |place: &Place| {
            let len = self.file(*place).run.len;
            len <= new.run.len.saturating_mul(ALIKE) && new.run.len <= len.saturating_mul(ALIKE)
        };
        let path = self.by_path.get(&new.path).and_then(near);
        let mask = || self.by_mask.get(&mask(&new.path)).and_then(near);
        let name = || self.by_name.get(&name_mask(&new.path)).and_then(near).filter(alike);
        path.or_else(mask).or_else(name).map(|place| (place, false))
    }
}

impl OldFiles for Archives {
    fn open(&self, layer: &Digest, path: &[u8]) -> Result<OldFile> {
        let lost = || Failure::new(ReasonCode::Internal, "the list names a file that no layer has");
        let layer = self.layers.iter().find(|old| old.digest == *layer).ok_or_else(lost)?;
        let found = layer.files.binary_search_by(|file| file.path.as_slice().cmp(path));
        let run = layer.files[found.map_err(|_| lost())?].run;
        Ok(OldFile { file: layer.image.file.clone(), start: run.at, len: run.len })
    }
}

/// The runs of an archive that none of these is, without the zeros with which a block ends behind a file.
pub(super) fn between(image: &Image, known: &[Extent]) -> Result<Vec<Extent>> {
    let (mut runs, mut at) = (Vec::new(), 0u64);
    let last = Extent { at: image.len, len: 0 };
    for run in known.iter().chain([&last]) {
        let padding = at.next_multiple_of(512).min(run.at) - at;
        let bytes = image.bytes(&[Extent { at, len: padding }])?;
        let skip = if bytes.iter().all(|byte| *byte == 0) { size(padding) as u64 } else { 0 };
        if at + skip < run.at {
            runs.push(Extent { at: at + skip, len: run.at - at - skip });
        }
        at = run.end();
    }
    Ok(runs)
}

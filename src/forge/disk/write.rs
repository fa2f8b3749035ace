//! Writing the disks and what lies beside them: all of it is whole before the first file gets its name.

use super::bmap;
use super::boot::{BoardParts, not_filled};
use super::data::{self, Preload};
use super::recipe::Recipe;
use super::slot::SlotA;
use super::tools::Scratch;
use crate::forge::file::{self, Replacement};
use crate::forge::progress::Progress;
use crate::model::{ReasonCode, Result};
use crate::provision::{Card, DiskId, Image, Layout, fw_env_config, lay};
use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A disk that was written.
pub(super) struct Output {
    pub(super) path: PathBuf,
    pub(super) bmap: PathBuf,
    pub(super) layout: Layout,
    /// Bytes that a flash of it writes.
    pub(super) mapped: u64,
}

/// What was made, for people and programs.
pub(super) struct Made {
    pub(super) outputs: Vec<Output>,
    pub(super) files: Vec<PathBuf>,
    pub(super) slot: SlotA,
    pub(super) board: BoardParts,
    pub(super) preloads: Vec<Preload>,
    pub(super) warnings: Vec<String>,
}

/// The disks, and the files beside them.
pub(super) fn write(
    recipe: &Recipe,
    layouts: Vec<(PathBuf, Layout)>,
    board: &BoardParts,
    slot: &mut SlotA,
    preloads: &[Preload],
    (id, output): (DiskId, &Path),
    scratch: &Scratch,
) -> Result<(Vec<Output>, Vec<PathBuf>)> {
    let (mut whole, mut outputs, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in beside(output, board, slot) {
        let mut replacement = Replacement::of(&name)?;
        replacement.file.write_all(&text).map_err(|e| file::failure(&name, &e))?;
        whole.push(replacement);
        files.push(name);
    }
    whole.extend(slot.artifact.take());
    for (path, layout) in layouts {
        let replacement = Replacement::of(&path)?;
        let room = layout.place("data").map_or(0, |place| place.len);
        let data = match recipe.values.data.encrypt {
            true => data::unmade(room, scratch),
            false => data::make(room, preloads, id, scratch),
        };
        let data = data.map_err(|f| match f.code() {
            ReasonCode::TooBig => recipe.blame("data.size")(f),
            _ => f,
        })?;
        let image = slot.image.try_clone().map_err(|e| file::failure(&path, &e))?;
        let root = Image { file: image, len: slot.len, needed: None };
        let card = Card {
            id,
            pieces: &board.pieces,
            boot_files: &board.files,
            images: &[("rootfs-a", root), ("data", data)],
            record: slot.record.as_deref(),
        };
        let progress =
            Progress::new("writing", layout.boot().len + slot.len + data::room(preloads));
        let done = Cell::new(0);
        let count = |n| {
            done.set(done.get() + n);
            progress.at(done.get());
        };
        let needed =
            lay(&replacement.file, &layout, &card, &count).map_err(|f| match f.code() {
                ReasonCode::TooBig | ReasonCode::NotAnImage => not_filled(recipe, f),
                _ => f.at(path.display()),
            })?;
        drop(progress);
        let map = bmap::map(&replacement.file, &path, layout.size, &needed)?;
        let bmap = beside_of(&path, "bmap");
        let mut map_file = Replacement::of(&bmap)?;
        map_file.file.write_all(map.as_bytes()).map_err(|e| file::failure(&bmap, &e))?;
        whole.extend([map_file, replacement]);
        let mapped = needed.iter().map(|(_, len)| len).sum();
        outputs.push(Output { path, bmap, layout, mapped });
    }
    // A power cut from here on leaves some of them, each whole; the same command makes the rest.
    whole.into_iter().try_for_each(Replacement::finish)?;
    Ok((outputs, files))
}

fn beside_of(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{ending}"))
}

/// The three files as they are on the device, and the boot partitions of an eMMC.
pub(super) fn beside(output: &Path, board: &BoardParts, slot: &SlotA) -> Vec<(PathBuf, Vec<u8>)> {
    let own = &slot.own;
    let env_config = own.env_config.clone().unwrap_or_else(|| fw_env_config(&board.places));
    let texts = [
        ("surefoot.toml", own.config.clone()),
        ("fw_env.config", Some(env_config)),
        ("trust.toml", own.trust.clone()),
    ];
    let texts =
        texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into_bytes())));
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let parts =
        board.beside.iter().map(|(name, bytes)| (format!("{stem}.{name}.img"), bytes.clone()));
    texts.chain(parts).map(|(name, bytes)| (output.with_file_name(name), bytes)).collect()
}

impl Output {
    /// Number, name, first byte and length of each.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (usize, &str, u64, u64)> {
        let numbered = (1..).zip(&self.layout.partitions);
        numbered.map(|(number, place)| (number, place.name, place.start, place.len))
    }
}

impl From<&Output> for serde_json::Value {
    fn from(output: &Output) -> serde_json::Value {
        let partitions = output.partitions().map(|(number, name, start, len)| {
            serde_json::json!({ "number": number, "name": name, "start": start, "len": len })
        });
        serde_json::json!({
            "disk": output.path, "bmap": output.bmap, "size": output.layout.size,
            "mapped": output.mapped, "partitions": partitions.collect::<Vec<_>>(),
        })
    }
}

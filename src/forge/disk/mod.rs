//! `image`: a finished disk from a recipe. Everything is read and judged before the first byte is written, and the
//! files get their names when all of them are whole.

mod bmap;
mod boot;
mod convert;
mod data;
mod ext4;
mod folder;
mod judge;
mod large;
mod outputs;
mod own;
mod recipe;
mod script;
mod slot;
mod tar;
mod told;
mod tools;
mod tree;
mod words;
mod write;

pub(super) use words::{Convert, Image as Words};

use crate::disk::TableKind;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::provision::{DiskId, Layout, MIB, Plan, in_mib, mbr_signature};
use crate::slot::record::RECORD_LEN;
use crate::sys::files;
use boot::{BoardParts, board};
use convert::{Source, source};
use own::{Wanted, trust_text};
use recipe::Recipe;
use slot::{Work, usual_slot};
use std::path::{Path, PathBuf};
use tools::Scratch;
use write::{Made, write};

/// Of `boot` and of `data`, where the recipe says none.
const BOOT: u64 = 64 * MIB;
const DATA: u64 = 128 * MIB;
/// Smaller ones are warned of.
const LEAST_DATA: u64 = 16 * MIB;

pub(super) fn run(mut words: Words) -> Result<()> {
    let json = words.json;
    let recipe = Recipe::read(&mut words)?;
    let scratch = scratch(&words.output)?;
    apart(&recipe, &words.output, &[])?;
    let made = build(&recipe, &words.output, &scratch, None)?;
    told::tell(&made, json)
}

pub(super) fn convert(mut words: Convert) -> Result<()> {
    let json = words.how.json;
    let recipe = Recipe::read(&mut words.how)?;
    let root = &recipe.values.root;
    for (key, there) in
        [("root.rootfs", root.rootfs.is_some()), ("root.artifact", root.artifact.is_some())]
    {
        if there {
            return Err(recipe.wrong(key, "`convert` takes the root from the image: leave it out"));
        }
    }
    let scratch = scratch(&words.how.output)?;
    apart(&recipe, &words.how.output, &[&words.image])?;
    let source = source(&words.image, &scratch).map_err(|f| {
        let kept = f.code() == ReasonCode::NotAnImage;
        let code = if kept { f.code() } else { ReasonCode::RecipeInvalid };
        Failure::new(code, f.detail()).with_next(f.next())
    })?;
    let from = source.firmware.clone();
    let mut made = build(&recipe, &words.how.output, &scratch, Some(source))?;
    made.warnings.extend(boot::without_uboot(&from, &made.board, &recipe));
    told::tell(&made, json)
}

/// Before anything is read: what would be lost.
fn apart(recipe: &Recipe, output: &Path, more: &[&Path]) -> Result<()> {
    let disks: Vec<_> = named(output, &sizes(recipe)?).into_iter().map(|(path, _)| path).collect();
    outputs::apart(recipe, output, &disks, more)
}

/// A folder beside the output, which shows at once whether anything can be written there.
fn scratch(output: &Path) -> Result<Scratch> {
    let refuse = |f: Failure| {
        let text = format!("-o {}: it cannot be written: {}", output.display(), f.detail());
        let next =
            "Name a file in a folder that is there; `surefoot-forge flash` writes it to a card.";
        Failure::new(ReasonCode::RecipeInvalid, text).with_next(next)
    };
    if super::file::is_standard(output) || output.file_name().is_none() {
        return Err(refuse(Failure::new(ReasonCode::Usage, "a disk is a file with a name")));
    }
    // What it says of standard output is not for a disk.
    let about =
        std::fs::metadata(output).ok().and_then(|about| files::not_a_file(about.file_type()));
    if let Some(what) = about {
        return Err(refuse(Failure::new(ReasonCode::Usage, format!("it {what}"))));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let text = format!("there is no folder {}", folder.display());
        return Err(refuse(Failure::new(ReasonCode::NoSuchFile, text)));
    }
    Scratch::new(output).map_err(refuse)
}

fn build(
    recipe: &Recipe,
    output: &Path,
    scratch: &Scratch,
    mut source: Option<Source>,
) -> Result<Made> {
    let values = &recipe.values;
    let table = match recipe.word("disk.table", values.disk.table.as_deref(), &["gpt", "mbr"])? {
        "mbr" => TableKind::Mbr,
        _ => TableKind::Gpt,
    };
    let variants = ["production", "development"];
    let variant = recipe.word("disk.variant", values.disk.variant.as_deref(), &variants)?;
    let firmware = source.as_mut().map(|source| std::mem::take(&mut source.firmware));
    let board = board(recipe, table, firmware.unwrap_or_default())?;
    let trust = values.trust.file.as_deref().map(trust_text).transpose();
    let config = values.root.config.as_deref();
    let config =
        config.map(|path| super::file::read_text(path, 1 << 20, ReasonCode::RecipeInvalid));
    let identifier = |key: &str, value: &Option<String>| {
        value.as_deref().map(|text| recipe.identifier(key, text)).transpose()
    };
    let id = disk_id(recipe, &board, table);
    let wanted = Wanted {
        product: identifier("product", &values.product)?,
        compatible: identifier("compatible", &values.compatible)?,
        device: values.disk.device.clone(),
        hold: variant == "development",
        table,
        signature: mbr_signature(id),
        places: board.places.clone(),
        trust: trust.map_err(recipe.blame("trust.file"))?,
        config: config.transpose().map_err(recipe.blame("root.config"))?,
    };
    let sizes = sizes(recipe)?;
    let slot_size = values.root.slot_size.as_deref();
    let slot_size = slot_size.map(|text| recipe.size("root.slot-size", text)).transpose()?;
    let mut plan = plan(recipe, table, &board)?;
    plan.disk = sizes.iter().map(|size| size.1).min();
    plan.slot = slot_size.unwrap_or(2 * MIB);
    // What does not depend on the root is told before minutes are spent on it.
    layout(recipe, &plan)?;
    let room = slot_size.map(|size| size.saturating_sub(RECORD_LEN));
    let work = Work { recipe, wanted: &wanted, board: &board, id, scratch, room };
    let mut slot = match source {
        Some(source) => work.of_source(source)?,
        None => work.slot()?,
    };
    let trust = slot.own.trust.as_deref().or(wanted.trust.as_deref());
    let preloads = data::preloads(recipe, trust)?;
    if values.data.size.is_none() && plan.data < data::least(&preloads) {
        plan.data = data::least(&preloads);
    }
    plan.slot = match slot_size {
        Some(size) => size,
        None => usual_slot(slot.len, plan.disk.map(|disk| plan.most(disk))),
    };
    if slot.len + RECORD_LEN > plan.slot {
        let lack = slot.len + RECORD_LEN - plan.slot;
        let text = format!(
            "the root filesystem has {}, and a slot of {} has room for {}: it lacks {}",
            in_mib(slot.len),
            in_mib(plan.slot),
            in_mib(plan.slot.saturating_sub(RECORD_LEN)),
            in_mib(lack)
        );
        return Err(recipe.wrong("root.slot-size", text));
    }
    let mut layouts = Vec::new();
    for (name, size) in named(output, &sizes) {
        let layout = layout(recipe, &Plan { disk: size, ..plan.clone() })?;
        let data = layout.place("data").map_or(0, |place| place.len);
        if let Some(lack) = data::lack(recipe, data::room(&preloads), data) {
            return Err(lack);
        }
        layouts.push((name, layout));
    }
    let mut warnings = std::mem::take(&mut slot.warnings);
    warnings.extend(outputs::replaced(output, &board, &slot, recipe)?);
    let data = layouts.iter().filter_map(|(_, layout)| layout.place("data")).map(|data| data.len);
    if let Some(data) = data.min().filter(|data| *data < LEAST_DATA) {
        warnings.push(format!(
            "the data partition has {}: less than {} leave little room for its journal and the updater's state",
            in_mib(data),
            in_mib(LEAST_DATA)
        ));
    }
    let (outputs, files) =
        write(recipe, layouts, &board, &mut slot, &preloads, (id, output), scratch)?;
    Ok(Made { outputs, files, slot, board, preloads, warnings })
}

/// What the identifiers are made from: what makes two products two, and no byte of a root.
fn disk_id(recipe: &Recipe, board: &BoardParts, table: TableKind) -> DiskId {
    let values = &recipe.values;
    let text = match &values.disk.id {
        Some(id) => format!("id {id}"),
        None => {
            let said = [&values.product, &values.compatible, &values.root.version];
            format!("{said:?} {table:?} {}", board.environment.text())
        }
    };
    DiskId::From(Digest::of(format!("surefoot disk {text}").as_bytes()).0)
}

fn plan(recipe: &Recipe, table: TableKind, board: &BoardParts) -> Result<Plan> {
    let values = &recipe.values;
    let size = |key: &str, text: &Option<String>| {
        text.as_deref().map(|text| recipe.size(key, text)).transpose()
    };
    let slots_at = match &values.root.at {
        Some([a, b]) => Some([recipe.size("root.at", a)?, recipe.size("root.at", b)?]),
        None => None,
    };
    Ok(Plan {
        table,
        boot: size("boot.size", &values.boot.size)?.unwrap_or(BOOT),
        slot: 0,
        boot_part: None,
        data: size("data.size", &values.data.size)?.unwrap_or(DATA),
        disk: None,
        boot_at: size("boot.at", &values.boot.at)?,
        slots_at,
        data_at: size("data.at", &values.data.at)?,
        reserved: board.reserved.clone(),
    })
}

fn layout(recipe: &Recipe, plan: &Plan) -> Result<Layout> {
    Layout::new(plan).map_err(|misfit| recipe.wrong(misfit.key, misfit.text))
}

/// Each size as it was written, and its bytes.
fn sizes(recipe: &Recipe) -> Result<Vec<(String, u64)>> {
    let key = "disk.size";
    let texts = recipe.values.disk.size.as_ref().map_or(&[][..], |sizes| sizes.all());
    let mut found: Vec<(String, u64)> = Vec::new();
    for text in texts {
        let size = recipe.size(key, text)?;
        if found.iter().any(|(_, other)| *other == size) {
            return Err(recipe.wrong(key, format!("{text} is there twice")));
        }
        found.push((text.clone(), size));
    }
    Ok(found)
}

/// The files of the disks: one as it was named, several with their sizes.
fn named(output: &Path, sizes: &[(String, u64)]) -> Vec<(PathBuf, Option<u64>)> {
    if let [] | [_] = sizes {
        return vec![(output.to_owned(), sizes.first().map(|size| size.1))];
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let ending = output.extension().map_or(String::new(), |x| format!(".{}", x.to_string_lossy()));
    let one = |(text, size): &(String, u64)| {
        (output.with_file_name(format!("{stem}-{text}{ending}")), Some(*size))
    };
    sizes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_disks_are_named_by_their_sizes() {
        let sizes = [("8G".to_owned(), 8 << 30), ("32G".to_owned(), 32 << 30)];
        let names = |sizes: &[(String, u64)]| {
            let named = named(Path::new("out/disk.img"), sizes).into_iter();
            named.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&sizes), ["out/disk-8G.img", "out/disk-32G.img"]);
        assert_eq!(names(&sizes[..1]), ["out/disk.img"]);
        assert_eq!(names(&[]), ["out/disk.img"]);
    }
}

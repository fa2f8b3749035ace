//! No output may take the place of what the disk is made from, or of another output: a key that is written over is lost.

use super::boot::BoardParts;
use super::recipe::Recipe;
use super::slot::SlotA;
use super::write::beside;
use crate::artifact::{Release, read_head};
use crate::forge::file;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use crate::trust::Trust;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files beside the disk.
const BESIDE: [&str; 3] = ["surefoot.toml", "fw_env.config", "trust.toml"];

/// Refuses an output that is an input, lies in the folder of one, or is named twice; `RECIPE_INVALID`. `disks` are those
/// that will be made, `more` what is read besides the recipe's files.
pub(super) fn apart(
    recipe: &Recipe,
    output: &Path,
    disks: &[PathBuf],
    more: &[&Path],
) -> Result<()> {
    let artifact = recipe.values.root.artifact_out.as_deref();
    let mut outputs: Vec<(String, PathBuf)> = Vec::new();
    for disk in disks {
        outputs.push((format!("-o {}", disk.display()), disk.clone()));
        let name = disk.file_name().unwrap_or_default().to_string_lossy();
        let bmap = disk.with_file_name(format!("{name}.bmap"));
        outputs.push((bmap.display().to_string(), bmap));
    }
    for name in BESIDE {
        let path = output.with_file_name(name);
        outputs.push((format!("{}, which is written beside it", path.display()), path));
    }
    if let Some(path) = artifact {
        outputs.push((format!("--artifact-out {}", path.display()), path.to_owned()));
    }
    let refuse = |text: String| Err(Failure::new(ReasonCode::RecipeInvalid, text));
    if let Some(path) = artifact {
        let writable = match file::is_standard(path) {
            true => Err(Failure::new(
                ReasonCode::Usage,
                "an artifact beside a disk is a file with a name",
            )),
            false => file::may_be_written(path),
        };
        writable.map_err(|f| recipe.wrong("root.artifact-out", f.detail()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(recipe
                .wrong("root.artifact-out", format!("there is no folder {}", folder.display())));
        }
    }
    for (n, (said, path)) in outputs.iter().enumerate() {
        let Some(place) = place(path) else { continue };
        if place.starts_with("/dev") && !place.starts_with("/dev/shm") {
            return refuse(format!(
                "{said}: a disk is a file; `surefoot-forge flash` writes it to a device"
            ));
        }
        if let Some((other, _)) =
            outputs[..n].iter().find(|(_, p)| self::place(p).as_ref() == Some(&place))
        {
            return refuse(format!("{said} is {other} too: name another file"));
        }
        for input in inputs(recipe).into_iter().chain(more.iter().map(|path| path.to_path_buf())) {
            // The three files of an earlier disk may be what this one is made with, and are the same again.
            let beside = BESIDE.iter().any(|name| path == &output.with_file_name(name));
            if is_same(path, &input) && !beside {
                return refuse(format!(
                    "{said} would take the place of {}, which the disk is made from",
                    input.display()
                ));
            }
            let folder = std::fs::canonicalize(&input).ok().filter(|found| found.is_dir());
            if folder.is_some_and(|folder| place.starts_with(folder)) {
                return refuse(format!(
                    "{said} lies in {}, which the disk is made from",
                    input.display()
                ));
            }
        }
    }
    for disk in disks {
        if !is_disk_or_empty(disk) {
            return refuse(format!(
                "-o {}: what is there is no disk, and would be lost: remove it, or name another file",
                disk.display()
            ));
        }
    }
    Ok(())
}

/// What `image` may replace: nothing, or what begins as a disk does. A mistyped name is often that of a key or of a text.
fn is_disk_or_empty(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = files::foreign(path).and_then(|file| file.take(512).read_to_end(&mut head));
    read.is_err() || head.is_empty() || head.get(510..) == Some(&[0x55, 0xaa])
}

/// The files beside the disk that another disk may need. Those of another product are refused; of what else changes, a warning
/// for each.
pub(super) fn replaced(
    output: &Path,
    board: &BoardParts,
    slot: &SlotA,
    recipe: &Recipe,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let (Some(artifact), Some(new)) = (&slot.artifact, &slot.release) {
        warnings.extend(other_release(artifact.path(), new, recipe)?);
    }
    for (path, new) in beside(output, board, slot) {
        let Ok(old) = files::read_foreign(&path, 1 << 26) else { continue };
        if old == new {
            continue;
        }
        let [old, new] = [old, new].map(|bytes| String::from_utf8(bytes).unwrap_or_default());
        if whose(&old).is_some_and(|old| whose(&new).is_some_and(|new| old != new)) {
            let place = recipe.path().map_or(String::new(), |path| format!("{}: ", path.display()));
            let text = format!(
                "{place}{} is of another product's disk: give each product a folder of its own, or remove it",
                path.display()
            );
            return Err(Failure::new(ReasonCode::RecipeInvalid, text));
        }
        warnings.push(format!("{} had other content, and is replaced", path.display()));
    }
    Ok(warnings)
}

/// The artifact that stands where `--artifact-out` is to be written: deltas start from it, and a release that devices run is made
/// only once. One of the same version is replaced, and told where its bytes differ.
fn other_release(target: &Path, new: &Release, recipe: &Recipe) -> Result<Option<String>> {
    let Ok(mut file) = file::open(target) else { return Ok(None) };
    let shown = target.display();
    let refuse = |why: String| Err(recipe.wrong("root.artifact-out", why));
    let old = match read_head(&mut file).and_then(|head| head.parse_unverified()) {
        Ok(old) => old,
        Err(_) if file.metadata().is_ok_and(|about| about.len() == 0) => return Ok(None),
        Err(_) => {
            return refuse(format!(
                "what is at {shown} is no release, and would be lost: remove it, or name another file"
            ));
        }
    };
    let ([was, is], [old, new]) =
        ([&old.manifest, &new.manifest], [&old, new].map(Release::body_digest));
    if (&was.product, &was.version) != (&is.product, &is.version) {
        return refuse(format!(
            "{shown} is {} {}, and would be lost: this is {} {}. Name another file, or remove it",
            was.product, was.version, is.product, is.version
        ));
    }
    Ok((old != new).then(|| {
        format!("{shown} had other content of the same version {}, and is replaced", is.version)
    }))
}

/// What says which product a file is of: product and board of a surefoot.toml, or the name and the keys of a trust file.
fn whose(text: &str) -> Option<String> {
    if let Ok(trust) = Trust::parse(text) {
        // A key that both have says that one of them follows the other: the first is that of the house.
        return Some(format!("{} {}", trust.name(), trust.keys().first()?.id));
    }
    let table: toml::Table = toml::from_str(text).ok()?;
    let device = table.get("device")?;
    Some(format!("{} {}", device.get("product")?, device.get("compatible")?))
}

/// Where a file will be, without links in its folder.
fn place(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(std::fs::canonicalize(folder).ok()?.join(path.file_name()?))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| std::fs::metadata(path).ok().map(|m: std::fs::Metadata| (m.dev(), m.ino()));
    id(one).is_some() && id(one) == id(other)
}

fn inputs(recipe: &Recipe) -> Vec<PathBuf> {
    let values = &recipe.values;
    let root = &values.root;
    let key = root.key.as_deref().filter(|key| !key.starts_with("cmd:")).map(PathBuf::from);
    let named = [
        root.rootfs.clone(),
        root.artifact.clone(),
        root.config.clone(),
        root.r#pub.clone(),
        key,
        values.boot.uboot_env.clone(),
        values.boot.firmware.clone(),
        values.trust.file.clone(),
        recipe.path().map(Path::to_owned),
    ];
    let raw = values.boot.raw.iter().map(|raw| raw.file.clone());
    named.into_iter().flatten().chain(raw).chain(values.data.preload.clone()).collect()
}

//! No output may take the place of what the disk is made from, or of another output: a key that is written over is lost.

use super::recipe::Recipe;
use crate::model::{Failure, ReasonCode, Result};
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
    Ok(())
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

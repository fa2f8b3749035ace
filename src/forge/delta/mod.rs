//! `delta`: makes deltas, and says what they would cost. What is made is applied to the old images and
//! held against the new release's chunk table before it gets its name.

mod archives;
mod bundle;
mod estimate;
mod image;
mod layout;
mod make;
mod ops;
mod pair;
mod rank;
mod series;
mod show;
mod show_bundle;
mod stored;
mod tree;

use super::file::{self, is_standard};
use super::say::{document, say};
use super::settings;
use super::words::Delta as Words;
pub(super) use image::write_image;
pub(super) use rank::rank;
pub(super) use series::{Costs, Series, standing};
pub(super) use show::{inspect, verify};
pub(super) use show_bundle::{inspect_bundle, verify_bundle};

use crate::model::{ByteLen, Failure, ReasonCode, Result};
use serde_json::json;
use std::path::{Path, PathBuf};

pub(super) fn run(words: Words) -> Result<()> {
    let level = words.level.unwrap_or(19);
    if !(1..=22).contains(&level) {
        return Err(Failure::new(ReasonCode::Usage, format!("level {level}; 1 to 22")));
    }
    if !words.estimate.is_empty() {
        return estimate::run(&words.estimate, level, words.json);
    }
    let need = |what: &str| Failure::new(ReasonCode::Usage, format!("{what} is missing"));
    let to = words.to.as_deref().ok_or_else(|| need("--to"))?;
    let output = words.output.as_deref().ok_or_else(|| need("-o"))?;
    if is_standard(output) {
        let detail = "a delta is written into a file or a folder, not to standard output";
        return Err(Failure::new(ReasonCode::Usage, detail));
    }
    let folder = output.is_dir();
    let near = if folder { output.join("delta") } else { output.to_owned() };
    let new = image::unpack(to, &near)?;
    let bundle = new.release.manifest.app.is_some();
    // A device has several bundles, and one system.
    if words.from.len() > 1 && !folder && !bundle {
        let detail = format!("{} is no folder, and there are several --from", output.display());
        return Err(Failure::new(ReasonCode::Usage, detail));
    }
    let signing = settings::load(words.config.as_deref())?.signing(words.key);
    let mut told = Vec::new();
    if bundle && !folder {
        let olds = words.from.iter().map(|from| image::unpack(from, &near));
        let olds: Vec<_> = olds.collect::<Result<_>>()?;
        file::may_be_written(output)?;
        let from: Vec<String> = olds.iter().map(image::named).collect();
        let from = from.join(", ");
        let devices = bundle::OnDevices::of(olds.iter().collect())?;
        let keys = std::slice::from_ref(&signing);
        let (len, signer) = bundle::write(&devices, &new, output, level, keys)?;
        told.push((output.to_owned(), from, len, signer));
    }
    for from in words.from.iter().filter(|_| !bundle || folder) {
        let old = image::unpack(from, &near)?;
        let target = match folder {
            true => output.join(name(to, old.release.manifest.version.as_str())),
            false => output.to_owned(),
        };
        file::may_be_written(&target)?;
        let keys = std::slice::from_ref(&signing);
        let (len, signer) = match bundle {
            true => {
                let devices = bundle::OnDevices::of(vec![&old])?;
                bundle::write(&devices, &new, &target, level, keys)?
            }
            false => make::write(&old, &new, &target, level, keys)?,
        };
        told.push((target, image::named(&old), len, signer));
    }
    let version = &new.release.manifest.version;
    if words.json {
        let deltas = told.iter().map(|(path, from, len, signer)| {
            json!({
                "artifact": path.display().to_string(), "from": from, "to": version, "artifact_len": len,
                "signed_by": signer.as_ref().map(|key| key.id().to_string()),
            })
        });
        return say(&document(&json!({
            "v": 1, "version": version, "full_len": new.len, "deltas": deltas.collect::<Vec<_>>(),
        })));
    }
    for (path, from, len, signer) in told {
        let permille = (u128::from(len) * 1000).checked_div(u128::from(new.len)).unwrap_or(0);
        let signed = signer.map_or_else(
            || format!("unsigned\nnext: surefoot-forge sign {} --key KEY", path.display()),
            |key| format!("signed by key {}", &key.id().to_string()[..12]),
        );
        say(&format!(
            "{}: {version} from {from}, {} ({}.{} % of the full artifact), applied and compared\n{signed}\n",
            path.display(),
            ByteLen(len),
            permille / 10,
            permille % 10,
        ))?;
    }
    Ok(())
}

/// How a delta is called beside its full artifact.
fn name(full: &Path, version: &str) -> PathBuf {
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".surefoot").unwrap_or(&name);
    PathBuf::from(format!("{stem}.from-{version}.delta.surefoot"))
}

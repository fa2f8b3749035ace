//! What `image` says when it is done.

use super::write::Made;
use crate::forge::say::{document, say, tell as warn};
use crate::model::{ByteLen, Result};
use crate::provision::in_mib;
use serde_json::{Value, json};

pub(super) fn tell(made: &Made, as_json: bool) -> Result<()> {
    for warning in &made.warnings {
        warn(&format!("warning: {warning}\n"))?;
    }
    match as_json {
        true => say(&document(&json(made))),
        false => say(&text(made)),
    }
}

fn json(made: &Made) -> Value {
    let slot = &made.slot;
    let release = slot.release.as_ref().map(|release| {
        json!({
            "version": release.manifest.version, "release_counter": release.manifest.release_counter,
            "digest": release.body_digest(),
            "signed_by": release.signatures().iter().map(|s| s.key_id.to_string()).collect::<Vec<_>>(),
        })
    });
    let preloads = made.preloads.iter().map(|one| json!({ "name": one.name, "len": one.len }));
    let places = made
        .board
        .places
        .iter()
        .map(|(path, offset, len)| json!({ "path": path, "offset": offset, "len": len }));
    json!({
        "v": 1,
        "disks": made.outputs.iter().map(Value::from).collect::<Vec<_>>(),
        "files": made.files,
        "product": slot.own.product, "compatible": slot.own.compatible,
        "slot_a": { "root": slot.kind, "len": slot.len, "release": release },
        "environment": places.collect::<Vec<_>>(),
        "preload": preloads.collect::<Vec<_>>(),
        "warnings": made.warnings,
    })
}

fn text(made: &Made) -> String {
    let slot = &made.slot;
    let mut text = String::new();
    for output in &made.outputs {
        let (path, size) = (output.path.display(), ByteLen(output.layout.size));
        text +=
            &format!("{path}: a disk of {size}, of which {} are written\n", in_mib(output.mapped));
        for (number, name, start, len) in output.partitions() {
            text += &format!("  {number}  {name:<9} {:>10}  from {}\n", in_mib(len), in_mib(start));
        }
    }
    let release = slot.release.as_ref().map_or_else(
        || "not signed".to_owned(),
        |release| format!("{}, signed", release.manifest.version.as_str()),
    );
    text += &format!("slot a: {}, {}; {release}\n", slot.kind, ByteLen(slot.len));
    for one in &made.preloads {
        text += &format!("preload: {}\n", one.name);
    }
    let files: Vec<_> = made.files.iter().map(|path| path.display().to_string()).collect();
    text += &format!("beside it: {}\n", files.join(", "));
    let first = made.outputs.first().map_or_else(String::new, |o| o.path.display().to_string());
    text + &format!(
        "next: surefoot doctor --image {first}; surefoot-forge flash {first} /dev/sdX\n"
    )
}

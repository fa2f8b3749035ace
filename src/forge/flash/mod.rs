//! `flash`: an image to a disk, every byte of it, read back.

mod bmap;
mod source;
mod target;
mod words;
mod write;

pub(super) use bmap::without_maps;
pub(super) use words::Words;

use super::say::{document, say, tell};
use crate::disk::reread_partitions;
use crate::model::{ByteLen, Result};
use bmap::Bmap;
use serde_json::json;
use source::Source;
use std::time::Instant;
use target::{Target, described};

pub(super) fn run(words: &Words) -> Result<()> {
    // What is wrong with the image is told before a disk is asked for.
    let bmap = Bmap::beside(&words.image)?;
    let mut source = Source::open(&words.image, bmap.as_ref())?;
    let target = Target::open(words)?;
    let began = Instant::now();
    let done = write::write(&mut source, &*target.device)?;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.written.saturating_mul(1000) / millis;
    let device = target.about.is_some();
    // It is whole; a kernel that does not look again does so when it is plugged in again.
    let reread = device && reread_partitions(&words.target).is_ok();
    if words.json {
        return say(&document(&json!({
            "v": 1, "image": words.image, "target": words.target, "image_len": done.len,
            "written": done.written, "zeroed": done.zeroed, "zero_already": done.zero_already,
            "read_back": true, "bmap": bmap.as_ref().map(Bmap::path), "packed": source.packed,
            "seconds": millis / 1000, "rate": rate, "table_reread": reread,
        })));
    }
    let vouched = bmap.map_or(String::new(), |map| format!(", as {} says", map.path().display()));
    let name = target.about.as_ref().map_or_else(|| words.target.display().to_string(), described);
    say(&format!(
        "{name}: {} of {} written in {} s ({}/s){vouched}; every byte read back\n",
        ByteLen(done.written),
        ByteLen(done.len),
        millis / 1000,
        ByteLen(rate),
    ))?;
    if !device {
        return Ok(());
    }
    if !reread {
        tell(
            "this computer has not read the new partitions: take the disk out and put it in again\n",
        )?;
    }
    let target = words.target.display();
    say(&format!(
        "next:\n\
         \x20 surefoot-forge configure {target} --hostname NAME   # if this device is to have a name of its own\n\
         \x20 take the disk out, put it into the device, switch it on\n"
    ))
}

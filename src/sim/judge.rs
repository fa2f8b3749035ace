//! Many environments at once, for comparing this simulator with the real U-Boot. The verbs and
//! the shape of their answers are those of `tests/vm/sandbox`.

use super::boot::{Boot, End, boot};
use super::device::Device;
use super::environment::{Flash, InMemory, Valid, entries, load};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::provision::ENV_LEN;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Each pair of copies in a file: copy 0, then copy 1.
fn pairs(path: &Path) -> Result<impl Iterator<Item = [Vec<u8>; 2]>> {
    let bytes = crate::sys::files::read_foreign(path, 1 << 30)
        .reason(ReasonCode::NoSuchFile, path.display())?;
    let len = usize::try_from(ENV_LEN).unwrap_or(usize::MAX);
    if bytes.is_empty() || bytes.len() % (2 * len) != 0 {
        let text = format!("{}: {} bytes is not a number of pairs", path.display(), bytes.len());
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    let count = bytes.len() / (2 * len);
    Ok((0..count).map(move |i| {
        let pair = &bytes[2 * i * len..2 * (i + 1) * len];
        [pair[..len].to_vec(), pair[len..].to_vec()]
    }))
}

fn digest(bytes: &[u8]) -> String {
    crate::model::Digest::of(bytes).to_string()
}

/// Which copy is chosen from each pair, and the SHA-256 of what it holds.
pub(super) fn judge(path: &Path, out: &mut impl Write) -> Result<()> {
    for (i, pair) in pairs(path)?.enumerate() {
        let loaded = load(&pair);
        let from = match (loaded.valid, &loaded.variables) {
            (Valid::Nothing, _) | (_, None) => Value::from("default"),
            (Valid::First, _) => 0.into(),
            (Valid::Second, _) => 1.into(),
        };
        let data = entries(&loaded.variables.unwrap_or_default());
        let line = json!({ "i": i, "from": from, "sha256": digest(&data) });
        writeln!(out, "{line}").reason(ReasonCode::Io, "writing the answer")?;
    }
    Ok(())
}

/// A whole boot for each pair, on the slots of the device as they are.
pub(super) fn boots(device: &Device, path: &Path, out: &mut impl Write) -> Result<()> {
    let hardware = device.uboot_disk()?.hardware(device.counts()?, None)?;
    for (i, pair) in pairs(path)?.enumerate() {
        let mut flash = InMemory(pair);
        let done = boot(&hardware, &mut flash)?;
        let [first, second] = flash.read()?;
        let mut line = describe(&done);
        line["i"] = i.into();
        line["env"] = json!([digest(&first), digest(&second)]);
        writeln!(out, "{line}").reason(ReasonCode::Io, "writing the answer")?;
    }
    Ok(())
}

fn describe(done: &Boot) -> Value {
    let (end, slot) = match done.end {
        End::Slot(slot) => ("booted", Some(slot.letter())),
        End::Prompt(_) => ("prompt", None),
        End::Reset => ("off", None),
    };
    json!({
        "end": end,
        "slot": slot,
        "trial": done.arguments.contains(" panic="),
        "args": done.arguments,
        "altbootcmd": done.gave_up_in_uboot || done.console.iter().any(|l| l.contains("given up")),
        "saves": done.saves,
        "default_environment": done.from_defaults,
    })
}

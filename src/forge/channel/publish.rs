//! `publish`: artifacts first, the channel last, each in one step. Whatever a cut leaves can be served: a
//! channel names nothing that is not there yet.

use super::draft::{Draft, Open};
use super::words::Publish;
use crate::forge::say::{document, say};
use crate::forge::{file, signer};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::source::channel::{Body, Released, Unread, write_channel};
use crate::sys::clock;
use crate::trust::{Purpose, Statement};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) fn run(words: &Publish) -> Result<()> {
    let mut open = Open::of(&words.place)?;
    usable_keys(&open.draft)?;
    let now = clock::unix_seconds();
    if !clock::is_set(now) {
        // Every phase would have begun long ago for each device.
        let text = "the clock of this host is not set, and phases count from it";
        return Err(Failure::new(ReasonCode::Usage, text).with_next("Set the clock."));
    }
    let before = open.published()?;
    let (body, next) = open.draft.body(now, before.as_ref());
    let bytes = signed(&body, &next)?;
    for (name, size) in body.releases.iter().filter(|r| !r.withdrawn).flat_map(Released::files) {
        bring(&open, name, size)?;
    }
    let mut file = file::Replacement::of(&open.channel_file())?;
    let readable = file.file.set_permissions(std::fs::Permissions::from_mode(0o644));
    readable
        .and_then(|()| file.file.write_all(&bytes))
        .map_err(|e| file::failure(file.path(), &e))?;
    file.finish()?;
    // A cut here leaves an older draft: the next `publish` takes serial and times from the channel.
    open.draft = next;
    open.save()?;
    let path = open.channel_file();
    if words.json {
        return say(&document(&json!({
            "v": 1, "channel": path, "name": body.name, "product": body.product, "serial": body.serial,
            "issued": body.issued, "stale_from": body.stale_from(), "bytes": bytes.len(),
            "releases": body.releases.len(),
        })));
    }
    say(&format!(
        "{}: serial {}, {} releases, fresh until {}\n",
        path.display(),
        body.serial,
        body.releases.len(),
        clock::utc(body.stale_from())
    ))
}

/// The file of a channel, as a device with the same trust file would accept it.
fn signed(body: &Body, draft: &Draft) -> Result<Vec<u8>> {
    let text = toml::to_string(body).reason(ReasonCode::Internal, "the channel")?;
    let statement = Statement::new(Purpose::Channel, text.as_bytes(), b"")?;
    if draft.keys.is_empty() {
        let text = "no key is known for this channel: give --key FILE";
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    let signing = draft.signing();
    let sign =
        |key: &String| signer::sign_channel(&statement, &draft.product, key, &signing.words(key));
    let records = draft.keys.iter().map(sign).collect::<Result<Vec<_>>>()?;
    let bytes = write_channel(text.as_bytes(), &records)?;
    if let Some(trust) = &draft.trust {
        Unread::parse(&bytes)?.verify(&file::read_trust(trust)?, &draft.product)?;
    }
    Ok(bytes)
}

/// Keys that are files are looked at before anything is signed with them.
pub(super) fn usable_keys(draft: &Draft) -> Result<()> {
    let mut files = draft.keys.iter().filter(|key| !key.starts_with("cmd:"));
    files.try_for_each(|key| signer::may_sign_channels(Path::new(key)))
}

/// Whether devices with the trust file would accept what the keys sign, as far as that is known: a program that
/// signs is asked at `publish` only.
pub(super) fn accepted(draft: &Draft) -> Result<()> {
    let known = !draft.keys.is_empty() && draft.keys.iter().all(|key| !key.starts_with("cmd:"));
    if draft.trust.is_none() || !known {
        return Ok(());
    }
    let next = "Name keys that this trust file accepts for channels with `--key`.";
    signed(&draft.body(1, None).0, draft).map(drop).map_err(|f| f.with_next(next))
}

/// Puts an artifact that is not public yet into the folder. `NO_SUCH_FILE` where none lies whole anywhere.
pub(super) fn bring(open: &Open, name: &str, size: u64) -> Result<()> {
    let (from, to) = (open.work.join(name), open.dir.join(name));
    if open.whole(name, size).is_none() {
        let (dir, work) = (open.dir.display(), open.work.display());
        let text = format!("{name} lies whole in neither {dir} nor {work}");
        let next = match name.ends_with(".delta.surefoot") {
            true => format!(
                "`surefoot-forge channel add {dir} X.surefoot --deltas-from N` makes the delta again."
            ),
            false => format!(
                "`surefoot-forge channel add {dir} X.surefoot` with the same artifact puts it back; `surefoot-forge channel withdraw {dir} VERSION` does without it."
            ),
        };
        return Err(Failure::new(ReasonCode::NoSuchFile, text).with_next(next));
    }
    if !from.exists() {
        return Ok(());
    }
    let readable = std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o644));
    readable.map_err(|e| file::failure(&from, &e))?;
    if std::fs::rename(&from, &to).is_ok() {
        return file::synced(&open.dir);
    }
    // The folder lies on another filesystem.
    let mut source = file::open(&from)?;
    let mut copy = file::Replacement::of(&to)?;
    let readable = copy.file.set_permissions(std::fs::Permissions::from_mode(0o644));
    let copied = readable.and_then(|()| std::io::copy(&mut source, &mut copy.file));
    copied.map_err(|e| file::failure(&to, &e))?;
    copy.finish()?;
    std::fs::remove_file(&from).map_err(|e| file::failure(&from, &e))
}

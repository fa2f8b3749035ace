//! `publish`: artifacts first, the channel last, each in one step. Whatever a cut leaves can be served: a
//! channel names nothing that is not there yet.

use super::change::usable_keys;
use super::draft::{Draft, Open};
use super::words::Publish;
use crate::forge::say::{document, say};
use crate::forge::{file, signer};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::source::channel::{Body, Unread, write_channel};
use crate::sys::clock;
use crate::trust::{Purpose, Statement};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

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
    for name in body.releases.iter().flat_map(|r| r.deltas.iter().map(|d| &d.url).chain([&r.url])) {
        bring(&open, name)?;
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

/// Puts an artifact that is not public yet into the folder.
fn bring(open: &Open, name: &str) -> Result<()> {
    let (from, to) = (open.work.join(name), open.dir.join(name));
    if !from.exists() {
        return match to.exists() {
            true => Ok(()),
            false => {
                let text = format!(
                    "{} is in neither {} nor {}",
                    name,
                    open.dir.display(),
                    open.work.display()
                );
                Err(Failure::new(ReasonCode::NoSuchFile, text))
            }
        };
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

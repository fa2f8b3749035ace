//! What the device keeps: keys, room on the data partition, the proof that its rollback works.

use super::finding::Diagnosis;
use crate::device::{Certificate, ROOM, World};
use crate::firstboot;
use crate::model::ByteLen;
use crate::trust::{Role, Trust, is_published_test_key};
use crate::update::{Identity, Named};
use std::path::Path;

/// With less somebody should look.
const ENOUGH: u64 = 8 << 20;

/// Who may sign releases, and whether the loss of one key can be borne.
pub fn keys(trust: &Trust, out: &mut Diagnosis) {
    let keys: Vec<_> = trust.keys_of(Role::Release).collect();
    let published = keys.iter().all(|k| is_published_test_key(&k.public));
    let place = format!("trust file {} of {}", trust.version(), trust.name());
    weigh(keys.len(), trust.threshold(Role::Release), published, &place, out);
}

fn weigh(count: usize, threshold: u32, published: bool, place: &str, out: &mut Diagnosis) {
    let plural = if count == 1 { "" } else { "s" };
    let text = format!("{count} release key{plural}, {threshold} must sign; {place}");
    if published {
        let text = format!("{text}; the secret half of every one is published");
        let remedy = "Make keys of your own before this build leaves the bench: `surefoot-forge keygen --out KEYS`.";
        return out.warn("trust", text, remedy.to_owned());
    }
    if usize::try_from(threshold).is_ok_and(|t| t >= count) {
        let text = format!("{text}; none to spare");
        let remedy = "Add a release key that is kept elsewhere: when one is lost, nothing can be signed for this device.";
        return out.notice("trust", text, remedy.to_owned());
    }
    out.good("trust", text);
}

pub(super) fn left(free: u64, state: &Path, out: &mut Diagnosis) {
    let text = format!("{} has {} free", state.display(), ByteLen(free));
    match free < ENOUGH {
        true => {
            out.warn("space", text, format!("Free some: below {} updates stop.", ByteLen(ROOM)))
        }
        false => out.good("space", text),
    }
}

/// What the first boot and a factory reset have left undone, and a data partition that is another disk's.
pub(super) fn first_boot(world: &World, out: &mut Diagnosis) {
    if let Err(failure) = world.data_is_here() {
        out.warn("state", failure.detail().to_owned(), failure.next().to_owned());
    }
    match world.reset() {
        Ok(Some(reset)) if reset.done => {
            let remedy = "Erase it by hand or ask again, or leave it: `surefoot factory-reset --cancel` forgets it.";
            out.warn("reset", reset.text(), remedy.to_owned());
        }
        _ => {}
    }
    for (step, text) in firstboot::unfinished(&world.settings) {
        let remedy = "Run `surefoot first-boot`; it says more: docs/first-boot.md.".to_owned();
        out.warn("first boot", format!("{step}: {text}"), remedy);
    }
}

/// Whether it is known what runs, and with it what is older.
pub(super) fn order(world: &World, out: &mut Diagnosis) {
    let Ok(booted) = world.booted() else { return };
    if world.committed.load().damaged {
        let text = "a copy of what was committed is damaged".to_owned();
        let remedy = "Nothing to do: it is written again. Ask why it happened.".to_owned();
        out.warn("release", text, remedy);
    }
    let stand = world.held(booted).stand;
    let why = stand.why.as_ref().map_or_else(String::new, ToString::to_string);
    let Named { release_counter, security_epoch, .. } = stand.label.named;
    let named = &stand.label.named;
    match named.identity() {
        Identity::Factory => out.good("release", "the factory system runs".to_owned()),
        Identity::Known if why.is_empty() => out.good(
            "release",
            format!("{named} runs (counter {release_counter}, epoch {security_epoch})"),
        ),
        Identity::Known => {
            let text = format!("slot {booted} was left with {named} by a commit: {why}");
            let remedy = "Install a release: it brings a new record. Until then `surefoot verify` and a rollback to this slot are not possible.";
            out.warn("release", text, remedy.to_owned());
        }
        Identity::NotAccepted => {
            let text = format!(
                "{named} runs, and the trust file on this system does not accept it: {why}; it still counts for the order of releases"
            );
            let remedy = "Install a release that is signed by a key of this trust file.";
            out.warn("release", text, remedy.to_owned());
        }
        // Told by all who are asked before an update.
        Identity::Unknown => {}
    }
    if let Some(refused) = world.refusal(booted.other()) {
        let text = format!("nothing to return to by `surefoot rollback`: {refused}");
        let remedy = "The next update writes over it.".to_owned();
        out.notice("release", text, remedy);
    }
}

/// What `surefoot drill` leaves when the device has come home.
pub(super) fn drill(certificate: Option<&Certificate>, out: &mut Diagnosis) {
    match certificate {
        Some(certificate) => out.good("drill", certificate.text()),
        None => out.notice(
            "drill",
            "that this board comes back from a bad update was never tried".to_owned(),
            "Run `surefoot drill` while a person is beside the device.".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Level;

    fn told(look: impl FnOnce(&mut Diagnosis)) -> (Level, String) {
        let mut out = Diagnosis::new();
        look(&mut out);
        assert_eq!(out.findings.len(), 1);
        let finding = out.findings.remove(0);
        assert_eq!(finding.level == Level::Good, finding.remedy.is_empty(), "{finding:?}");
        (finding.level, finding.text)
    }

    #[test]
    fn the_certificate_of_a_drill_is_shown_and_its_absence_stops_nothing() {
        let text = r#"{"v":1,"kind":"hang","seconds":94,"at":1800000000}"#;
        let certificate: Certificate = serde_json::from_str(text).unwrap();
        let (level, said) = told(|out| drill(Some(&certificate), out));
        assert_eq!(level, Level::Good);
        assert!(said.starts_with("rollback proven on this board, hang: 94 s"), "{said}");
        assert_eq!(told(|out| drill(None, out)).0, Level::Notice);
    }

    #[test]
    fn little_room_on_the_data_partition_is_warned_of() {
        let state = Path::new("/data/surefoot");
        assert_eq!(told(|out| left(ROOM, state, out)).0, Level::Warning);
        assert_eq!(told(|out| left(ENOUGH, state, out)).0, Level::Good);
    }

    #[test]
    fn keys_without_a_spare_one_and_keys_of_tests_are_told() {
        for (count, threshold, published, level, word) in [
            (2, 1, false, Level::Good, "2 release keys, 1 must sign; here"),
            (1, 1, false, Level::Notice, "1 release key, 1 must sign; here; none to spare"),
            (3, 3, false, Level::Notice, "none to spare"),
            (2, 1, true, Level::Warning, "published"),
        ] {
            let (found, text) = told(|out| weigh(count, threshold, published, "here", out));
            assert_eq!(found, level, "{text}");
            assert!(text.contains(word), "{text}");
        }
        let published = include_str!("../../artifacts/test-keys/trust.toml");
        let (level, _) = told(|out| keys(&Trust::parse(published).unwrap(), out));
        assert_eq!(level, Level::Warning);
    }
}

//! Properties of environments and scripts for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::BootChange;
use super::uboot::hush::fuzz::{parses, runs};
use super::uboot::{Env, FwEnvConfig, apply, choose, number};
use crate::model::{SlotId, Txn};

/// An environment, its description and its text: what is read can be written, and a change touches its own variables only.
pub fn uboot_env(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if mode & 0xc0 == 0x40 {
        let Ok(text) = std::str::from_utf8(data) else { return };
        if let Ok(c) = FwEnvConfig::parse(text) {
            assert!(matches!(c.copies.len(), 1 | 2));
            let out: String = c
                .copies
                .iter()
                .map(|p| format!("{} {} {:x}\n", p.device.display(), p.offset, p.size))
                .collect();
            assert_eq!(FwEnvConfig::parse(&out).unwrap(), c);
        }
        return;
    }
    if mode & 0xc0 == 0x80 {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let _ = number(text);
        if let Ok(env) = Env::from_text(text) {
            let bytes = env.encode(256 * 1024, Some(7)).expect("what was read from text encodes");
            assert_eq!(Env::decode(&bytes, true).unwrap(), (env, Some(7)));
        }
        return;
    }
    let redundant = mode & 1 != 0;
    let mut bytes = data.to_vec();
    let header = if redundant { 5 } else { 4 };
    if mode & 2 != 0 && bytes.len() > header {
        let crc = crc32fast::hash(&bytes[header..]).to_le_bytes();
        bytes[..4].copy_from_slice(&crc);
    }
    let Ok((env, flags)) = Env::decode(&bytes, redundant) else { return };
    assert_eq!(flags.is_some(), redundant);
    let again = env.encode(bytes.len(), flags).expect("what was decoded encodes in the same room");
    assert_eq!(Env::decode(&again, redundant).unwrap(), (env.clone(), flags));
    if let Some(f) = flags {
        let _ = choose(f, f.wrapping_add(1));
    }
    for (name, value) in env.iter() {
        let _ = (env.get(&name), number(&value));
    }
    let mut changed = env.clone();
    let txn: Txn = "0123456789ab-1".parse().unwrap();
    for change in [
        BootChange::Arm { slot: SlotId::B, good: SlotId::A, txn: txn.clone() },
        BootChange::GiveBack,
        BootChange::Commit { slot: SlotId::B, txn: txn.clone() },
        BootChange::FallBack { to: SlotId::A, txn },
        BootChange::Point { slot: SlotId::A },
        BootChange::Disarm { booted: SlotId::A },
    ] {
        apply(&mut changed, &change).expect("any environment can be changed");
        let bytes = changed.encode(bytes.len() + 1024, flags).expect("encodes with room");
        assert_eq!(Env::decode(&bytes, redundant).expect("decodes").0, changed);
    }
    assert_eq!(changed.get("surefoot_slot").as_deref(), Some("a"));
    assert_eq!(changed.get("upgrade_available").as_deref(), Some("0"));
    let own = [
        "surefoot_slot",
        "surefoot_txn",
        "upgrade_available",
        "bootcount",
        "surefoot_good",
        "surefoot_fallback",
        "surefoot_clean",
    ];
    let rest = |e: &Env| {
        e.iter()
            .filter(|(n, _)| !own.contains(&&**n))
            .map(|(a, b)| (a.into_owned(), b.into_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(&env), rest(&changed));
}

/// A script comes to an end, whatever it says.
pub fn hush(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > 4096 {
        return;
    }
    let _ = parses(text);
    let (script, env) = text.split_once('\u{c}').unwrap_or((text, "reset"));
    let _ = runs(script, &[("a", env), ("b", "run a"), ("e", ""), ("two", "1  2")]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_environment_that_is_read_can_be_written() {
        crate::model::corpus::run("uboot_env", super::uboot_env);
    }

    #[test]
    fn every_script_comes_to_an_end() {
        crate::model::corpus::run("hush", super::hush);
    }
}

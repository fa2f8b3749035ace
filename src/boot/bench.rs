//! Copies of a bootloader's memory as bytes, for tests that cut the power within one: real bytes
//! through the codec of U-Boot's environment, and its changes.

use super::uboot::{Env, apply, choose, names, read_copy};
use super::{BootChange, BootMemory};

/// A copy of `len` bytes that says this, with this serial number.
pub(crate) fn write_copy(memory: &BootMemory, serial: u8, len: usize) -> Vec<u8> {
    env(memory).encode(len, Some(serial)).expect("it fits")
}

/// What a copy says, and its serial number; `None` for one that is not valid.
pub(crate) fn said_by(copy: &[u8]) -> Option<(BootMemory, u8)> {
    read_copy(copy)
}

/// Which of two valid copies counts, 0 or 1, by their serial numbers.
pub(crate) fn newer(serials: (u8, u8)) -> usize {
    choose(serials.0, serials.1)
}

/// After a change, as it is made in the stored variables.
pub(crate) fn changed(memory: &BootMemory, change: &BootChange) -> BootMemory {
    let mut env = env(memory);
    apply(&mut env, change).expect("our own words");
    super::uboot::said_in(&env)
}

fn env(memory: &BootMemory) -> Env {
    let mut env = Env::new();
    let number = |n: u32| Some(n.to_string());
    let pairs = [
        (names::ALTBOOTCMD, Some("run surefoot_altboot".to_owned())),
        (names::COUNTER, Some("uboot".to_owned())),
        (names::BOOTCOUNT, number(memory.bootcount)),
        (names::BOOTLIMIT, number(memory.bootlimit)),
        (names::GOOD, memory.good.map(|s| s.letter().to_owned())),
        (names::SLOT, memory.slot.map(|s| s.letter().to_owned())),
        (names::TXN, memory.txn.as_ref().map(|t| t.as_str().to_owned())),
        (names::TRIAL, number(u32::from(memory.trial))),
        (names::FALLBACK, memory.fallback.as_ref().map(|t| t.as_str().to_owned())),
        (names::CLEAN, number(memory.clean).filter(|_| memory.clean > 0)),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            env.set(name, &value).expect("our own words");
        }
    }
    env
}

//! One copy of an environment as the values that are stored in it, for the simulator and for tests
//! that tear it: nothing here touches a medium.

use super::scheme::{self, names};
use super::{Env, number};
use crate::boot::BootMemory;
use crate::model::Txn;

/// What a whole copy says and its serial number; `None` for bytes that are no valid copy. Missing
/// and senseless values are read as U-Boot and the boot script read them.
pub(in crate::boot) fn read(copy: &[u8]) -> Option<(BootMemory, u8)> {
    let (env, serial) = Env::decode(copy, true).ok()?;
    Some((memory(&env), serial?))
}

pub(in crate::boot) fn memory(env: &Env) -> BootMemory {
    let count = |name| env.get(name).map_or(0, |value| number(&value));
    let txn = |name| env.get(name)?.parse::<Txn>().ok();
    BootMemory {
        slot: scheme::slot_of(env, names::SLOT),
        txn: txn(names::TXN),
        trial: scheme::is_trial(env),
        bootcount: count(names::BOOTCOUNT),
        bootlimit: count(names::BOOTLIMIT),
        good: scheme::slot_of(env, names::GOOD),
        fallback: txn(names::FALLBACK),
        clean: count(names::CLEAN),
    }
}

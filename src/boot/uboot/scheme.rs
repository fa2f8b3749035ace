//! The variables of Surefoot in the environment: reading them as U-Boot would, and what each
//! change writes. Values come from outside: nothing here panics, whatever they are.

use super::Env;
use crate::boot::BootChange;
use crate::model::{CopyClaim, Failure, ReasonCode, Result, SlotId};

/// The names (DESIGN 5).
pub mod names {
    /// The slot to boot: `a` or `b`.
    pub const SLOT: &str = "surefoot_slot";
    /// The transaction that set it.
    pub const TXN: &str = "surefoot_txn";
    /// `1` while a trial is pending.
    pub const TRIAL: &str = "upgrade_available";
    /// Boots tried in this trial.
    pub const BOOTCOUNT: &str = "bootcount";
    /// Boots allowed in a trial.
    pub const BOOTLIMIT: &str = "bootlimit";
    /// What runs when the limit is passed.
    pub const ALTBOOTCMD: &str = "altbootcmd";
    /// The slot to fall back to.
    pub const GOOD: &str = "surefoot_good";
    /// The transaction that was given up.
    pub const FALLBACK: &str = "surefoot_fallback";
    /// Who counts: `uboot` or `script`.
    pub const COUNTER: &str = "surefoot_counter";
    /// Orderly reboots given back in this trial.
    pub const CLEAN: &str = "surefoot_clean";
}

/// Who counts the boots of a trial (DESIGN 9.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// U-Boot itself, in the environment (`CONFIG_BOOTCOUNT_ENV`).
    Uboot,
    /// The boot script.
    Script,
}

/// A number as U-Boot's `env_get_ulong(…, 10, 0)` reads it: the decimal digits at the start, 0 if
/// there is none (`-1`, `0x10` and `" 3"` are 0); what is too large stays at the largest.
pub fn number(text: &str) -> u32 {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    digits.fold(0u32, |n, d| n.saturating_mul(10).saturating_add(u32::from(d - b'0')))
}

/// A count as the boot script reads it, which compares text: decimal digits as they are written
/// out, and nothing else (`03`, `3x`, `3 ` and `+3` are no count).
pub fn exact(text: &str) -> Option<u32> {
    let number = text.parse::<u32>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A load address as U-Boot's `load` takes it: hexadecimal digits to the end, with or without
/// `0x`.
pub fn hex_address(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u64::from_str_radix(digits, 16).ok())?
}

pub(super) fn count_of(env: &Env, name: &str) -> Option<u32> {
    env.get(name).and_then(|v| exact(&v))
}

pub(super) fn number_of(env: &Env, name: &str) -> Option<u32> {
    env.get(name).map(|v| number(&v))
}

pub(super) fn slot_of(env: &Env, name: &str) -> Option<SlotId> {
    env.get(name)?.parse().ok()
}

/// Anything that U-Boot would count in is a trial, also where the script's `= 1` does not hold:
/// when in doubt the slot is needed.
pub(super) fn is_trial(env: &Env) -> bool {
    number_of(env, names::TRIAL).unwrap_or(0) != 0
}

/// Whether a negative `bootdelay` keeps U-Boot from booting by itself. -2 only takes the keys away.
pub(super) fn waits_at_prompt(env: &Env) -> bool {
    let said = env.get("bootdelay");
    let negative = said.as_deref().and_then(|v| v.strip_prefix('-').map(number));
    negative == Some(1)
}

pub(super) fn claim(env: &Env) -> CopyClaim {
    CopyClaim::Alive { slot: slot_of(env, names::SLOT), trial: is_trial(env) }
}

pub(super) fn counter_of(env: &Env) -> Option<Counter> {
    match &*env.get(names::COUNTER)? {
        "uboot" => Some(Counter::Uboot),
        "script" => Some(Counter::Script),
        _ => None,
    }
}

/// Sets one of our own variables; both alphabets are those of R46.
fn own(env: &mut Env, name: &str, value: &str) -> Result<()> {
    let in_value = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'_' | b'-');
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.len() > 32
        || !name.bytes().all(in_name)
        || value.len() > 64
        || !value.bytes().all(in_value)
    {
        let why = format!("`{name}={value}` is outside the alphabet of our variables");
        return Err(Failure::new(ReasonCode::Internal, why));
    }
    env.set(name, value)
}

/// Makes a change in an environment in memory. Whether it makes sense is the caller's to ask.
pub fn apply(env: &mut Env, change: &BootChange) -> Result<()> {
    let settle = |env: &mut Env, slot: SlotId| -> Result<()> {
        own(env, names::SLOT, slot.letter())?;
        own(env, names::TRIAL, "0")?;
        own(env, names::BOOTCOUNT, "0")
    };
    match change {
        BootChange::Arm { slot, good, txn } => {
            own(env, names::SLOT, slot.letter())?;
            own(env, names::GOOD, good.letter())?;
            own(env, names::TXN, txn.as_str())?;
            own(env, names::TRIAL, "1")?;
            own(env, names::BOOTCOUNT, "0")?;
            env.remove(names::FALLBACK);
            env.remove(names::CLEAN);
            Ok(())
        }
        BootChange::Disarm { booted } => settle(env, *booted),
        BootChange::Commit { slot, txn } => {
            settle(env, *slot)?;
            own(env, names::TXN, txn.as_str())?;
            env.remove(names::CLEAN);
            Ok(())
        }
        BootChange::FallBack { to, txn } => {
            settle(env, *to)?;
            own(env, names::FALLBACK, txn.as_str())
        }
        BootChange::GiveBack => {
            let count = count_of(env, names::BOOTCOUNT).unwrap_or(0);
            let clean = number_of(env, names::CLEAN).unwrap_or(0);
            own(env, names::BOOTCOUNT, &count.saturating_sub(1).to_string())?;
            own(env, names::CLEAN, &clean.saturating_add(1).to_string())
        }
        BootChange::Point { slot } => own(env, names::SLOT, slot.letter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_u_boot_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("3", 3),
            ("12x", 12),
            ("-1", 0),
            ("0x10", 0),
            ("010", 10),
            ("", 0),
            (" 3", 0),
            ("99999999999999999999999", u32::MAX),
            ("\u{661}", 0),
        ] {
            assert_eq!(number(text), value, "{text:?}");
        }
    }

    #[test]
    fn whatever_u_boot_would_count_in_is_a_trial() {
        for (value, trial) in [("0", false), ("1", true), ("2", true), ("1x", true), ("x", false)] {
            let mut env = Env::new();
            assert!(!is_trial(&env));
            env.set(names::TRIAL, value).unwrap();
            assert_eq!(is_trial(&env), trial, "{value}");
        }
    }

    #[test]
    fn our_values_keep_to_their_alphabet() {
        let mut env = Env::new();
        assert!(own(&mut env, "surefoot_slot", "A").is_err());
        assert!(own(&mut env, "surefoot_slot", "a b").is_err());
        assert!(own(&mut env, "surefoot-slot", "a").is_err());
        assert!(own(&mut env, "surefoot_slot", &"a".repeat(65)).is_err());
        assert_eq!(env, Env::new());
    }
}

//! The power plug of the simulator. In a build for a device every function here is empty.
//!
//! `SUREFOOT_SIM_CUT=N` lets the first N writes of this process pass and ends it, with status 99
//! and without another byte, at the next one; `N:B` lets the first B bytes of that one land. What
//! was written before the cut stays: writes that a disk's own cache loses are the business of
//! the power-cut tests, not of the plug.

/// The exit status of a process whose power was cut.
pub const CUT_STATUS: i32 = 99;

/// The variable that sets the plug.
pub const CUT_VARIABLE: &str = "SUREFOOT_SIM_CUT";

/// Passes `bytes` to `write`, which puts them on a medium. If the power goes here, only their
/// first part is passed, and this does not return.
#[cfg(not(feature = "sim"))]
pub fn writing<T>(bytes: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    write(bytes)
}

/// Passes `bytes` to `write`, which puts them on a medium. If the power goes here, only their
/// first part is passed, and this does not return.
#[cfg(feature = "sim")]
pub fn writing<T>(bytes: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    match plug::next() {
        plug::Power::On => write(bytes),
        plug::Power::Cut { landing } => {
            if landing > 0 {
                let _ = write(&bytes[..landing.min(bytes.len())]);
            }
            plug::dark()
        }
    }
}

/// Counts as one write that has no bytes: a rename, a range made zero. If the power goes here,
/// this does not return, and `act` is not done.
pub fn acting<T>(act: impl FnOnce() -> T) -> T {
    writing(&[], |_| act())
}

#[cfg(feature = "sim")]
mod plug {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What the power does at one write.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Power {
        On,
        Cut { landing: usize },
    }

    /// Reads `N` or `N:B`. What cannot be read cuts nothing: the plug is not an interface.
    pub(super) fn parse(text: &str) -> Option<(u64, usize)> {
        let (after, landing) = text.split_once(':').unwrap_or((text, "0"));
        Some((after.parse().ok()?, landing.parse().ok()?))
    }

    pub(super) fn next() -> Power {
        static PLAN: OnceLock<Option<(u64, usize)>> = OnceLock::new();
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let plan = PLAN.get_or_init(|| parse(&std::env::var(super::CUT_VARIABLE).ok()?));
        let Some((after, landing)) = *plan else {
            return Power::On;
        };
        match WRITES.fetch_add(1, Ordering::SeqCst).cmp(&after) {
            std::cmp::Ordering::Less => Power::On,
            std::cmp::Ordering::Equal => Power::Cut { landing },
            // Another thread's write went dark: this one must never happen.
            std::cmp::Ordering::Greater => loop {
                std::thread::park();
            },
        }
    }

    pub(super) fn dark() -> ! {
        std::process::exit(super::CUT_STATUS)
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::plug::parse;

    #[test]
    fn a_plan_is_a_count_and_maybe_a_length() {
        assert_eq!(parse("7"), Some((7, 0)));
        assert_eq!(parse("7:512"), Some((7, 512)));
        for bad in ["", "x", "1:", "1:x", "-1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_a_plan_every_write_passes() {
        assert_eq!(super::writing(b"abc", <[u8]>::len), 3);
        assert_eq!(super::acting(|| 5), 5);
    }
}

//! Which write the power goes at, and which one the medium lies about.

use super::deed::{CUT_STATUS, CUT_VARIABLE, DEFECT_VARIABLE, Deed, LIE_VARIABLE, STOP_VARIABLE};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What happens to one write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// It lands.
    On,
    /// It lands with one bit changed.
    Lie,
    /// Its first bytes land, and then the process is gone.
    Cut { landing: usize },
}

#[derive(Debug, Default)]
struct Plan {
    cut: Option<(u64, usize)>,
    lie: Option<usize>,
    stop: Option<u64>,
    defect: Option<Moment>,
}

/// When something happens.
#[derive(Debug, PartialEq, Eq)]
enum Moment {
    /// After so many bytes.
    Bytes(u64),
    /// When a file gets this name.
    Name(String),
}

impl Moment {
    fn parse(text: String) -> Moment {
        text.parse().map_or(Moment::Name(text), Moment::Bytes)
    }

    /// Whether it is this one: so many bytes were written before.
    fn is(&self, deed: &Deed<'_>, written: u64) -> bool {
        match (self, deed) {
            (Moment::Bytes(after), _) => written >= *after,
            (Moment::Name(name), Deed::Rename(_, to)) => {
                to.file_name().is_some_and(|n| n == name.as_str())
            }
            _ => false,
        }
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Reads `N` or `N:B`. What cannot be read cuts nothing: the plug is not an interface.
fn parse(text: &str) -> Option<(u64, usize)> {
    let (after, landing) = text.split_once(':').unwrap_or((text, "0"));
    Some((after.parse().ok()?, landing.parse().ok()?))
}

pub(super) fn next(deed: &Deed<'_>, len: usize) -> Power {
    #[cfg(test)]
    if let Some(power) = super::thread::next() {
        return power;
    }
    static PLAN: OnceLock<Plan> = OnceLock::new();
    static WRITES: AtomicU64 = AtomicU64::new(0);
    static BYTES: AtomicU64 = AtomicU64::new(0);
    static LIED: AtomicBool = AtomicBool::new(false);
    static STOPPED: AtomicBool = AtomicBool::new(false);
    let plan = PLAN.get_or_init(|| Plan {
        cut: std::env::var(CUT_VARIABLE).ok().and_then(|t| parse(&t)),
        lie: variable(LIE_VARIABLE),
        stop: variable(STOP_VARIABLE),
        defect: std::env::var(DEFECT_VARIABLE).ok().map(Moment::parse),
    });
    let written = BYTES.fetch_add(len as u64, Ordering::SeqCst);
    if plan.stop.is_some_and(|after| written >= after) && !STOPPED.swap(true, Ordering::SeqCst) {
        // It has no reason to fail, and a test that waits for it says so.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
    }
    if plan.defect.as_ref().is_some_and(|moment| moment.is(deed, written)) {
        panic!("on purpose");
    }
    let now = WRITES.fetch_add(1, Ordering::SeqCst);
    match plan.cut {
        Some((after, landing)) if now == after => Power::Cut { landing },
        // Another thread's write went dark: this one must never happen.
        Some((after, _)) if now > after => loop {
            std::thread::park();
        },
        _ if plan.lie.is_some_and(|least| len >= least) && !LIED.swap(true, Ordering::SeqCst) => {
            Power::Lie
        }
        _ => Power::On,
    }
}

pub(super) fn dark() -> ! {
    #[cfg(test)]
    super::thread::leave();
    std::process::exit(CUT_STATUS)
}

#[cfg(test)]
mod tests {
    use super::{Deed, Moment, parse};
    use std::path::Path;

    #[test]
    fn a_defect_comes_after_bytes_or_with_a_name() {
        let of = |text: &str| Moment::parse(text.to_owned());
        assert!(of("7").is(&Deed::Memory, 7) && !of("7").is(&Deed::Memory, 6));
        let renamed = Deed::Rename(Path::new("/s/hold.new"), Path::new("/s/hold"));
        assert!(of("hold").is(&renamed, 0) && !of("journal").is(&renamed, 0));
        assert!(!of("hold").is(&Deed::Memory, 9));
    }

    #[test]
    fn a_plan_is_a_count_and_maybe_a_length() {
        assert_eq!(parse("7"), Some((7, 0)));
        assert_eq!(parse("7:512"), Some((7, 512)));
        for bad in ["", "x", "1:", "1:x", "-1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

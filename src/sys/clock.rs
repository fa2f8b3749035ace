//! Time is a hint: it dates what a person reads and decides nothing that could brick a device.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In a build with the simulator this variable shortens every pause before something is looked at again: `SUREFOOT_SIM_PACE=10`
/// makes it a tenth. No deadline and nothing that is decided hangs on it.
pub const PACE_VARIABLE: &str = "SUREFOOT_SIM_PACE";

/// How long to wait before looking again, where `usual` is meant.
#[cfg(not(feature = "sim"))]
pub fn pause(usual: Duration) -> Duration {
    usual
}

/// How long to wait before looking again, where `usual` is meant.
#[cfg(feature = "sim")]
pub fn pause(usual: Duration) -> Duration {
    let pace = std::env::var(PACE_VARIABLE).ok().and_then(|n| n.parse().ok());
    usual / pace.filter(|n| *n > 0).unwrap_or(1)
}

/// Seconds since 1970 by the system's clock; 0 before it.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// 2026-01-01: no device has run this program before.
const FIRST: u64 = 1_767_225_600;

/// Whether this time, in seconds since 1970, is one that a clock can have that somebody has set.
pub fn is_set(seconds: u64) -> bool {
    seconds >= FIRST
}

/// `seconds` since 1970 as `2026-11-21 07:40 UTC`. Clocks before 2001 say so instead: they tell
/// that nobody has set them.
pub fn utc(seconds: u64) -> String {
    if seconds < 978_307_200 {
        return "at an unknown time (the clock was not set)".to_owned();
    }
    let [year, month, day, hour, minute] = civil(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `seconds` since 1970 as year, month, day, hour and minute, UTC.
pub fn civil(seconds: u64) -> [u64; 5] {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, Howard Hinnant's algorithm (days since 0000-03-01).
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    [year, month, day, rest / 3600, rest % 3600 / 60]
}

/// A length of time as people say it, rounded down: `90 seconds`, `12 minutes`, `3 hours`.
pub fn span(seconds: u64) -> String {
    let (n, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        _ => (seconds / 3_600, "hour"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// How long ago, as people say it: `3 days ago`.
pub fn ago(then: u64, now: u64) -> String {
    let Some(gap) = now.checked_sub(then).filter(|_| then >= 978_307_200) else {
        return utc(then);
    };
    let (n, unit) = match gap {
        0..=89 => return "just now".to_owned(),
        90..=5_399 => (gap / 60, "minute"),
        5_400..=129_599 => (gap.div_ceil(3_600).max(2) - 1, "hour"),
        _ => (gap / 86_400, "day"),
    };
    format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_print_as_people_read_them() {
        assert_eq!(utc(1_795_246_842), "2026-11-21 07:40 UTC");
        assert_eq!(utc(951_782_400 + 86_400 * 366), "2001-03-01 00:00 UTC");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59 UTC");
        assert!(utc(0).contains("not set"));
        utc(u64::MAX); // whatever a manifest says
    }

    #[test]
    fn lengths_of_time_print_as_people_say_them() {
        for (seconds, text) in
            [(0, "0 seconds"), (1, "1 second"), (600, "10 minutes"), (7_200, "2 hours")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn gaps_print_as_people_say_them() {
        let now = 1_795_246_842;
        for (gap, text) in [
            (5, "just now"),
            (600, "10 minutes ago"),
            (7_300, "2 hours ago"),
            (86_400 * 3, "3 days ago"),
        ] {
            assert_eq!(ago(now - gap, now), text);
        }
        assert_eq!(ago(now + 60, now), "2026-11-21 07:41 UTC");
    }
}

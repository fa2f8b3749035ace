//! Properties of times for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::{Window, look, rule, systemd, window, zone};
use crate::model::parse_duration;
const AT: [u64; 9] = [
    0,
    1,
    951_782_400,
    1_700_000_000,
    2_147_483_648,
    4_102_444_800,
    253_402_300_799,
    u64::MAX,
    86_399,
];

fn rule_at(text: &str, at: &[i64]) -> Option<Vec<i64>> {
    let rule = rule::Rule::parse(text)?;
    Some(at.iter().map(|u| rule.offset(*u)).collect())
}

fn zone_at(bytes: &[u8], at: &[u64]) -> Option<Vec<(i64, usize, u16)>> {
    let zone = zone::LocalTime::parse(bytes)?;
    let one = |u: &u64| {
        let minute = zone.minute(*u);
        let _ = zone.is_steady(*u, u.saturating_add(86_400 * 8));
        let second = i64::try_from(*u).unwrap_or(i64::MAX).min(253_402_300_799);
        (zone.offset(second), minute.day, minute.minute)
    };
    Some(at.iter().map(one).collect())
}

fn opens(windows: &[Window], zone: &[u8], now: u64) -> Option<Option<u64>> {
    Some(look::opens(windows, &zone::LocalTime::parse(zone)?, now))
}

fn opens_utc(windows: &[Window], now: u64) -> Option<u64> {
    look::opens(windows, &zone::LocalTime::UTC, now)
}

fn open_at(window: &Window, day: usize, minute: u16) -> bool {
    window.is_open(window::Minute { day, minute })
}

fn date(now: u64) -> String {
    look::date(now)
}

/// Inhibitors of the init system.
pub fn systemd(bytes: &[u8]) -> bool {
    systemd::parse(bytes, 1).is_some()
}

/// Time zones, windows and durations: a window opens within eight days, and no clock breaks them.
pub fn time(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 4 {
        0 => {
            if let Some(v) = zone_at(data, &AT) {
                for (off, day, minute) in v {
                    assert!(off.abs() <= 27 * 3600 && day < 7 && minute < 1440);
                }
                let w: Window = "Sat,Sun 22:00-05:00".parse().unwrap();
                for now in [0, 1_700_000_000, u64::MAX] {
                    let s = opens(std::slice::from_ref(&w), data, now);
                    assert!(s.flatten().is_none_or(|s| s <= 8 * 86_400));
                }
            }
        }
        1 => {
            if let Ok(text) = std::str::from_utf8(data) {
                let at: Vec<i64> =
                    AT.iter().map(|u| i64::try_from(*u).unwrap_or(253_402_300_799)).collect();
                if let Some(v) = rule_at(text, &at) {
                    for o in v {
                        assert!(o.abs() <= 27 * 3600, "{o}");
                    }
                }
            }
        }
        2 => {
            if let Ok(text) = std::str::from_utf8(data) {
                if let Ok(w) = text.parse::<Window>() {
                    assert_eq!(w.to_string().parse::<Window>().expect("a window reads back"), w);
                    assert!((0..7 * 1440).any(|n| open_at(&w, n / 1440, (n % 1440) as u16)));
                    for now in [0, 1_700_000_000, u64::MAX] {
                        assert!(
                            opens_utc(std::slice::from_ref(&w), now)
                                .is_none_or(|s| s <= 8 * 86_400)
                        );
                    }
                }
                let _ = parse_duration(text);
                let _ = text.parse::<crate::model::ByteLen>().map(|b| b.to_string());
            }
        }
        _ => {
            let mut n = [0u8; 8];
            let k = data.len().min(8);
            n[..k].copy_from_slice(&data[..k]);
            let u = u64::from_le_bytes(n);
            let _ = (
                date(u),
                crate::sys::clock::utc(u),
                crate::sys::clock::civil(u),
                crate::sys::clock::span(u),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_window_opens_within_eight_days_in_every_zone() {
        crate::model::corpus::run("time", super::time);
    }
}

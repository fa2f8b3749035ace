//! Durations and sizes as people write them.

use super::{ByteLen, printable};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(untagged, expecting = "write a whole number, or a text in quotes with its unit")]
enum Written {
    Number(u32),
    Text(String),
}

/// No duration is longer, so that adding some of them to a clock never overflows.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// No size is larger: several of them add up to something that is still a number.
const LARGEST: u64 = 1 << 60;

/// A duration in a configuration file: seconds, or text like `90s`, `5m`.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match Written::deserialize(from)? {
        Written::Number(n) => parse_duration(&n.to_string()).map_err(serde::de::Error::custom),
        Written::Text(text) => parse_duration(&text).map_err(serde::de::Error::custom),
    }
}

/// `90`, `90s`, `5m`, `2h`, `3d` as a duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let shown = || printable(text, 40);
    let bad = || format!("`{}` is not a duration; write a number with s, m, h or d", shown());
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let unit = units.iter().find_map(|(u, n)| text.strip_suffix(*u).map(|digits| (digits, *n)));
    let (digits, factor) = unit.unwrap_or((text, 1));
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| plain);
    let number = number.and_then(|n| n.checked_mul(factor)).map(Duration::from_secs);
    match number.ok_or_else(bad)? {
        long if long > LONGEST => Err(format!("`{}` is longer than ten years", shown())),
        duration => Ok(duration),
    }
}

/// A size in a configuration file: bytes, or text like `64K`, `100M`, `2G`.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match Written::deserialize(from)? {
        Written::Number(n) => Ok(u64::from(n)),
        Written::Text(text) => {
            let size = text.parse::<ByteLen>().map_err(serde::de::Error::custom)?;
            match size.0 <= LARGEST {
                true => Ok(size.0),
                false => Err(serde::de::Error::custom("a size of more than 2^60 bytes")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read() {
        for (text, secs) in [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)));
        }
        for bad in ["", "m", "1w", "-1s", "+1s", "99999999999999999999d", "9999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}

//! Version and release counter.

use crate::model::{Failure, ReasonCode, Result};

/// Version and counter, each from the other where only one was given; whether the counter is
/// derived.
pub(super) fn order(version: Option<&str>, counter: Option<u64>) -> Result<(String, u64, bool)> {
    match (version, counter) {
        (Some(version), Some(counter)) => Ok((version.to_owned(), counter, false)),
        (Some(version), None) => match derive(version) {
            Some(counter) => Ok((version.to_owned(), counter, true)),
            None => {
                let detail = format!(
                    "no release counter follows from version `{version}` (MAJOR.MINOR.PATCH, the last two below 1000): give --counter N"
                );
                Err(Failure::new(ReasonCode::Usage, detail))
            }
        },
        (None, Some(n)) => {
            let version = format!("{}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000);
            Ok((version, n, false))
        }
        (None, None) => Err(Failure::new(ReasonCode::Usage, "--version or --counter is missing")),
    }
}

fn derive(version: &str) -> Option<u64> {
    let mut parts = version.split('.').map(|part| {
        // No sign, no blank, and no second spelling such as 01.
        let plain =
            part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        part.parse::<u64>().ok().filter(|_| plain)
    });
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || minor >= 1000 || patch >= 1000 {
        return None;
    }
    major.checked_mul(1_000_000)?.checked_add(minor * 1000 + patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_from_plain_versions_only() {
        for (version, counter) in [("0.0.1", 1), ("2.4.1", 2_004_001), ("12.999.999", 12_999_999)] {
            assert_eq!(derive(version), Some(counter), "{version}");
            assert_eq!(order(None, Some(counter)).unwrap().0, version);
        }
        for odd in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.1000.0",
            "1.0.1000",
            "1.2.3-rc1",
            "v1.2.3",
            "1.+2.3",
            "1. 2.3",
            "01.2.3",
            "1..3",
            "18446744073709551615.0.0",
        ] {
            assert_eq!(derive(odd), None, "{odd}");
            let failure = order(Some(odd), None).unwrap_err();
            assert!(failure.detail().contains("--counter"));
        }
        assert_eq!(order(Some("odd"), Some(7)).unwrap(), ("odd".to_owned(), 7, false));
    }
}

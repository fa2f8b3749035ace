//! The time zone of a device, tzfile(5). Read by us: the C library's way keeps the zone of the
//! moment at which a process began, and counts time in 32 bits on some boards. Pure.

use super::rule::{DAY, Rule, year_of};
use super::window::Minute;

/// As many bytes as a zone has at most; the largest there is has some 4 KiB.
pub(super) const LIMIT: u64 = 64 * 1024;

/// No clock of a device is later: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// How far a clock may be from Greenwich: a day and a little.
const FARTHEST: i64 = 26 * 3_600;

/// When the clocks show what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// Seconds east of Greenwich before the first change.
    first: i64,
    /// From when on which offset counts, in order.
    changes: Vec<(i64, i64)>,
    /// After the last change.
    rule: Option<Rule>,
}

impl LocalTime {
    /// Greenwich.
    pub(super) const UTC: LocalTime = LocalTime { first: 0, changes: Vec::new(), rule: None };

    /// The zone in a file's bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<LocalTime> {
        let (version, old, rest) = Header::read(bytes)?;
        if version == 0 {
            return old.block(rest, 4).map(|(zone, _)| zone);
        }
        // From version 2 on everything follows once more with 64 bits.
        let (_, header, rest) = Header::read(rest.get(old.len(4)?..)?)?;
        let (mut zone, footer) = header.block(rest, 8)?;
        let footer = std::str::from_utf8(footer.strip_prefix(b"\n")?).ok()?;
        let rule = footer.split_once('\n')?.0;
        zone.rule = match rule {
            "" => None,
            rule => Some(Rule::parse(rule)?),
        };
        Some(zone)
    }

    /// Seconds east of Greenwich at `unix`.
    pub(super) fn offset(&self, unix: i64) -> i64 {
        let past = self.changes.partition_point(|(from, _)| *from <= unix);
        match &self.rule {
            Some(rule) if past == self.changes.len() => rule.offset(unix),
            _ => past.checked_sub(1).map_or(self.first, |last| self.changes[last].1),
        }
    }

    /// The minute of the week that the clock on the wall shows.
    pub(super) fn minute(&self, unix: u64) -> Minute {
        let unix = seconds(unix);
        minute(unix + self.offset(unix))
    }

    /// Whether the clock on the wall is not changed between the two.
    pub(super) fn is_steady(&self, from: u64, to: u64) -> bool {
        self.offset(seconds(from)) == self.offset(seconds(to))
    }
}

/// The year of Greenwich.
pub(super) fn year(unix: u64) -> i64 {
    year_of(seconds(unix).div_euclid(DAY))
}

fn seconds(unix: u64) -> i64 {
    i64::try_from(unix.min(LATEST)).expect("because the year 9999 fits")
}

/// The minute of the week at so many seconds of the wall clock.
fn minute(local: i64) -> Minute {
    // 1970 began on a Thursday; Monday is the first day here.
    let day = (local.div_euclid(DAY) + 3).rem_euclid(7);
    let minute = local.rem_euclid(DAY) / 60;
    let number = "because the remainder of a day and of a week are small and not negative";
    Minute {
        day: usize::try_from(day).expect(number),
        minute: u16::try_from(minute).expect(number),
    }
}

/// How many there are of what.
struct Header {
    utc: usize,
    standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    chars: usize,
}

impl Header {
    /// The version, the header, and what follows it.
    fn read(bytes: &[u8]) -> Option<(u8, Header, &[u8])> {
        let rest = bytes.strip_prefix(b"TZif")?;
        let (version, counts, rest) = (*rest.first()?, rest.get(16..40)?, rest.get(40..)?);
        let count = |n: usize| {
            let four = counts.get(n * 4..n * 4 + 4)?.try_into().ok()?;
            // More than fits the file is refused when it is read.
            usize::try_from(u32::from_be_bytes(four)).ok().filter(|n| *n < 1 << 20)
        };
        let header = Header {
            utc: count(0)?,
            standard: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            chars: count(5)?,
        };
        Some((version, header, rest))
    }

    /// Bytes of the block after it, with times of so many bytes.
    fn len(&self, width: usize) -> Option<usize> {
        let fixed = self.times * (width + 1) + self.types * 6 + self.chars;
        Some(fixed + self.leaps * (width + 4) + self.standard + self.utc)
    }

    fn block<'a>(&self, bytes: &'a [u8], width: usize) -> Option<(LocalTime, &'a [u8])> {
        let after = bytes.get(self.len(width)?..)?;
        let (times, rest) = bytes.split_at_checked(self.times * width)?;
        let (kinds, rest) = rest.split_at_checked(self.times)?;
        let types = rest.get(..self.types * 6)?;
        let offset = |kind: usize| {
            let four = types.get(kind * 6..kind * 6 + 4)?.try_into().ok()?;
            Some(i64::from(i32::from_be_bytes(four))).filter(|o| o.abs() <= FARTHEST)
        };
        let time = |bytes: &[u8]| match width {
            4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
            _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        };
        let changes: Option<Vec<(i64, i64)>> = times
            .chunks_exact(width)
            .zip(kinds)
            .map(|(at, kind)| Some((time(at)?, offset(usize::from(*kind))?)))
            .collect();
        let changes = changes?;
        let ordered = changes.is_sorted_by(|a, b| a.0 < b.0);
        let zone = LocalTime { first: offset(0)?, changes, rule: None };
        ordered.then_some((zone, after))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A zone as zic(8) writes it: two changes, then the rule.
    pub(in super::super) fn file(rule: &str) -> Vec<u8> {
        let header = |times: u32, types: u32| {
            let mut out = b"TZif2".to_vec();
            out.extend([0; 15]);
            out.extend([0, 0, 0, times, types, 4].iter().flat_map(|n: &u32| n.to_be_bytes()));
            out
        };
        let types = |offsets: &[i32]| {
            let mut out = Vec::new();
            offsets.iter().for_each(|o| out.extend([&o.to_be_bytes()[..], &[0, 0]].concat()));
            out.extend(b"ABC\0");
            out
        };
        let mut out = [header(0, 1), types(&[0])].concat();
        out.extend(header(2, 3));
        out.extend([1_000_000_i64, 2_000_000].iter().flat_map(|t| t.to_be_bytes()));
        out.extend([1, 2]);
        out.extend(types(&[600, 1_200, -1_800]));
        out.extend(format!("\n{rule}\n").bytes());
        out
    }

    #[test]
    fn changes_come_first_and_the_rule_after_them() {
        let zone = LocalTime::parse(&file("AAA-5")).unwrap();
        for (at, offset) in [
            (0, 600),
            (999_999, 600),
            (1_000_000, 1_200),
            (1_999_999, 1_200),
            (2_000_000, 18_000),
            (4_000_000_000, 18_000),
        ] {
            assert_eq!(zone.offset(at), offset, "{at}");
        }
        assert_eq!(LocalTime::parse(&file("")).unwrap().offset(4_000_000_000), -1_800);
    }

    #[test]
    fn the_week_begins_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = 1_795_392_000;
        assert_eq!(LocalTime::UTC.minute(monday), Minute { day: 0, minute: 0 });
        assert_eq!(LocalTime::UTC.minute(monday - 1), Minute { day: 6, minute: 1439 });
        assert_eq!(LocalTime::UTC.minute(0), Minute { day: 3, minute: 0 });
        let ahead = LocalTime { first: 3_600, ..LocalTime::UTC };
        assert_eq!(ahead.minute(monday - 60), Minute { day: 0, minute: 59 });
        let behind = LocalTime { first: -3_600, ..LocalTime::UTC };
        assert_eq!(behind.minute(0), Minute { day: 2, minute: 1380 });
        LocalTime::parse(&file("CET-1CEST,M3.5.0,M10.5.0/3")).unwrap().minute(u64::MAX);
    }

    #[test]
    fn a_damaged_file_is_none_and_never_more() {
        let good = file("AAA-5");
        for end in 0..good.len() {
            assert_eq!(LocalTime::parse(&good[..end]), None, "cut at {end}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Some(zone) = LocalTime::parse(&bad) {
                    let offsets = [i64::MIN / 4, 0, 1_500_000, 1 << 40].map(|t| zone.offset(t));
                    assert!(offsets.iter().all(|o| o.abs() <= FARTHEST), "{at}: {offsets:?}");
                }
            }
        }
        assert_eq!(LocalTime::parse(b""), None);
    }

    /// The files of the host, where it has them, against the C library's reading.
    #[test]
    fn the_c_library_reads_zones_alike() {
        let folder = std::path::Path::new("/usr/share/zoneinfo");
        let names = [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Casablanca",
            "Etc/UTC",
        ];
        let there: Vec<_> = names.iter().filter(|n| folder.join(n).exists()).collect();
        if there.is_empty() {
            eprintln!("skipped: no zones in {}", folder.display());
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("times");
        let times: Vec<i64> = (0..2_840_140_800).step_by(1_000_003).collect();
        std::fs::write(&list, times.iter().map(|t| format!("@{t}\n")).collect::<String>()).unwrap();
        for name in there {
            let zone = LocalTime::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap();
            let date = std::process::Command::new("date")
                .env("TZ", name)
                .args(["+%s %u %H %M", "-f"])
                .arg(&list)
                .output();
            let said = String::from_utf8(date.unwrap().stdout).unwrap();
            assert_eq!(said.lines().count(), times.len());
            for line in said.lines() {
                let numbers: Vec<i64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
                let shown = zone.minute(u64::try_from(numbers[0]).unwrap());
                let minute = i64::from(shown.minute);
                let day = i64::try_from(shown.day).unwrap() + 1;
                let found = [day, minute / 60, minute % 60];
                assert_eq!(found, numbers[1..], "{name} at {}", numbers[0]);
            }
        }
    }
}

//! The rule of a time zone for the years to come, as tzfile(5) ends with it and POSIX writes it in
//! `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`. Pure.

/// A day's seconds.
pub(super) const DAY: i64 = 86_400;

/// When the clocks are changed, if they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Seconds east of Greenwich.
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Summer {
    offset: i64,
    start: Change,
    end: Change,
}

/// A day of the year, and the seconds of the wall clock on it; these may be on another day.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    day: Day,
    time: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    /// `Mm.w.d`: the w-th weekday d (Sunday is 0) of month m; the 5th is the last.
    Week { month: i64, week: i64, weekday: i64 },
    /// `Jn`: 1 to 365, the 29th of February is never counted.
    WithoutLeap(i64),
    /// `n`: 0 to 365.
    Counted(i64),
}

impl Rule {
    /// The rule in `text`, all of it.
    pub(super) fn parse(text: &str) -> Option<Rule> {
        let mut rest = Rest(text);
        rest.name()?;
        let standard = -rest.time(24)?;
        if rest.0.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        rest.name()?;
        let offset = match rest.0.starts_with(',') || rest.0.is_empty() {
            true => standard + 3_600,
            false => -rest.time(24)?,
        };
        // What POSIX leaves open when no days are named, the others fill so too.
        let mut days = Rest(if rest.0.is_empty() { ",M3.2.0,M11.1.0" } else { rest.0 });
        let (start, end) = (days.change()?, days.change()?);
        let summer = Some(Summer { offset, start, end });
        days.0.is_empty().then_some(Rule { standard, summer })
    }

    /// Seconds east of Greenwich at `unix`.
    pub(super) fn offset(&self, unix: i64) -> i64 {
        let Some(summer) = &self.summer else { return self.standard };
        let year = year_of((unix + self.standard).div_euclid(DAY));
        let start = summer.start.at(year) - self.standard;
        let end = summer.end.at(year) - summer.offset;
        // South of the equator summer goes over the new year.
        let is_summer = match start < end {
            true => (start..end).contains(&unix),
            false => !(end..start).contains(&unix),
        };
        if is_summer { summer.offset } else { self.standard }
    }
}

impl Change {
    /// Seconds since 1970 by the wall clock of that year.
    fn at(&self, year: i64) -> i64 {
        let leap = days_before(year, 3) - days_before(year, 2) == 29;
        let day = match self.day {
            Day::Counted(n) => days_before(year, 1) + n,
            Day::WithoutLeap(n) => days_before(year, 1) + n - 1 + i64::from(leap && n >= 60),
            Day::Week { month, week, weekday } => {
                let first = days_before(year, month);
                // 1970 began on a Thursday.
                let ahead = (weekday - (first + 4)).rem_euclid(7);
                let day = first + ahead + 7 * (week - 1);
                if day >= days_before(year, month + 1) { day - 7 } else { day }
            }
        };
        day * DAY + self.time
    }
}

/// Days from 1970 to the first of a month, which may be the 13th. Howard Hinnant's algorithm.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year in which the day lies that is so many days after 1970 began.
pub(super) fn year_of(days: i64) -> i64 {
    let guess = 1970 + days.div_euclid(366);
    // A year that is at most 366 days long is guessed too small by one for every 366 of them.
    let mut year = guess + (days - days_before(guess, 1)).div_euclid(366);
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    year
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn take(&mut self, accept: impl Fn(char) -> bool) -> &str {
        let end = self.0.find(|c| !accept(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// `CET` or `<+03>`.
    fn name(&mut self) -> Option<()> {
        if self.skip('<') {
            self.take(|c| c != '>');
            return self.skip('>').then_some(());
        }
        (self.take(|c| c.is_ascii_alphabetic()).len() >= 3).then_some(())
    }

    fn number(&mut self, most: i64) -> Option<i64> {
        let digits = self.take(|c| c.is_ascii_digit());
        digits.parse().ok().filter(|n| *n <= most && digits.len() <= 3)
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    fn time(&mut self, hours: i64) -> Option<i64> {
        let negative = self.skip('-');
        if !negative {
            self.skip('+');
        }
        let mut seconds = self.number(hours)? * 3_600;
        for unit in [60, 1] {
            if !self.skip(':') {
                break;
            }
            seconds += self.number(59)? * unit;
        }
        Some(if negative { -seconds } else { seconds })
    }

    /// `,M3.5.0/2`
    fn change(&mut self) -> Option<Change> {
        if !self.skip(',') {
            return None;
        }
        let day = if self.skip('M') {
            let month = self.number(12).filter(|n| *n >= 1)?;
            let week = self.skip('.').then(|| self.number(5))?.filter(|n| *n >= 1)?;
            let weekday = self.skip('.').then(|| self.number(6))??;
            Day::Week { month, week, weekday }
        } else if self.skip('J') {
            Day::WithoutLeap(self.number(365).filter(|n| *n >= 1)?)
        } else {
            Day::Counted(self.number(365)?)
        };
        // tzfile(5), version 3: up to a week in either direction.
        let time = if self.skip('/') { self.time(167)? } else { 2 * 3_600 };
        Some(Change { day, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_begin_where_they_begin() {
        assert_eq!(
            (days_before(1970, 1), days_before(2000, 3), days_before(2040, 13)),
            (0, 11_017, 25_933)
        );
        for year in 1900..2200 {
            let first = days_before(year, 1);
            assert_eq!((year_of(first - 1), year_of(first)), (year - 1, year));
        }
    }

    #[test]
    fn berlin_changes_its_clocks_twice() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-03-29 01:00 UTC and 2026-10-25 01:00 UTC.
        for (change, before, after) in
            [(1_774_746_000, 3_600, 7_200), (1_792_890_000, 7_200, 3_600)]
        {
            assert_eq!((rule.offset(change - 1), rule.offset(change)), (before, after));
        }
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for bad in [
            "",
            "CET",
            "C-1",
            "CET-",
            "CET-25",
            "CET-1:60",
            "<+03",
            "<+03>",
            "CET-1CEST,",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-1CEST,M3.6.0,M10.5.0",
            "CET-1CEST,M3.5.7,M10.5.0",
            "CET-1CEST,J0,J1",
            "CET-1CEST,J1,366",
            "CET-1CEST,M3.5.0/168,M10.5.0",
            "CET-1CEST,M3.5.0,M10.5.0 ",
            "CET-1CEST,M3.5.0,M10.5.0,",
            "CET-00000001",
            "é-1",
        ] {
            assert_eq!(Rule::parse(bad), None, "{bad}");
        }
        assert_eq!(Rule::parse("<+0545>-5:45").unwrap().offset(0), 20_700);
    }

    /// The C library reads the same rules; date(1) asks it.
    #[test]
    fn the_c_library_reads_them_alike() {
        use std::process::{Command, Stdio};
        let rules = [
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "EST5EDT,M3.2.0,M11.1.0",
            "PST8PDT",
            "UTC0",
            "NZST-12NZDT,M9.5.0,M4.1.0/3",
            "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
            "IST-1GMT0,M10.5.0,M3.5.0/1",
            "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
            "AAA3BBB,J60,J300/5",
            "AAA3BBB,59/12,299",
            "IST-2IDT,M3.4.4/26,M10.5.0",
        ];
        // Every 7 hours and some from 2020 to 2060, and every 5 minutes around changes.
        let mut times: Vec<i64> = (1_577_836_800..2_840_140_800).step_by(91_017).collect();
        for day in [1_774_656_000_i64, 1_792_800_000, 1_772_928_000, 1_793_491_200, 1_790_380_800] {
            times.extend((day..day + 2 * DAY).step_by(300));
        }
        let list: String = times.iter().map(|t| format!("@{t}\n")).collect();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("times");
        std::fs::write(&file, list).unwrap();
        for text in rules {
            let rule = Rule::parse(text).unwrap();
            let date = Command::new("date")
                .env("TZ", text)
                .args(["+%s %z", "-f"])
                .arg(&file)
                .stderr(Stdio::inherit())
                .output();
            let said = String::from_utf8(date.unwrap().stdout).unwrap();
            let mut lines = 0;
            for line in said.lines() {
                let (at, zone) = line.split_once(' ').unwrap();
                let at: i64 = at.parse().unwrap();
                let (sign, number) = (zone.starts_with('-'), zone[1..].parse::<i64>().unwrap());
                let offset = number / 100 * 3_600 + number % 100 * 60;
                let expected = if sign { -offset } else { offset };
                assert_eq!(rule.offset(at), expected, "{text} at {at}");
                lines += 1;
            }
            assert_eq!(lines, times.len());
        }
    }
}

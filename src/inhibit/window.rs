//! Times of the week at which something may happen: pure.

use std::str::FromStr;

const DAY: u16 = 24 * 60;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of the day on some days of the week: `02:00-04:00`, `Sat,Sun 00:00-06:00`,
/// `Mon-Fri 22:00-05:00`. One that goes over midnight belongs to the day on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes of the day.
    start: u16,
    /// After `start`; more than a day if it goes over midnight. The end itself is outside.
    end: u16,
    written: String,
}

/// A moment of the week: the day, Monday first, and the minute of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Minute {
    pub(super) day: usize,
    pub(super) minute: u16,
}

impl Window {
    /// Whether it is open then.
    pub(super) fn is_open(&self, at: Minute) -> bool {
        let yesterday = (at.day + 6) % 7;
        (self.days[at.day % 7] && (self.start..self.end).contains(&at.minute))
            || (self.days[yesterday] && at.minute + DAY < self.end)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let shown = crate::model::printable(text, 60);
        let bad = |what: &str| {
            format!("`{shown}` is not a window: {what}; write it like `Mon-Fri 22:00-05:00`")
        };
        let (days, hours) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (read_days(days).map_err(|e| bad(&e))?, hours),
            None => ([true; 7], text.trim()),
        };
        let (start, end) = hours.split_once('-').ok_or_else(|| bad("no start-end"))?;
        let time = |text: &str| read_time(text).ok_or_else(|| bad("a time is HH:MM"));
        let (start, end) = (time(start)?, time(end)?);
        if start == DAY {
            return Err(bad("it begins at 24:00; say 00:00 and the next day"));
        }
        if start == end {
            return Err(bad("it is empty; the whole day is 00:00-24:00"));
        }
        let end = if end < start { end + DAY } else { end };
        let written = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Window { days, start, end, written })
    }
}

/// `05:30`, `24:00`: minutes of the day.
fn read_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, lengths: &[usize]| {
        let plain = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| plain)
    };
    let (hours, minutes) = (number(hours, &[1, 2])?, number(minutes, &[2])?);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= DAY).then_some(time)
}

/// `Sat,Sun`, `Mon-Fri`, `Fri-Mon`.
fn read_days(text: &str) -> Result<[bool; 7], String> {
    let day = |text: &str| {
        let lower = text.trim().to_ascii_lowercase();
        let found = NAMES.iter().position(|name| **name == lower);
        found.ok_or_else(|| format!("`{}` is not a day; days are Mon to Sun", text.trim()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By counting: every minute that a window names is marked, one after the other.
    fn by_counting(days: &[usize], start: usize, minutes: usize) -> Vec<bool> {
        let mut week = vec![false; 7 * 1440];
        for day in days {
            for n in 0..minutes {
                week[(day * 1440 + start + n) % (7 * 1440)] = true;
            }
        }
        week
    }

    fn by_window(text: &str) -> Vec<bool> {
        let window: Window = text.parse().unwrap();
        let minute = |n: usize| Minute { day: n / 1440, minute: u16::try_from(n % 1440).unwrap() };
        (0..7 * 1440).map(|n| window.is_open(minute(n))).collect()
    }

    #[test]
    fn every_minute_of_the_week_is_as_counted() {
        for (text, days, start, minutes) in [
            ("02:00-04:00", vec![0, 1, 2, 3, 4, 5, 6], 120, 120),
            ("Sat,Sun 00:00-06:00", vec![5, 6], 0, 360),
            ("Mon-Fri 22:00-05:00", vec![0, 1, 2, 3, 4], 1320, 420),
            ("Fri-Mon 23:59-00:00", vec![4, 5, 6, 0], 1439, 1),
            ("Sun 12:00-11:59", vec![6], 720, 1439),
            ("wed 00:00-24:00", vec![2], 0, 1440),
            ("Mon-Sun 00:00-24:00", vec![0, 1, 2, 3, 4, 5, 6], 0, 1440),
            ("Tue,Thu-Fri,Tue 9:05-24:00", vec![1, 3, 4], 545, 895),
        ] {
            assert!(by_window(text) == by_counting(&days, start, minutes), "{text}");
        }
        // Every start and end of a coarse grid, on the last day: over midnight it is Monday.
        for start in (0..1440).step_by(45) {
            for end in (0..=1440).step_by(45).filter(|e| *e != start) {
                let clock = |m: usize| format!("{:02}:{:02}", m / 60, m % 60);
                let text = format!("Sun {}-{}", clock(start), clock(end));
                let minutes = if end > start { end - start } else { end + 1440 - start };
                assert!(by_window(&text) == by_counting(&[6], start, minutes), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_window_is_refused_in_words() {
        for (text, said) in [
            ("", "no start-end"),
            ("02:00", "no start-end"),
            ("02:00-02:00", "empty"),
            ("24:00-02:00", "24:00"),
            ("2-4", "HH:MM"),
            ("02:60-04:00", "HH:MM"),
            ("02:00-24:01", "HH:MM"),
            ("02:0-04:00", "HH:MM"),
            ("+2:00-04:00", "HH:MM"),
            ("02:00-04:00-06:00", "HH:MM"),
            ("Mo 02:00-04:00", "`Mo` is not a day"),
            ("Mon- 02:00-04:00", "`` is not a day"),
            ("Mon Tue 02:00-04:00", "`Mon Tue` is not a day"),
            ("99999:00-04:00", "HH:MM"),
            ("é 02:00-04:00", "`é` is not a day"),
        ] {
            let failure = text.parse::<Window>().unwrap_err();
            assert!(failure.contains(said), "{text}: {failure}");
        }
        assert_eq!(
            " Sat,Sun   00:00-06:00 ".parse::<Window>().unwrap().to_string(),
            "Sat,Sun 00:00-06:00"
        );
    }
}

//! What the head of an answer says, held against what was asked for.

use super::{Miss, WAIT_MAX};
use crate::model::{Failure, ReasonCode, Result, printable};
use std::ops::Range;
use std::time::Duration;
use ureq::http::HeaderMap;

/// The value of a header that stands there once.
pub(super) fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    let text = first.map(|value| value.to_str().map(str::trim));
    match (text, all.next()) {
        (None, _) => Ok(None),
        (Some(Ok(text)), None) => Ok(Some(text)),
        _ => Err(broken(format!("the header `{name}` cannot be understood"))),
    }
}

pub(super) fn broken(text: String) -> Failure {
    Failure::new(ReasonCode::HttpAnswer, text)
}

/// The length of the body, where it is said. Any coding of it is refused: it would be another length,
/// and other bytes.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>> {
    if let Some(coding) = once(headers, "content-encoding")?
        && !coding.eq_ignore_ascii_case("identity")
    {
        let text = format!("the answer is coded: {}", printable(coding, 40));
        return Err(Failure::new(ReasonCode::HttpEncoding, text));
    }
    let len = once(headers, "content-length")?;
    match once(headers, "transfer-encoding")? {
        None => {}
        Some(_) if len.is_some() => {
            return Err(broken("the answer says its length twice".to_owned()));
        }
        Some(chunked) if chunked.eq_ignore_ascii_case("chunked") => {}
        Some(other) => {
            let text = format!("the answer is transferred as {}", printable(other, 40));
            return Err(Failure::new(ReasonCode::HttpEncoding, text));
        }
    }
    let Some(text) = len else { return Ok(None) };
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match number {
        Some(len) if len <= i64::MAX.unsigned_abs() => Ok(Some(len)),
        _ => Err(broken(format!("`{}` is no length", printable(text, 40)))),
    }
}

/// A page for people, in place of a file: what a network with a login page answers.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

/// Which bytes of how many these are, of an answer 206 to a request for `asked`.
pub(super) fn part(headers: &HeaderMap, asked: &Range<u64>) -> Result<(Range<u64>, u64)> {
    let wrong = |text: String| Failure::new(ReasonCode::HttpRange, text);
    let len = length(headers)?;
    let Some(text) = once(headers, "content-range")? else {
        return Err(wrong("a part was answered that does not say which".to_owned()));
    };
    let bad = || wrong(format!("`{}` is not the part that was asked for", printable(text, 60)));
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse().ok()).flatten();
    let (range, total) = text
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(range, total)| Some((range.split_once('-')?, number(total)?)))
        .ok_or_else(bad)?;
    let (Some(start), Some(last)) = (number(range.0), number(range.1)) else { return Err(bad()) };
    let end: u64 = u64::checked_add(last, 1).ok_or_else(bad)?;
    let total: u64 = total;
    // Fewer bytes than were asked for may come, others may not.
    let fits = start == asked.start && end > start && end <= asked.end.min(total);
    if !fits || total > i64::MAX.unsigned_abs() {
        return Err(bad());
    }
    match len {
        Some(len) if len != end - start => Err(bad()),
        _ => Ok((start..end, total)),
    }
}

/// A longer mark is not used: it is sent back with every question, and other servers refuse a long one.
const MARK_MAX: usize = 256;

/// Whether it can be sent back, and says that every byte is the same.
pub(super) fn is_strong(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = |inner: &str| inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    tag.len() <= MARK_MAX && inner.is_some_and(plain)
}

/// What tells these bytes from others at the same URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mark {
    etag: Option<String>,
    modified: Option<String>,
}

impl Mark {
    pub(super) fn of(headers: &HeaderMap) -> Result<Mark> {
        let own = |name| once(headers, name).map(|v| v.map(str::to_owned));
        Ok(Mark { etag: own("etag")?, modified: own("last-modified")? })
    }

    /// The one that says that every byte is the same.
    pub(super) fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| is_strong(tag))
    }

    /// Fails with `SOURCE_CHANGED` where the other one is of other bytes.
    pub(super) fn same(&self, other: &Mark) -> Result<()> {
        let differ =
            |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
        let gone = self.strong().is_some() && other.etag.is_none();
        let changed = match (&self.etag, &other.etag) {
            (Some(_), Some(_)) => differ(&self.etag, &other.etag),
            _ => differ(&self.modified, &other.modified),
        };
        match changed || gone {
            false => Ok(()),
            true => {
                let text = "another file has taken its place on the server meanwhile";
                Err(Failure::new(ReasonCode::SourceChanged, text))
            }
        }
    }
}

/// What an answer without the file means, or, with `report`, one that does not take a report. Most answers of
/// 4xx to a report are the same the next time; those that a certificate, credentials or a proxy change are not.
pub(super) fn denied(url: &str, (status, report): (u16, bool), headers: &HeaderMap) -> Miss {
    let wait = headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(retry_after);
    let miss = |code, text: &str, again| {
        let said =
            wait.map_or_else(String::new, |w| format!(", to be asked again in {} s", w.as_secs()));
        let text = format!("{url}: {status}{text}{said}");
        Miss { failure: Failure::new(code, text), again, wait }
    };
    let code = ReasonCode::HttpStatus;
    match status {
        407 => miss(ReasonCode::ProxyRefused, ": the proxy wants credentials", false),
        511 => miss(ReasonCode::CaptivePortal, ": this network wants a login first", false),
        401 | 403 => miss(code, ": the server gives it to others only", false),
        408 | 425 | 429 | 500..=599 => miss(code, ": the server cannot answer now", true),
        400..=499 if report => miss(ReasonCode::ReportRefused, "", false),
        404 | 410 => miss(code, ": it is not there", false),
        416 => miss(ReasonCode::HttpRange, ": there is no such part", false),
        _ => miss(code, "", false),
    }
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number that is too long for one is long enough.
        return Some(text.parse().map_or(WAIT_MAX, Duration::from_secs).min(WAIT_MAX));
    }
    let seconds = http_date(text)?.saturating_sub(crate::sys::clock::unix_seconds());
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split([' ', ':']).filter(|w| !w.is_empty()).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { return None };
    let number = |w: &str| w.parse::<u64>().ok();
    let month = u64::try_from(MONTHS.find(month)? / 3).ok()? + 1;
    let (day, year) = (number(day)?, number(year).filter(|y| (1970..10_000).contains(y))?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    if day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from a civil date; the year begins in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day;
    let since = days.checked_sub(719_469)?;
    Some(since * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::{HeaderName, HeaderValue};

    fn heads(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_part_is_the_one_that_was_asked_for() {
        let of = |range: &str, len: &str| {
            let heads = heads(&[("content-range", range), ("content-length", len)]);
            part(&heads, &(10..20)).map_err(|f| f.code())
        };
        assert_eq!(of("bytes 10-19/100", "10"), Ok((10..20, 100)));
        assert_eq!(of("bytes 10-14/100", "5"), Ok((10..15, 100)), "fewer may come");
        for (range, len) in [
            ("bytes 0-9/100", "10"),
            ("bytes 10-20/100", "11"),
            ("bytes 10-19/15", "10"),
            ("bytes 10-19/*", "10"),
            ("bytes 10-19/100", "9"),
            ("bytes 19-10/100", "10"),
            ("bytes */100", "0"),
            ("items 10-19/100", "10"),
            ("bytes +10-19/100", "10"),
            ("bytes 10-18446744073709551615/100", "10"),
            ("bytes 10-19/18446744073709551615", "10"),
        ] {
            assert_eq!(of(range, len), Err(ReasonCode::HttpRange), "{range}");
        }
        assert_eq!(part(&heads(&[]), &(0..1)).unwrap_err().code(), ReasonCode::HttpRange);
    }

    #[test]
    fn lengths_are_numbers_and_stand_there_once() {
        let of = |all: &[(&'static str, &str)]| length(&heads(all)).map_err(|f| f.code());
        assert_eq!(of(&[("content-length", "7")]), Ok(Some(7)));
        assert_eq!(of(&[("transfer-encoding", "chunked")]), Ok(None));
        for bad in ["-1", "+7", "7x", "", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(of(&[("content-length", bad)]), Err(ReasonCode::HttpAnswer), "{bad}");
        }
        let two = [("content-length", "7"), ("content-length", "8")];
        let both = [("content-length", "7"), ("transfer-encoding", "chunked")];
        assert_eq!([of(&two), of(&both)], [const { Err(ReasonCode::HttpAnswer) }; 2]);
        let coded = Err(ReasonCode::HttpEncoding);
        assert_eq!(
            [of(&[("content-encoding", "gzip")]), of(&[("transfer-encoding", "gzip")])],
            [coded, coded]
        );
    }

    #[test]
    fn other_bytes_are_noticed() {
        let mark = |etag: Option<&str>, modified: Option<&str>| Mark {
            etag: etag.map(str::to_owned),
            modified: modified.map(str::to_owned),
        };
        let (a, b) = (mark(Some("\"a\""), Some("x")), mark(Some("\"b\""), Some("x")));
        assert!(a.same(&a).is_ok() && a.same(&b).is_err());
        assert!(a.same(&mark(None, Some("x"))).is_err(), "the mark is gone");
        let (x, y) = (mark(None, Some("x")), mark(None, Some("y")));
        assert!(x.same(&y).is_err() && x.same(&x).is_ok());
        assert_eq!((a.strong(), mark(Some("W/\"a\""), None).strong()), (Some("\"a\""), None));
        let long = format!("\"{}\"", "x".repeat(MARK_MAX));
        for unfit in [&long, "\"", "a", "\"a\"b\"", "\"a b\"", "\"\u{1b}\"", "\"\n\""] {
            assert!(!is_strong(unfit), "{unfit:?}");
        }
    }

    #[test]
    fn a_server_may_say_when_to_come_again() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(http_date("soon"), None);
        for place in [1, 3, 4, 5, 6] {
            let mut words = ["Sun,", "06", "Nov", "1994", "08", "49", "37", "GMT"];
            words[place] = "18446744073709551615";
            assert_eq!(http_date(&words.join(" ")), None, "{words:?}");
        }
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("99999999999999999999"), Some(WAIT_MAX));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let busy = denied("u", (503, false), &heads(&[("retry-after", "7")]));
        assert!(busy.again && busy.wait == Some(Duration::from_secs(7)));
        assert!(!denied("u", (404, false), &heads(&[])).again);
        assert_eq!(
            denied("u", (511, false), &heads(&[])).failure.code(),
            ReasonCode::CaptivePortal
        );
    }
}

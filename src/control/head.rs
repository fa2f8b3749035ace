//! The head of a request, and that of an answer: bytes in, values out.

/// The largest head, bytes.
pub(super) const HEAD_MAX: usize = 8 * 1024;

/// More header lines than any client of ours sends.
const HEADERS_MAX: usize = 32;

/// How the body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Bytes(u64),
    Chunked,
    /// Where the connection ends: answers only.
    UntilEnd,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `GET`, `POST`, `PUT`.
    pub method: String,
    /// The path without the query: `/v1/status`.
    pub path: String,
    /// `name=value` pairs behind the `?`, in order, decoded.
    pub query: Vec<(String, String)>,
    pub(super) length: Length,
    /// The client waits for a word before it sends the body (curl does, with large ones).
    pub(super) expects: bool,
}

impl Head {
    /// A request without a body.
    pub fn new(method: &str, path: &str, query: Vec<(String, String)>) -> Head {
        let (method, path) = (method.to_owned(), path.to_owned());
        Head { method, path, query, length: Length::Bytes(0), expects: false }
    }

    /// The value of a query parameter; the first if there are several.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More is needed.
    Partial,
    /// A head of so many bytes.
    Whole(Box<Head>, usize),
    /// Nothing that will ever be one: an HTTP status and a sentence.
    Bad(u16, &'static str),
}

/// Reads a head from the front of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Bad(431, "The request's head is too long.");
        }
        Err(_) => return Parsed::Bad(400, "This is no HTTP request."),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Parsed::Bad(400, "This is no HTTP request.");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut head = Head::new(method, path, Vec::new());
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Parsed::Bad(400, "The query is not encoded as one.");
        };
        head.query.push((name, value));
    }
    match length_of(request.headers) {
        Ok(length) => head.length = length.unwrap_or(Length::Bytes(0)),
        Err(why) => return Parsed::Bad(400, why),
    }
    let expect = request.headers.iter().rfind(|h| h.name.eq_ignore_ascii_case("expect"));
    head.expects = expect.is_some_and(|h| h.value.eq_ignore_ascii_case(b"100-continue"));
    Parsed::Whole(Box::new(head), len)
}

/// How long the headers say that the body is; `None` where they do not say it.
fn length_of(headers: &[httparse::Header<'_>]) -> Result<Option<Length>, &'static str> {
    let mut length: Option<Length> = None;
    for header in headers {
        let value = std::str::from_utf8(header.value).map_err(|_| "A header is not text.")?;
        let found = match header.name.to_ascii_lowercase().as_str() {
            "content-length" if value.bytes().all(|b| b.is_ascii_digit()) => {
                value.parse().ok().map(Length::Bytes)
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => Some(Length::Chunked),
            "content-length" | "transfer-encoding" => None,
            _ => continue,
        };
        // Two ways to find the end are two requests to whoever reads them differently.
        match (found, length) {
            (Some(found), None) => length = Some(found),
            _ => return Err("How long the body is cannot be told."),
        }
    }
    Ok(length)
}

/// Reads the head of an answer: its status, how its body ends, and the head's own length; `None` where more is
/// needed.
pub(super) fn parse_answer(bytes: &[u8]) -> Result<Option<(u16, Length, usize)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let len = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err("the answer's head is too long");
        }
        Err(_) => return Err("this is no HTTP answer"),
    };
    let status = answer.code.ok_or("this is no HTTP answer")?;
    let length = match status {
        // Nothing that was asked for is an answer before the answer.
        100..200 => return Err("this is no answer to what was asked"),
        204 | 304 => Length::Bytes(0),
        _ => length_of(answer.headers)?.unwrap_or(Length::UntilEnd),
    };
    Ok(Some((status, length, len)))
}

/// Percent-decoded; a plus stays a plus.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole_and_not_before() {
        let text = b"POST /v1/hold?until=2d&reason=a%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nbody";
        let end = text.len() - 4;
        for len in 0..end {
            assert_eq!(parse(&text[..len]), Parsed::Partial, "{len}");
        }
        let Parsed::Whole(head, len) = parse(text) else { panic!() };
        assert_eq!((head.method.as_str(), head.path.as_str(), len), ("POST", "/v1/hold", end));
        assert_eq!((head.parameter("until"), head.parameter("reason")), (Some("2d"), Some("a b")));
        assert_eq!(head.length, Length::Bytes(12));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let status =
            |headers: &str| match parse(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()) {
                Parsed::Bad(status, _) => status,
                Parsed::Whole(..) => 200,
                Parsed::Partial => 0,
            };
        assert_eq!(status("Content-Length: 1\r\n"), 200);
        assert_eq!(status("Content-Length: 1\r\nContent-Length: 1\r\n"), 400);
        assert_eq!(status("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400);
        assert_eq!(status("Content-Length: +1\r\n"), 400);
        assert_eq!(status("Content-Length: -1\r\n"), 400);
        assert_eq!(status("Content-Length: 99999999999999999999\r\n"), 400);
        assert_eq!(status("Transfer-Encoding: gzip\r\n"), 400);
        assert_eq!(status(&"A: b\r\n".repeat(40)), 431);
    }

    #[test]
    fn garbage_is_told_from_a_slow_client() {
        assert!(matches!(parse(b"\x16\x03\x01 tls"), Parsed::Bad(400, _)));
        assert!(matches!(parse(b"GET /?%zz HTTP/1.1\r\n\r\n"), Parsed::Bad(400, _)));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_MAX));
        assert!(matches!(parse(long.as_bytes()), Parsed::Bad(431, _)));
    }
}

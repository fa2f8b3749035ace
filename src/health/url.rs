//! Addresses of a web server.

use crate::model::printable;

/// `http://host:port/path` or `https://…`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub(super) secure: bool,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) path: &'a str,
}

impl Url<'_> {
    pub(super) fn parse(text: &str) -> Result<Url<'_>, String> {
        let bad = || format!("`{text}` is not a URL that begins with http:// or https://");
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or_else(bad)?),
        };
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{}` is not a URL", printable(text, 100)));
        }
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (place, if secure { 443 } else { 80 }),
        };
        match host.is_empty() {
            true => Err(bad()),
            false => Ok(Url { secure, host, port, path }),
        }
    }
}

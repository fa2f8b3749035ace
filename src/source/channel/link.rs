//! Addresses in a channel: http and https, without credentials; relative to the channel unless they name a
//! host.

use crate::model::{Failure, ReasonCode, Result, printable};

const MAX_LEN: usize = 2048;

/// Whether an address may stand in a channel.
pub(super) fn check(url: &str) -> std::result::Result<(), String> {
    let refuse = |why: &str| Err(format!("the address `{}` {why}", printable(url, 120)));
    if url.is_empty() || url.len() > MAX_LEN {
        return refuse("is empty or too long");
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains(['\\', '#', '"', '<', '>']) {
        return refuse("has characters that no address has");
    }
    let path = match split(url) {
        Some((scheme, authority, path)) => {
            if !["http", "https"].contains(&scheme) {
                return refuse("is neither http nor https");
            }
            if authority.contains('@') {
                return refuse("carries credentials");
            }
            if authority.is_empty() {
                return refuse("names no host");
            }
            path
        }
        None => {
            let first = url.split(['/', '?']).next().unwrap_or_default();
            if first.contains(':') {
                return refuse("is neither http nor https");
            }
            if url.starts_with("//") {
                return refuse("names a host without http or https");
            }
            url
        }
    };
    let path = path.split('?').next().unwrap_or_default();
    match path.split('/').any(|part| part == ".." || part == ".") {
        true => refuse("climbs out of its folder"),
        false => Ok(()),
    }
}

/// Scheme, authority and the rest, of an address that names a host.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.bytes().all(plain) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// Whether an address names a host that http or https reaches: `https://HOST[:PORT]/PATH`, with credentials or
/// without.
pub fn names_host(url: &str) -> bool {
    let Some((scheme, authority, _)) = split(url) else { return false };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host, None),
    };
    let reached = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let plain = url.len() <= MAX_LEN && url.bytes().all(|b| b.is_ascii_graphic());
    web && plain && !host.is_empty() && reached
}

/// An address as it may be shown and kept: without credentials.
pub fn without_login(url: &str) -> String {
    match split(url) {
        Some((scheme, authority, path)) => {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// The address that `link`, as it stands in the channel at `base`, means. `CHANNEL_INVALID` where either is
/// none.
pub fn resolve(base: &str, link: &str) -> Result<String> {
    let refuse = |why: String| Failure::new(ReasonCode::ChannelInvalid, why);
    check(link).map_err(refuse)?;
    if split(link).is_some() {
        return Ok(link.to_owned());
    }
    let none = || refuse(format!("`{}` is no address of a channel", printable(base, 120)));
    let (scheme, authority, path) = split(base).ok_or_else(none)?;
    let path = path.split('?').next().unwrap_or_default();
    let folder = match link.starts_with('/') {
        true => "",
        false => path.rfind('/').map_or("/", |end| &path[..=end]),
    };
    Ok(format!("{scheme}://{authority}{folder}{link}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_to_the_channel_unless_they_name_a_host() {
        let base = "https://h.example:8443/a/stable.channel?x=/y";
        for (link, want) in [
            ("x.surefoot", "https://h.example:8443/a/x.surefoot"),
            ("b/x.surefoot", "https://h.example:8443/a/b/x.surefoot"),
            ("/x.surefoot", "https://h.example:8443/x.surefoot"),
            ("http://cdn.example/x", "http://cdn.example/x"),
            ("https://cdn.example", "https://cdn.example"),
        ] {
            assert_eq!(resolve(base, link).unwrap(), want);
        }
        assert_eq!(resolve("http://h", "x").unwrap(), "http://h/x");
        assert!(resolve("/etc/x", "x").is_err());
        assert_eq!(without_login("https://u:p@h:1/a@b?c"), "https://h:1/a@b?c");
        assert_eq!(without_login("reports"), "reports");
    }

    #[test]
    fn an_address_that_is_followed_names_a_host() {
        let good = [
            "http://h",
            "https://u:p@h:8443/a?b",
            "HTTP://h/x",
            "http://[::1]",
            "http://[::1]:80/",
        ];
        let bad = ["127.0.0.1:8802/x", "/srv/x", "banana", "ftp://h/x", "http://", "https://:80/x"];
        assert!(good.iter().all(|url| names_host(url)));
        assert!(bad.iter().all(|url| !names_host(url)));
        assert!(
            ["http://h:0/x", "http://h:x/", "http://h/a b", ""].iter().all(|url| !names_host(url))
        );
    }

    #[test]
    fn no_other_scheme_no_credentials_and_no_way_out() {
        let long = "x".repeat(MAX_LEN + 1);
        for bad in [
            "",
            "file:///etc/passwd",
            "ftp://h/x",
            "javascript:alert(1)",
            "//h/x",
            "https://u:p@h/x",
            "https://u@h/x",
            "http://",
            "https:///x",
            "../x",
            "a/../x",
            "https://h/../x",
            "a b",
            "a\nb",
            "a\\b",
            "x#y",
            "é",
            "data:x/y",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

//! Addresses on web servers: what is accepted, and where a redirect may lead.

use crate::model::printable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A longer one is none.
const URL_MAX: usize = 2048;

/// `http://HOST[:PORT]/…` or `https://…`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Over TLS.
    pub https: bool,
    /// A name in small letters, or an address without brackets.
    pub host: String,
    /// The one of the scheme where none is written.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
    /// `user:password`, as written before the host.
    pub login: Option<String>,
}

impl Url {
    /// Reads one. The error is a sentence that does not repeat a password.
    pub fn parse(text: &str) -> Result<Url, String> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("a URL begins with http:// or https://".to_owned()),
        };
        let plain = |b: u8| b.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&b);
        if text.len() > URL_MAX || !text.bytes().all(plain) {
            return Err("a URL has at most 2048 plain ASCII letters and no `#`".to_owned());
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (place, target) = rest.split_at(at);
        let (login, place) = match place.rsplit_once('@') {
            Some((login, place)) => (Some(login.to_owned()), place),
            None => (None, place),
        };
        if login.as_deref().is_some_and(|l| l.contains('@') || !l.contains(':')) {
            return Err("credentials in a URL are written as user:password@host".to_owned());
        }
        let (host, port) = host_and_port(place, if https { 443 } else { 80 })?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Url { https, host, port, target, login })
    }

    /// Where `location` of an answer from here leads to.
    pub fn join(&self, location: &str) -> Result<Url, String> {
        // What is behind it is for browsers.
        let location = location.split('#').next().unwrap_or_default();
        let own = |target: String| Url::parse(&format!("{}{target}", self.origin()));
        let scheme = location.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| !scheme.contains(['/', '?'])) {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", if self.https { "https" } else { "http" }));
        }
        if location.starts_with('/') {
            return own(location.to_owned());
        }
        if location.is_empty() || location.split(['/', '?']).next().is_some_and(|s| s.contains(':'))
        {
            return Err("it leads to no http:// or https://".to_owned());
        }
        let path = self.target.split('?').next().unwrap_or("/");
        if location.starts_with('?') {
            return own(format!("{path}{location}"));
        }
        let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
        own(format!("{folder}{location}"))
    }

    /// The host as it stands in a URL.
    pub fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }

    /// For people and logs: without credentials, and without what stands behind `?`, which may let anybody
    /// in who has read it.
    pub fn shown(&self) -> String {
        let asked = self.asked();
        asked.split_once('?').map_or(asked.clone(), |(bare, _)| format!("{bare}?…"))
    }

    /// What is asked for: without credentials.
    pub(super) fn asked(&self) -> String {
        let usual = self.port == if self.https { 443 } else { 80 };
        let port = if usual { String::new() } else { format!(":{}", self.port) };
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{port}{}", self.bracketed(), self.target)
    }

    /// Whether credentials may be sent there: over TLS, or without leaving this device.
    pub fn may_carry_login(&self) -> bool {
        self.https || Zone::written(&self.host) == Zone::Own
    }

    /// Whether both are on the same host, reached in the same way.
    pub fn same_host(&self, other: &Url) -> bool {
        (self.https, &self.host, self.port) == (other.https, &other.host, other.port)
    }
}

fn host_and_port(place: &str, usual: u16) -> Result<(String, u16), String> {
    let bad = || format!("`{}` is no host", printable(place, 80));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<Ipv6Addr>().map_err(|_| bad())?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map_err(|_| bad())?
        }
        Some(_) => return Err(bad()),
        None if place.ends_with(']') || !place.starts_with('[') => usual,
        None => return Err(bad()),
    };
    if port == 0 || !(host.contains(':') || is_name(host)) {
        return Err(bad());
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// A name, or four numbers with dots. `0x7f.1` and `2130706433` are neither, whatever others take
/// them for.
fn is_name(host: &str) -> bool {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !l.is_empty() && l.len() <= 63 && l.bytes().all(inner)
    };
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    // An address with a dot behind it is read as an address by some and as a name by others.
    let address = host.parse::<Ipv4Addr>().is_ok();
    bare.len() <= 253 && bare.split('.').all(label) && (address || !number)
}

/// How far away an address is; a redirect never leads to a nearer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// This device.
    Own,
    /// The same link; also what a cloud's metadata servers have.
    Link,
    /// A private network.
    Private,
    /// Anything else.
    Public,
}

impl Zone {
    /// Of a host as it is written, before its name is asked for.
    pub(super) fn written(host: &str) -> Zone {
        let bare = host.trim_end_matches('.');
        match host.parse() {
            Ok(address) => Zone::of(address),
            Err(_) if bare == "localhost" || bare.ends_with(".localhost") => Zone::Own,
            Err(_) => Zone::Public,
        }
    }

    /// Of an address.
    pub(super) fn of(address: IpAddr) -> Zone {
        let v4 = match address {
            IpAddr::V4(v4) => v4,
            IpAddr::V6(v6) => match within(v6) {
                _ if v6.is_loopback() || v6.is_unspecified() => return Zone::Own,
                Some(v4) => v4,
                None if v6.is_unicast_link_local() => return Zone::Link,
                None if v6.is_unique_local() || is_local_site(v6) => return Zone::Private,
                None => return Zone::Public,
            },
        };
        let [a, b, ..] = v4.octets();
        match () {
            () if a == 127 || a == 0 => Zone::Own,
            () if v4.is_link_local() => Zone::Link,
            // RFC 1918, and what providers share (RFC 6598).
            () if v4.is_private() || a == 100 && b & 0xc0 == 64 => Zone::Private,
            () => Zone::Public,
        }
    }
}

/// The address of the other family that is reached by this one: mapped, compatible and translated ones
/// (RFC 4291, 2765), NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380).
fn within(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let four = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => four(high, low),
        [0x2001, 0, .., high, low] => four(!high, !low),
        _ => None,
    }
}

/// NAT64 within one network (RFC 8215), and what was for one site (RFC 3879).
fn is_local_site(v6: Ipv6Addr) -> bool {
    matches!(v6.segments(), [0x64, 0xff9b, 1, ..] | [0xfec0..=0xfeff, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = |text: &str| Url::parse(text).unwrap();
        let full = url("https://Updates.Example.com:8443/a/b?c=d");
        assert_eq!(
            (full.https, full.host.as_str(), full.port),
            (true, "updates.example.com", 8443)
        );
        assert_eq!(full.target, "/a/b?c=d");
        assert_eq!((url("http://a").port, url("https://a").port), (80, 443));
        assert_eq!(url("http://a?x").target, "/?x");
        let six = url("http://[::1]:8080/x");
        assert_eq!((six.host.as_str(), six.authority().as_str()), ("::1", "[::1]:8080"));
        let login = url("https://u:p%40@h/x");
        assert_eq!(
            (login.login.as_deref(), login.shown().as_str()),
            (Some("u:p%40"), "https://h/x")
        );
        assert!(login.may_carry_login() && !url("http://u:p@h/").may_carry_login());
        assert!(url("http://u:p@127.0.0.1/").may_carry_login());
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in [
            "ftp://a/",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://:80/",
            "http://a:0/",
            "http://a:99999/",
            "http://a:8o/",
            "http://a b/",
            "http://a/\r\nX: y",
            "http://a\\b/",
            "http://a/#x",
            "http://[::1",
            "http://[::1]x/",
            "http://[a]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://1.2.3/",
            "http://127.0.0.1./",
            "http://a..b/",
            "http://a/\u{e4}",
            "http://user@a/",
            "http://u:p@x@a/",
            "https://%31/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert!(Url::parse(&format!("http://a/{}", "x".repeat(URL_MAX))).is_err());
    }

    #[test]
    fn a_location_is_read_from_where_it_was_said() {
        let from = Url::parse("https://a:444/x/y?z").unwrap();
        let to = |l: &str| from.join(l).map(|u| u.asked());
        assert_eq!(from.shown(), "https://a:444/x/y?…");
        assert_eq!(to("w"), Ok("https://a:444/x/w".to_owned()));
        assert_eq!(to("/w#f"), Ok("https://a:444/w".to_owned()));
        assert_eq!(to("//b/w"), Ok("https://b/w".to_owned()));
        assert_eq!(to("/w?of=http://b/"), Ok("https://a:444/w?of=http://b/".to_owned()));
        assert_eq!(to("?w"), Ok("https://a:444/x/y?w".to_owned()));
        assert_eq!(to("http://b/"), Ok("http://b/".to_owned()));
        for bad in ["file:///x", "javascript:x", "", "gopher://x/", "http://"] {
            assert!(from.join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_distance() {
        let zone = |text: &str| Zone::of(text.parse().unwrap());
        for own in ["127.0.0.1", "127.8.9.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"] {
            assert_eq!(zone(own), Zone::Own, "{own}");
        }
        assert_eq!([zone("169.254.169.254"), zone("fe80::1")], [Zone::Link; 2]);
        for private in ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"] {
            assert_eq!(zone(private), Zone::Private, "{private}");
        }
        assert_eq!([zone("1.1.1.1"), zone("172.32.0.1"), zone("2001:db8::1")], [Zone::Public; 3]);
        // An address that hides in another one is as near as itself.
        for (own, private, public) in [
            ("64:ff9b::127.0.0.1", "64:ff9b::10.1.2.3", "64:ff9b::1.1.1.1"),
            ("::127.0.0.1", "::10.1.2.3", "::1.1.1.1"),
            ("::ffff:0:127.0.0.1", "::ffff:0:10.1.2.3", "::ffff:0:1.1.1.1"),
            ("2002:7f00:1::", "2002:a01:203::1", "2002:101:101::1"),
            ("2001::80ff:fffe", "2001::f5fe:fdfc", "2001::fefe:fefe"),
        ] {
            assert_eq!(
                [zone(own), zone(private), zone(public)],
                [Zone::Own, Zone::Private, Zone::Public],
                "{own}"
            );
        }
        assert_eq!([zone("64:ff9b:1::1.1.1.1"), zone("fec0::1")], [Zone::Private; 2]);
        let written = |host| Zone::written(host);
        assert_eq!(["localhost", "localhost.", "a.localhost"].map(written), [Zone::Own; 3]);
        assert_eq!(["10.1.2.3", "localhost.org"].map(written), [Zone::Private, Zone::Public]);
    }
}

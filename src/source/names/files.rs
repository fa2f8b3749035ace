//! `/etc/hosts` and `/etc/resolv.conf`, as text.

use std::net::IpAddr;
use std::time::Duration;

/// Who is asked for names, and how (resolv.conf(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) servers: Vec<IpAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

/// As many as the C library takes.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;

impl Servers {
    /// What such a file says; the usual where it says nothing.
    pub(super) fn read(text: &str) -> Servers {
        let mut it = Servers {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if it.servers.len() < SERVERS_MAX => {
                    // A zone behind `%` names a link; the kernel knows it by the route.
                    let word = words.next().and_then(|w| w.split('%').next());
                    it.servers.extend(word.and_then(|w| w.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => {
                    it.search = words.take(SEARCH_MAX).map(str::to_owned).collect();
                }
                Some("options") => words.for_each(|word| it.option(word)),
                _ => {}
            }
        }
        if it.servers.is_empty() {
            it.servers.push(IpAddr::from([127, 0, 0, 1]));
        }
        it
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(n) = value.parse::<u8>() else { return };
        match name {
            "ndots" => self.ndots = usize::from(n.min(15)),
            "timeout" => self.timeout = Duration::from_secs(n.clamp(1, 30).into()),
            "attempts" => self.attempts = n.clamp(1, 5).into(),
            _ => {}
        }
    }

    /// The names that `host` may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let found = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let mut all: Vec<String> = found.collect();
        let dots = host.bytes().filter(|b| *b == b'.').count();
        let at = if dots >= self.ndots { 0 } else { all.len() };
        all.insert(at, host.to_owned());
        all
    }
}

/// The addresses of a name by such a file.
pub(super) fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.split('%').next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    text.lines().filter_map(line).take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_options_are_read_and_bounded() {
        let text = "# x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\nnameserver \
                    1.1.1.1\nnameserver 2.2.2.2\nsearch a.example b.example\noptions ndots:2 \
                    timeout:99 attempts:0 rotate\n";
        let it = Servers::read(text);
        let servers: Vec<String> = it.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1", "fe80::1", "1.1.1.1"]);
        assert_eq!((it.ndots, it.timeout.as_secs(), it.attempts), (2, 30, 1));
        assert_eq!(it.candidates("h.x"), ["h.x.a.example", "h.x.b.example", "h.x"]);
        assert_eq!(it.candidates("h.x.y"), ["h.x.y", "h.x.y.a.example", "h.x.y.b.example"]);
        assert_eq!(it.candidates("h."), ["h."]);
        assert_eq!(Servers::read("").servers, [IpAddr::from([127, 0, 0, 1])]);
    }

    #[test]
    fn hosts_are_found_by_every_name() {
        let text = "127.0.0.1 localhost\n192.0.2.7 box Box.local # a comment box2\nx y\n::5 box\n";
        let found = |host| in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("BOX"), ["192.0.2.7", "::5"]);
        assert_eq!(found("box.local."), ["192.0.2.7"]);
        assert!(found("box2").is_empty() && found("comment").is_empty());
    }
}

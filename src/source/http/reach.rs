//! Whether a source takes connections, and if not, whether anything answers at all. Connections of TCP
//! only: this process has no rights for more.

use super::dial::{dial, proxy_for};
use super::gateway;
use super::question::Setup;
use super::url::{Url, Zone};
use crate::model::{ReasonCode, printable};
use crate::source::Reached;
use crate::source::names;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For the source; and for each thing that stands beside it.
const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(5);

/// Almost every router answers here, and be it with a refusal.
const DNS: u16 = 53;

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// A connection was made.
    Taken,
    /// It was refused, which is an answer too.
    Refused,
    /// Nothing came for the whole time.
    Silent,
    /// The network, or a router, says that there is no way.
    NoWay(String),
}

fn meet(address: SocketAddr, limit: Duration) -> Met {
    match TcpStream::connect_timeout(&address, limit.max(Duration::from_millis(1))) {
        Ok(_) => Met::Taken,
        Err(e) => match e.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Met::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Met::Silent,
            _ => Met::NoWay(e.to_string()),
        },
    }
}

/// The best that one of the addresses of a host says; each has its share of the time.
fn meet_host(host: &str, port: u16, limit: Duration) -> Met {
    let due = Instant::now() + limit;
    let found = match names::lookup(host, due) {
        Ok(found) => found,
        Err(failure) => return Met::NoWay(failure.detail().to_owned()),
    };
    let (mut best, count) = (Met::NoWay("no address".to_owned()), found.len());
    for (n, address) in found.into_iter().enumerate() {
        let left = due.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(count - n).unwrap_or(1);
        match meet(SocketAddr::new(address, port), share) {
            Met::Taken => return Met::Taken,
            Met::Refused => best = Met::Refused,
            other if best != Met::Refused => best = other,
            _ => {}
        }
    }
    best
}

fn why(place: &str, met: &Met) -> String {
    let text = match met {
        Met::Taken => "answers",
        Met::Refused => "refuses a connection",
        Met::Silent => "is silent",
        Met::NoWay(why) => why,
    };
    format!("{}: {}", printable(place, 100), printable(text, 200))
}

/// `host:port` as a setting has it.
fn place(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// Looks whether `url` takes connections. It is looked too whether one of `witnesses` (`host:port`) or the
/// default gateway answers: with `again` where the source does not answer, else where it does.
pub(super) fn reach(url: &Url, witnesses: &[String], again: bool, net: &Setup) -> Reached {
    let mut found = Reached::default();
    let mut said = Vec::new();
    match proxy_for(net, url) {
        Ok(None) => match meet_host(&url.host, url.port, LIMIT) {
            Met::Taken => found.source = true,
            met => {
                said.push(why(&url.authority(), &met));
                found.network = (met == Met::Refused).then(|| said[0].clone());
            }
        },
        // A proxy that takes a tunnel has reached what is behind it.
        Ok(Some(proxy)) => {
            let limit = u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX);
            let (connect, header) = (net.connect.min(limit), net.header.min(limit));
            match dial(&Setup { connect, header, ..net.clone() }, url, Zone::Own, &[]) {
                Ok(_) => found.source = true,
                Err(failure) => {
                    said.push(failure.detail().to_owned());
                    let answered = failure.code() == ReasonCode::ProxyRefused;
                    found.network = answered.then(|| format!("{}: answers", proxy.authority()));
                }
            }
        }
        Err(failure) => said.push(failure.detail().to_owned()),
    }
    if found.network.is_none() && found.source != again {
        found.network = elsewhere(witnesses, &mut said);
    }
    found.said = printable(&said.join("; "), 1_000);
    found
}

/// Something beside the source that answers.
fn elsewhere(witnesses: &[String], said: &mut Vec<String>) -> Option<String> {
    for text in witnesses {
        let met = match place(text) {
            Some((host, port)) => meet_host(host, port, SHORT),
            None => Met::NoWay("it is not `host:port`".to_owned()),
        };
        let word = why(text, &met);
        match met {
            Met::Taken | Met::Refused => return Some(word),
            _ => said.push(word),
        }
    }
    for router in gateway::all() {
        let met = meet(router.at(DNS), SHORT);
        let name = format!("the gateway {}", router.address);
        match met {
            Met::Taken | Met::Refused => return Some(why(&name, &met)),
            // It drops what it does not like. That it is there is known from its link address.
            Met::Silent if router.is_near() => return Some(format!("{name}: is on the link")),
            _ => said.push(why(&name, &met)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// An address that refuses: the near end of a connection, which no other program is given.
    fn refuses() -> (TcpListener, TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let shut = kept.local_addr().unwrap().to_string();
        (listener, kept, shut)
    }

    #[test]
    fn a_connection_is_enough_and_a_refusal_shows_that_the_network_works() {
        let (listener, _kept, shut) = refuses();
        let open = listener.local_addr().unwrap().to_string();
        let at = |place: &str| Url::parse(&format!("https://{place}/")).unwrap();
        let net = Setup::default();
        let found = reach(&at(&open), &[], true, &net);
        assert_eq!(found, Reached { source: true, ..Reached::default() });
        let found = reach(&at(&open), std::slice::from_ref(&shut), false, &net);
        assert_eq!(found.network, Some(format!("{shut}: refuses a connection")));
        let found = reach(&at(&shut), &[], true, &net);
        assert!(!found.source && found.network.is_some_and(|n| n.contains("refuses")));
        // An address to which nothing is ever sent, and a witness that answers.
        let nowhere = at("255.255.255.255");
        let found = reach(&nowhere, std::slice::from_ref(&open), true, &net);
        assert_eq!((found.source, found.network), (false, Some(format!("{open}: answers"))));
        assert!(found.said.contains("255.255.255.255"), "{}", found.said);
        let found = reach(&nowhere, std::slice::from_ref(&open), false, &net);
        assert_eq!(found.network, None, "nothing hangs on it");
    }

    #[test]
    fn places_are_host_and_port() {
        assert_eq!(place("a.example:53"), Some(("a.example", 53)));
        assert_eq!(place("[::1]:80"), Some(("::1", 80)));
        assert_eq!(place("a.example"), None);
    }
}

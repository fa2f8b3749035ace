//! What is looked at, as the configuration writes it.

use crate::model::{duration, size};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What a failed check means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The new system goes back, unless the check had failed before the update too.
    #[default]
    Required,
    /// The new system goes back only if the check had passed before the update.
    Wanted,
}

/// One thing that a good system does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Check {
    /// What a person calls it; names the failure in `surefoot status`.
    pub name: String,
    /// What its failure means.
    pub need: Need,
    /// What is looked at.
    pub kind: Kind,
    /// After this long the check has failed.
    pub timeout: Duration,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program ends with exit status 0. No shell is involved; a relative path is relative to
    /// the configuration's folder.
    Command(Vec<String>),
    /// These units of the init system are active: services run, targets are reached.
    Unit(Vec<String>),
    /// None of these services is restarted again and again; `*` means all.
    Steady(Vec<String>),
    /// An HTTP or HTTPS server answers this URL with a status from 200 to 399.
    Http(String),
    /// Something accepts a TCP connection at `host:port`.
    Tcp(String),
    /// One of these `host:port` accepts a TCP connection: the network is there.
    Reach(Vec<String>),
    /// A file exists.
    File(PathBuf),
    /// The filesystem of `path` has so many bytes free.
    Space {
        /// Any path on it.
        path: PathBuf,
        /// Bytes.
        free: u64,
    },
}

impl Kind {
    /// Whether looking needs the network, which the daemon itself does not have.
    pub fn is_remote(&self) -> bool {
        matches!(self, Kind::Http(_) | Kind::Tcp(_) | Kind::Reach(_))
    }
}

/// One or several; most checks name one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "write a name in quotes, or a list of them")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    fn list(self) -> Vec<String> {
        match self {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        }
    }
}

#[derive(Deserialize)]
struct Space {
    path: PathBuf,
    #[serde(deserialize_with = "size")]
    free: u64,
}

#[derive(Deserialize)]
struct Written {
    name: String,
    #[serde(default)]
    need: Need,
    #[serde(default = "usual_timeout", deserialize_with = "duration")]
    timeout: Duration,
    command: Option<Vec<String>>,
    unit: Option<Names>,
    steady: Option<Names>,
    http: Option<String>,
    tcp: Option<String>,
    reach: Option<Names>,
    file: Option<PathBuf>,
    space: Option<Space>,
}

fn usual_timeout() -> Duration {
    Duration::from_secs(60)
}

impl TryFrom<Written> for Check {
    type Error = String;

    fn try_from(w: Written) -> Result<Check, String> {
        let (name, need, timeout) = (w.name, w.need, w.timeout);
        let kinds = [
            w.command.map(Kind::Command),
            w.unit.map(|n| Kind::Unit(n.list())),
            w.steady.map(|n| Kind::Steady(n.list())),
            w.http.map(Kind::Http),
            w.tcp.map(Kind::Tcp),
            w.reach.map(|n| Kind::Reach(n.list())),
            w.file.map(Kind::File),
            w.space.map(|s| Kind::Space { path: s.path, free: s.free }),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let one = "exactly one of command, unit, steady, http, tcp, reach, file and space";
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(format!("health check `{name}` must say {one}"));
        };
        let empty = |what: &str| Err(format!("health check `{name}` has an empty {what}"));
        match &kind {
            Kind::Command(words) if words.is_empty() => return empty("command"),
            Kind::Unit(names) | Kind::Steady(names) | Kind::Reach(names) if names.is_empty() => {
                return empty("list");
            }
            Kind::Http(url) => {
                super::url::Url::parse(url).map_err(|e| format!("health check `{name}`: {e}"))?;
            }
            Kind::Tcp(place) => reachable(&name, place)?,
            Kind::Reach(places) => places.iter().try_for_each(|p| reachable(&name, p))?,
            _ => {}
        }
        Ok(Check { name, need, kind, timeout })
    }
}

fn reachable(name: &str, place: &str) -> Result<(), String> {
    let port = place
        .rsplit_once(':')
        .and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
    match port {
        Some(_) => Ok(()),
        None => Err(format!("health check `{name}`: `{place}` is not host:port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Check, String> {
        toml::from_str(&format!("name = \"x\"\n{text}")).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn every_kind_reads() {
        let kind = |text: &str| read(text).unwrap().kind;
        assert_eq!(kind("command = [\"true\"]"), Kind::Command(vec!["true".into()]));
        assert_eq!(kind("unit = \"a.service\""), Kind::Unit(vec!["a.service".into()]));
        assert_eq!(kind("steady = [\"*\"]"), Kind::Steady(vec!["*".into()]));
        assert!(kind("http = \"http://127.0.0.1:8080/ok\"").is_remote());
        assert_eq!(kind("tcp = \"[::1]:22\""), Kind::Tcp("[::1]:22".into()));
        assert_eq!(
            kind("reach = [\"a:1\", \"b:2\"]"),
            Kind::Reach(vec!["a:1".into(), "b:2".into()])
        );
        let space = kind("space = { path = \"/data\", free = \"10M\" }");
        assert_eq!(space, Kind::Space { path: "/data".into(), free: 10 << 20 });
        let check = read("file = \"/run/ok\"\nneed = \"wanted\"\ntimeout = \"5s\"").unwrap();
        assert_eq!((check.need, check.timeout.as_secs()), (Need::Wanted, 5));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (text, said) in [
            ("", "exactly one of"),
            ("command = [\"true\"]\nfile = \"/x\"", "exactly one of"),
            ("command = []", "empty command"),
            ("unit = []", "empty list"),
            ("tcp = \"localhost\"", "not host:port"),
            ("reach = [\"a:1\", \":2\"]", "not host:port"),
            ("http = \"ftp://x/\"", "http://"),
            ("space = { path = \"/\", free = \"lots\" }", "not a size"),
            ("file = \"/x\"\nneed = \"maybe\"", "maybe"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.contains(said), "{text}: {failure}");
        }
    }
}

//! `[source]`: how this device fetches over a network.

use super::channel::{names_host, without_login};
use crate::model::{ByteLen, duration, printable, size};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `[source]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The address of the channel that this device follows; none unless set.
    pub channel: Option<String>,
    /// How often the daemon looks at it (default: what the channel says, else `1h`).
    #[serde(deserialize_with = "some_duration")]
    pub poll: Option<Duration>,
    /// Where reports go; wins over what the channel says.
    pub report: Option<String>,
    /// Other places, `host:port`, whose answer shows that the network works, where the server of the
    /// channel is silent.
    pub witness: Vec<String>,
    /// What this device tells of itself in every report: keys and values.
    pub options: BTreeMap<String, String>,
    /// Files of certificates (PEM) whose servers are believed (default
    /// `/etc/ssl/certs/ca-certificates.crt`).
    #[serde(deserialize_with = "files")]
    pub roots: Vec<PathBuf>,
    /// The certificate that this device shows to a server (PEM).
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub client_key: Option<PathBuf>,
    /// The proxy, `http://[user:password@]host:port`; none unless set here.
    pub proxy: Option<String>,
    /// Hosts that are reached without it: names, or `.domain`.
    pub no_proxy: Vec<String>,
    /// Bytes in a second that are fetched at most.
    #[serde(deserialize_with = "some_size")]
    pub rate: Option<u64>,
    /// Bytes that are fetched in a day at most.
    #[serde(deserialize_with = "some_size")]
    pub budget: Option<u64>,
    /// Bytes in a second below which a transfer counts as stalled (default 100).
    #[serde(deserialize_with = "some_size")]
    pub min_rate: Option<u64>,
    /// For a connection to be made (default `20s`).
    #[serde(deserialize_with = "some_duration")]
    pub connect: Option<Duration>,
    /// For TLS, and for the head of an answer (default `60s`).
    #[serde(deserialize_with = "some_duration")]
    pub header: Option<Duration>,
    /// Over which time the least rate counts (default `60s`).
    #[serde(deserialize_with = "some_duration")]
    pub stall: Option<Duration>,
    /// Connections at a time, 1 to 8 (default 4).
    pub connections: Option<u32>,
}

/// A smaller budget would be spent on what each day's first question costs.
const BUDGET_MIN: u64 = 1 << 20;

/// Places that are asked; each has its time.
const WITNESSES: usize = 4;

/// Keys, and bytes of a key and of a value.
const OPTIONS: (usize, usize, usize) = (64, 128, 1024);

/// The authorities of the system.
const SYSTEM_ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";

impl Settings {
    /// Paths are relative to `folder`.
    #[must_use]
    pub fn at(mut self, folder: &Path) -> Settings {
        if self.roots.is_empty() {
            self.roots.push(Path::new("/").join(SYSTEM_ROOTS));
        }
        for file in self.roots.iter_mut().chain(&mut self.client_cert).chain(&mut self.client_key) {
            *file = folder.join(&*file);
        }
        self
    }

    /// What cannot be meant, each as one sentence.
    pub fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.client_cert.is_some() != self.client_key.is_some() {
            wrong.push("`source.client_cert` and `source.client_key` need each other".to_owned());
        }
        if self.connections.is_some_and(|n| !(1..=8).contains(&n)) {
            wrong.push("`source.connections` is 1 to 8".to_owned());
        }
        if self.rate == Some(0) {
            wrong.push("`source.rate` must be at least one byte in a second".to_owned());
        }
        if let Some(budget) = self.budget.filter(|budget| *budget < BUDGET_MIN) {
            let (budget, least) = (ByteLen(budget), ByteLen(BUDGET_MIN));
            wrong
                .push(format!("`source.budget` is {budget}; it must be at least {least} in a day"));
        }
        for (key, url) in [("channel", &self.channel), ("report", &self.report)] {
            if let Some(url) = url.as_ref().filter(|url| !names_host(url)) {
                let url = printable(&without_login(url), 80);
                wrong.push(format!(
                    "`source.{key}` is `{url}`; it begins with http:// or https:// and names a host"
                ));
            }
        }
        if self.witness.len() > WITNESSES {
            wrong.push(format!("`source.witness` names at most {WITNESSES} places"));
        }
        let place = |text: &&String| {
            let good =
                |host: &str, port: &str| !host.is_empty() && port.parse().is_ok_and(|p: u16| p > 0);
            !text.rsplit_once(':').is_some_and(|(host, port)| good(host, port))
        };
        if let Some(text) = self.witness.iter().find(place) {
            wrong.push(format!("`source.witness`: `{}` is not `host:port`", printable(text, 80)));
        }
        if self.options.len() > OPTIONS.0 {
            wrong.push(format!("`source.options` has at most {} keys", OPTIONS.0));
        }
        let unfit = |(key, value): &(&String, &String)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let name = !key.is_empty() && key.len() <= OPTIONS.1 && key.chars().all(plain);
            !name || value.len() > OPTIONS.2 || value.chars().any(char::is_control)
        };
        if let Some((key, _)) = self.options.iter().find(unfit) {
            let (key, (_, most, long)) = (printable(key, 80), OPTIONS);
            wrong.push(format!(
                "`source.options.{key}`: a key has letters, digits, `-`, `_` and `.`, at most {most}; a value is one line of at most {long} bytes"
            ));
        }
        let limits = [self.connect, self.header, self.stall];
        if limits.into_iter().flatten().any(|limit| limit.is_zero()) {
            wrong.push("a limit of `[source]` must be at least a second".to_owned());
        }
        let scheme = |proxy: &String| !proxy.starts_with("http://");
        if self.proxy.as_ref().is_some_and(scheme) {
            wrong.push("`source.proxy` begins with http://".to_owned());
        }
        wrong
    }
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn some_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from).map(Some)
}

/// One file or a list.
fn files<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a file in quotes, or a list of them")]
    enum Files {
        One(PathBuf),
        Several(Vec<PathBuf>),
    }
    Ok(match Files::deserialize(from)? {
        Files::One(file) => vec![file],
        Files::Several(files) => files,
    })
}

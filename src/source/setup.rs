//! What `[source]` means, with everything in it that a process without any file needs.

use super::{Budget, Settings};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{clock, files};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A longer file of certificates is none: those of a system are a quarter of it.
const CERTIFICATES_MAX: u64 = 1 << 19;

/// How a network is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// Certificates of authorities, PEM.
    pub roots: String,
    /// The device's own certificate, and its key, PEM.
    pub client: Option<(String, String)>,
    /// `http://…`, and for which hosts it is not used.
    pub proxy: Option<String>,
    /// Names, or `.domain`.
    pub no_proxy: Vec<String>,
    /// Bytes in a second at most.
    pub rate: Option<u64>,
    /// Bytes that may still be fetched.
    pub budget: Option<u64>,
    /// Bytes in a second at least.
    pub min_rate: u64,
    /// Limits, milliseconds.
    pub connect: u64,
    /// For TLS and for the head of an answer.
    pub header: u64,
    /// Over which the least rate counts.
    pub stall: u64,
    /// At a time.
    pub connections: u32,
    /// Seconds since 1970: it is at least so late.
    pub floor: u64,
    /// Fruitless tries go on for so long, milliseconds; for ever where it is not said.
    pub patience: Option<u64>,
    /// The first pause after a fruitless try is at most so long, milliseconds.
    pub pause: u64,
    /// Until the file is found, nothing is asked twice.
    pub once: bool,
}

/// How often a fruitless try is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Not at all until the file is found, and that within ten seconds: what may be missing.
    Once,
    /// For a minute in all.
    Minute,
    /// For as long as it takes.
    Endless,
}

/// How a file is fetched, beside what the settings say.
#[derive(Debug)]
pub struct Fetching<'a> {
    /// The folder where the fetcher's socket is; without one a child of this process fetches.
    pub run: &'a Path,
    /// The newest time that something signed has told, seconds since 1970.
    pub floor: u64,
    /// How long it is tried.
    pub tries: Tries,
    /// What it is counted against.
    pub budget: Option<Budget>,
    /// Where the bytes of answers are added that have brought no file.
    pub fruitless: &'a AtomicU64,
}

/// For how long fruitless tries of a person's command go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest first pause after a fruitless try.
const PAUSE: Duration = Duration::from_secs(5);

impl Setup {
    /// What these settings mean. `floor` is the newest time that something signed has told, seconds
    /// since 1970. `CONFIG_INVALID` where a file that they name cannot be read.
    pub fn of(settings: &Settings, floor: u64, tries: Tries) -> Result<Setup> {
        let text = |path: &Path| {
            files::foreign_text(path, CERTIFICATES_MAX).map_err(|e| {
                let code = ReasonCode::ConfigInvalid;
                Failure::new(code, format!("`[source]`: {}: {e}", path.display()))
            })
        };
        let usual = Settings::default().at(Path::new("/")).roots;
        let mut roots = String::new();
        for file in &settings.roots {
            // A device that believes only itself has no authorities, and http:// needs none.
            if *file != usual[0] || file.exists() {
                roots.push_str(&text(file)?);
                roots.push('\n');
            }
        }
        let client = match (&settings.client_cert, &settings.client_key) {
            (Some(cert), Some(key)) => Some((text(cert)?, text(key)?)),
            _ => None,
        };
        let millis = |limit: Option<Duration>, usual| limit.map_or(usual, milliseconds);
        Ok(Setup {
            roots,
            client,
            proxy: settings.proxy.clone(),
            no_proxy: settings.no_proxy.clone(),
            rate: settings.rate,
            budget: None,
            min_rate: settings.min_rate.unwrap_or(100),
            connect: millis(settings.connect, 20_000),
            header: millis(settings.header, 60_000),
            stall: millis(settings.stall, 60_000),
            connections: settings.connections.unwrap_or(4),
            floor,
            patience: (tries != Tries::Endless).then(|| milliseconds(clock::pause(PATIENCE))),
            pause: milliseconds(clock::pause(PAUSE)),
            once: tries == Tries::Once,
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

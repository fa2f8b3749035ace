//! Fetching over a network: a web server on the loopback that misbehaves on request, against the built program. The names of the
//! tests in `rows` begin with the number of the hostile input that they are about.

mod adaptive;
mod fetcher;
mod liars;
mod links;
mod nginx;
mod rows;
pub(crate) mod server;
pub(crate) mod tls;

use crate::common::{Bench, Said};

/// The list of hostile answers has so many rows.
#[test]
fn every_row_of_the_list_has_a_test_that_begins_with_its_number() {
    let files = [include_str!("rows.rs"), include_str!("fetcher.rs"), include_str!("../offers.rs")];
    for row in 1..=22 {
        assert!(files.concat().contains(&format!("\nfn n{row:02}_")), "row {row}");
    }
}

/// A device, and a release that a server gives.
pub(crate) struct Fetching {
    pub(crate) bench: Bench,
    pub(crate) bytes: Vec<u8>,
}

impl Fetching {
    pub(crate) fn new() -> Fetching {
        Fetching::with("")
    }

    /// With these lines under `[source]`.
    pub(crate) fn with(settings: &str) -> Fetching {
        let bench = Bench::new();
        let bytes = std::fs::read(bench.release("2.0.0")).unwrap();
        let config = bench.path("DEV/surefoot.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}\n[source]\n{settings}\n")).unwrap();
        Fetching { bench, bytes }
    }

    /// Pauses, and the time for fruitless tries, are a hundredth of the usual ones.
    pub(crate) fn install(&self, url: &str) -> Said {
        self.bench.surefoot_with(&["install", url], &[("SUREFOOT_SIM_PACE", "100")], b"")
    }

    /// Installs it, however often it has to be tried.
    pub(crate) fn gets(&self, url: &str) {
        self.gets_with(url, &[]);
    }

    pub(crate) fn gets_with(&self, url: &str, environment: &[(&str, &str)]) {
        let all = [environment, &[("SUREFOOT_SIM_PACE", "100")]].concat();
        self.bench.surefoot_with(&["install", url, "--wait"], &all, b"").ok();
        self.is_installed();
    }

    /// Refused with this code, and nothing that counts has changed.
    pub(crate) fn refused(&self, url: &str, status: i32, code: &str) -> Said {
        let before = self.bench.firm_ground();
        let said = self.install(url).refused(status, code);
        assert_eq!(self.bench.firm_ground(), before, "{code}");
        assert_eq!(self.bench.booted(), "a");
        said
    }

    /// It is in the other slot, byte for byte, and armed.
    pub(crate) fn is_installed(&self) {
        let image = std::fs::read(self.bench.path("v2.0.0.img")).unwrap();
        assert_eq!(self.bench.slot_bytes("b")[..image.len()], image);
        assert_eq!(self.bench.status()["state"], "switching");
    }
}

//! What was committed is remembered: a change of keys, a lost record, a lost state folder. Which release
//! runs is *known*, *factory*, *not accepted* or *unknown*, and no older one slips in.

#![allow(dead_code, reason = "the first of several tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;
use common::{Bench, SLOT, forge};
use serde_json::Value;

/// A device whose maker changes his keys: `K2` comes after `KEYS`.
struct Maker {
    bench: Bench,
}

impl Maker {
    fn new() -> Maker {
        let bench = Bench::new();
        let maker = Maker { bench };
        maker.keys("K2");
        maker
    }

    /// New keys with a trust file of their own.
    fn keys(&self, name: &str) {
        forge(&["keygen", "--out", &self.bench.path(name)]).ok();
    }

    /// A release signed by the release key in `keys`.
    fn release(&self, version: &str, keys: &str, epoch: &str) -> String {
        let key = self.bench.path(&format!("{keys}/release.key"));
        let seed = version.bytes().fold(7, |n: u64, b| n * 31 + u64::from(b));
        let words = ["--version", version, "--key", &key, "--epoch", epoch];
        self.bench.artifact(&format!("v{version}"), seed, 1 << 20, &words)
    }

    /// The image that runs brings this trust file along.
    fn trust(&self, keys: &str) {
        let text = std::fs::read(self.bench.path(&format!("{keys}/trust.toml"))).unwrap();
        std::fs::write(self.bench.path("DEV/trust.toml"), text).unwrap();
    }

    /// Changes the trust file that is in force.
    fn edit_trust(&self, edit: impl FnOnce(String) -> String) {
        let path = self.bench.path("DEV/trust.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let new = edit(text.clone());
        assert_ne!(new, text);
        std::fs::write(&path, new).unwrap();
    }

    fn key_id(&self, keys: &str) -> String {
        let text =
            std::fs::read_to_string(self.bench.path(&format!("{keys}/release.pub"))).unwrap();
        text.split('"').find(|w| w.len() == 64).unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    fn install(&self, artifact: &str) {
        self.bench.surefoot(&["install", artifact]).ok();
        self.bench.reboot(&[]);
    }

    fn update(&self, artifact: &str) {
        self.install(artifact);
        self.bench.surefoot(&["commit"]).ok();
    }

    /// A filesystem was grown over the slot's last 256 KiB.
    fn lose_record(&self, slot: &str) {
        let at = self.bench.slot_offset(slot) + SLOT - (256 << 10);
        self.bench.patch_disk(at, &vec![0x5a; 256 << 10]);
    }

    fn lose_state(&self) {
        let state = self.bench.path("DEV/state");
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
    }

    fn slot(&self, slot: &str) -> Value {
        self.bench.status()["slots"][slot].clone()
    }

    fn doctor(&self) -> String {
        self.bench.surefoot(&["doctor"]).out
    }
}

#[test]
fn after_a_change_of_keys_what_runs_is_named_and_nothing_older_is_taken() {
    let maker = Maker::new();
    let (old, new) = (maker.release("1.0.0", "K2", "0"), maker.release("2.0.0", "KEYS", "5"));
    let between = maker.release("1.9.0", "K2", "5");
    let next = maker.release("3.0.0", "K2", "5");
    let bench = &maker.bench;
    maker.install(&new);
    maker.trust("K2");
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.err.contains("does not accept 2.0.0"), "the commit warns: {}", said.err);
    let slot = maker.slot("b");
    assert_eq!((&slot["version"], &slot["identity"]), (&"2.0.0".into(), &"not-accepted".into()));
    let status = bench.surefoot(&["status"]).ok().out;
    assert!(status.starts_with("Running 2.0.0 (slot b)"), "{status}");
    assert!(status.contains("does not accept its signature"), "{status}");
    assert!(maker.doctor().contains("does not accept it"), "{}", maker.doctor());
    bench.surefoot(&["install", &old]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &old, "--allow-older"]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &between]).refused(65, "VERSION_OLDER");
    assert_eq!(bench.status()["floor"], 0, "the other slot holds the factory system");
    maker.update(&next);
    let history = bench.surefoot(&["history"]).ok().out;
    assert!(history.contains("2.0.0 -> 3.0.0"), "{history}");
    assert_eq!(maker.slot("a")["identity"], "known");
}

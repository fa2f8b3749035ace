//! What was committed is remembered: a change of keys, a lost record, a lost state folder. Which release
//! runs is *known*, *factory*, *not accepted* or *unknown*, and no older one slips in.

use crate::common::{self, Bench, SLOT, forge};
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
        text.split_whitespace().nth(2).unwrap().to_owned()
    }

    fn install(&self, artifact: &str) {
        self.bench.surefoot(&["install", artifact]).ok();
        self.bench.reboot(&[]);
    }

    fn update(&self, artifact: &str) {
        self.install(artifact);
        self.bench.surefoot(&["commit"]).ok();
    }

    /// A filesystem was grown over the slot's last 1 MiB.
    fn lose_record(&self, slot: &str) {
        let at = self.bench.slot_offset(slot) + SLOT - (1 << 20);
        self.bench.patch_disk(at, &vec![0x5a; 1 << 20]);
    }

    fn lose_memory(&self) {
        for copy in [0, 1] {
            let path = self.bench.path(&format!("DEV/state/committed.{copy}"));
            std::fs::write(path, "surefoot-committed 1 9 00000000\n{}\n").unwrap();
        }
    }

    fn lose_state(&self) {
        let state = self.bench.path("DEV/state");
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
    }

    /// A slot's last 1 MiB: its record.
    fn record(&self, slot: &str) -> Vec<u8> {
        self.bench.slot_bytes(slot)[SLOT - (1 << 20)..].to_vec()
    }

    fn put_record(&self, slot: &str, record: &[u8]) {
        self.bench.patch_disk(self.bench.slot_offset(slot) + SLOT - (1 << 20), record);
    }

    /// The record of a release of the highest counter and epoch, by a key that nobody here has
    /// ever trusted.
    fn foreign_record(&self) -> Vec<u8> {
        let other = Maker::new();
        other.trust("K2");
        let words = ["--counter", "9223372036854775807", "--epoch", "4294967294"];
        let key = other.bench.path("K2/release.key");
        let mut all = vec!["--version", "9.9.9", "--key", &key];
        all.extend(words);
        let artifact = other.bench.artifact("foreign", 9, 1 << 20, &all);
        other.bench.surefoot(&["install", &artifact]).ok();
        other.record("b")
    }

    fn history(&self) -> String {
        self.bench.surefoot(&["history"]).ok().out
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

#[test]
fn a_lost_record_forgets_nothing_and_what_cannot_be_read_back_is_not_returned_to() {
    let maker = Maker::new();
    let (old, new) = (maker.release("1.0.0", "KEYS", "0"), maker.release("2.0.0", "KEYS", "5"));
    let (between, next) =
        (maker.release("1.9.0", "KEYS", "5"), maker.release("3.0.0", "KEYS", "5"));
    let bench = &maker.bench;
    maker.update(&new);
    maker.lose_record("b");
    let slot = maker.slot("b");
    assert_eq!((&slot["version"], &slot["identity"]), (&"2.0.0".into(), &"known".into()));
    assert!(slot["doubt"].as_str().unwrap().contains("remembered"), "{slot}");
    assert!(maker.doctor().contains("slot b was left with 2.0.0"), "{}", maker.doctor());
    bench.surefoot(&["install", &old]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &between]).refused(65, "VERSION_OLDER");
    maker.update(&next);
    bench.surefoot(&["rollback"]).refused(74, "SLOT_DAMAGED");
    bench.surefoot(&["drill"]).refused(74, "SLOT_DAMAGED");
    assert_eq!(bench.status()["floor"], 5, "both slots were left with epoch 5");
}

#[test]
fn a_raised_threshold_leaves_the_order_and_refuses_the_way_back() {
    let maker = Maker::new();
    let (first, second) =
        (maker.release("2.0.0", "KEYS", "5"), maker.release("2.1.0", "KEYS", "5"));
    let old = maker.release("1.0.0", "KEYS", "5");
    let bench = &maker.bench;
    forge(&["sign", &old, "--key", &bench.path("KEYS/release-next.key")]).ok();
    maker.update(&first);
    maker.install(&second);
    maker.edit_trust(|text| text.replace("release = 1", "release = 2"));
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.err.contains("SIGNATURE_THRESHOLD"), "{}", said.err);
    for slot in ["a", "b"] {
        assert_eq!(maker.slot(slot)["identity"], "not-accepted", "slot {slot}");
    }
    assert_eq!(bench.status()["floor"], 5, "by what was verified when it was installed");
    bench.surefoot(&["install", &old]).refused(65, "VERSION_OLDER");
    bench.surefoot(&["rollback"]).refused(65, "SIGNATURE_THRESHOLD");
    bench.surefoot(&["verify", "b"]).refused(65, "SIGNATURE_THRESHOLD");
}

#[test]
fn a_slot_of_a_revoked_key_is_neither_the_factory_system_nor_returned_to() {
    let maker = Maker::new();
    let (evil, good) = (maker.release("6.6.6", "KEYS", "0"), maker.release("7.0.0", "K2", "5"));
    let bench = &maker.bench;
    maker.update(&evil);
    // Its maker has signed 7.0.0 with both keys: the device knows only the first one yet.
    forge(&["sign", &good, "--key", &bench.path("KEYS/release-next.key")]).ok();
    maker.install(&good);
    maker.trust("K2");
    let id = maker.key_id("KEYS");
    maker.edit_trust(|text| text.replace("revoked = []", &format!("revoked = [\"{id}\"]")));
    bench.surefoot(&["commit"]).ok();
    assert_eq!(maker.slot("a")["identity"], "known");
    let slot = maker.slot("b");
    assert_eq!((&slot["version"], &slot["identity"]), (&"6.6.6".into(), &"not-accepted".into()));
    let before = bench.firm_ground();
    let said = bench.surefoot(&["rollback"]).refused(65, "KEY_REVOKED");
    assert!(said.err.contains("slot b (6.6.6)"), "{}", said.err);
    assert!(!said.err.contains("factory"), "{}", said.err);
    bench.surefoot(&["drill"]).refused(65, "KEY_REVOKED");
    assert!(bench.firm_ground() == before);
    let doctor = maker.doctor();
    assert!(doctor.contains("nothing to return to") && doctor.contains("6.6.6"), "{doctor}");
    bench.surefoot(&["install", &evil]).refused(65, "KEY_REVOKED");
}

#[test]
fn keys_that_change_twice_leave_every_name() {
    let maker = Maker::new();
    maker.keys("K3");
    let bench = &maker.bench;
    let first = maker.release("1.0.0", "KEYS", "1");
    let second = maker.release("2.0.0", "KEYS", "2");
    let third = maker.release("3.0.0", "K2", "3");
    maker.update(&first);
    maker.install(&second);
    maker.trust("K2");
    bench.surefoot(&["commit"]).ok();
    maker.install(&third);
    maker.trust("K3");
    bench.surefoot(&["commit"]).ok();
    for (slot, version) in [("a", "2.0.0"), ("b", "3.0.0")] {
        let view = maker.slot(slot);
        assert_eq!(
            (&view["version"], &view["identity"]),
            (&version.into(), &"not-accepted".into())
        );
    }
    let old = maker.release("2.5.0", "K3", "3");
    bench.surefoot(&["install", &old]).refused(65, "VERSION_OLDER");
    // Also where the memory is lost: keys of two changes ago still tell a name from garbage... or
    // it is unknown, and is told so.
    maker.lose_memory();
    assert_eq!(maker.slot("b")["version"], "3.0.0", "the journal has it");
    maker.update(&maker.release("4.0.0", "K3", "3"));
    assert_eq!(maker.slot("a")["identity"], "known");
}

#[test]
fn a_record_of_an_earlier_key_counts_without_being_the_committed_one() {
    let maker = Maker::new();
    let bench = &maker.bench;
    let (one, two) = (maker.release("2.0.0", "KEYS", "4"), maker.release("2.1.0", "KEYS", "4"));
    maker.update(&one);
    let record = maker.record("b");
    maker.update(&two);
    maker.trust("K2");
    // The state folder is lost but for the keys; the running slot's record is put back by hand.
    for name in ["journal.0", "journal.1", "history.jsonl"] {
        std::fs::remove_file(bench.path(&format!("DEV/state/{name}"))).unwrap();
    }
    let slot = maker.slot("a");
    assert_eq!((&slot["version"], &slot["identity"]), (&"2.1.0".into(), &"not-accepted".into()));
    maker.put_record("a", &record);
    let slot = maker.slot("a");
    assert_eq!(slot["version"], "2.1.0", "what was verified counts, and not another claim: {slot}");
    assert_eq!(bench.status()["floor"], 4);
}

#[test]
fn a_damaged_memory_is_told_and_mended_and_both_copies_lost_is_no_factory() {
    let maker = Maker::new();
    let bench = &maker.bench;
    let new = maker.release("2.0.0", "KEYS", "5");
    maker.update(&new);
    let copy = bench.path("DEV/state/committed.0");
    let good = common::read(&copy);
    std::fs::write(&copy, b"torn").unwrap();
    assert!(maker.doctor().contains("a copy of what was committed is damaged"));
    assert_eq!(maker.slot("b")["version"], "2.0.0");
    bench.surefoot(&["switch"]).refused(77, "NOT_STAGED");
    assert!(common::read(&copy) == good, "the next look mends it");
    // Everything that knew is gone: both copies, the journal, the history, and the record.
    maker.lose_memory();
    for name in ["journal.0", "journal.1", "history.jsonl"] {
        std::fs::remove_file(bench.path(&format!("DEV/state/{name}"))).unwrap();
    }
    assert_eq!(maker.slot("b")["identity"], "known", "the record is enough");
    maker.lose_record("b");
    assert_eq!(maker.slot("b")["identity"], "unknown");
    bench.surefoot(&["rollback"]).refused(77, "NOTHING_TO_ROLL_BACK");
}

#[test]
fn an_unknown_release_is_told_and_takes_what_is_accepted_above_the_floor() {
    let maker = Maker::new();
    let bench = &maker.bench;
    let (one, two) = (maker.release("2.0.0", "KEYS", "3"), maker.release("2.1.0", "KEYS", "3"));
    let (old, below) = (maker.release("1.0.0", "KEYS", "3"), maker.release("1.5.0", "KEYS", "2"));
    maker.update(&one);
    maker.update(&two);
    let floors = [0, 1].map(|n| common::read(&bench.path(&format!("DEV/state/floor.{n}"))));
    maker.lose_state();
    maker.lose_record("a");
    for (n, floor) in floors.iter().enumerate() {
        std::fs::write(bench.path(&format!("DEV/state/floor.{n}")), floor).unwrap();
    }
    let status = bench.surefoot(&["status"]).ok().out;
    assert!(status.starts_with("Running an unknown release (slot a)"), "{status}");
    assert!(status.contains("the order of releases cannot be checked"), "{status}");
    assert!(!status.contains("factory"), "{status}");
    assert!(maker.doctor().contains("which release runs is not known"), "{}", maker.doctor());
    bench.surefoot(&["install", &below]).refused(65, "BELOW_FLOOR");
    let words: [&[&str]; 4] =
        [&["doctor"], &["why"], &["verify", &old], &["install", &old, "--dry-run"]];
    for words in words {
        let said = bench.surefoot(words).ok().out;
        let told = said.lines().filter(|l| l.contains("cannot be checked") && l.contains("warn"));
        let told: Vec<_> = told.collect();
        assert!(matches!(told[..], [one] if one.contains("[ORDER_UNKNOWN]")), "{words:?}: {said}");
        let json = bench.surefoot(&[words, &["--json"]].concat()).ok().json();
        let is = |f: &serde_json::Value| f["code"] == "ORDER_UNKNOWN" && f["kind"] == "warns";
        assert_eq!(
            json["findings"].as_array().unwrap().iter().filter(|f| is(f)).count(),
            1,
            "{json}"
        );
    }
    let said = bench.surefoot(&["install", &old]).ok();
    assert!(said.err.contains("cannot be checked"), "the install says so: {}", said.err);
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    let history = maker.history();
    assert!(history.contains("an unknown release -> 1.0.0"), "{history}");
    assert!(history.contains("the order of releases could not be checked"), "{history}");
    assert!(!history.contains("factory"), "{history}");
    assert_eq!(maker.slot("b")["identity"], "known", "from its commit on the order is known");
    bench.surefoot(&["rollback"]).refused(77, "NOTHING_TO_ROLL_BACK");
}

#[test]
fn a_lost_state_folder_leaves_the_name_in_the_record() {
    let maker = Maker::new();
    let bench = &maker.bench;
    maker.update(&maker.release("2.0.0", "KEYS", "5"));
    maker.lose_state();
    assert_eq!(maker.slot("b")["identity"], "known");
    assert_eq!(maker.slot("a")["identity"], "unknown", "the factory's, but nothing says so");
    bench.surefoot(&["install", &maker.release("1.0.0", "KEYS", "5")]).refused(65, "VERSION_OLDER");
    maker.update(&maker.release("3.0.0", "KEYS", "5"));
    assert_eq!(bench.status()["floor"], 5);
}

#[test]
fn a_factory_device_is_known_also_after_updates_that_came_back() {
    let maker = Maker::new();
    let bench = &maker.bench;
    assert_eq!(maker.slot("a")["identity"], "factory");
    // Whatever the factory left in the second slot.
    bench.patch_disk(bench.slot_offset("b") + 1080, &[0x53, 0xef]);
    maker.put_record("b", &maker.foreign_record());
    assert_eq!(maker.slot("a")["identity"], "factory");
    let slot = maker.slot("b");
    assert_eq!((&slot["identity"], &slot["version"]), (&"unknown".into(), &Value::Null), "{slot}");
    bench.surefoot(&["rollback"]).refused(65, "SIGNATURE_UNTRUSTED");
    maker.install(&maker.release("2.0.0", "KEYS", "0"));
    bench.surefoot(&["rollback"]).ok();
    bench.reboot(&[]);
    let status = bench.surefoot(&["status"]).ok().out;
    assert!(status.starts_with("Running the factory system (slot a)"), "{status}");
    maker.update(&maker.release("2.1.0", "KEYS", "0"));
    bench.surefoot(&["rollback"]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    assert_eq!(maker.slot("a")["identity"], "factory", "returned to, it is the same");
}

#[test]
fn a_claim_of_a_key_that_was_never_trusted_locks_no_update_out() {
    let maker = Maker::new();
    let bench = &maker.bench;
    maker.update(&maker.release("2.0.0", "KEYS", "1"));
    maker.put_record("b", &maker.foreign_record());
    let slot = maker.slot("b");
    assert_eq!(slot["version"], "2.0.0", "what was committed is remembered: {slot}");
    maker.lose_state();
    let slot = maker.slot("b");
    assert_eq!((&slot["identity"], &slot["version"]), (&"unknown".into(), &Value::Null), "{slot}");
    maker.update(&maker.release("2.1.0", "KEYS", "1"));
    assert_eq!(bench.status()["floor"], 0, "no claim gets into the floor");
}

#[test]
fn a_trust_file_that_demands_an_epoch_refuses_the_running_release_and_keeps_its_order() {
    let maker = Maker::new();
    let bench = &maker.bench;
    maker.install(&maker.release("2.0.0", "KEYS", "5"));
    maker.edit_trust(|text| text.replace("min_epoch = 0", "min_epoch = 7"));
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.err.contains("BELOW_FLOOR"), "{}", said.err);
    assert_eq!(maker.slot("b")["version"], "2.0.0");
    bench.surefoot(&["install", &maker.release("3.0.0", "KEYS", "5")]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &maker.release("1.0.0", "KEYS", "7")]).refused(65, "VERSION_OLDER");
    maker.update(&maker.release("3.1.0", "KEYS", "7"));
}

#[test]
fn a_staged_release_whose_key_was_revoked_meanwhile_is_not_armed() {
    let maker = Maker::new();
    let bench = &maker.bench;
    let staged = maker.release("2.0.0", "KEYS", "0");
    bench.surefoot(&["install", &staged, "--stage"]).ok();
    maker.trust("K2");
    let id = maker.key_id("KEYS");
    maker.edit_trust(|text| text.replace("revoked = []", &format!("revoked = [\"{id}\"]")));
    bench.surefoot(&["switch"]).refused(65, "KEY_REVOKED");
    bench.surefoot(&["install", &staged]).refused(65, "KEY_REVOKED");
    assert_eq!(bench.status()["state"], "staged");
    assert_eq!(bench.reboot(&[]), "a");
    maker.update(&maker.release("2.1.0", "K2", "0"));
}

#[test]
fn keys_that_change_and_change_back_are_accepted_again() {
    let maker = Maker::new();
    let bench = &maker.bench;
    maker.update(&maker.release("2.0.0", "KEYS", "1"));
    maker.install(&maker.release("2.1.0", "KEYS", "1"));
    maker.trust("K2");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["rollback"]).refused(65, "SIGNATURE_UNTRUSTED");
    maker.trust("KEYS");
    assert_eq!(maker.slot("a")["identity"], "known");
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(maker.slot("b")["version"], "2.0.0");
    assert_eq!(bench.status()["floor"], 1);
}

#[test]
fn a_journal_lost_in_a_trial_leaves_the_name_in_the_record() {
    for (keys, identity) in [("KEYS", "known"), ("K2", "not-accepted")] {
        let maker = Maker::new();
        let bench = &maker.bench;
        maker.install(&maker.release("2.0.0", "KEYS", "0"));
        for generation in ["journal.0", "journal.1"] {
            std::fs::write(bench.path(&format!("DEV/state/{generation}")), b"garbage").unwrap();
        }
        maker.trust(keys);
        assert_eq!(bench.status()["state"], "trying");
        let said = bench.surefoot(&["commit"]).ok();
        assert!(said.out.contains("2.0.0 in slot b is committed"), "{}", said.out);
        assert_eq!(maker.slot("b")["identity"], identity);
        let history = maker.history();
        assert!(history.contains("the factory system -> 2.0.0 (slot b)"), "{history}");
    }
    let maker = Maker::new();
    let bench = &maker.bench;
    maker.install(&maker.release("2.0.0", "KEYS", "0"));
    maker.lose_state();
    maker.lose_record("b");
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.out.contains("An unknown release in slot b is committed"), "{}", said.out);
    let history = maker.history();
    assert!(history.contains("an unknown release -> an unknown release"), "{history}");
    let status = bench.surefoot(&["status"]).ok().out;
    assert!(!status.contains("factory"), "{status}");
}

#[test]
fn a_cut_anywhere_in_a_commit_after_a_change_of_keys_forgets_nothing() {
    let maker = Maker::new();
    let bench = &maker.bench;
    let (new, old) = (maker.release("2.0.0", "KEYS", "5"), maker.release("1.0.0", "K2", "0"));
    maker.install(&new);
    maker.trust("K2");
    let copy = |from: &str, to: &str| {
        let done =
            std::process::Command::new("cp").args(["-a", "--sparse=always", from, to]).status();
        assert!(done.unwrap().success());
    };
    copy(&bench.path("DEV"), &bench.path("KEPT"));
    for cut in 0..200 {
        let plug = format!("{cut}:0");
        let said = bench.surefoot_with(&["commit"], &[("SUREFOOT_SIM_CUT", &plug)], b"");
        if said.code != 99 {
            said.ok();
            assert!(cut >= 5, "a commit and its memory are more than {cut} writes");
            return;
        }
        assert_eq!(bench.reboot(&[]), "b", "cut {cut}");
        if bench.status()["state"] == "trying" {
            bench.surefoot(&["commit"]).ok();
        }
        let status = bench.status();
        assert_eq!(status["state"], "updated", "cut {cut}");
        assert_eq!(status["slots"]["b"]["version"], "2.0.0", "cut {cut}");
        bench.surefoot(&["install", &old]).refused(65, "BELOW_FLOOR");
        // Also when the record goes now: the look before it has written down what was missing.
        maker.lose_record("b");
        bench.surefoot(&["install", &old]).refused(65, "BELOW_FLOOR");
        std::fs::remove_dir_all(bench.path("DEV")).unwrap();
        copy(&bench.path("KEPT"), &bench.path("DEV"));
    }
    panic!("a commit writes for ever");
}

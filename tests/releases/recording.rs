//! The recorded releases, and recording one.

use super::scenes::{Artifacts, Files, NAMES, files, journal, play};
use super::shape::Words;
use crate::common::{Bench, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use surefoot::boot::Grade;
use surefoot::device::Next;
use surefoot::model::{ReasonCode, State};
use surefoot::update::Ended;

/// A release as it was, on one kind of board.
pub(crate) struct Release {
    pub(crate) version: String,
    /// Whether the board's slots have a boot part.
    parts: bool,
    /// The commit that was recorded.
    pub(crate) commit: String,
    pub(crate) journal_format: u32,
    pub(crate) words: Words,
    /// What a device in each state has written.
    pub(crate) scenes: BTreeMap<String, Files>,
    folder: PathBuf,
}

impl Release {
    /// What `folder` has of each kind of board. 0.1.0 had slots of one partition only.
    fn load(folder: &Path) -> Vec<Release> {
        let kinds = [(false, folder.to_owned()), (true, folder.join("parts"))];
        let recorded = kinds.into_iter().filter(|(_, place)| place.exists());
        recorded.map(|(parts, place)| Release::of_board(folder, parts, place)).collect()
    }

    fn of_board(folder: &Path, parts: bool, place: PathBuf) -> Release {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let about: toml::Table = text("release.toml").parse().unwrap();
        let word = |key: &str| about[key].as_str().unwrap().to_owned();
        let scenes = entries(&place.join("states")).into_iter().map(|scene| {
            let files = entries(&scene).into_iter().map(|f| (name(&f), std::fs::read(&f).unwrap()));
            (name(&scene), files.collect())
        });
        Release {
            version: word("version"),
            parts,
            commit: word("commit"),
            journal_format: about["journal"].as_integer().unwrap().try_into().unwrap(),
            words: serde_json::from_str(&text("words.json")).unwrap(),
            scenes: scenes.collect(),
            folder: place,
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn artifacts(&self) -> Artifacts {
        Artifacts {
            parts: self.parts,
            trust: self.path("trust.toml"),
            first: self.path("first.surefoot"),
            second: self.path("second.surefoot"),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every recorded release; with UPDATE_GOLDEN today's is recorded first if it is not yet.
pub(crate) fn releases() -> &'static [Release] {
    static RELEASES: OnceLock<Vec<Release>> = OnceLock::new();
    RELEASES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts/releases");
        let today = folder.join(env!("CARGO_PKG_VERSION"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let shown = today.display();
            assert!(!today.exists(), "{shown} is recorded; a release that is out never changes");
            record(&today);
        }
        let all: Vec<_> = entries(&folder).iter().flat_map(|f| Release::load(f)).collect();
        assert!(!all.is_empty());
        all
    })
}

fn record(folder: &Path) {
    let format = record_board(folder, false).max(record_board(&folder.join("parts"), true));
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).output().unwrap().stdout;
    let about = format!(
        "# Recorded by `UPDATE_GOLDEN=1 cargo test --test promises releases::`; never changed (docs/compatibility.md).\n\
         version = \"{}\"\n# The tag, if there is one, else this commit is built and run by `./check --full`.\n\
         commit = \"{}\"\n# The number on the first line of a journal.\njournal = {format}\n",
        env!("CARGO_PKG_VERSION"),
        String::from_utf8(commit).unwrap().trim(),
    );
    std::fs::write(folder.join("release.toml"), about).unwrap();
    let words = serde_json::to_string_pretty(&words()).unwrap() + "\n";
    std::fs::write(folder.join("words.json"), words).unwrap();
}

/// Records what devices of one kind of board have written; the format number of their journals.
fn record_board(folder: &Path, parts: bool) -> u32 {
    let bench = Bench::new();
    let artifacts = Artifacts::make(&bench, parts);
    let mut format = 0;
    for scene in NAMES {
        let files = files(&play(scene, &artifacts));
        format = journal(&files).map_or(format, |(format, _)| format);
        let place = folder.join("states").join(scene);
        std::fs::create_dir_all(&place).unwrap();
        for (name, bytes) in &files {
            // Where the artifact lay is of no interest.
            let text = std::str::from_utf8(bytes).unwrap().replace(&bench.path(""), "/media/");
            std::fs::write(place.join(name), text).unwrap();
        }
    }
    let settings = match parts {
        true => SETTINGS
            .replace("[\"rootfs-a\"]", "[\"boot-a\", \"rootfs-a\"]")
            .replace("[\"rootfs-b\"]", "[\"boot-b\", \"rootfs-b\"]"),
        false => SETTINGS.to_owned(),
    };
    for (name, bytes) in [
        ("surefoot.toml", settings.into_bytes()),
        ("trust.toml", read(&artifacts.trust)),
        ("first.surefoot", read(&artifacts.first)),
        ("second.surefoot", read(&artifacts.second)),
    ] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    format
}

/// The words that today's program knows. A word that is missing here only makes the check stricter
/// for a later one.
fn words() -> Words {
    let states = [
        State::Idle,
        State::Installing,
        State::Staged,
        State::Switching,
        State::Trying,
        State::Updated,
        State::RolledBack,
        State::Failed,
    ];
    let json =
        |value: serde_json::Result<serde_json::Value>| value.unwrap().as_str().unwrap().to_owned();
    let ended = [Ended::Updated, Ended::RolledBack, Ended::Failed].map(serde_json::to_value);
    let grades = [Grade::Armed, Grade::Weak, Grade::Off].map(serde_json::to_value);
    let next = [Next::None, Next::Reboot, Next::Switch, Next::Decide, Next::Resume];
    let slots = || vec!["a".to_owned(), "b".to_owned()];
    Words::from([
        ("state".to_owned(), states.map(|s| s.as_str().to_owned()).to_vec()),
        ("outcome".to_owned(), ended.map(json).to_vec()),
        ("rollback".to_owned(), grades.map(json).to_vec()),
        ("action".to_owned(), next.map(serde_json::to_value).map(json).to_vec()),
        ("reason".to_owned(), ReasonCode::ALL.iter().map(|c| c.as_str().to_owned()).collect()),
        ("slot".to_owned(), slots()),
        ("booted".to_owned(), slots()),
    ])
}

/// Every key that a settings file of today may have.
const SETTINGS: &str = r#"[device]
product = "demo"
compatible = "demo-board"
hardware = { fixed = "rev1" }
disk = "disk.img"
booted = "run/booted"
state = "state"
hold = false
id = "unit-7"
id_file = "machine-id"
tags = ["canary"]

[slots]
a = ["rootfs-a"]
b = ["rootfs-b"]

[trust]
file = "trust.toml"

[boot]
loader = "uboot"
fw_env_config = "fw_env.config"
accept_single_copy = true

[trial]
deadline = "30m"
clean_reboots = 2

[update]
confirm = false
reboot = "asked"

[daemon]
folder = "run"

[stick]
enabled = true
report = true

[metrics]
file = "run/metrics.prom"

[inbox]
folder = "state/inbox"

[source]
channel = "https://updates.example.com/stable.channel"
poll = "30m"
report = "https://updates.example.com/report"
witness = ["192.0.2.1:443"]
options = { site = "north" }
roots = "roots.pem"
client_cert = "client.pem"
client_key = "client.key"
proxy = "http://proxy.example.com:3128"
no_proxy = [".example.net"]
rate = "256KiB"
budget = "50MiB"
min_rate = "100"
connect = "20s"
header = "60s"
stall = "60s"
connections = 2

[inhibit]
files = ["run/busy"]
locks = ["run/lock"]
windows = ["00:00-24:00", "Sat,Sun 02:00-04:00"]
zone = "utc"
systemd = false
power = false
battery_min = 30
wear = 11

[[hook]]
name = "stop-the-line"
at = "before-reboot"
command = ["./hook.sh", "--quick"]
timeout = "90s"

[health]
stable = "20s"
deadline = "5m"

[[health.check]]
name = "self-test"
command = ["./health.sh", "--quick"]
timeout = "90s"

[[health.check]]
name = "config"
need = "wanted"
file = "surefoot.toml"

[[health.check]]
name = "room"
need = "wanted"
space = { path = ".", free = "1M" }

[[health.check]]
name = "services"
need = "wanted"
unit = ["app.service"]

[[health.check]]
name = "no-loop"
need = "wanted"
steady = "*"

[[health.check]]
name = "web"
need = "wanted"
http = "http://127.0.0.1:8080/"

[[health.check]]
name = "shell"
need = "wanted"
tcp = "127.0.0.1:22"

[[health.check]]
name = "net"
need = "wanted"
reach = ["127.0.0.1:53"]

[first_boot]
grow = false
keep = ["/etc/network/interfaces"]
identity = { file = "/etc/serial" }
provision = false

[apps]
engine = "/run/podman/podman.sock"
data = "apps"
secrets = "secrets"
preload = "preload"
keep_files = true
store_epoch = 1
binds = ["/srv/shared"]
devices = ["/dev/ttyUSB0"]
capabilities = ["NET_ADMIN"]
host_network = true
privileged = false
permissions = ["native-programs"]
provides = ["gpu"]
reserved_memory = "64M"

[apps.variables]
SITE = "hall-3"

[apps.external]
broker = "10.0.0.5:8883"

[apps.commands]
mcu = "/usr/lib/demo/mcu"
"#;

#[test]
fn what_would_be_recorded_uses_every_key() {
    let code =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let fragment = code("src/config/fragment.rs").unwrap();
    let rooms = ["health/check.rs", "hooks/hook.rs", "inhibit/settings.rs"].map(|file| {
        let text = code(&format!("src/{file}")).unwrap();
        text.split("struct Written {").nth(1).unwrap().split("\n}").next().unwrap().to_owned()
    });
    let rooms = rooms.iter().flat_map(|r| r.lines().filter(|l| !l.contains('#')).map(str::trim));
    let source = code("src/source/settings.rs").unwrap();
    let source = source.split("struct Settings {").nth(1).unwrap().split("\n}").next().unwrap();
    let apps = code("src/apps/settings.rs").unwrap();
    let apps = apps.split("struct AppSettings {").nth(1).unwrap().split("\n}").next().unwrap();
    let public = fragment.lines().chain(source.lines()).chain(apps.lines());
    let keys = public.filter_map(|l| l.strip_prefix("    pub ")).chain(rooms);
    let keys = keys.filter_map(|l| l.split(':').next()).filter(|k| !k.is_empty());
    let mut seen = 0;
    for key in keys {
        let used =
            [format!("{key} = "), format!("{key}]"), format!(".{key}]]"), format!("[[{key}.")];
        assert!(used.iter().any(|use_| SETTINGS.contains(use_)), "`{key}` is not in SETTINGS");
        seen += 1;
    }
    assert!(seen > 30, "only {seen} keys are known");
}

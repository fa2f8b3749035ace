//! Whether something is left on a device that belongs on a developer's bench: a finding for each, with a remedy.

use super::accounts::{Account, Opens, accounts};
use super::finding::Diagnosis;
use super::services::{System, debug_words, ports};
use crate::boot::Bootloader;
use crate::config::Settings;
use crate::model::{Failure, ReasonCode};
use crate::sys::files;
use crate::sys::mounts::{self, Mount, mount_of};
use crate::trust::{MAX_TRUST_LEN, Role, Trust, is_published_test_key};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is known of a system besides its files.
pub struct Product<'a> {
    /// Its settings, where they can be read.
    pub settings: Option<&'a Settings>,
    /// Its trust file, where that can be read.
    pub trust: Option<&'a Trust>,
    /// The command line of its kernel, or what an image adds to it.
    pub line: &'a str,
    /// Ports on which it listens; `None` for one that does not run.
    pub ports: Option<Vec<String>>,
    /// The permission bits of its state folder, where there is one.
    pub state: Option<u32>,
    /// Whether what runs is a factory system without a signature.
    pub unsigned: bool,
}

/// Looks at the system that runs.
pub fn production(settings: &Settings, unsigned: bool, out: &mut Diagnosis) {
    let text = |path: &str| files::foreign_text(Path::new(path), files::SMALL).ok();
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let limit = u64::try_from(MAX_TRUST_LEN).unwrap_or(u64::MAX);
    let trust = files::foreign_text(&settings.trust_file, limit).ok();
    let trust = trust.and_then(|text| Trust::parse(&text).ok());
    let tables = ["tcp", "tcp6", "udp", "udp6"]
        .map(|name| (name, files::kernel_text(format!("/proc/net/{name}")).unwrap_or_default()));
    let tables = tables.each_ref().map(|(name, text)| (*name, text.as_str()));
    let state = std::fs::metadata(&settings.device.state).ok();
    let product = Product {
        settings: Some(settings),
        trust: trust.as_ref(),
        line: &mounts::kernel_command_line().unwrap_or_default(),
        ports: Some(ports(&tables)),
        state: state.map(|about| about.permissions().mode()),
        unsigned,
    };
    let mounts = mounts::mounts().unwrap_or_default();
    let places = [settings.trust_file.as_path(), Path::new("/etc")].into_iter();
    let mut open =
        places.filter_map(|p| Some((p, written_over(&mounts, p, &settings.device.state)?)));
    if settings.device.booted.is_none()
        && let Some((path, m)) = open.next()
    {
        let text = format!(
            "{} is not the image's alone ({} on {}): a person with the medium can change it",
            path.display(),
            m.fs,
            m.point
        );
        let remedy = "Encrypt the data partition, and show the image's own settings and keys over it: docs/first-boot.md.";
        out.warn("etc", text, remedy.to_owned());
    }
    judge_product(&System { text: &text, names: &names }, &product, out);
}

/// The mount that a path lies on, where it is not the image's: an overlay that is written to, or the file system of the state folder.
fn written_over<'m>(mounts: &'m [Mount], path: &Path, state: &Path) -> Option<&'m Mount> {
    let (here, data) = (mount_of(mounts, path)?, mount_of(mounts, state)?);
    let on_data = here.device == data.device && data.point != "/";
    (here.point != "/" && (on_data || !here.written.is_empty())).then_some(here)
}

/// Judges a system by its files and by what is known of it.
pub fn judge_product(system: &System<'_>, product: &Product<'_>, out: &mut Diagnosis) {
    keys(product.trust, out);
    if let Some(settings) = product.settings {
        of_settings(settings, out);
    }
    who(system, out);
    ways_in(system, product, out);
    let words = debug_words(product.line);
    if !words.is_empty() {
        let text = format!("the kernel's command line opens a shell: {}", words.join(" "));
        stop(
            "debug",
            &text,
            "Take it out of `surefoot_args` and of what the bootloader sets.",
            out,
        );
    }
    if let Some(mode) = product.state.filter(|mode| mode & 0o002 != 0) {
        let text = format!("every user can write the state folder (mode {:o})", mode & 0o7777);
        stop("state", &text, "Give it the mode 0700: `chmod 700`.", out);
    }
    if product.unsigned {
        let text = "the factory release is unsigned: its version is unknown, and no delta fits it";
        let remedy = "Build the image from a signed artifact: `surefoot-forge image --artifact`, or `--key`.";
        out.warn("release", text.to_owned(), remedy.to_owned());
    }
    if !out.findings.iter().any(|f| f.code == Some(ReasonCode::NotForProduction)) {
        out.good("production", "nothing of a developer's bench was found".to_owned());
    }
}

fn stop(topic: &str, text: &str, remedy: &str, out: &mut Diagnosis) {
    let failure = Failure::new(ReasonCode::NotForProduction, text).with_next(remedy);
    out.block(topic, &failure);
}

fn keys(trust: Option<&Trust>, out: &mut Diagnosis) {
    let Some(trust) = trust else { return };
    let marked = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["development", "devel", "test key", "do not ship"].iter().any(|word| text.contains(word))
    };
    let found: Vec<String> = trust
        .keys()
        .iter()
        .filter(|key| {
            is_published_test_key(&key.public)
                || key.role == Role::Develop
                || marked(&key.comment)
                || marked(trust.name().as_str())
        })
        .map(|key| format!("{} key {}", key.role, &key.public.id().to_string()[..12]))
        .collect();
    if !found.is_empty() {
        let text = format!("keys for development are trusted: {}", found.join(", "));
        let remedy =
            "Make keys of your own and ship their trust file: `surefoot-forge keygen --out KEYS`.";
        stop("keys", &text, remedy, out);
    }
}

fn of_settings(settings: &Settings, out: &mut Diagnosis) {
    if settings.device.hold {
        let text = "`[device] hold = true`: no automatic update is installed on this device";
        out.warn("hold", text.to_owned(), "Take `hold` out of surefoot.toml.".to_owned());
    }
    if settings.first_boot.provision {
        let text = "a person with the card can add an ssh key for root: `provision.toml` is taken from the boot partition";
        let remedy = "Say `[first_boot] provision = false` in surefoot.toml.";
        out.warn("first boot", text.to_owned(), remedy.to_owned());
    }
    if let Bootloader::Uboot { accept_single_copy: true, .. } = &settings.bootloader {
        let text = "`[boot] accept_single_copy = true`: a power cut while the environment is written can lose it";
        let remedy = "Build U-Boot with a redundant environment and take `accept_single_copy` out of surefoot.toml.";
        out.warn("environment", text.to_owned(), remedy.to_owned());
    }
}

fn who(system: &System<'_>, out: &mut Diagnosis) {
    let Some(passwd) = (system.text)("/etc/passwd") else { return };
    let shadow = (system.text)("/etc/shadow").unwrap_or_default();
    for Account { name, opens } in accounts(&passwd, &shadow) {
        let how = match opens {
            Opens::Nothing => "has no password".to_owned(),
            Opens::Known(word) => format!("has the password `{word}`"),
            Opens::Name => "has its own name for a password".to_owned(),
            Opens::Password => {
                let text = format!("the account {name} has a password, the same on every device");
                let remedy = "Lock it (`usermod -L`) and let in with ssh keys.".to_owned();
                out.warn("accounts", text, remedy);
                continue;
            }
        };
        let remedy =
            format!("Lock it in the image: `usermod -L {name}`, and let in with ssh keys.");
        stop("accounts", &format!("the account {name} {how}"), &remedy, out);
    }
}

fn ways_in(system: &System<'_>, product: &Product<'_>, out: &mut Diagnosis) {
    for (setting, text) in system.ssh() {
        out.warn("ssh", text, format!("Set {setting}."));
    }
    for service in system.listening() {
        let remedy = "Leave it out of the image, or disable it: `systemctl disable`.".to_owned();
        stop("ports", &format!("{service} lets others in"), &remedy, out);
    }
    if let Some(ports) = product.ports.as_ref().filter(|ports| !ports.is_empty()) {
        let text = format!("this device listens on {}", ports.join(", "));
        let remedy = "Check that each is meant: `ss -tulpn` names the programs.".to_owned();
        out.warn("ports", text, remedy);
    }
    for file in system.open_consoles() {
        let text = format!("a console needs no login: {file}");
        stop("console", &text, "Take the autologin out of the image.", out);
    }
    if system.wanted().iter().any(|unit| unit == "debug-shell.service") {
        let text = "debug-shell.service gives root to everybody at the console";
        stop("debug", text, "Disable it: `systemctl disable debug-shell.service`.", out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Level;

    fn judged(files: &[(&str, &str)], product: &Product<'_>) -> Diagnosis {
        let text =
            |path: &str| files.iter().find(|(p, _)| *p == path).map(|(_, t)| (*t).to_owned());
        let names = |folder: &str| {
            let prefix = format!("{folder}/");
            let below =
                |path: &str| Some(path.strip_prefix(&prefix)?.split('/').next()?.to_owned());
            files.iter().filter_map(|(path, _)| below(path)).collect()
        };
        let mut out = Diagnosis::new();
        judge_product(&System { text: &text, names: &names }, product, &mut out);
        out
    }

    #[test]
    fn an_etc_that_the_card_can_change_is_found_and_a_layer_of_the_image_is_not() {
        let mounts = mounts::parse_mountinfo(
            "1 0 179:2 / / ro - ext4 /dev/root ro\n2 1 179:4 / /data rw - ext4 /dev/mmcblk0p4 rw\n\
             3 1 0:30 / /etc rw - overlay overlay rw,lowerdir=/etc,upperdir=/data/e/upper,workdir=/data/e/work\n\
             4 3 179:2 /etc/surefoot /etc/surefoot ro - ext4 /dev/root ro\n\
             5 1 0:31 / /opt ro - overlay surefoot ro,lowerdir=/run/surefoot/layers/0:/opt\n\
             6 1 179:4 /own /srv rw - ext4 /dev/mmcblk0p4 rw\n",
        );
        let found = |path: &str| {
            written_over(&mounts, path.as_ref(), "/data/surefoot".as_ref())
                .map(|m| m.point.as_str())
        };
        assert_eq!(found("/etc/shadow"), Some("/etc"));
        assert_eq!(found("/srv/trust.toml"), Some("/srv"));
        for sound in ["/etc/surefoot/trust.toml", "/opt/x", "/usr/lib"] {
            assert_eq!(found(sound), None, "{sound}");
        }
    }

    fn clean() -> Product<'static> {
        Product {
            settings: None,
            trust: None,
            line: "quiet",
            ports: Some(Vec::new()),
            state: Some(0o40700),
            unsigned: false,
        }
    }

    fn topics(diagnosis: &Diagnosis, level: Level) -> Vec<&str> {
        let of = diagnosis.findings.iter().filter(|f| f.level == level);
        of.map(|f| f.topic.as_str()).collect()
    }

    #[test]
    fn a_clean_system_is_told_as_such() {
        let files = [("/etc/passwd", "root:x:0:0::/:\n"), ("/etc/shadow", "root:*:1::::::\n")];
        let diagnosis = judged(&files, &clean());
        assert_eq!(topics(&diagnosis, Level::Good), ["production"]);
        assert_eq!(diagnosis.findings.len(), 1, "{diagnosis:?}");
    }

    #[test]
    fn each_thing_of_a_bench_is_a_finding_with_a_remedy() {
        let published = Trust::parse(include_str!("../../artifacts/test-keys/trust.toml")).unwrap();
        let files = [
            ("/etc/passwd", "root::0:0::/:\nanna:$1$a$b:1:1::/:\n"),
            ("/usr/sbin/sshd", ""),
            ("/etc/systemd/system/multi-user.target.wants/telnetd.service", ""),
            ("/etc/systemd/system/sysinit.target.wants/debug-shell.service", ""),
            ("/etc/inittab", "ttyS0::respawn:-/bin/sh\n"),
        ];
        let product = Product {
            trust: Some(&published),
            line: "init=/bin/sh",
            ports: Some(vec!["tcp 23".to_owned()]),
            state: Some(0o40777),
            unsigned: true,
            ..clean()
        };
        let diagnosis = judged(&files, &product);
        let stops = ["keys", "accounts", "ports", "console", "debug", "debug", "state"];
        assert_eq!(topics(&diagnosis, Level::Blocking), stops, "{diagnosis:#?}");
        let warns = ["accounts", "ssh", "ports", "release"];
        assert_eq!(topics(&diagnosis, Level::Warning), warns, "{diagnosis:#?}");
        assert!(diagnosis.findings.iter().all(|f| !f.remedy.is_empty()));
        assert_eq!(diagnosis.blocking().unwrap().code(), ReasonCode::NotForProduction);
    }
}

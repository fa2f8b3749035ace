//! What surrounds an update: the boot script, the watchdog, the init system, the clock.

use super::finding::Diagnosis;
use super::services::System;
use crate::device::World;
use crate::sys::process::{Ending, Invocation, Runner};
use crate::sys::{clock, mounts};
use std::path::Path;
use std::time::Duration;

/// The version of the boot script that belongs to this program: what `uboot-scripts/boot.cmd`
/// puts on the kernel's command line.
const SCRIPT: u32 = 1;

/// The first release of this program, seconds since 1970: no clock that is set is before it.
const FIRST_RELEASE: u64 = 1_761_955_200;

/// systemd(1), `sd_booted(3)`: whether it runs this machine.
const RUNS_SYSTEMD: &str = "/run/systemd/system";

const DEADLINE: Duration = Duration::from_secs(5);

/// Everything about a real device; of an image there is only its clock to look at.
pub(super) fn look(world: &World, runner: &dyn Runner, out: &mut Diagnosis) {
    let newest = [crate::model::SlotId::A, crate::model::SlotId::B]
        .into_iter()
        .filter_map(|slot| world.installed(slot)?.manifest.provenance.built_at);
    time(world.now(), newest.max(), out);
    if world.disk.is_image() {
        let text = "a disk image: boot script, watchdog and init system are not looked at";
        return out.notice("machine", text.to_owned(), "Run it on the device itself.".to_owned());
    }
    match mounts::kernel_command_line() {
        Ok(line) => script(&line, out),
        Err(error) => out.warn(
            "boot script",
            format!("the kernel's command line cannot be read: {error}"),
            "Mount /proc.".to_owned(),
        ),
    }
    let runs = Path::new(RUNS_SYSTEMD).exists();
    let manager = match runs {
        true => ask(runner, &["-p", "RuntimeWatchdogUSec"]),
        false => None,
    };
    let fed = manager.and_then(|text| property(&text, "RuntimeWatchdogUSec"));
    watchdog(&devices(), fed.as_deref(), world.boot.variable("surefoot_wdt").as_deref(), out);
    match runs {
        true => match ask(runner, &[&["-p", PROPERTIES, "--"][..], &WIRED.map(|w| w.0)].concat()) {
            Some(text) => wiring(&text, out),
            None => out.warn(
                "systemd",
                "systemctl does not answer".to_owned(),
                "See `systemctl status`.".to_owned(),
            ),
        },
        false => out.notice(
            "systemd",
            "another init system runs this device".to_owned(),
            "See docs/integrator.md for what it must start, and run before a reboot.".to_owned(),
        ),
    }
}

/// The script that has started this kernel says which one it is.
fn script(line: &str, out: &mut Diagnosis) {
    let said = line.split_whitespace().find_map(|word| word.strip_prefix("surefoot.script="));
    match said.map(str::parse::<u32>) {
        Some(Ok(SCRIPT)) => out.good("boot script", format!("version {SCRIPT}")),
        Some(Ok(newer)) if newer > SCRIPT => out.notice(
            "boot script",
            format!("version {newer}, newer than the {SCRIPT} of this program"),
            "Nothing to do: a newer script starts what an older program has armed.".to_owned(),
        ),
        _ => out.warn(
            "boot script",
            "the script that started this kernel does not tell its version".to_owned(),
            "Put the boot.scr of this release on the boot partition: `uboot-scripts/make boot.scr`."
                .to_owned(),
        ),
    }
}

/// The script on a disk, by what it puts on the command line.
pub fn boot_script(text: &str, out: &mut Diagnosis) {
    // It stands in quotes, and variables may follow at once.
    let said = text.split("surefoot.script=").nth(1).unwrap_or_default();
    let digits = said.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    script(&format!("surefoot.script={digits}"), out);
}

/// `/dev/watchdog`, `/dev/watchdog0` and so on.
fn devices() -> Vec<String> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    let mut found: Vec<_> = names.filter(|n| n.starts_with("watchdog")).collect();
    found.sort();
    found
}

/// `fed` is how long the watchdog waits for systemd, in systemd's words; `handover` is U-Boot's
/// `surefoot_wdt`.
fn watchdog(devices: &[String], fed: Option<&str>, handover: Option<&str>, out: &mut Diagnosis) {
    let topic = "watchdog";
    if devices.is_empty() {
        return out.warn(
            topic,
            "there is none: a system that hangs stays so until somebody pulls the plug".to_owned(),
            "Build the kernel with the driver of the board's watchdog.".to_owned(),
        );
    }
    match fed {
        Some("" | "0" | "0us") | None => out.warn(
            topic,
            format!("nobody is known to feed /dev/{}", devices[0]),
            "Set `RuntimeWatchdogSec=30s` in /usr/lib/systemd/system.conf.d/watchdog.conf."
                .to_owned(),
        ),
        Some(time) => {
            let time = if time == "infinity" { "its own time" } else { time };
            out.good(topic, format!("systemd feeds /dev/{} within {time}", devices[0]));
        }
    }
    match handover {
        Some(seconds) => {
            out.good(topic, format!("U-Boot starts it {seconds} s before a kernel on trial"));
        }
        None => out.warn(
            topic,
            "U-Boot does not start it before a kernel on trial: one that hangs before its driver is up stays so"
                .to_owned(),
            "Set `surefoot_wdt` in the environment, if every kernel has the driver; see docs/uboot-environment.md."
                .to_owned(),
        ),
    }
}

const PROPERTIES: &str = "Id,LoadState,ActiveState,WantedBy,RequiredBy";

/// Our units: whether each must run now, and what a device without it is like.
const WIRED: [(&str, bool, &str); 10] = [
    ("surefoot.service", true, "no trial is decided and no socket answers"),
    ("surefoot-shutdown.service", true, "an orderly reboot in a trial counts as a failed boot"),
    ("surefoot-guard.timer", false, "a new system whose daemon does not start is left by nobody"),
    (
        "surefoot-guard.service",
        false,
        "a new system that ends in emergency mode waits there for a password",
    ),
    ("surefoot-blackbox.service", false, "nothing tells why a trial that hung came back"),
    ("surefoot-status.socket", true, "nobody but root can ask for the status"),
    ("surefoot-control.socket", true, "nobody can have anything done"),
    ("surefoot-probe.socket", true, "no check can look over the network"),
    ("surefoot-fetch.socket", true, "no update can be fetched from a server"),
    ("boot-complete.target", false, "no unit can be ordered before a good boot"),
];

fn wiring(text: &str, out: &mut Diagnosis) {
    let blocks: Vec<&str> = text.split("\n\n").filter(|b| !b.trim().is_empty()).collect();
    let mut sound = true;
    for (name, runs, without) in WIRED {
        let block = blocks.iter().find(|b| property(b, "Id").as_deref() == Some(name));
        let of = |key: &str| block.and_then(|b| property(b, key)).unwrap_or_default();
        let by_itself = !of("WantedBy").is_empty() || !of("RequiredBy").is_empty();
        // The target is there to be ordered before; who wants it, needs it.
        let own = name.starts_with("surefoot");
        let (what, remedy) = match () {
            () if of("LoadState") != "loaded" => ("is not installed", install(name)),
            () if own && !by_itself => ("does not start by itself", enable(name)),
            () if runs && of("ActiveState") != "active" => {
                ("does not run", format!("See `systemctl status {name}`."))
            }
            () => continue,
        };
        sound = false;
        out.warn("systemd", format!("{name} {what}: {without}"), remedy);
    }
    if sound {
        out.good("systemd", "all units of surefoot are wired".to_owned());
    }
}

/// The same of a root filesystem that does not run: whether each is there and is wanted by another.
pub fn units_wired(system: &System<'_>, out: &mut Diagnosis) {
    let wanted = system.wanted();
    let mut sound = true;
    // The target is systemd's own.
    for (name, _, without) in WIRED.into_iter().filter(|(name, ..)| name.starts_with("surefoot")) {
        let (what, remedy) = match (system.has_unit(name), wanted.iter().any(|w| w == name)) {
            (false, _) => ("is not installed", install(name)),
            (true, false) => ("does not start by itself", enable(name)),
            (true, true) => continue,
        };
        sound = false;
        out.warn("systemd", format!("{name} {what}: {without}"), remedy);
    }
    if sound {
        out.good("systemd", "all units of surefoot are wired".to_owned());
    }
}

fn install(name: &str) -> String {
    match name.starts_with("surefoot") {
        true => format!("Install systemd/{name} into /usr/lib/systemd/system."),
        false => "Use a systemd of version 240 or newer.".to_owned(),
    }
}

fn enable(name: &str) -> String {
    format!("Enable it in the image: `systemctl enable {name}`.")
}

/// A clock that was never set dates the history wrongly; nothing is decided by it.
fn time(now: u64, newest: Option<u64>, out: &mut Diagnosis) {
    let known = newest.unwrap_or(0).max(FIRST_RELEASE);
    match now < known {
        true => out.warn(
            "clock",
            format!("{}; what is installed is newer: {}", clock::utc(now), clock::utc(known)),
            "Set it, or give the device a battery or a time server. No update depends on it."
                .to_owned(),
        ),
        false => out.good("clock", clock::utc(now)),
    }
}

/// `systemctl show` and its answer.
fn ask(runner: &dyn Runner, words: &[&str]) -> Option<String> {
    let all = ["systemctl", "show"].iter().chain(words);
    let command: Vec<String> = all.map(|w| (*w).to_owned()).collect();
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: DEADLINE,
        keep: 64 * 1024,
    };
    let done = runner.run(&call).ok().filter(|done| done.ending == Ending::Exit(0))?;
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn property(block: &str, key: &str) -> Option<String> {
    let line = block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    line.map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Level;

    fn told(look: impl FnOnce(&mut Diagnosis)) -> Vec<(Level, String)> {
        let mut out = Diagnosis::new();
        look(&mut out);
        for finding in &out.findings {
            assert_eq!(finding.level == Level::Good, finding.remedy.is_empty(), "{finding:?}");
        }
        out.findings.into_iter().map(|f| (f.level, f.text)).collect()
    }

    fn levels(look: impl FnOnce(&mut Diagnosis)) -> Vec<Level> {
        told(look).into_iter().map(|(level, _)| level).collect()
    }

    #[test]
    fn the_script_says_its_version_itself() {
        for (line, level) in [
            ("root=x ro surefoot.slot=a surefoot.script=1 quiet", Level::Good),
            ("surefoot.slot=a surefoot.script=2", Level::Notice),
            ("surefoot.slot=a", Level::Warning),
            ("surefoot.slot=a surefoot.script=x", Level::Warning),
            ("surefoot.slot=a surefoot.script=0", Level::Warning),
        ] {
            assert_eq!(levels(|out| script(line, out)), [level], "{line}");
        }
        let command = include_str!("../../uboot-scripts/boot.cmd");
        assert!(command.contains(&format!(" surefoot.script={SCRIPT} ")), "they belong together");
    }

    #[test]
    fn a_watchdog_is_there_fed_and_handed_over() {
        let one = ["watchdog".to_owned(), "watchdog0".to_owned()];
        use Level::{Good, Warning};
        for (devices, fed, handover, want) in [
            (&one[..0], Some("30s"), Some("15"), &[Warning][..]),
            (&one, Some("30s"), Some("15"), &[Good, Good]),
            (&one, Some("infinity"), None, &[Good, Warning]),
            (&one, Some("0"), None, &[Warning, Warning]),
            (&one, None, Some("15"), &[Warning, Good]),
        ] {
            assert_eq!(levels(|out| watchdog(devices, fed, handover, out)), want, "{fed:?}");
        }
    }

    fn show(change: impl Fn(&str, &mut String)) -> String {
        let block = |(name, runs, _): &(&str, bool, &str)| {
            let active = if *runs { "active" } else { "inactive" };
            let mut block = format!(
                "Id={name}\nLoadState=loaded\nActiveState={active}\nWantedBy=multi-user.target\nRequiredBy=\n"
            );
            change(name, &mut block);
            block
        };
        WIRED.iter().map(block).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_unit_that_is_not_wired_is_named_with_what_it_costs() {
        assert_eq!(levels(|out| wiring(&show(|_, _| {}), out)), [Level::Good]);
        let orphan = show(|name, block| {
            if name == "boot-complete.target" {
                *block = block.replace("multi-user.target", "");
            }
        });
        assert_eq!(levels(|out| wiring(&orphan, out)), [Level::Good], "nobody needs to want it");
        for (from, to, what) in [
            ("LoadState=loaded", "LoadState=not-found", "is not installed"),
            ("WantedBy=multi-user.target", "WantedBy=", "does not start by itself"),
            ("ActiveState=active", "ActiveState=failed", "does not run"),
        ] {
            for (unit, runs, without) in WIRED {
                let text = show(|name, block| {
                    if name == unit {
                        *block = block.replace(from, to);
                    }
                });
                let said = told(|out| wiring(&text, out));
                let spared = what == "does not run" && !runs
                    || what == "does not start by itself" && unit == "boot-complete.target";
                match spared {
                    true => assert_eq!(said[0].0, Level::Good, "{said:?}"),
                    false => {
                        assert_eq!(said, [(Level::Warning, format!("{unit} {what}: {without}"))])
                    }
                }
            }
        }
        assert_eq!(told(|out| wiring("garbage\n\n=\n", out)).len(), WIRED.len());
    }

    #[test]
    fn a_clock_of_1970_is_told_and_one_of_2040_is_taken() {
        assert_eq!(levels(|out| time(0, None, out)), [Level::Warning]);
        assert_eq!(levels(|out| time(FIRST_RELEASE, None, out)), [Level::Good]);
        assert_eq!(levels(|out| time(2_208_988_800, None, out)), [Level::Good]);
        let newer = Some(2_208_988_800);
        assert_eq!(levels(|out| time(2_208_988_799, newer, out)), [Level::Warning]);
        assert_eq!(levels(|out| time(u64::MAX, Some(u64::MAX), out)), [Level::Good]);
    }
}

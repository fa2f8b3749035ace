//! Why a release came back, in words that say no more than what is known. Pure.

use super::line::{Kind, Line};
use super::read::BootLog;
use crate::health::{Outcome, Seen};
use crate::model::{Against, Failing, ReasonCode, printable};
use serde::{Deserialize, Serialize};

/// The kinds of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// Health checks said no.
    Check,
    /// A program of the integrator said no.
    Hook,
    /// It was not decided in time.
    Deadline,
    /// A person sent it back.
    Requested,
    /// The kernel panicked.
    Panic,
    /// It hung, and the watchdog reset it.
    Hang,
    /// It ended without a word: a hang, a reset or a power loss.
    UncleanEnd,
    /// It left no trace at all: like a pulled plug.
    NoTrace,
    /// It was restarted in good order until its tries were used up.
    Undecided,
    /// The boot script never tried it.
    NotTried,
    /// Nobody counted its boots.
    NotCounted,
    /// Something else; the text is all there is.
    #[serde(other)]
    Other,
}

/// Why a release came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For programs.
    pub kind: CauseKind,
    /// For people: one sentence, without its capital and its full stop.
    pub text: String,
}

/// What one boot of the trial has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootStory {
    /// Which one of its tries.
    pub bootcount: Option<u32>,
    /// Seconds from the start of its kernel to its last line.
    pub seconds: Option<u64>,
    /// The last line.
    pub last: Option<String>,
    /// The last line that tells of a defect of the kernel.
    pub grave: Option<String>,
    /// Whether the daemon was up.
    pub daemon: bool,
    /// What was missing when systemd gave up and went into emergency mode.
    pub emergency: Option<String>,
    /// Why nothing follows; `None` where it ended without a word.
    pub end: Option<String>,
}

/// What the watchdog says of the reset that began this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// Its name.
    pub identity: String,
    /// Its word (linux/watchdog.h); many drivers always say 0.
    pub bootstatus: u32,
}

/// `WDIOF_CARDRESET`: the card reset the machine before.
const CARD_RESET: u32 = 0x20;

/// Everything that is known of a trial that ended.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// The reason that the journal gives.
    pub(crate) reason: ReasonCode,
    /// What it says to it.
    pub(crate) detail: &'a str,
    /// What spoke against it.
    pub(crate) against: &'a Against,
    /// What the checks said last, if anybody looked.
    pub(crate) checks: &'a [Seen],
    /// The boots in the black box.
    pub(crate) boots: &'a [BootStory],
    /// Boots allowed. How many it has used is not known: a kernel that cannot be started ends a trial
    /// at its first boot.
    pub(crate) limit: Option<u32>,
    /// Whether its slot holds a file system that a bootloader finds.
    pub(crate) bootable: bool,
    /// The boot in which its updater ran first, where the journal knows of one.
    pub(crate) came_up: Option<u32>,
    /// What the kernel put aside.
    pub(crate) pstore: &'a [String],
    /// What the watchdog says.
    pub(crate) watchdog: Option<&'a Watchdog>,
    /// Whether it misbehaved because it was told to.
    pub(crate) drill: bool,
}

/// Names the cause.
pub(crate) fn explain(facts: &Facts<'_>) -> Cause {
    let cause = found(facts);
    match facts.drill {
        true => Cause { text: format!("a drill: {}", cause.text), ..cause },
        false => cause,
    }
}

fn found(facts: &Facts<'_>) -> Cause {
    let cause = |kind, text: String| Cause { kind, text };
    let said = || match facts.detail.is_empty() {
        true => facts.reason.meaning().trim_end_matches('.').to_owned(),
        false => facts.detail.to_owned(),
    };
    match facts.reason {
        ReasonCode::HealthFailed => {
            let failed = match facts.against.count() {
                0 | 1 => "a health check failed".to_owned(),
                count => format!("{count} health checks failed"),
            };
            cause(CauseKind::Check, format!("{failed}: {}", said()))
        }
        ReasonCode::HookVeto => {
            cause(CauseKind::Hook, format!("a program of the integrator said no: {}", said()))
        }
        ReasonCode::DeadlinePassed => {
            let failing = Against::all(facts.checks.iter().filter_map(|s| match &s.outcome {
                Outcome::Good | Outcome::Open(_) => None,
                Outcome::Bad(why) | Outcome::CouldNot(why) => Some(Failing::check(&s.name, why)),
            }));
            let failing = match failing.is_empty() {
                true => String::new(),
                false => format!("; still failing: {}", failing.text()),
            };
            cause(CauseKind::Deadline, format!("{}{failing}", said()))
        }
        ReasonCode::Requested => {
            cause(CauseKind::Requested, format!("it was sent back: {}", said()))
        }
        ReasonCode::TrialNotStarted => cause(CauseKind::NotTried, said()),
        ReasonCode::CounterDead => cause(CauseKind::NotCounted, said()),
        ReasonCode::BootFailed | ReasonCode::JournalLost => by_its_traces(facts),
        _ => cause(CauseKind::Other, said()),
    }
}

/// Nobody has decided it: the last boot tells, if it could write.
fn by_its_traces(facts: &Facts<'_>) -> Cause {
    let cause = |kind, text| Cause { kind, text };
    let limit = facts.limit.map_or_else(String::new, |l| format!(" of {l}"));
    if let Some(line) = facts.pstore.iter().find(|l| l.contains("Kernel panic")) {
        return cause(CauseKind::Panic, format!("the kernel panicked: {}", bare(line)));
    }
    let dog = facts.watchdog.filter(|dog| dog.bootstatus & CARD_RESET != 0);
    let Some(last) = facts.boots.last() else {
        if let Some(boot) = facts.came_up {
            let ran = format!(
                "its updater ran in boot {boot}{limit}, and no black box tells what followed"
            );
            return match dog {
                Some(dog) => {
                    let text =
                        format!("{ran}; it hung, and the watchdog ({}) reset it", dog.identity);
                    cause(CauseKind::Hang, text)
                }
                None => {
                    let text = format!("{ran}; it hung until it was reset, or the power went");
                    cause(CauseKind::UncleanEnd, text)
                }
            };
        }
        let tries = match facts.limit {
            Some(1) => " in its only try".to_owned(),
            Some(limit) => format!(" in any of its tries ({limit} at most)"),
            None => String::new(),
        };
        if !facts.bootable {
            let text = "its slot holds no file system that the bootloader finds, so no kernel could be loaded and it never started";
            return cause(CauseKind::NoTrace, text.to_owned());
        }
        if let Some(dog) = dog {
            let text = format!(
                "it hung before its black box was there; the watchdog ({}) reset it, and nothing was written{tries}",
                dog.identity
            );
            return cause(CauseKind::Hang, text);
        }
        let text = format!(
            "reset or power loss before its black box wrote anything{tries}, like a pulled plug; or no kernel could be loaded at the first one, or its configuration could not be read"
        );
        return cause(CauseKind::NoTrace, text);
    };
    if let Some(line) = last.grave.as_ref().filter(|l| l.contains("Kernel panic")) {
        return cause(CauseKind::Panic, format!("the kernel panicked: {}", bare(line)));
    }
    let count = last.bootcount.map_or_else(String::new, |n| format!(" in boot {n}{limit}"));
    if let Some(line) = &last.emergency {
        let text = format!("it ended in emergency mode, last{count}: \"{}\"", bare(line));
        return cause(CauseKind::Undecided, text);
    }
    if let Some(end) = &last.end {
        let text = format!("it was restarted before it was decided, last{count}: {end}");
        return cause(CauseKind::Undecided, text);
    }
    let when = last.seconds.map_or_else(String::new, |s| format!(" after {s} s"));
    let phase = if last.daemon { "" } else { " in early boot" };
    let line = match &last.last {
        Some(line) => format!("the last line was \"{}\"", bare(line)),
        None => "it said nothing".to_owned(),
    };
    let grave = last.grave.as_ref().filter(|g| last.last.as_ref() != Some(g));
    let grave = grave.map_or_else(String::new, |g| format!("; before that \"{}\"", bare(g)));
    match dog {
        Some(dog) => {
            let text = format!(
                "it hung{phase}{when}{count}: {line}{grave}; the watchdog ({}) reset it",
                dog.identity
            );
            cause(CauseKind::Hang, text)
        }
        None => {
            let text = format!(
                "it ended without a word{phase}{when}{count}: {line}{grave}; it hung until it was reset, or the power went"
            );
            cause(CauseKind::UncleanEnd, text)
        }
    }
}

/// What a boot has left, from its lines.
pub(crate) fn story(log: &BootLog) -> BootStory {
    let own = || log.lines.iter().filter(|l| l.kind != Kind::Pstore);
    let grave = |l: &&Line| GRAVE.iter().any(|word| l.text.contains(word));
    let daemon = |l: &Line| l.kind == Kind::Journal && l.text.contains(" surefoot[");
    let init: Vec<&Line> = own().filter(|l| l.text.contains(" systemd[1]: ")).collect();
    let emergency = init.windows(2).find(|two| two[1].text.contains(EMERGENCY));
    BootStory {
        bootcount: log.head.bootcount,
        seconds: own().next_back().and_then(|l| seconds(&l.text)),
        last: own().next_back().map(|l| l.text.clone()),
        grave: own().rfind(grave).map(|l| l.text.clone()),
        daemon: own().any(daemon),
        emergency: emergency.map(|two| two[0].text.clone()),
        end: log.end.as_ref().map(|(_, text)| text.clone()),
    }
}

/// How the kernel speaks of its own defects, and the init system of its end.
const GRAVE: [&str; 9] = [
    "Kernel panic",
    "systemd[1]: Freezing execution",
    "BUG: ",
    "kernel BUG at",
    "Oops",
    "Unable to handle kernel",
    "soft lockup",
    "blocked for more than",
    "Out of memory: Killed",
];

/// systemd's word before emergency mode; the one before it names the file system.
const EMERGENCY: &str = "Dependency failed for local-fs.target";

/// `[   12.345678] text` or `<3>[   12.345678] text` without what stands before the text.
fn bare(line: &str) -> String {
    let line = line.trim_start();
    let line = line.strip_prefix('<').and_then(|l| l.split_once('>')).map_or(line, |(_, l)| l);
    let text = match line.starts_with('[') {
        true => line.split_once("] ").map_or(line, |(_, text)| text),
        false => line,
    };
    printable(text.trim(), 200)
}

fn seconds(line: &str) -> Option<u64> {
    let inside = line.strip_prefix('[')?.split_once(']')?.0;
    inside.trim().split('.').next()?.parse().ok()
}

/// What pstore has kept of this trial: what its second and later boots, and the boot after it,
/// have found of the boot before.
pub(crate) fn put_aside(logs: &[&BootLog]) -> Vec<String> {
    let after = logs.iter().filter(|l| !l.head.trial || l.head.bootcount.is_some_and(|n| n > 1));
    let lines = after.flat_map(|l| &l.lines).filter(|l| l.kind == Kind::Pstore);
    lines.map(|l| l.text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static NOTHING: Against = Against { failing: Vec::new(), more: 0 };

    const FACTS: Facts<'_> = Facts {
        reason: ReasonCode::BootFailed,
        detail: "",
        against: &NOTHING,
        checks: &[],
        boots: &[],
        limit: Some(3),
        bootable: true,
        came_up: None,
        pstore: &[],
        watchdog: None,
        drill: false,
    };

    fn boot(last: &str) -> BootStory {
        BootStory {
            bootcount: Some(3),
            seconds: Some(12),
            last: Some(last.into()),
            ..BootStory::default()
        }
    }

    #[test]
    fn each_end_has_its_cause() {
        let hung = [boot("[   12.000000] Mounted /data")];
        let up = [BootStory { daemon: true, ..hung[0].clone() }];
        let oops = [BootStory { grave: Some("[   11.9] BUG: bad".into()), ..hung[0].clone() }];
        let panicked =
            [BootStory { grave: Some("[   11.9] Kernel panic - x".into()), ..hung[0].clone() }];
        let ordered = [BootStory { end: Some("stopped in good order".into()), ..boot("bye") }];
        let mute = [BootStory::default()];
        let missing = Some("[    4.4] host systemd[1]: Dependency failed for srv.mount".into());
        let emergency = [BootStory { emergency: missing, ..ordered[0].clone() }];
        let panic = ["-- dmesg-ramoops-0 --", "<0>[   9.1] Kernel panic - not syncing: no init"]
            .map(str::to_owned);
        let oops_only = ["<1>[   9.1] BUG: unable to handle page fault".to_owned()];
        let dog = |bootstatus| Watchdog { identity: "i6300ESB timer".into(), bootstatus };
        let (bit, none) = (dog(0x28), dog(0));
        let failing = [Seen {
            name: "web".into(),
            units: vec![],
            outcome: Outcome::CouldNot("no answer".into()),
        }];
        let table: [(Facts<'_>, CauseKind, &str); 19] = [
            (Facts { drill: true, ..FACTS }, CauseKind::NoTrace, "a drill: reset or power loss"),
            (
                FACTS,
                CauseKind::NoTrace,
                "before its black box wrote anything in any of its tries (3 at most), like a pulled plug",
            ),
            (Facts { limit: None, ..FACTS }, CauseKind::NoTrace, "wrote anything, like"),
            (Facts { watchdog: Some(&none), ..FACTS }, CauseKind::NoTrace, "like a pulled plug"),
            (
                Facts { watchdog: Some(&bit), ..FACTS },
                CauseKind::Hang,
                "it hung before its black box was there; the watchdog (i6300ESB timer) reset it, and nothing was written in any of its tries (3 at most)",
            ),
            (
                Facts { boots: &hung, ..FACTS },
                CauseKind::UncleanEnd,
                "it ended without a word in early boot after 12 s in boot 3 of 3: the last line was \"Mounted /data\"; it hung until",
            ),
            (Facts { boots: &up, ..FACTS }, CauseKind::UncleanEnd, "without a word after 12 s"),
            (
                Facts { boots: &hung, watchdog: Some(&none), ..FACTS },
                CauseKind::UncleanEnd,
                "or the power went",
            ),
            (
                Facts { boots: &hung, watchdog: Some(&bit), ..FACTS },
                CauseKind::Hang,
                "it hung in early boot after 12 s in boot 3 of 3: the last line was \"Mounted /data\"; the watchdog (i6300ESB timer) reset it",
            ),
            (Facts { boots: &oops, ..FACTS }, CauseKind::UncleanEnd, "before that \"BUG: bad\""),
            (
                Facts { boots: &panicked, ..FACTS },
                CauseKind::Panic,
                "the kernel panicked: Kernel panic - x",
            ),
            (
                Facts { boots: &hung, pstore: &panic, watchdog: Some(&bit), ..FACTS },
                CauseKind::Panic,
                "the kernel panicked: Kernel panic - not syncing: no init",
            ),
            (Facts { boots: &hung, pstore: &oops_only, ..FACTS }, CauseKind::UncleanEnd, "Mounted"),
            (
                Facts { boots: &ordered, ..FACTS },
                CauseKind::Undecided,
                "restarted before it was decided, last in boot 3 of 3: stopped in good order",
            ),
            (
                Facts { boots: &emergency, ..FACTS },
                CauseKind::Undecided,
                "emergency mode, last in boot 3 of 3: \"host systemd[1]: Dependency failed for srv.mount\"",
            ),
            (Facts { boots: &mute, ..FACTS }, CauseKind::UncleanEnd, "it said nothing"),
            (
                Facts { reason: ReasonCode::HealthFailed, detail: "web: answered 503", ..FACTS },
                CauseKind::Check,
                "a health check failed: web: answered 503",
            ),
            (
                Facts {
                    reason: ReasonCode::DeadlinePassed,
                    detail: "not decided within 1 hour",
                    checks: &failing,
                    ..FACTS
                },
                CauseKind::Deadline,
                "not decided within 1 hour; still failing: web: no answer",
            ),
            (
                Facts { reason: ReasonCode::WrongSlot, ..FACTS },
                CauseKind::Other,
                "not the one on trial",
            ),
        ];
        for (facts, kind, text) in table {
            let cause = explain(&facts);
            assert_eq!(cause.kind, kind, "{}", cause.text);
            assert!(cause.text.contains(text), "{}\nwants {text}", cause.text);
        }
    }

    /// Number of tries, and what is known of them: one sentence that says no more than that.
    #[test]
    fn a_cause_fits_the_number_of_tries_and_what_is_known() {
        let bit = Watchdog { identity: "dog".into(), bootstatus: 0x20 };
        let in_boot = |count| [BootStory { bootcount: Some(count), ..boot("[ 3.0] motor starts") }];
        let (first, last) = (in_boot(1), in_boot(3));
        let tries = |limit| Facts { limit, ..FACTS };
        let unbootable = |limit| Facts { limit, bootable: false, ..FACTS };
        let dog = |limit| Facts { limit, watchdog: Some(&bit), ..FACTS };
        let came_up = |limit| Facts { limit, came_up: Some(1), ..FACTS };
        for (facts, says, never) in [
            (tries(Some(1)), "wrote anything in its only try, like a pulled plug", "any of its"),
            (tries(Some(3)), "in any of its tries (3 at most), like a pulled plug", "its 3 tries"),
            (tries(None), "wrote anything, like a pulled plug", "tries"),
            (unbootable(Some(1)), "holds no file system", "plug"),
            (unbootable(Some(3)), "never started", "tries"),
            (unbootable(None), "no kernel could be loaded", "configuration"),
            (dog(Some(1)), "nothing was written in its only try", "plug"),
            (dog(Some(3)), "nothing was written in any of its tries (3 at most)", "plug"),
            (dog(None), "nothing was written", "tries"),
            (came_up(Some(1)), "its updater ran in boot 1 of 1, and no black box", "plug"),
            (came_up(Some(3)), "its updater ran in boot 1 of 3, and no black box", "tries"),
            (came_up(None), "its updater ran in boot 1, and no black box", "tries"),
            (Facts { watchdog: Some(&bit), ..came_up(None) }, "it hung, and the watchdog", "wrote"),
            (Facts { bootable: false, ..came_up(None) }, "its updater ran", "never started"),
            (
                Facts { boots: &last, ..came_up(Some(3)) },
                "in boot 3 of 3: the last line",
                "updater",
            ),
            (Facts { boots: &first, limit: Some(1), ..FACTS }, "in boot 1 of 1: the last", "tries"),
            (Facts { boots: &first, ..FACTS }, "in boot 1 of 3: the last line", "tries"),
            (Facts { boots: &last, ..FACTS }, "in boot 3 of 3: the last line", "tries"),
            (Facts { boots: &last, bootable: false, ..FACTS }, "the last line", "never started"),
        ] {
            let text = explain(&facts).text;
            assert!(text.contains(says) && !text.contains(never), "{text}\nwants {says}");
        }
    }

    #[test]
    fn every_reason_has_a_cause_that_says_something() {
        for reason in ReasonCode::ALL {
            let cause = explain(&Facts { reason: *reason, ..FACTS });
            assert!(cause.text.len() > 10 && !cause.text.ends_with('.'), "{reason}: {cause:?}");
        }
    }

    #[test]
    fn a_story_is_read_from_the_lines() {
        let line = |kind, text: &str| Line { kind, text: text.into() };
        let head = serde_json::json!({"v":1,"boot_id":"x","slot":"b","trial":true,"txn":null,
            "version":null,"bootcount":2,"bootlimit":3,"at":0});
        let log = BootLog {
            head: serde_json::from_value(head).unwrap(),
            lines: vec![
                line(Kind::Pstore, "<0>[ 3.0] Kernel panic of the boot before"),
                line(Kind::Kernel(1), "[    7.100000] BUG: scheduling while atomic"),
                line(Kind::Journal, "[    8.000000] host surefoot[9]: trying: x"),
                line(Kind::Journal, "[    8.100000] host systemd[1]: Failed to mount srv.mount."),
                line(Kind::Kernel(6), "[    8.200000] usb 1-1: new device"),
                line(
                    Kind::Journal,
                    "[    8.300000] host systemd[1]: Dependency failed for local-fs.target.",
                ),
                line(Kind::Journal, "[    9.500000] host web[7]: bye"),
            ],
            end: None,
        };
        let story = story(&log);
        assert_eq!((story.seconds, story.daemon, story.end), (Some(9), true, None));
        assert!(story.emergency.unwrap().ends_with("Failed to mount srv.mount."));
        assert!(story.grave.unwrap().contains("scheduling") && story.last.unwrap().contains("bye"));
        assert_eq!(put_aside(&[&log]).len(), 1);
        let mut first = log.clone();
        first.head.bootcount = Some(1);
        assert_eq!(put_aside(&[&first]).len(), 0, "that was the old system");
        first.head.trial = false;
        assert_eq!(put_aside(&[&first]).len(), 1);
        assert_eq!(seconds("[ x ]"), None);
        assert_eq!(bare("[odd"), "[odd");
    }
}

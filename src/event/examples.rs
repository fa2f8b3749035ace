//! One example of each kind of event. docs/events.md is made of them.

use super::{AppsStep, Event, Forecast, Moved, Phase};
use crate::model::{Against, Failing, ReasonCode, SlotId, State};

/// Each kind of event once, with what it means.
pub fn examples() -> Vec<(&'static str, Event)> {
    let text = str::to_owned;
    let moved = Some(Moved {
        fetched: 131_072,
        reused: 262_144,
        written: 524_288,
        rate: 65_536,
        seconds_left: Some(2),
    });
    vec![
        (
            "The daemon runs, and answers.",
            Event::Started { updater: text("1.0.0"), state: State::Idle },
        ),
        (
            "The device stands elsewhere than before; `state` is one of the eight words.",
            Event::State {
                state: State::Updated,
                text: text(
                    "Running 2.0.0 (slot b), committed just now. Rollback armed. Nothing new.",
                ),
            },
        ),
        (
            "A phase of an installation began: `verify`, `compare`, `write` or `finish`, or of apps `stage`. `total` is in bytes, 0 if unknown.",
            Event::PhaseStarted { phase: Phase::Write, total: 1_048_576 },
        ),
        (
            "So many bytes of the phase are behind us. At most five a second, and not kept. While a slot is written: `fetched` counts bytes of all answers over the network (without one, stored bytes used from the artifact), `reused` image bytes that stood in the slot or were copied from the one that runs, `written` image bytes written; `rate` is stored bytes a second since the writing began, `seconds_left` what the rest of them takes at that rate, where that is known.",
            Event::Progress { phase: Phase::Write, done: 524_288, total: 1_048_576, moved },
        ),
        (
            "A phase ended well; with what was moved, where a slot was written.",
            Event::PhaseEnded { phase: Phase::Compare, done: 1_048_576, moved: None },
        ),
        (
            "An installation over a network is about to write, and nothing is changed yet. Image bytes: `stands` are in the slot already, `copied` come from the slot that runs, `zeros` from nowhere, `fetch` over the network, as `to_fetch` stored bytes. `via` is `adaptive`, `full` (all of the artifact comes) or `delta` (`fetch` is made from the slot that runs and the delta). `fetched` bytes of answers came so far, for the head of the artifact; `rate` is bytes a second as those came, and `seconds` what `to_fetch` takes at that rate, both only where it is known.",
            Event::Planned {
                forecast: Forecast {
                    stands: 0,
                    copied: 314_572_800,
                    zeros: 603_979_776,
                    fetch: 155_189_248,
                    to_fetch: 53_600_000,
                    ..Forecast::default().measured(12_288, 600)
                },
            },
        ),
        (
            "The bootloader was told to try a slot at the next boot.",
            Event::Armed { slot: SlotId::B, version: "2.0.0".parse().ok() },
        ),
        ("The trial ended well: the slot stays.", Event::Committed { slot: SlotId::B }),
        (
            "The device goes back to `slot`; `reason` is a [reason code](reason-codes.md). `failing` has every check or hook that said no, at most eight; `failing_more` counts the others. A drill has `\"drill\":true` and `PRIORITY=5`.",
            Event::RolledBack {
                slot: SlotId::A,
                reason: ReasonCode::HealthFailed,
                against: Against::one(Failing::check("web: front", "answered 503")),
                drill: false,
            },
        ),
        (
            "Something that was asked for was refused or failed. Nothing that boots has changed.",
            Event::Refused {
                reason: ReasonCode::Incompatible,
                text: text("the artifact fits other-board, this device is demo-board"),
            },
        ),
        (
            "A person cancelled what was not tried yet. No release is at fault, and nothing that boots has changed.",
            Event::Cancelled {
                version: text("2.0.0"),
                text: text("a person asked for it (by root)"),
            },
        ),
        (
            "Another release takes the place of one that was not tried yet. No release is at fault, and nothing that boots has changed.",
            Event::Superseded { version: text("2.0.0"), text: text("3.0.0 takes its place") },
        ),
        (
            "A health check says something else than the last time.",
            Event::Check {
                name: text("web"),
                passed: false,
                text: text("http://127.0.0.1/: connection refused"),
            },
        ),
        (
            "A program of the integrator ended.",
            Event::Hook {
                moment: text("before-install"),
                name: text("10-stop-recording"),
                text: text("exit status 0"),
            },
        ),
        (
            "Something stands between now and the next step; see `surefoot why`.",
            Event::Waiting { text: vec![text("the time window: opens in 3 hours")] },
        ),
        (
            "A stick was put in, or a file into the inbox.",
            Event::Media { text: text("stick sda: update.surefoot is installed") },
        ),
        (
            "Automatic updates were stopped or let go.",
            Event::Hold { held: true, text: text("Automatic updates are stopped by root.") },
        ),
        (
            "The machine is about to reboot.",
            Event::Rebooting { text: text("2.0.0 in slot b is tried") },
        ),
        (
            "A change of apps stands elsewhere; `step` is `staged`, `switching`, `updated`, `rolled-back` or `failed`. `reason` is a [reason code](reason-codes.md), and `text` names the service where one is to blame.",
            Event::Apps {
                step: AppsStep::RolledBack,
                apps: vec![text("shop 1.0.0 -> 2.0.0")],
                reason: Some(ReasonCode::ServiceUnhealthy),
                text: text("shop/web: exit status 1"),
            },
        ),
        (
            "A service of an app is well, or is not, unlike before. It is started again by itself. \
             This version does not send it yet: `surefoot apps status` says the same.",
            Event::Service {
                app: text("shop"),
                service: text("web"),
                well: false,
                text: text("ended with exit status 137"),
            },
        ),
        (
            "Something a person should know that stops nothing.",
            Event::Warning {
                text: text("ignored: surefoot.toml:5: unknown setting `device.colour`"),
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A kind of event has its place here, or this does not compile.
    fn place(event: &Event) -> usize {
        match event {
            Event::Started { .. } => 0,
            Event::State { .. } => 1,
            Event::PhaseStarted { .. } => 2,
            Event::Progress { .. } => 3,
            Event::PhaseEnded { .. } => 4,
            Event::Planned { .. } => 5,
            Event::Armed { .. } => 6,
            Event::Committed { .. } => 7,
            Event::RolledBack { .. } => 8,
            Event::Refused { .. } => 9,
            Event::Cancelled { .. } => 10,
            Event::Superseded { .. } => 11,
            Event::Check { .. } => 12,
            Event::Hook { .. } => 13,
            Event::Waiting { .. } => 14,
            Event::Media { .. } => 15,
            Event::Hold { .. } => 16,
            Event::Rebooting { .. } => 17,
            Event::Apps { .. } => 18,
            Event::Service { .. } => 19,
            Event::Warning { .. } => 20,
        }
    }

    #[test]
    fn every_kind_is_here_once_with_an_id_of_its_own() {
        let all = examples();
        let places: Vec<_> = all.iter().map(|(_, e)| place(e)).collect();
        assert_eq!(places, (0..21).collect::<Vec<_>>());
        let told: Vec<_> = all.iter().filter_map(|(_, e)| e.told()).collect();
        let ids: BTreeSet<_> = told.iter().map(|t| t.id).collect();
        assert_eq!(ids.len(), told.len());
        for told in &told {
            let hex = told.id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            assert!(told.id.len() == 32 && hex, "{}", told.id);
        }
    }

    #[test]
    fn a_line_reads_back() {
        for (_, event) in examples() {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }
}

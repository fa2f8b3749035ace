//! What is explored, and which promise each mistake breaks.

use super::machine::Machine;
use super::mistakes::{ALL, Mistake};
use super::world::{Nature, Scenario, Violation};
use crate::update::explore::graph::{Broken, Tally, explore, on_all_cores};
use Nature::{Ends, Good, Late, NeverStarts, Panics, Unhealthy};

fn run(scenario: Scenario, mistake: Option<Mistake>, cuts: u8) -> Result<Tally, Broken<Violation>> {
    explore(&mut Machine::new(scenario, mistake), cuts)
}

const NATURES: [Nature; 6] = [Good, Unhealthy, Late, NeverStarts, Ends, Panics];

/// What is explored each time, and with how many cuts.
fn scenarios() -> Vec<(Scenario, u8)> {
    let mut all = Vec::new();
    for nature in NATURES {
        let plain = Scenario::of(nature);
        let busy = Scenario { flaky: true, ends: true, person: true, newer: true, ..plain };
        all.push((Scenario { flaky: true, ends: true, ..plain }, 3));
        all.push((busy, 2));
        all.push((Scenario { two: true, copies: false, ..busy }, 2));
        all.push((Scenario { two: true, stage: true, flaky: true, person: true, ..plain }, 2));
        all.push((Scenario { newer: true, ..plain }, 3));
        all.push((Scenario { person: true, ..plain }, 3));
        let system = Scenario { systems: 1, ..plain };
        let joint = Scenario { joint: true, ..Scenario::system(nature) };
        for bad_system in [false, true] {
            all.push((Scenario { bad_system, ..system }, 3));
            all.push((Scenario { bad_system, stage: true, person: true, ..system }, 2));
            all.push((Scenario { bad_system, joint: true, stage: true, flaky: true, ..system }, 2));
            all.push((Scenario { bad_system, ..joint }, 3));
            all.push((Scenario { bad_system, systems: 2, two: true, ..joint }, 2));
            all.push((Scenario { bad_system, person: true, flaky: true, ..joint }, 2));
        }
    }
    for nature in [Good, Unhealthy] {
        let plain = Scenario::of(nature);
        let joint = Scenario { joint: true, ..Scenario::system(nature) };
        for (full, lost) in [(true, false), (false, true)] {
            all.push((Scenario { full, lost, person: true, ..plain }, 3));
            all.push((Scenario { full, lost, ..joint }, 3));
            all.push((Scenario { full, lost, bad_system: true, flaky: true, ..joint }, 2));
        }
        all.push((Scenario { systems: 2, ..Scenario::system(nature) }, 3));
    }
    for two in [false, true] {
        all.push((
            Scenario { same: true, copies: two, two, person: true, ..Scenario::of(Good) },
            3,
        ));
    }
    all
}

/// The smallest device on which a mistake shows, the cuts that it takes, and the promise it breaks.
fn caught(mistake: Mistake) -> (Scenario, u8, Violation) {
    use Mistake as M;
    use Violation as V;
    let plain = Scenario::of;
    let joint = |nature| Scenario { joint: true, ..Scenario::system(nature) };
    let system = Scenario { systems: 1, ..plain(Good) };
    let bad = Scenario { bad_system: true, ..joint(Good) };
    let person = Scenario { person: true, ..plain(Good) };
    let same = Scenario { same: true, copies: false, ..plain(Good) };
    match mistake {
        M::StartBeforeJournal => (person, 1, V::DataLost),
        M::RestoredTwice => (plain(Unhealthy), 1, V::DataLost),
        M::CommitUnchecked => (plain(Unhealthy), 0, V::CommittedUnchecked),
        M::UndecidedIsHealthy => (plain(Late), 0, V::CommittedUnchecked),
        M::CopiedAfterStart | M::NeverRestored => (plain(Unhealthy), 0, V::DataLost),
        M::NoSync => (plain(Good), 0, V::StagedUnsynced),
        M::CollectInTrial => (Scenario { person: true, ..system }, 1, V::CollectedInTrial),
        M::OtherSlotCollected => (bad, 0, V::NeededGone),
        M::AttemptForgotten => (plain(Panics), 0, V::NeverRests),
        M::DenyNothing => (plain(Unhealthy), 0, V::TriedAgain),
        M::StartDuringSystemTrial => (system, 0, V::TwoTrials),
        M::SystemArmedInTrial => (Scenario { systems: 1, ..plain(Late) }, 0, V::TwoTrials),
        M::SetNotCopied => (Scenario { systems: 2, ..Scenario::system(Good) }, 0, V::WrongSet),
        M::SetForgottenAtCommit => (plain(Good), 0, V::DataLost),
        M::NotFollowed => (joint(Good), 0, V::Promise),
        M::SlotCommitsEarly => (joint(Good), 0, V::CommittedInTrial),
        M::LeftSystemFollowed => (bad, 0, V::DataLost),
        M::StartBeforeStop => (plain(Good), 0, V::Mixed),
        M::OldBesideNew => (plain(Unhealthy), 0, V::Mixed),
        M::FailedSwitchWaits => (Scenario { full: true, ..plain(Good) }, 0, V::LeftHalfway),
        M::FailedCheckWaits => (plain(Unhealthy), 0, V::LeftHalfway),
        M::SharedStopped => (plain(Good), 0, V::UnchangedStopped),
        M::StopForgotten => (Scenario { person: true, ..joint(Good) }, 0, V::StoppedRuns),
        M::FindingKept => (plain(NeverStarts), 0, V::DataLost),
        M::SharedAwaited => (same, 0, V::NeverRests),
        M::ReturnRefused => (plain(Unhealthy), 0, V::LeftByItsCaller),
        M::StaleStaged => (Scenario { stage: true, joint: true, ..system }, 0, V::TwoTrials),
    }
}

/// And every mistake is seen; one test, so that one line tells what was done.
#[test]
fn every_cut_ends_with_the_old_or_the_new_apps() {
    let mut wrong = Vec::new();
    for mistake in ALL {
        let (scenario, cuts, violation) = caught(mistake);
        match run(scenario, Some(mistake), cuts) {
            Ok(tally) => wrong.push(format!("{mistake:?} is not caught: {tally:?}")),
            Err(broken) if broken.violation == violation => {}
            Err(broken) => wrong.push(format!("{mistake:?}: {}", told(&broken))),
        }
        // It is the mistake that is seen, and nothing else.
        if let Err(broken) = run(scenario, None, cuts) {
            wrong.push(format!("without {mistake:?}: {}", told(&broken)));
        }
    }
    let mut worlds = 0;
    let mut all = scenarios();
    // `./check` explores them as deep as they say; `cargo test`, while a person works, one cut deep and without those in
    // which much happens at once.
    let deep = ["SUREFOOT_FULL", "SUREFOOT_DEEP"].iter().any(|n| std::env::var_os(n).is_some());
    if !deep {
        all.retain(|(scenario, _)| !scenario.is_busy());
        all.iter_mut().for_each(|(_, cuts)| *cuts = (*cuts).min(1));
    }
    for ((scenario, cuts), told_of) in on_all_cores(&all, |(s, cuts)| run(s, None, cuts)) {
        match told_of {
            Ok(tally) => {
                worlds += tally.worlds;
                assert!(tally.steps < STEPS_MAX && tally.ends > 0, "{scenario:?}: {tally:?}");
            }
            Err(broken) => wrong.push(format!("{scenario:?}, {cuts} cuts: {}", told(&broken))),
        }
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
    println!("note: apps: {worlds} worlds, {} of {} mistakes found", ALL.len(), ALL.len());
}

/// Steps to rest after the last cut: a change, its way back, and two systems.
const STEPS_MAX: u32 = 400;

fn told(broken: &Broken<Violation>) -> String {
    format!("{:?}\n    {}", broken.violation, broken.way.join("\n    "))
}

//! What is decided in each phase. What must hold of whole lives, with cuts, is explored in `explore`.

#![allow(clippy::unwrap_used)]

use super::decide;
use super::facts::{AppCommand, AppDone, AppEffect, AppFacts, AppRules, AppStep, Live, SlotTrial};
use super::journal::{
    AppEnded, AppJournal, AppMove, AppPhase, AppSet, Cause, Change, Generation, RefusedApp,
};
use crate::bundle::ServiceName;
use crate::model::{Digest, ReasonCode, SlotId};
use crate::update::Order;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(super) fn release(n: u8) -> Generation {
    Generation {
        digest: Digest([n; 32]),
        version: format!("{n}.0").parse().unwrap(),
        release_counter: u64::from(n),
        config: BTreeMap::new(),
        development: false,
        keep: 1,
    }
}

pub(super) fn set(apps: &[(&str, u8)]) -> AppSet {
    apps.iter().map(|(app, n)| (name(app), release(*n))).collect()
}

pub(super) fn step_of(app: &str, from: Option<u8>, to: Option<u8>) -> AppMove {
    AppMove { app: name(app), from: from.map(release), to: to.map(release) }
}

/// A device with release 1 of *shop* in slot a.
pub(super) fn device() -> AppJournal {
    let runs = set(&[("shop", 1)]);
    AppJournal { sets: [Some(runs.clone()), None], live: runs, ..AppJournal::default() }
}

fn asked(moves: &[AppMove]) -> Change {
    Change { number: 1, moves: moves.to_vec(), cause: Cause::Asked(Order::default()) }
}

fn update() -> Change {
    asked(&[step_of("shop", Some(1), Some(2))])
}

fn followed() -> Change {
    Change { cause: Cause::Slot(SlotId::A), ..update() }
}

fn facts() -> AppFacts {
    AppFacts {
        booted: SlotId::A,
        boot_id: "this".to_owned(),
        slot: SlotTrial::None,
        from: Live::All,
        to: Live::Nothing,
        copied: false,
        copies: false,
        rubbish: false,
        command: AppCommand::Settle,
        done: None,
        rules: AppRules::default(),
        now: 77,
    }
}

fn ask(moves: &[AppMove], automatic: bool, switch: bool) -> AppCommand {
    let order = Order { automatic, ..Order::default() };
    AppCommand::Change { moves: moves.to_vec(), order, switch }
}

fn at(phase: AppPhase) -> AppJournal {
    AppJournal { changes: 1, ..device().in_phase(phase) }
}

fn trying(change: Change) -> AppJournal {
    at(AppPhase::Trying { change, boot_id: "this".to_owned(), attempt: 1 })
}

fn returning(restore: bool) -> AppJournal {
    let (reason, detail) = (ReasonCode::ServiceUnhealthy, "web: no answer".to_owned());
    at(AppPhase::Returning { change: update(), reason, detail, restore })
}

fn persisted(journal: &AppJournal, facts: &AppFacts) -> AppJournal {
    match decide(journal, facts) {
        AppStep::Persist(next) => next,
        step => panic!("{step:?}"),
    }
}

fn runs(journal: &AppJournal, facts: &AppFacts) -> AppEffect {
    match decide(journal, facts) {
        AppStep::Run(effect) => effect,
        step => panic!("{step:?}"),
    }
}

fn failed(code: ReasonCode) -> Option<AppDone> {
    Some(AppDone::Failed(code, "said so".to_owned()))
}

#[test]
fn idle_begins_a_change_and_refuses_what_cannot_be() {
    let moves = [step_of("shop", Some(1), Some(2))];
    let wants = |command| AppFacts { command, ..facts() };
    let next = persisted(&device(), &wants(ask(&moves, false, true)));
    assert_eq!(next.phase, AppPhase::Staging(update()));
    for slot in [SlotTrial::Armed, SlotTrial::Running, SlotTrial::Leaving] {
        let on_trial = AppFacts { slot, ..wants(ask(&moves, false, true)) };
        assert_eq!(decide(&device(), &on_trial), AppStep::Refuse(ReasonCode::TrialPending));
    }
    let stale = [step_of("shop", Some(3), Some(2))];
    for (moves, code) in [
        (&stale[..], ReasonCode::Superseded),
        (&[][..], ReasonCode::AlreadyInstalled),
        (&[step_of("shop", Some(1), Some(1))][..], ReasonCode::AlreadyInstalled),
        (&[moves[0].clone(), moves[0].clone()][..], ReasonCode::Superseded),
    ] {
        let asked = wants(ask(moves, false, true));
        assert_eq!(decide(&device(), &asked), AppStep::Refuse(code), "{moves:?}");
    }
    assert_eq!(
        decide(&device(), &wants(AppCommand::Switch)),
        AppStep::Refuse(ReasonCode::NotStaged)
    );
    assert_eq!(decide(&device(), &wants(AppCommand::Abandon(String::new()))), AppStep::Wait);
}

#[test]
fn a_refused_release_comes_back_only_when_a_person_asks() {
    let refused = RefusedApp {
        app: name("shop"),
        digest: release(2).digest,
        reason: ReasonCode::ServiceLate,
    };
    let journal = AppJournal { refused: vec![refused], ..device() };
    let moves = [step_of("shop", Some(1), Some(2))];
    let by = |automatic| AppFacts { command: ask(&moves, automatic, true), ..facts() };
    assert_eq!(decide(&journal, &by(true)), AppStep::Refuse(ReasonCode::ServiceLate));
    let begun = persisted(&journal, &by(false));
    assert_eq!(begun.refused.len(), 1, "it is welcome again when it stays");
    let healthy = AppFacts { done: Some(AppDone::Healthy), ..facts() };
    let tried = AppJournal { refused: begun.refused, ..trying(update()) };
    assert_eq!(persisted(&tried, &healthy).refused, []);
}

#[test]
fn rubbish_is_taken_away_only_where_nothing_is_on_trial() {
    let rubbish = AppFacts { rubbish: true, ..facts() };
    assert_eq!(runs(&device(), &rubbish), AppEffect::Collect);
    for slot in [SlotTrial::Armed, SlotTrial::Leaving] {
        assert_eq!(decide(&device(), &AppFacts { slot, ..rubbish.clone() }), AppStep::Wait);
    }
    for phase in [AppPhase::Staging(update()), AppPhase::Staged(update())] {
        assert_eq!(decide(&at(phase), &rubbish), AppStep::Wait);
    }
    // What could not be taken away is no reason to try for ever.
    let tried = AppFacts { done: failed(ReasonCode::EngineFailed), ..rubbish };
    assert_eq!(decide(&device(), &tried), AppStep::Wait);
}

#[test]
fn the_set_of_the_slot_that_runs_is_followed() {
    let wanted = set(&[("shop", 2), ("tool", 5)]);
    let journal = AppJournal { sets: [Some(wanted.clone()), None], ..device() };
    for slot in [SlotTrial::None, SlotTrial::Running] {
        let next = persisted(&journal, &AppFacts { slot, ..facts() });
        let moves = vec![step_of("shop", Some(1), Some(2)), step_of("tool", None, Some(5))];
        let change = Change { number: 1, moves, cause: Cause::Slot(SlotId::A) };
        assert_eq!(
            next,
            AppJournal { changes: 1, ..journal.in_phase(AppPhase::Switching(change)) }
        );
    }
    let leaving = AppFacts { slot: SlotTrial::Leaving, ..facts() };
    assert_eq!(decide(&journal, &leaving), AppStep::Wait);
    let staged = journal.in_phase(AppPhase::Staged(update()));
    let next = persisted(&staged, &facts());
    assert_eq!(
        (next.phase, next.last.unwrap().reason),
        (AppPhase::Idle, Some(ReasonCode::Superseded))
    );
}

#[test]
fn a_committed_system_gets_a_set_of_its_own() {
    let there = AppFacts { booted: SlotId::B, ..facts() };
    let next = persisted(&device(), &there);
    assert_eq!(next.sets, [device().sets[0].clone(), device().sets[0].clone()]);
    let on_trial = AppFacts { slot: SlotTrial::Running, ..there };
    assert_eq!(decide(&device(), &on_trial), AppStep::Wait, "not before its commit");
}

#[test]
fn staging_goes_on_with_the_same_bundles_and_ends_where_no_second_try_helps() {
    let journal = at(AppPhase::Staging(update()));
    let asks = AppFacts { command: ask(&update().moves, false, true), ..facts() };
    assert_eq!(runs(&journal, &asks), AppEffect::Stage(update()));
    assert_eq!(decide(&journal, &facts()), AppStep::Wait);
    let done = |done| AppFacts { done: Some(done), ..asks.clone() };
    let next = persisted(&journal, &done(AppDone::Staged));
    assert_eq!(next.phase, AppPhase::Staged(update()));
    for code in [ReasonCode::SourceLost, ReasonCode::Interrupted, ReasonCode::Truncated] {
        let cut = done(AppDone::NotStaged(code, String::new()));
        assert_eq!(decide(&journal, &cut), AppStep::Wait, "{code}");
    }
    for (code, remembered) in [
        (ReasonCode::NoSpace, 0),
        (ReasonCode::Cancelled, 0),
        (ReasonCode::LayerHostile, 1),
        (ReasonCode::WrongArchitecture, 1),
    ] {
        let next = persisted(&journal, &done(AppDone::NotStaged(code, String::new())));
        let last = next.last.unwrap();
        assert_eq!(
            (next.phase, last.outcome, last.reason),
            (AppPhase::Idle, AppEnded::Failed, Some(code))
        );
        assert_eq!(next.refused.len(), remembered, "{code}");
    }
}

#[test]
fn what_is_staged_waits_for_a_word_and_makes_way_for_a_newer_release() {
    let journal = at(AppPhase::Staged(update()));
    let wants = |command| AppFacts { command, ..facts() };
    let stage = wants(ask(&update().moves, false, false));
    assert_eq!(decide(&journal, &stage), AppStep::Wait);
    for word in [AppCommand::Switch, ask(&update().moves, false, true)] {
        let next = persisted(&journal, &wants(word.clone()));
        assert_eq!(next.phase, AppPhase::Switching(update()));
        let armed = AppFacts { slot: SlotTrial::Armed, ..wants(word) };
        assert_eq!(decide(&journal, &armed), AppStep::Refuse(ReasonCode::TrialPending));
    }
    let newer = [step_of("shop", Some(1), Some(3))];
    let next = persisted(&journal, &wants(ask(&newer, true, true)));
    let AppPhase::Staging(change) = &next.phase else { panic!("{:?}", next.phase) };
    assert_eq!((change.number, change.moves.as_slice()), (2, &newer[..]));
    assert_eq!(next.last.unwrap().reason, Some(ReasonCode::Superseded));
    let other = [step_of("tool", None, Some(5))];
    assert_eq!(
        decide(&journal, &wants(ask(&other, true, true))),
        AppStep::Refuse(ReasonCode::Busy),
        "two sources do not take each other's place for ever"
    );
    let next = persisted(&journal, &wants(AppCommand::Abandon("enough".to_owned())));
    assert_eq!((next.phase, next.refused.len()), (AppPhase::Idle, 0));
    assert_eq!(next.last.unwrap().reason, Some(ReasonCode::Requested));
}

#[test]
fn what_came_by_itself_and_was_taken_back_does_not_come_by_itself_again() {
    let order = Order { automatic: true, ..Order::default() };
    let change = Change { cause: Cause::Asked(order), ..update() };
    for journal in [at(AppPhase::Staged(change.clone())), trying(change)] {
        let command = AppCommand::Abandon("no".to_owned());
        let next = persisted(&journal, &AppFacts { command, ..facts() });
        assert_eq!(next.refused[0].reason, ReasonCode::Requested);
    }
}

#[test]
fn a_switch_stops_then_copies_then_writes_down_that_it_tries() {
    let journal = at(AppPhase::Switching(update()));
    let copies = AppFacts { copies: true, ..facts() };
    assert_eq!(runs(&journal, &copies), AppEffect::StopOld(update()));
    for stopped in [Live::Nothing, Live::Same] {
        let stopped = AppFacts { from: stopped, ..copies.clone() };
        assert_eq!(runs(&journal, &stopped), AppEffect::CopyVolumes(update()));
        let copied = AppFacts { copied: true, ..stopped };
        assert_eq!(persisted(&journal, &copied), trying(update()));
    }
    let failed = AppFacts { done: failed(ReasonCode::NoSpace), ..copies };
    let next = persisted(&journal, &failed);
    let AppPhase::Returning { reason, restore, .. } = next.phase else { panic!("{next:?}") };
    assert_eq!((reason, restore), (ReasonCode::NoSpace, false), "nothing new has written");
    assert_eq!(next.refused.len(), 1, "or it would stop the old side again and again");
}

#[test]
fn no_copy_is_made_where_there_is_nothing_to_go_back_to() {
    let journal = at(AppPhase::Switching(followed()));
    let ready = AppFacts { from: Live::Nothing, copies: true, ..facts() };
    assert_eq!(persisted(&journal, &ready), trying(followed()));
    let on_trial = AppFacts { slot: SlotTrial::Running, ..ready };
    assert_eq!(runs(&journal, &on_trial), AppEffect::CopyVolumes(followed()));
}

#[test]
fn a_trial_starts_then_checks_then_decides() {
    let journal = trying(update());
    let down = AppFacts { from: Live::Nothing, copies: true, copied: true, ..facts() };
    assert_eq!(runs(&journal, &down), AppEffect::StartNew(update()));
    let started = AppFacts { done: Some(AppDone::Started), ..down.clone() };
    assert_eq!(
        runs(&journal, &started),
        AppEffect::Check(update()),
        "what ended at once is judged"
    );
    for up in [Live::All, Live::Same] {
        let up = AppFacts { to: up, ..down.clone() };
        assert_eq!(runs(&journal, &up), AppEffect::Check(update()));
    }
    let found = |done| AppFacts { done: Some(done), ..down.clone() };
    assert_eq!(decide(&journal, &found(AppDone::Undecided)), AppStep::Wait);
    let next = persisted(&journal, &found(AppDone::Healthy));
    assert_eq!(next.sets[0], Some(set(&[("shop", 2)])));
    assert_eq!((next.live, next.phase), (set(&[("shop", 2)]), AppPhase::Idle));
    assert_eq!(next.previous[&name("shop")], [release(1)]);
    let unhealthy = AppDone::Unhealthy(ReasonCode::ServiceUnhealthy, "web: no answer".to_owned());
    let next = persisted(&journal, &found(unhealthy));
    assert_eq!(next, AppJournal { refused: next.refused.clone(), ..returning(true) });
    assert_eq!(next.refused[0].digest, release(2).digest);
}

#[test]
fn an_engine_that_failed_says_nothing_about_a_release() {
    for code in [ReasonCode::EngineFailed, ReasonCode::EngineMissing] {
        let next = persisted(&trying(update()), &AppFacts { done: failed(code), ..facts() });
        assert!(matches!(next.phase, AppPhase::Returning { .. }));
        assert_eq!(next.refused, [], "{code}");
    }
}

#[test]
fn a_trial_that_is_cut_is_begun_again_and_at_last_taken_back() {
    let cut = AppFacts { boot_id: "next".to_owned(), ..facts() };
    let next = persisted(&trying(update()), &cut);
    let AppPhase::Trying { attempt, boot_id, .. } = &next.phase else { panic!("{next:?}") };
    assert_eq!((*attempt, boot_id.as_str()), (2, "next"));
    let third = AppFacts { boot_id: "third".to_owned(), ..cut };
    let last = persisted(&next, &third);
    assert!(matches!(last.phase, AppPhase::Returning { .. }), "{last:?}");
    assert_eq!(last.refused.len(), 1);
    // The bootloader counts the boots of a system; its apps only follow.
    let system = AppFacts { slot: SlotTrial::Running, ..third.clone() };
    let again = AppPhase::Trying { change: followed(), boot_id: "next".to_owned(), attempt: 9 };
    assert!(matches!(
        persisted(&at(again.clone()), &system).phase,
        AppPhase::Trying { attempt: 10, .. }
    ));
    let alone = persisted(&at(again), &third);
    assert_eq!((alone.phase, alone.live), (AppPhase::Idle, set(&[("shop", 2)])));
    assert_eq!(alone.last.unwrap().outcome, AppEnded::Failed);
}

#[test]
fn apps_of_a_system_on_trial_are_decided_with_it() {
    let sets = [Some(set(&[("shop", 2)])), None];
    let journal = AppJournal { sets, ..trying(followed()) };
    let found = |slot, done| AppFacts { slot, done: Some(done), ..facts() };
    let unhealthy = || AppDone::Unhealthy(ReasonCode::ServiceUnhealthy, String::new());
    for done in [AppDone::Healthy, unhealthy()] {
        assert_eq!(decide(&journal, &found(SlotTrial::Running, done)), AppStep::Wait);
    }
    for (done, outcome) in [(AppDone::Healthy, AppEnded::Updated), (unhealthy(), AppEnded::Failed)]
    {
        let next = persisted(&journal, &found(SlotTrial::None, done));
        assert_eq!((next.phase, next.live), (AppPhase::Idle, set(&[("shop", 2)])));
        assert_eq!(next.last.unwrap().outcome, outcome);
    }
    for command in [AppCommand::Abandon(String::new()), ask(&update().moves, false, true)] {
        let asks = AppFacts { slot: SlotTrial::Running, command, ..facts() };
        assert_eq!(decide(&journal, &asks), AppStep::Refuse(ReasonCode::TrialPending));
    }
    // The old system runs again.
    for copied in [true, false] {
        // It may not be able to say which copies there are: a key that only the new system trusts has signed.
        let left = AppFacts { booted: SlotId::B, copies: true, copied, ..facts() };
        let next = persisted(&journal, &left);
        assert!(matches!(next.phase, AppPhase::Returning { restore: true, .. }), "{next:?}");
        assert_eq!(next.refused, []);
    }
}

#[test]
fn a_system_that_is_armed_in_a_trial_of_apps_ends_it() {
    for journal in [at(AppPhase::Switching(update())), trying(update())] {
        let armed = AppFacts { slot: SlotTrial::Armed, ..facts() };
        let next = persisted(&journal, &armed);
        let AppPhase::Returning { reason, .. } = next.phase else { panic!("{next:?}") };
        assert_eq!((reason, next.refused.len()), (ReasonCode::TrialPending, 0));
    }
}

#[test]
fn the_way_back_stops_restores_once_and_starts() {
    let back = AppFacts { from: Live::Nothing, to: Live::Some, ..facts() };
    assert_eq!(runs(&returning(true), &back), AppEffect::StopNew(update()));
    let stuck = AppFacts { done: failed(ReasonCode::EngineFailed), ..back.clone() };
    assert_eq!(decide(&returning(true), &stuck), AppStep::Wait, "never two releases at once");
    let stopped = AppFacts { to: Live::Nothing, ..back };
    assert_eq!(runs(&returning(true), &stopped), AppEffect::RestoreVolumes(update()));
    let restored = AppFacts { done: Some(AppDone::Restored), ..stopped.clone() };
    assert_eq!(persisted(&returning(true), &restored), returning(false));
    assert_eq!(runs(&returning(false), &stopped), AppEffect::StartOld(update()));
    for found in [
        AppFacts { done: Some(AppDone::Started), ..stopped.clone() },
        AppFacts { from: Live::All, ..stopped.clone() },
        AppFacts { done: failed(ReasonCode::EngineFailed), ..stopped.clone() },
    ] {
        let next = persisted(&returning(false), &found);
        let last = next.last.unwrap();
        assert_eq!((next.phase, next.live), (AppPhase::Idle, set(&[("shop", 1)])));
        assert_eq!(last.outcome, AppEnded::RolledBack);
        assert_eq!((last.reason, last.at), (Some(ReasonCode::ServiceUnhealthy), 77));
    }
}

#[test]
fn copies_that_are_lost_end_the_wait_for_them_and_others_are_waited_for() {
    let back = AppFacts { from: Live::Nothing, ..facts() };
    let later = AppFacts { done: failed(ReasonCode::EngineFailed), ..back.clone() };
    assert_eq!(decide(&returning(true), &later), AppStep::Wait);
    let lost = AppFacts { done: failed(ReasonCode::LayerDamaged), ..back };
    let next = persisted(&returning(true), &lost);
    let AppPhase::Returning { restore, detail, .. } = &next.phase else { panic!("{next:?}") };
    assert!(!restore && detail.contains("could not be put back: said so"), "{detail}");
}

#[test]
fn installs_and_removes_are_changes_as_any_other() {
    let moves = [step_of("shop", Some(1), None), step_of("tool", None, Some(5))];
    let healthy = AppFacts { done: Some(AppDone::Healthy), ..facts() };
    let mut journal = trying(asked(&moves));
    journal.ports = [("shop/web/80/tcp".to_owned(), 30001)].into();
    journal.ran = ["shop//init", "tool//init"].map(str::to_owned).into();
    let next = persisted(&journal, &healthy);
    assert_eq!(next.live, set(&[("tool", 5)]));
    assert_eq!((next.previous.len(), next.ports.len()), (0, 0));
    assert_eq!(next.ran.len(), 2, "volumes stay, and so does what ran once ever");
}

#[test]
fn a_start_goes_on_when_what_it_noted_is_written_down() {
    let ran = BTreeSet::from(["shop/x/init".to_owned()]);
    let noted = AppDone::Noted { ran: ran.clone(), ports: BTreeMap::new() };
    let next = persisted(&trying(update()), &AppFacts { done: Some(noted.clone()), ..facts() });
    assert_eq!(next, AppJournal { ran, ..trying(update()) });
    assert_eq!(decide(&next, &AppFacts { done: Some(noted), ..facts() }), AppStep::Wait);
}

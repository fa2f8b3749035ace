//! What is done with sets.

#![allow(clippy::unwrap_used)]

use super::decide_tests::{device, name, release, set, step_of};
use super::journal::{AppJournal, AppMove, AppPhase, Cause, Change, Generation};
use crate::model::{ReasonCode, SlotId};
use crate::update::Order;

fn asked(number: u64, app: &str, from: Option<u8>, to: Option<u8>) -> Change {
    let cause = Cause::Asked(Order::default());
    Change { number, moves: vec![step_of(app, from, to)], cause }
}

#[test]
fn a_new_system_has_the_set_of_the_one_that_wrote_it_and_changes_with_it() {
    let journal = AppJournal { sets: [device().sets[0].clone(), Some(set(&[]))], ..device() };
    let next = journal.forget_set(SlotId::B).unwrap();
    assert_eq!(next.set_of(SlotId::B), set(&[("shop", 1)]));
    let next = next.committed(SlotId::A, &asked(1, "shop", Some(1), Some(2)));
    assert_eq!(next.set_of(SlotId::B), set(&[("shop", 2)]));
    // Committed in slot b without a set of its own, and slot a is written: it is not lost.
    let next = next.forget_set(SlotId::A).unwrap();
    assert_eq!(next.sets, [None, Some(set(&[("shop", 2)]))]);
}

#[test]
fn a_joint_release_writes_the_set_beside_the_slot_again_and_again() {
    let moves = [step_of("shop", Some(1), Some(2)), step_of("tool", None, Some(5))];
    let next = device().plan_set(SlotId::B, &moves).unwrap();
    assert_eq!(next.set_of(SlotId::A), set(&[("shop", 1)]));
    assert_eq!(next.set_of(SlotId::B), set(&[("shop", 2), ("tool", 5)]));
    assert_eq!(next.plan_set(SlotId::B, &moves).as_ref(), Ok(&next));
    assert_eq!(next.live, device().live);
    let stale = [step_of("shop", Some(9), Some(2))];
    assert_eq!(device().plan_set(SlotId::B, &stale), Err(ReasonCode::Superseded));
}

#[test]
fn no_set_of_a_slot_is_written_between_a_switch_and_its_end() {
    let change = asked(1, "shop", Some(1), Some(2));
    for (phase, held) in [
        (AppPhase::Idle, false),
        (AppPhase::Staging(change.clone()), false),
        (AppPhase::Staged(change.clone()), false),
        (AppPhase::Switching(change.clone()), true),
        (AppPhase::Trying { change: change.clone(), boot_id: String::new(), attempt: 1 }, true),
    ] {
        let journal = device().in_phase(phase);
        let code = held.then_some(ReasonCode::TrialPending);
        assert_eq!(journal.holds_systems_back(), code);
        assert_eq!(journal.forget_set(SlotId::B).err(), code);
        assert_eq!(journal.plan_set(SlotId::B, &change.moves).err(), code);
        assert_eq!(journal.stopping(&name("shop")).err(), code);
    }
}

#[test]
fn so_many_generations_stay_as_the_newest_says_each_once() {
    let mut journal = device();
    for n in 2..=5 {
        let mut change = asked(1, "shop", Some(n - 1), Some(n));
        let AppMove { from, to, .. } = &mut change.moves[0];
        from.iter_mut().chain(to).for_each(|side| side.keep = 2);
        journal = journal.committed(SlotId::A, &change);
    }
    let kept = |j: &AppJournal| {
        j.previous[&name("shop")].iter().map(|g| g.release_counter).collect::<Vec<_>>()
    };
    assert_eq!(kept(&journal), [3, 4]);
    let back = journal.back(&name("shop"), None).unwrap();
    assert_eq!(back.to.as_ref().map(|g| g.release_counter), Some(4));
    let moves = vec![back];
    let change = Change { moves, ..asked(9, "shop", None, None) };
    let there = journal.committed(SlotId::A, &change);
    assert_eq!(kept(&there), [3, 5]);
    let third = journal.back(&name("shop"), Some(&release(3).digest)).unwrap();
    assert_eq!(third.to.map(|g| g.release_counter), Some(3));
    assert_eq!(
        journal.back(&name("shop"), Some(&release(9).digest)),
        Err(ReasonCode::NothingToRollBack)
    );
    assert_eq!(device().back(&name("shop"), None), Err(ReasonCode::NothingToRollBack));
    assert_eq!(device().back(&name("tool"), None), Err(ReasonCode::NoSuchApp));
}

#[test]
fn other_settings_of_a_release_are_no_generation_to_go_back_to() {
    let settings = [("greeting".to_owned(), "hello".to_owned())].into();
    let mut change = asked(1, "shop", Some(1), Some(1));
    if let Some(to) = &mut change.moves[0].to {
        *to = Generation { config: settings, ..to.clone() };
    }
    assert!(device().committed(SlotId::A, &change).previous.is_empty());
}

#[test]
fn what_any_set_any_side_and_any_way_back_names_is_needed() {
    let mut journal = device().plan_set(SlotId::B, &[step_of("shop", Some(1), Some(3))]).unwrap();
    journal.previous = [(name("shop"), vec![release(7)])].into();
    let journal = journal.in_phase(AppPhase::Staging(asked(1, "tool", Some(4), Some(5))));
    let needed: Vec<_> =
        journal.needed().into_iter().map(|(app, d)| format!("{app}{}", d.0[0])).collect();
    assert_eq!(needed, ["shop1", "shop3", "shop7", "tool4", "tool5"]);
}

#[test]
fn what_a_person_stopped_stays_stopped_until_it_is_changed_or_started() {
    let stopped = device().stopping(&name("shop")).unwrap();
    assert!(stopped.stopped.contains(&name("shop")));
    assert!(stopped.starting(&name("shop")).unwrap().stopped.is_empty());
    assert_eq!(stopped.stopping(&name("tool")), Err(ReasonCode::NoSuchApp));
    let change = asked(1, "shop", Some(1), Some(2));
    assert!(stopped.committed(SlotId::A, &change).stopped.is_empty());
    let followed = Change { cause: Cause::Slot(SlotId::A), ..change };
    assert_eq!(stopped.committed(SlotId::A, &followed).stopped, stopped.stopped);
}

#[test]
fn after_a_lost_journal_what_is_there_stays() {
    let found = [
        (name("shop"), release(2), false),
        (name("shop"), release(1), true),
        (name("tool"), release(6), false),
        (name("tool"), release(5), false),
    ];
    let journal = AppJournal::adopted(SlotId::B, found, 8);
    assert_eq!(journal.live, set(&[("shop", 1), ("tool", 5)]));
    assert_eq!((journal.set_of(SlotId::B), journal.changes), (journal.live.clone(), 8));
    assert_eq!(journal.phase, AppPhase::Idle);
}

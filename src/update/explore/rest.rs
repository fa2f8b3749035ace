//! What must hold of a world at rest.

use super::machine::Machine;
use super::world::{Board, Content, Nature, Violation, World};
use crate::model::ReasonCode;
use crate::update::Ended;

/// What must be true of a world at rest.
pub(super) fn rests(machine: &Machine, world: &World) -> Result<(), Violation> {
    let view = machine.view(world)?;
    let (runs, scenario) = (world.content(world.booted), machine.scenario);
    if view.trial {
        return Err(Violation::LeftArmed);
    }
    // The old system is gone, and no longer to blame for what runs; while nothing else can be
    // loaded that is what there is.
    let worn = scenario.worn && !world.slots.contains(&Content::Old);
    let stranded = worn && !machine.loads(world, world.booted.other());
    if view.slot != world.booted && !stranded {
        return Err(Violation::Degraded);
    }
    if !runs.is_whole() || runs == Content::First && scenario.nature != Nature::Good && !worn {
        return Err(Violation::BadStays);
    }
    let sound = matches!(scenario.board, Board::Uboot | Board::Script);
    let gave_up = (world.fell | world.stopped) & Content::Second.bit() != 0;
    // A copy that rots right after arming looks like a board that does not try: a person is asked.
    if sound && world.offered && runs != Content::Second && !gave_up && !world.rotten {
        return Err(Violation::OfferForgotten);
    }
    if worn {
        return Ok(());
    }
    let last = machine.journals.get(world.journal).last.as_ref();
    let ended = last.map(|l| (l.outcome, l.reason));
    let here = last.filter(|l| l.work.slot == world.booted);
    let (is_it, stays) = match (last, here) {
        (Some(l), Some(_)) => (l.work.digest == runs.digest(), l.outcome == Ended::Updated),
        (Some(l), None) => (true, l.outcome != Ended::Updated),
        (None, _) => (true, true),
    };
    let came_by_itself = world.vouched & world.kept & runs.bit() == 0 && runs != Content::Old;
    if !world.lost && !world.rotten && (!is_it || !stays || came_by_itself) {
        return Err(Violation::UntrueStory);
    }
    if world.cuts == 0 && !world.offered && !world.withdrawn && !world.person {
        let used_up = u32::from(world.tried) > super::rom::LIMIT;
        let want = match (scenario.board, scenario.nature) {
            (Board::Uncounted, _) => (Ended::RolledBack, Some(ReasonCode::CounterDead)),
            (Board::Deaf, _) => (Ended::Failed, Some(ReasonCode::TrialNotStarted)),
            (_, Nature::Good) => (Ended::Updated, None),
            (_, Nature::Unhealthy) => (Ended::RolledBack, Some(ReasonCode::HealthFailed)),
            (_, Nature::Unbootable | Nature::Panics) => {
                (Ended::RolledBack, Some(ReasonCode::BootFailed))
            }
            (_, Nature::Hangs) => (Ended::RolledBack, Some(ReasonCode::DeadlinePassed)),
        };
        let failed = (Ended::RolledBack, Some(ReasonCode::BootFailed));
        if ended != Some(want) && !(used_up && ended == Some(failed)) {
            return Err(Violation::Promise);
        }
    }
    Ok(())
}

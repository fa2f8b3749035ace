//! Where one world can go: the next step, what others do in between, and every cut.

use super::graph::{Explored, Next};
use super::machine::{Machine, Said};
use super::mistakes;
use super::world::{Ask, Content, Found, Nature, Violation, World};
use crate::model::State;
use crate::update::{Ended, Journal, Phase};

/// Whether what waits, armed, was taken back.
pub(super) fn is_withdrawn(world: &World, journal: &Journal) -> bool {
    let waits = matches!(journal.phase, Phase::Switching { .. } | Phase::Staged(_));
    let first = journal.work().is_some_and(|work| work.digest == Content::First.digest());
    world.withdrawn && waits && first
}

impl Explored for Machine {
    type World = World;
    type Violation = Violation;
    const NEVER_RESTS: Violation = Violation::NeverRests;
    const TOO_MANY: Violation = Violation::TooManyWorlds;

    fn first(&mut self) -> World {
        Machine::first(self)
    }

    fn next(&mut self, world: &World, max_cuts: u8) -> Result<Next<World>, Violation> {
        self.next_to(world, max_cuts)
    }

    fn rests(&mut self, world: &World) -> Result<(), Violation> {
        self.in_order(world).and_then(|()| super::rest::rests(self, world))
    }

    fn is_full(&self) -> bool {
        self.journals.is_full()
    }

    fn describe(&self, world: &World) -> String {
        self.told_of(world)
    }
}

impl Machine {
    fn next_to(&mut self, world: &World, max_cuts: u8) -> Result<Next<World>, Violation> {
        let mut next = Next::default();
        let mut cut = Vec::new();
        self.remembers_truly(world)?;
        if !world.on {
            let up = self.boot(*world, &mut cut)?;
            // A boot that came to nothing resets the board; it may have got through its writes.
            next.calm = Some(up);
        } else {
            next.calm = self.step(world, &mut next.fate, &mut cut)?;
            self.others(world, &mut next.fate)?;
            cut.push(*world);
        }
        if world.cuts >= max_cuts {
            return Ok(next);
        }
        next.cut.extend(cut.into_iter().map(World::cut));
        // Any of these cuts may take the journal along.
        if world.on && !world.lost {
            let journal = self.empty_journal();
            let memory = [self.memories.number(None); 2];
            let lost = |w: &World| World { journal, memory, lost: true, ran: 0, ..*w };
            next.cut.extend(next.cut.iter().map(lost).collect::<Vec<_>>());
        }
        if world.on
            && self.scenario.rot
            && !world.rotten
            && world.copies.iter().all(Option::is_some)
        {
            let newest = super::flash::chosen(world, self.mistake)?;
            let mut rotten = world.cut();
            (rotten.copies[newest], rotten.rotten) = (None, true);
            next.cut.push(rotten);
        }
        next.cut.retain(|w| w.on != world.on || w.copies != world.copies);
        next.cut.iter().try_for_each(|w| self.remembers_truly(w))?;
        Ok(next)
    }

    /// Whether the new system runs and is undecided.
    fn on_trial(&self, world: &World) -> Result<bool, Violation> {
        let view = self.view(world)?;
        let returning = matches!(self.journals.get(world.journal).phase, Phase::Returning { .. });
        Ok(view.trial && view.slot == world.booted && !returning)
    }

    /// An offer turns up or is taken back, time passes, somebody reboots the device in good order.
    fn others(&mut self, world: &World, fate: &mut Vec<World>) -> Result<(), Violation> {
        if self.scenario.offer && !world.offered {
            fate.push(World { offered: true, ..*world });
        }
        if self.scenario.withdraw && !world.withdrawn {
            fate.push(World { withdrawn: true, ..*world });
        }
        if self.scenario.blank && world.blank == 0 && !self.view(world)?.trial {
            fate.push(World { blank: 1 << world.booted as u8, ..*world });
        }
        if self.scenario.person && !world.person && world.ask != Some(Ask::Leave) {
            let asked = World { found: Found::Nothing, person: true, ..*world };
            fate.push(World { ask: Some(Ask::Rollback), ..asked });
            fate.push(World { ask: Some(Ask::Cancel), ..asked });
            fate.push(World { ask: Some(Ask::CancelFirst), ..asked });
            // The slot is read back before anybody may return to it.
            let spare = world.booted.other();
            if world.content(spare).is_whole() && world.blank & (1 << spare as u8) == 0 {
                fate.push(World { ask: Some(Ask::Return), ..asked });
            }
        }
        if world.ask == Some(Ask::Leave) || !self.on_trial(world)? {
            return Ok(());
        }
        let home = self.scenario.home;
        if self.scenario.worn && world.booted != home && world.content(home).is_whole() {
            let mut worn = *world;
            worn.slots[home as usize] = Content::Torn;
            fate.push(worn);
        }
        if self.scenario.orderly {
            fate.push(World { ask: Some(Ask::Leave), found: Found::Nothing, ..*world });
        }
        if self.scenario.nature == Nature::Hangs && world.ran + world.up < self.scenario.deadline()
        {
            fate.push(World { up: world.up + 1, ..*world });
        }
        Ok(())
    }

    fn step(
        &mut self,
        world: &World,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<Option<World>, Violation> {
        let ask = match world.ask {
            Some(ask) => ask,
            None => self.next_ask(world)?,
        };
        let said = self.decide(world, ask)?;
        let asked = World { ask: Some(ask), ..*world };
        self.in_time(world, said)?;
        if matches!(said, Said::Wait | Said::Refuse)
            && let Some(kept) = self.remember(&asked, cut)?
        {
            return Ok(Some(kept));
        }
        match said {
            Said::Persist(journal) => {
                let mut kept = asked;
                if let Some(early) = mistakes::deed_before_journal(self, world, journal) {
                    kept = self.run(&asked, early, fate, cut)?;
                    cut.push(kept);
                }
                kept.journal = journal;
                let last = self.journals.get(journal).last.as_ref();
                if matches!(ask, Ask::Cancel | Ask::CancelFirst)
                    && let Some(last) = last.filter(|l| l.outcome == Ended::Cancelled)
                {
                    kept.stopped |= Content::of(last.work.digest).bit();
                }
                self.told(&kept)?;
                Ok(Some(kept))
            }
            Said::Run(effect) => self.run(&asked, effect, fate, cut).map(Some),
            Said::Wait | Said::Refuse if ask == Ask::Leave => {
                let mut left = world.off();
                left.ran = world.ran.saturating_add(world.up);
                Ok(Some(left))
            }
            Said::Wait | Said::Refuse if world.found != Found::Nothing => {
                // Not decided: time passes, and it is asked again.
                let passes = u8::from(world.found == Found::Unknown);
                Ok(Some(World {
                    ask: None,
                    found: Found::Nothing,
                    up: world.up + passes,
                    ..*world
                }))
            }
            Said::Wait | Said::Refuse => {
                let idle = World { ask: None, ..*world };
                if self.next_ask(&idle)? != ask {
                    return Ok(Some(idle));
                }
                // Only a device that says so is rebooted by the one who runs it.
                let journal = self.journals.get(world.journal);
                if State::of(journal) != State::Switching {
                    return Ok(None);
                }
                match is_withdrawn(world, journal) {
                    true => Err(Violation::WithdrawnTried),
                    false => Ok(Some(world.off())),
                }
            }
        }
    }

    /// Past its deadline a trial may only be left.
    fn in_time(&self, world: &World, said: Said) -> Result<(), Violation> {
        let time = world.ran.saturating_add(world.up);
        let trying = matches!(self.journals.get(world.journal).phase, Phase::Trying { .. });
        if !trying || world.rotten || time < self.scenario.deadline() || !self.on_trial(world)? {
            return Ok(());
        }
        match said {
            Said::Persist(next)
                if matches!(self.journals.get(next).phase, Phase::Returning { .. }) =>
            {
                Ok(())
            }
            _ => Err(Violation::TrialTooLong),
        }
    }

    /// A journal may not tell of an update that nobody vouched for.
    fn told(&self, world: &World) -> Result<(), Violation> {
        let view = self.view(world)?;
        let journal = self.journals.get(world.journal);
        let updated = journal.last.as_ref().is_some_and(|l| {
            l.outcome == crate::update::Ended::Updated && l.work.slot == world.booted
        });
        let runs = world.content(world.booted);
        let news = journal.phase == Phase::Idle && !view.trial && view.slot == world.booted;
        if news && updated && world.vouched & runs.bit() == 0 {
            return Err(Violation::ConfirmedUnchecked);
        }
        Ok(())
    }

    fn empty_journal(&mut self) -> u16 {
        self.journals.number(crate::update::Journal::default())
    }
}

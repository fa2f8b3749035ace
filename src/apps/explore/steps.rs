//! Where one world can go: the next step, what others do in between, and every cut.

use super::deeds::Starts;
use super::machine::{Machine, Said, bit, release, shop};
use super::mistakes::{self, Mistake};
use super::world::{Ask, Found, System, Violation, World};
use crate::apps::AppCommand;
use crate::apps::journal::{AppPhase, Cause};
use crate::update::explore::graph::{Explored, Next};

/// Boots that a system on trial has.
const TRIES: u8 = 2;
/// Looks that change nothing before a device is said to be at rest.
const LOOKS_MAX: u8 = 3;

impl Explored for Machine {
    type World = World;
    type Violation = Violation;
    const NEVER_RESTS: Violation = Violation::NeverRests;
    const TOO_MANY: Violation = Violation::TooManyWorlds;

    fn first(&mut self) -> World {
        self.start()
    }

    fn next(&mut self, world: &World, max_cuts: u8) -> Result<Next<World>, Violation> {
        let mut next = Next::default();
        let mut cut = Vec::new();
        self.holds(world)?;
        if world.on {
            next.calm = self.step(world, &mut next.fate, &mut cut)?;
            self.others(world, &mut next.fate);
            cut.push(*world);
        } else {
            next.calm = Some(self.boot(*world));
        }
        if world.cuts < max_cuts {
            let cuts = |w: World| World { cuts: world.cuts + 1, ..w };
            for half in cut {
                next.cut.push(cuts(half.off()));
                if world.ask.is_some() || half != *world {
                    next.cut.push(cuts(half.killed()));
                }
            }
        }
        Ok(next)
    }

    fn rests(&mut self, world: &World) -> Result<(), Violation> {
        self.at_rest(world)
    }

    fn is_full(&self) -> bool {
        self.journals.is_full()
    }

    fn describe(&self, world: &World) -> String {
        self.told_of(world)
    }
}

impl Machine {
    fn boot(&self, mut world: World) -> World {
        world.on = true;
        world.boot = self.other_boot(world.journal);
        match world.system {
            System::Armed => {
                (world.system, world.tries, world.booted) = (System::Trial, 1, world.home.other());
            }
            System::Trial if world.tries < TRIES => world.tries += 1,
            System::Trial | System::Leaving => {
                (world.system, world.tries, world.booted) = (System::Committed, 0, world.home);
            }
            System::Committed => {}
        }
        world
    }

    /// What the daemon asks next by itself.
    fn next_ask(&self, world: &World) -> Ask {
        let journal = self.journals.get(world.journal);
        let offer = world.offered;
        let set = journal.set_of(world.booted);
        let runs = set.get(&shop()).map_or(0, release);
        let refused = self.is_refused(journal, &set, offer);
        let takes =
            matches!(journal.phase, AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_));
        if offer > runs && !refused && takes && !self.offer(&set, offer).is_empty() {
            return Ask::Offer(offer);
        }
        Ask::Settle
    }

    fn step(
        &mut self,
        world: &World,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<Option<World>, Violation> {
        let ask = world.ask.unwrap_or_else(|| self.next_ask(world));
        let said = self.decide(world, ask);
        let asked = World { ask: Some(ask), ..*world };
        match said {
            Said::Persist(next) => {
                let mut kept = asked;
                if let Some(early) = mistakes::deed_before_journal(self, world, next) {
                    kept = self.run(&asked, early, &mut Vec::new(), cut)?;
                    if !kept.on {
                        return Ok(Some(kept));
                    }
                    cut.push(kept);
                }
                kept = self.keep(&kept, next)?;
                let (old, new) = (self.journals.get(world.journal), self.journals.get(next));
                let command = self.command(world, ask);
                if crate::apps::driver::ends_what_was_asked(old, &command, new) {
                    kept.ask = None;
                }
                Ok(Some(kept))
            }
            Said::Run(effect) => self.run(&asked, effect, fate, cut).map(Some),
            Said::Refuse if self.is_about(world, ask) => Err(Violation::LeftByItsCaller),
            Said::Wait | Said::Refuse => self.waits(world, ask, cut),
        }
    }

    /// Whether what is under way, and switched to, is what is asked for.
    fn is_about(&self, world: &World, ask: Ask) -> bool {
        let journal = self.journals.get(world.journal);
        let asked = match self.command(world, ask) {
            AppCommand::Change { moves, .. } => moves,
            _ => return false,
        };
        journal.holds_systems_back().is_some() && journal.change().is_some_and(|c| c.moves == asked)
    }

    /// Nothing is left to do for this ask.
    fn waits(
        &mut self,
        world: &World,
        ask: Ask,
        cut: &mut Vec<World>,
    ) -> Result<Option<World>, Violation> {
        let idle = World { ask: None, found: Found::Nothing, ..*world };
        if self.next_ask(&idle) != ask {
            return Ok(Some(idle));
        }
        let journal = self.journals.get(world.journal).clone();
        // The supervisor goes on with the set that runs.
        let steady =
            matches!(journal.phase, AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_));
        let wanted = self.wanted(&journal, &journal.live);
        let follows = journal.live == journal.set_of(world.booted);
        if steady && follows && wanted & !idle.runs != 0 {
            return self.start_all(idle, wanted, Starts::Old, cut).map(Some);
        }
        if let Some(world) = self.system_goes_on(world, &idle) {
            return Ok(Some(world));
        }
        // It was not decided, or failed: it is asked again after a while.
        if world.found != Found::Nothing && world.looks < LOOKS_MAX {
            return Ok(Some(World { looks: world.looks + 1, ..idle }));
        }
        Ok(None)
    }

    /// The system's own daemon: it reboots, commits and leaves.
    fn system_goes_on(&self, world: &World, idle: &World) -> Option<World> {
        match world.system {
            System::Committed => None,
            System::Armed | System::Leaving => Some(idle.off()),
            System::Trial if world.found == Found::Undecided => None,
            System::Trial => {
                let journal = self.journals.get(world.journal);
                let set = journal.set_of(world.booted);
                let wanted = self.wanted(journal, &set);
                let well = match &journal.phase {
                    AppPhase::Trying { change, .. } => {
                        world.found == Found::Healthy && matches!(change.cause, Cause::Slot(_))
                    }
                    phase => {
                        matches!(phase, AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_))
                    }
                };
                match well && world.runs & wanted == wanted && !self.scenario.bad_system {
                    true => Some(World {
                        system: System::Committed,
                        home: world.booted,
                        tries: 0,
                        ..*idle
                    }),
                    false => Some(World { system: System::Leaving, ..*idle }),
                }
            }
        }
    }

    /// A source offers, a person asks, a container ends, a system is written and armed.
    fn others(&mut self, world: &World, fate: &mut Vec<World>) {
        let journal = self.journals.get(world.journal).clone();
        if self.scenario.offer && world.offered == 0 && !world.person {
            fate.push(World { offered: 2, ..*world });
        }
        if self.scenario.newer && world.offered == 2 {
            fate.push(World { offered: 3, ..*world });
        }
        let ended = self.scenario.ends && !world.ended;
        if ended && let AppPhase::Trying { change, .. } = &journal.phase {
            let (all, _) = self.side(&journal, change, true);
            if world.runs & all & 0b111 != 0 {
                fate.push(World { ended: true, runs: world.runs & !(all & 0b111), ..*world });
            }
        }
        if self.scenario.person && !world.person {
            let asked = World { person: true, offered: 0, found: Found::Nothing, ..*world };
            fate.extend(
                [Ask::Abandon, Ask::Back, Ask::Remove].map(|ask| World { ask: Some(ask), ..asked }),
            );
            if let Ok(next) = journal.stopping(&shop()) {
                let others = self.wanted(&next, &next.live);
                let runs = world.runs & others;
                let journal = self.journals.number(next);
                fate.push(World { journal, runs, stopped: true, ask: None, ..asked });
            }
        }
        let free = world.system == System::Committed && world.ask != Some(Ask::Switch);
        if self.scenario.stage && free && matches!(journal.phase, AppPhase::Staged(_)) {
            fate.push(World { ask: Some(Ask::Switch), found: Found::Nothing, ..*world });
        }
        self.systems(world, fate);
    }

    /// A system is written into the other slot, its set is settled, and it is armed.
    fn systems(&mut self, world: &World, fate: &mut Vec<World>) {
        let journal = self.journals.get(world.journal);
        let between = matches!(journal.phase, AppPhase::Idle | AppPhase::Staged(_));
        let busy = world.ask.is_some() && !(between && world.found == Found::Nothing);
        if world.system != System::Committed || busy {
            return;
        }
        let world = &World { ask: None, ..*world };
        let other = world.booted.other();
        let free = journal.holds_systems_back().is_none()
            || self.mistake == Some(Mistake::SystemArmedInTrial);
        if !world.written && world.systems < self.scenario.systems && free {
            let Ok(next) = mistakes::forget_set(self.mistake, journal, other) else { return };
            let journal = self.journals.number(next);
            fate.push(World { journal, written: true, systems: world.systems + 1, ..*world });
        } else if world.written && free {
            let moves = self.offer(&journal.set_of(world.booted), 2);
            let planned = match self.scenario.joint && !moves.is_empty() {
                true => journal.plan_set(other, &moves),
                false => Ok(journal.clone()),
            };
            let planned = match planned {
                Ok(planned) => planned,
                Err(_) if self.mistake == Some(Mistake::SystemArmedInTrial) => journal.clone(),
                Err(_) => return,
            };
            if planned == *journal {
                fate.push(World { system: System::Armed, written: false, ..*world });
            } else {
                // Its bundles are brought in, durably, before the set is written down.
                let brought = moves.iter().filter_map(|m| m.to.as_ref());
                let synced = brought.fold(world.synced, |all, g| all | bit(release(g)));
                let journal = self.journals.number(planned);
                fate.push(World { journal, synced, ..*world });
            }
        }
    }
}

//! One scenario at work: journals and answers are numbered, so that a world is a handful of bytes and the same question
//! is asked once.

use super::mistakes::{self, Mistake};
use super::world::{Ask, Found, NO_COPY, Scenario, System, World};
use crate::apps::journal::{AppJournal, AppMove, AppPhase, AppSet, Cause, Change, Generation};
use crate::apps::{AppCommand, AppDone, AppFacts, AppRules, AppStep, Live, SlotTrial};
use crate::bundle::ServiceName;
use crate::model::{Digest, ReasonCode, SlotId};
use crate::update::Order;
use crate::update::explore::numbered::Numbered;

/// The service that all releases of *shop* have.
pub(super) const SHARED: u8 = 1 << 3;
/// The one of *tool*.
pub(super) const TOOL: u8 = 1 << 4;
/// The release number of *tool*, beside those of *shop*.
pub(super) const TOOL_RELEASE: u8 = 4;

pub(super) fn shop() -> ServiceName {
    "shop".parse().unwrap()
}

pub(super) fn tool() -> ServiceName {
    "tool".parse().unwrap()
}

pub(super) fn generation(release: u8) -> Generation {
    Generation {
        digest: Digest([release; 32]),
        version: format!("{release}.0").parse().unwrap(),
        release_counter: u64::from(release),
        config: Default::default(),
        development: false,
        keep: 1,
    }
}

pub(super) fn release(generation: &Generation) -> u8 {
    generation.digest.0[0]
}

pub(super) fn bit(release: u8) -> u8 {
    1 << release
}

/// What it said.
#[derive(Clone, Copy)]
pub(super) enum Said {
    Persist(u16),
    Run(u16),
    Wait,
    Refuse,
}

/// All that an answer depends on: the journal, the ask, what was found; slot, boot and trial of the system; both sides,
/// copies and rubbish.
type Question = (u16, Ask, Found, SlotId, u8, System, Live, Live, bool, bool);

/// One scenario, explored with or without a mistake in it.
pub(super) struct Machine {
    pub(super) scenario: Scenario,
    pub(super) mistake: Option<Mistake>,
    pub(super) journals: Numbered<AppJournal>,
    pub(super) effects: Numbered<crate::apps::AppEffect>,
    said: std::collections::HashMap<Question, Said>,
}

impl Machine {
    pub(super) fn new(scenario: Scenario, mistake: Option<Mistake>) -> Machine {
        Machine {
            scenario,
            mistake,
            journals: Numbered::new(),
            effects: Numbered::new(),
            said: Default::default(),
        }
    }

    /// A device whose first release runs, in slot b; its other slot was never asked about apps.
    pub(super) fn start(&mut self) -> World {
        let set: AppSet = [(shop(), generation(1))].into();
        let sets = [None, Some(set.clone())];
        let journal = AppJournal { sets, live: set, changes: 1, ..AppJournal::default() };
        World {
            on: true,
            booted: SlotId::B,
            home: SlotId::B,
            system: System::Committed,
            tries: 0,
            systems: 0,
            written: false,
            journal: self.journals.number(journal),
            runs: self.spec(1) | SHARED,
            synced: bit(1),
            loose: 0,
            volume: 8,
            left: 8,
            copy: NO_COPY,
            copy_of: 0,
            boot: 0,
            looks: 0,
            ask: None,
            found: Found::Nothing,
            offered: 0,
            person: false,
            failed: false,
            ended: false,
            cuts: 0,
            vouched: 0,
            fell: 0,
            stopped: false,
        }
    }

    /// The container of a release of *shop* that is its own.
    pub(super) fn spec(&self, release: u8) -> u8 {
        if self.scenario.same && release == 2 { 1 } else { 1 << (release - 1) }
    }

    /// The containers of a generation.
    pub(super) fn containers(&self, generation: &Generation) -> u8 {
        match release(generation) {
            TOOL_RELEASE => TOOL,
            shop => self.spec(shop) | SHARED,
        }
    }

    pub(super) fn containers_of_set(&self, set: &AppSet) -> u8 {
        set.values().fold(0, |all, g| all | self.containers(g))
    }

    /// The same without what a person has stopped.
    pub(super) fn wanted(&self, journal: &AppJournal, set: &AppSet) -> u8 {
        let stopped = |app: &ServiceName| journal.stopped.contains(app);
        set.iter().filter(|(app, _)| !stopped(app)).fold(0, |all, (_, g)| all | self.containers(g))
    }

    /// The containers of one side of a change, and those that should run.
    pub(super) fn side(&self, journal: &AppJournal, change: &Change, new: bool) -> (u8, u8) {
        let asked = new && matches!(change.cause, Cause::Asked(_));
        let (mut all, mut should) = (0, 0);
        for AppMove { app, from, to } in &change.moves {
            let Some(generation) = (if new { to } else { from }) else { continue };
            all |= self.containers(generation);
            if asked || !journal.stopped.contains(app) {
                should |= self.containers(generation);
            }
        }
        (all, should)
    }

    fn live(&self, world: &World, journal: &AppJournal, change: &Change, new: bool) -> Live {
        let (all, should) = self.side(journal, change, new);
        let (_, others) = self.side(journal, change, !new);
        Live::seen(world.runs & all & !others != 0, world.runs & should == should)
    }

    /// What a source, or a person, asks for now.
    pub(super) fn command(&self, world: &World, ask: Ask) -> AppCommand {
        let journal = self.journals.get(world.journal);
        let set = journal.set_of(world.booted);
        let automatic = matches!(ask, Ask::Offer(_));
        let change = |moves: Vec<AppMove>, switch: bool| {
            let by = if automatic { "source" } else { "root" };
            let order = Order { by: by.to_owned(), automatic, ..Order::default() };
            AppCommand::Change { moves, order, switch }
        };
        let to = |to: Option<u8>| AppMove {
            app: shop(),
            from: set.get(&shop()).cloned(),
            to: to.map(generation),
        };
        match ask {
            Ask::Settle => AppCommand::Settle,
            Ask::Offer(release) => change(self.offer(&set, release), !self.scenario.stage),
            Ask::Switch => AppCommand::Switch,
            Ask::Abandon => AppCommand::Abandon("asked for".to_owned()),
            Ask::Back => match journal.back(&shop(), None) {
                Ok(back) => change(vec![back], true),
                Err(_) => AppCommand::Settle,
            },
            Ask::Remove => change(vec![to(None)], true),
        }
    }

    /// The moves that bring this release.
    pub(super) fn offer(&self, set: &AppSet, release: u8) -> Vec<AppMove> {
        let mv = |app: ServiceName, to: u8| AppMove {
            from: set.get(&app).cloned(),
            app,
            to: Some(generation(to)),
        };
        let mut moves = vec![mv(shop(), release)];
        if self.scenario.two {
            moves.push(mv(tool(), TOOL_RELEASE));
        }
        moves.retain(|m| m.from != m.to);
        moves
    }

    /// Whether the source may not offer this release any more: what was refused takes along what comes with it.
    pub(super) fn is_refused(&self, journal: &AppJournal, set: &AppSet, offer: u8) -> bool {
        let moves = self.offer(set, offer);
        let is_it = |m: &AppMove| {
            let to = m.to.as_ref().map(|g| g.digest);
            journal.refused.iter().any(|r| Some(r.digest) == to)
        };
        moves.iter().any(is_it)
    }

    pub(super) fn slot(&self, world: &World) -> SlotTrial {
        match world.system {
            System::Committed => SlotTrial::None,
            System::Armed => SlotTrial::Armed,
            System::Trial => SlotTrial::Running,
            System::Leaving => SlotTrial::Leaving,
        }
    }

    fn question(&self, world: &World, ask: Ask) -> Question {
        let journal = self.journals.get(world.journal);
        let change = journal.change();
        let live = |new| change.map_or(Live::Same, |c| self.live(world, journal, c, new));
        let number = change.map_or(0, |c| c.number as u8);
        let copied = world.copy != NO_COPY && world.copy_of == number;
        let (from, to, rubbish) = (live(false), live(true), self.rubbish(world));
        let World { found, booted, boot, system, .. } = *world;
        (world.journal, ask, found, booted, boot, system, from, to, copied, rubbish)
    }

    fn facts(&self, world: &World, question: &Question) -> AppFacts {
        let (number, ask, found, booted, boot, _, from, to, copied, rubbish) = *question;
        let brings = |c: &Change| {
            let migrates = |m: &AppMove| m.app == shop() && m.from.is_some() && m.to.is_some();
            self.scenario.copies && c.moves.iter().any(migrates)
        };
        AppFacts {
            booted,
            boot_id: boot.to_string(),
            slot: self.slot(world),
            from,
            to,
            copied,
            copies: self.journals.get(number).change().is_some_and(brings),
            rubbish,
            command: self.command(world, ask),
            done: self.done(found),
            rules: AppRules::default(),
            now: 0,
        }
    }

    fn done(&self, found: Found) -> Option<AppDone> {
        let text = String::new;
        Some(match found {
            Found::Nothing => return None,
            Found::Staged => AppDone::Staged,
            Found::NotStaged => AppDone::NotStaged(ReasonCode::SourceLost, text()),
            Found::EngineFailed => AppDone::Failed(ReasonCode::EngineFailed, text()),
            Found::Failed if self.scenario.full => AppDone::Failed(ReasonCode::NoSpace, text()),
            Found::Failed => AppDone::Failed(ReasonCode::ServiceEnded, text()),
            Found::Healthy => AppDone::Healthy,
            Found::Unhealthy => AppDone::Unhealthy(ReasonCode::ServiceUnhealthy, text()),
            Found::Undecided => AppDone::Undecided,
            Found::Started => AppDone::Started,
            Found::Restored => AppDone::Restored,
        })
    }

    /// Images that something needs.
    pub(super) fn needed(&self, journal: &AppJournal) -> u8 {
        journal.needed().iter().fold(0, |all, (_, digest)| all | bit(digest.0[0]))
    }

    pub(super) fn rubbish(&self, world: &World) -> bool {
        let journal = self.journals.get(world.journal);
        let change = journal.change().map_or(0, |c| c.number as u8);
        let copy = world.copy != NO_COPY && world.copy_of != change;
        copy || (world.synced | world.loose) & !self.needed(journal) != 0
    }

    pub(super) fn decide(&mut self, world: &World, ask: Ask) -> Said {
        let question = self.question(world, ask);
        if let Some(said) = self.said.get(&question) {
            return *said;
        }
        let journal = self.journals.get(world.journal).clone();
        let facts = self.facts(world, &question);
        let said = match mistakes::decide(self.mistake, &journal, facts) {
            AppStep::Persist(next) => Said::Persist(self.journals.number(next)),
            AppStep::Run(effect) => Said::Run(self.effects.number(effect)),
            AppStep::Wait => Said::Wait,
            AppStep::Refuse(_) => Said::Refuse,
        };
        self.said.insert(question, said);
        said
    }

    /// The id, 0 or 1, of a boot that this journal does not know.
    pub(super) fn other_boot(&self, journal: u16) -> u8 {
        let known = matches!(
            &self.journals.get(journal).phase,
            AppPhase::Trying { boot_id, .. } if boot_id == "0"
        );
        u8::from(known)
    }

    pub(super) fn told_of(&self, world: &World) -> String {
        let journal = self.journals.get(world.journal);
        let phase = match &journal.phase {
            AppPhase::Idle => "idle".to_owned(),
            AppPhase::Trying { attempt, .. } => format!("Trying {attempt}"),
            AppPhase::Returning { restore, reason, .. } => format!("Returning {restore} {reason}"),
            phase => format!("{phase:?}").split([' ', '(']).next().unwrap_or("").to_owned(),
        };
        let set = |set: &AppSet| set.values().map(|g| release(g).to_string()).collect::<String>();
        let sets = journal.sets.each_ref().map(|s| s.as_ref().map_or("-".to_owned(), set));
        let moves = journal.change().map(|c| {
            let of = |g: &Option<Generation>| g.as_ref().map_or(0, release);
            let all = c.moves.iter().map(|m| format!("{}>{}", of(&m.from), of(&m.to)));
            let why = if matches!(c.cause, Cause::Slot(_)) { "slot" } else { "asked" };
            format!("{why} {}", all.collect::<Vec<_>>().join(","))
        });
        let last = journal.last.as_ref().map(|l| (l.outcome, l.reason));
        format!(
            "{phase} {moves:?} sets {sets:?} live {} last {last:?} {world:?}",
            set(&journal.live)
        )
    }
}

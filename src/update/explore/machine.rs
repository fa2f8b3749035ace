//! The real `decide` at work on worlds: journals, environments and answers are numbered, so that
//! a world is a handful of bytes and the same question is asked once.

use super::flash::{self, Envs, View};
use super::mistakes::{self, Mistake};
use super::world::{Ask, Content, Found, Nature, Scenario, Violation, World};
use crate::boot::uboot::{Env, names};
use crate::model::{Digest, ReasonCode, SlotId, Txn};
use crate::update::{
    Allowed, Done, Effect, Ended, EnvView, Facts, Journal, Named, Outcome, Phase, Rules, Standing,
    State, Step, Target, Then, Wish, Work, wanted,
};
use std::collections::HashMap;
use std::hash::Hash;

/// A tenth of them is met where nothing is wrong; there is room above it for one step more.
const NUMBERS_MAX: usize = 20_000;

/// Values by number, and back.
pub(super) struct Numbered<T> {
    all: Vec<T>,
    numbers: HashMap<T, u16>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Numbered<T> {
        Numbered { all: Vec::new(), numbers: HashMap::new() }
    }

    pub(super) fn number(&mut self, value: T) -> u16 {
        let next = self.all.len() as u16;
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.all.push(value.clone());
            next
        })
    }

    /// So many that something is counted for ever.
    pub(super) fn is_full(&self) -> bool {
        self.all.len() > NUMBERS_MAX
    }

    pub(super) fn get(&self, number: u16) -> &T {
        &self.all[usize::from(number)]
    }
}

/// All that `decide` can see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    journal: u16,
    env: u16,
    settled: bool,
    booted: SlotId,
    boot: u8,
    up: u8,
    slots: [Content; 2],
    ask: Ask,
    found: Found,
}

/// What it said.
#[derive(Clone, Copy)]
pub(super) enum Said {
    Persist(u16),
    Run(u16),
    Wait,
    Refuse,
}

/// One scenario, explored with or without a mistake in it.
pub(super) struct Machine {
    pub(super) scenario: Scenario,
    pub(super) mistake: Option<Mistake>,
    pub(super) envs: Envs,
    pub(super) journals: Numbered<Journal>,
    pub(super) effects: Numbered<Effect>,
    said: HashMap<Question, Said>,
    asks: HashMap<(Question, bool), Ask>,
}

pub(super) fn work(content: Content, slot: SlotId) -> Work {
    let (from, to) = (Named::default(), named(content));
    Work { digest: content.digest(), slot, partitions: vec![], from, to }
}

fn named(content: Content) -> Named {
    let release_counter = match content {
        Content::Older => 1,
        Content::Old => 2,
        Content::First | Content::Corrupt => 3,
        Content::Second => 4,
        Content::Torn | Content::TornBootable => 0,
    };
    Named { version: "1".parse().ok(), release_counter, security_epoch: 0 }
}

impl Machine {
    pub(super) fn new(scenario: Scenario, mistake: Option<Mistake>) -> Machine {
        Machine {
            scenario,
            mistake,
            envs: Envs::default(),
            journals: Numbered::new(),
            effects: Numbered::new(),
            said: HashMap::new(),
            asks: HashMap::new(),
        }
    }

    /// A device that has updated before: `surefoot_good` and the count are what that left.
    pub(super) fn first(&mut self) -> World {
        let home = self.scenario.home;
        let (mut slots, txn) = ([Content::Older; 2], Txn::new(&Content::Old.digest(), 1));
        slots[home as usize] = Content::Old;
        let mut env = Env::new();
        for (name, value) in [
            (names::ALTBOOTCMD, "run surefoot_altboot"),
            (names::BOOTCOUNT, "3"),
            (names::BOOTLIMIT, "3"),
            (names::COUNTER, "uboot"),
            (names::GOOD, home.other().letter()),
            (names::SLOT, home.letter()),
            (names::TXN, txn.as_str()),
            (names::TRIAL, "0"),
        ] {
            env.set(name, value).expect("our own words");
        }
        let (env, serial) = (self.envs.number(env), self.scenario.serial);
        let (work, detail) = (work(Content::Old, home), String::new());
        let outcome = Ended::Updated;
        let last = Some(Outcome { outcome, work, txn: Some(txn), reason: None, detail, at: 0 });
        let journal = Journal { attempts: 1, last, ..Journal::default() };
        World {
            on: true,
            booted: home,
            slots,
            copies: [Some((serial, env)), Some((serial.wrapping_sub(1), env))],
            journal: self.journals.number(journal),
            boot: 0,
            up: 0,
            ask: None,
            found: Found::Nothing,
            offered: false,
            person: false,
            failed: false,
            lost: false,
            rotten: false,
            cuts: 0,
            tried: 0,
            ran: 0,
            vouched: Content::Old.bit() | Content::Older.bit(),
            kept: 0,
            fell: 0,
        }
    }

    pub(super) fn env(&self, world: &World) -> Result<u16, Violation> {
        flash::env(world, self.mistake)
    }

    pub(super) fn view(&self, world: &World) -> Result<View, Violation> {
        Ok(self.envs.view(self.env(world)?).clone())
    }

    pub(super) fn write(
        &mut self,
        world: World,
        env: u16,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        flash::write(&mut self.envs, world, env, self.mistake, cut)
    }

    /// The id, 0 or 1, of a boot that this journal does not know.
    pub(super) fn other_boot(&self, journal: u16) -> u8 {
        let known = match &self.journals.get(journal).phase {
            Phase::Switching { boot_id, .. } => boot_id == "0",
            Phase::Trying { spent, .. } => spent.boot_id.as_deref() == Some("0"),
            _ => false,
        };
        u8::from(known)
    }

    pub(super) fn settled(&self, world: &World) -> bool {
        world.copies.iter().all(|copy| {
            copy.is_some_and(|(_, env)| {
                let view = self.envs.view(env);
                view.slot == world.booted && !view.trial
            })
        })
    }

    fn question(&self, world: &World, ask: Ask) -> Result<Question, Violation> {
        Ok(Question {
            journal: world.journal,
            env: self.env(world)?,
            settled: self.settled(world),
            booted: world.booted,
            boot: world.boot,
            up: world.up,
            slots: world.slots,
            ask,
            found: world.found,
        })
    }

    fn facts(&self, q: &Question) -> Facts {
        let env = self.envs.view(q.env);
        let spare = q.booted.other();
        let wish = match q.ask {
            Ask::Settle => Wish::Settle,
            Ask::First => Wish::Install(work(Content::First, spare), Then::Switch),
            Ask::Second => Wish::Install(work(Content::Second, spare), Then::Switch),
            Ask::Commit => Wish::Commit(None),
            Ask::Rollback => Wish::Rollback("x".to_owned()),
            Ask::Leave => Wish::Leave,
        };
        let place = self.journals.get(q.journal).work().map_or(spare, |w| w.slot);
        let target = match q.slots[place as usize] {
            Content::Torn | Content::TornBootable => Target::Nothing,
            content => Target::Recorded(content.digest()),
        };
        let line = || "x".to_owned();
        Facts {
            booted: q.booted,
            boot_id: q.boot.to_string(),
            env: EnvView {
                slot: Some(env.slot),
                txn: env.txn.clone(),
                trial: env.trial,
                bootcount: env.bootcount,
                fallback: env.fallback.clone(),
                clean: env.clean,
                settled: q.settled,
            },
            target,
            wish,
            done: match q.found {
                Found::Nothing => None,
                Found::Written => Some(Done::Written),
                Found::NotWritten => Some(Done::NotWritten(ReasonCode::ReadBack, line())),
                Found::Healthy => Some(Done::Healthy(line())),
                Found::Unhealthy => Some(Done::Unhealthy(line())),
                Found::Unknown => Some(Done::HealthUnknown(line())),
            },
            up: u64::from(q.up),
            rules: Rules { deadline: u64::from(self.scenario.deadline()), ..Rules::default() },
            now: 0,
        }
    }

    pub(super) fn decide(&mut self, world: &World, ask: Ask) -> Result<Said, Violation> {
        let question = self.question(world, ask)?;
        if let Some(said) = self.said.get(&question) {
            return Ok(*said);
        }
        let journal = self.journals.get(question.journal);
        let said = match mistakes::decide(self.mistake, journal, self.facts(&question)) {
            Step::Persist(next) => Said::Persist(self.journals.number(next)),
            Step::Run(effect) => Said::Run(self.effects.number(effect)),
            Step::Wait => Said::Wait,
            Step::Refuse(_) => Said::Refuse,
        };
        self.said.insert(question, said);
        Ok(said)
    }

    /// What the one who runs the device asks for next: first that it settles, as every verb does.
    pub(super) fn next_ask(&mut self, world: &World) -> Result<Ask, Violation> {
        if !matches!(self.decide(world, Ask::Settle)?, Said::Wait) {
            return Ok(Ask::Settle);
        }
        let question = self.question(world, Ask::Settle)?;
        if let Some(ask) = self.asks.get(&(question, world.offered)) {
            return Ok(*ask);
        }
        let journal = self.journals.get(world.journal);
        let state = State::of(journal);
        let offer = if world.offered {
            (Content::Second, Ask::Second)
        } else {
            (Content::First, Ask::First)
        };
        let ask = match state {
            State::Trying => Ask::Commit,
            _ if matches!(journal.phase, Phase::Returning { .. }) => Ask::Settle,
            State::Switching if journal.work().is_some_and(|w| w.digest == offer.0.digest()) => {
                Ask::Settle
            }
            _ if self.wants(journal, question.env, world, offer.0) => offer.1,
            _ => Ask::Settle,
        };
        self.asks.insert((question, world.offered), ask);
        Ok(ask)
    }

    /// The policy of `install`; and a person is asked where the board, not the release, failed.
    fn wants(&self, journal: &Journal, env: u16, world: &World, offer: Content) -> bool {
        let digest = offer.digest();
        let ended = journal.last.as_ref().filter(|l| l.work.digest == digest);
        let board =
            |reason| matches!(reason, ReasonCode::TrialNotStarted | ReasonCode::CounterDead);
        if ended.is_some_and(|l| l.reason.is_some_and(board)) {
            return false;
        }
        let told = ended.and_then(|l| l.txn.as_ref());
        let running = named(world.content(world.booted));
        let standing = Standing {
            running: &running,
            committed: true,
            floor: 0,
            denied: &journal.denied,
            given_up: self.envs.view(env).fallback.as_ref().filter(|txn| told != Some(*txn)),
        };
        wanted(&named(offer), &digest, &standing, Allowed::default()).is_ok()
    }

    /// The verdict of the checks on what runs.
    pub(super) fn health(&self, world: &World) -> Found {
        match (world.content(world.booted), self.scenario.nature) {
            (Content::First, Nature::Unhealthy) => Found::Unhealthy,
            (Content::First, Nature::Hangs) => Found::Unknown,
            _ => Found::Healthy,
        }
    }

    pub(super) fn denies(&self, world: &World, digest: &Digest) -> bool {
        self.journals.get(world.journal).denied.iter().any(|d| d.digest == *digest)
    }
}

impl Machine {
    /// A world, told for people.
    pub(super) fn describe(&self, world: &World) -> String {
        let phase = match &self.journals.get(world.journal).phase {
            Phase::Idle => "idle".to_owned(),
            phase => format!("{phase:?}").split([' ', '(']).next().unwrap_or("").to_owned(),
        };
        let last = self.journals.get(world.journal).last.as_ref().map(|l| (l.outcome, l.reason));
        let copies = world.copies.map(|copy| match copy {
            None => "dead".to_owned(),
            Some((serial, env)) => {
                let v = self.envs.view(env);
                let txn = v.txn.as_ref().map_or("-", |t| t.as_str());
                format!(
                    "{serial}:{}{} n{} c{} {txn}",
                    v.slot,
                    if v.trial { "?" } else { "" },
                    v.bootcount,
                    v.clean
                )
            }
        });
        format!(
            "{} {:?} {phase} {last:?} [{}] [{}] slots {:?} ask {:?} {:?} boot {} up {} cuts {} tried {} ran {} offered {} lost {}",
            if world.on { "on" } else { "off" },
            world.booted,
            copies[0],
            copies[1],
            world.slots,
            world.ask,
            world.found,
            world.boot,
            world.up,
            world.cuts,
            world.tried,
            world.ran,
            world.offered,
            world.lost
        )
    }
}

//! What is asked in a world, with what facts, and what the real `decide` says to it.

use super::machine::{Machine, Said};
use super::mistakes::{self, Mistake};
use super::steps::is_withdrawn;
use super::world::{Ask, Content, Found, Nature, Violation, World};
use crate::model::{Against, Digest, Failing, ReasonCode, SlotId, State};
use crate::update::{
    Allowed, Done, EnvView, Facts, Journal, Named, Phase, Rules, Standing, Step, Target, Then,
    Wish, Work, wanted,
};

/// All that `decide` can see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question {
    journal: u16,
    env: u16,
    settled: bool,
    booted: SlotId,
    boot: u8,
    up: u8,
    slots: [Content; 2],
    blank: u8,
    /// What the slots say, where it is asked.
    labels: Option<[u16; 2]>,
    ask: Ask,
    found: Found,
}

pub(super) fn work(content: Content, slot: SlotId) -> Work {
    // The weakest journal: it does not say what ran before.
    let (from, to) = (Named::unknown(), named(content));
    Work { digest: content.digest(), slot, partitions: vec![], from, to, order: Default::default() }
}

pub(super) fn named(content: Content) -> Named {
    let release_counter = match content {
        Content::Older => 1,
        Content::Old => 2,
        Content::First | Content::Corrupt => 3,
        Content::Second => 4,
        Content::Torn | Content::TornBootable => 0,
    };
    Named { version: "1".parse().ok(), release_counter, ..Named::default() }
}

/// Without what is told and never decides: it would only make more worlds of the same.
fn bare(mut journal: Journal) -> Journal {
    if let Phase::Trying { spent, .. } = &mut journal.phase {
        spent.came_up = 0;
    }
    if let Some(last) = &mut journal.last {
        last.came_up = None;
    }
    journal
}

impl Machine {
    fn question(&mut self, world: &World, ask: Ask) -> Result<Question, Violation> {
        let view = self.view(world)?;
        let idle = self.journals.get(world.journal).phase == Phase::Idle;
        let nameless = self.scenario.memory && idle && (view.trial || view.fallback.is_some());
        let labels = nameless.then(|| {
            [SlotId::A, SlotId::B].map(|slot| {
                let label = self.label(world, slot);
                self.names.number(label)
            })
        });
        Ok(Question {
            labels,
            journal: world.journal,
            env: self.env(world)?,
            settled: self.settled(world),
            booted: world.booted,
            boot: world.boot,
            up: world.up,
            slots: world.slots,
            blank: world.blank,
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
            Ask::Cancel => Wish::Cancel { why: "x".to_owned(), begun: None },
            Ask::CancelFirst => {
                let begun = Some(work(Content::First, spare));
                Wish::Cancel { why: "x".to_owned(), begun }
            }
            Ask::Return => Wish::Return(work(q.slots[spare as usize], spare)),
            Ask::Leave => Wish::Leave,
        };
        let place = self.journals.get(q.journal).work().map_or(spare, |w| w.slot);
        let target = match q.slots[place as usize] {
            Content::Torn | Content::TornBootable => Target::Nothing,
            // What boots and has no record is a factory's.
            _ if q.blank & (1 << place as u8) != 0 => Target::Factory,
            content => Target::Recorded(content.digest()),
        };
        let line = || "x".to_owned();
        let against = || Against::one(Failing::check("x", "no"));
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
            labels: q.labels.map(|labels| Box::new(labels.map(|n| self.names.get(n).clone()))),
            wish,
            done: match q.found {
                Found::Nothing => None,
                Found::Written => Some(Done::Written),
                Found::NotWritten => Some(Done::NotWritten(ReasonCode::ReadBack, line())),
                Found::Healthy => Some(Done::Healthy(line())),
                Found::Unhealthy => Some(Done::Unhealthy(against())),
                Found::Unknown => Some(Done::HealthUnknown(against())),
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
            Step::Persist(next) => Said::Persist(self.journals.number(bare(next))),
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
        let asked = (question, world.offered, world.withdrawn);
        if let Some(ask) = self.asks.get(&asked) {
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
            // As a look at the source does it: what waits and was taken back is dropped.
            _ if is_withdrawn(world, journal) && self.mistake != Some(Mistake::WithdrawnKept) => {
                Ask::Rollback
            }
            _ if matches!(journal.phase, Phase::Returning { .. }) => Ask::Settle,
            State::Switching if journal.work().is_some_and(|w| w.digest == offer.0.digest()) => {
                Ask::Settle
            }
            _ if self.wants(question.env, world, offer.0) => offer.1,
            _ => Ask::Settle,
        };
        self.asks.insert(asked, ask);
        Ok(ask)
    }

    /// The policy of `install`; and a person is asked where the board, not the release, failed.
    fn wants(&mut self, env: u16, world: &World, offer: Content) -> bool {
        // A trust file that came along accepts the old key no more. And what runs is not offered
        // again where the device alone does not know it: this model tells releases apart, not slots.
        let runs = world.content(world.booted);
        if self.scenario.memory && (runs == offer || self.rekeyed(world) && offer == Content::First)
        {
            return false;
        }
        if world.withdrawn && offer == Content::First {
            return false;
        }
        let digest = offer.digest();
        let journal = self.journals.get(world.journal);
        // Nothing begins again by itself what a person has cancelled.
        if journal.cancelled.contains(&digest) {
            return false;
        }
        let ended = journal.last.as_ref().filter(|l| l.work.digest == digest);
        let board =
            |reason| matches!(reason, ReasonCode::TrialNotStarted | ReasonCode::CounterDead);
        if ended.is_some_and(|l| l.reason.is_some_and(board)) {
            return false;
        }
        let running = match self.scenario.memory {
            true => self.label(world, world.booted).named,
            false => named(world.content(world.booted)),
        };
        let journal = self.journals.get(world.journal);
        let ended = journal.last.as_ref().filter(|l| l.work.digest == digest);
        let told = ended.and_then(|l| l.txn.as_ref());
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

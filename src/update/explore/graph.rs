//! Every world that can be reached, and what must hold of each and of the ways between them.

use super::machine::Machine;
use super::world::{Board, Content, Nature, Violation, World};
use crate::model::ReasonCode;
use crate::update::Ended;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// More worlds than fit into memory.
const WORLDS_MAX: usize = 12_000_000;

/// A multiplication for each word: worlds are many, and nobody attacks this table.
#[derive(Default)]
pub(super) struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

type Seen = HashMap<World, u32, BuildHasherDefault<Quick>>;

/// A broken promise, and the way to it.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) violation: Violation,
    /// From the start to the world that breaks it, told for people.
    pub(super) way: Vec<String>,
}

/// What was seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) worlds: usize,
    /// The longest way to rest without another cut.
    pub(super) steps: u32,
    /// Worlds at rest.
    pub(super) ends: usize,
}

struct Graph {
    worlds: Vec<World>,
    from: Vec<u32>,
    /// Where the world goes without a cut: a range of `ways`.
    out: Vec<(u32, u32)>,
    ways: Vec<u32>,
}

/// Visits every world with up to `max_cuts` cuts.
pub(super) fn explore(machine: &mut Machine, max_cuts: u8) -> Result<Tally, Broken> {
    let start = machine.first();
    let mut graph = Graph { worlds: vec![start], from: vec![0], out: Vec::new(), ways: Vec::new() };
    let mut seen = Seen::default();
    seen.insert(start, 0);
    let mut at = 0;
    let mut ends = 0;
    while at < graph.worlds.len() {
        let world = graph.worlds[at];
        let next = machine.next(&world, max_cuts).map_err(|v| graph.broken(machine, at, v))?;
        if next.calm.is_none() {
            ends += 1;
            machine
                .in_order(&world)
                .and_then(|()| rests(machine, &world))
                .map_err(|v| graph.broken(machine, at, v))?;
        }
        let begin = graph.ways.len();
        for (n, to) in next.calm.iter().chain(&next.fate).chain(&next.cut).enumerate() {
            let fresh = graph.worlds.len();
            let number = *seen.entry(*to).or_insert(fresh as u32);
            if number as usize == fresh {
                graph.worlds.push(*to);
                graph.from.push(at as u32);
            }
            if n < usize::from(next.calm.is_some()) + next.fate.len() {
                graph.ways.push(number);
            }
        }
        graph.out.push((begin as u32, graph.ways.len() as u32));
        // A loop that counts something has always another journal.
        if machine.journals.is_full() {
            return Err(graph.broken(machine, at, Violation::NeverRests));
        }
        if graph.worlds.len() > WORLDS_MAX {
            return Err(graph.broken(machine, at, Violation::TooManyWorlds));
        }
        at += 1;
    }
    match graph.longest() {
        Ok(steps) => Ok(Tally { worlds: graph.worlds.len(), steps, ends }),
        Err(at) => Err(graph.broken(machine, at, Violation::NeverRests)),
    }
}

impl Graph {
    fn broken(&self, machine: &Machine, at: usize, violation: Violation) -> Broken {
        let mut way = Vec::new();
        let mut at = at as u32;
        loop {
            way.push(machine.describe(&self.worlds[at as usize]));
            if at == 0 {
                break;
            }
            at = self.from[at as usize];
        }
        way.reverse();
        Broken { violation, way }
    }

    /// The longest way without a cut, or a world on a way that never ends.
    fn longest(&self) -> Result<u32, usize> {
        const OPEN: u32 = u32::MAX;
        const NEW: u32 = u32::MAX - 1;
        let mut height = vec![NEW; self.worlds.len()];
        for root in 0..self.worlds.len() {
            if height[root] != NEW {
                continue;
            }
            let mut stack = vec![(root, self.out[root].0, 0)];
            height[root] = OPEN;
            while let Some((at, way, high)) = stack.pop() {
                if way == self.out[at].1 {
                    height[at] = high;
                    if let Some((_, _, above)) = stack.last_mut() {
                        *above = (*above).max(high + 1);
                    }
                    continue;
                }
                stack.push((at, way + 1, high));
                let to = self.ways[way as usize] as usize;
                match height[to] {
                    OPEN => return Err(to),
                    NEW => {
                        height[to] = OPEN;
                        stack.push((to, self.out[to].0, 0));
                    }
                    known => {
                        if let Some((_, _, above)) = stack.last_mut() {
                            *above = (*above).max(known + 1);
                        }
                    }
                }
            }
        }
        Ok(height.into_iter().max().unwrap_or(0))
    }
}

/// What must be true of a world at rest.
fn rests(machine: &Machine, world: &World) -> Result<(), Violation> {
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

//! Every world that can be reached, and what must hold of each and of the ways between them. The worlds of apps are
//! visited by the same walk.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// More worlds than fit into memory.
const WORLDS_MAX: usize = 12_000_000;

/// A multiplication for each word: worlds are many, and nobody attacks this table.
#[derive(Default)]
pub(crate) struct Quick(u64);

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

type Seen<W> = HashMap<W, u32, BuildHasherDefault<Quick>>;

/// Something of which all worlds can be visited.
pub(crate) trait Explored {
    /// One world: a handful of bytes.
    type World: Copy + Eq + Hash;
    /// A promise that a world breaks.
    type Violation: Copy;
    /// It never comes to rest.
    const NEVER_RESTS: Self::Violation;
    /// There are more worlds than are kept: nothing is said of the promises.
    const TOO_MANY: Self::Violation;

    fn first(&mut self) -> Self::World;
    /// Where one world can go.
    fn next(
        &mut self,
        world: &Self::World,
        max_cuts: u8,
    ) -> Result<Next<Self::World>, Self::Violation>;
    /// What must be true of a world at rest.
    fn rests(&mut self, world: &Self::World) -> Result<(), Self::Violation>;
    /// More journals than any scenario has where nothing is wrong: a loop that counts something has always another.
    fn is_full(&self) -> bool;
    /// A world, told for people.
    fn describe(&self, world: &Self::World) -> String;
}

/// The worlds next to one.
pub(crate) struct Next<W> {
    /// The step that follows if nothing happens; none at rest.
    pub(crate) calm: Option<W>,
    /// What somebody else may do first.
    pub(crate) fate: Vec<W>,
    /// After a cut.
    pub(crate) cut: Vec<W>,
}

impl<W> Default for Next<W> {
    fn default() -> Next<W> {
        Next { calm: None, fate: Vec::new(), cut: Vec::new() }
    }
}

/// A broken promise, and the way to it.
#[derive(Debug)]
pub(crate) struct Broken<V> {
    pub(crate) violation: V,
    /// From the start to the world that breaks it, told for people.
    pub(crate) way: Vec<String>,
}

/// What was seen.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) worlds: usize,
    /// The longest way to rest without another cut.
    pub(crate) steps: u32,
    /// Worlds at rest.
    pub(crate) ends: usize,
}

struct Graph<W> {
    worlds: Vec<W>,
    from: Vec<u32>,
    /// Where the world goes without a cut: a range of `ways`.
    out: Vec<(u32, u32)>,
    ways: Vec<u32>,
}

/// Visits every world with up to `max_cuts` cuts.
pub(crate) fn explore<M: Explored>(
    machine: &mut M,
    max_cuts: u8,
) -> Result<Tally, Broken<M::Violation>> {
    let start = machine.first();
    let mut graph = Graph { worlds: vec![start], from: vec![0], out: Vec::new(), ways: Vec::new() };
    let mut seen = Seen::<M::World>::default();
    seen.insert(start, 0);
    let mut at = 0;
    let mut ends = 0;
    while at < graph.worlds.len() {
        let world = graph.worlds[at];
        let next = machine.next(&world, max_cuts).map_err(|v| graph.broken(machine, at, v))?;
        if next.calm.is_none() {
            ends += 1;
            machine.rests(&world).map_err(|v| graph.broken(machine, at, v))?;
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
        if machine.is_full() {
            return Err(graph.broken(machine, at, M::NEVER_RESTS));
        }
        if graph.worlds.len() > WORLDS_MAX {
            return Err(graph.broken(machine, at, M::TOO_MANY));
        }
        at += 1;
    }
    match graph.longest() {
        Ok(steps) => Ok(Tally { worlds: graph.worlds.len(), steps, ends }),
        Err(at) => Err(graph.broken(machine, at, M::NEVER_RESTS)),
    }
}

impl<W: Copy> Graph<W> {
    fn broken<M: Explored<World = W>>(
        &self,
        machine: &M,
        at: usize,
        violation: M::Violation,
    ) -> Broken<M::Violation> {
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

/// Runs each on a core of its own, as far as there are some; each has its own machine, so that they share nothing.
pub(crate) fn on_all_cores<S: Copy + Sync + Send, R: Send>(
    all: &[S],
    run: impl Fn(S) -> R + Sync,
) -> Vec<(S, R)> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(one) = all.get(at) else { return done };
            done.push((*one, run(*one)));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    })
}

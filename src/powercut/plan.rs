//! Which landings are tried at a deed: the telling ones first, then chance.

use super::chance::Chance;
use super::choice::Choice;
use super::deed::{Deed, Stage};
use super::files::uncertain_names;
use super::history::History;
use super::landing::{Landing, Tail};
use std::collections::BTreeMap;

/// Up to so many unflushed writes every subset of them is tried.
const EXHAUSTIVE: usize = 6;

/// The cuts at one deed: all that are told one by one, then chance without an end.
pub(super) struct Cuts<'a> {
    history: &'a History,
    op: usize,
    unit: bool,
    told: std::vec::IntoIter<Choice>,
    chance: Chance,
    open: Vec<usize>,
    names: usize,
}

impl<'a> Cuts<'a> {
    /// The cuts while `op` is in flight. `unit`: whether its whole 4 MiB unit may be garbled.
    pub(super) fn new(history: &'a History, op: usize, unit: bool, seed: u64) -> Cuts<'a> {
        let moment = history.ops[op].begin + 1;
        let open = |stage| matches!(stage, Stage::InFlight | Stage::Volatile);
        let all = history.ops.iter().enumerate();
        let open = all.filter(|(_, o)| !o.deed.names() && open(o.at(moment))).map(|(n, _)| n);
        let open: Vec<usize> = open.collect();
        let names = uncertain_names(history, moment);
        let chance = Chance::new(seed ^ (op as u64) << 20);
        let mut cuts =
            Cuts { history, op, unit, told: Vec::new().into_iter(), chance, open, names };
        cuts.told = cuts.telling().into_iter();
        cuts
    }

    fn len(&self, op: usize) -> usize {
        match &self.history.ops[op].deed {
            Deed::Disk { bytes, .. } | Deed::Content { bytes, .. } => bytes.len(),
            // How much of a file may come through a rename: about what a journal is long.
            Deed::Move(..) => 1024,
            Deed::Empty(_) | Deed::Make(..) => 0,
        }
    }

    fn telling(&mut self) -> Vec<Choice> {
        let one =
            |landing| Choice { landings: BTreeMap::from([(self.op, landing)]), names: self.names };
        let mut told = Vec::new();
        for names in (0..=self.names).rev() {
            told.push(Choice { names, ..Choice::default() });
        }
        if self.history.ops[self.op].deed.names() {
            return told;
        }
        told.push(one(Landing::Whole));
        let others: Vec<usize> = self.open.iter().copied().filter(|o| *o != self.op).collect();
        if others.len() < EXHAUSTIVE {
            for mask in 1..1_usize << others.len() {
                let lost = others.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1);
                let lost: BTreeMap<_, _> = lost.map(|(_, o)| (*o, Landing::Nothing)).collect();
                let mut landed = lost.clone();
                landed.insert(self.op, Landing::Whole);
                told.extend([lost, landed].map(|landings| Choice { landings, names: self.names }));
            }
        }
        let len = self.len(self.op);
        for part in
            [1, 4, 5, 511, 512, 513, len / 2, len.saturating_sub(512), len.saturating_sub(1)]
        {
            for (sector, tail) in [(512, Tail::Old), (4096, Tail::Noise(part as u64))] {
                if part > 0 && part < len {
                    told.push(one(Landing::First { len: part, sector, tail }));
                }
            }
        }
        told
    }

    fn any(&mut self) -> Choice {
        let mut landings = BTreeMap::new();
        let len = self.len(self.op);
        if matches!(self.history.ops[self.op].deed, Deed::Make(..)) {
            let names = super::small(self.chance.below(self.names as u64 + 1));
            return Choice { landings, names };
        }
        landings.insert(self.op, Landing::any(&mut self.chance, len, self.unit));
        if matches!(self.history.ops[self.op].deed, Deed::Move(..)) {
            return Choice { landings, names: self.names };
        }
        let others: Vec<usize> = self.open.iter().copied().filter(|o| *o != self.op).collect();
        for other in others {
            if self.chance.below(3) == 0 {
                let len = self.len(other);
                landings.insert(other, Landing::any(&mut self.chance, len, false));
            }
        }
        let names = super::small(self.chance.below(self.names as u64 + 1));
        Choice { landings, names }
    }
}

impl Iterator for Cuts<'_> {
    type Item = Choice;
    fn next(&mut self) -> Option<Choice> {
        Some(self.told.next().unwrap_or_else(|| self.any()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::deed::Op;
    use super::*;

    /// Nine writes that no flush has vouched for: too many for every subset.
    fn history() -> History {
        let op = |n: usize| Op {
            deed: Deed::Disk { at: n as u64 * 4096, bytes: [0x5a; 4096].into() },
            begin: 2 * n,
            end: 2 * n + 1,
            durable: usize::MAX,
            phase: "slot body",
            told: String::new(),
        };
        let mut history = History::default();
        history.ops.extend((0..9).map(op));
        history
    }

    /// The first cuts at the last write, as a report would tell them.
    fn cuts(seed: u64) -> Vec<String> {
        let history = history();
        Cuts::new(&history, 8, true, seed).take(200).map(|cut| format!("{cut:?}")).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_cuts_and_another_makes_others() {
        let (one, other) = (cuts(1), cuts(2));
        assert_eq!(one, cuts(1));
        assert_ne!(one, other);
        let told = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        assert!(told > 10, "the telling ones do not depend on chance: {told}");
    }
}

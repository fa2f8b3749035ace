//! What is done with sets of apps: values in, values out.

use super::journal::{AppJournal, AppMove, AppPhase, AppSet, Cause, Change, Generation};
use crate::bundle::ServiceName;
use crate::model::{Digest, ReasonCode, SlotId};
use std::collections::BTreeSet;

fn at(slot: SlotId) -> usize {
    usize::from(slot == SlotId::B)
}

/// The moves from one set to another, by name.
pub(super) fn moves_between(old: &AppSet, new: &AppSet) -> Vec<AppMove> {
    let names: BTreeSet<&ServiceName> = old.keys().chain(new.keys()).collect();
    let moves = names.into_iter().map(|app| AppMove {
        app: app.clone(),
        from: old.get(app).cloned(),
        to: new.get(app).cloned(),
    });
    moves.filter(|m| m.from != m.to).collect()
}

/// The set after these moves.
pub(super) fn moved(set: &AppSet, moves: &[AppMove]) -> AppSet {
    let mut set = set.clone();
    for AppMove { app, to, .. } in moves {
        match to {
            Some(generation) => set.insert(app.clone(), generation.clone()),
            None => set.remove(app),
        };
    }
    set
}

/// Whether the moves can be made in this set: there are some, each app has one, each begins where the set is, and
/// changes something.
pub(super) fn fits(set: &AppSet, moves: &[AppMove]) -> Result<(), ReasonCode> {
    let names: BTreeSet<&ServiceName> = moves.iter().map(|m| &m.app).collect();
    if moves.is_empty() || moves.iter().all(|m| m.from == m.to) {
        return Err(ReasonCode::AlreadyInstalled);
    }
    let begins = |m: &AppMove| set.get(&m.app) == m.from.as_ref() && m.from != m.to;
    // What was admitted for another set is admitted again.
    let all = names.len() == moves.len() && moves.iter().all(begins);
    if all { Ok(()) } else { Err(ReasonCode::Superseded) }
}

impl AppJournal {
    /// Why no system may be armed, and no set of a slot changed, now: a change of apps is between its switch and its
    /// end. What is only staged stands in no way.
    pub fn holds_systems_back(&self) -> Option<ReasonCode> {
        match &self.phase {
            AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_) => None,
            _ => Some(ReasonCode::TrialPending),
        }
    }

    /// Before a system is written into `slot`: the one that was there, and its set, are gone. The new one has the set
    /// of the running system until it is committed.
    pub fn forget_set(&self, slot: SlotId) -> Result<AppJournal, ReasonCode> {
        self.with_set(slot, None)
    }

    /// Before a system is armed whose release brings these apps along: they belong to its slot and are switched to in
    /// its trial. Asked right before the arming, so that it is the set of that moment that is changed; and again, where
    /// the power went between the two.
    pub fn plan_set(&self, slot: SlotId, moves: &[AppMove]) -> Result<AppJournal, ReasonCode> {
        let runs = self.set_of(slot.other());
        fits(&runs, moves)?;
        self.with_set(slot, Some(moved(&runs, moves)))
    }

    fn with_set(&self, slot: SlotId, set: Option<AppSet>) -> Result<AppJournal, ReasonCode> {
        if let Some(code) = self.holds_systems_back() {
            return Err(code);
        }
        // What the other slot only inherited is its own now.
        let mut next = self.keeping(slot.other());
        next.sets[at(slot)] = set;
        Ok(next)
    }

    /// The same, and the set that the system of `slot` has inherited is its own.
    #[must_use]
    pub(super) fn keeping(&self, slot: SlotId) -> AppJournal {
        let mut next = self.clone();
        next.sets[at(slot)] = Some(self.set_of(slot));
        next
    }

    /// Whether the system of `slot` has a set of its own.
    pub(super) fn has_set(&self, slot: SlotId) -> bool {
        self.sets[at(slot)].is_some()
    }

    /// The same in another phase.
    #[must_use]
    pub(super) fn in_phase(&self, phase: AppPhase) -> AppJournal {
        AppJournal { phase, ..self.clone() }
    }

    /// The move back to a generation that is kept: the one before, or that with this digest.
    pub fn back(&self, app: &ServiceName, to: Option<&Digest>) -> Result<AppMove, ReasonCode> {
        let kept = self.previous.get(app).map_or(&[][..], Vec::as_slice);
        let runs = self.live.get(app);
        if kept.is_empty() && runs.is_none() {
            return Err(ReasonCode::NoSuchApp);
        }
        let is_it = |g: &&Generation| to.is_none_or(|digest| g.digest == *digest);
        let found = kept.iter().rev().find(is_it).ok_or(ReasonCode::NothingToRollBack)?;
        Ok(AppMove { app: app.clone(), from: runs.cloned(), to: Some(found.clone()) })
    }

    /// A person stops an app: it stays stopped until it is started, or changed, by a person.
    pub fn stopping(&self, app: &ServiceName) -> Result<AppJournal, ReasonCode> {
        let mut next = self.touching(app)?;
        next.stopped.insert(app.clone());
        Ok(next)
    }

    /// A person starts it again.
    pub fn starting(&self, app: &ServiceName) -> Result<AppJournal, ReasonCode> {
        let mut next = self.touching(app)?;
        next.stopped.remove(app);
        Ok(next)
    }

    fn touching(&self, app: &ServiceName) -> Result<AppJournal, ReasonCode> {
        if !self.live.contains_key(app) {
            return Err(ReasonCode::NoSuchApp);
        }
        let under_way = self.change().is_some_and(|c| c.moves.iter().any(|m| m.app == *app));
        match under_way && self.holds_systems_back().is_some() {
            true => Err(ReasonCode::TrialPending),
            false => Ok(self.clone()),
        }
    }

    /// All generations that may run again without a network, by app and digest: whatever else is there may go.
    pub fn needed(&self) -> BTreeSet<(ServiceName, Digest)> {
        let sets = self.sets.iter().flatten().chain([&self.live]).flatten();
        let moves = self.change().map_or(&[][..], |change| change.moves.as_slice());
        let both = moves.iter().flat_map(|m| [(&m.app, &m.from), (&m.app, &m.to)]);
        let previous =
            self.previous.iter().flat_map(|(app, all)| all.iter().map(move |g| (app, g)));
        let developed =
            self.develop.iter().filter_map(|(app, b)| Some((app, b.generation.as_ref()?)));
        sets.chain(both.filter_map(|(app, g)| Some((app, g.as_ref()?))))
            .chain(previous)
            .chain(developed)
            .map(|(app, generation)| (app.clone(), generation.digest))
            .collect()
    }

    /// The journal where there was none that could be read: what was found stays. `found`: the generations whose
    /// containers or files are here and whose bundles can be verified, and whether one of their services runs.
    /// `changes`: the highest number of a change of which something is here.
    ///
    /// Of two generations of an app the one that runs counts. Where none runs it is the older one: both are here from
    /// the staging of the newer one to the tidying after its commit, and of that the time before the commit is the long
    /// part.
    pub fn adopted(
        booted: SlotId,
        found: impl IntoIterator<Item = (ServiceName, Generation, bool)>,
        changes: u64,
    ) -> AppJournal {
        let mut best = std::collections::BTreeMap::<ServiceName, (bool, Generation)>::new();
        for (app, generation, runs) in found {
            let better = best.get(&app).is_none_or(|(running, kept)| {
                let older = generation.release_counter < kept.release_counter;
                runs && !running || runs == *running && older
            });
            if better {
                best.insert(app, (runs, generation));
            }
        }
        let set: AppSet =
            best.into_iter().map(|(app, (_, generation))| (app, generation)).collect();
        let mut sets = [None, None];
        sets[at(booted)] = Some(set.clone());
        AppJournal { changes, sets, live: set, ..AppJournal::default() }
    }

    /// The same with what a change has made of it: the set of the running system, what runs, and what can be returned
    /// to.
    #[must_use]
    pub(super) fn committed(&self, booted: SlotId, change: &Change) -> AppJournal {
        let mut next = self.clone();
        next.sets[at(booted)] = Some(moved(&self.set_of(booted), &change.moves));
        next.live = moved(&self.live, &change.moves);
        for AppMove { app, from, to } in &change.moves {
            let mut kept = next.previous.remove(app).unwrap_or_default();
            kept.extend(from.clone());
            let Some(to) = to else { continue };
            next.refused.retain(|r| r.app != *app || r.digest != to.digest);
            let mut seen = BTreeSet::from([to.digest]);
            // The last time that it ran counts, with what was set then.
            kept.reverse();
            kept.retain(|g| seen.insert(g.digest));
            kept.truncate(usize::try_from(to.keep.min(KEEP_MAX)).unwrap_or(0));
            kept.reverse();
            if !kept.is_empty() {
                next.previous.insert(app.clone(), kept);
            }
            if matches!(change.cause, Cause::Asked(_)) {
                next.stopped.remove(app);
            }
        }
        next.tidy()
    }

    /// Forgets what belongs to no app and no release that may run again. What has run once ever stays with the data.
    fn tidy(mut self) -> AppJournal {
        let needed = self.needed();
        let is_here = |name: &str| needed.iter().any(|(app, _)| app.as_str() == name);
        self.stopped.retain(|app| is_here(app.as_str()));
        self.ports.retain(|port, _| is_here(port.split('/').next().unwrap_or_default()));
        self.ran.retain(|mark| match mark.split('/').collect::<Vec<_>>().as_slice() {
            [app, release, _] if !release.is_empty() => {
                needed.iter().any(|(a, digest)| a.as_str() == *app && digest.short() == *release)
            }
            _ => true,
        });
        self
    }
}

/// More generations than a document may ask for are not kept.
const KEEP_MAX: u32 = 16;

/// More releases than are remembered as refused: the oldest go.
pub(super) const REFUSED_MAX: usize = 64;

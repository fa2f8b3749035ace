//! How many wait at the door, and how many long answers are given at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much a door puts up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections whose head is not whole yet.
    pub waiting: usize,
    /// Answers that take their time.
    pub lasting: usize,
    /// For a head to be whole, for a client to take an answer, and for more of a body to come.
    pub patience: Duration,
}

impl Limits {
    /// How many of the places at the door one user may have; the rest is for others.
    pub(super) fn share_waiting(&self, uid: u32) -> usize {
        if uid == ROOT { self.waiting } else { self.waiting / 2 }
    }

    /// Whether a user with `own` of `all` long answers may have one more: none takes more
    /// than half, and two places are always left for root.
    fn admits(&self, uid: u32, own: usize, all: usize) -> bool {
        match uid {
            ROOT => all < self.lasting,
            _ => own < self.lasting / 2 && all < self.lasting.saturating_sub(2),
        }
    }
}

/// The operator of the device may always ask.
const ROOT: u32 = 0;

impl Default for Limits {
    fn default() -> Limits {
        Limits { waiting: 128, lasting: 8, patience: Duration::from_secs(5) }
    }
}

/// Who has how many long answers.
pub(super) type Lasting = Mutex<BTreeMap<u32, usize>>;

/// A place among the long answers; free again when it is dropped.
pub(super) struct Place {
    of: Arc<Lasting>,
    uid: u32,
}

impl Place {
    pub(super) fn take(of: &Arc<Lasting>, uid: u32, limits: &Limits) -> Option<Place> {
        let mut have = of.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, all) = (have.get(&uid).copied().unwrap_or(0), have.values().sum());
        limits.admits(uid, own, all).then(|| {
            have.insert(uid, own + 1);
            Place { of: of.clone(), uid }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut have = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        match have.get_mut(&self.uid) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(have.remove(&self.uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_takes_half_of_the_places_and_root_always_finds_one() {
        let (limits, have) = (Limits::default(), Arc::<Lasting>::default());
        let mut places = Vec::new();
        let mut taken = |uid: u32| {
            let mut n = 0;
            while let Some(place) = Place::take(&have, uid, &limits) {
                places.push(place);
                n += 1;
            }
            n
        };
        assert_eq!([taken(1000), taken(1001), taken(1002)], [4, 2, 0]);
        assert_eq!(taken(ROOT), 2);
        places.remove(0);
        assert!(Place::take(&have, 1001, &limits).is_none(), "the last two are root's");
        assert!(Place::take(&have, ROOT, &limits).is_some());
        drop(places);
        assert!(have.lock().unwrap().is_empty());
        assert_eq!((limits.share_waiting(1000), limits.share_waiting(ROOT)), (64, 128));
    }
}

//! What development keys leave on a device, and how the end of the hold takes it back: values in, values out.

use super::journal::{AppJournal, AppMove, BeforeDevelopment, Generation};
use crate::bundle::ServiceName;
use std::collections::BTreeSet;

impl AppJournal {
    /// Before an app is changed to a generation of a development key for the first time: what is there is remembered.
    /// `data` are the names in the app's folder for data, as [`BeforeDevelopment::data`] has them.
    #[must_use]
    pub fn before_development(&self, app: &ServiceName, data: BTreeSet<String>) -> AppJournal {
        let mut next = self.clone();
        let generation = self.live.get(app).filter(|generation| !generation.development).cloned();
        let before = BeforeDevelopment { generation, data };
        next.develop.entry(app.clone()).or_insert(before);
        next
    }

    /// The moves that bring back what ran before development keys had a part: none where nothing of theirs runs.
    pub fn without_development(&self) -> Vec<AppMove> {
        let developed = self.live.iter().filter(|(_, generation)| generation.development);
        developed
            .map(|(app, generation)| AppMove {
                app: app.clone(),
                from: Some(generation.clone()),
                to: self.before(app),
            })
            .collect()
    }

    fn before(&self, app: &ServiceName) -> Option<Generation> {
        let kept = self.previous.get(app).into_iter().flatten().rev();
        let newest = kept.clone().find(|generation| !generation.development).cloned();
        match self.develop.get(app) {
            Some(before) => before.generation.clone(),
            None => newest,
        }
    }

    /// The same once nothing of development keys runs: none of their generations can be returned to, and nothing is
    /// remembered of the time before.
    #[must_use]
    pub fn forgetting_development(&self) -> AppJournal {
        let mut next = self.clone();
        next.develop.clear();
        for kept in next.previous.values_mut() {
            kept.retain(|generation| !generation.development);
        }
        next.previous.retain(|_, kept| !kept.is_empty());
        // The set of a system that does not run now is without them, too, when it runs again.
        let of = |app: &ServiceName| self.before(app);
        for set in next.sets.iter_mut().flatten() {
            let developed: Vec<ServiceName> =
                set.iter().filter(|(_, g)| g.development).map(|(app, _)| app.clone()).collect();
            for app in developed {
                match of(&app) {
                    Some(generation) => set.insert(app, generation),
                    None => set.remove(&app),
                };
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, SlotId};
    use std::collections::BTreeMap;

    fn generation(n: u8, development: bool) -> Generation {
        Generation {
            digest: Digest([n; 32]),
            version: format!("{n}").parse().unwrap(),
            release_counter: u64::from(n),
            config: BTreeMap::new(),
            development,
            keep: 1,
        }
    }

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[test]
    fn the_end_of_development_is_what_was_there_before_it_however_often_was_pushed() {
        let (shop, new) = (name("shop"), name("new"));
        let mut journal = AppJournal::default();
        journal.live.insert(shop.clone(), generation(1, false));
        let data = BTreeSet::from(["volumes".to_owned(), "volumes/db".to_owned()]);
        let mut journal = journal.before_development(&shop, data.clone());
        journal.live.insert(shop.clone(), generation(2, true));
        // A second push knows nothing of the time before the first.
        let journal = journal.before_development(&shop, BTreeSet::new());
        assert_eq!(journal.develop[&shop].data, data);
        let mut journal = journal.before_development(&new, BTreeSet::new());
        journal.live.insert(shop.clone(), generation(3, true));
        journal.live.insert(new.clone(), generation(4, true));
        journal.live.insert(name("other"), generation(5, false));
        // What ran before was pushed out of what can be returned to, and is needed all the same.
        journal.previous.insert(shop.clone(), vec![generation(2, true)]);
        assert!(journal.needed().contains(&(shop.clone(), Digest([1; 32]))));
        let moves = journal.without_development();
        let of = |app: &str| moves.iter().find(|m| m.app.as_str() == app).unwrap().to.clone();
        assert_eq!(moves.len(), 2);
        assert_eq!((of("shop"), of("new")), (Some(generation(1, false)), None));
        journal.sets[usize::from(SlotId::B == SlotId::A)] = Some(journal.live.clone());
        let after = journal.forgetting_development();
        assert!(after.previous.is_empty() && after.develop.is_empty());
        let set = after.sets.iter().flatten().next().unwrap();
        assert_eq!(set.get(&shop), Some(&generation(1, false)));
        assert!(!set.contains_key(&new) && set.contains_key(&name("other")));
    }

    #[test]
    fn a_release_that_a_release_key_signed_in_the_end_stays() {
        let shop = name("shop");
        let mut journal = AppJournal::default().before_development(&shop, BTreeSet::new());
        journal.live.insert(shop.clone(), generation(9, false));
        assert!(journal.without_development().is_empty());
    }
}

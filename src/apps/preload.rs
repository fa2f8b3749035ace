//! Which bundles that lie ready on the device are installed, and which of them together: values in, values out.

use super::{AppJournal, AppSet};
use crate::bundle::ServiceName;
use crate::model::{Digest, Identifier};
use std::collections::{BTreeMap, BTreeSet};

/// What is done with bundles that lie ready.
#[derive(Debug, Default)]
pub struct PreloadPlan<H> {
    /// Each is one change: bundles that require each other.
    pub together: Vec<Vec<H>>,
    /// Those for which nothing is to be done, now and later.
    pub settled: BTreeSet<Digest>,
}

/// What is asked of a bundle here.
pub trait Preloaded {
    /// The app.
    fn app(&self) -> &ServiceName;
    /// SHA-256 of its manifest.
    fn digest(&self) -> Digest;
    /// Orders releases.
    fn counter(&self) -> u64;
    /// What others may require of it.
    fn provides(&self) -> &[Identifier];
    /// What it requires of others.
    fn requires(&self) -> &[Identifier];
}

/// Bundles that were not taken before, of apps that are not in the `set` that shall run; of several releases of an app the
/// newest one. An app that is there was installed by somebody, and what lies here does not come in its place later.
pub fn plan_preloads<H: Preloaded>(
    journal: &AppJournal,
    set: &AppSet,
    found: Vec<H>,
) -> PreloadPlan<H> {
    let mut plan = PreloadPlan { together: Vec::new(), settled: BTreeSet::new() };
    let mut newest = BTreeMap::<ServiceName, H>::new();
    for one in found.into_iter().filter(|one| !journal.preloaded.contains(&one.digest())) {
        let other = newest.get(one.app()).map(|other| (other.counter(), other.digest()));
        if set.contains_key(one.app()) || other.is_some_and(|other| other.0 >= one.counter()) {
            plan.settled.insert(one.digest());
            continue;
        }
        plan.settled.extend(other.map(|other| other.1));
        newest.insert(one.app().clone(), one);
    }
    for one in newest.into_values() {
        let meets = |a: &H, b: &H| a.requires().iter().any(|r| b.provides().contains(r));
        let is_near = |group: &Vec<H>| group.iter().any(|o| meets(&one, o) || meets(o, &one));
        let (near, far) = plan.together.into_iter().partition::<Vec<_>, _>(is_near);
        plan.together = far;
        let mut group: Vec<H> = near.into_iter().flatten().collect();
        group.push(one);
        plan.together.push(group);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct One(ServiceName, u8, Vec<Identifier>, Vec<Identifier>);

    impl Preloaded for One {
        fn app(&self) -> &ServiceName {
            &self.0
        }
        fn digest(&self) -> Digest {
            Digest([self.1; 32])
        }
        fn counter(&self) -> u64 {
            self.1.into()
        }
        fn provides(&self) -> &[Identifier] {
            &self.2
        }
        fn requires(&self) -> &[Identifier] {
            &self.3
        }
    }

    fn one(app: &str, n: u8, provides: &[&str], requires: &[&str]) -> One {
        let all = |of: &[&str]| of.iter().map(|t| t.parse().unwrap()).collect();
        One(app.parse().unwrap(), n, all(provides), all(requires))
    }

    #[test]
    fn bundles_that_require_each_other_are_one_change_and_others_are_their_own() {
        let all = vec![
            one("web", 1, &[], &["db"]),
            one("alone", 2, &[], &["something-else"]),
            one("base", 3, &["db"], &[]),
            one("report", 4, &["r"], &["db"]),
        ];
        let plan = plan_preloads(&AppJournal::default(), &AppSet::new(), all);
        let mut groups: Vec<Vec<&str>> =
            plan.together.iter().map(|g| g.iter().map(|o| o.0.as_str()).collect()).collect();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort();
        assert_eq!(groups, [vec!["alone"], vec!["base", "report", "web"]]);
        assert!(plan.settled.is_empty());
    }

    #[test]
    fn what_was_taken_once_or_is_there_does_not_come_again() {
        let mut journal = AppJournal::default();
        journal.preloaded.insert(Digest([1; 32]));
        let set = AppSet::from([(
            "there".parse().unwrap(),
            crate::apps::Generation {
                digest: Digest([9; 32]),
                version: "1".parse().unwrap(),
                release_counter: 1,
                config: BTreeMap::new(),
                development: false,
                keep: 1,
            },
        )]);
        let all = vec![
            one("removed", 1, &[], &[]),
            one("there", 2, &[], &[]),
            one("new", 3, &[], &[]),
            one("new", 5, &[], &[]),
            one("new", 4, &[], &[]),
        ];
        let plan = plan_preloads(&journal, &set, all);
        assert_eq!(plan.together.len(), 1);
        assert_eq!(plan.together[0][0].1, 5);
        assert_eq!(plan.settled, BTreeSet::from([2, 3, 4].map(|n| Digest([n; 32]))));
    }
}

//! Which bundles that lie ready on the device are installed, and which of them together: values in, values out.

use super::{AppJournal, AppSet, BundleHead};
use crate::bundle::ServiceName;
use crate::model::{Digest, Identifier};
use std::collections::{BTreeMap, BTreeSet};

/// What is done with bundles that lie ready.
#[derive(Debug, Default)]
pub struct PreloadPlan {
    /// Each is one change: bundles that require each other.
    pub together: Vec<Vec<ReadyBundle>>,
    /// Those for which nothing is to be done, now and later.
    pub settled: BTreeSet<Digest>,
}

/// What is asked of a bundle here.
#[derive(Debug, Clone)]
pub struct ReadyBundle {
    /// The app.
    pub app: ServiceName,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// Orders releases.
    pub counter: u64,
    /// What others may require of it.
    pub provides: Vec<Identifier>,
    /// What it requires of others.
    pub requires: Vec<Identifier>,
}

impl ReadyBundle {
    /// What is asked of it, of its head.
    pub fn of(head: &BundleHead) -> ReadyBundle {
        ReadyBundle {
            app: head.app().clone(),
            digest: head.digest(),
            counter: head.release().manifest.release_counter,
            provides: head.document().provides.clone(),
            requires: head.document().requires.clone(),
        }
    }
}

/// Bundles that were not taken before, of apps that are not in the `set` that shall run; of several releases of an app the
/// newest one. An app that is there was installed by somebody, and what lies here does not come in its place later.
pub fn plan_preloads(journal: &AppJournal, set: &AppSet, found: Vec<ReadyBundle>) -> PreloadPlan {
    let mut plan = PreloadPlan::default();
    let mut newest = BTreeMap::<ServiceName, ReadyBundle>::new();
    for one in found.into_iter().filter(|one| !journal.preloaded.contains(&one.digest)) {
        let other = newest.get(&one.app).map(|other| (other.counter, other.digest));
        if set.contains_key(&one.app) || other.is_some_and(|other| other.0 >= one.counter) {
            plan.settled.insert(one.digest);
            continue;
        }
        plan.settled.extend(other.map(|other| other.1));
        newest.insert(one.app.clone(), one);
    }
    for one in newest.into_values() {
        let meets = |a: &ReadyBundle, b: &ReadyBundle| {
            a.requires.iter().any(|required| b.provides.contains(required))
        };
        let is_near =
            |group: &Vec<ReadyBundle>| group.iter().any(|o| meets(&one, o) || meets(o, &one));
        let (near, far) = plan.together.into_iter().partition::<Vec<_>, _>(is_near);
        plan.together = far;
        let mut group: Vec<ReadyBundle> = near.into_iter().flatten().collect();
        group.push(one);
        plan.together.push(group);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(app: &str, n: u8, provides: &[&str], requires: &[&str]) -> ReadyBundle {
        let all = |of: &[&str]| of.iter().map(|t| t.parse().unwrap()).collect();
        let (digest, counter) = (Digest([n; 32]), n.into());
        let (provides, requires) = (all(provides), all(requires));
        ReadyBundle { app: app.parse().unwrap(), digest, counter, provides, requires }
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
            plan.together.iter().map(|g| g.iter().map(|o| o.app.as_str()).collect()).collect();
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
        assert_eq!(plan.together[0][0].counter, 5);
        assert_eq!(plan.settled, BTreeSet::from([2, 3, 4].map(|n| Digest([n; 32]))));
    }
}

//! Which file uses which: every path of the code is followed through imports and re-exports to the
//! file that defines what it names.

use super::scan::{Import, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A module path below the crate: `["disk", "gpt"]`.
type Module = Vec<String>;

/// Files and the files that they use.
pub(crate) struct Graph {
    files: BTreeMap<Module, File>,
    /// Per file the files that it uses, with the names.
    edges: BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>,
}

struct File {
    path: PathBuf,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

impl Graph {
    /// Reads the graph of all `sources` (path relative to `src/`, and text).
    pub(crate) fn new(sources: &[(PathBuf, String)]) -> Graph {
        let read: Vec<Source> = sources.iter().map(|(p, t)| Source::new(p, t)).collect();
        let mut graph = Graph { files: BTreeMap::new(), edges: BTreeMap::new() };
        for (source, (path, _)) in read.iter().zip(sources) {
            let file =
                File { path: path.clone(), items: source.items(), imports: source.imports() };
            graph.files.insert(source.module().to_vec(), file);
        }
        for (source, (path, _)) in read.iter().zip(sources) {
            let modules = graph.files.keys().cloned().collect();
            let mut used: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
            for named in source.paths(&modules) {
                if let Some((file, name)) = graph.definer(&named, 0) {
                    used.entry(file).or_default().insert(name);
                }
            }
            used.remove(path);
            graph.edges.insert(path.clone(), used);
        }
        graph
    }

    /// The file that defines what `path` names, and the item's name; none for a module as such and for what is not ours.
    fn definer(&self, path: &[String], depth: usize) -> Option<(PathBuf, String)> {
        let mut at = 0;
        while at < path.len() && self.files.contains_key(&path[..=at]) {
            at += 1;
        }
        let (module, rest) = path.split_at(at);
        let (file, name) = (self.files.get(module)?, rest.first()?);
        if file.items.contains(name) || depth > 8 {
            return Some((file.path.clone(), name.clone()));
        }
        let through = |import: &Import| {
            let named = import.name == *name;
            let whole = import.name == "*";
            let rest = if named { &rest[1..] } else { rest };
            let target = [&import.path[..], rest].concat();
            (named || whole).then(|| self.definer(&target, depth + 1)).flatten()
        };
        file.imports.iter().find_map(through).or_else(|| {
            // A name made by a macro, or of another crate.
            let known = file.imports.iter().any(|i| i.name == *name);
            (!known).then(|| (file.path.clone(), name.clone()))
        })
    }

    /// Groups of files that reach each other, largest first.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<PathBuf>> {
        let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
            self.edges.keys().map(|from| (from, self.reached(from))).collect();
        let mut found: Vec<BTreeSet<PathBuf>> = Vec::new();
        for (file, there) in &reach {
            let back = |other: &&&PathBuf| reach.get(**other).is_some_and(|r| r.contains(file));
            let circle: BTreeSet<PathBuf> =
                there.iter().filter(back).map(|p| (*p).clone()).collect();
            if circle.len() > 1 && !found.contains(&circle) {
                found.push(circle);
            }
        }
        found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        found
    }

    /// How many uses there are between files, and how many of them cross from room to room.
    pub(crate) fn edges(&self) -> (usize, usize) {
        let room = |path: &PathBuf| path.components().next().map(|c| c.as_os_str().to_owned());
        let all = || self.edges.iter().flat_map(|(from, to)| to.keys().map(move |to| (from, to)));
        (all().count(), all().filter(|(from, to)| room(from) != room(to)).count())
    }

    fn reached(&self, from: &PathBuf) -> BTreeSet<&PathBuf> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for used in self.edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(used) {
                    next.push(used);
                }
            }
        }
        seen
    }

    /// One line for each use between two files of `circle`.
    pub(crate) fn uses_in(&self, circle: &BTreeSet<PathBuf>) -> Vec<String> {
        let mut lines = Vec::new();
        for file in circle {
            for (used, names) in self.edges.get(file).into_iter().flatten() {
                if circle.contains(used) {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    lines.push(format!(
                        "  {} uses {} for {}",
                        file.display(),
                        used.display(),
                        names.join(", ")
                    ));
                }
            }
        }
        lines
    }
}

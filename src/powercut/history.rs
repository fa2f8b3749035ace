//! What was done to the media in a story, deed by deed: when it began, when it had returned, and
//! from when on a flush vouched for it.

use super::deed::{Deed, Inode, Op};
use super::folder::Folder;
use super::log::{Act, Line};
use super::phase::Phases;
use crate::model::Result;
use std::collections::{BTreeMap, HashMap};

/// A moment that never came.
const NEVER: usize = usize::MAX;

/// All deeds of a story.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) ops: Vec<Op>,
    /// The state folder at the beginning.
    pub(super) names: BTreeMap<String, Inode>,
    pub(super) contents: Vec<Vec<u8>>,
    /// Names as the running program sees them.
    view: BTreeMap<String, Inode>,
    now: usize,
}

impl History {
    /// A history that begins with these files.
    pub(super) fn new(files: &BTreeMap<String, Vec<u8>>) -> History {
        let mut history = History::default();
        for (name, content) in files {
            history.names.insert(name.clone(), history.contents.len());
            history.contents.push(content.clone());
        }
        history.view = history.names.clone();
        history
    }

    /// The moment that has not come yet.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Adds the log of one command.
    pub(super) fn add(
        &mut self,
        folder: &Folder,
        lines: Vec<Line>,
        phases: &mut Phases,
    ) -> Result<()> {
        let mut open: HashMap<u64, usize> = HashMap::new();
        let mut flushing: HashMap<u64, Vec<usize>> = HashMap::new();
        for line in lines {
            match line {
                Line::Begin(id, act) => match &act {
                    Act::Sync(path) | Act::Folder(path) => {
                        flushing.insert(id, self.vouched(folder, path, &act));
                    }
                    _ => {
                        if let Some(op) = self.begin(folder, act, phases)? {
                            open.insert(id, self.ops.len());
                            self.ops.push(op);
                        }
                    }
                },
                Line::End(id) => {
                    if let Some(op) = open.get(&id) {
                        self.ops[*op].end = self.now;
                    }
                    for op in flushing.remove(&id).unwrap_or_default() {
                        let durable = &mut self.ops[op].durable;
                        *durable = (*durable).min(self.now);
                    }
                }
            }
            self.now += 1;
        }
        Ok(())
    }

    /// An orderly reboot keeps the power on: nothing is lost in it.
    pub(super) fn all_lands(&mut self) {
        for op in &mut self.ops {
            (op.end, op.durable) = (op.end.min(self.now), op.durable.min(self.now));
        }
        self.now += 1;
    }

    /// What a flush of `path` vouches for: what had returned before it began.
    fn vouched(&self, folder: &Folder, path: &str, act: &Act) -> Vec<usize> {
        let inode = folder.state_name(path).and_then(|name| self.view.get(&name).copied());
        let disk = folder.is_disk(path);
        let names = matches!(act, Act::Folder(_)) && folder.is_state(path);
        let mine = |op: &Op| match &op.deed {
            Deed::Disk { .. } => disk,
            Deed::Empty(i) | Deed::Content { inode: i, .. } => Some(*i) == inode,
            Deed::Make(..) | Deed::Move(..) => names,
        };
        let all = self.ops.iter().enumerate();
        all.filter(|(_, op)| op.end < self.now && mine(op)).map(|(n, _)| n).collect()
    }

    /// The deed that begins; `None` for what is no part of the device's memory (`run/`, a lock).
    fn begin(&mut self, folder: &Folder, act: Act, phases: &mut Phases) -> Result<Option<Op>> {
        let deed = match act {
            Act::Write { at, bytes, path } if folder.is_disk(&path) => Deed::Disk { at, bytes },
            Act::Zero { at, len, path } if folder.is_disk(&path) => {
                Deed::Disk { at, bytes: vec![0; super::small(len)].into() }
            }
            Act::Write { at, bytes, path } => match folder.state_name(&path) {
                Some(name) => {
                    let inode = self.inode(&name)?;
                    Deed::Content { inode, at: super::small(at), bytes }
                }
                None => return Ok(None),
            },
            Act::Create(path) => match folder.state_name(&path) {
                Some(name) => match self.view.get(&name) {
                    Some(inode) => Deed::Empty(*inode),
                    None => {
                        self.contents.push(Vec::new());
                        self.view.insert(name.clone(), self.contents.len() - 1);
                        Deed::Make(name, self.contents.len() - 1)
                    }
                },
                None => return Ok(None),
            },
            Act::Rename(from, to) => match (folder.state_name(&from), folder.state_name(&to)) {
                (Some(from), Some(to)) => {
                    let inode = self.inode(&from)?;
                    self.view.remove(&from);
                    self.view.insert(to.clone(), inode);
                    Deed::Move(from, to)
                }
                _ => return Ok(None),
            },
            Act::Zero { .. } | Act::Sync(_) | Act::Folder(_) => return Ok(None),
        };
        let file = match &deed {
            Deed::Content { inode, .. } | Deed::Empty(inode) => self.called(*inode),
            Deed::Make(name, _) | Deed::Move(_, name) => name.clone(),
            Deed::Disk { .. } => String::new(),
        };
        let (phase, told) = phases.of(&deed, &file);
        let op = Op { deed, begin: self.now, end: NEVER, durable: NEVER, phase, told };
        Ok(Some(op))
    }

    fn inode(&self, name: &str) -> Result<Inode> {
        let found = self.view.get(name).copied();
        found.ok_or_else(|| super::broken("write log", format!("{name} was never made")))
    }

    fn called(&self, inode: Inode) -> String {
        let found = self.view.iter().find(|(_, i)| **i == inode);
        found.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

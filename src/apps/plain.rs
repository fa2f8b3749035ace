//! One generation of an app without a container engine, and what its units and programs are told.

use super::trees::tree_folder;
use super::{AppContext, Generation};
use crate::bundle::AppDocument;
use crate::model::{Digest, ReasonCode, printable};
use crate::sys::process::{Ending, Finished};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One generation of an app that is no containers.
pub(super) struct PlainApp<'a> {
    pub(super) ctx: &'a AppContext<'a>,
    pub(super) document: &'a AppDocument,
    pub(super) generation: &'a Generation,
    /// Variables of the device, endpoints and configuration.
    pub(super) variables: BTreeMap<String, String>,
    /// The generation on the other side of the change.
    pub(super) previous: Option<Digest>,
    /// The app's folder for data.
    pub(super) data: PathBuf,
    /// The app's folder for what is gone after a reboot.
    pub(super) run: PathBuf,
}

/// What a look at it has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlainHealth {
    /// All is well.
    Well,
    /// It is too early to say.
    NotYet(String),
    /// It is not well.
    Bad(ReasonCode, String),
}

impl PlainApp<'_> {
    /// Its tree.
    pub(super) fn tree(&self) -> PathBuf {
        tree_folder(&self.data, &self.generation.digest)
    }

    /// The path by which units and people reach the tree of the generation that runs.
    pub(super) fn root(&self) -> PathBuf {
        self.run.join("root")
    }

    /// The folder that outlives generations.
    pub(super) fn own_data(&self) -> PathBuf {
        self.data.join("data")
    }

    /// What every unit and program finds in its environment.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let shown = |path: PathBuf| path.display().to_string();
        let mut all = self.variables.clone();
        for (name, value) in [
            ("SUREFOOT_APP", self.document.app.to_string()),
            ("SUREFOOT_APP_VERSION", self.generation.version.to_string()),
            ("SUREFOOT_APP_DIGEST", self.generation.digest.to_string()),
            ("SUREFOOT_APP_TREE", shown(self.tree())),
            ("SUREFOOT_APP_DATA", shown(self.own_data())),
            (
                "SUREFOOT_APP_PREVIOUS_TREE",
                self.previous.map_or_else(String::new, |d| shown(tree_folder(&self.data, &d))),
            ),
        ] {
            all.insert(name.to_owned(), value);
        }
        all
    }
}

/// Why a program that has ended did not do what it was asked for: how it ended, and its last line.
pub(super) fn last_words(done: &Finished) -> String {
    let how = match done.ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
        Ending::Deadline => "its time was over".to_owned(),
        Ending::Stopped => "it was ended with the work that it was a part of".to_owned(),
    };
    let text =
        [&done.stderr, &done.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let lines = text.iter().filter_map(|text| text.lines().rfind(|line| !line.trim().is_empty()));
    match lines.map(|line| printable(line.trim(), 300)).next() {
        Some(line) => format!("{line} ({how})"),
        None => how,
    }
}

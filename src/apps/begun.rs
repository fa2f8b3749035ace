//! Apps without a container engine: what is the same for units of systemd (`native`) and for a program of the image
//! (`command`). What was begun in this boot stands in one volatile file of the app, written before the deed, so that a
//! start that was cut is stopped before another generation is started, and nothing is taken for started after a reboot.

use super::plain::{PlainApp, PlainHealth};
use super::trees::{check_tree, lay_tree, open_folder, point};
use super::{command, native};
use crate::bundle::AppKind;
use crate::event::Event;
use crate::model::{Digest, ReasonCode, Result, WithReason};
use crate::sys::{durable, files, tree};
use std::io::Read;

/// A stop that fails so often does not hold up what shall run in its place.
const STOPS_MAX: u32 = 3;

/// The file that says what was begun.
const MARK: &str = "begun";

/// How far a generation has come in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It was not started, or stopped since.
    No,
    /// A start was begun, or a stop has failed so often.
    Partly(u32),
    /// It was started to the end.
    Whole,
}

impl PlainApp<'_> {
    /// Whether this device can run it at all. Looks, and changes nothing.
    pub(super) fn admit(&self) -> Result<()> {
        match self.document.kind {
            AppKind::Containers => Ok(()),
            AppKind::Native => native::admit(self),
            AppKind::Command => command::admit(self),
        }
    }

    /// Lays its files down, and has it prepared. What runs goes on.
    pub(super) fn stage(&self, files: &mut dyn Read) -> Result<()> {
        lay_tree(&self.data, &self.generation.digest, self.document.files(), files)?;
        match self.document.kind {
            AppKind::Containers => Ok(()),
            AppKind::Native => native::units(self).map(drop),
            AppKind::Command => command::prepare(self),
        }
    }

    /// How far it has come in this boot.
    pub(super) fn begun(&self) -> Begun {
        let text = files::read_own(&self.run.join(MARK), 256).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let Some(rest) = text.strip_prefix(&self.key()) else { return Begun::No };
        match rest.trim() {
            "started" => Begun::Whole,
            stops => Begun::Partly(stops.parse().unwrap_or(0)),
        }
    }

    /// This generation with what was set for it.
    fn key(&self) -> String {
        let config = format!("{:?}", self.generation.config);
        format!("{} {} ", self.generation.digest, Digest::of(config.as_bytes()).short())
    }

    fn mark(&self, word: &str) -> Result<()> {
        durable::publish(&self.run.join(MARK), format!("{}{word}", self.key()).as_bytes())
    }

    /// Starts it, or what of it does not run.
    pub(super) fn start(&self) -> Result<()> {
        for folder in [&self.run, &self.own_data()] {
            open_folder(folder)?;
        }
        self.compare()?;
        point(&self.root(), &self.tree())?;
        if self.begun() != Begun::Whole {
            self.mark("0")?;
        }
        match self.document.kind {
            AppKind::Containers => {}
            AppKind::Native => native::start(self)?,
            AppKind::Command => command::start(self)?,
        }
        self.mark("started")
    }

    /// Compares its tree with what was signed, once in each boot.
    fn compare(&self) -> Result<()> {
        let seen = self.run.join("compared");
        let word = self.generation.digest.to_string();
        if files::read_own(&seen, 256).is_ok_and(|there| there == word.as_bytes()) {
            return Ok(());
        }
        if !self.document.files().is_empty() {
            check_tree(&self.tree(), self.document.files())?;
        }
        durable::publish(&seen, word.as_bytes())
    }

    /// Looks how it is; in a trial, systemd may have started units again as often as the document says.
    pub(super) fn check(&self, trial: bool) -> Result<PlainHealth> {
        match self.document.kind {
            AppKind::Containers => Ok(PlainHealth::Well),
            AppKind::Native => native::check(self, trial),
            AppKind::Command => command::check(self),
        }
    }

    /// Stops it, where it was begun. After some failures it counts as stopped: what shall run in its place is worth more
    /// than the order.
    pub(super) fn stop(&self) -> Result<()> {
        let stops = match self.begun() {
            Begun::No => return Ok(()),
            Begun::Partly(stops) => stops,
            Begun::Whole => 0,
        };
        let stopped = match self.document.kind {
            AppKind::Containers => Ok(()),
            AppKind::Native => native::stop(self),
            AppKind::Command => command::stop(self),
        };
        match stopped {
            Err(failure) if stops + 1 < STOPS_MAX => {
                self.mark(&(stops + 1).to_string())?;
                return Err(failure);
            }
            Err(failure) => {
                let app = &self.document.app;
                let text = format!("{app} could not be stopped {STOPS_MAX} times: {failure}");
                self.ctx.sink.emit(&Event::Warning { text });
            }
            Ok(()) => {}
        }
        tree::clear(&self.run.join(MARK)).reason(ReasonCode::Io, "a mark of an app")
    }

    /// Tells it that the app leaves the device. It is stopped, and its last tree is still here.
    pub(super) fn remove(&self) -> Result<()> {
        match self.document.kind {
            AppKind::Command => command::remove(self),
            AppKind::Containers | AppKind::Native => Ok(()),
        }
    }
}

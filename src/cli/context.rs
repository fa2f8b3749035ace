//! What a verb runs in: where the configuration is, how it answers, and who is asked.

use super::end::{End, Printed};
use super::progress::Narrator;
use super::render;
use crate::config::{Settings, Where, load};
use crate::device;
use crate::event::{Event, Sink};
use crate::inspect::Diagnosis;
use crate::model::{Failure, ReasonCode, Result};
use crate::request::{Client, Request, Response, find};
use std::path::{Path, PathBuf};

/// Judges the image of a disk; with `true` also what of it belongs on a developer's bench.
pub type LookAtImage = fn(&Path, bool, &dyn Sink) -> Result<Diagnosis>;

pub(super) struct Context {
    /// Where the configuration is looked for.
    pub(super) place: Where,
    /// Whether a file was named for it.
    pub(super) named: bool,
    /// Whether it answers as JSON.
    pub(super) json: bool,
    /// Where events are told.
    pub(super) sink: Narrator,
    /// What judges an image, where this program can.
    pub(super) image: Option<LookAtImage>,
}

impl Context {
    pub(super) fn new(config: Option<PathBuf>, json: bool) -> Context {
        let named = config.is_some();
        let place = config.map_or_else(|| Where::Folders("/".into()), Where::File);
        Context { place, named, json, sink: Narrator::new(json), image: None }
    }

    pub(super) fn settings(&self) -> Result<Settings> {
        Ok(load(&self.place)?.settings)
    }

    /// The daemon, or this process.
    pub(super) fn client(&self) -> Result<Box<dyn Client + '_>> {
        find(&self.place, None, &self.sink)
    }

    /// Asks, and prints the answer.
    pub(super) fn ask(&self, request: Request) -> Printed {
        Ok(self.print(&self.client()?.ask(request, &self.sink)?))
    }

    pub(super) fn print(&self, answer: &Response) -> String {
        render::response(answer, self.json)
    }

    pub(super) fn print_image(&self, diagnosis: Diagnosis) -> String {
        match self.json {
            true => self.print(&Response::Diagnosis(diagnosis)),
            false => render::image(&diagnosis),
        }
    }

    /// Has something done that changes which system runs. Where no daemon does it, the integrator's
    /// programs are told how the last move ended, before it and after it.
    pub(super) fn change(&self, act: impl FnOnce(&dyn Client) -> Printed) -> Printed {
        let client = self.client()?;
        self.aftermath(&*client);
        let printed = act(&*client);
        self.aftermath(&*client);
        printed
    }

    fn aftermath(&self, client: &dyn Client) {
        if let Some(world) = client.alone()
            && let Err(failure) = device::aftermath(world, &self.sink)
        {
            self.sink.emit(&Event::Warning { text: failure.to_string() });
        }
    }
}

/// Words that make no sense.
pub(super) fn usage(text: String) -> Failure {
    Failure::new(ReasonCode::Usage, text)
}

/// An answer that may say itself why no update is installed: then it is also told as a failure.
pub(super) fn refused(printed: String, why: Option<Failure>) -> Printed {
    match why {
        None => Ok(printed),
        Some(failure) => {
            render::complain(&failure);
            Err(End::Said(printed, failure.code()))
        }
    }
}

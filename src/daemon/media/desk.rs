//! Who judges and installs: the daemon if there is one, else this process.

use crate::daemon::Remote;
use crate::device::{
    self, Allowed, FileSource, Installation, Installed, Judgement, Order, Source, Then, World,
};
use crate::event::Sink;
use crate::inspect::{self, Status};
use crate::model::Result;
use crate::stick::Serving;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes of one artifact.
pub(super) enum Goods {
    /// A file.
    File(PathBuf),
    /// A child that reads a stick.
    Stick(Serving, String),
}

impl Goods {
    fn source(self) -> Result<Source> {
        Ok(match self {
            Goods::File(path) => Source::File(path),
            Goods::Stick(serving, name) => Source::Open(Arc::new(serving.open(&name)?)),
        })
    }
}

/// Whoever answers for the device.
pub(super) trait Desk {
    /// Where it stands.
    fn status(&self) -> Result<Status>;
    /// Whether an artifact would be installed, by its head.
    fn glance(&self, goods: Goods, sink: &dyn Sink) -> Result<Judgement>;
    /// Installs it; `by` is for the record. `anew`: also what a person has cancelled.
    fn install(&self, goods: Goods, by: &str, anew: bool, sink: &dyn Sink) -> Result<Installed>;
    /// Whether a trial is decided without a person.
    fn decides(&self) -> bool;
}

impl Desk for World {
    fn status(&self) -> Result<Status> {
        inspect::status(self)
    }

    fn glance(&self, goods: Goods, _: &dyn Sink) -> Result<Judgement> {
        device::glance(self, goods.source()?)
    }

    fn install(&self, goods: Goods, by: &str, anew: bool, sink: &dyn Sink) -> Result<Installed> {
        let ask = Installation {
            source: goods.source()?,
            then: Then::Switch,
            allowed: Allowed::default(),
            order: Order { by: by.to_owned(), automatic: true, ..Order::default() },
            hold_ok: false,
            anew,
            path: None,
            only: None,
            dry_run: false,
        };
        device::install(self, ask, sink)
    }

    fn decides(&self) -> bool {
        false
    }
}

impl Desk for Remote {
    fn status(&self) -> Result<Status> {
        self.ask("/v1/status")
    }

    fn glance(&self, goods: Goods, sink: &dyn Sink) -> Result<Judgement> {
        self.hand("/v1/judge?head=1", &goods, sink)
    }

    fn install(&self, goods: Goods, by: &str, anew: bool, sink: &dyn Sink) -> Result<Installed> {
        let anew = if anew { "&retry_cancelled=1" } else { "" };
        self.hand(&format!("/v1/install?by={by}&automatic=1{anew}"), &goods, sink)
    }

    fn decides(&self) -> bool {
        true
    }
}

impl Remote {
    fn hand<T: serde::de::DeserializeOwned>(
        &self,
        target: &str,
        goods: &Goods,
        sink: &dyn Sink,
    ) -> Result<T> {
        match goods {
            Goods::File(path) => {
                let file: File = FileSource::open(path)?.into();
                self.act(target, Some(file.as_fd()), sink)
            }
            Goods::Stick(serving, _) => self.act(target, Some(serving.socket()), sink),
        }
    }
}

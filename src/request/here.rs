//! This process answers: what each request does on the device.

use super::UNREASONED;
use super::bring::{artifact, install};
use super::client::Client;
use super::daemon::Daemon;
use super::query::usage;
#[cfg(feature = "apps")]
use super::response::LogLine;
use super::response::{History, Response, Said, Verified, Version};
use super::table::Request;
use crate::config::{Settings, Where, load};
use crate::device::{self, Installation, World};
use crate::event::Sink;
use crate::inspect;
use crate::model::{ReasonCode, Result};
use crate::source::Source;
use crate::update::{Allowed, Drill, Order, Reboot, Then};
use serde_json::{Value, json};
use std::cell::OnceCell;

/// The device, opened by this process when it is needed.
pub struct Here<'a> {
    place: &'a Where,
    by: String,
    /// `None` where no daemon looks after the device.
    equip: Option<&'a dyn Fn(&mut World)>,
    told: Value,
    world: OnceCell<World>,
}

impl<'a> Here<'a> {
    /// In a process without a daemon beside it.
    pub fn alone(place: &'a Where) -> Here<'a> {
        let (by, told) = (crate::sys::host::user(), json!(["no daemon runs"]));
        Here { place, by, equip: None, told, world: OnceCell::new() }
    }

    /// In the daemon, which asks for `by`; `equip` gives the world what it runs programs with.
    pub fn in_daemon(place: &'a Where, by: String, equip: &'a dyn Fn(&mut World)) -> Here<'a> {
        Here { place, by, equip: Some(equip), told: Value::Null, world: OnceCell::new() }
    }

    /// The same, with what a report is to say of events.
    #[must_use]
    pub fn telling(self, told: Value) -> Here<'a> {
        Here { told, ..self }
    }

    /// The same, where somebody else than this user stands in the record.
    #[must_use]
    pub(super) fn speaking_for(self, by: Option<&str>) -> Here<'a> {
        Here { by: by.map_or(self.by, str::to_owned), ..self }
    }

    /// Opens the device, for whatever is asked from now on.
    pub(super) fn open(&self, settings: Settings) -> Result<&World> {
        let mut world = World::open(settings)?;
        world.asked_by = Some(self.by.clone());
        self.equip(&mut world);
        Ok(self.world.get_or_init(|| world))
    }

    fn world(&self) -> Result<&World> {
        match self.world.get() {
            Some(world) => Ok(world),
            None => self.open(self.settings()?),
        }
    }

    fn settings(&self) -> Result<Settings> {
        Ok(load(self.place)?.settings)
    }

    fn equip(&self, world: &mut World) {
        if let Some(equip) = self.equip {
            equip(world);
        }
    }

    /// Answered also where the device cannot be opened. What may not be read is unknown, and no
    /// finding.
    fn doctor(&self, sink: &dyn Sink) -> Result<inspect::Diagnosis> {
        let settings = self.settings()?;
        if self.equip.is_none() {
            device::may_look(&settings)?;
        }
        Ok(inspect::doctor(settings, |world| self.equip(world), sink))
    }

    /// Answered also where the configuration cannot be read.
    fn report(&self) -> Result<Value> {
        if self.equip.is_none() {
            match load(self.place) {
                Ok(loaded) => device::may_look(&loaded.settings)?,
                Err(failure) if failure.code() == ReasonCode::NotAllowed => return Err(failure),
                Err(_) => {}
            }
        }
        Ok(inspect::report(self.place, self.told.clone(), |world| self.equip(world)))
    }
}

impl Client for Here<'_> {
    fn send(&self, request: Request, source: Option<Source>, sink: &dyn Sink) -> Result<Response> {
        let world = || self.world();
        let by = self.by.as_str();
        let why = |reason: Option<String>| reason.unwrap_or_else(|| UNREASONED.to_owned());
        Ok(match request {
            Request::Version => Response::Version(Version::own()),
            Request::Status => Response::Status(inspect::status(world()?)?),
            // The checks of a trial are looked at where no daemon watches them.
            Request::Why => Response::Why(device::why(world()?, self.equip.is_none(), sink)?),
            Request::History => {
                Response::History(History { v: 1, history: device::history(world()?)? })
            }
            Request::Doctor => Response::Diagnosis(self.doctor(sink)?),
            Request::Report => Response::Report(self.report()?),
            Request::Verify { slot } => {
                let slot = slot.map_or_else(|| world()?.booted(), Ok)?;
                let verdict = device::verify_slot(world()?, slot, sink)?;
                Response::Verified(Verified { v: 1, slot, verdict })
            }
            Request::Events { .. } => return Err(Daemon::missing(&self.settings()?.run)),
            Request::Install {
                stage,
                reboot,
                dry_run,
                hold_ok,
                allow_older: older,
                reinstall,
                retry_rolled_back,
                retry_cancelled,
                automatic,
                url,
                wait,
            } => {
                if stage && reboot == Some(Reboot::Now) {
                    let text = "`stage` arms nothing, so that there is nothing to reboot into now";
                    return Err(usage(text.to_owned()));
                }
                let world = world()?;
                let policy = if automatic { world.settings.reboot } else { Reboot::Asked };
                let reboot = reboot.unwrap_or(policy);
                let ask = Installation {
                    order: Order { by: by.to_owned(), automatic, reboot, drill: None },
                    hold_ok,
                    anew: retry_cancelled,
                    only: None,
                    url,
                    full: None,
                    expected: None,
                    then: if stage { Then::Stage } else { Then::Switch },
                    allowed: Allowed { older, reinstall, retry_rolled_back },
                    dry_run,
                    apps: None,
                };
                Response::Installed(install(world, ask, source, wait, sink)?)
            }
            Request::CheckUpdate => {
                let world = world()?;
                Response::Offering(device::check_update(world, &*world.web(), sink)?)
            }
            Request::Update { dry_run } => {
                let (world, by) = (world()?, by.to_owned());
                let order = Order { by, automatic: false, reboot: Reboot::Asked, drill: None };
                Response::Updated(device::update(world, &*world.web(), dry_run, order, sink)?)
            }
            Request::Judge { head } => {
                let (world, source) = (world()?, artifact(source)?);
                Response::Judgement(match head {
                    true => device::glance(world, source)?,
                    false => device::judge(world, source, sink)?,
                })
            }
            Request::Switch | Request::Confirm => Response::Answer(device::switch(world()?, sink)?),
            Request::Commit { force, reason } => {
                if force && reason.is_none() {
                    return Err(usage("`force` needs a `reason`, for the record".to_owned()));
                }
                let unchecked = reason.filter(|_| force).map(|why| device::signed(&why, by));
                Response::Answer(device::commit(world()?, unchecked, sink)?)
            }
            Request::Cancel { reason } => {
                Response::Cancellation(device::cancel(world()?, &why(reason), by, sink)?)
            }
            Request::Rollback { reason, retry_rolled_back } => {
                let why = device::signed(&why(reason), by);
                Response::Answer(device::rollback(world()?, &why, by, retry_rolled_back, sink)?)
            }
            Request::Hold { seconds, reason } => {
                let reason = reason.unwrap_or_default();
                Response::Hold(device::hold(world()?, seconds, &reason, by, sink)?)
            }
            Request::Unhold => {
                Response::Said(Said { v: 1, text: device::unhold(world()?, by, sink)? })
            }
            Request::Drill { kind } => {
                let kind = kind.unwrap_or(Drill::Unhealthy);
                Response::Answer(device::drill(world()?, kind, by, sink)?)
            }
            #[cfg(feature = "apps")]
            Request::AppsLogs { .. } => return Err(usage("logs are told in lines".to_owned())),
            #[cfg(feature = "apps")]
            apps => super::apps::answer(world()?, by, apps, source, sink)?,
        })
    }

    #[cfg(feature = "apps")]
    fn lines(&self, request: Request, line: &mut dyn FnMut(LogLine) -> bool) -> Result<()> {
        super::apps::lines(self.world()?, &request, line)
    }

    fn alone(&self) -> Option<&World> {
        self.world.get().filter(|_| self.equip.is_none())
    }
}

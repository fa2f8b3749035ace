//! What a visit asks of the device.

use crate::device::{Installed, Judgement};
use crate::event::{Nowhere, Sink};
use crate::inspect::Status;
use crate::model::Result;
use crate::request::{Client, Request};
use crate::source::Source;
use crate::update::Reboot;

/// Where it stands.
pub(super) fn status(desk: &dyn Client) -> Result<Status> {
    desk.ask(Request::Status, &Nowhere)?.try_into()
}

/// Whether an artifact would be installed, by its head.
pub(super) fn glance(desk: &dyn Client, source: Source, sink: &dyn Sink) -> Result<Judgement> {
    desk.send(Request::Judge { head: true }, Some(source), sink)?.try_into()
}

/// Installs one that nobody has asked for by its name. `anew`: also what a person has cancelled.
pub(super) fn install(
    desk: &dyn Client,
    source: Source,
    anew: bool,
    sink: &dyn Sink,
) -> Result<Installed> {
    let request = Request::Install {
        automatic: true,
        retry_cancelled: anew,
        // Without a daemon nobody reboots by itself.
        reboot: desk.alone().map(|_| Reboot::Asked),
        stage: false,
        dry_run: false,
        hold_ok: false,
        allow_older: false,
        reinstall: false,
        retry_rolled_back: false,
        url: None,
        wait: false,
    };
    desk.send(request, Some(source), sink)?.try_into()
}

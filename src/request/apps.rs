//! What requests about apps do on the device.

use super::query::usage;
use super::response::{LogLine, Response};
use super::table::Request;
use crate::apps::AppsStatus;
use crate::bundle::ServiceName;
use crate::device::{self, AppLogs, AppOrder, AppsWords, Installation, Installed, World};
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result, printable};
use crate::source::Source;
use crate::update::{Allowed, Order, Reboot, Then};
use std::collections::BTreeMap;

/// More than a configuration of an app has.
const VALUES_MAX: usize = 256;

fn named(app: Option<ServiceName>) -> Result<ServiceName> {
    app.ok_or_else(|| usage("`app` is missing".to_owned()))
}

/// `KEY=VALUE` on each line. A value may hold any character but a line feed.
fn values(text: Option<String>) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for line in text.unwrap_or_default().lines() {
        let (key, value) = line
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| usage(format!("`{line}` is not KEY=VALUE")))?;
        if values.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(usage(format!("`{key}` is given twice")));
        }
    }
    match values.len() <= VALUES_MAX {
        true => Ok(values),
        false => Err(usage(format!("at most {VALUES_MAX} values can be set at once"))),
    }
}

/// How the apps are, or one of them: `NO_SUCH_APP`.
fn status(world: &World, app: Option<ServiceName>) -> Result<AppsStatus> {
    let mut status = device::apps_status(world)?;
    if let Some(app) = app {
        status.apps.retain(|found| found.name == app);
        if status.apps.is_empty() {
            let text = format!("there is no app `{app}` here");
            return Err(Failure::new(ReasonCode::NoSuchApp, text));
        }
    }
    Ok(status)
}

/// What an installation of an app is asked.
fn installation(request: Request, by: &str) -> Result<(Installation, bool)> {
    let Request::AppsInstall {
        stage,
        force,
        dry_run,
        hold_ok,
        allow_older: older,
        reinstall,
        retry_rolled_back,
        automatic,
        values: text,
        url,
        wait,
    } = request
    else {
        return Err(Failure::new(ReasonCode::Internal, "it is no installation of an app"));
    };
    let ask = Installation {
        order: Order { by: by.to_owned(), automatic, reboot: Reboot::Asked, drill: None },
        hold_ok,
        anew: false,
        only: None,
        url,
        full: None,
        expected: None,
        then: if stage { Then::Stage } else { Then::Switch },
        allowed: Allowed { older, reinstall, retry_rolled_back },
        dry_run,
        apps: Some(AppsWords { force, values: values(text)? }),
    };
    Ok((ask, wait))
}

/// Has a request about apps done.
pub(super) fn answer(
    world: &World,
    by: &str,
    request: Request,
    source: Option<Source>,
    sink: &dyn Sink,
) -> Result<Response> {
    let order = |force, retry_rolled_back| AppOrder { by: by.to_owned(), force, retry_rolled_back };
    Ok(Response::AppsAnswer(match request {
        Request::Apps { app } => return Ok(Response::AppsStatus(status(world, app)?)),
        Request::AppsSwitch { force } => device::switch_apps(world, &order(force, false), sink)?,
        Request::AppsRollback { app, digest, force, retry_rolled_back } => {
            let order = order(force, retry_rolled_back);
            device::rollback_app(world, named(app)?, digest, &order, sink)?
        }
        Request::AppsConfigure { app, values: text, force } => {
            let (app, values) = (named(app)?, values(text)?);
            device::configure_app(world, app, values, &order(force, false), sink)?
        }
        Request::AppsStop { app } => device::stop_app(world, &named(app)?, by, sink)?,
        Request::AppsStart { app } => device::start_app(world, &named(app)?, by, sink)?,
        Request::AppsRemove { app, data, force } => {
            device::remove_app(world, named(app)?, data, &order(force, false), sink)?
        }
        install => {
            let (ask, wait) = installation(install, by)?;
            match super::bring::install(world, ask, source, wait, sink)? {
                Installed::Apps(answer) => answer,
                _ => return Err(Failure::new(ReasonCode::Internal, "it was no app")),
            }
        }
    }))
}

/// Gives each line that services have printed to `line`, until that listens no more.
pub(super) fn lines(
    world: &World,
    request: &Request,
    line: &mut dyn FnMut(LogLine) -> bool,
) -> Result<()> {
    let Request::AppsLogs { app, service, last, follow } = request else {
        return Err(Failure::new(ReasonCode::Internal, "it is no log"));
    };
    let (app, service) = (named(app.clone())?, service.clone());
    let last = last.map(|last| u32::try_from(last).unwrap_or(u32::MAX));
    let want = AppLogs { app, service, last, follow: *follow };
    device::app_logs(world, &want, &mut |service, text| {
        let (service, text) = (service.to_owned(), printable(text, LINE_MAX));
        line(LogLine { v: 1, service, text })
    })
}

/// A longer line of a log is cut.
const LINE_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lines_and_none_is_given_twice() {
        let read = |text: &str| values(Some(text.to_owned())).map_err(|f| f.code());
        let found = read("a=1\nb=x=y\nc=\n").unwrap();
        assert_eq!(
            (found["a"].as_str(), found["b"].as_str(), found["c"].as_str()),
            ("1", "x=y", "")
        );
        for wrong in ["a", "=1", "a=1\na=2", "a=1\n\n"] {
            assert_eq!(read(wrong), Err(ReasonCode::Usage), "{wrong}");
        }
        assert!(values(None).unwrap().is_empty());
    }
}

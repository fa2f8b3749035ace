//! Health checks, as Compose files and images say them.

use super::fields::Place;
use crate::bundle::HealthProbe;
use crate::model::Result;

/// Docker's own, where nothing is said, in milliseconds.
const INTERVAL: u64 = 30_000;
const TIMEOUT: u64 = 30_000;
const RETRIES: u32 = 3;

/// `None` where the file says that there is none.
pub(super) fn parse(place: &Place<'_>) -> Result<Option<HealthProbe>> {
    let mut fields = place.fields()?;
    let off = fields.get("disable").map_or(Ok(false), |p| p.truth())?;
    let test = fields.get("test");
    let duration = |p: Option<Place<'_>>, usual| p.map_or(Ok(usual), |p| p.duration());
    let mut probe = HealthProbe {
        command: Vec::new(),
        interval: duration(fields.get("interval"), INTERVAL)?,
        timeout: duration(fields.get("timeout"), TIMEOUT)?,
        retries: fields.get("retries").map_or(Ok(RETRIES), |p| p.number())?,
        start_period: duration(fields.get("start_period"), 0)?,
    };
    fields.finish(|key, _| {
        Some(match key.name.as_str() {
            "start_interval" => "`interval` counts from the start on".to_owned(),
            _ => "this key is not known here".to_owned(),
        })
    })?;
    if off {
        return Ok(None);
    }
    let test = test.ok_or_else(|| place.failure("`test` is missing"))?;
    let said = match test.is_list() {
        true => test.texts()?,
        false => vec!["CMD-SHELL".to_owned(), test.text()?.to_owned()],
    };
    match command(&said) {
        Some(Some(command)) => {
            probe.command = command;
            Ok(Some(probe))
        }
        Some(None) => Ok(None),
        None => Err(test.failure(
            "`[CMD, PROGRAM, …]`, `[CMD-SHELL, LINE]`, `[NONE]` or one line for a shell is wanted",
        )),
    }
}

/// What is run; `Some(None)` where it is nothing, `None` where it makes no sense.
fn command(said: &[String]) -> Option<Option<Vec<String>>> {
    let (how, words) = said.split_first()?;
    match (how.as_str(), words) {
        ("NONE", []) => Some(None),
        ("CMD", [_, ..]) => Some(Some(words.to_vec())),
        ("CMD-SHELL", [line]) => Some(Some(["/bin/sh", "-c", line].map(str::to_owned).to_vec())),
        _ => None,
    }
}

/// What the configuration of an image says, in billionths of a second.
pub(super) fn of_image(config: &serde_json::Value) -> Option<HealthProbe> {
    let health = config.get("Healthcheck")?;
    let said = health.get("Test")?.as_array()?.iter();
    let said: Option<Vec<String>> = said.map(|word| word.as_str().map(str::to_owned)).collect();
    let millis = |name: &str, usual| {
        let nanos = health.get(name).and_then(serde_json::Value::as_u64).filter(|n| *n > 0);
        nanos.map_or(usual, |n| n / 1_000_000)
    };
    let retries = health.get("Retries").and_then(serde_json::Value::as_u64).filter(|n| *n > 0);
    Some(HealthProbe {
        command: command(&said?)??,
        interval: millis("Interval", INTERVAL),
        timeout: millis("Timeout", TIMEOUT),
        retries: retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(RETRIES),
        start_period: millis("StartPeriod", 0),
    })
}

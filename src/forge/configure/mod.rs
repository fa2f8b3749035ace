//! `configure`: what one device is told before its first start, written to the boot partition of its disk.

mod target;
mod volume;
mod wish;
mod words;

pub(super) use words::Words;

use super::say::{document, say, tell};
use crate::firstboot::{Found, PROVISION_FILE, Provision};
use crate::model::Result;
use serde_json::{Value, json};
use target::Target;

pub(super) fn run(words: &Words) -> Result<()> {
    // A mistake in the words is told before the disk is looked at.
    let wish = match words.show || words.clear {
        true => None,
        false => Some(wish::wish(words)?),
    };
    let target = Target::open(&words.target)?;
    let place = target.place();
    if words.show {
        return show(words, &target, &place);
    }
    let text = wish.as_ref().map(Provision::text).transpose()?;
    let before = target.read()?;
    let changed = before.as_deref() != text.as_deref().map(str::as_bytes);
    if changed {
        for map in target.write(text.as_deref().map(str::as_bytes))? {
            let map = map.display();
            tell(&format!("{map} is removed: it was of the image as it was before\n"))?;
        }
    }
    if words.json {
        let shown = wish.as_ref().map(|wish| about(&wish.without_secrets()));
        return say(&document(&json!({
            "v": 1, "target": words.target, "place": place, "file": PROVISION_FILE,
            "changed": changed, "provision": shown,
        })));
    }
    match (wish, changed) {
        (Some(_), true) => say(&format!(
            "{PROVISION_FILE} is on {place}: the device takes it at its first start and erases it then\n"
        )),
        (Some(_), false) => say(&format!("{PROVISION_FILE} on {place} says this already\n")),
        (None, true) => say(&format!("{PROVISION_FILE} on {place} is erased\n")),
        (None, false) => say(&format!("there is no {PROVISION_FILE} on {place}\n")),
    }
}

fn show(words: &Words, target: &Target, place: &str) -> Result<()> {
    let found = target.read()?.map(|bytes| Provision::parse(&bytes)).transpose()?;
    let (state, wish) = match found {
        None => ("none", None),
        Some(Found::Taken { clean: true }) => ("taken", None),
        // The power went while the device erased it: it goes on at its next start.
        Some(Found::Taken { clean: false }) => ("half-erased", None),
        Some(Found::Wish(wish)) => ("waiting", Some(wish.without_secrets())),
    };
    if words.json {
        let shown = wish.as_ref().map(about);
        return say(&document(
            &json!({ "v": 1, "target": words.target, "place": place, "state": state, "provision": shown }),
        ));
    }
    let Some(wish) = wish else {
        return say(&match state {
            "none" => format!("there is no {PROVISION_FILE} on {place}\n"),
            "taken" => format!(
                "{PROVISION_FILE} on {place} is erased: a device has taken it, or `configure` was stopped before it ended\n"
            ),
            _ => format!(
                "{PROVISION_FILE} on {place} counts as taken, and not all of it is erased: say --clear, or start the device\n"
            ),
        });
    };
    let mut text = format!("{PROVISION_FILE} on {place} waits for the device:\n");
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    let single = [("hostname", &wish.hostname), ("id", &wish.id)];
    single.iter().filter_map(|(n, v)| Some((n, v.as_ref()?))).for_each(|(n, v)| line(n, v));
    if let Some(wifi) = &wish.wifi {
        line("wifi", &wifi.ssid);
        line("password", wifi.password.as_ref().map_or("none: an open network", |p| &p.0));
        wifi.country.iter().for_each(|country| line("country", country));
    }
    wish.proxy.iter().for_each(|proxy| line("proxy", &proxy.0));
    wish.ssh_keys.iter().for_each(|key| line("ssh key", key));
    say(&text)
}

fn about(wish: &Provision) -> Value {
    json!({
        "hostname": wish.hostname, "id": wish.id, "ssh_keys": wish.ssh_keys,
        "proxy": wish.proxy.as_ref().map(|p| &p.0),
        "wifi": wish.wifi.as_ref().map(|wifi| json!({
            "ssid": wifi.ssid, "password": wifi.password.as_ref().map(|p| &p.0), "country": wifi.country,
        })),
    })
}

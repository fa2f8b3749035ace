//! `provision.toml` taken: first everything in it is durable on the data partition, then the file is written over.

use super::boot::Boot;
use super::fragment::keep_fragment;
use super::parts::{LOGINS, keep_name, keep_part};
use super::provision::{Found, PROVISION_FILE, PROVISION_LIMIT, Provision};
use super::work::Work;
use super::{shown, wifi};
use crate::model::{Failure, ReasonCode, Result};

/// What there is to take at most boots.
pub(super) const NOTHING: &str = "nothing to take";

/// Looks at each boot: a technician may write another one later.
pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    if !work.settings.first_boot.provision {
        return Ok("`[first_boot] provision` is false".to_owned());
    }
    let Some(boot) = Boot::open(work)? else {
        return Ok("the disk has no boot partition".to_owned());
    };
    let Some(bytes) = boot.read(PROVISION_FILE, PROVISION_LIMIT)? else {
        return Ok(NOTHING.to_owned());
    };
    match Provision::parse(&bytes).map_err(|f| f.at(PROVISION_FILE))? {
        Found::Taken { clean: true } => Ok(NOTHING.to_owned()),
        Found::Taken { clean: false } => {
            boot.erase(PROVISION_FILE)?;
            Ok(NOTHING.to_owned())
        }
        Found::Wish(wish) => {
            let told = take(work, &wish)?;
            boot.erase(PROVISION_FILE)?;
            Ok(told)
        }
    }
}

fn take(work: &Work<'_>, wish: &Provision) -> Result<String> {
    let mut told = Vec::new();
    keep_name(work, wish.hostname.as_deref())?;
    told.extend(wish.hostname.as_ref().map(|name| format!("host name {name}")));
    keep_fragment(work, wish.id.as_deref(), wish.proxy.as_ref())?;
    told.extend(wish.id.as_ref().map(|id| format!("id {id}")));
    told.extend(wish.proxy.as_ref().map(|_| "a proxy".to_owned()));
    if !wish.ssh_keys.is_empty() {
        let mut part = Provision::default();
        part.ssh_keys.clone_from(&wish.ssh_keys);
        keep_part(work, LOGINS, &part)?;
        told.push(format!("{} ssh keys", wish.ssh_keys.len()));
    }
    if let Some(network) = &wish.wifi {
        let by = wifi::keep(work, network)?;
        told.push(format!("the network {} for {by}", network.ssid));
    }
    // What is erased from the card and has no effect would be lost.
    let taken = [(shown::LOGINS, !wish.ssh_keys.is_empty()), (shown::WIFI, wish.wifi.is_some())];
    let wrong = shown::all(work);
    if let Some((_, why)) = wrong.into_iter().find(|(what, _)| taken.contains(&(*what, true))) {
        return Err(Failure::new(ReasonCode::ProvisionInvalid, why));
    }
    Ok(if told.is_empty() { "nothing is in it".to_owned() } else { told.join(", ") })
}

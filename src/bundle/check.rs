//! The rules of a document that need no device.

use super::files::{check_files, invalid};
use super::{AppDocument, AppKind, MAX_SERVICES, PortPair, Protocol, ServiceName};
use crate::model::{Failure, Identifier, ReasonCode, Result, printable};
use std::collections::BTreeSet;
use std::net::IpAddr;

const SECOND: u64 = 1000;
pub(super) const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// No list of a document that names things has more.
pub(super) const MOST: usize = 256;
/// No size of a document is larger.
pub(super) const LARGEST: u64 = 1 << 50;

pub(super) fn within(what: &str, value: u64, least: u64, most: u64) -> Result<()> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => invalid(format!("`{what}` is {value}; {least} to {most}")),
    }
}

/// The name of a variable, as every shell takes it.
pub(super) fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl AppDocument {
    /// The rules that need no device.
    pub fn check(&self) -> Result<()> {
        if self.format != 1 {
            let n = self.format;
            let text = format!("the document of the app has format {n}; this updater reads 1");
            return Err(Failure::new(ReasonCode::UpdaterTooOld, text));
        }
        self.check_name()?;
        self.check_times()?;
        self.check_kind()?;
        self.check_count()?;
        for (name, service) in &self.services {
            self.check_service(name, service).map_err(|f| f.at(format!("services.{name}")))?;
        }
        self.check_ports()?;
        self.start_order()?;
        self.check_images()?;
        self.check_volumes()?;
        self.check_values()?;
        self.check_words()
    }

    /// `host` and `none` are networks of an engine, and an app's network has its name.
    fn check_name(&self) -> Result<()> {
        match self.app.as_str() {
            "host" | "none" => invalid(format!("`{}` is no name for an app", self.app)),
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<()> {
        within("deadline", self.deadline, 100, DAY)?;
        within("soak", self.soak, 0, DAY)?;
        within("max_restarts", self.max_restarts.into(), 0, 100)?;
        within("keep", self.keep.into(), 0, 10)?;
        within("disk", self.disk, 0, LARGEST)
    }

    /// What the bundle is made of is there, and nothing of another kind.
    fn check_kind(&self) -> Result<()> {
        let containers = !self.services.is_empty()
            || !self.images.is_empty()
            || !self.volumes.is_empty()
            || !self.secrets.is_empty();
        let found = (containers, self.native.is_some(), self.command.is_some());
        match (self.kind, found) {
            (AppKind::Containers, (_, false, false)) if self.services.is_empty() => {
                invalid("there is no service")
            }
            (AppKind::Containers, (true, false, false)) => Ok(()),
            (AppKind::Native, (false, true, false)) => {
                self.native.iter().try_for_each(|n| n.check())
            }
            (AppKind::Command, (false, false, true)) => {
                self.command.iter().try_for_each(|command| {
                    within("timeout", command.timeout, 100, DAY)?;
                    check_files(&command.files).map(drop)
                })
            }
            _ => invalid(
                "`kind` and content differ: containers have services, a native app `native`, a command `command`, and none has what another one has",
            ),
        }
    }

    /// Counted before anything is looked at one by one.
    fn check_count(&self) -> Result<()> {
        let replicas = self.services.values().map(|service| u64::from(service.replicas));
        let count = replicas.fold(0, u64::saturating_add).max(self.services.len() as u64);
        if count > MAX_SERVICES as u64 {
            return invalid(format!("{count} services, replicas counted; {MAX_SERVICES} at most"));
        }
        let lists = [
            ("images", self.images.len()),
            ("volumes", self.volumes.len()),
            ("secrets", self.secrets.len()),
            ("config", self.config.len()),
            ("external", self.external.len()),
        ];
        match lists.iter().find(|(_, len)| *len > MOST) {
            Some((what, len)) => invalid(format!("{len} in `{what}`; {MOST} at most")),
            None => Ok(()),
        }
    }

    /// A port of the device leads to one service.
    fn check_ports(&self) -> Result<()> {
        let mut taken: Vec<(&ServiceName, Protocol, u16, Option<IpAddr>)> = Vec::new();
        for (name, service) in &self.services {
            for pair in &service.ports {
                let Some(host) = pair.host else { continue };
                let address = pair.at();
                let same = |other: &&(&ServiceName, Protocol, u16, Option<IpAddr>)| {
                    let one = other.3.is_none() || address.is_none() || other.3 == address;
                    (other.1, other.2) == (pair.protocol, host) && one
                };
                if let Some(other) = taken.iter().find(same) {
                    let text = format!("port {host} leads to `{}` and to `{name}`", other.0);
                    return Err(Failure::new(ReasonCode::PortTaken, text));
                }
                taken.push((name, pair.protocol, host, address));
            }
        }
        Ok(())
    }

    fn check_images(&self) -> Result<()> {
        for (id, image) in &self.images {
            let word = |text: &str| {
                text.len() <= 16
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            };
            if image.architecture.is_empty() || !word(&image.architecture) || !word(&image.variant)
            {
                return invalid(format!("image {id} does not say for which processor it is"));
            }
            if image.layers.len() > MOST || image.name.len() > 512 {
                return invalid(format!("image {id} has more than {MOST} layers, or a long name"));
            }
            within(&format!("size of image {id}"), image.size, 0, LARGEST)?;
            if !self.services.values().any(|service| service.image == *id) {
                return invalid(format!("image {id} is of no service"));
            }
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<()> {
        for (name, volume) in &self.volumes {
            if volume.readable_by > volume.schema {
                let (by, schema) = (volume.readable_by, volume.schema);
                return invalid(format!(
                    "volume `{name}` is `readable_by` {by}, which is newer than its `schema` {schema}"
                ));
            }
            if let Some(size) = volume.size {
                within(&format!("size of volume {name}"), size, 64 * 1024, LARGEST)?;
            }
        }
        Ok(())
    }

    /// A variable has one origin.
    fn check_values(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        let external = self.external.values().map(|external| external.variable.as_str());
        for name in self.config.keys().map(String::as_str).chain(external) {
            if !is_variable(name) {
                let shown = printable(name, 80);
                return invalid(format!("`{shown}` in `config` or `external` names no variable"));
            }
            if !names.insert(name) {
                return invalid(format!(
                    "the variable `{name}` is in `config` and `external`, or twice"
                ));
            }
        }
        for (name, rule) in &self.config {
            rule.check().map_err(|f| f.at(format!("config.{name}")))?;
        }
        Ok(())
    }

    /// What bundles say of each other, and the link for people.
    fn check_words(&self) -> Result<()> {
        let lists: [(&str, &[Identifier]); 5] = [
            ("provides", &self.provides),
            ("requires", &self.requires),
            ("conflicts", &self.conflicts),
            ("claims", &self.claims),
            ("permissions", &self.permissions),
        ];
        for (what, list) in lists {
            let different: BTreeSet<&Identifier> = list.iter().collect();
            if list.len() > MOST || different.len() < list.len() {
                return invalid(format!("`{what}` names something twice, or more than {MOST}"));
            }
        }
        let own = |name: &&Identifier| self.provides.contains(name) || self.requires.contains(name);
        if let Some(name) = self.conflicts.iter().find(own) {
            return invalid(format!(
                "it is in conflict with `{name}`, which it provides or requires"
            ));
        }
        if let Some(name) = self.requires.iter().find(|name| self.provides.contains(name)) {
            let text = format!("it requires `{name}`, which it provides itself");
            return Err(Failure::new(ReasonCode::DependencyCycle, text));
        }
        match &self.web {
            Some(web) if !is_link(web) => {
                let shown = printable(web, 80);
                invalid(format!("`web` is no link: `{shown}`; say `http://{{host}}:8080/`"))
            }
            _ => Ok(()),
        }
    }
}

/// A link that is printed, and shown on a page, as it is.
fn is_link(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"'<>`\\".contains(&b);
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let bare = text.replace("{host}", "");
    text.len() <= 512
        && rest.is_some_and(|rest| !rest.is_empty())
        && text.bytes().all(plain)
        && !bare.contains(['{', '}'])
}

impl PortPair {
    /// The address that it is bound to; `None` for every one.
    pub(super) fn at(&self) -> Option<IpAddr> {
        let address: Option<IpAddr> = self.address.as_ref().and_then(|text| text.parse().ok());
        address.filter(|address| !address.is_unspecified())
    }
}

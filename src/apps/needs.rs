//! What an app needs of the device beyond rights: variables, secrets, ports, processors and memory.

use super::member::Member;
use super::place::secret_of;
use super::plan::Documents;
use super::ports::listening;
use super::spec::{Ground, port_key, protocol};
use super::{AppContext, AppJournal, AppSet};
use crate::bundle::{AppDocument, PortPair, ServiceName};
use crate::engine::EngineInfo;
use crate::model::{ByteLen, Failure, ReasonCode, Result};
use std::collections::BTreeMap;

/// `VARIABLE_MISSING` where the device does not have what an app must be told, and what an app without containers says itself.
pub(super) fn check(
    ctx: &AppContext<'_>,
    member: &Member,
    ports: &BTreeMap<String, u16>,
) -> Result<()> {
    let document = &member.document;
    super::kinds::plain(ctx, document, &member.generation, None).admit()?;
    let ground = Ground::new(ctx, &member.app, &member.generation, document, ports);
    for (name, external) in &document.external {
        if !external.optional && !ctx.settings.external.contains_key(name.as_str()) {
            return Err(ground.missing("endpoint", name.as_str()));
        }
    }
    for (name, secret) in &document.secrets {
        let there = secret_of(ctx, name).is_ok_and(|secret| secret.is_some());
        if !secret.optional && !there {
            return Err(ground.missing("secret", name.as_str()));
        }
    }
    for (name, service) in &document.services {
        ground.spec(name, service, 1)?;
    }
    Ok(())
}

/// `WRONG_ARCHITECTURE` for the first image that does not run here. What binfmt_misc could do does not count.
pub(super) fn architecture(document: &AppDocument, info: &EngineInfo) -> Result<()> {
    let fits = |architecture: &str, variant: &str| {
        let usual = match info.architecture.as_str() {
            "arm" => 7,
            "arm64" => 8,
            _ => 1,
        };
        let own = level(&info.variant).unwrap_or(usual);
        let wanted = if variant.is_empty() { Some(0) } else { level(variant) };
        architecture == info.architecture && wanted.is_some_and(|wanted| wanted <= own)
    };
    let mut images = document.images.values();
    match images.find(|image| !fits(&image.architecture, &image.variant)) {
        None => Ok(()),
        Some(image) => {
            let (name, arch) = (&image.name, &image.architecture);
            let (own, variants) = (&info.architecture, [&image.variant, &info.variant]);
            let [one, two] =
                variants.map(|v| if v.is_empty() { String::new() } else { format!("/{v}") });
            let text = format!("the image `{name}` is for {arch}{one}; this device is {own}{two}");
            Err(Failure::new(ReasonCode::WrongArchitecture, text))
        }
    }
}

/// The number of a variant: 7 of `v7`.
fn level(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

/// `RESOURCES_MISSING` where the whole set reserves more than the device has.
pub(super) fn resources(ctx: &AppContext<'_>, members: &[Member], info: &EngineInfo) -> Result<()> {
    let services = members.iter().flat_map(|member| member.document.services.values());
    let (mut cpu, mut memory) = (0u64, 0u64);
    for service in services {
        let times = u64::from(service.replicas.max(1));
        cpu = cpu.saturating_add(service.resources.reserved_cpu.saturating_mul(times));
        memory = memory.saturating_add(service.resources.reserved_memory.saturating_mul(times));
    }
    let refuse = |text: String| Err(Failure::new(ReasonCode::ResourcesMissing, text));
    let has = u64::from(info.processors).saturating_mul(1000);
    if cpu > has {
        let [cpu, has] = [cpu, has].map(|n| format!("{}.{:03}", n / 1000, n % 1000));
        return refuse(format!("all apps reserve {cpu} processors; this device has {has}"));
    }
    let most = info.memory.saturating_sub(ctx.settings.reserved_memory);
    if memory > most {
        let (memory, most) = (ByteLen(memory), ByteLen(most));
        return refuse(format!("all apps reserve {memory} of memory; {most} are for apps"));
    }
    Ok(())
}

/// A port of the device that a service has.
struct Taken<'a> {
    app: &'a ServiceName,
    service: &'a ServiceName,
    pair: &'a PortPair,
    host: u16,
}

fn all<'a>(
    app: &'a ServiceName,
    document: &'a AppDocument,
    chosen: &BTreeMap<String, u16>,
) -> Vec<Taken<'a>> {
    let of = |(service, pair): (&'a ServiceName, &'a PortPair)| {
        let host = pair.host.or_else(|| chosen.get(&port_key(app, service, pair)).copied())?;
        Some(Taken { app, service, pair, host })
    };
    let services = document.services.iter();
    services.flat_map(|(name, s)| s.ports.iter().map(move |p| (name, p))).filter_map(of).collect()
}

/// `PORT_TAKEN` where two services want one port of the device, or another program of the device has it.
pub(super) fn ports(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    base: &AppSet,
    documents: &mut Documents,
    members: &[Member],
) -> Result<()> {
    let refuse = |text: String| Err(Failure::new(ReasonCode::PortTaken, text));
    let wanted: Vec<Taken<'_>> =
        members.iter().flat_map(|m| all(&m.app, &m.document, &journal.ports)).collect();
    for (n, one) in wanted.iter().enumerate() {
        let same = |other: &&Taken<'_>| {
            let address = one.pair.address.is_none()
                || other.pair.address.is_none()
                || one.pair.address == other.pair.address;
            address && (one.host, one.pair.protocol) == (other.host, other.pair.protocol)
        };
        if let Some(other) = wanted[..n].iter().find(same) {
            let names = [one, other].map(|t| format!("{}/{}", t.app, t.service));
            let [one_name, other_name] = names;
            let text =
                format!("{one_name} and {other_name} both want port {} of the device", one.host);
            return refuse(text);
        }
    }
    // What waits there for one of our own services is no other program.
    let mut own = Vec::new();
    for (app, generation) in base {
        let Ok(document) = documents.get(ctx, app, &generation.digest) else { continue };
        own.extend(
            all(app, &document, &journal.ports).iter().map(|t| (protocol(t.pair.protocol), t.host)),
        );
    }
    let there = listening(ctx);
    let is_moved = |app: &ServiceName| members.iter().any(|m| m.app == *app && m.moved);
    for one in wanted.iter().filter(|one| is_moved(one.app)) {
        let port = (protocol(one.pair.protocol), one.host);
        if there.contains(&port) && !own.contains(&port) {
            let (app, service, (kind, host)) = (one.app, one.service, port);
            return refuse(format!(
                "{app}/{service} wants port {host}/{kind}, which another program of the device has"
            ));
        }
    }
    Ok(())
}

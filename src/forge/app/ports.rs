//! Ports of a Compose file, in the short and the long form.

use super::fields::Place;
use crate::bundle::{PortPair, Protocol};
use crate::model::Result;

pub(super) fn parse(place: &Place<'_>) -> Result<Vec<PortPair>> {
    place.items()?.iter().map(|item| if item.is_map() { long(item) } else { short(item) }).collect()
}

/// `[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`
fn short(item: &Place<'_>) -> Result<PortPair> {
    let text = item.text()?;
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (before, container) = match ports.rsplit_once(':') {
        Some((before, container)) => (Some(before), container),
        None => (None, ports),
    };
    let (address, host) = match before {
        None => (None, None),
        Some(before) => match before.rsplit_once(':') {
            None => (None, Some(before)),
            Some((address, host)) => {
                let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
                (Some(bare.unwrap_or(address).to_owned()), Some(host))
            }
        },
    };
    let host = host.filter(|host| !host.is_empty());
    Ok(PortPair {
        address,
        host: host.map(|host| number(item, host)).transpose()?,
        container: number(item, container)?,
        protocol: named(item, protocol)?,
    })
}

fn long(item: &Place<'_>) -> Result<PortPair> {
    let mut fields = item.fields()?;
    let target = fields.get("target").ok_or_else(|| item.failure("`target` is missing"))?;
    let published = fields.get("published");
    let protocol = fields.get("protocol");
    let pair = PortPair {
        address: fields.get("host_ip").map(|p| p.text().map(str::to_owned)).transpose()?,
        host: published.map(|p| number(&p, p.text()?)).transpose()?,
        container: number(&target, target.text()?)?,
        protocol: protocol.map_or(Ok(Protocol::Tcp), |p| named(&p, p.text()?))?,
    };
    // Words for people and for other programs; they change nothing.
    let _ = (fields.get("name"), fields.get("app_protocol"));
    fields.end()?;
    Ok(pair)
}

fn number(place: &Place<'_>, text: &str) -> Result<u16> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| plain && *n > 0);
    number.ok_or_else(|| match text.contains('-') {
        true => place.failure("write one line for each port"),
        false => place.failure("a port is a number from 1 to 65535"),
    })
}

fn named(place: &Place<'_>, text: &str) -> Result<Protocol> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(place.failure("the protocol is `tcp` or `udp`")),
    }
}

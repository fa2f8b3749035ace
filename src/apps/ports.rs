//! Ports of the device: those that are taken, and those that are chosen for services which want any.

use super::plan::AppPlan;
use super::spec::{port_key, protocol};
use super::{AppContext, AppJournal};
use crate::bundle::{PortPair, Protocol, ServiceName};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// From which ports one is chosen.
const CHOSEN: RangeInclusive<u16> = 30_000..=32_767;

/// A port that was not chosen yet: how the journal names it, and its protocol.
pub(super) type Missing = (String, Protocol);

/// The ports of an app that the device has to choose and has not.
pub(super) fn missing_ports(plan: &AppPlan, chosen: &BTreeMap<String, u16>) -> Vec<Missing> {
    let of = |(name, pair): (&ServiceName, &PortPair)| {
        let key = port_key(&plan.app, name, pair);
        (pair.host.is_none() && !chosen.contains_key(&key)).then_some((key, pair.protocol))
    };
    let services = plan.document.services.iter();
    services.flat_map(|(name, s)| s.ports.iter().map(move |p| (name, p))).filter_map(of).collect()
}

/// Chooses a port for each that is missing: the lowest that neither an app nor a socket of this device has.
pub(super) fn choose(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    plans: &[AppPlan],
    missing: &[Missing],
) -> Result<BTreeMap<String, u16>> {
    let mut taken: BTreeSet<u16> = journal.ports.values().copied().collect();
    for plan in plans {
        let pairs = plan.document.services.values().flat_map(|s| &s.ports);
        taken.extend(pairs.filter_map(|pair| pair.host));
    }
    taken.extend(listening(ctx).into_iter().map(|(_, port)| port));
    let mut chosen = BTreeMap::new();
    for (key, _) in missing {
        let port = CHOSEN.into_iter().find(|port| !taken.contains(port)).ok_or_else(|| {
            let text = format!("no port from {} to {} is free", CHOSEN.start(), CHOSEN.end());
            Failure::new(ReasonCode::PortTaken, text)
        })?;
        taken.insert(port);
        chosen.insert(key.clone(), port);
    }
    Ok(chosen)
}

/// The ports that sockets of this device wait at, by protocol. What cannot be read is not taken.
pub(super) fn listening(_: &AppContext<'_>) -> BTreeSet<(&'static str, u16)> {
    let tables = [
        ("tcp", "/proc/net/tcp"),
        ("tcp", "/proc/net/tcp6"),
        ("udp", "/proc/net/udp"),
        ("udp", "/proc/net/udp6"),
    ];
    let read = |(kind, path): (&'static str, &str)| {
        let text = files::kernel_text(path).unwrap_or_default();
        parse_sockets(kind, &text).into_iter().map(move |port| (kind, port)).collect::<Vec<_>>()
    };
    tables.into_iter().flat_map(read).collect()
}

/// The ports of one table of the kernel (proc(5), `/proc/net/tcp`): of TCP those in the state LISTEN, of UDP those that
/// are connected to nothing.
fn parse_sockets(kind: &str, text: &str) -> Vec<u16> {
    let waits = if kind == protocol(Protocol::Tcp) { "0A" } else { "07" };
    let port = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let (_, port) = local.rsplit_once(':')?;
        (state == waits).then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    text.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0016 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: garbage
";
    const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue
  12: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000
";

    #[test]
    fn only_sockets_that_wait_have_a_port() {
        assert_eq!(parse_sockets("tcp", TCP), [8080]);
        assert_eq!(parse_sockets("udp", UDP6), [53]);
        assert_eq!(parse_sockets("udp", ""), [] as [u16; 0]);
    }
}

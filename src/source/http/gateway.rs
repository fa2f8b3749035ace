//! The default gateways of this device, and whether they are there: as the kernel tells every process, in
//! text files.

use crate::sys::files;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `linux/route.h`: the route is up; it goes by a gateway.
const UP_BY_GATEWAY: u32 = 0x3;

/// `linux/if_arp.h`: the link address is known.
const COMPLETE: u32 = 0x2;

/// More than any device has.
const MOST: usize = 4;

/// A router that everything goes by which is not near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) address: IpAddr,
    /// The interface, for an address that counts on one link only; else 0.
    index: u32,
}

impl Gateway {
    /// A port of it.
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        let mut at = SocketAddr::new(self.address, port);
        if let SocketAddr::V6(v6) = &mut at {
            v6.set_scope_id(self.index);
        }
        at
    }

    /// Whether it has said its link address, after a try that it left without an answer. IPv6 tells it in
    /// no file, but there a try that ends in silence has found it: without it the kernel says that there is
    /// no way, and sooner.
    pub(super) fn is_near(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => is_complete(&kernel("arp"), address),
            IpAddr::V6(_) => true,
        }
    }
}

fn kernel(name: &str) -> String {
    files::kernel_text(format!("/proc/self/net/{name}")).unwrap_or_default()
}

/// All that are set now.
pub(super) fn all() -> Vec<Gateway> {
    let mut found = by_four(&kernel("route"));
    found.extend(by_six(&kernel("ipv6_route"), &kernel("if_inet6")));
    found.truncate(MOST);
    found
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

/// `/proc/net/route`: interface, destination, gateway, flags, three numbers, mask. Addresses as they stand in
/// memory.
fn by_four(routes: &str) -> Vec<Gateway> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, to, by, flags, _, _, _, mask, ..] = words[..] else { return None };
        let default = hex(to)? == 0 && hex(mask)? == 0;
        let by = Ipv4Addr::from(hex(by)?.to_ne_bytes());
        let good = default && hex(flags)? & UP_BY_GATEWAY == UP_BY_GATEWAY && !by.is_unspecified();
        good.then_some(Gateway { address: by.into(), index: 0 })
    };
    routes.lines().filter_map(one).collect()
}

/// `/proc/net/ipv6_route`: destination, its length, source, its length, next, three numbers, flags,
/// interface. `/proc/net/if_inet6` has the numbers of the interfaces.
fn by_six(routes: &str, interfaces: &str) -> Vec<Gateway> {
    let index = |name: &str| {
        let words = interfaces.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        words.filter(|w| w.len() == 6 && w[5] == name).find_map(|w| hex(w[1]))
    };
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, len, _, _, by, _, _, _, flags, name] = words[..] else { return None };
        let number = |text: &str| u128::from_str_radix(text, 16).ok();
        let default = number(to)? == 0 && hex(len)? == 0;
        let by = Ipv6Addr::from(number(by)?);
        let good = default && hex(flags)? & UP_BY_GATEWAY == UP_BY_GATEWAY && !by.is_unspecified();
        let index = if by.is_unicast_link_local() { index(name)? } else { 0 };
        good.then_some(Gateway { address: by.into(), index })
    };
    routes.lines().filter_map(one).collect()
}

/// `/proc/net/arp`: address, type of hardware, flags, link address, mask, interface.
fn is_complete(arp: &str, address: Ipv4Addr) -> bool {
    arp.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, flags, link, ..] = words[..] else { return false };
        let flags = flags.strip_prefix("0x").and_then(hex).unwrap_or(0);
        ip.parse() == Ok(address) && flags & COMPLETE != 0 && link != "00:00:00:00:00:00"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_are_read_from_what_the_kernel_prints() {
        let in_memory = |a: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(a));
        let (net, router) = (in_memory([192, 168, 2, 0]), in_memory([192, 168, 2, 1]));
        let mask = in_memory([255, 255, 255, 0]);
        let text = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t{router}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0\n\
             eth0\t{net}\t00000000\t0001\t0\t0\t100\t{mask}\t0\t0\t0\n"
        );
        let address = Ipv4Addr::new(192, 168, 2, 1);
        assert_eq!(by_four(&text), [Gateway { address: address.into(), index: 0 }]);
        let text = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";
        let interfaces = "fe80000000000000020c29fffe123456 02 40 20 80     eth0\n";
        let found = by_six(text, interfaces);
        assert_eq!(found[0].at(53).to_string(), "[fe80::1%2]:53");
        assert_eq!(found.len(), 1);
        assert_eq!(by_six(text, ""), [], "an interface that is gone");
        let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
             192.168.2.1      0x1         0x2         52:54:00:12:35:02     *        eth0\n\
             192.168.2.7      0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        assert!(is_complete(arp, address));
        assert!(!is_complete(arp, Ipv4Addr::new(192, 168, 2, 7)));
        for noise in ["", "\n\n", "x", "a b c d e f g h i j", "\0\u{fffd}"] {
            assert!(by_four(noise).is_empty() && by_six(noise, noise).is_empty(), "{noise:?}");
        }
    }
}

//! A wireless network, for what the image has: NetworkManager, iwd, or wpa_supplicant with systemd-networkd.

use super::provision::{Secret, Wifi};
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result};
use std::fmt::Write;

/// The first of these programs that is there: its name, where it may be, and how the network is told to it.
type Teller = fn(&Work<'_>, &Wifi) -> Result<()>;
const PROGRAMS: [(&str, &[&str], Teller); 3] = [
    ("NetworkManager", &["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"], network_manager),
    ("iwd", &["/usr/libexec/iwd", "/usr/lib/iwd/iwd", "/usr/sbin/iwd"], iwd),
    ("wpa_supplicant", &["/usr/sbin/wpa_supplicant", "/sbin/wpa_supplicant"], wpa_supplicant),
];

/// Keeps the network. Says for which program.
pub(super) fn keep(work: &Work<'_>, network: &Wifi) -> Result<&'static str> {
    let there = |places: &&[&str]| places.iter().any(|place| work.at(place).exists());
    let Some((name, _, tell)) = PROGRAMS.iter().find(|(_, places, _)| there(places)) else {
        let why = "the image has neither NetworkManager nor iwd nor wpa_supplicant, so nothing can join the network";
        return Err(Failure::new(ReasonCode::ProvisionInvalid, why));
    };
    tell(work, network)?;
    Ok(name)
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// Whether it is the key itself, and no phrase.
fn is_key(password: &str) -> bool {
    password.len() == 64
}

fn network_manager(work: &Work<'_>, network: &Wifi) -> Result<()> {
    // As numbers: no character of a name or a phrase means anything then.
    let ssid: String = network.ssid.bytes().map(|b| format!("{b};")).collect();
    let mut text = format!(
        "[connection]\nid=surefoot\ntype=wifi\n\n[wifi]\nmode=infrastructure\nssid={ssid}\n"
    );
    if let Some(Secret(password)) = &network.password {
        // A key file takes `\` for the beginning of a sign, and leaves out a space at either end.
        let escaped = password.replace('\\', "\\\\").replace(' ', "\\s");
        let _ = write!(text, "\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={escaped}\n");
    }
    text += "\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n";
    let name = "NetworkManager/system-connections/surefoot.nmconnection";
    work.keep(&format!("etc/{name}"), text.as_bytes(), 0o600)
}

fn iwd(work: &Work<'_>, network: &Wifi) -> Result<()> {
    let plain = network.ssid.bytes().all(|b| b.is_ascii_alphanumeric() || b" _-".contains(&b));
    let name = if plain { network.ssid.clone() } else { format!("={}", hex(&network.ssid)) };
    let (kind, text) = match &network.password {
        None => ("open", "[Settings]\nAutoConnect=true\n".to_owned()),
        Some(Secret(key)) if is_key(key) => ("psk", format!("[Security]\nPreSharedKey={key}\n")),
        Some(Secret(phrase)) => {
            let escaped = phrase.replace('\\', "\\\\").replace(' ', "\\s");
            ("psk", format!("[Security]\nPassphrase={escaped}\n"))
        }
    };
    let name = format!("{name}.{kind}");
    work.keep(&format!("etc/iwd/{name}"), text.as_bytes(), 0o600)
}

fn wpa_supplicant(work: &Work<'_>, network: &Wifi) -> Result<()> {
    let mut text = String::new();
    if let Some(country) = &network.country {
        let _ = writeln!(text, "country={country}");
    }
    let _ = write!(text, "network={{\n\tssid={}\n", hex(&network.ssid));
    let _ = match &network.password {
        None => writeln!(text, "\tkey_mgmt=NONE"),
        Some(Secret(key)) if is_key(key) => writeln!(text, "\tpsk={key}"),
        // Between quotes everything up to the last quote of the line counts.
        Some(Secret(phrase)) => writeln!(text, "\tpsk=\"{phrase}\""),
    };
    text += "}\n";
    let name = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
    work.keep(name, text.as_bytes(), 0o600)?;
    let wired = "[Match]\nName=wlan0\n\n[Network]\nDHCP=yes\n";
    let name = "systemd/network/80-surefoot-wlan0.network";
    work.keep(&format!("etc/{name}"), wired.as_bytes(), 0o644)
}

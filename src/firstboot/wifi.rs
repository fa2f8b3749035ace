//! A wireless network, for what the image has: NetworkManager, iwd, or wpa_supplicant with systemd-networkd.

use super::parts::{Made, WIFI, keep_part, kept_part};
use super::provision::{Provision, Secret, Wifi};
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result};
use std::fmt::Write;
use std::io;

/// The first of these programs that is there: its name, where it may be, and how the network is told to it.
type Teller = fn(&Wifi) -> Vec<Made>;
const PROGRAMS: [(&str, &[&str], Teller); 3] = [
    ("NetworkManager", &["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"], network_manager),
    ("iwd", &["/usr/libexec/iwd", "/usr/lib/iwd/iwd", "/usr/sbin/iwd"], iwd),
    ("wpa_supplicant", &["/usr/sbin/wpa_supplicant", "/sbin/wpa_supplicant"], wpa_supplicant),
];

fn program(work: &Work<'_>) -> Option<(&'static str, Teller)> {
    let there = |places: &&[&str]| places.iter().any(|place| work.at(place).exists());
    let (name, _, tell) = PROGRAMS.iter().find(|(_, places, _)| there(places))?;
    Some((name, *tell))
}

/// Keeps the network, as values of our own. Says which program gets it.
pub(super) fn keep(work: &Work<'_>, network: &Wifi) -> Result<&'static str> {
    let why = "the image has neither NetworkManager nor iwd nor wpa_supplicant, so nothing can join the network";
    let (name, _) = program(work).ok_or_else(|| Failure::new(ReasonCode::ProvisionInvalid, why))?;
    let mut part = Provision::default();
    part.wifi = Some(network.clone());
    keep_part(work, WIFI, &part)?;
    Ok(name)
}

/// The kept network in the words of the program that this image has.
pub(super) fn made(work: &Work<'_>) -> io::Result<Vec<Made>> {
    let Some(network) = kept_part(work, WIFI)?.wifi else { return Ok(Vec::new()) };
    let why = "the image has no program for it";
    let (_, tell) = program(work).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, why))?;
    Ok(tell(&network))
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// Whether it is the key itself, and no phrase.
fn is_key(password: &str) -> bool {
    password.len() == 64
}

fn network_manager(network: &Wifi) -> Vec<Made> {
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
    vec![Made::new("/run/NetworkManager/system-connections/surefoot.nmconnection", text, 0o600)]
}

fn iwd(network: &Wifi) -> Vec<Made> {
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
    vec![Made::new(format!("/var/lib/iwd/{name}.{kind}"), text, 0o600)]
}

fn wpa_supplicant(network: &Wifi) -> Vec<Made> {
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
    let wired = "[Match]\nName=wlan0\n\n[Network]\nDHCP=yes\n".to_owned();
    vec![
        Made::new("/etc/wpa_supplicant/wpa_supplicant-wlan0.conf", text, 0o600),
        Made::new("/run/systemd/network/80-surefoot-wlan0.network", wired, 0o644),
    ]
}

//! `provision.toml`: what one device is told before its first start. It is written by `surefoot-forge configure`, or by hand
//! on any computer that reads FAT; the device takes it and writes over it.

use crate::model::{Failure, ReasonCode, Result, from_toml};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// The name of the file, in the root of the boot partition.
pub const PROVISION_FILE: &str = "provision.toml";

/// The file is at most this long, bytes.
pub const PROVISION_LIMIT: u64 = 16 << 10;

/// The first line of a file that a device has taken.
const TAKEN: &str = "# taken";

/// As long as a host name is at most: `HOST_NAME_MAX` of Linux.
const HOSTNAME_MAX: usize = 64;
const ID_MAX: usize = 128;
const PROXY_MAX: usize = 255;
const KEYS_MAX: usize = 16;
/// RSA of 16384 bits has 2732 digits.
const KEY_LINE_MAX: usize = 4096;

/// What OpenSSH takes in `authorized_keys`.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The keys of the file, and of `[wifi]`.
const KEYS: [&str; 6] = ["format", "hostname", "id", "proxy", "ssh_keys", "wifi"];
const WIFI: [&str; 3] = ["ssid", "password", "country"];

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing to do: a device has taken it, or nothing is written there.
    Taken {
        /// No byte of what was there is left; false after a power cut while it was written over.
        clean: bool,
    },
    /// What the device is to take.
    Wish(Provision),
}

/// What one device is told. Everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provision {
    format: Format,
    /// Its name in the network: labels of RFC 1123, 64 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What it is told apart from others by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The proxy, `http://[user:password@]host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// Public keys that may log in, one line of `authorized_keys` each, without options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// The wireless network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
}

/// A wireless network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wifi {
    /// Its name, 1 to 32 bytes.
    pub ssid: String,
    /// Its password, 8 to 63 characters of ASCII, or the key itself in 64 hexadecimal digits; none for an open network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Where the device is, two letters of ISO 3166: `DE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// `format = 1`; a document without it is no valid one, which [`Provision::parse`] looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Format(u32);

impl Default for Format {
    fn default() -> Format {
        Format(1)
    }
}

fn invalid(why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::ProvisionInvalid, why)
}

impl Provision {
    /// Reads the bytes of the file. `PROVISION_INVALID` names the line or the key, and never a value that is a secret.
    pub fn parse(bytes: &[u8]) -> Result<Found> {
        if u64::try_from(bytes.len()).is_ok_and(|len| len > PROVISION_LIMIT) {
            let text = format!("{} bytes; at most {PROVISION_LIMIT}", bytes.len());
            return Err(invalid(text));
        }
        // What ends the first line may be a line end of either kind.
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        if line.trim_ascii_end() == TAKEN.as_bytes() {
            let clean = bytes[line.len()..].trim_ascii().is_empty();
            return Ok(Found::Taken { clean });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text"))?;
        // Some editors begin a text with this mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // The words of the parser show the line, and with it what may be a password.
        let table: toml::Table = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            invalid(format!("line {line} is not TOML"))
        })?;
        if table.is_empty() {
            return Ok(Found::Taken { clean: true });
        }
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(1) => {}
            Some(n) => {
                return Err(invalid(format!("format {n}; this program reads format 1")));
            }
            None => return Err(invalid("its first line must be `format = 1`")),
        }
        // No word of the parser's own: it shows what was written, and a password may stand in any place.
        let wish: Provision = from_toml(&table, &|_| ()).map_err(|e| {
            let known = |key: &&&str| e.path() == **key || e.path().starts_with(&format!("{key}."));
            invalid(match KEYS.iter().find(known) {
                Some(_) if e.path().starts_with("wifi.") && !WIFI.contains(&&e.path()[5..]) => {
                    format!("`wifi` has a key that is none of {}", WIFI.join(", "))
                }
                Some(key) => format!("`{key}` is not what it must be"),
                None => format!("there is a key that is none of {}", KEYS.join(", ")),
            })
        })?;
        wish.check()?;
        Ok(Found::Wish(wish))
    }

    /// Whether every value keeps its rules; names the first that does not.
    pub fn check(&self) -> Result<()> {
        if let Some(name) = &self.hostname {
            check_hostname(name).map_err(|why| invalid(format!("`hostname`: {why}")))?;
        }
        if let Some(id) = &self.id {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:,+-".contains(&b);
            if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(plain) {
                return Err(invalid(format!(
                    "`id`: 1 to {ID_MAX} letters, digits, `.`, `_`, `:`, `,`, `+` or `-`"
                )));
            }
        }
        if let Some(Secret(proxy)) = &self.proxy {
            check_proxy(proxy).map_err(|why| invalid(format!("`proxy`: {why}")))?;
        }
        if self.ssh_keys.len() > KEYS_MAX {
            return Err(invalid(format!("`ssh_keys`: at most {KEYS_MAX} keys")));
        }
        for (number, key) in (1..).zip(&self.ssh_keys) {
            check_key(key).map_err(|why| invalid(format!("`ssh_keys`: key {number}: {why}")))?;
        }
        self.wifi.as_ref().map_or(Ok(()), |wifi| {
            check_wifi(wifi).map_err(|(key, why)| invalid(format!("`wifi.{key}`: {why}")))
        })
    }

    /// An id and a host name alone.
    pub(super) fn named(id: Option<String>, hostname: Option<String>) -> Provision {
        Provision { id, hostname, ..Provision::default() }
    }

    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        *self == Provision::default()
    }

    /// The text of the file. `PROVISION_INVALID` where a value breaks its rules, or the whole is too long.
    pub fn text(&self) -> Result<String> {
        self.check()?;
        let body = toml::to_string(self).map_err(|e| invalid(e.to_string()))?;
        let text = format!("# What this device takes at its first start.\n{body}");
        match Provision::parse(text.as_bytes())? {
            Found::Wish(read) if read == *self => Ok(text),
            _ => Err(Failure::new(ReasonCode::Internal, "a text that does not read back")),
        }
    }

    /// The same with nothing in it that is a secret, to be shown.
    #[must_use]
    pub fn without_secrets(&self) -> Provision {
        let hidden = |secret: &Secret| Secret(format!("({} characters)", secret.0.chars().count()));
        let mut shown = self.clone();
        if let Some(wifi) = &mut shown.wifi {
            wifi.password = wifi.password.as_ref().map(hidden);
        }
        if let Some(Secret(proxy)) = &mut shown.proxy
            && let Some((_, host)) = proxy.rsplit_once('@')
        {
            *proxy = format!("http://(hidden)@{host}");
        }
        shown
    }
}

/// What is written over a file of `len` bytes that was taken: as long, so that no other byte of the file system changes. What
/// it said is durable elsewhere by then. Where its first sector is written and synced before the rest, a file that a power cut
/// has left half written over is known by its first line.
pub fn taken(len: usize) -> Vec<u8> {
    let mut bytes = format!("{TAKEN}\n").into_bytes();
    bytes.resize(len, b' ');
    bytes
}

fn check_hostname(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() || name.len() > HOSTNAME_MAX {
        return Err(format!("{} bytes; 1 to {HOSTNAME_MAX}", name.len()));
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err("it is an address and no name".to_owned());
    }
    for label in name.split('.') {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ends = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > 63 || !plain || ends {
            let rule = "its labels are 1 to 63 letters, digits and hyphens, with no hyphen at their ends (RFC 1123)";
            return Err(rule.to_owned());
        }
    }
    Ok(())
}

/// Its words name no part of it: there may be a password in it.
fn check_proxy(proxy: &str) -> std::result::Result<(), &'static str> {
    let rest = proxy.strip_prefix("http://").ok_or("it begins with http://")?;
    if proxy.len() > PROXY_MAX {
        return Err("it has more than 255 bytes");
    }
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"'`\\<>$#?".contains(&b);
    if !rest.bytes().all(plain) {
        return Err("a character in it is not allowed; write it as %XX");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let (host, port) = place.rsplit_once(':').ok_or("its port is missing: http://host:port")?;
    let number = port.parse::<u16>().is_ok_and(|port| port > 0);
    if !number || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its port is a number from 1 to 65535");
    }
    let six = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let sound = match six {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || check_hostname(host).is_ok(),
    };
    if sound { Ok(()) } else { Err("its host is no name and no address") }
}

/// One line of `authorized_keys` without options.
fn check_key(line: &str) -> std::result::Result<(), String> {
    if line.contains("PRIVATE KEY") {
        return Err("it is a private key; give the file that ends in .pub".to_owned());
    }
    if line.len() > KEY_LINE_MAX || line.contains(|c: char| c.is_control()) {
        return Err(format!("one line of at most {KEY_LINE_MAX} bytes"));
    }
    let mut words = line.split(' ');
    let (kind, body) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !KEY_TYPES.contains(&kind) {
        return Err(format!("its first word is no type of key: one of {}", KEY_TYPES.join(", ")));
    }
    // The key names its type once more inside, after the length of that name (RFC 4253, 6.6).
    let named = u32::try_from(kind.len()).unwrap_or(0).to_be_bytes();
    let begin = [&named[..], kind.as_bytes()].concat();
    match base64(body) {
        Some(bytes) if bytes.len() > begin.len() && bytes.starts_with(&begin) => Ok(()),
        Some(_) => Err("its body is the key of another type, or cut short".to_owned()),
        None => Err("its body is not base64, or cut short".to_owned()),
    }
}

/// The bytes of base64 with its padding; `None` for any other text.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        Some(match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let plain = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text);
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for byte in plain.bytes() {
        held = held << 6 | u32::from(digit(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits).to_le_bytes()[0]);
            held &= (1 << bits) - 1;
        }
    }
    Some(out)
}

fn check_wifi(wifi: &Wifi) -> std::result::Result<(), (&'static str, String)> {
    let ssid = wifi.ssid.as_str();
    if ssid.is_empty() || ssid.len() > 32 || ssid.contains(|c: char| c.is_control()) {
        return Err(("ssid", "1 to 32 bytes, none of them a control character".to_owned()));
    }
    if let Some(Secret(password)) = &wifi.password {
        let phrase = (8..=63).contains(&password.len())
            && password.bytes().all(|b| (b' '..=b'~').contains(&b));
        let key = password.len() == 64 && password.bytes().all(|b| b.is_ascii_hexdigit());
        if !phrase && !key {
            let text = "8 to 63 characters of ASCII, or 64 hexadecimal digits";
            return Err(("password", text.to_owned()));
        }
    }
    match &wifi.country {
        Some(c) if c.len() != 2 || !c.bytes().all(|b| b.is_ascii_uppercase()) => {
            Err(("country", "two capital letters: `DE`".to_owned()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@desk";

    fn whole() -> Provision {
        Provision {
            hostname: Some("gate-7.example".to_owned()),
            id: Some("SN:0042".to_owned()),
            proxy: Some(Secret("http://me:s3cret@proxy.example:3128".to_owned())),
            ssh_keys: vec![KEY.to_owned()],
            wifi: Some(Wifi {
                ssid: "Halle \"3\" \\ Süd".to_owned(),
                password: Some(Secret("horse \"staple\" \\ #'".to_owned())),
                country: Some("DE".to_owned()),
            }),
            ..Provision::default()
        }
    }

    fn why(text: &str) -> String {
        let failure = Provision::parse(text.as_bytes()).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::ProvisionInvalid, "{text}");
        failure.detail().to_owned()
    }

    fn wish(text: &str) -> Provision {
        match Provision::parse(text.as_bytes()).unwrap() {
            Found::Wish(wish) => wish,
            other => panic!("{other:?}: {text}"),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = whole().text().unwrap();
        assert!(text.starts_with("# What"), "{text}");
        assert_eq!(wish(&text), whole());
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(wish(&windows), whole(), "an editor of another system");
        assert_eq!(wish(&Provision::default().text().unwrap()), Provision::default());
        assert!(Provision::default().is_empty() && !whole().is_empty());
    }

    #[test]
    fn a_taken_file_has_the_length_of_the_old_one_and_nothing_of_it() {
        let text = whole().text().unwrap();
        let over = taken(text.len());
        assert_eq!(over.len(), text.len());
        assert_eq!(Provision::parse(&over).unwrap(), Found::Taken { clean: true });
        // A cut after the first sector.
        let torn = [&over[..64], &text.as_bytes()[64..]].concat();
        assert_eq!(Provision::parse(&torn).unwrap(), Found::Taken { clean: false });
        for len in 0..16 {
            assert_eq!(taken(len).len(), len);
        }
        for nothing in ["", "\n \n", "# a comment alone\n", "# taken", "# taken\r\n"] {
            let found = Provision::parse(nothing.as_bytes()).unwrap();
            assert_eq!(found, Found::Taken { clean: true }, "{nothing:?}");
        }
    }

    #[test]
    fn no_error_and_no_debug_text_shows_a_secret() {
        for text in [
            "format = 1\n[wifi]\nssid = 'x'\npassword = 'hunter2'\n",
            "format = 1\n[wifi]\nssid = 'x'\npassword = 'hunter2hunter2\n",
            "format = 1\n[wifi]\nssid = 'x'\npassword = ['hunter2hunter2']\n",
            "format = 1\nproxy = 'http://hunter2@:80'\n",
            "format = 1\nproxy = ['hunter2']\n",
            "format = 1\nwifi = 'x:hunter2'\n",
            "format = 1\nwifi = ['hunter2']\n",
            "format = 1\nhunter2 = 'x'\n",
            "format = 1\nhostname = 'hunter2_'\n",
            "format = 1\nssh_keys = ['hunter2 x']\n",
            "format = 1\nssh_keys = [['hunter2']]\n",
            "format = 1\n[wifi]\nssid = 'x'\n'hunter2' = 1\n",
            "format = 1\n[wifi.hunter2]\nx = 1\n",
            "format = 'hunter2'\n",
            "hunter2 = 1\nhunter2 = 2\n",
        ] {
            let why = why(text);
            assert!(!why.contains("hunter2"), "{why}");
        }
        let shown = format!("{:?} {}", whole(), whole().without_secrets().text().is_ok());
        assert!(!shown.contains("s3cret") && !shown.contains("horse"), "{shown}");
        let hidden = toml::to_string(&whole().without_secrets()).unwrap();
        assert!(hidden.contains("(hidden)@proxy.example:3128"), "{hidden}");
        assert!(!hidden.contains("s3cret") && !hidden.contains("horse"), "{hidden}");
    }

    #[test]
    fn a_mistake_is_named_with_its_line_or_its_key() {
        for (text, part) in [
            ("hostname = 'x'\n", "`format = 1`"),
            ("format = 2\n", "format 2"),
            ("format = 1\nhostname = \n", "line 2"),
            ("format = 1\nhostnam = 'x'\n", "none of format, hostname"),
            ("format = 1\nhostname = 'a_b'\n", "`hostname`: its labels"),
            ("format = 1\nhostname = ''\n", "0 bytes"),
            ("format = 1\nhostname = '-a'\n", "RFC 1123"),
            ("format = 1\nhostname = 'a..b'\n", "RFC 1123"),
            ("format = 1\nhostname = '10.0.0.1'\n", "an address"),
            ("format = 1\nid = 'a b'\n", "`id`"),
            ("format = 1\nproxy = 'https://a:1'\n", "http://"),
            ("format = 1\nproxy = 'http://a'\n", "port"),
            ("format = 1\nproxy = 'http://a:0'\n", "port"),
            ("format = 1\nproxy = 'http://a_b:80'\n", "host"),
            ("format = 1\nproxy = 'http://a:80/$(reboot)'\n", "not allowed"),
            ("format = 1\nssh_keys = ['ssh-dss AAAA']\n", "key 1: its first word is no type"),
            ("format = 1\nssh_keys = ['-----BEGIN OPENSSH PRIVATE KEY-----']\n", "private key"),
            ("format = 1\nssh_keys = ['ssh-ed25519 AAAA']\n", "another type"),
            ("format = 1\nssh_keys = ['ssh-ed25519 A*']\n", "base64"),
            ("format = 1\n[wifi]\nssid = ''\n", "`wifi.ssid`"),
            ("format = 1\n[wifi]\nssid = 'x'\npassword = 'short'\n", "`wifi.password`"),
            ("format = 1\n[wifi]\nssid = 'x'\ncountry = 'de'\n", "`wifi.country`"),
            ("format = 1\n[wifi]\npass = 'x'\n", "none of ssid, password"),
        ] {
            let why = why(text);
            assert!(why.contains(part), "{text}: {why}");
        }
        let long = format!("format = 1\n#{}\n", "x".repeat(PROVISION_LIMIT.try_into().unwrap()));
        assert!(why(&long).contains("at most"));
        assert!(Provision::parse(b"format = 1\nhostname = '\xff'\n").is_err());
    }

    #[test]
    fn every_limit_is_where_the_standards_have_it() {
        let with = |change: &dyn Fn(&mut Provision)| {
            let mut wish = whole();
            change(&mut wish);
            wish.text().is_ok()
        };
        for (len, sound) in [(7, false), (8, true), (63, true), (64, true), (65, false)] {
            let password = "a".repeat(len);
            let set = |p: &mut Provision| {
                p.wifi.as_mut().unwrap().password = Some(Secret(password.clone()));
            };
            assert_eq!(with(&set), sound, "password of {len}");
        }
        for (len, sound) in [(1, true), (32, true), (33, false)] {
            let set = |p: &mut Provision| p.wifi.as_mut().unwrap().ssid = "x".repeat(len);
            assert_eq!(with(&set), sound, "network name of {len}");
        }
        for (name, sound) in [
            ("a".repeat(63), true),
            ("a".repeat(64), false),
            (format!("{}.b", "a".repeat(62)), true),
            (format!("{}.bc", "a".repeat(62)), false),
            ("3com".to_owned(), true),
        ] {
            assert_eq!(with(&|p| p.hostname = Some(name.clone())), sound, "{name}");
        }
        assert!(with(&|p| p.proxy = Some(Secret("http://[::1]:3128/".to_owned()))));
        assert!(with(&|p| p.ssh_keys = vec![KEY.to_owned(); 16]));
        assert!(!with(&|p| p.ssh_keys = vec![KEY.to_owned(); 17]));
        assert!(!with(
            &|p| p.wifi.as_mut().unwrap().password = Some(Secret("пароль-пароль".into()))
        ));
    }

    #[test]
    fn seeds_and_mutants_keep_the_properties() {
        crate::model::corpus::run("provision", crate::firstboot::fuzz::provision);
    }
}

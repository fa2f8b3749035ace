//! From the words typed to what the device is told. Passwords come from files, standard input and the environment.

use super::words::Words;
use crate::firstboot::{Provision, Secret, Wifi};
use crate::forge::file;
use crate::forge::say::tell;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

/// The variable with the password of the wireless network.
const PASSWORD: &str = "SUREFOOT_WIFI_PASSWORD";

/// A longer line is no password and no address.
const LINE_MAX: u64 = 4096;

pub(super) fn wish(words: &Words) -> Result<Provision> {
    let stdin = [words.wifi_password.as_deref(), words.proxy.as_deref().map(Path::new)];
    if stdin.iter().flatten().filter(|path| file::is_standard(path)).count() > 1 {
        let text =
            "standard input gives one line: the password of the wireless network or the proxy";
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    let mut wish = Provision::default();
    wish.hostname.clone_from(&words.hostname);
    wish.id.clone_from(&words.id);
    wish.proxy = match words.proxy.as_deref() {
        Some("-") => Some(Secret(first_line(Path::new("-"))?)),
        Some(proxy) => {
            if proxy.contains('@') {
                warn("the proxy's password")?;
            }
            Some(Secret(proxy.to_owned()))
        }
        None => None,
    };
    for path in &words.ssh_key {
        wish.ssh_keys.extend(keys(path)?);
    }
    if let Some(typed) = &words.wifi {
        let (ssid, password) = network(words, typed)?;
        wish.wifi =
            Some(Wifi { ssid, password: password.map(Secret), country: words.country.clone() });
    }
    if wish.is_empty() {
        let text = "nothing to write: say --hostname, --id, --wifi, --proxy or --ssh-key, or --show or --clear";
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    wish.check()?;
    Ok(wish)
}

fn warn(what: &str) -> Result<()> {
    tell(&format!(
        "surefoot-forge: warning: {what} stands on the command line, where every user of this machine can read it\n"
    ))
}

/// The name of the network and its password. A name may have a colon in it: only where no other way gives
/// the password, the colon parts the two.
fn network(words: &Words, typed: &str) -> Result<(String, Option<String>)> {
    if words.wifi_open {
        return Ok((typed.to_owned(), None));
    }
    if let Some(path) = &words.wifi_password {
        return Ok((typed.to_owned(), Some(first_line(path)?)));
    }
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok((typed.to_owned(), Some(password)));
    }
    match typed.split_once(':') {
        Some((ssid, password)) => {
            warn("the password of the wireless network")?;
            Ok((ssid.to_owned(), Some(password.to_owned())))
        }
        None => {
            let text = format!(
                "no password for the wireless network: give --wifi-password FILE (- is standard input), or the variable {PASSWORD}, or say --wifi-open"
            );
            Err(Failure::new(ReasonCode::Usage, text))
        }
    }
}

/// The first line of a file or of standard input, without its end.
fn first_line(path: &Path) -> Result<String> {
    let text = match file::is_standard(path) {
        true => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                let text =
                    "`-` reads a line from standard input, which is a terminal that would show it";
                return Err(Failure::new(ReasonCode::Usage, text));
            }
            let mut line = String::new();
            let read = std::io::Read::take(stdin.lock(), LINE_MAX).read_line(&mut line);
            read.map_err(|e| file::failure(path, &e))?;
            line
        }
        false => files::foreign_text(path, LINE_MAX).map_err(|e| file::failure(path, &e))?,
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The keys in a file like `authorized_keys`.
fn keys(path: &Path) -> Result<Vec<String>> {
    let text = file::read_text(path, 1 << 16, ReasonCode::ProvisionInvalid)?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let keys: Vec<String> = lines.map(str::to_owned).collect();
    match keys.is_empty() {
        true => {
            let text = format!("{}: there is no key in it", path.display());
            Err(Failure::new(ReasonCode::ProvisionInvalid, text))
        }
        false => Ok(keys),
    }
}

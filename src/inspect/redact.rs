//! What a report must not carry out of the house.
//!
//! It errs on the side of silence: a place that may be a secret is taken for one, everywhere in a
//! text and in any case of letters.

use serde_json::Value;

/// Stands where something was.
const GONE: &str = "(not told)";

/// A key with one of these in its name keeps its text to itself.
const SECRET: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "credential",
    "cookie",
    "key",
    "authorization",
];

/// The same for what stands before `=` in an address, whole.
const SIGNED: [&str; 3] = ["sig", "signature", "auth"];

/// After these words of an HTTP header the next word is a secret.
const SCHEMES: [&str; 3] = ["bearer", "basic", "digest"];

/// Options of programs whose next word is a secret.
const OPTIONS: [&str; 3] = ["-u", "--user", "--proxy-user"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

fn is_signature(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    SIGNED.contains(&last)
}

/// The same document without its secrets.
pub(super) fn redacted(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| {
                let value = if is_secret(&name) { hidden(value) } else { redacted(value) };
                (name, value)
            })
            .collect(),
        Value::Array(items) => {
            let mut announced = false;
            items
                .into_iter()
                .map(|item| {
                    let hide = std::mem::replace(&mut announced, announces(&item));
                    if hide { hidden(item) } else { redacted(item) }
                })
                .collect()
        }
        Value::String(text) => Value::String(words(&text)),
        other => other,
    }
}

/// Whether the next word of a command is a secret: `--token`, `-u`, `Authorization: Bearer`.
fn announces(item: &Value) -> bool {
    let Value::String(text) = item else { return false };
    let text = text.trim().to_ascii_lowercase();
    let last = text.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    OPTIONS.contains(&text.as_str())
        || SCHEMES.contains(&last)
        || (text.starts_with('-') && !text.contains(['=', ' ']) && is_secret(&text))
}

/// Every text in it is gone; numbers and switches are no secret.
fn hidden(value: Value) -> Value {
    match value {
        Value::String(_) => Value::String(GONE.to_owned()),
        Value::Array(items) => items.into_iter().map(hidden).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, hidden(value))).collect(),
        other => other,
    }
}

/// A text without the users and passwords of its addresses, without what follows `Bearer` or
/// `Basic`, without the values of `token=…`, and without private keys.
pub(super) fn words(text: &str) -> String {
    without_schemes(&without_users(&without_values(&without_blocks(text))))
}

/// Everything before the `@` of what looks like an address with a user: `u:p@h`, `http://t@h`. A
/// password may hold any character but white space.
fn without_users(text: &str) -> String {
    each_word(text, |word| {
        let Some(at) = word.rfind('@') else { return word.to_owned() };
        let from = word.find("://").map(|n| n + 3).filter(|from| *from <= at);
        let before = &word[from.unwrap_or(0)..at];
        let quote = before.rfind(['"', '\'', '=', '(', '<']);
        let place = before.split('/').next().unwrap_or_default();
        match from {
            Some(from) if before.contains(':') || place.len() == before.len() => {
                format!("{}{GONE}{}", &word[..from], &word[at..])
            }
            None if before.contains(':') => {
                let keep = quote.filter(|n| before[*n..].contains(':')).map_or(0, |n| n + 1);
                format!("{}{GONE}{}", &word[..keep], &word[at..])
            }
            _ => word.to_owned(),
        }
    })
}

fn each_word(text: &str, told: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        out.push_str(&told(&rest[..end]));
        let gap = rest[end..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |n| end + n);
        out.push_str(&rest[end..gap]);
        rest = &rest[gap..];
    }
    out
}

/// What follows `Bearer`, `Basic` or `Digest`, each time; `Digest` has more than one word.
fn without_schemes(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let here = SCHEMES.iter().filter_map(|s| lower[at..].find(s).map(|n| (at + n, s))).min();
        let Some((begin, scheme)) = here else { break };
        let after = begin + scheme.len();
        let alone = !lower[..begin].ends_with(|c: char| c.is_alphanumeric());
        let gap = lower[after..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
        if !alone || gap == 0 {
            out.push_str(&text[at..after]);
            at = after;
            continue;
        }
        let from = after + gap;
        if SCHEMES.iter().any(|s| lower[from..].starts_with(s)) {
            out.push_str(&text[at..from]);
            at = from;
            continue;
        }
        let end = match *scheme {
            "digest" if lower[from..].contains('=') => end_of(&text[from..], &['\n', '\r']),
            "digest" => 0,
            _ => end_of(&text[from..], &['"', '\'', ' ', '\t', '\n', '\r']),
        };
        out.push_str(&text[at..from]);
        if end > 0 {
            out.push_str(GONE);
        }
        at = from + end;
    }
    out.push_str(&text[at.min(text.len())..]);
    out
}

fn end_of(text: &str, ends: &[char]) -> usize {
    text.find(|c: char| ends.contains(&c) || c.is_whitespace() && ends.contains(&' '))
        .unwrap_or(text.len())
}

/// The values of `name=value` and of header lines `Name: value` whose name tells of a secret.
fn without_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let is_equal = rest[at..].starts_with('=');
        // In JSON the name stands in quotes.
        let before = rest[..at].trim_end_matches(['"', '\'']);
        let start = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .map_or(0, |n| n + before[n..].chars().next().map_or(1, char::len_utf8));
        let name = &before[start..];
        let secret = match is_equal {
            true => is_secret(name) || is_signature(name),
            // In prose `key:` is no secret.
            false => {
                is_secret(&name.to_ascii_lowercase().replace("key", ""))
                    || name.to_ascii_lowercase().ends_with("api-key")
                    || name.to_ascii_lowercase().ends_with("api_key")
            }
        };
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if !secret {
            continue;
        }
        let gap = rest.find(|c: char| c != ' ' && c != '\t').unwrap_or(rest.len());
        let gap = if is_equal { 0 } else { gap };
        let value = &rest[gap..];
        let said = value.to_ascii_lowercase();
        if value.is_empty() || SCHEMES.iter().any(|s| said.starts_with(s)) {
            continue;
        }
        let end = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |n| n + 2),
            _ if !is_equal => end_of(value, &['"', '\'', '\n', '\r']),
            _ => end_of(value, &['&', ';', '"', '\'', ',', '#', ' ', '\n']),
        };
        out.push_str(&rest[..gap]);
        if end > 0 {
            out.push_str(GONE);
        }
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

/// Private keys in the form of RFC 7468.
fn without_blocks(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        out.push_str(&rest[..at]);
        let block = &rest[at..];
        let end = block.find(END).map_or(block.len(), |n| {
            let tail = &block[n + END.len()..];
            tail.find("-----").map_or(block.len(), |m| n + END.len() + m + 5)
        });
        let private = block[..end].contains("PRIVATE");
        out.push_str(if private { GONE } else { &block[..end] });
        rest = &block[end..];
    }
    out.push_str(rest);
    out
}

/// `name=value` words: those that tell a secret by their name keep it.
pub(super) fn command_line(line: &str) -> String {
    words(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_stay_at_home_and_everything_else_is_told() {
        let config = json!({
            "device": { "product": "demo", "Api_Token": "abc", "key_slot": 3 },
            "source": { "url": "https://u:p@host/x?y", "client_key": ["a", { "pem": "b" }] },
            "health": [{ "command": ["curl", "-H", "Authorization: Bearer abc.def", "http://h/"] }],
        });
        let want = json!({
            "device": { "product": "demo", "Api_Token": GONE, "key_slot": 3 },
            "source": { "url": format!("https://{GONE}@host/x?y"), "client_key": [GONE, { "pem": GONE }] },
            "health": [{ "command": ["curl", "-H", format!("Authorization: Bearer {GONE}"), "http://h/"] }],
        });
        assert_eq!(redacted(config), want);
    }

    #[test]
    fn texts_of_any_shape_keep_only_their_secrets() {
        for same in ["", "a@b.c", "://", "http://host/a@b", "x http://h:1/ y", "Bearer", "é://é/"]
        {
            assert_eq!(words(same), same);
        }
        assert_eq!(words("a ftp://u:p@h b://c@d"), format!("a ftp://{GONE}@h b://{GONE}@d"));
        let line = "root=/dev/x wifi.password=abc quiet luks.key=1 surefoot.slot=a";
        let told = command_line(line);
        assert_eq!(
            told,
            format!("root=/dev/x wifi.password={GONE} quiet luks.key={GONE} surefoot.slot=a")
        );
    }

    #[test]
    fn every_occurrence_of_a_secret_is_gone_in_any_case_and_on_any_line() {
        let s = "S3cr3t/x?y#z";
        for frame in [
            "curl -H 'Authorization: Bearer {}' -H 'Authorization: Bearer {}'",
            "bearer {} BEARER\t{}",
            "basic {}\nBaSiC\n{}",
            "http://u:{}@h/ and HTTPS://v:{}@i:1/x",
            "ftp://{}:{}@h",
            "curl -x u:{}@proxy:3128 b",
            "X-Api-Key: {}\nCookie: a={}; b={}",
            "authorization: {} {}\nnext: line",
            "{\"password\":\"{}\"} passwd='{}' PASSPHRASE=\"a {} b\"",
        ] {
            let told = words(&frame.replace("{}", s));
            assert!(!told.contains("S3cr3t"), "{frame}: {told}");
        }
        for frame in
            ["http://h/?a=1&token={}&b=2", "h/?X-Amz-Signature={}", "?sig={}&access_token={}"]
        {
            let told = words(&frame.replace("{}", "S3cr3t"));
            assert!(!told.contains("S3cr3t"), "{frame}: {told}");
        }
        assert_eq!(words("http://h/?token=x&b=2"), format!("http://h/?token={GONE}&b=2"));
        let pem = "a -----BEGIN PRIVATE KEY-----\nS3cr3t\n-----END PRIVATE KEY----- b";
        assert_eq!(words(pem), format!("a {GONE} b"));
        let command =
            json!(["curl", "-u", "a:S3cr3t", "--token", "S3cr3t", "-H", "A: Bearer", "S3cr3t"]);
        assert!(!redacted(command).to_string().contains("S3cr3t"));
    }

    #[test]
    fn no_secret_is_told_whatever_stands_around_it() {
        // A small generator: every run tries the same texts.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % 1_000_003).unwrap() % below
        };
        let noise = [
            " ",
            "\n",
            "a",
            "://",
            "@",
            ":",
            "=",
            "é",
            "\"",
            "'",
            "bearer",
            "token",
            "http://h/ ",
            "{",
            "}",
            ", ",
            "Basic ",
            "\u{1b}",
            "key",
            "-----BEGIN ",
            "İ",
        ];
        let frames = [
            " Bearer S3cr3t ",
            "\nbAsIc S3cr3t\n",
            " http://u:S3cr3t@h/ ",
            " token=S3cr3t ",
            "&sig=S3cr3t&",
            " password: S3cr3t\n",
        ];
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..next(8) {
                text.push_str(noise[next(noise.len())]);
            }
            text.push_str(frames[next(frames.len())]);
            for _ in 0..next(8) {
                text.push_str(noise[next(noise.len())]);
            }
            assert!(!words(&text).contains("S3cr3t"), "{text:?}: {:?}", words(&text));
        }
    }
}

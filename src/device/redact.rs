//! What a report must not carry out of the house.

use serde_json::Value;

/// Stands where something was.
const GONE: &str = "(not told)";

/// A key with one of these in its name keeps its text to itself.
const SECRET: [&str; 6] = ["password", "passwd", "passphrase", "token", "secret", "key"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
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
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::String(text) => Value::String(words(&text)),
        other => other,
    }
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

/// A text without the passwords of its addresses, and without what follows `Bearer` or `Basic`.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || c == '"' || c == '\'')
            .unwrap_or(after.len());
        let (place, tail) = after.split_at(end);
        match place.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(GONE);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(place),
        }
        rest = tail;
    }
    out.push_str(rest);
    for scheme in ["Bearer ", "Basic "] {
        if let Some(at) = out.find(scheme) {
            let from = at + scheme.len();
            let end = out[from..].find(|c: char| c.is_whitespace() || c == '"').map(|n| from + n);
            out.replace_range(from..end.unwrap_or(out.len()), GONE);
        }
    }
    out
}

/// `name=value` words: those that tell a secret by their name keep it.
pub(super) fn command_line(line: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={GONE}"),
        _ => words(word),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
}

//! A manifest is TOML 1.0. The library that reads it takes TOML 1.1 too, which other readers do not: what
//! is signed once must say the same to all of them.

/// What a text has of TOML 1.1 that TOML 1.0 has not (its four changes that a reader sees, toml.io/en/v1.1.0).
/// The text is valid TOML 1.1.
pub(super) fn newer(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    let (mut open, mut comma, mut at) = (Vec::new(), false, 0);
    while let Some(&byte) = bytes.get(at) {
        let inline = open.last() == Some(&b'{');
        let after_comma = std::mem::replace(&mut comma, byte == b',' && inline);
        match byte {
            b'#' => {
                at += bytes[at..].iter().take_while(|b| **b != b'\n').count();
                continue;
            }
            b'"' | b'\'' => {
                let (len, escaped) = string(&bytes[at..]);
                if escaped {
                    return Some("the escape \\e or \\x");
                }
                at += len;
                continue;
            }
            b'{' | b'[' => open.push(byte),
            b'}' if after_comma => return Some("a comma at the end of an inline table"),
            b'}' | b']' => drop(open.pop()),
            b'\n' if inline => return Some("an inline table of several lines"),
            b' ' | b'\t' | b'\r' => comma = after_comma,
            b':' if !has_seconds(bytes, at) => return Some("a time without seconds"),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The length of the string that `bytes` begin with, and whether it has an escape of TOML 1.1.
fn string(bytes: &[u8]) -> (usize, bool) {
    let quote = bytes[0];
    let long = bytes.starts_with(&[quote; 3]);
    let (mut at, mut escaped) = (if long { 3 } else { 1 }, false);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' && quote == b'"' {
            escaped |= matches!(bytes.get(at), Some(b'e' | b'x'));
            at += 1;
        } else if byte == quote && !long {
            break;
        } else if byte == quote && bytes[at..].starts_with(&[quote; 2]) {
            // Up to two more belong to the text.
            at += 2 + bytes[at + 2..].iter().take(2).take_while(|b| **b == quote).count();
            break;
        }
    }
    (at, escaped)
}

/// Whether the colon at `at` is one of `07:30:00`, or of an offset: `+07:30`.
fn has_seconds(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(3).and_then(|at| bytes.get(at));
    matches!(before, Some(b':' | b'+' | b'-')) || bytes.get(at + 3) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::newer;

    #[test]
    fn only_what_toml_1_0_has_is_taken() {
        let good = [
            "a = 1\nb = { c = [1,\n 2,\n], d = 'x' }\r\n[t.u]\n[[v]]\nw = [ { x = 1 }, { x = 2 }, ]\n",
            "a = \"\\u001b \\\\e \\\\x41 { , }\"\nb = '\\e\\x41'\nc = '''\\e\n'''''\nd = \"\"\"\\\\e \"\" {\n,}\"\"\"\"\"\n",
            "a = 07:30:00\nb = 1979-05-27T07:32:00.5-07:30\nc = 1979-05-27 07:32:00Z\nd = [07:30:00]\n",
            "# a comment: { \n\"a:b\" = { }\n'c\\e' = { d = \"\", e = '' }\n# {\nf = '''a'b''c'''\n",
        ];
        for text in good {
            text.parse::<toml::Table>().unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(newer(text), None, "{text}");
        }
        let bad = [
            ("a = \"\\e\"", "escape"),
            ("a = \"\\x41\"", "escape"),
            ("a = \"\"\"\n\\\\\\x41\"\"\"", "escape"),
            ("\"\\x41\" = 1", "escape"),
            ("a = 'b'\nc = { d = \"\\e\" }", "escape"),
            ("a = { b = 1,\n c = 2 }", "several lines"),
            ("a = { b = 1 # more\n }", "several lines"),
            ("a = [ {\n b = 1 } ]", "several lines"),
            ("a = { b = 1, }", "comma"),
            ("a = { b = [1,], }", "comma"),
            ("a = { b = '', \t}", "comma"),
            ("a = 07:30", "seconds"),
            ("a = 1979-05-27T07:32Z", "seconds"),
            ("a = [1979-05-27 07:32-07:30]", "seconds"),
        ];
        for (text, what) in bad {
            text.parse::<toml::Table>().unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert!(newer(text).is_some_and(|why| why.contains(what)), "{text}");
        }
    }
}

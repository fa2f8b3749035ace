//! Text that comes from outside, made into something that a terminal, a log and a web page may
//! show: where it enters, once.
//!
//! [`printable`] is for one line, [`printable_lines`] for what may have several, [`document`] for
//! whole files in JSON that may have been tampered with.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// As many characters as a reason that a person gives has at most.
pub const REASON_MAX: usize = 200;

/// As many characters as any text of a file of ours has at most. None that this program writes
/// is as long.
const TEXT_MAX: usize = 4_000;

/// As many characters as text of several lines has at most.
const LINES_MAX: usize = 32 * 1024;

/// `text` as one printable line of at most `limit` characters: control characters, and the
/// invisible ones that reorder or hide text, become `?`; what is cut is marked.
pub fn printable(text: &str, limit: usize) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if is_shown(c) => c,
        _ => '?',
    };
    let text = text.trim_end();
    let mut out: String = text.chars().take(limit).map(shown).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

/// The same for text of several lines, which stay lines.
pub fn printable_lines(text: &str, limit: usize) -> String {
    let shown = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        c if is_shown(c) => c,
        _ => '?',
    };
    let mut out: String = text.chars().take(limit).map(shown).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

/// The words of a command line, if one of them cannot be shown as it is: each made printable, so
/// that what repeats it in a message shows nothing else. `None` if all can be shown.
pub fn printable_words(words: impl Iterator<Item = std::ffi::OsString>) -> Option<Vec<String>> {
    let given: Vec<String> = words.map(|w| w.to_string_lossy().into_owned()).collect();
    let shown: Vec<String> = given.iter().map(|w| printable(w, TEXT_MAX)).collect();
    (shown != given).then_some(shown)
}

/// Whether a character is seen where it stands and does nothing else: no control character, none
/// that turns the direction of text around, none of no width, none without a meaning of its own.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            // Soft hyphen, joiners, Arabic letter mark, Hangul and Khmer fillers, Mongolian separators.
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Zero width, marks, embeddings and overrides, line and paragraph separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            // Private use, and what is no character.
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}'
            // Tags, more variation selectors, private planes.
            | '\u{e0000}'..='\u{10ffff}')
}

/// JSON, as `serde_json` writes it, without the characters that are written as an escape and do
/// something else than be seen; a line feed stays. Every text was made printable where it entered,
/// and this is the last look before a program prints what it was told.
pub fn shown_json(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let len = if escape.starts_with('u') { 5 } else { 1 };
        let Some((word, after)) = escape.split_at_checked(len) else {
            rest = escape;
            break;
        };
        match word {
            "b" | "f" | "r" => out.push('?'),
            "t" => out.push(' '),
            word if len == 5 => {
                let code = u32::from_str_radix(&word[1..], 16).ok();
                let letter = |c: &char| is_shown(*c) && !matches!(c, '"' | '\\');
                out.push(code.and_then(char::from_u32).filter(letter).unwrap_or('?'));
            }
            word => out.extend(["\\", word]),
        }
        rest = after;
    }
    out.push_str(rest);
    printable_lines(&out, usize::MAX)
}

/// A JSON document from a file whose texts may have been written by another program: each becomes
/// one printable line of a bounded length. `None` if it is not of this shape.
pub fn document<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    super::from_value(&each_text(value, &|text| printable(text, TEXT_MAX))).ok()
}

/// The same of a value.
pub fn line_document(value: Value) -> Value {
    each_text(value, &|text| printable(text, TEXT_MAX))
}

/// The same of a value, whose texts may have several lines.
pub fn shown_document(value: Value) -> Value {
    each_text(value, &|text| printable_lines(text, LINES_MAX))
}

fn each_text(value: Value, clean: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(items) => items.into_iter().map(|item| each_text(item, clean)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (printable(&name, TEXT_MAX), each_text(value, clean)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_one_printable_line() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}c", 99), "a?[31m b?c");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("übergröße 完了 ✓", 99), "übergröße 完了 ✓");
        assert_eq!(printable_lines("a\nb\r\u{1b}\n", 99), "a\nb??\n");
    }

    #[test]
    fn no_character_that_does_something_else_than_be_seen_is_left() {
        for c in ('\0'..=char::MAX).filter(|c| !is_shown(*c)) {
            let text = format!("a{c}b");
            let told = printable(&text, 10);
            assert!(told == "a?b" || told == "a b", "{text:?}");
        }
        let hidden = |c: u32| !char::from_u32(c).is_some_and(is_shown);
        for range in [0..=0x1f, 0x7f..=0x9f, 0x200b..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069] {
            assert!(range.clone().all(hidden), "{range:?}");
        }
    }

    #[test]
    fn a_document_is_shown_with_nothing_but_what_can_be_seen() {
        let text = "a\u{1b}[m\u{7}\t\r\n\u{8}\u{7f}\u{9b}\u{202e} \\ \" \\u001b é 完";
        let value = serde_json::json!({ text: [text, "", "\\"] });
        for written in
            [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()]
        {
            let read: Value = serde_json::from_str(&shown_json(&written)).unwrap();
            let shown = "a?[m? ?\n???? \\ \" \\u001b é 完";
            assert_eq!(read, serde_json::json!({ shown: [shown, "", "\\"] }));
        }
        // None of these is written here, and nothing comes of them.
        for odd in ["\\", "\\u12", "\\u1é99", "\\uzzzz", "\\u202e\\ud800"] {
            assert!(shown_json(odd).chars().all(is_shown), "{odd}");
        }
    }

    #[test]
    fn a_document_is_bounded_in_every_text_and_name() {
        let bytes = format!(r#"{{"a":["\u001b{}"],"b\n":"x\ny"}}"#, "z".repeat(70_000));
        let read: Value = document(bytes.as_bytes()).unwrap();
        assert_eq!(read["a"][0].as_str().map(|t| t.chars().count()), Some(TEXT_MAX + 1));
        assert_eq!(read["b"], "x y");
        assert!(document::<Value>(b"{").is_none());
    }
}

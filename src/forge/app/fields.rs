//! What stands in a node, by the type that is wanted. Each failure names line and place.

use super::yaml::{YamlKey, YamlNode, YamlValue, refuse};
use crate::model::{Failure, Result, printable};
use std::collections::BTreeSet;
use std::str::FromStr;

/// A node and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Place<'n> {
    pub(super) node: &'n YamlNode,
    pub(super) path: String,
}

/// The pairs of a map. A key that nothing asks for is unknown.
pub(super) struct YamlFields<'n> {
    pub(super) place: Place<'n>,
    pairs: &'n [(YamlKey, YamlNode)],
    asked: BTreeSet<String>,
}

impl<'n> Place<'n> {
    pub(super) fn root(node: &'n YamlNode) -> Place<'n> {
        Place { node, path: String::new() }
    }

    pub(super) fn failure(&self, why: impl AsRef<str>) -> Failure {
        let path = printable(&self.path, 120);
        let colon = if path.is_empty() { "" } else { ": " };
        refuse(self.node.line, format!("{path}{colon}{}", why.as_ref()))
    }

    fn below(&self, name: &str, node: &'n YamlNode) -> Place<'n> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place { node, path: format!("{}{dot}{name}", self.path) }
    }

    /// Nothing is said: `key:` and no more, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.node.value, YamlValue::Text { text, plain: true } if ["", "~", "null"].contains(&text.as_str()))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, YamlValue::List(_))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, YamlValue::Map(_))
    }

    pub(super) fn fields(&self) -> Result<YamlFields<'n>> {
        let pairs = match &self.node.value {
            YamlValue::Map(pairs) => pairs.as_slice(),
            _ if self.is_null() => &[],
            _ => return Err(self.failure("a map is wanted: `key: value`")),
        };
        Ok(YamlFields { place: self.clone(), pairs, asked: BTreeSet::new() })
    }

    /// Each pair of a map whose keys are names.
    pub(super) fn pairs(&self) -> Result<Vec<(&'n YamlKey, Place<'n>)>> {
        let fields = self.fields()?;
        Ok(fields.pairs.iter().map(|(key, node)| (key, self.below(&key.name, node))).collect())
    }

    pub(super) fn items(&self) -> Result<Vec<Place<'n>>> {
        match &self.node.value {
            YamlValue::List(list) => {
                let at = |(n, node)| Place { node, path: format!("{}[{n}]", self.path) };
                Ok(list.iter().enumerate().map(at).collect())
            }
            _ => Err(self.failure("a list is wanted: `[a, b]`")),
        }
    }

    pub(super) fn text(&self) -> Result<&'n str> {
        match &self.node.value {
            YamlValue::Text { text, .. } if !self.is_null() => Ok(text),
            _ => Err(self.failure("a text is wanted")),
        }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>> {
        self.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// One text, or a list of them.
    pub(super) fn one_or_more(&self) -> Result<Vec<String>> {
        match self.is_list() {
            true => self.texts(),
            false => Ok(vec![self.text()?.to_owned()]),
        }
    }

    pub(super) fn truth(&self) -> Result<bool> {
        match &self.node.value {
            YamlValue::Text { text, plain: true } if text == "true" => Ok(true),
            YamlValue::Text { text, plain: true } if text == "false" => Ok(false),
            _ => Err(self.failure("true or false is wanted")),
        }
    }

    /// A text that has a meaning.
    pub(super) fn parsed<T: FromStr<Err = String>>(&self) -> Result<T> {
        self.text()?.parse().map_err(|why: String| self.failure(why))
    }

    pub(super) fn all_parsed<T: FromStr<Err = String>>(&self) -> Result<Vec<T>> {
        match self.is_list() {
            true => self.items()?.iter().map(Place::parsed).collect(),
            false => Ok(vec![self.parsed()?]),
        }
    }

    pub(super) fn number<T: FromStr>(&self) -> Result<T> {
        let text = self.text()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| plain);
        number.ok_or_else(|| self.failure(format!("`{}` is no such number", printable(text, 40))))
    }

    /// Milliseconds: `20s`, `1m30s`, `500ms`.
    pub(super) fn duration(&self) -> Result<u64> {
        let text = self.text()?;
        millis(text).ok_or_else(|| {
            let shown = printable(text, 40);
            self.failure(format!("`{shown}` is no duration: `500ms`, `20s`, `1m30s`, `2h`"))
        })
    }

    /// Bytes: `64mb`, `128M`, `4096`, with 1024 as the factor, as Compose has it.
    pub(super) fn size(&self) -> Result<u64> {
        let text = self.text()?;
        bytes(text).ok_or_else(|| {
            let shown = printable(text, 40);
            self.failure(format!("`{shown}` is no size: `64k`, `128M`, `2gb`"))
        })
    }

    /// Thousandths: `0.5`, `2`.
    pub(super) fn thousandths(&self) -> Result<u64> {
        let text = self.text()?;
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        let good = digits(whole)
            && digits(rest)
            && rest.len() <= 3
            && !(whole.is_empty() && rest.is_empty());
        let number = format!("{whole}{rest:0<3}").parse().ok().filter(|_| good);
        number.ok_or_else(|| {
            let shown = printable(text, 40);
            self.failure(format!("`{shown}` is no number of processors: `0.5`, `2`"))
        })
    }
}

impl<'n> YamlFields<'n> {
    /// What a key says; `None` where it is not there or says nothing.
    pub(super) fn get(&mut self, name: &str) -> Option<Place<'n>> {
        self.asked.insert(name.to_owned());
        let (_, node) = self.pairs.iter().find(|(key, _)| key.name == name)?;
        Some(self.place.below(name, node)).filter(|place| !place.is_null())
    }

    /// What every key must be that nothing has asked for.
    pub(super) fn finish(self, why: impl Fn(&YamlKey, &YamlNode) -> Option<String>) -> Result<()> {
        for (key, node) in self.pairs.iter().filter(|(key, _)| !self.asked.contains(&key.name)) {
            if let Some(why) = why(key, node) {
                let place = self.place.below(&key.name, node);
                let path = printable(&place.path, 120);
                return Err(refuse(key.line, format!("{path}: {why}")));
            }
        }
        Ok(())
    }

    /// No key is left.
    pub(super) fn end(self) -> Result<()> {
        self.finish(|_, _| Some("this key is not known here".to_owned()))
    }
}

/// Go's durations, in whole milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0u64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = &rest[end..];
        let len = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let factor = match &unit[..len] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        rest = &unit[len..];
    }
    (!text.is_empty()).then_some(sum)
}

/// The sizes of container engines.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let low = text.to_ascii_lowercase();
    let bare = low.strip_suffix("ib").or_else(|| low.strip_suffix('b')).unwrap_or(&low);
    // `12b` is twelve bytes, `12ib` is nothing.
    if low.ends_with("ib") && !bare.ends_with(['k', 'm', 'g', 't']) {
        return None;
    }
    let end = bare.find(|c: char| !c.is_ascii_digit()).unwrap_or(bare.len());
    let number: u64 = bare[..end].parse().ok()?;
    let shift = match &bare[end..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// A line as a shell splits it, without its variables.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"'), '\\') => {
                let next = letters.next()?;
                let kept = word.get_or_insert_default();
                if next != '"' && next != '\\' {
                    kept.push('\\');
                }
                kept.push(next);
            }
            (None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_compose_reads_them() {
        for (text, wanted) in [
            ("20s", Some(20_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("0", Some(0)),
            ("20", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(millis(text), wanted, "{text}");
        }
        for (text, wanted) in [
            ("128M", Some(128 << 20)),
            ("64mb", Some(64 << 20)),
            ("2GiB", Some(2 << 30)),
            ("4096", Some(4096)),
            ("12b", Some(12)),
            ("1k", Some(1024)),
            ("12ib", None),
            ("1.5g", None),
            ("", None),
            ("m", None),
            ("99999999999g", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_command_line_splits_as_in_a_shell() {
        let words = |text| split(text).map(|words| words.join("|"));
        assert_eq!(words("a  b 'c d' \"e \\\" f\" g\\ h ''"), Some("a|b|c d|e \" f|g h|".into()));
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a \\"), None);
    }
}

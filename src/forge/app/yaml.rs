//! YAML as a tree whose nodes know their line. What can make a small file large (aliases, merges) is counted, and
//! what makes it mean something else than it seems to (tags, keys that are there twice) is refused.

use crate::model::{Failure, ReasonCode, Result, printable};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// A file has at most this many bytes.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// So many nodes at most, each alias counted by what it stands for.
const MOST_NODES: usize = 50_000;
/// A text counts as one more for each such number of bytes.
const LONG_TEXT: usize = 256;
/// Lists and maps within each other.
const MOST_DEPTH: usize = 32;
/// The key that takes in the pairs of other maps.
const MERGE: &str = "<<";

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlNode {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// An alias somewhere may stand for it, or for something in it.
    pub(super) anchored: bool,
    pub(super) value: YamlValue,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum YamlValue {
    /// A text. One without quotes may also be a number, a truth value or nothing.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<YamlNode>),
    /// In the order of the file.
    Map(Vec<(YamlKey, YamlNode)>),
}

/// A key and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlKey {
    pub(super) line: usize,
    pub(super) name: String,
}

pub(super) fn refuse(line: usize, why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::ComposeInvalid, format!("line {line}: {}", why.as_ref()))
}

/// Reads the one document of a file.
pub(super) fn read(text: &str) -> Result<YamlNode> {
    if text.len() > MOST_BYTES {
        let why = format!("{} bytes; {MOST_BYTES} at most", text.len());
        return Err(Failure::new(ReasonCode::ComposeInvalid, why));
    }
    for (n, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if line[..indent].contains('\t') {
            return Err(refuse(n + 1, "a tab in front of the text: YAML wants blanks"));
        }
    }
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event if root.is_none() => root = Some(reader.node(event, &span, 0)?),
            _ => return Err(refuse(line_of(&span), "a second document; one is read")),
        }
    }
    root.ok_or_else(|| Failure::new(ReasonCode::ComposeInvalid, "there is nothing in the file"))
}

fn line_of(span: &Span) -> usize {
    span.start.line()
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// What is complete and can be named, and how many nodes it has.
    anchors: HashMap<usize, (YamlNode, usize)>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker().line();
                Err(refuse(at, format!("no YAML: {}", printable(error.info(), 200))))
            }
            None => Err(Failure::new(ReasonCode::ComposeInvalid, "the YAML has no end")),
        }
    }

    fn count(&mut self, more: usize, line: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(more);
        match self.nodes > MOST_NODES {
            true => Err(refuse(
                line,
                format!("more than {MOST_NODES} nodes, what aliases stand for counted"),
            )),
            false => Ok(()),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<YamlNode> {
        let (line, before) = (line_of(span), self.nodes);
        if depth > MOST_DEPTH {
            return Err(refuse(
                line,
                format!("more than {MOST_DEPTH} lists and maps in each other"),
            ));
        }
        self.count(1, line)?;
        let (anchor, value, mut anchored) = match event {
            Event::Alias(anchor) => {
                let unknown = || refuse(line, "an alias of what is not there, or of what it is in");
                let (node, nodes) = self.anchors.get(&anchor).ok_or_else(unknown)?;
                let (node, nodes) = (node.clone(), *nodes);
                self.count(nodes, line)?;
                // Its line is that of what it stands for: that is what a message is about.
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(line, tag.is_some())?;
                self.count(text.len() / LONG_TEXT, line)?;
                (anchor, scalar(line, &text, style)?, false)
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(line, tag.is_some())?;
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => list.push(self.node(event, &span, depth + 1)?),
                    }
                }
                let within = list.iter().any(|node| node.anchored);
                (anchor, YamlValue::List(list), within)
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(line, tag.is_some())?;
                let map = self.map(depth)?;
                let within = map.iter().any(|(_, node)| node.anchored);
                (anchor, YamlValue::Map(map), within)
            }
            _ => return Err(refuse(line, "no YAML")),
        };
        anchored |= anchor != 0;
        let node = YamlNode { line, anchored, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(YamlKey, YamlNode)>> {
        let (mut map, mut merged): (Vec<(YamlKey, YamlNode)>, Vec<YamlNode>) = Default::default();
        let mut names = std::collections::HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let line = line_of(&span);
            let (name, plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(name, style, _, None) => (name, style == ScalarStyle::Plain),
                _ => return Err(refuse(line, "a key is a plain text")),
            };
            self.count(1 + name.len() / LONG_TEXT, line)?;
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            if plain && name == MERGE {
                merged.push(node);
                continue;
            }
            if !names.insert(name.clone()) {
                return Err(refuse(line, format!("`{}` is there twice", printable(&name, 80))));
            }
            map.push((YamlKey { line, name: Cow::into_owned(name) }, node));
        }
        if let Some(second) = merged.get(1) {
            return Err(refuse(second.line, "`<<` is there twice"));
        }
        for node in merged {
            let line = node.line;
            let maps = match node.value {
                YamlValue::List(list) => list,
                value => vec![YamlNode { value, ..node }],
            };
            for map_node in maps {
                let YamlValue::Map(pairs) = map_node.value else {
                    return Err(refuse(line, "`<<` takes in maps, and nothing else"));
                };
                // The map's own keys count, then those of the map that is named first.
                for (key, value) in pairs {
                    if names.insert(Cow::Owned(key.name.clone())) {
                        map.push((key, value));
                    }
                }
            }
        }
        Ok(map)
    }
}

fn no_tag(line: usize, tagged: bool) -> Result<()> {
    match tagged {
        true => Err(refuse(line, "a tag (`!`) changes what a value is; none is read")),
        false => Ok(()),
    }
}

/// `$$` is a `$`, as Compose has it; another one would be a variable of the build host.
fn scalar(line: usize, text: &str, style: ScalarStyle) -> Result<YamlValue> {
    let bare = text.replace("$$", "");
    if bare.contains('$') {
        let shown = printable(text, 80);
        return Err(refuse(
            line,
            format!(
                "`{shown}` names a variable of the build host: write its value, name it in `x-surefoot: {{ variables: … }}` of the service, or write `$$` for a `$`"
            ),
        ));
    }
    let plain = style == ScalarStyle::Plain;
    Ok(YamlValue::Text { text: text.replace("$$", "$"), plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: &YamlNode) -> String {
        match &node.value {
            YamlValue::Text { text, .. } => text.clone(),
            YamlValue::List(list) => {
                format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(","))
            }
            YamlValue::Map(map) => {
                let pairs = map.iter().map(|(key, node)| format!("{}={}", key.name, text(node)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn shown(yaml: &str) -> String {
        text(&read(yaml).unwrap_or_else(|f| panic!("{yaml}: {f}")))
    }

    #[track_caller]
    fn why(yaml: &str, words: &str) {
        let failure = read(yaml).expect_err(yaml);
        assert_eq!(failure.code(), ReasonCode::ComposeInvalid);
        assert!(failure.detail().contains(words), "{yaml}: {failure}");
    }

    #[test]
    fn a_tree_is_read_with_its_lines_and_what_aliases_and_merges_stand_for() {
        assert_eq!(shown("a: 1\nb: [x, 'y z']\n"), "{a=1,b=[x,y z]}");
        assert_eq!(shown("a: &x {k: 1}\nb: *x\n"), "{a={k=1},b={k=1}}");
        let merged = "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\nc:\n  <<: [{k: 7}, *x]\n";
        assert_eq!(shown(merged), "{a={k=1,l=2},b={l=3,k=1},c={k=7,l=2}}");
        assert_eq!(shown("a: $$HOME $$$$\n"), "{a=$HOME $$}");
        let node = read("\na:\n  b: 1\n  c:\n    - x\n").unwrap();
        let YamlValue::Map(map) = &node.value else { panic!() };
        let YamlValue::Map(inner) = &map[0].1.value else { panic!() };
        assert_eq!((map[0].0.line, inner[1].0.line, inner[1].1.line), (2, 4, 5));
    }

    #[test]
    fn what_explodes_hides_or_is_said_twice_is_refused_with_its_line() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let again = format!("*a{}, ", n - 1).repeat(10);
            laughs.push_str(&format!("a{n}: &a{n} [{again}]\n"));
        }
        why(&laughs, "more than 50000 nodes");
        let mut merges = "a0: &a0 {k: [x, x, x, x, x, x, x, x, x, x]}\n".to_owned();
        for n in 1..9 {
            let again: String = (0..10).map(|m| format!("k{m}: *a{}, ", n - 1)).collect();
            merges.push_str(&format!("a{n}: &a{n} {{<<: *a{}, {again}}}\n", n - 1));
        }
        why(&merges, "more than 50000 nodes");
        let long = format!("a: &x {}\nb: [{}]\n", "x".repeat(100_000), "*x, ".repeat(1000));
        why(&long, "more than 50000 nodes");
        why("a: &x\n  b: *x\n", "line 2: an alias");
        why("a: *x\n", "line 1");
        why("a: 1\nb: 2\na: 3\n", "line 3: `a` is there twice");
        why("a: !!binary aGVsbG8=\n", "line 1: a tag");
        why("a: !reset null\n", "line 1: a tag");
        why("a:\n\tb: 1\n", "line 2: a tab");
        why("a: 1\n---\nb: 2\n", "a second document");
        why("? [a, b]\n: 1\n", "a key is a plain text");
        why("<<: [1]\na: 1\n", "takes in maps");
        why("a: ${HOME}\n", "line 1: `${HOME}` names a variable");
        why("a: $HOME\n", "names a variable");
        why("a: [1, 2\n", "no YAML");
        why("", "nothing in the file");
        why(&"x".repeat(MOST_BYTES + 1), "at most");
        why(&format!("a: {}", "[".repeat(40)), "in each other");
        why(&format!("{}\n", "[".repeat(MOST_BYTES - 1)), "");
        why(&format!("{}\n", "a: ".repeat(MOST_BYTES / 4)), "");
    }
}

//! Rust source as tokens, as far as finding paths needs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
}

/// What a file refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// An item of this room.
    Room(String),
    /// The crate root as a whole: renamed or by `*`.
    WholeCrate(String),
}

/// One name that a file brings into its module: `use path as name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The name here; `*` for all of a module's.
    pub(crate) name: String,
    /// What it names, from the crate's root.
    pub(crate) path: Vec<String>,
    /// Whether other modules may use it from here.
    pub(crate) public: bool,
}

/// One source file.
pub(crate) struct Source {
    /// Module path of the file: `["disk", "gpt"]`; empty for `lib.rs`.
    module: Vec<String>,
    in_room: bool,
    /// All tokens, with the line each stands on.
    all: Vec<(usize, Token)>,
    /// Those outside `#[cfg(test)]` items.
    shipped: Vec<(usize, Token)>,
}

impl Source {
    /// `path` is relative to `src/`.
    pub(crate) fn new(path: &Path, text: &str) -> Source {
        let mut module: Vec<String> = path
            .with_extension("")
            .components()
            .map(|c| c.as_os_str().to_str().unwrap().to_owned())
            .collect();
        let in_room = module.len() > 1 && module[0] != "bin";
        if module.last().is_some_and(|m| m == "mod" || m == "lib") {
            module.pop();
        }
        let all = tokens(text);
        let shipped = without_tests(&all);
        Source { module, in_room, all, shipped }
    }

    /// The room this file belongs to, if it belongs to one.
    pub(crate) fn room(&self) -> Option<String> {
        self.in_room.then(|| self.module[0].clone())
    }

    /// Every word of the file, tests included, text and comments not.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().filter_map(|(_, token)| match token {
            Token::Word(word) => Some(word.clone()),
            Token::Mark(_) => None,
        })
    }

    /// Lines with code on them, `#[cfg(test)]` items left out.
    pub(crate) fn lines_of_code(&self) -> usize {
        self.shipped.iter().map(|(line, _)| line).collect::<BTreeSet<_>>().len()
    }

    /// Whether shipped code names something by this path (`File::open`), also in a group of imports or
    /// under another name.
    pub(crate) fn names(&self, first: &str, last: &str) -> bool {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        let named = |first: &str| {
            (0..code.len()).any(|at| {
                is_word(&code, at, first)
                    && is_mark(&code, at + 1, ':')
                    && is_mark(&code, at + 2, ':')
                    && is_word(&code, at + 3, last)
            })
        };
        let imported = |import: &Import| {
            let renamed = import.path.last().is_some_and(|word| word == first);
            import.path.windows(2).any(|pair| pair == [first, last])
                || renamed && named(&import.name)
        };
        named(first) || self.imports().iter().any(imported)
    }

    /// Whether shipped code takes its text from a place that its module path does not say.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        (0..code.len()).any(|at| {
            is_word(&code, at, "include") && is_mark(&code, at + 1, '!')
                || is_mark(&code, at, '[')
                    && is_word(&code, at + 1, "path")
                    && is_mark(&code, at + 2, '=')
        })
    }

    /// Module path of the file.
    pub(crate) fn module(&self) -> &[String] {
        &self.module
    }

    /// The names that the file itself defines, outside functions and inline modules.
    pub(crate) fn items(&self) -> BTreeSet<String> {
        const KINDS: [&str; 8] =
            ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];
        let (mut found, mut depth) = (BTreeSet::new(), 0usize);
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        for (at, token) in code.iter().enumerate() {
            match token {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => depth = depth.saturating_sub(1),
                Token::Word(kind) if depth == 0 && KINDS.contains(&kind.as_str()) => {
                    if let Some(Token::Word(name)) = code.get(at + 1) {
                        found.insert(name.clone());
                    }
                }
                Token::Word(kind) if kind == "macro_rules" => {
                    if let Some(Token::Word(name)) = code.get(at + 2) {
                        found.insert(name.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The traits that the file defines, wherever in it.
    pub(crate) fn traits(&self) -> BTreeSet<String> {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        let named = |at: usize| match (code[at], code.get(at + 1)) {
            (Token::Word(word), Some(Token::Word(name))) if word == "trait" => Some(name.clone()),
            _ => None,
        };
        (0..code.len()).filter_map(named).collect()
    }

    /// What the file imports, wherever in it: a name that two functions import differently counts
    /// twice.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        let mut found = Vec::new();
        for at in 0..code.len() {
            if !is_word(&code, at, "use") {
                continue;
            }
            let public = is_word(&code, at.wrapping_sub(1), "pub")
                || is_mark(&code, at.wrapping_sub(1), ')');
            let mut paths = Vec::new();
            named_tree(&code, at + 1, Vec::new(), &mut paths);
            for (name, path) in paths {
                found.push(Import { name, path: self.absolute(&path), public });
            }
        }
        found
    }

    /// Every path that the file names, from the crate's root. `modules` are all there are.
    pub(crate) fn paths(&self, modules: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        let imports = self.imports();
        let mut found: BTreeSet<Vec<String>> =
            imports.iter().filter(|i| i.name != "*" && !i.public).map(|i| i.path.clone()).collect();
        let mut at = 0;
        while at < code.len() {
            if is_word(&code, at, "use") {
                while at < code.len() && !is_mark(&code, at, ';') {
                    at += 1;
                }
                continue;
            }
            let begins = !(is_mark(&code, at.wrapping_sub(1), ':')
                && is_mark(&code, at.wrapping_sub(2), ':'));
            let Token::Word(first) = code[at] else {
                at += 1;
                continue;
            };
            let mut path = vec![first.clone()];
            while is_mark(&code, at + 1, ':')
                && is_mark(&code, at + 2, ':')
                && let Some(Token::Word(next)) = code.get(at + 3)
            {
                path.push(next.clone());
                at += 3;
            }
            at += 1;
            let ours = ["crate", "super", "self"].contains(&first.as_str());
            if !begins || path.len() < 2 {
                continue;
            }
            if ours {
                found.insert(self.absolute(&path));
                continue;
            }
            for import in imports.iter().filter(|i| i.name == *first) {
                found.insert([&import.path[..], &path[1..]].concat());
            }
            let child = [&self.module[..], &path[..1]].concat();
            if modules.contains(&child) {
                found.insert([&self.module[..], &path[..]].concat());
            }
        }
        found
    }

    /// A path as it stands in this file, from the crate's root. One of another crate keeps its
    /// first word, which is no room.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let mut place = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            _ => self.module.clone(),
        };
        let mut rest = path;
        while let Some(first) = rest.first() {
            match first.as_str() {
                "super" => drop(place.pop()),
                "crate" | "self" => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        place.extend_from_slice(rest);
        place
    }

    /// Every room that is reached through `crate`, `super` or `self`, each once.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let code: Vec<&Token> = self.shipped.iter().map(|(_, token)| token).collect();
        let mut found = BTreeSet::new();
        // Inline modules around the place where we are, with the depth of their braces.
        let (mut inner, mut depth): (Vec<(usize, String)>, usize) = (Vec::new(), 0);
        let mut at = 0;
        while at < code.len() {
            match code[at] {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => {
                    depth = depth.saturating_sub(1);
                    inner.retain(|(d, _)| *d <= depth);
                }
                Token::Word(w) if w == "mod" && is_mark(&code, at + 2, '{') => {
                    if let Some(Token::Word(name)) = code.get(at + 1) {
                        inner.push((depth + 1, name.clone()));
                    }
                }
                Token::Word(w) if w == "extern" && is_word(&code, at + 1, "crate") => {
                    if is_word(&code, at + 2, "self") {
                        found.insert(Use::WholeCrate("a new name for the crate".into()));
                    }
                    at += 3;
                    continue;
                }
                Token::Word(w) if ["crate", "super", "self"].contains(&w.as_str()) => {
                    let mut here = self.module.clone();
                    here.extend(inner.iter().map(|(_, name)| name.clone()));
                    let mut paths = Vec::new();
                    at = tree(&code, at, Vec::new(), &mut paths);
                    for path in paths {
                        found.extend(resolve(&here, &path));
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// Reads one path or use-tree from `at`; returns where it ends. Each leaf is pushed whole, with
/// `as` or `*` as its last segment where it has one.
fn tree(
    code: &[&Token],
    mut at: usize,
    mut path: Vec<String>,
    out: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match code.get(at) {
            Some(Token::Word(word)) => {
                path.push(word.clone());
                at += 1;
            }
            Some(Token::Mark('*')) => {
                path.push("*".into());
                out.push(path);
                return at + 1;
            }
            Some(Token::Mark('{')) => {
                at += 1;
                while at < code.len() && !is_mark(code, at, '}') {
                    let next = tree(code, at, path.clone(), out);
                    at = if is_mark(code, next, ',') { next + 1 } else { next.max(at + 1) };
                }
                return at + 1;
            }
            _ => {
                out.push(path);
                return at;
            }
        }
        if is_mark(code, at, ':') && is_mark(code, at + 1, ':') {
            at += 2;
        } else {
            if is_word(code, at, "as") {
                path.push("as".into());
                at += 2;
            }
            out.push(path);
            return at;
        }
    }
}

/// Like [`tree`], with the name that each leaf has afterwards.
fn named_tree(
    code: &[&Token],
    mut at: usize,
    mut path: Vec<String>,
    out: &mut Vec<(String, Vec<String>)>,
) -> usize {
    loop {
        match code.get(at) {
            Some(Token::Word(word)) => {
                // `{self, …}` names the module itself.
                if word != "self" || path.is_empty() {
                    path.push(word.clone());
                }
                at += 1;
            }
            Some(Token::Mark('*')) => {
                out.push(("*".into(), path));
                return at + 1;
            }
            Some(Token::Mark('{')) => {
                at += 1;
                while at < code.len() && !is_mark(code, at, '}') {
                    let next = named_tree(code, at, path.clone(), out);
                    at = if is_mark(code, next, ',') { next + 1 } else { next.max(at + 1) };
                }
                return at + 1;
            }
            _ => return at,
        }
        if is_mark(code, at, ':') && is_mark(code, at + 1, ':') {
            at += 2;
            continue;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if is_word(code, at, "as")
            && let Some(Token::Word(other)) = code.get(at + 1)
        {
            name.clone_from(other);
            at += 2;
        }
        out.push((name, path));
        return at;
    }
}

/// What a path means at the module `here`.
fn resolve(here: &[String], path: &[String]) -> Option<Use> {
    let mut place = here.to_vec();
    let mut rest = path;
    while let Some(first) = rest.first() {
        match first.as_str() {
            "crate" => place.clear(),
            "super" => drop(place.pop()),
            "self" => {}
            _ => break,
        }
        rest = &rest[1..];
    }
    let lone_self = path == ["self"] || path == ["super"] || path == ["crate"];
    match rest.first().map(String::as_str) {
        // `pub(crate)`, `&self`, `pub(super)`: no path at all.
        None if lone_self => None,
        _ if !place.is_empty() => Some(Use::Room(place.swap_remove(0))),
        Some("as") => Some(Use::WholeCrate("a new name for the crate".into())),
        Some("*") => Some(Use::WholeCrate("`*` of the crate".into())),
        Some(room) => Some(Use::Room(room.to_owned())),
        None => Some(Use::WholeCrate("the crate as a name".into())),
    }
}

fn is_word(code: &[&Token], at: usize, word: &str) -> bool {
    matches!(code.get(at), Some(Token::Word(w)) if w == word)
}

fn is_mark(code: &[&Token], at: usize, mark: char) -> bool {
    matches!(code.get(at), Some(Token::Mark(m)) if *m == mark)
}

/// The files of modules that are declared under `#[cfg(test)]`, or `#[cfg(all(test, …))]`, in the file at `path`: `mod NAME;`
/// with or without a visibility. A folder stands for all that is in it.
pub(crate) fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let all = tokens(text);
    let code: Vec<&Token> = all.iter().map(|(_, token)| token).collect();
    let mut found = Vec::new();
    for at in 0..code.len() {
        let Some(marker) = test_marker(&all[at..]) else { continue };
        let mut rest = at + marker;
        if is_word(&code, rest, "pub") {
            rest += if is_mark(&code, rest + 1, '(') { 4 } else { 1 };
        }
        if is_word(&code, rest, "mod")
            && is_mark(&code, rest + 2, ';')
            && let Token::Word(name) = code[rest + 1]
        {
            let folder = match path.file_name().and_then(|n| n.to_str()) {
                Some("mod.rs" | "lib.rs") => path.with_file_name(""),
                _ => path.with_extension(""),
            };
            found.push(folder.join(format!("{name}.rs")));
            found.push(folder.join(name));
        }
    }
    found
}

/// The length of a marker of tests that stands at the beginning.
fn test_marker(all: &[(usize, Token)]) -> Option<usize> {
    let marker = cfg_test();
    if starts_with(all, &marker) {
        return Some(marker.len());
    }
    let begin: Vec<Token> = tokens("#[cfg(all(test").into_iter().map(|(_, t)| t).collect();
    if !starts_with(all, &begin) {
        return None;
    }
    let end = all.iter().position(|(_, token)| matches!(token, Token::Mark(']')))?;
    Some(end + 1)
}

fn cfg_test() -> Vec<Token> {
    tokens("#[cfg(test)]").into_iter().map(|(_, t)| t).collect()
}

fn starts_with(all: &[(usize, Token)], marker: &[Token]) -> bool {
    all.len() >= marker.len() && all[..marker.len()].iter().map(|(_, t)| t).eq(marker)
}

/// Leaves out every item that carries `#[cfg(test)]`.
fn without_tests(all: &[(usize, Token)]) -> Vec<(usize, Token)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < all.len() {
        if let Some(marker) = test_marker(&all[at..]) {
            at = end_of_item(all, at + marker);
        } else {
            out.push(all[at].clone());
            at += 1;
        }
    }
    out
}

/// Where the item that begins at `at` ends: behind its `;`, its closing brace, or, for a field,
/// a variant or a match arm, its `,`.
fn end_of_item(all: &[(usize, Token)], mut at: usize) -> usize {
    let (mut depth, mut first) = (0usize, None);
    while at < all.len() {
        match &all[at].1 {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark(close @ ('}' | ')' | ']')) => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
                if depth == 0 && *close == '}' && !is_use_group(all, at) {
                    return at + 1;
                }
            }
            Token::Mark(';') if depth == 0 => return at + 1,
            Token::Mark(',') if depth == 0 && !first.is_some_and(is_item) => return at + 1,
            Token::Word(word) if depth == 0 && first.is_none() && word != "pub" => {
                first = Some(word.as_str());
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// Words that begin an item, in which a `,` ends nothing.
fn is_item(word: &str) -> bool {
    const ITEMS: [&str; 14] = [
        "fn",
        "mod",
        "impl",
        "struct",
        "enum",
        "use",
        "const",
        "static",
        "trait",
        "async",
        "extern",
        "type",
        "macro_rules",
        "let",
    ];
    ITEMS.contains(&word)
}

/// `use a::{b, c};` closes a brace and goes on to its `;`.
fn is_use_group(all: &[(usize, Token)], at: usize) -> bool {
    matches!(all.get(at + 1), Some((_, Token::Mark(';'))))
}

/// Words and marks with their lines; comments, text, characters and numbers are left out.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let c = chars[at];
        let begin = at;
        if c == '/' && peek(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && peek(at + 1) == '*' {
            let mut depth = 0;
            loop {
                match (peek(at), peek(at + 1)) {
                    ('/', '*') => (depth, at) = (depth + 1, at + 2),
                    ('*', '/') => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(hashes) = raw_string(&chars, at) {
            let close: String = std::iter::once('"').chain("#".repeat(hashes).chars()).collect();
            while peek(at) != '"' {
                at += 1;
            }
            at += 1;
            while at < chars.len()
                && !chars[at..].iter().copied().take(close.len()).eq(close.chars())
            {
                at += 1;
            }
            at += close.len();
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' && (peek(at + 1) == '\\' || peek(at + 2) == '\'') {
            // A character; a lifetime has no closing quote.
            at += if peek(at + 1) == '\\' { 3 } else { 2 };
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c.is_alphabetic() || c == '_' {
            while peek(at).is_alphanumeric() || peek(at) == '_' {
                at += 1;
            }
            out.push((line, Token::Word(chars[begin..at].iter().collect())));
        } else if c.is_numeric() {
            while peek(at).is_alphanumeric() || peek(at) == '_' {
                at += 1;
            }
            out.push((line, Token::Mark('0')));
        } else {
            at += 1;
            if !c.is_whitespace() {
                out.push((line, Token::Mark(c)));
            }
        }
        let end = at.min(chars.len());
        line += chars[begin..end].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// The number of `#` of a raw string that begins here (`r"`, `br##"`), if one does.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|i| chars[i]);
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = &chars[at..];
    let rest = match rest {
        ['b' | 'c', 'r', tail @ ..] | ['r', tail @ ..] => tail,
        _ => return None,
    };
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    (rest.get(hashes) == Some(&'"')).then_some(hashes)
}

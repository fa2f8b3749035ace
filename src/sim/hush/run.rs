//! Running a tree of commands on a board.

use super::parse::{Command, List, When, parse};
use super::words::{Part, Word};
use std::collections::BTreeMap;

/// How deep scripts may run each other before the device is taken to loop.
const DEPTH: usize = 12;

/// Why a script stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) enum Halt {
    /// A kernel was started; the commands behind it never run.
    Booted,
    /// The board was reset or switched off by the script.
    Reset,
    /// The script uses something that this shell does not know.
    Unknown(String),
    /// Scripts run each other without an end.
    Loop,
}

/// What the commands act on.
pub(in crate::sim) trait Board {
    /// The value of an environment variable.
    fn get(&self, name: &str) -> Option<String>;
    /// Sets an environment variable, or removes it.
    fn set(&mut self, name: &str, value: Option<&str>);
    /// Runs a command other than the shell's own; `Ok(true)` is success.
    fn command(&mut self, words: &[&str]) -> Result<bool, Halt>;
    /// The text of the script at an address, or what `source` prints.
    fn script_at(&self, address: &str) -> Result<String, String>;
    /// A line on the console.
    fn print(&mut self, line: &str);
}

/// A shell with its own variables, on a board.
pub(in crate::sim) struct Shell<'b, B: Board> {
    board: &'b mut B,
    variables: BTreeMap<String, String>,
    depth: usize,
}

impl<'b, B: Board> Shell<'b, B> {
    /// A fresh shell.
    pub(in crate::sim) fn new(board: &'b mut B) -> Self {
        Shell { board, variables: BTreeMap::new(), depth: 0 }
    }

    /// Runs a script; `Ok(true)` if its last command succeeded. A script with a mistake in it
    /// fails as a whole before its first command, as in U-Boot.
    pub(in crate::sim) fn run(&mut self, script: &str) -> Result<bool, Halt> {
        let list = parse(script).map_err(Halt::Unknown)?;
        if self.depth == DEPTH {
            return Err(Halt::Loop);
        }
        self.depth += 1;
        let result = self.list(&list);
        self.depth -= 1;
        result
    }

    fn list(&mut self, list: &List) -> Result<bool, Halt> {
        let mut last = true;
        for (when, command) in list {
            let skip = match when {
                When::Always => false,
                When::Succeeded => !last,
                When::Failed => last,
            };
            if !skip {
                last = self.one(command)?;
            }
        }
        Ok(last)
    }

    fn one(&mut self, command: &Command) -> Result<bool, Halt> {
        match command {
            Command::Simple(words) => self.simple(words),
            Command::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.list(condition)? {
                        return self.list(body);
                    }
                }
                self.list(otherwise)
            }
            Command::For(name, values, body) => {
                let mut last = true;
                for value in self.fill(values) {
                    self.variables.insert(name.clone(), value);
                    last = self.list(body)?;
                }
                Ok(last)
            }
        }
    }

    fn simple(&mut self, words: &[Word]) -> Result<bool, Halt> {
        if let [word] = words
            && let Some((name, rest)) = assignment(word)
        {
            let value = self.fill(&[rest]).join(" ");
            self.variables.insert(name, value);
            return Ok(true);
        }
        let filled = self.fill(words);
        let words: Vec<&str> = filled.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] | ["true"] => Ok(true),
            ["false"] => Ok(false),
            ["echo", rest @ ..] => {
                self.board.print(&rest.join(" "));
                Ok(true)
            }
            ["test", "-e", ..] => self.board.command(&words),
            ["test", rest @ ..] => test(rest).ok_or_else(|| unknown(&words)),
            ["setenv", name] => {
                self.board.set(name, None);
                Ok(true)
            }
            ["setenv", name, rest @ ..] => {
                self.board.set(name, Some(&rest.join(" ")));
                Ok(true)
            }
            ["run", names @ ..] => self.run_variables(names),
            ["source", address] => match self.board.script_at(address) {
                Ok(script) => self.run(&script),
                Err(text) => {
                    self.board.print(&text);
                    Ok(false)
                }
            },
            _ => self.board.command(&words),
        }
    }

    fn run_variables(&mut self, names: &[&str]) -> Result<bool, Halt> {
        for name in names {
            let Some(script) = self.board.get(name) else {
                self.board.print(&format!("## Error: \"{name}\" not defined"));
                return Ok(false);
            };
            if !self.run(&script)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Words with their variables filled in. The environment comes before the shell's own
    /// variables, as in U-Boot.
    fn fill(&self, words: &[Word]) -> Vec<String> {
        let mut out = Vec::new();
        for word in words {
            let mut now = String::new();
            let mut any = word.quoted;
            for part in &word.parts {
                let (name, quoted) = match part {
                    Part::Text(text) => {
                        now.push_str(text);
                        any = true;
                        continue;
                    }
                    Part::Variable { name, quoted } => (name, *quoted),
                };
                let value = self.board.get(name).or_else(|| self.variables.get(name).cloned());
                let value = value.unwrap_or_default();
                if quoted {
                    now.push_str(&value);
                    continue;
                }
                for (i, piece) in value.split_ascii_whitespace().enumerate() {
                    if i > 0 {
                        out.push(std::mem::take(&mut now));
                    }
                    now.push_str(piece);
                    any = true;
                }
            }
            if any {
                out.push(now);
            }
        }
        out
    }
}

/// `NAME=VALUE`, with the value as a word of its own.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let (first, rest) = word.parts.split_first()?;
    let Part::Text(text) = first else { return None };
    let (name, value) = text.split_once('=')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let mut parts = vec![Part::Text(value.to_owned())];
    parts.extend(rest.iter().cloned());
    good.then(|| (name.to_owned(), Word { parts, quoted: true }))
}

fn unknown(words: &[&str]) -> Halt {
    Halt::Unknown(format!("the command `{}`", words.join(" ")))
}

/// `None` for a form that is not known here.
fn test(words: &[&str]) -> Option<bool> {
    match words {
        ["-n"] => Some(false),
        ["-z"] => Some(true),
        ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        [a, "=" | "==", b] => Some(a == b),
        [a, "!=", b] => Some(a != b),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        env: BTreeMap<String, String>,
        lines: Vec<String>,
    }

    impl Board for Fake {
        fn get(&self, name: &str) -> Option<String> {
            self.env.get(name).cloned()
        }
        fn set(&mut self, name: &str, value: Option<&str>) {
            match value {
                Some(value) => drop(self.env.insert(name.into(), value.into())),
                None => drop(self.env.remove(name)),
            }
        }
        fn command(&mut self, words: &[&str]) -> Result<bool, Halt> {
            match words {
                ["booti", ..] => Err(Halt::Booted),
                other => Err(unknown(other)),
            }
        }
        fn script_at(&self, _: &str) -> Result<String, String> {
            Err("no script".into())
        }
        fn print(&mut self, line: &str) {
            self.lines.push(line.into());
        }
    }

    fn console(script: &str) -> (Vec<String>, Result<bool, Halt>) {
        let mut fake = Fake::default();
        fake.env.insert("two".into(), "b  c".into());
        fake.env.insert("empty".into(), String::new());
        fake.env.insert("again".into(), "echo again; run again".into());
        let result = Shell::new(&mut fake).run(script);
        (fake.lines, result)
    }

    #[test]
    fn words_are_split_where_a_shell_splits_them() {
        let cases = [
            ("echo a${two}d", "ab cd"),
            ("echo \"a${two}d\"", "ab  cd"),
            ("echo ${none} x ${empty}", "x"),
            ("x=1; y=${x}2; echo ${y}", "12"),
            ("x=; if test -z \"${x}\"; then echo empty; fi", "empty"),
            ("for i in 1 ${two} ${none}; do l=\"${l}${i}\"; done; echo ${l}", "1bc"),
            ("test a = b && echo no; test a = a && echo yes", "yes"),
            ("test a = b || echo no", "no"),
            ("test a = a && test b = c || echo or", "or"),
            ("if test \"x${none}\" = \"x\"; then echo x; else echo y; fi", "x"),
            ("if test a = b; then echo 1; elif test c = c; then echo 2; else echo 3; fi", "2"),
            ("setenv v a b; echo \"${v}\"; setenv v; echo ${v}end", "a b|end"),
            ("two=mine; echo ${two}", "b c"),
            ("run none || echo undefined", "## Error: \"none\" not defined|undefined"),
            ("# comment\necho a # b\n\n", "a"),
        ];
        for (script, expected) in cases {
            let (lines, result) = console(script);
            assert_eq!(lines.join("|"), expected, "{script}: {result:?}");
        }
    }

    #[test]
    fn a_boot_ends_the_script_and_a_loop_is_found() {
        assert_eq!(console("booti 1; echo never"), (vec![], Err(Halt::Booted)));
        let (lines, result) = console("run again");
        assert_eq!(result, Err(Halt::Loop));
        assert!(lines.len() > 3);
        assert!(matches!(console("frobnicate 1").1, Err(Halt::Unknown(_))));
        assert!(matches!(console("test a -lt b").1, Err(Halt::Unknown(_))));
    }
}

//! Running a tree of commands on a board.

use super::board::{Board, Budget, Halt};
use super::parse::{Command, List, When, parse};
use super::test::holds;
use super::words::{Part, Word};
use std::collections::BTreeMap;

/// How deep scripts may run each other before the device is taken to loop.
const DEPTH: usize = 12;

/// The longest script that is read, bytes.
const SCRIPT_MAX: usize = 256 * 1024;

/// A shell with its own variables, on a board.
pub(crate) struct Shell<'b, B: Board> {
    board: &'b mut B,
    variables: BTreeMap<String, String>,
    depth: usize,
    left: Budget,
}

impl<'b, B: Board> Shell<'b, B> {
    /// A fresh shell that may do so much.
    pub(crate) fn within(board: &'b mut B, left: Budget) -> Self {
        Shell { board, variables: BTreeMap::new(), depth: 0, left }
    }

    /// The board.
    pub(crate) fn board(&mut self) -> &mut B {
        self.board
    }

    /// What `${name}` is now.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.board.get(name).or_else(|| self.variables.get(name).cloned())
    }

    /// Gives the shell a variable of its own, as a script that ran before has left it.
    pub(crate) fn assign(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Runs a script; `Ok(true)` if its last command succeeded. A script with a mistake in it
    /// fails as a whole before its first command, as in U-Boot.
    pub(crate) fn run(&mut self, script: &str) -> Result<bool, Halt> {
        if self.depth == DEPTH {
            return Err(Halt::Loop);
        }
        if script.len() > SCRIPT_MAX {
            return Err(Halt::Unknown("a script of more than 256 KiB".to_owned()));
        }
        self.spend(script.len())?;
        let list = parse(script).map_err(Halt::Unknown)?;
        self.depth += 1;
        let result = self.list(&list);
        self.depth -= 1;
        result
    }

    fn step(&mut self) -> Result<(), Halt> {
        let left = self.left.steps.checked_sub(1);
        self.left.steps = left.ok_or(Halt::Spent("commands"))?;
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Halt> {
        let left = self.left.bytes.checked_sub(bytes);
        self.left.bytes = left.ok_or(Halt::Spent("bytes of text"))?;
        Ok(())
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
        self.step()?;
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
                for value in self.fill(values)? {
                    self.step()?;
                    self.variables.insert(name.clone(), value);
                    last = self.list(body)?;
                }
                Ok(last)
            }
            Command::While(condition, holds, body) => {
                let mut last = true;
                while self.list(condition)? == *holds {
                    self.step()?;
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
            let value = self.fill(&[rest])?.join(" ");
            self.variables.insert(name, value);
            return Ok(true);
        }
        let filled = self.fill(words)?;
        let words: Vec<&str> = filled.iter().map(String::as_str).collect();
        // `env` is another spelling of commands that also stand alone.
        let words = match words.as_slice() {
            ["env", "set", "-f", rest @ ..] | ["env", "set", rest @ ..] => {
                [&["setenv"], rest].concat()
            }
            ["env", "run", rest @ ..] => [&["run"], rest].concat(),
            ["setenv", "-f", rest @ ..] => [&["setenv"], rest].concat(),
            _ => words,
        };
        match words.as_slice() {
            [] | ["true"] => Ok(true),
            ["false"] => Ok(false),
            ["echo", rest @ ..] => {
                self.board.print(&rest.join(" "));
                Ok(true)
            }
            ["test", "-e", ..] => self.board.command(&words),
            ["test", rest @ ..] => Ok(holds(rest)),
            ["setenv", name] => {
                self.board.set(name, None);
                Ok(true)
            }
            ["setenv", name, rest @ ..] => {
                self.board.set(name, Some(&rest.join(" ")));
                Ok(true)
            }
            ["env", "delete", rest @ ..] => {
                rest.iter().filter(|n| !n.starts_with('-')).for_each(|n| self.board.set(n, None));
                Ok(true)
            }
            ["env", "exists", name] => Ok(self.board.get(name).is_some()),
            ["boot" | "bootd"] => self.run_variables(&["bootcmd"]),
            ["run", names @ ..] => self.run_variables(names),
            ["source", address] => match self.board.script_at(address)? {
                Ok(script) => self.run(&script),
                Err(text) => {
                    self.board.print(&text);
                    self.board.failed(&words);
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
                self.board.failed(&["run", name]);
                return Ok(false);
            };
            self.board.running(name)?;
            if !self.run(&script)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Words with their variables filled in. The environment comes before the shell's own
    /// variables, as in U-Boot.
    fn fill(&mut self, words: &[Word]) -> Result<Vec<String>, Halt> {
        let mut out = Vec::new();
        for word in words {
            let mut now = String::new();
            let mut any = word.quoted;
            for part in &word.parts {
                let (name, quoted) = match part {
                    Part::Text(text) => {
                        self.spend(text.len())?;
                        now.push_str(text);
                        any = true;
                        continue;
                    }
                    Part::Variable { name, quoted } => (name, *quoted),
                };
                let value = self.value(name).unwrap_or_default();
                self.spend(value.len())?;
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
        Ok(out)
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

//! What the properties of scripts need of this shell.
#![allow(missing_docs, reason = "for fuzzers and tests")]

use super::{Board, Budget, Halt, Shell, parse};
use std::collections::BTreeMap;

struct Fake {
    env: BTreeMap<String, String>,
    lines: usize,
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
            ["reset"] => Err(Halt::Reset),
            ["load", ..] | ["saveenv"] => Ok(true),
            other => Err(Halt::Unknown(format!("{other:?}"))),
        }
    }
    fn script_at(&mut self, address: &str) -> Result<Result<String, String>, Halt> {
        Ok(self.env.get(address).cloned().ok_or_else(|| "no".to_owned()))
    }
    fn print(&mut self, line: &str) {
        self.lines += line.len();
    }
}

pub(crate) fn parses(text: &str) -> bool {
    parse::parse(text).is_ok()
}

pub(crate) fn runs(script: &str, env: &[(&str, &str)]) -> bool {
    let env = env.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mut board = Fake { env, lines: 0 };
    let ended = Shell::within(&mut board, Budget::default()).run(script);
    assert!(board.lines <= Budget::default().bytes, "more is printed than may be");
    ended.is_ok()
}

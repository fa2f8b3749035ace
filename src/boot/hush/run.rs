//! Running a tree of commands on a board.

use super::parse::{Command, List, When, parse};
use super::test::holds;
use super::words::{Part, Word};
use std::collections::BTreeMap;

/// How deep scripts may run each other before the device is taken to loop.
const DEPTH: usize = 12;

/// The longest script that is read, bytes.
const SCRIPT_MAX: usize = 256 * 1024;

/// Why a script stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// A kernel was started; the commands behind it never run.
    Booted,
    /// The board was reset or switched off by the script.
    Reset,
    /// The script uses something that this shell does not know.
    Unknown(String),
    /// Scripts run each other without an end.
    Loop,
    /// The script used up its [`Budget`]; which part of it.
    Spent(&'static str),
}

/// How much a script may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Commands, and rounds of loops.
    pub(crate) steps: u32,
    /// Bytes of scripts that are read and of words that are filled in, all together. They bound
    /// what variables and console can hold.
    pub(crate) bytes: usize,
}

impl Default for Budget {
    /// Some hundred times what the shipped script needs.
    fn default() -> Budget {
        Budget { steps: 20_000, bytes: 4 << 20 }
    }
}

/// What the commands act on.
pub(crate) trait Board {
    /// The value of an environment variable.
    fn get(&self, name: &str) -> Option<String>;
    /// Sets an environment variable, or removes it.
    fn set(&mut self, name: &str, value: Option<&str>);
    /// Runs a command other than the shell's own; `Ok(true)` is success.
    fn command(&mut self, words: &[&str]) -> Result<bool, Halt>;
    /// The text of the script at an address, or what `source` prints.
    fn script_at(&mut self, address: &str) -> Result<Result<String, String>, Halt>;
    /// A variable is about to be run as a script.
    fn running(&mut self, _name: &str) -> Result<(), Halt> {
        Ok(())
    }
    /// A command of the shell's own failed in a way that stops scripts.
    fn failed(&mut self, _words: &[&str]) {}
    /// A line on the console.
    fn print(&mut self, line: &str);
}

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
                other => Err(Halt::Unknown(format!("the command `{}`", other.join(" ")))),
            }
        }
        fn script_at(&mut self, _: &str) -> Result<Result<String, String>, Halt> {
            Ok(Err("no script".into()))
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
        let result = Shell::within(&mut fake, Budget::default()).run(script);
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
            ("setenv n 1; while test ${n} != 111; do echo ${n}; setenv n 1${n}; done", "1|11"),
            ("until test \"${n}\" = x; do echo once; setenv n x; done", "once"),
            ("env set n 1 2; echo ${n}; env delete n; env exists n || echo gone", "1 2|gone"),
            ("setenv -f n 1; env run none || echo ${n}", "## Error: \"none\" not defined|1"),
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
    }

    /// None may overflow the stack, use up the memory or run for ever: each ends with a word.
    #[test]
    fn a_script_without_measure_is_stopped_with_a_reason() {
        let nested = |open: &str, close: &str, n: usize| {
            format!("{} echo x; {}", open.repeat(n), close.repeat(n))
        };
        let long = "x".repeat(40_000);
        let many = (0..3_000).map(|i| format!("setenv v{i} ${{big}};")).collect::<String>();
        let (words, steps) = ("a b c d e f g h i j", Halt::Spent("commands"));
        let bytes = Halt::Spent("bytes of text");
        let deep = |text: String| (text, None);
        for (script, wanted) in [
            deep("if ".repeat(100_000)[..200_000].to_owned()),
            deep(nested("if true; then ", "fi; ", 5_000)),
            deep(nested("for i in a; do ", "done; ", 5_000)),
            deep(nested("while true; do ", "done; ", 5_000)),
            deep(nested("if if ", "", 50_000)),
            deep("elif ".repeat(40_000)),
            deep("if ".repeat(100_000)),
            deep(format!("# {}", "x".repeat(300_000))),
            (nested(&format!("for i in {words}; do "), "done; ", 12), Some(steps.clone())),
            (nested(&format!("for i in {words}; do x=1; "), "done; ", 7), Some(steps.clone())),
            ("while true; do true; done".into(), Some(steps.clone())),
            ("until false; do x=1; done".into(), Some(steps.clone())),
            ("while true; do echo; done".into(), Some(steps.clone())),
            (
                "a=x; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34; do a=${a}${a}; done".into(),
                Some(bytes.clone()),
            ),
            ("setenv a x; while true; do setenv a ${a}${a}; done".into(), Some(bytes.clone())),
            (format!("big={long}; while true; do echo ${{big}}; done"), Some(bytes.clone())),
            (format!("setenv big {long}; {many}"), Some(bytes.clone())),
            (format!("setenv big {long}; x={}", "${big}".repeat(5_000)), Some(bytes.clone())),
            ("setenv big 'a b'; while true; do setenv big ${big} ${big}; done".into(), Some(bytes)),
            ("run again".into(), Some(Halt::Loop)),
            ("setenv y 'run x'; setenv x 'run y'; run x".into(), Some(Halt::Loop)),
            ("setenv x 'run x || run x; run x x x'; run x".into(), Some(Halt::Loop)),
            ("setenv bootcmd boot; boot".into(), Some(Halt::Loop)),
            ("setenv x 'if true; then for i in 1 2; do run x; done; fi'; run x".into(), Some(Halt::Loop)),
        ] {
            let result = console(&script).1;
            let start: String = script.chars().take(60).collect();
            match wanted {
                Some(halt) => assert_eq!(result, Err(halt), "{start}"),
                None => assert!(matches!(result, Err(Halt::Unknown(_))), "{start}: {result:?}"),
            }
        }
    }
}

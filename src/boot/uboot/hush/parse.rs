//! Words and separators as a tree of commands.

use super::words::{Token, Word, split};

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// A command or assignments.
    Simple(Vec<Word>),
    /// Each condition with what follows it; then what follows if none holds.
    If(Vec<(List, List)>, List),
    /// A variable, its values, and what is done with each.
    For(String, Vec<Word>, List),
    /// A condition, whether it must hold (`while`) or fail (`until`), and what is repeated.
    While(List, bool, List),
}

/// How a command hangs on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Succeeded,
    Failed,
}

/// Commands one after the other.
pub(super) type List = Vec<(When, Command)>;

/// How deep `if`, `for` and `while` may stand in each other. The shipped script needs 6.
const NESTING_MAX: usize = 32;

/// Reads a whole script. The error names what is wrong with it.
pub(super) fn parse(text: &str) -> Result<List, String> {
    let tokens = split(text)?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0 };
    let list = reader.list(&[])?;
    match reader.keyword() {
        None if reader.at == tokens.len() => Ok(list),
        found => Err(format!("`{}` in the wrong place", found.unwrap_or("&&"))),
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

const KEYWORDS: [&str; 11] =
    ["if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "in"];

impl<'a> Reader<'a> {
    fn keyword(&self) -> Option<&'a str> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => word.plain().filter(|w| KEYWORDS.contains(w)),
            _ => None,
        }
    }

    fn expect(&mut self, keyword: &str) -> Result<(), String> {
        while self.tokens.get(self.at) == Some(&Token::End) {
            self.at += 1;
        }
        if self.keyword() != Some(keyword) {
            return Err(format!("`{keyword}` is missing"));
        }
        self.at += 1;
        Ok(())
    }

    /// Commands up to one of `ends`, which is not consumed, or to the end of the script.
    fn list(&mut self, ends: &[&str]) -> Result<List, String> {
        let mut list = List::new();
        let mut when = When::Always;
        loop {
            match self.tokens.get(self.at) {
                None => return Ok(list),
                Some(Token::End) => {
                    self.at += 1;
                    continue;
                }
                Some(Token::And | Token::Or) => return Err("`&&` or `||` after nothing".into()),
                Some(Token::Word(_)) => {}
            }
            if self.keyword().is_some_and(|k| ends.contains(&k)) {
                return Ok(list);
            }
            let command = self.command()?;
            list.push((when, command));
            when = match self.tokens.get(self.at) {
                Some(Token::And) => When::Succeeded,
                Some(Token::Or) => When::Failed,
                Some(Token::Word(_)) => return Err("a `;` is missing".into()),
                Some(Token::End) | None => When::Always,
            };
            self.at += usize::from(self.at < self.tokens.len());
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        if self.depth == NESTING_MAX {
            return Err(format!("more than {NESTING_MAX} `if`, `for` or `while` in each other"));
        }
        self.depth += 1;
        let command = self.one();
        self.depth -= 1;
        command
    }

    fn one(&mut self) -> Result<Command, String> {
        match self.keyword() {
            Some("if") => self.branches(),
            Some("for") => self.each(),
            Some(word @ ("while" | "until")) => self.repeat(word == "while"),
            Some(other) => Err(format!("`{other}` in the wrong place")),
            None => Ok(Command::Simple(self.words())),
        }
    }

    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.get(self.at) {
            words.push(word.clone());
            self.at += 1;
        }
        words
    }

    fn branches(&mut self) -> Result<Command, String> {
        let mut branches = Vec::new();
        let mut otherwise = List::new();
        loop {
            self.at += 1;
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            if self.keyword() != Some("elif") {
                break;
            }
        }
        if self.keyword() == Some("else") {
            self.at += 1;
            otherwise = self.list(&["fi"])?;
        }
        self.expect("fi")?;
        Ok(Command::If(branches, otherwise))
    }

    fn repeat(&mut self, holds: bool) -> Result<Command, String> {
        self.at += 1;
        let condition = self.list(&["do"])?;
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Command::While(condition, holds, body))
    }

    fn each(&mut self) -> Result<Command, String> {
        self.at += 1;
        let mut head = self.words().into_iter();
        let name = head.next().and_then(|w| w.plain().map(str::to_owned));
        let name = name.ok_or("`for` without a name")?;
        if head.next().as_ref().and_then(Word::plain) != Some("in") {
            return Err("`for` without `in`".into());
        }
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Command::For(name, head.collect(), body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scripts_are_understood() {
        assert!(!parse(include_str!("../../../../uboot-scripts/boot.cmd")).unwrap().is_empty());
        assert!(!parse(include_str!("../../../../uboot-scripts/altboot.cmd")).unwrap().is_empty());
    }

    #[test]
    fn what_is_broken_is_refused() {
        for bad in [
            "if a; then b",
            "fi",
            "if a; b; fi",
            "for x in a; b; done",
            "a && && b",
            "then a",
            "&& a",
            "for x do a; done",
            "while a; do b",
            "until a; b; done",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

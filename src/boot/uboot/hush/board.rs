//! What a script acts on, and what ends it.

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

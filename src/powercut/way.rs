//! Another way by which a story brings its release: a server, or a delta. The program that ships takes it,
//! as its fetcher is a process of its own.

use super::broken;
use super::folder::Folder;
use crate::model::{Failure, ReasonCode, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// What `surefoot install` is told.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// A URL, or the path of a file.
    pub(super) word: String,
}

impl Way {
    /// `word` is a URL or a path. A file is named by its whole path, as devices are folders of their own.
    pub(super) fn of(word: &str) -> Result<Way> {
        if is_url(word) {
            return Ok(Way { word: word.to_owned() });
        }
        let path = Path::new(word).canonicalize();
        let path =
            path.map_err(|e| Failure::new(ReasonCode::NoSuchFile, format!("{word}: {e}")))?;
        let text = path.to_str().ok_or_else(|| broken(word, "its path is no text"))?;
        Ok(Way { word: text.to_owned() })
    }

    /// The names of its two stories: one from the begin, one that goes on after a cut.
    pub(super) fn names(&self) -> [&'static str; 2] {
        match (is_url(&self.word), self.word.ends_with(".delta.surefoot")) {
            (false, true) => {
                ["an update brought by a delta", "an interrupted update brought by a delta"]
            }
            (true, false) => {
                ["an update brought by a server", "an interrupted update brought by a server"]
            }
            (true, true) => [
                "an update brought by a delta of a server",
                "an interrupted update brought by a delta of a server",
            ],
            (false, false) => {
                ["an update brought by a file", "an interrupted update brought by a file"]
            }
        }
    }

    /// `surefoot install` to its end, with nobody typing.
    pub(super) fn install(&self, program: &Path, folder: &Folder, words: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.arg("--config").arg(folder.path.join("surefoot.toml"));
        command.args(["install", &self.word]).args(words).stdin(Stdio::null());
        let done = command.output().map_err(|e| broken(program.display(), e))?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let line = said.lines().find(|line| line.starts_with("surefoot: "));
        let line = line.unwrap_or("no error told");
        let busy = line.ends_with("[BUSY]");
        let code = if busy { ReasonCode::Busy } else { ReasonCode::Io };
        Err(Failure::new(code, format!("`surefoot install {}`: {line}", self.word)))
    }
}

fn is_url(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

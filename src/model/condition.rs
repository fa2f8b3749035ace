//! What an update needs and does not find, in the one shape in which every command tells it.

use super::{ReasonCode, printable};
use serde::{Deserialize, Serialize};

/// What a condition means for an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// No update is begun until it is mended.
    Blocks,
    /// An automatic update waits until it is over; a person does not have to.
    Waits,
    /// Worth knowing before an update; it refuses nothing.
    Warns,
}

/// One thing that is not as an update needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The code that an update is refused with, or would be told with.
    pub code: ReasonCode,
    /// What it means.
    pub kind: ConditionKind,
    /// What is the case, one printable line.
    pub text: String,
    /// What a person does about it.
    pub remedy: String,
}

impl Condition {
    /// A condition with a remedy of its own.
    pub fn new(
        code: ReasonCode,
        kind: ConditionKind,
        text: impl AsRef<str>,
        remedy: impl Into<String>,
    ) -> Condition {
        let text = printable(text.as_ref(), 4096);
        Condition { code, kind, text, remedy: printable(&remedy.into(), 4096) }
    }

    /// A condition whose remedy is that of its code.
    pub fn of(code: ReasonCode, kind: ConditionKind, text: impl AsRef<str>) -> Condition {
        Condition::new(code, kind, text, code.next_step())
    }

    /// Whether it refuses an update.
    pub fn blocks(&self) -> bool {
        self.kind == ConditionKind::Blocks
    }
}

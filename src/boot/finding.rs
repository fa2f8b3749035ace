//! How far the rollback of a board can be trusted, and why.

use serde::{Deserialize, Serialize};

/// The worst finding decides; in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A failed trial comes back by itself.
    Armed,
    /// It comes back, but something that should stand behind it is missing.
    Weak,
    /// It would not come back: nothing is armed.
    Off,
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Grade::Armed => "armed",
            Grade::Weak => "weak",
            Grade::Off => "off",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it makes of the grade.
    pub level: Grade,
    /// What is the case.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding that leaves no way back.
    pub(super) fn off(reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Grade::Off, reason: reason.into(), remedy: remedy.into() }
    }

    /// A finding that leaves one.
    pub(super) fn weak(reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Grade::Weak, reason: reason.into(), remedy: remedy.into() }
    }
}

/// The grade of a list of findings: the worst, `Armed` if there is none.
pub fn overall(findings: &[Finding]) -> Grade {
    let levels = findings.iter().map(|f| f.level);
    levels.max().unwrap_or(Grade::Armed)
}

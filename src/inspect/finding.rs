//! What the doctor says: findings, each with what it means and what to do.

use crate::boot::Grade;
use crate::device::Found;
use crate::model::{Condition, ConditionKind, Failure, ReasonCode, printable};
use serde::{Deserialize, Serialize};

/// What a finding means for updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is wrong.
    Notice,
    /// Works, and could be better.
    Warning,
    /// No update may be tried.
    Blocking,
}

/// As long as a text or a remedy is at most: there may be every failing check in it.
const TEXT_MAX: usize = 4_096;

/// One thing looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub topic: String,
    /// What it means.
    pub level: Level,
    /// What is the case.
    pub text: String,
    /// What to do; empty for a good finding.
    pub remedy: String,
    /// The code that an update would be refused with, or told with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ReasonCode>,
    /// What it means for an update; only where there is a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ConditionKind>,
}

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The version of this answer's shape.
    pub v: u32,
    /// Whether a bad update would come back.
    pub rollback: Grade,
    /// Everything looked at, in order.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Why no update may be tried, if so: what an installation would be refused with.
    pub fn blocking(&self) -> Option<Failure> {
        let first = self.findings.iter().find(|f| f.level == Level::Blocking)?;
        Some(Failure::new(first.code?, &first.text).with_next(&first.remedy))
    }

    /// Of everything that blocks, what ends with the highest exit status.
    pub fn worst(&self) -> Option<Failure> {
        let blocking = self.findings.iter().filter(|f| f.level == Level::Blocking);
        let coded = blocking.filter_map(|f| Some((f, f.code?)));
        // Of equals the first, which stands before what may follow from it.
        let worst = coded.rev().max_by_key(|(_, code)| code.class().exit_status());
        worst.map(|(f, code)| Failure::new(code, &f.text).with_next(&f.remedy))
    }

    /// Whether something was found about a topic.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.findings.iter().any(|f| f.topic == topic)
    }

    /// What `readiness` has found about a topic.
    pub(super) fn found(&mut self, topic: &str, found: &[Found]) {
        for Found { condition, .. } in found.iter().filter(|f| f.topic == topic) {
            let Condition { code, kind, text, remedy } = condition.clone();
            let level = match kind {
                ConditionKind::Blocks => Level::Blocking,
                ConditionKind::Waits => Level::Notice,
                ConditionKind::Warns => Level::Warning,
            };
            self.push(topic, level, text, remedy, Some((code, kind)));
        }
    }

    pub(crate) fn new() -> Diagnosis {
        Diagnosis { v: 1, rollback: Grade::Off, findings: Vec::new() }
    }

    pub(crate) fn good(&mut self, topic: &str, text: String) {
        self.push(topic, Level::Good, text, String::new(), None);
    }

    pub(crate) fn notice(&mut self, topic: &str, text: String, remedy: String) {
        self.push(topic, Level::Notice, text, remedy, None);
    }

    pub(crate) fn warn(&mut self, topic: &str, text: String, remedy: String) {
        self.push(topic, Level::Warning, text, remedy, None);
    }

    fn push(
        &mut self,
        topic: &str,
        level: Level,
        text: String,
        remedy: String,
        told: Option<(ReasonCode, ConditionKind)>,
    ) {
        let (topic, code) = (topic.to_owned(), told.map(|(code, _)| code));
        let kind = told.map(|(_, kind)| kind);
        // Names of folders and files, and what the environment says, are parts of both.
        let [text, remedy] = [text, remedy].map(|said| printable(&said, TEXT_MAX));
        self.findings.push(Finding { topic, level, text, remedy, code, kind });
    }

    /// A failure becomes a blocking finding; what it kept from being looked at is not guessed.
    pub(crate) fn block(&mut self, topic: &str, failure: &Failure) {
        let (text, remedy) = (failure.detail().to_owned(), failure.next().to_owned());
        let told = Some((failure.code(), ConditionKind::Blocks));
        self.push(topic, Level::Blocking, text, remedy, told);
    }
}

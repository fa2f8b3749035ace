//! One error for all rooms: a reason code a machine acts on, a detail a person reads.

use super::{Condition, Owner, ReasonCode, printable};

/// The result of everything in this crate that can fail for a reason worth naming.
pub type Result<T> = std::result::Result<T, Failure>;

/// Room for every failing check by its name ([`super::Against`]).
const DETAIL_MAX: usize = 4096;

/// Why something did not happen. The code decides exit status, retry and log level; the detail
/// is one printable line that says what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: ReasonCode,
    detail: String,
    more: Option<Box<More>>,
}

/// What only some failures have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct More {
    next: Option<String>,
    conditions: Vec<Condition>,
    owner: Option<Owner>,
}

impl Failure {
    /// A failure with its stable code and one line for people. Foreign bytes in `detail` are
    /// made printable here, so that no caller can forget (threat: escape sequences in a log).
    pub fn new(code: ReasonCode, detail: impl AsRef<str>) -> Self {
        Failure { code, detail: printable(detail.as_ref(), DETAIL_MAX), more: None }
    }

    /// The stable reason code.
    pub fn code(&self) -> ReasonCode {
        self.code
    }

    /// What was found, one printable line.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What a person does next, one sentence: its own, or that of its code.
    pub fn next(&self) -> &str {
        let own = self.more.as_ref().and_then(|more| more.next.as_deref());
        own.unwrap_or_else(|| self.code.next_step())
    }

    /// Everything that an update needs and did not find, where that was looked at.
    pub fn conditions(&self) -> &[Condition] {
        self.more.as_ref().map_or(&[], |more| &more.conditions)
    }

    /// What `--json` answers instead of a result.
    pub fn document(&self) -> serde_json::Value {
        let (code, detail, next) = (self.code, &self.detail, self.next());
        let error = serde_json::json!({ "code": code, "detail": detail, "next": next });
        let mut document = serde_json::json!({ "v": 1, "error": error });
        if let Some(owner) = self.owner() {
            document["error"]["owner"] = serde_json::json!(owner);
        }
        if !self.conditions().is_empty() {
            document["findings"] = serde_json::json!(self.conditions());
        }
        document
    }

    /// The same failure with a next step that fits this case better than the code's own.
    #[must_use]
    pub fn with_next(mut self, next: impl AsRef<str>) -> Self {
        let next = printable(next.as_ref(), 512);
        if next != self.code.next_step() {
            self.more.get_or_insert_default().next = Some(next);
        }
        self
    }

    /// The same failure with everything that was found beside it.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Vec<Condition>) -> Self {
        if !conditions.is_empty() {
            self.more.get_or_insert_default().conditions = conditions;
        }
        self
    }

    /// The same failure with its place in front: `slot b: …`.
    #[must_use]
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        let placed = Failure::new(self.code, format!("{place}: {}", self.detail));
        Failure { more: self.more, ..placed }
    }

    /// The same failure, of one who stands in the way.
    #[must_use]
    pub fn held_by(self, owner: Owner) -> Self {
        let mut more = self.more.unwrap_or_default();
        more.owner = Some(owner);
        Failure { more: Some(more), ..self }
    }

    /// Who stands in the way, where that is known.
    pub fn owner(&self) -> Option<&Owner> {
        self.more.as_ref().and_then(|more| more.owner.as_ref())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.detail, self.code)
    }
}

impl std::error::Error for Failure {}

/// Turns a foreign error into a [`Failure`] where the caller knows what it means.
pub trait WithReason<T> {
    /// `detail` says what was being done; the foreign error's text follows it.
    fn reason(self, code: ReasonCode, detail: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: std::fmt::Display> WithReason<T> for std::result::Result<T, E> {
    fn reason(self, code: ReasonCode, detail: impl std::fmt::Display) -> Result<T> {
        self.map_err(|e| Failure::new(code, format!("{detail}: {e}")))
    }
}

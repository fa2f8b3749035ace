//! What is answered, and how it is read from a document.

#[cfg(feature = "apps")]
use crate::apps::AppsStatus;
#[cfg(feature = "apps")]
use crate::device::AppsAnswer;
use crate::device::{Answer, Cancellation, Hold, Installed, Judgement, Offering, Updated, Why};
use crate::event::Event;
use crate::inspect::{Diagnosis, Status};
use crate::install::SlotVerdict;
use crate::model::{Condition, Failure, Owner, ReasonCode, Result, SlotId, WithReason, from_value};
use crate::update::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which versions answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// The version of this answer's shape.
    pub v: u32,
    /// Of the updater.
    pub updater: String,
    /// Of what can be asked for: raised when something goes away or changes its meaning.
    pub api: u32,
}

impl Version {
    /// Of this program.
    pub(super) fn own() -> Version {
        Version { v: 1, updater: env!("CARGO_PKG_VERSION").to_owned(), api: 1 }
    }
}

/// The moves that ended, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct History {
    /// The version of this answer's shape.
    pub v: u32,
    /// Each of them.
    pub history: Vec<Outcome>,
}

/// What stands in a slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// The version of this answer's shape.
    pub v: u32,
    /// The slot.
    pub slot: SlotId,
    /// How it compares with its record.
    #[serde(flatten)]
    pub verdict: SlotVerdict,
}

/// An answer that is one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Said {
    /// The version of this answer's shape.
    pub v: u32,
    /// The line.
    pub text: String,
}

/// One event with its place in the order of the daemon's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The version of this line's shape.
    pub v: u32,
    /// Counts from 1 in the daemon's life.
    pub number: u64,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A line that a service of an app has printed.
#[cfg(feature = "apps")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The version of this line's shape.
    pub v: u32,
    /// The service.
    pub service: String,
    /// What it has printed.
    pub text: String,
}

/// The bundle for support.
pub type Report = serde_json::Value;

macro_rules! responses {
    ($($(#[cfg($when:meta)])? $name:ident)*) => {
        /// The answer to a request, by its shape. As JSON it is the answer itself.
        #[expect(clippy::large_enum_variant, reason = "there is one for each request")]
        #[derive(Debug, Serialize)]
        #[serde(untagged)]
        pub enum Response {
            $($(#[cfg($when)])? #[doc = concat!("[`", stringify!($name), "`].")] $name($name),)*
        }

        $($(#[cfg($when)])? impl TryFrom<Response> for $name {
            type Error = Failure;

            fn try_from(response: Response) -> Result<$name> {
                match response {
                    Response::$name(answer) => Ok(answer),
                    _ => Err(Failure::new(
                        ReasonCode::Internal,
                        concat!("the answer is no ", stringify!($name)),
                    )),
                }
            }
        })*
    };
}

responses! {
    Version Status Why History Diagnosis Report Verified Numbered Installed Judgement Answer
    Cancellation Hold Said Offering Updated
    #[cfg(feature = "apps")] AppsStatus
    #[cfg(feature = "apps")] LogLine
    #[cfg(feature = "apps")] AppsAnswer
}

/// Reads the document of an answer. `DAEMON_SILENT` where it is none that this program knows.
pub(super) fn read<T: DeserializeOwned>(document: &Value) -> Result<T> {
    from_value(document).reason(ReasonCode::DaemonSilent, "the answer is of another version")
}

/// Its text.
pub(super) fn parse(text: &str) -> Result<Value> {
    serde_json::from_slice(text.as_bytes()).reason(ReasonCode::DaemonSilent, "the answer is none")
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
    #[serde(default)]
    findings: Vec<Condition>,
}

#[derive(Deserialize)]
struct Refusal {
    code: ReasonCode,
    detail: String,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    owner: Option<Owner>,
}

/// Reads the document of a failure.
pub(super) fn refused(document: &Value) -> Failure {
    match from_value::<Refused>(document) {
        // No code of ours: the request did not get as far as that.
        Ok(Refused { error, .. }) if error.code == ReasonCode::Unknown => {
            Failure::new(ReasonCode::DaemonSilent, error.detail)
        }
        Ok(Refused { error, findings }) => {
            let failure = Failure::new(error.code, error.detail).with_conditions(findings);
            let failure = error.owner.into_iter().fold(failure, Failure::held_by);
            match error.next {
                Some(next) => failure.with_next(next),
                None => failure,
            }
        }
        Err(e) => Failure::new(ReasonCode::DaemonSilent, format!("the answer is none: {e}")),
    }
}

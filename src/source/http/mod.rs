//! Files on web servers. A process of its own, the fetcher, speaks with the network: it has no rights,
//! keeps nothing, and is asked through a socket. What comes is not trusted here: signatures and hashes
//! decide elsewhere.

mod caller;
mod certificate;
mod check;
mod client;
mod diagnose;
mod dial;
mod flow;
mod gateway;
mod order;
mod question;
mod reach;
mod resource;
mod serve;
mod tls;
mod transport;
mod url;

pub use caller::{Found, checked, document, open, reach};
pub use diagnose::{Step, looked_at};
pub use question::{Head, Setup, Want};
pub use serve::{run_fetcher, status};
pub use url::Url;

use crate::model::{Failure, ReasonCode};
use std::time::Duration;

/// The fetcher's socket, where it is a unit of this device.
const SOCKET: &str = "fetch.sock";

/// No server has this device wait for longer.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// A fetcher that has failed is believed no more bytes than these: sums of it stay numbers.
const RECEIVED_MAX: u64 = 1 << 40;

/// Why a document did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// What was found.
    pub failure: Failure,
    /// How long the server wants not to be asked again, at the least.
    pub wait: Option<Duration>,
    /// Bytes of the bodies that came all the same.
    pub received: u64,
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Denied {
        Denied { failure, wait: None, received: 0 }
    }
}

impl Denied {
    /// What a fetcher says; `report`: when it was to send one.
    fn said(failed: question::Failed, report: bool) -> Denied {
        let wait = failed.wait.map(|wait| Duration::from_secs(wait).min(WAIT_MAX));
        let refused = report && failed.reason == ReasonCode::ReportRefused;
        let reason = if refused { failed.reason } else { believed(failed.reason) };
        let received = failed.received.min(RECEIVED_MAX);
        Denied { failure: Failure::new(reason, failed.detail), wait, received }
    }
}

/// What a fetcher may fail with. It knows nothing of signatures, releases and this device, and what it
/// says of them would count as found here.
fn believed(code: ReasonCode) -> ReasonCode {
    let own = matches!(
        code,
        ReasonCode::NameUnknown
            | ReasonCode::Unreachable
            | ReasonCode::ProxyRefused
            | ReasonCode::TlsRefused
            | ReasonCode::ClockWrong
            | ReasonCode::CaptivePortal
            | ReasonCode::RedirectRefused
            | ReasonCode::HttpStatus
            | ReasonCode::HttpAnswer
            | ReasonCode::HttpRange
            | ReasonCode::HttpEncoding
            | ReasonCode::SourceChanged
            | ReasonCode::Stalled
            | ReasonCode::BudgetSpent
            | ReasonCode::ConfigInvalid
            | ReasonCode::NoMemory
    );
    if own { code } else { ReasonCode::SourceLost }
}

/// A try that failed.
#[derive(Debug, Clone)]
struct Miss {
    failure: Failure,
    /// Whether another try may bring more.
    again: bool,
    /// How long the server wants not to be asked again.
    wait: Option<Duration>,
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Miss {
        let again = dial::may_pass(&failure);
        Miss { failure, again, wait: None }
    }
}

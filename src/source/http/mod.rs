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
pub use diagnose::{Step, diagnose};
pub use question::{Head, Setup, Want};
pub use serve::{run_fetcher, status};
pub use url::Url;

use crate::model::Failure;
use std::time::Duration;

/// The fetcher's socket, where it is a unit of this device.
const SOCKET: &str = "fetch.sock";

/// Why a document did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// What was found.
    pub failure: Failure,
    /// How long the server wants not to be asked again, at the least.
    pub wait: Option<Duration>,
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Denied {
        Denied { failure, wait: None }
    }
}

impl From<question::Failed> for Denied {
    fn from(failed: question::Failed) -> Denied {
        let wait = failed.wait.map(Duration::from_secs);
        Denied { failure: Failure::new(failed.reason, failed.detail), wait }
    }
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

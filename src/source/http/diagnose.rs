//! What stands between this device and a file on a server, looked at step by step, for people.

use super::Setup;
use super::believed;
use super::caller::document;
use super::certificate::describe;
use super::check::{Mark, length, part};
use super::client::{Ask, Client};
use super::dial::proxy_for;
use super::question::Want;
use super::url::Url;
use crate::model::{Failure, ReasonCode, Result, WithReason, from_json, printable};
use crate::source::names;
use crate::sys::clock;
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it was, one word.
    pub topic: String,
    /// What was found.
    pub text: String,
    /// What to do; empty where there is nothing to do.
    pub next: String,
    /// What fetching ends with for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ReasonCode>,
}

/// For one address.
const PATIENCE: Duration = Duration::from_secs(5);

impl Step {
    fn good(topic: &'static str, text: String) -> Step {
        Step { topic: topic.to_owned(), text, next: String::new(), code: None }
    }

    fn bad(topic: &'static str, failure: &Failure) -> Step {
        // What leads to this very look is no advice here.
        let next = match failure.code() {
            ReasonCode::Unreachable => "Check the link, the address and the server.",
            ReasonCode::TlsRefused => "Compare `[source] roots` with the server's certificate.",
            _ => failure.next(),
        };
        let (text, next) = (failure.detail().to_owned(), next.to_owned());
        Step { topic: topic.to_owned(), text, next, code: Some(failure.code()) }
    }
}

/// What the fetcher finds on the way to this file: the process that would fetch it, with no more rights.
pub fn looked_at(url: &str, net: &Setup, run: &Path) -> Vec<Step> {
    let found = document(url, Want::Diagnose, net.clone(), run)
        .map_err(|denied| denied.failure)
        .and_then(|(_, bytes)| {
            from_json::<Vec<Step>>(&bytes).reason(ReasonCode::SourceLost, "the fetcher's answer")
        });
    let mut steps = match found {
        Ok(steps) => steps,
        Err(failure) => vec![Step::bad("fetcher", &failure)],
    };
    for step in &mut steps {
        step.topic = printable(&step.topic, 20);
        (step.text, step.next) = (printable(&step.text, 1_000), printable(&step.next, 1_000));
        step.code = step.code.map(believed);
    }
    steps
}

/// Looks at everything on the way to this file; it is asked for once.
pub(super) fn diagnose(url: &Url, net: &Setup) -> Vec<Step> {
    let mut steps = Vec::new();
    let scheme = Step::good("url", url.shown());
    steps.push(match url.https {
        true => scheme,
        false => {
            let next = "Releases are signed, so that none can be forged; who is on the way can read along.";
            Step { text: format!("{}: not encrypted", scheme.text), next: next.to_owned(), ..scheme }
        }
    });
    let now = clock::unix_seconds();
    steps.push(match clock::is_set(now) {
        true => Step::good("clock", clock::utc(now)),
        false => Step {
            next: ReasonCode::ClockWrong.next_step().to_owned(),
            ..Step::good("clock", format!("{}: not set", clock::utc(now)))
        },
    });
    let proxy = match proxy_for(net, url) {
        Ok(proxy) => proxy,
        Err(failure) => {
            steps.push(Step::bad("proxy", &failure));
            return steps;
        }
    };
    let place = proxy.as_ref().unwrap_or(url);
    if let Some(proxy) = &proxy {
        steps.push(Step::good("proxy", proxy.authority()));
    }
    match names::lookup(&place.host, Instant::now() + Duration::from_millis(net.connect)) {
        Err(failure) => {
            steps.push(Step::bad("name", &failure));
            return steps;
        }
        Ok(found) => {
            let all: Vec<String> = found.iter().map(ToString::to_string).collect();
            steps.push(Step::good("name", format!("{}: {}", place.host, all.join(", "))));
            for address in found {
                let to = SocketAddr::new(address, place.port);
                steps.push(match TcpStream::connect_timeout(&to, PATIENCE) {
                    Ok(_) => Step::good("address", format!("{to}: answers")),
                    // Another address may answer: whether the file comes says the last step.
                    Err(e) => Step {
                        next: "Nothing, where another address answers.".to_owned(),
                        ..Step::good("address", format!("{to}: {e}"))
                    },
                });
            }
        }
    }
    match ask(url, net) {
        Ok(found) => steps.extend(found),
        Err(failure) => {
            let tls = matches!(failure.code(), ReasonCode::TlsRefused | ReasonCode::ClockWrong);
            steps.push(Step::bad(if tls { "tls" } else { "http" }, &failure));
        }
    }
    steps
}

fn ask(url: &Url, net: &Setup) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let client = Client::new(net.clone(), url)?;
    let asked = 0..1;
    let ask = Ask { part: Some(asked.clone()), far: true, ..Ask::default() };
    let reply = client.ask(url, &ask).map_err(|miss| miss.failure)?;
    if let Some(der) = client.certificate(&reply.url) {
        let text = describe(&der).unwrap_or_else(|| "its certificate cannot be read".to_owned());
        steps.push(Step::good("tls", format!("{}: {text}", reply.url.host)));
    }
    if reply.url != *url {
        steps.push(Step::good("redirect", reply.url.shown()));
    }
    let mark = match Mark::of(&reply.headers)?.strong() {
        Some(tag) => format!("marked {tag}"),
        None => "without a strong ETag".to_owned(),
    };
    let (size, parts) = match reply.status {
        206 => (Some(part(&reply.headers, &asked)?.1), true),
        _ => (length(&reply.headers)?, false),
    };
    let size = size.map_or_else(|| "of unknown length".to_owned(), |n| format!("{n} bytes"));
    let text = format!("status {}, {size}, {mark}", reply.status);
    steps.push(Step::good("http", text));
    steps.push(match parts {
        true => {
            Step::good("parts", "the server gives parts: only what changed is fetched".to_owned())
        }
        false => Step {
            next: "Use a server that answers `Range`; else every update is fetched as a whole."
                .to_owned(),
            ..Step::good("parts", "the server gives no parts".to_owned())
        },
    });
    Ok(steps)
}

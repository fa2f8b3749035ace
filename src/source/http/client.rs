//! One request, its redirects and its answer.

use super::Miss;
use super::check::{broken, denied};
use super::dial::{basic, lost, proxy_for};
use super::flow::{Flow, Trickle};
use super::question::Setup;
use super::tls;
use super::transport::{Dialer, Known, Lines, NoResolver, limited};
use super::url::{Url, Zone};
use crate::model::{Failure, ReasonCode, Result, printable};
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, BodyReader, Timeout};

/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;

/// The head of an answer, bytes.
const HEAD_MAX: usize = 64 << 10;

/// Of a page that is not the file; what is behind it is not waited for, bytes.
const PAGE_MAX: usize = 64 << 10;
const PAGE_TIME: Duration = Duration::from_secs(2);

const AGENT: &str = concat!("surefoot/", env!("CARGO_PKG_VERSION"));

/// Asks servers, over connections that it keeps.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    dialer: Arc<Dialer>,
    pub(super) flow: Flow,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask<'a> {
    /// This part only.
    pub(super) part: Option<Range<u64>>,
    /// The part only where these are still the same bytes.
    pub(super) same: Option<&'a str>,
    /// Nothing where these are still the same bytes.
    pub(super) known: Option<&'a str>,
    /// What is sent.
    pub(super) body: Option<&'a str>,
    /// A redirect may lead to another host.
    pub(super) far: bool,
}

/// An answer; its body is not read yet.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Where it came from, after all redirects.
    pub(super) url: Url,
    pub(super) body: Body,
}

impl Client {
    /// By this setup, for what is at this URL. `CONFIG_INVALID` as [`tls::config`] has it.
    pub(super) fn new(setup: Setup, url: &Url) -> Result<Arc<Client>> {
        let flow = Flow::new(&setup);
        let tls = Arc::new(tls::config(&setup)?);
        let nameless = tls::config(&Setup { client: None, ..setup.clone() })?;
        let (home, nameless) = (url.host.clone(), Arc::new(nameless));
        let (header, stall) =
            (Duration::from_millis(setup.header), Duration::from_millis(setup.stall));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(AGENT)
            .accept("*/*")
            .accept_encoding("identity")
            .max_response_header_size(HEAD_MAX)
            .max_idle_connections(8)
            .max_idle_connections_per_host(8)
            .max_idle_age(Duration::from_secs(10))
            .timeout_send_request(Some(header))
            .timeout_send_body(Some(stall))
            .timeout_recv_response(Some(header))
            // Of a body; the head has its own limit.
            .timeout_per_read(Some(stall))
            .build();
        let known = Mutex::new(Known::default());
        let dialer = Arc::new(Dialer { setup, home, tls, nameless, known });
        let agent = Agent::with_parts(config, Lines(dialer.clone()), NoResolver);
        Ok(Arc::new(Client { agent, dialer, flow }))
    }

    /// Whether a file that is not found is asked for once only.
    pub(super) fn asks_once(&self) -> bool {
        self.dialer.setup.once
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.dialer.setup
    }

    /// The address that a host was reached at.
    pub(super) fn peer(&self, url: &Url) -> Option<std::net::IpAddr> {
        self.known().peers.get(&url.authority()).copied()
    }

    /// The certificate that it has shown.
    pub(super) fn certificate(&self, url: &Url) -> Option<Vec<u8>> {
        self.known().certificates.get(&url.authority()).cloned()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.dialer.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and goes where redirects lead to. An answer that is neither the file, nor a part of it,
    /// nor `304` is a [`Miss`].
    pub(super) fn ask(&self, url: &Url, ask: &Ask<'_>) -> std::result::Result<Reply, Miss> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut reply = self.once(&at, ask)?;
            if !matches!(reply.status, 200..=299 | 304) {
                self.pass_over(&mut reply.body);
            }
            match reply.status {
                200..=299 | 304 => return Ok(reply),
                301 | 302 | 303 | 307 | 308 => at = self.next(&at, &reply, ask)?,
                status => {
                    let report = ask.body.is_some();
                    return Err(denied(&at.shown(), (status, report), &reply.headers));
                }
            }
        }
        let text = format!("{}: more than {REDIRECTS_MAX} redirects", url.shown());
        Err(Failure::new(ReasonCode::RedirectRefused, text).into())
    }

    /// Reads the page of an answer that is not the file: it has come, and counts.
    fn pass_over(&self, body: &mut Body) {
        let (mut block, mut left) = ([0; 4 << 10], PAGE_MAX);
        let start = Instant::now();
        // A page that trickles keeps the code of its answer back for no longer.
        while left > 0 && start.elapsed() < PAGE_TIME {
            match body.read(&mut block, &self.flow) {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }

    /// Where a redirect leads to, if it may.
    fn next(&self, from: &Url, reply: &Reply, ask: &Ask<'_>) -> Result<Url> {
        let refused = |to: &str, why: &str| {
            let to = printable(to.split('?').next().unwrap_or_default(), 200);
            let text = format!("{} leads to {to}: {why}", from.shown());
            Err(Failure::new(ReasonCode::RedirectRefused, text))
        };
        let location = reply.headers.get("location").and_then(|l| l.to_str().ok());
        let Some(location) = location else {
            return Err(broken(format!("{}: a redirect to nowhere", from.shown())));
        };
        let mut to = match from.join(location) {
            Ok(to) => to,
            Err(why) => return refused(location, &why),
        };
        if from.https && !to.https {
            return refused(&to.shown(), "it would leave TLS");
        }
        if to.login.is_some() {
            return refused(&to.shown(), "a server hands out no credentials");
        }
        let far = from.host != to.host;
        if far && !(ask.far && to.https) {
            return refused(&to.shown(), "another host; a network with a login page does this too");
        }
        if ask.body.is_some() {
            return refused(&to.shown(), "a report goes where it is sent to");
        }
        if from.same_host(&to) {
            to.login.clone_from(&from.login);
        }
        // Of what a proxy reaches, the peer that is known is the proxy.
        let proxied = proxy_for(self.setup(), from)?.is_some();
        let mut known = self.known();
        let peer = known.peers.get(&from.authority()).filter(|_| !proxied);
        let origin = peer.map_or(Zone::written(&from.host), |a| Zone::of(*a));
        // A connection that is kept was made before this limit was there.
        let proxied = proxy_for(self.setup(), &to)?.is_some();
        let reached = known.peers.get(&to.authority()).filter(|_| !proxied);
        if reached.is_some_and(|a| Zone::of(*a) < origin) {
            drop(known);
            return refused(&to.shown(), "nearer to this device than its origin");
        }
        known.nearest.insert(to.authority(), origin);
        Ok(to)
    }

    /// The status of one answer, whatever it is.
    pub(super) fn status(&self, url: &Url) -> Result<u16> {
        self.once(url, &Ask::default()).map(|reply| reply.status)
    }

    fn once(&self, url: &Url, ask: &Ask<'_>) -> Result<Reply> {
        let method = if ask.body.is_some() { "POST" } else { "GET" };
        let bare = Url { login: None, ..url.clone() };
        let mut request = Request::builder().method(method).uri(bare.asked());
        if let Some(part) = &ask.part {
            let last = part.end.saturating_sub(1);
            request = request.header("range", format!("bytes={}-{last}", part.start));
        }
        let marks = [("if-range", ask.same), ("if-none-match", ask.known)];
        for (name, value) in marks {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(login) = url.login.as_deref().filter(|_| url.may_carry_login()) {
            request = request.header("authorization", basic(login));
        }
        let proxy = proxy_for(self.setup(), url)?.filter(|_| !url.https);
        if let Some(login) = proxy.and_then(|p| p.login) {
            request = request.header("proxy-authorization", basic(&login));
        }
        let unfit = |e: ureq::http::Error| broken(format!("{}: {e}", url.shown()));
        let sent = match ask.body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_owned()).map_err(unfit)?)
            }
            None => self.agent.run(request.body(()).map_err(unfit)?),
        };
        let answer = sent.map_err(|e| told(url, e, self.setup().floor))?;
        let (parts, body) = answer.into_parts();
        let body = Body {
            reader: body.into_reader(),
            url: url.clone(),
            signed: self.setup().floor,
            trickle: Trickle::new(self.setup()),
            patience: Duration::from_millis(self.setup().header.max(self.setup().stall)),
        };
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, url: url.clone(), body })
    }
}

/// What an error of the library means.
fn told(url: &Url, error: ureq::Error, signed: u64) -> Failure {
    let shown = url.shown();
    match error {
        ureq::Error::Io(error) => {
            let inner = error.get_ref();
            if let Some(own) = inner.and_then(|e| e.downcast_ref::<Failure>()) {
                return own.clone();
            }
            match inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(error) => tls::meaning(&url.host, error, signed),
                None => lost(&shown, &error),
            }
        }
        ureq::Error::Timeout(Timeout::RecvBody | Timeout::PerRead) => {
            Failure::new(ReasonCode::Stalled, format!("{shown}: nothing came for too long"))
        }
        ureq::Error::Timeout(_) => {
            Failure::new(ReasonCode::Unreachable, format!("{shown}: no answer in time"))
        }
        other => broken(format!("{shown}: {other}")),
    }
}

/// The body of an answer, as fast as it may come.
pub(super) struct Body {
    reader: BodyReader<'static>,
    url: Url,
    signed: u64,
    trickle: Trickle,
    /// For one piece of it.
    patience: Duration,
}

impl Body {
    /// Some bytes; 0 is the end.
    pub(super) fn read(&mut self, buf: &mut [u8], flow: &Flow) -> Result<usize> {
        let most = buf.len().min(flow.piece());
        let start = Instant::now();
        let read = limited(self.patience, || self.reader.read(&mut buf[..most]));
        let n = read.map_err(|e| told(&self.url, e.into(), self.signed))?;
        let shown =
            |f: Failure| Failure::new(f.code(), format!("{}: {}", self.url.shown(), f.detail()));
        self.trickle.came(n, start.elapsed()).map_err(shown)?;
        flow.came(n)?;
        Ok(n)
    }
}

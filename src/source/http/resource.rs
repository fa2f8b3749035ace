//! A file on a server: found, and read in parts or as it comes, over every cut.

use super::Miss;
use super::check::{Mark, broken, is_page, length, part};
use super::client::{Ask, Body, Client, Reply};
use super::question::Head;
use super::url::Url;
use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked for first: it holds header, signatures and manifest of an ordinary artifact, and tells whether
/// there are parts. What lies behind is asked for by who knows what is missing.
const FIRST: u64 = 2 << 10;

/// Bytes that are read at once.
const BLOCK: usize = 32 << 10;

/// A file on a server that answers parts of it.
pub(super) struct Resource {
    client: Arc<Client>,
    url: Url,
    /// Where it was found; the redirects that led there are followed again after a failure.
    at: Mutex<Url>,
    pub(super) len: u64,
    mark: Mark,
    first: Vec<u8>,
}

/// What a URL has led to.
pub(super) enum Opened {
    Parts(Resource, Head),
    Whole(Whole, Head),
}

fn cut(url: &Url) -> Miss {
    let text = format!("{}: the connection was cut", url.shown());
    Failure::new(ReasonCode::Unreachable, text).into()
}

/// A page is no file. What says which part of a file it is is none, whatever it calls itself: small servers call every part so.
fn no_page(reply: &Reply) -> Result<()> {
    match reply.status != 206 && is_page(&reply.headers) {
        false => Ok(()),
        true => {
            let text = format!("{}: a page came in place of the file", reply.url.shown());
            Err(Failure::new(ReasonCode::CaptivePortal, text))
        }
    }
}

fn head(client: &Client, reply: &Reply, len: Option<u64>, mark: &Mark) -> Head {
    Head {
        len,
        etag: mark.strong().map(str::to_owned),
        ranges: reply.status == 206,
        status: reply.status,
        url: reply.url.shown(),
        address: client.peer(&reply.url).map(|a| a.to_string()),
    }
}

/// Finds it, and tries again for as long as the setup says.
pub(super) fn open(client: &Arc<Client>, url: &Url) -> Result<Opened> {
    loop {
        let before = client.flow.received();
        match try_open(client, url) {
            Ok(opened) => return Ok(opened),
            Err(miss) if client.asks_once() => return Err(miss.failure),
            Err(miss) => {
                let fruit = client.flow.received() > before;
                client.flow.pause(miss, fruit, &AtomicBool::new(false))?;
            }
        }
    }
}

fn try_open(client: &Arc<Client>, url: &Url) -> std::result::Result<Opened, Miss> {
    let asked = 0..FIRST;
    let mut reply =
        client.ask(url, &Ask { part: Some(asked.clone()), far: true, ..Ask::default() })?;
    no_page(&reply)?;
    let mark = Mark::of(&reply.headers)?;
    match reply.status {
        206 => {
            let (range, len) = part(&reply.headers, &asked)?;
            let mut first = Vec::new();
            let read = read(&mut reply.body, client, range.end, &mut first);
            read.or_else(|failure| if first.is_empty() { Err(failure) } else { Ok(()) })?;
            // What came of it is a beginning; the rest is asked for when it is wanted.
            if first.is_empty() {
                return Err(cut(url));
            }
            let head = head(client, &reply, Some(len), &mark);
            let (client, url, at) = (client.clone(), url.clone(), Mutex::new(reply.url));
            Ok(Opened::Parts(Resource { client, url, at, len, mark, first }, head))
        }
        200 => {
            let len = length(&reply.headers)?;
            let head = head(client, &reply, len, &mark);
            let (client, url) = (client.clone(), url.clone());
            Ok(Opened::Whole(Whole { client, url, mark, len, at: 0, body: Some(reply.body) }, head))
        }
        status => Err(broken(format!("{}: {status} is no answer to this", url.shown())).into()),
    }
}

/// Appends to `into` until it has `most` bytes or the body ends.
fn read(body: &mut Body, client: &Client, most: u64, into: &mut Vec<u8>) -> Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let left = most.saturating_sub(into.len() as u64);
        let want = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        if want == 0 {
            return Ok(());
        }
        match body.read(&mut block[..want], &client.flow)? {
            0 => return Ok(()),
            n => into.extend_from_slice(&block[..n]),
        }
    }
}

impl Resource {
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The bytes of `range`, over every cut. Gives up where `stop` is set.
    pub(super) fn piece(&self, range: &Range<u64>, stop: &AtomicBool) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.first.len());
        found.extend_from_slice(&self.first[at(range.start)..at(range.end)]);
        let len = range.end - range.start;
        while (found.len() as u64) < len && !stop.load(Ordering::Relaxed) {
            let before = found.len();
            match self.some(range.start + before as u64..range.end, &mut found, len) {
                Ok(()) => self.client.flow.runs(),
                Err(miss) => self.client.flow.pause(miss, found.len() > before, stop)?,
            }
        }
        Ok(found)
    }

    /// One request for the rest.
    fn some(
        &self,
        rest: Range<u64>,
        into: &mut Vec<u8>,
        len: u64,
    ) -> std::result::Result<(), Miss> {
        let at = || self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = at().clone();
        let ask =
            Ask { part: Some(rest.clone()), same: self.mark.strong(), far: true, ..Ask::default() };
        let asked = self.client.ask(&from, &ask);
        let mut reply = match asked {
            Ok(reply) => reply,
            Err(miss) => {
                // What a redirect has led to may hold for a while only.
                let again = miss.again || from != self.url;
                at().clone_from(&self.url);
                return Err(Miss { again, ..miss });
            }
        };
        no_page(&reply)?;
        self.mark.same(&Mark::of(&reply.headers)?)?;
        let shown = from.shown();
        if reply.status != 206 {
            // The mark is the same one, or there is none that could be trusted.
            let text = format!("{shown}: the server answers no parts any more");
            return Err(Failure::new(ReasonCode::HttpRange, text).into());
        }
        let (range, total) = part(&reply.headers, &rest)?;
        if total != self.len {
            let text = format!("{shown}: it had {} bytes and has {total} now", self.len);
            return Err(Failure::new(ReasonCode::SourceChanged, text).into());
        }
        let wanted = len - (rest.end - range.end);
        read(&mut reply.body, &self.client, wanted, into)?;
        match (into.len() as u64) < wanted {
            true => Err(cut(&from)),
            false => {
                // The end of the body, so that the connection can be used again.
                let _rest = reply.body.read(&mut [0], &self.client.flow);
                *at() = reply.url;
                Ok(())
            }
        }
    }
}

/// A file that comes as a whole.
pub(super) struct Whole {
    client: Arc<Client>,
    url: Url,
    mark: Mark,
    len: Option<u64>,
    at: u64,
    body: Option<Body>,
}

impl Whole {
    /// Some bytes; 0 is the end. After a cut the whole is asked for again, and what came already is
    /// passed over, where the server vouches for the same bytes.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let never = AtomicBool::new(false);
        let mut fruit = true;
        loop {
            match self.try_read(buf) {
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
                Err(miss) if miss.again && self.mark.strong().is_some() => {
                    self.body = None;
                    self.client.flow.pause(miss, fruit, &never)?;
                    fruit = false;
                }
                Err(miss) => return Err(miss.failure),
            }
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> std::result::Result<usize, Miss> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.again()?,
        };
        let n = body.read(buf, &self.client.flow)?;
        if n == 0 && self.len.is_some_and(|len| self.at < len) {
            return Err(cut(&self.url));
        }
        self.body = Some(body);
        Ok(n)
    }

    fn again(&mut self) -> std::result::Result<Body, Miss> {
        let mut reply = self.client.ask(&self.url, &Ask { far: true, ..Ask::default() })?;
        no_page(&reply)?;
        self.mark.same(&Mark::of(&reply.headers)?)?;
        if reply.status != 200 || length(&reply.headers)? != self.len {
            let text = format!("{}: the answer is another one now", self.url.shown());
            return Err(Failure::new(ReasonCode::SourceChanged, text).into());
        }
        let mut passed = 0;
        let mut block = vec![0; BLOCK];
        while passed < self.at {
            let want = usize::try_from(self.at - passed).map_or(BLOCK, |left| left.min(BLOCK));
            match reply.body.read(&mut block[..want], &self.client.flow)? {
                0 => return Err(cut(&self.url)),
                n => passed += n as u64,
            }
        }
        Ok(reply.body)
    }
}

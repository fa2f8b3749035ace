//! The other end of a fetcher: what this process knows of a file on a server. A server may have taken the
//! fetcher over, so that nothing that it says is believed.

use super::check::is_strong;
use super::question::{
    ANSWER_MAX, ASKED, Answer, DATA, END, FAILED, FRAME_MAX, Failed, Head, Question, Setup, Want,
    pack, put_line, take_line,
};
use super::url::Url;
use super::{Denied, SOCKET};
use crate::model::{Failure, ReasonCode, Result, WithReason, from_json, printable};
use crate::source::{ByteStream, Fetch, Reached};
use crate::sys::cage::{self, Caged};
use crate::sys::unix::send_with;
use crate::sys::{clock, stop, systemd, wait};
use std::io::{Error, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A fetcher reads what it is asked within this time.
const HEARS: Duration = Duration::from_secs(120);

/// What was found of a source and what stands beside it is no longer, bytes.
const REACHED_MAX: u64 = 16 << 10;

/// Some ten steps, one for each address of a name among them.
const DIAGNOSED_MAX: u64 = 256 << 10;

/// More bytes are no length, and no count.
const BYTES_MAX: u64 = i64::MAX.unsigned_abs();

/// A line to a fetcher, which is killed with it where it is a child of this process.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    received: Arc<AtomicU64>,
    /// Which host it leads to, for people.
    host: String,
    /// How much of a frame is left.
    left: usize,
    /// Nothing follows any more.
    ended: bool,
    _child: Option<Caged>,
}

/// How long the answer is waited for to what is asked for once.
const SHORT: Duration = Duration::from_secs(10);

/// Nothing has come for so long when it is told for the first time, and how long until it is told again.
const QUIET: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// Nothing comes from a fetcher, which tries again by itself; a person is told.
struct Quiet {
    since: Instant,
    next: Duration,
}

impl Quiet {
    fn begins(now: Instant) -> Quiet {
        Quiet { since: now, next: clock::pause(QUIET[0]) }
    }

    /// Seconds of silence, where it is time to tell.
    fn told(&mut self, now: Instant) -> Option<u64> {
        let quiet = now.saturating_duration_since(self.since);
        (quiet >= self.next).then(|| {
            self.next = quiet + QUIET[1];
            quiet.as_secs()
        })
    }
}

/// Reads that end where the work of this thread is to end, and at a time of their own. The host is what is
/// waited for.
struct Watched<'a>(&'a UnixStream, Option<Instant>, &'a str);

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut quiet = Quiet::begins(Instant::now());
        loop {
            stop::look_reading()?;
            if self.1.is_some_and(|due| due <= Instant::now()) {
                let text = format!("no answer within {} s", SHORT.as_secs());
                return Err(Error::other(Failure::new(ReasonCode::Stalled, text)));
            }
            if wait::any(&[self.0.as_fd()], Some(stop::SLICE))?.contains(&true) {
                return self.0.read(buf);
            }
            // It is the fetcher that has the limits.
            systemd::waits();
            if let Some(seconds) = quiet.told(Instant::now()) {
                log::warn!("waiting for {}: nothing has come for {seconds} s", self.2);
            }
        }
    }
}

fn lost(error: &Error) -> Failure {
    if let Some(word) = error.get_ref().and_then(|e| e.downcast_ref::<Failure>()) {
        return word.clone();
    }
    let text = match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "the fetcher has ended".to_owned(),
        _ => format!("the fetcher: {error}"),
    };
    Failure::new(ReasonCode::SourceLost, text)
}

/// Why there is no child that fetches.
fn unstarted(error: &Error) -> Failure {
    let text = "the fetcher could not be started";
    match error.kind() {
        // The program starts itself by its link there.
        ErrorKind::NotFound => Failure::new(
            ReasonCode::Io,
            format!("{text}: /proc/self/exe: {error}; is /proc mounted?"),
        ),
        ErrorKind::PermissionDenied => Failure::new(ReasonCode::Io, format!("{text}: {error}")),
        _ => Failure::new(ReasonCode::NoMemory, format!("{text}: {error}")),
    }
}

impl Line {
    /// Asks a fetcher: the unit of this device, or a child that locks itself in.
    fn ask(run: &Path, question: &Question) -> std::result::Result<(Line, Head), Denied> {
        let (stream, child) = match UnixStream::connect(run.join(SOCKET)) {
            Ok(stream) => (stream, None),
            Err(_) => {
                let (here, there) = UnixStream::pair().map_err(|e| unstarted(&e))?;
                let twin = there.try_clone().map_err(|e| unstarted(&e))?;
                let child = cage::start(&["fetch".to_owned()], there.into(), twin.into());
                (here, Some(child.map_err(|e| unstarted(&e))?))
            }
        };
        let due = question.net.once.then(|| Instant::now() + SHORT);
        stream.set_write_timeout(Some(HEARS)).reason(ReasonCode::Io, "the fetcher's socket")?;
        put_line(&stream, question).map_err(|e| lost(&e))?;
        let host = Url::parse(&question.url).map_or_else(|_| String::new(), |url| url.host);
        let answer = take_line(Watched(&stream, due, &host), 1, ANSWER_MAX);
        let answer: Answer = answer.map_err(|e| lost(&e))?;
        match answer {
            Answer::Failed(failed) => {
                Err(Denied::said(failed, matches!(question.want, Want::Report { .. })))
            }
            Answer::Head(head) => {
                let received = Arc::new(AtomicU64::new(0));
                Ok((Line { stream, received, host, left: 0, ended: false, _child: child }, head))
            }
        }
    }

    /// The next frame that holds something; false at the end.
    fn frame(&mut self) -> std::io::Result<bool> {
        while self.left == 0 && !self.ended {
            let mut head = [0; 16];
            let mut from = Watched(&self.stream, None, &self.host);
            from.read_exact(&mut head)?;
            let (numbers, received) = head.split_at(8);
            let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| numbers[at + i]));
            let received = received.try_into().map(u64::from_le_bytes).unwrap_or(0);
            self.received.fetch_max(received.min(BYTES_MAX), Ordering::Relaxed);
            let len = usize::try_from(number(4)).unwrap_or(usize::MAX);
            if len > FRAME_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            match number(0) {
                DATA => self.left = len,
                END => self.ended = true,
                FAILED => {
                    let mut text = vec![0; len];
                    from.read_exact(&mut text)?;
                    let failed: Failed =
                        from_json(&text).map_err(|e| Error::other(e.to_string()))?;
                    self.ended = true;
                    return Err(Error::other(Denied::said(failed, false).failure));
                }
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(!self.ended)
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() || !self.frame()? {
            return Ok(0);
        }
        let most = buf.len().min(self.left);
        let n = Watched(&self.stream, None, &self.host).read(&mut buf[..most])?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= n;
        Ok(n)
    }
}

/// A file on a server that answers parts of it.
struct Remote {
    /// One asks at a time; `None` once an answer was missing.
    line: Mutex<Option<Line>>,
    received: Arc<AtomicU64>,
    len: u64,
    name: String,
    host: String,
}

/// What a URL has led to.
pub enum Found {
    /// A file of which parts can be asked for.
    Parts(Arc<dyn Fetch>),
    /// A file that comes as a whole.
    Whole(ByteStream),
}

/// Opens what a URL names. `USAGE` for what is no URL or would send credentials in the clear; else the
/// codes of the network.
pub fn open(url: &str, net: Setup, run: &Path) -> std::result::Result<Found, Denied> {
    let parsed = checked(url)?;
    let question = Question { url: url.to_owned(), want: Want::Artifact, net };
    let (line, head) = Line::ask(run, &question)?;
    match (head.ranges, head.len) {
        (_, Some(len)) if len > BYTES_MAX => Err(lost(&ErrorKind::InvalidData.into()).into()),
        (true, Some(len)) => {
            let (received, name, host) = (line.received.clone(), parsed.shown(), parsed.host);
            let line = Mutex::new(Some(line));
            Ok(Found::Parts(Arc::new(Remote { line, received, len, name, host })))
        }
        _ => {
            let received = line.received.clone();
            Ok(Found::Whole(ByteStream::counted(line, received)))
        }
    }
}

/// Reads a URL that a person has typed, or that stands in a configuration.
pub fn checked(url: &str) -> Result<Url> {
    let usage = |text: String| Failure::new(ReasonCode::Usage, text);
    let parsed = Url::parse(url).map_err(usage)?;
    if parsed.login.is_some() && !parsed.may_carry_login() {
        return Err(usage("credentials are sent over https only, or to this device".to_owned()));
    }
    Ok(parsed)
}

/// Fetches a small document, or sends a report ([`Want`]).
pub fn document(
    url: &str,
    want: Want,
    net: Setup,
    run: &Path,
) -> std::result::Result<(Head, Vec<u8>), Denied> {
    checked(url)?;
    let sound = |etag: Option<String>| etag.filter(|etag| is_strong(etag));
    let (most, want) = match want {
        Want::Document { limit, etag } => (limit, Want::Document { limit, etag: sound(etag) }),
        Want::Reach { .. } => (REACHED_MAX, want),
        Want::Diagnose => (DIAGNOSED_MAX, want),
        other => (0, other),
    };
    let (line, mut head) = Line::ask(run, &Question { url: url.to_owned(), want, net })?;
    let mut bytes = Vec::new();
    line.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| lost(&e))?;
    if bytes.len() as u64 > most {
        return Err(lost(&ErrorKind::InvalidData.into()).into());
    }
    // It is kept, and sent with the next question.
    head.etag = sound(head.etag);
    Ok((head, bytes))
}

/// Whether `url` takes connections, and what else answers: [`Want::Reach`]. `SOURCE_LOST` where the fetcher
/// does not answer.
pub fn reach(
    url: &str,
    witnesses: &[String],
    again: bool,
    net: Setup,
    run: &Path,
) -> Result<Reached> {
    let want = Want::Reach { witnesses: witnesses.to_vec(), again };
    let (_, bytes) = document(url, want, net, run).map_err(|denied| denied.failure)?;
    let found: Reached =
        from_json(&bytes).reason(ReasonCode::SourceLost, "what the fetcher has found")?;
    let shown = |text: &str| printable(text, 1_000);
    let (network, said) = (found.network.as_deref().map(shown), shown(&found.said));
    Ok(Reached { network, said, ..found })
}

impl Remote {
    fn within(&self, ranges: &[Range<u64>]) -> Result<()> {
        match ranges.iter().find(|r| r.end > self.len) {
            None => Ok(()),
            Some(range) => {
                let text =
                    format!("{} at byte {}: it ends at {}", self.name, range.start, self.len);
                Err(Failure::new(ReasonCode::Truncated, text))
            }
        }
    }

    fn gone(&self) -> Failure {
        Failure::new(ReasonCode::SourceLost, format!("{}: the fetcher has ended", self.name))
    }
}

impl Fetch for Remote {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(buf.len() as u64);
        self.read_ranges(std::slice::from_ref(&range), buf)
    }

    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        self.within(ranges)?;
        if buf.is_empty() {
            return Ok(());
        }
        let mut held = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut line) = held.take() else { return Err(self.gone()) };
        line.ended = false;
        let asked = [&ASKED[..], &pack(ranges)].concat();
        let done = (&line.stream).write_all(&asked).and_then(|()| line.read_exact(buf));
        let done = done.and_then(|()| match line.frame()? {
            false => Ok(()),
            true => Err(ErrorKind::InvalidData.into()),
        });
        // After a failure that the fetcher has told of, it answers the next question.
        if line.ended {
            *held = Some(line);
        }
        done.map_err(|error| lost(&error))
    }

    fn in_order(&self, ranges: &[Range<u64>]) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.within(ranges)?;
        let told = "a socket to the fetcher";
        let (here, there) = UnixStream::pair().reason(ReasonCode::NoMemory, told)?;
        let held = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = held.as_ref() else { return Err(self.gone()) };
        let sent = send_with(&line.stream, &ASKED, there.as_fd())
            .and_then(|n| (&line.stream).write_all(&ASKED[n..]))
            .and_then(|()| (&line.stream).write_all(&pack(ranges)));
        sent.map_err(|e| lost(&e))?;
        let (received, host) = (self.received.clone(), self.host.clone());
        Ok(Some(Box::new(Line {
            stream: here,
            received,
            host,
            left: 0,
            ended: false,
            _child: None,
        })))
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn is_dear(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_after_a_while_and_then_seldom() {
        let begin = Instant::now();
        let mut quiet = Quiet::begins(begin);
        let seconds = (0..30).filter(|n| quiet.told(begin + Duration::from_secs(*n)).is_some());
        assert_eq!(seconds.collect::<Vec<_>>(), [3, 13, 23]);
    }

    #[test]
    fn a_system_without_proc_is_not_taken_for_one_without_memory() {
        let failure = unstarted(&ErrorKind::NotFound.into());
        assert_eq!(failure.code(), ReasonCode::Io);
        assert!(failure.detail().contains("/proc"), "{failure}");
        assert_eq!(unstarted(&ErrorKind::OutOfMemory.into()).code(), ReasonCode::NoMemory);
    }
}

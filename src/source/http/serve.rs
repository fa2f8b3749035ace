//! The fetcher: one question on its standard input, which is a socket, and answers there.

use super::check::{Mark, broken, is_page, length};
use super::client::{Ask, Client};
use super::diagnose::diagnose;
use super::order;
use super::question::{
    ASKED, Answer, DATA, END, FAILED, FRAME_MAX, Failed, Head, QUESTION_MAX, Question, Want, frame,
    put_line, take_line, unpack,
};
use super::reach::reach;
use super::resource::{Opened, Resource, Whole, open};
use super::url::Url;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::unix::{receive, wait_unless_gone};
use crate::sys::{confine, spare};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// `surefoot fetch`: says whether it went well.
pub fn run_fetcher(words: &[String]) -> Option<bool> {
    if words.get(1).map(String::as_str) != Some("fetch") || words.len() != 2 {
        return None;
    }
    let done = confine::enter()
        .and_then(|()| std::io::stdin().as_fd().try_clone_to_owned())
        .and_then(|line| serve(UnixStream::from(line)));
    Some(done.is_ok())
}

/// Answers one question. An error means that the one who asked is gone.
fn serve(line: UnixStream) -> std::io::Result<()> {
    let question: Question = take_line(&line, FRAME_MAX, QUESTION_MAX)?;
    let watched = line.try_clone()?;
    let (bell, _never) = UnixStream::pair()?;
    // In the middle of a pause it ends too, when nobody waits for it.
    let _ = spare::thread("gone", move || {
        if matches!(wait_unless_gone(&bell, &watched), Ok(false)) {
            std::process::exit(0);
        }
    });
    let parsed = Url::parse(&question.url).map_err(|e| Failure::new(ReasonCode::Usage, e));
    let found = match (&question.want, &parsed) {
        // What a server is asked over needs no certificates here: it is only looked whether it is there.
        (Want::Reach { witnesses, again }, Ok(url)) => {
            Some((url, serde_json::to_vec(&reach(url, witnesses, *again, &question.net))?))
        }
        (Want::Diagnose, Ok(url)) => {
            Some((url, serde_json::to_vec(&diagnose(url, &question.net))?))
        }
        _ => None,
    };
    if let Some((url, text)) = found {
        put_line(&line, &Answer::Head(Head { url: url.shown(), ..Head::default() }))?;
        text.chunks(FRAME_MAX).try_for_each(|c| put(&line, DATA, c, 0))?;
        return put(&line, END, &[], 0);
    }
    let begun = parsed.and_then(|url| Ok((Client::new(question.net.clone(), &url)?, url)));
    let done = begun.map(|(client, url)| match &question.want {
        Want::Reach { .. } | Want::Diagnose => Ok(()),
        Want::Artifact => artifact(&line, &client, &url),
        Want::Document { limit, etag } => {
            let ask = Ask { known: etag.as_deref(), ..Ask::default() };
            document(&line, &client, &url, &ask, *limit)
        }
        Want::Report { body } => {
            let ask = Ask { body: Some(body), ..Ask::default() };
            document(&line, &client, &url, &ask, 0)
        }
    });
    match done {
        Ok(served) => served,
        Err(failure) => put_line(&line, &Answer::Failed(Failed::of(&failure, None, 0))),
    }
}

fn artifact(line: &UnixStream, client: &Arc<Client>, url: &Url) -> std::io::Result<()> {
    match open(client, url) {
        Err(failure) => {
            let received = client.flow.received();
            put_line(line, &Answer::Failed(Failed::of(&failure, None, received)))
        }
        Ok(Opened::Whole(whole, head)) => {
            put_line(line, &Answer::Head(head))?;
            stream(line, client, whole)
        }
        Ok(Opened::Parts(file, head)) => {
            put_line(line, &Answer::Head(head))?;
            parts(line, Arc::new(file))
        }
    }
}

fn stream(line: &UnixStream, client: &Client, mut whole: Whole) -> std::io::Result<()> {
    let mut block = vec![0; FRAME_MAX];
    loop {
        match whole.read(&mut block) {
            Ok(0) => return end(line, client, Ok(())),
            Ok(n) => put(line, DATA, &block[..n], client.flow.received())?,
            Err(failure) => return end(line, client, Err(failure)),
        }
    }
}

fn put(mut line: &UnixStream, kind: u32, bytes: &[u8], received: u64) -> std::io::Result<()> {
    line.write_all(&frame(kind, bytes.len(), received))?;
    line.write_all(bytes)
}

fn end(line: &UnixStream, client: &Client, done: Result<()>) -> std::io::Result<()> {
    let received = client.flow.received();
    match done {
        Ok(()) => put(line, END, &[], received),
        Err(failure) => {
            let text = serde_json::to_vec(&Failed::of(&failure, None, received))?;
            put(line, FAILED, &text[..text.len().min(FRAME_MAX)], received)
        }
    }
}

/// Answers requests for ranges until there are no more.
fn parts(line: &UnixStream, file: Arc<Resource>) -> std::io::Result<()> {
    loop {
        let mut asked = [0; ASKED.len()];
        let (n, other) = receive(line, &mut asked)?;
        if n == 0 {
            return Ok(());
        }
        let mut rest = line;
        rest.read_exact(&mut asked[n..])?;
        let ranges = unpack(line, file.len).ok().filter(|_| asked == ASKED);
        let Some(ranges) = ranges else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        match other {
            None => given(line, &file, &ranges)?,
            Some(other) => beside(other, file.clone(), ranges),
        }
    }
}

fn given(line: &UnixStream, file: &Resource, ranges: &[Range<u64>]) -> std::io::Result<()> {
    let client = file.client();
    let mut out = |bytes: &[u8]| {
        let received = client.flow.received();
        match bytes.is_empty() {
            true => put(line, DATA, bytes, received),
            false => bytes.chunks(FRAME_MAX).try_for_each(|c| put(line, DATA, c, received)),
        }
    };
    let done = order::give(file, ranges, &mut out)?;
    end(line, client, done)
}

/// The same to a socket of its own, while more is asked for here.
fn beside(other: OwnedFd, file: Arc<Resource>, ranges: Vec<Range<u64>>) {
    let line = UnixStream::from(other);
    // Whoever reads there sees its end, with a thread or without one.
    let _ = spare::thread("in order", move || given(&line, &file, &ranges));
}

fn document(
    line: &UnixStream,
    client: &Client,
    url: &Url,
    ask: &Ask<'_>,
    limit: u64,
) -> std::io::Result<()> {
    match small(client, url, ask, limit) {
        Err(miss) => {
            let received = client.flow.received();
            put_line(line, &Answer::Failed(Failed::of(&miss.failure, miss.wait, received)))
        }
        Ok((head, bytes)) => {
            put_line(line, &Answer::Head(head))?;
            let received = client.flow.received();
            bytes.chunks(FRAME_MAX).try_for_each(|c| put(line, DATA, c, received))?;
            end(line, client, Ok(()))
        }
    }
}

/// One try: who polls comes again anyway.
fn small(
    client: &Client,
    url: &Url,
    ask: &Ask<'_>,
    limit: u64,
) -> std::result::Result<(Head, Vec<u8>), super::Miss> {
    let mut reply = client.ask(url, ask)?;
    let mark = Mark::of(&reply.headers)?;
    let (status, shown) = (reply.status, reply.url.shown());
    let address = client.peer(&reply.url).map(|a| a.to_string());
    let mut head = Head { status, url: shown.clone(), address, ..Head::default() };
    head.etag = mark.strong().map(str::to_owned);
    let mut bytes = Vec::new();
    if ask.body.is_some() {
        return Ok((head, bytes));
    }
    match status {
        304 if ask.known.is_some() => return Ok((head, bytes)),
        200 => {}
        _ => return Err(broken(format!("{shown}: {status} is no answer to this")).into()),
    }
    if is_page(&reply.headers) {
        let text = format!("{shown}: a page came in place of the file");
        return Err(Failure::new(ReasonCode::CaptivePortal, text).into());
    }
    head.len = length(&reply.headers)?;
    let mut block = vec![0; 16 << 10];
    loop {
        let n = reply.body.read(&mut block, &client.flow)?;
        bytes.extend_from_slice(&block[..n]);
        let expected = head.len.unwrap_or(0);
        if bytes.len() as u64 > limit || expected > limit {
            return Err(broken(format!("{shown}: more than {limit} bytes")).into());
        }
        if n == 0 {
            return Ok((head, bytes));
        }
    }
}

/// The status of one answer, for a health check: redirects are answers, and nothing is tried again.
/// `TIMEOUT` where it takes longer than `limit`.
pub fn status(url: &str, net: &super::Setup, limit: std::time::Duration) -> Result<u16> {
    let url = Url::parse(url).map_err(|e| Failure::new(ReasonCode::Usage, e))?;
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    let net = super::Setup {
        connect: net.connect.min(millis),
        header: net.header.min(millis),
        stall: net.stall.min(millis),
        ..net.clone()
    };
    let (sender, answer) = std::sync::mpsc::channel();
    let asked = url.shown();
    let client = Client::new(net, &url)?;
    spare::thread("status", move || sender.send(client.status(&url)))?;
    let late = |_| Failure::new(ReasonCode::Timeout, format!("{asked}: no answer in time"));
    answer.recv_timeout(limit).map_err(late)?
}

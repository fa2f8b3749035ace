//! A fetcher that a server has taken over: it says anything to the process that has the rights.

use super::fetcher::setup;
use crate::common;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use surefoot::model::{Failure, ReasonCode};
use surefoot::source::http::{Denied, Found, Head, Want, document, open};

/// Such a fetcher behind `fetch.sock`, and the questions that it was asked.
struct Liar {
    folder: tempfile::TempDir,
    asked: Receiver<serde_json::Value>,
}

impl Liar {
    /// `answer` writes until the caller has gone.
    fn new(answer: impl Fn(&mut UnixStream) -> std::io::Result<()> + Send + 'static) -> Liar {
        let folder = common::scratch();
        let listener = UnixListener::bind(folder.path().join("fetch.sock")).unwrap();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                sender.send(serde_json::from_str(&line).unwrap()).unwrap();
                let answered = answer(&mut stream);
                let _gone =
                    answered.and_then(|()| std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
        Liar { folder, asked }
    }

    /// One that answers with this line, and nothing else.
    fn saying(line: &serde_json::Value) -> Liar {
        let line = format!("{line}\n");
        Liar::new(move |to| to.write_all(line.as_bytes()))
    }

    fn document(&self, limit: u64, etag: Option<String>) -> Result<(Head, Vec<u8>), Denied> {
        let want = Want::Document { limit, etag };
        document("http://127.0.0.1:1/", want, setup(), self.folder.path())
    }

    fn open(&self) -> Result<Found, Failure> {
        open("http://127.0.0.1:1/", setup(), self.folder.path()).map_err(|denied| denied.failure)
    }
}

fn head(more: &serde_json::Value) -> serde_json::Value {
    let mut head = serde_json::json!({ "len": null, "etag": null, "ranges": false, "status": 200,
        "url": "http://127.0.0.1:1/", "address": null });
    for (key, value) in more.as_object().unwrap() {
        head[key] = value.clone();
    }
    serde_json::json!({ "head": head })
}

/// A frame: kind, length, bytes so far, and the bytes.
fn frame(kind: u32, received: u64, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), &received.to_le_bytes(), bytes].concat()
}

#[test]
fn a_document_is_no_longer_than_was_asked_for() {
    let line = format!("{}\n", head(&serde_json::json!({})));
    let (sender, sent) = channel();
    let liar = Liar::new(move |to| {
        to.write_all(line.as_bytes())?;
        let bytes = frame(0, 0, &[b'x'; 60_000]);
        // More than every buffer between the two holds, and the end of this test in any case.
        for n in 0..1_000 {
            if to.write_all(&bytes).is_err() {
                let _ = sender.send(n);
                break;
            }
        }
        Ok(())
    });
    let denied = liar.document(1_000, None).unwrap_err();
    assert_eq!(denied.failure.code(), ReasonCode::SourceLost);
    let frames = sent.recv_timeout(Duration::from_secs(300)).unwrap();
    assert!(frames < 100, "{frames} frames were read");
    // Nothing is read behind the answer to a report.
    let report = Want::Report { body: "{}".to_owned() };
    let more = document("http://127.0.0.1:1/", report, setup(), liar.folder.path()).unwrap_err();
    assert_eq!(more.failure.code(), ReasonCode::SourceLost);
}

#[test]
fn a_first_line_without_an_end_is_no_answer() {
    let liar = Liar::new(|to| {
        to.write_all(b"{\"head\":[")?;
        loop {
            to.write_all(&[b'['; 4096])?;
        }
    });
    assert_eq!(liar.document(1_000, None).unwrap_err().failure.code(), ReasonCode::SourceLost);
}

/// What it says of signatures, releases and this device would count as found by the caller.
#[test]
fn a_fetcher_has_no_word_on_what_it_does_not_know() {
    for code in [
        ReasonCode::SignatureInvalid,
        ReasonCode::ReportRefused,
        ReasonCode::AlreadyInstalled,
        ReasonCode::Cancelled,
        ReasonCode::Interrupted,
        ReasonCode::Internal,
        ReasonCode::DiskMissing,
    ] {
        let failed =
            serde_json::json!({ "reason": code, "detail": "x\u{1b}[31m\ny", "wait": u64::MAX });
        let liar = Liar::saying(&serde_json::json!({ "failed": failed }));
        let denied = liar.document(10, None).unwrap_err();
        assert_eq!(denied.failure.code(), ReasonCode::SourceLost, "{code}");
        assert_eq!(denied.failure.detail(), "x?[31m y");
        assert!(denied.wait.unwrap() <= Duration::from_secs(86_400));
    }
    let failed = serde_json::json!({ "reason": "TLS_REFUSED", "detail": "x", "wait": null });
    let liar = Liar::saying(&serde_json::json!({ "failed": failed }));
    assert_eq!(liar.document(10, None).unwrap_err().failure.code(), ReasonCode::TlsRefused);
}

/// A mark is kept, and sent with every later question: one that no server takes would end them all.
#[test]
fn a_mark_that_cannot_be_sent_back_is_not_kept_and_not_sent() {
    let long = format!("\"{}\"", "x".repeat(20_000));
    for mark in [long.as_str(), "\"\n\"", "\"a\r\nX: y\"", "W/\"a\"", ""] {
        let line = format!("{}\n", head(&serde_json::json!({ "etag": mark })));
        let liar = Liar::new(move |to| {
            to.write_all(line.as_bytes())?;
            to.write_all(&frame(2, 0, b""))
        });
        let (head, bytes) = liar.document(10, Some(mark.to_owned())).unwrap();
        assert_eq!((head.etag, bytes), (None, Vec::new()), "{mark:?}");
        let asked = liar.asked.recv().unwrap();
        assert_eq!(asked["want"]["document"]["etag"], serde_json::Value::Null, "{mark:?}");
    }
}

#[test]
fn lengths_and_counts_that_cannot_be_are_not_reckoned_with() {
    let liar = Liar::saying(&head(&serde_json::json!({ "len": u64::MAX, "ranges": true })));
    assert_eq!(liar.open().err().map(|f| f.code()), Some(ReasonCode::SourceLost));
    let line = format!("{}\n", head(&serde_json::json!({ "len": 100, "ranges": true })));
    let liar = Liar::new(move |to| {
        to.write_all(line.as_bytes())?;
        to.write_all(&frame(0, u64::MAX, &[7; 10]))?;
        to.write_all(&frame(2, 0, b""))
    });
    let Ok(Found::Parts(file)) = liar.open() else { panic!("no parts") };
    let mut found = [0; 10];
    file.read_at(0, &mut found).unwrap();
    assert_eq!(found, [7; 10]);
    assert!(file.received().checked_add(1 << 62).is_some(), "{}", file.received());
}

/// More than was asked for, a frame that is too long, and one of no kind.
#[test]
fn frames_that_do_not_fit_end_it() {
    for bytes in [
        [frame(0, 0, &[7; 11]), frame(2, 0, b"")].concat(),
        frame(0, 0, &vec![7; 70_000]),
        frame(9, 0, b""),
        frame(1, 0, b"{}"),
        frame(2, 0, b""),
    ] {
        let line = format!("{}\n", head(&serde_json::json!({ "len": 100, "ranges": true })));
        let liar = Liar::new(move |to| {
            to.write_all(line.as_bytes())?;
            to.write_all(&bytes)
        });
        let Ok(Found::Parts(file)) = liar.open() else { panic!("no parts") };
        let failure = file.read_at(0, &mut [0; 10]).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::SourceLost);
    }
}

//! Engines that break off, never end, never begin or say what is not so: each is an error of its kind, in bounded time
//! and memory.

use super::types::{ImageToLoad, LayerBytes, LayerSource, Logs};
use super::{Engine, EngineSocket, labels};
use crate::model::{Digest, ReasonCode, Result};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing here needs longer; what waits this long and longer hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server that says what it is told to say.
struct Liar {
    engine: EngineSocket,
    _folder: tempfile::TempDir,
    /// `GET /path`, and how long the body was.
    asked: Arc<Mutex<Vec<(String, usize)>>>,
    /// As many bytes it could send.
    sent: Arc<AtomicU64>,
}

/// Says something to who asks this.
type Says = Arc<dyn Fn(&str, &mut dyn Write) + Send + Sync>;

struct Counted(UnixStream, Arc<AtomicU64>);

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.0.write(buf)?;
        self.1.fetch_add(n as u64, Ordering::SeqCst);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Liar {
    fn new(says: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Liar {
        Liar::that(true, says)
    }

    /// One that reads what it is sent, or does not.
    fn that(reads: bool, says: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Liar {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("e");
        let listener = UnixListener::bind(&socket).unwrap();
        let (asked, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (log, count, says): (_, _, Says) = (asked.clone(), sent.clone(), Arc::new(says));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, count, says) = (log.clone(), count.clone(), says.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &log, count, reads, &*says));
            }
        });
        Liar { engine: EngineSocket::hurried(socket, PATIENCE), _folder: folder, asked, sent }
    }

    /// One that says the same to all.
    fn same(text: impl Into<Vec<u8>>) -> Liar {
        let text = text.into();
        Liar::new(move |_, out| drop(out.write_all(&text)))
    }

    fn asked(&self, what: &str) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(a, _)| a.starts_with(what)).map(|(_, n)| *n).collect()
    }
}

fn serve(
    mut stream: UnixStream,
    log: &Mutex<Vec<(String, usize)>>,
    count: Arc<AtomicU64>,
    reads: bool,
    says: &dyn Fn(&str, &mut dyn Write),
) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let asked = head.split(" HTTP").next().unwrap().replace("/v1.41", "");
    let len = head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
    let at = {
        let mut log = log.lock().unwrap();
        log.push((asked.clone(), 0));
        log.len() - 1
    };
    if reads {
        let read = std::io::copy(&mut (&stream).take(len.parse().unwrap()), &mut std::io::sink());
        log.lock().unwrap()[at].1 = usize::try_from(read.unwrap_or(0)).unwrap();
    }
    says(&asked, &mut Counted(stream, count));
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn code<T: std::fmt::Debug>(done: Result<T>) -> ReasonCode {
    done.unwrap_err().code()
}

#[test]
fn an_answer_that_breaks_off_or_is_none_is_an_error_of_its_kind() {
    use ReasonCode::{EngineAnswer, EngineFailed};
    let deep = "[".repeat(1_000_000);
    let long = format!("HTTP/1.1 200 OK\r\n{}", "X-Header: value\r\n".repeat(5_000));
    let cases: Vec<(String, ReasonCode)> = vec![
        (String::new(), EngineFailed),
        ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), EngineFailed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]".to_owned(), EngineFailed),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n".to_owned(),
            EngineFailed,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[      ]".to_owned(), EngineAnswer),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]".to_owned(),
            EngineAnswer,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]"
                .to_owned(),
            EngineAnswer,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[]".to_owned(), EngineAnswer),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n[]".to_owned(), EngineAnswer),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfg\r\n[]\r\n".to_owned(),
            EngineAnswer,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n[]".to_owned(), EngineAnswer),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), EngineAnswer),
        (long, EngineAnswer),
        (ok("<html>"), EngineAnswer),
        (ok("{}"), EngineAnswer),
        (ok("[{\"Id\": 1}]"), EngineAnswer),
        (ok(""), EngineAnswer),
        (ok(&deep), EngineAnswer),
        (ok(&"[{\"Id\":".repeat(100_000)), EngineAnswer),
        ("HTTP/1.1 500 No\r\n\r\n".to_owned(), EngineFailed),
        ("HTTP/1.1 404 No\r\n\r\n".to_owned(), EngineFailed),
    ];
    for (text, want) in cases {
        let shown: String = text.chars().take(80).collect();
        let liar = Liar::same(text);
        assert_eq!(code(liar.engine.containers()), want, "{shown}");
    }
}

#[test]
fn what_never_ends_is_read_to_its_limit_and_no_further() {
    let heads =
        ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"];
    for (head, chunk) in
        heads.into_iter().zip([" ".repeat(4096), format!("1000\r\n{}\r\n", " ".repeat(4096))])
    {
        let liar = Liar::new(move |_, out| {
            let _ = out.write_all(head.as_bytes());
            while out.write_all(chunk.as_bytes()).is_ok() {}
        });
        assert_eq!(code(liar.engine.containers()), ReasonCode::EngineAnswer);
        assert!(liar.sent.load(Ordering::SeqCst) < 8 << 20);
    }
    let liar = Liar::new(|_, out| {
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while out.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(code(liar.engine.info()), ReasonCode::EngineAnswer);
    assert!(liar.sent.load(Ordering::SeqCst) < 1 << 20);
}

#[test]
fn what_never_comes_or_trickles_is_not_waited_for() {
    let silent = Liar::new(|_, _| std::thread::sleep(Duration::from_secs(600)));
    assert_eq!(code(silent.engine.containers()), ReasonCode::EngineFailed);
    for head in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let trickle = Liar::new(move |_, out| {
            let _ = out.write_all(head.as_bytes());
            while out.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        assert_eq!(code(trickle.engine.containers()), ReasonCode::EngineFailed);
    }
    // One that takes no connection: its queue is full.
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("e")).unwrap();
    let engine = EngineSocket::hurried(folder.path().join("e"), PATIENCE);
    let waiting: Vec<_> =
        std::iter::repeat_with(|| crate::sys::unix::connect(&folder.path().join("e")))
            .take(10_000)
            .take_while(std::result::Result::is_ok)
            .collect();
    assert!(waiting.len() < 10_000, "the queue has an end");
    assert_eq!(code(engine.containers()), ReasonCode::EngineFailed);
    drop(listener);
    assert_eq!(code(engine.containers()), ReasonCode::EngineMissing);
    assert_eq!(
        code(EngineSocket::new(folder.path().join("none")).info()),
        ReasonCode::EngineMissing
    );
}

#[test]
fn the_words_of_an_engine_are_told_short_and_printable() {
    let words = format!("no \x1b[31mspace\nleft\u{202e} {}", "x".repeat(10_000));
    let said = serde_json::json!({ "message": words }).to_string();
    let liar =
        Liar::same(format!("HTTP/1.1 500 No\r\nContent-Length: {}\r\n\r\n{said}", said.len()));
    let why = liar.engine.containers().unwrap_err();
    assert_eq!(why.code(), ReasonCode::EngineFailed);
    let detail = why.detail();
    assert!(detail.contains("could not list its containers: no ?[31mspace left? xxx"), "{detail}");
    assert!(detail.len() < 600 && !detail.contains('\x1b'));
}

/// What is said to most questions, as an honest engine says it.
fn honest(asked: &str) -> String {
    match asked {
        "GET /version" => ok(r#"{"Version":"1","Arch":"amd64","Components":[{"Name":"Engine"}]}"#),
        _ if asked.starts_with("GET /containers/sf-a/json") => ok(&format!(
            r#"{{"Id":"1","Name":"/sf-a","Image":"x","State":{{"Status":"running"}},"Config":{{"Labels":{{"{}":"a"}}}}}}"#,
            labels::APP
        )),
        "POST /containers/sf-a/exec" => ok(r#"{"Id":"77"}"#),
        "GET /exec/77/json" => ok(r#"{"Running":false,"ExitCode":0,"Pid":1}"#),
        "GET /images/json" => ok("[]"),
        _ => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
    }
}

#[test]
fn streams_of_containers_are_bounded_whatever_comes() {
    let liar = |stream: Vec<u8>, times: usize| {
        Liar::new(move |asked, out| {
            if asked.contains("/start") || asked.contains("/logs") {
                let _ = out.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                for _ in 0..times {
                    if out.write_all(&stream).is_err() {
                        return;
                    }
                }
            } else {
                let _ = out.write_all(honest(asked).as_bytes());
            }
        })
    };
    let exec = |liar: &Liar| liar.engine.exec("sf-a", &["x".to_owned()], PATIENCE);
    let frame = b"\x01\0\0\0\0\0\0\x03ab\n".to_vec();
    let done = exec(&liar(frame.clone(), 3)).unwrap();
    assert_eq!((done.status, done.output.as_str()), (Some(0), "ab\nab\nab\n"));
    assert_eq!(code(exec(&liar(b"no frames at all".to_vec(), 1))), ReasonCode::EngineAnswer);
    assert_eq!(code(exec(&liar(frame[..9].to_vec(), 1))), ReasonCode::EngineFailed);
    let endless = exec(&liar(frame.repeat(1000), usize::MAX)).unwrap();
    assert_eq!((endless.status, endless.output.len()), (None, 4096));
    let huge = exec(&liar(b"\x01\0\0\0\xff\xff\xff\xffabc".to_vec(), 1));
    assert_eq!(code(huge), ReasonCode::EngineFailed);
    let endless =
        liar([b"\x01\0\0\0\xff\xff\xff\xff".to_vec(), vec![b'x'; 1 << 20]].concat(), usize::MAX);
    let (mut lines, mut longest) = (0, 0);
    let mut line = |l: &[u8]| {
        (lines, longest) = (lines + 1, longest.max(l.len()));
        lines < 1000
    };
    endless.engine.logs("sf-a", &Logs { last: None, follow: true }, &mut line).unwrap_or_default();
    assert!(lines > 1 && longest <= 32 << 10, "{lines} lines of {longest}");
}

/// Loads an image of two layers of which the lower one is known.
fn load(liar: &Liar) -> (Digest, Result<()>) {
    let bytes = vec![7; 3_000_000];
    let base = Digest::of(b"base");
    let layers = [(base, 4), (Digest::of(&bytes), bytes.len() as u64)];
    let config = config();
    let image = ImageToLoad {
        id: Digest::of(&config),
        config: &config,
        layers: &layers,
        tag: "surefoot.local/a:1".to_owned(),
    };
    struct Both(Vec<u8>);
    impl LayerSource for Both {
        fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
            Ok(if *layer == Digest::of(b"base") {
                Box::new(&b"base"[..])
            } else {
                Box::new(self.0.as_slice())
            })
        }
    }
    (image.id, liar.engine.load(&image, &mut Both(bytes)))
}

fn config() -> Vec<u8> {
    let diffs =
        [Digest::of(b"base"), Digest::of(&vec![7; 3_000_000])].map(|d| format!("sha256:{d}"));
    let config = serde_json::json!({ "architecture": "amd64", "rootfs": { "diff_ids": diffs } });
    config.to_string().into_bytes()
}

fn inspected(id: &Digest, layers: &[Digest], architecture: &str) -> String {
    let layers: Vec<String> = layers.iter().map(|d| format!("sha256:{d}")).collect();
    ok(&serde_json::json!({
        "Id": format!("sha256:{id}"), "RepoTags": ["surefoot.local/a:1"], "Architecture": architecture,
        "RootFS": { "Layers": layers },
    }).to_string())
}

#[test]
fn an_image_is_what_was_given_whatever_the_engine_says() {
    let id = Digest::of(&config());
    let layers = [Digest::of(b"base"), Digest::of(&vec![7; 3_000_000])];
    let told = |loaded: String, inspect: String| {
        Liar::new(move |asked, out| {
            let text = match asked {
                _ if asked.starts_with("POST /images/load") => loaded.clone(),
                _ if asked.starts_with("GET /images/sha256") => inspect.clone(),
                _ => honest(asked),
            };
            let _ = out.write_all(text.as_bytes());
        })
    };
    let good = || inspected(&id, &layers, "amd64");
    let absent = honest("else");
    let liar = told(ok("{\"stream\":\"Loaded\"}"), good());
    load(&liar).1.unwrap();
    assert_eq!(liar.asked("POST /images/load").len(), 1);
    let other = Digest::of(b"other");
    for (loaded, inspect, want) in [
        (ok("{}\n{\"error\":\"no space left\"}"), good(), ReasonCode::EngineFailed),
        (ok(""), absent, ReasonCode::EngineAnswer),
        (ok(""), inspected(&other, &layers, "amd64"), ReasonCode::EngineAnswer),
        (ok(""), inspected(&id, &layers[..1], "amd64"), ReasonCode::EngineAnswer),
        (ok(""), inspected(&id, &[layers[1], layers[0]], "amd64"), ReasonCode::EngineAnswer),
        (ok(""), inspected(&id, &layers, "arm64"), ReasonCode::EngineAnswer),
        (ok("").replace("200", "500"), good(), ReasonCode::EngineFailed),
    ] {
        let liar = told(loaded.clone(), inspect.clone());
        assert_eq!(code(load(&liar).1), want, "{loaded} {inspect}");
        assert_eq!(liar.asked("DELETE /images/surefoot.local%2Fa%3A1").len(), 1, "its name goes");
    }
}

#[test]
fn an_engine_that_refuses_an_image_without_a_layer_is_given_all_of_it() {
    let id = Digest::of(&config());
    let layers = [Digest::of(b"base"), Digest::of(&vec![7; 3_000_000])];
    let base = Digest::of(b"an image of the base");
    let tries = Arc::new(AtomicU64::new(0));
    let count = tries.clone();
    let liar = Liar::new(move |asked, out| {
        let text = match asked {
            "GET /images/json" => ok(&format!("[{{\"Id\":\"sha256:{base}\"}}]")),
            _ if asked.contains(&base.to_string()) => inspected(&base, &layers[..1], "amd64"),
            _ if asked.contains(&id.to_string()) => inspected(&id, &layers, "amd64"),
            _ if asked.starts_with("POST /images/load") => {
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 => ok("").replace("200", "500"),
                    _ => ok(""),
                }
            }
            _ => honest(asked),
        };
        let _ = out.write_all(text.as_bytes());
    });
    load(&liar).1.unwrap();
    let lengths = liar.asked("POST /images/load");
    assert_eq!(
        (lengths.len(), lengths[1] - lengths[0]),
        (2, 1024),
        "the head and the block of the base"
    );
}

#[test]
fn an_engine_that_stops_reading_is_heard_or_not_waited_for() {
    let liar = Liar::that(false, |asked, out| {
        if asked.contains("/images/load") {
            let said = r#"{"message":"no space left on device"}"#;
            let _ = write!(out, "HTTP/1.1 500 No\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        } else {
            let _ = out.write_all(honest(asked).as_bytes());
        }
    });
    let why = load(&liar).1.unwrap_err();
    assert_eq!(why.code(), ReasonCode::EngineFailed);
    assert!(why.detail().contains("no space left on device"), "{why}");
    let liar = Liar::that(false, |asked, out| match asked {
        _ if asked.contains("/images/load") => std::thread::sleep(Duration::from_secs(600)),
        _ => drop(out.write_all(honest(asked).as_bytes())),
    });
    assert_eq!(code(load(&liar).1), ReasonCode::EngineFailed);
}

#[test]
fn a_saved_image_that_breaks_off_or_never_ends_is_no_whole_one() {
    let id = Digest::of(b"config");
    let diffs = [Digest::of(b"base")];
    let scrub = |archive: Vec<u8>, times: usize| {
        let liar = Liar::new(move |asked, out| {
            if asked.ends_with("/get") {
                let _ = out.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                for _ in 0..times {
                    if out.write_all(&archive).is_err() {
                        return;
                    }
                }
            } else {
                let _ = out.write_all(inspected(&id, &diffs, "amd64").as_bytes());
            }
        });
        liar.engine.scrub(&id)
    };
    let file = |name: &str, bytes: &[u8]| {
        let mut out = super::archive::header(name, bytes.len() as u64).to_vec();
        out.extend_from_slice(bytes);
        out.resize(out.len().div_ceil(512) * 512, 0);
        out
    };
    let whole = [file("x/layer.tar", b"base"), file("x.json", b"config"), vec![0; 1024]].concat();
    assert_eq!(scrub(whole.clone(), 1), Ok(()));
    let lost = [file("x/layer.tar", b"bass"), file("x.json", b"config"), vec![0; 1024]].concat();
    assert_eq!(code(scrub(lost, 1)), ReasonCode::LayerDamaged);
    let lost = [file("x/layer.tar", b"base"), file("x.json", b"gone"), vec![0; 1024]].concat();
    assert_eq!(code(scrub(lost, 1)), ReasonCode::LayerDamaged);
    for len in [0, 100, 512, 514, 1024, 1500, 2048] {
        assert_eq!(code(scrub(whole[..len].to_vec(), 1)), ReasonCode::EngineFailed, "{len}");
    }
    assert_eq!(code(scrub(vec![b'x'; 1024], 1)), ReasonCode::EngineAnswer);
    assert_eq!(code(scrub(file("many", b""), usize::MAX)), ReasonCode::EngineAnswer);
    assert_eq!(
        code(scrub(super::archive::header("huge", 1 << 49).to_vec(), usize::MAX)),
        ReasonCode::EngineAnswer
    );
    assert_eq!(
        code(scrub(vec![0; 4096], usize::MAX)),
        ReasonCode::EngineAnswer,
        "an end without an end"
    );
}

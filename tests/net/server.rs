//! A web server of threads. What it answers is a function, which may break every rule.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many came before it.
    pub(crate) number: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The part that is asked for, of so many bytes.
    pub(crate) fn range(&self, len: usize) -> Option<Range<usize>> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let last = last.parse().map_or(len, |n: usize| (n + 1).min(len));
        Some(first.parse().ok()?..last)
    }
}

/// Both kinds of connection.
pub(crate) trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

type Answer = dyn Fn(&Asked, &mut dyn Line) -> std::io::Result<bool> + Send + Sync;

/// A server on the loopback; it lives as long as the program.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    scheme: &'static str,
}

impl Server {
    /// `answer` writes what it likes, and says whether the connection stays open.
    pub(crate) fn new(
        answer: impl Fn(&Asked, &mut dyn Line) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Server {
        Server::start(None, Arc::new(answer))
    }

    pub(crate) fn tls(
        config: rustls::ServerConfig,
        answer: impl Fn(&Asked, &mut dyn Line) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Server {
        Server::start(Some(Arc::new(config)), Arc::new(answer))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, answer: Arc<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let heard = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer, heard) = (tls.clone(), answer.clone(), heard.clone());
                std::thread::spawn(move || drop(serve(stream, tls, &*answer, &heard)));
            }
        });
        Server { port, asked, scheme }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }

    /// Everything that was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: &Answer,
    heard: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut line: Box<dyn Line> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let server = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
            Box::new(rustls::StreamOwned::new(server, stream))
        }
    };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if line.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let headers = lines.filter_map(|l| l.split_once(": "));
        let mut asked = Asked {
            number: 0,
            method: first.next().unwrap_or_default(),
            target: first.next().unwrap_or_default(),
            headers: headers.map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect(),
            body: Vec::new(),
        };
        let len = asked.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        asked.body.resize(len, 0);
        line.read_exact(&mut asked.body)?;
        {
            let mut heard = heard.lock().unwrap();
            asked.number = heard.len();
            heard.push(asked.clone());
        }
        let stays = answer(&asked, &mut *line)?;
        line.flush()?;
        if !stays {
            return Ok(());
        }
    }
}

/// A file as a good server gives it, with parts.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: &'static str,
}

impl File {
    pub(crate) fn new(bytes: &[u8]) -> File {
        File { bytes: Arc::new(bytes.to_vec()), etag: "\"one\"" }
    }

    /// The head of the good answer, and the bytes that follow it.
    pub(crate) fn parts(&self, asked: &Asked) -> (String, &[u8]) {
        let len = self.bytes.len();
        let same = asked.header("if-range").is_none_or(|tag| tag == self.etag);
        match asked.range(len).filter(|_| same) {
            Some(range) => {
                let (first, last) = (range.start, range.end - 1);
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nETag: {}\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{len}\r\n\r\n",
                    self.etag,
                    range.len(),
                );
                (head, &self.bytes[range])
            }
            None => (self.whole_head(), &self.bytes),
        }
    }

    pub(crate) fn whole_head(&self) -> String {
        let len = self.bytes.len();
        format!("HTTP/1.1 200 OK\r\nETag: {}\r\nContent-Length: {len}\r\n\r\n", self.etag)
    }

    /// The good answer.
    pub(crate) fn give(&self, asked: &Asked, line: &mut dyn Line) -> std::io::Result<bool> {
        let (head, bytes) = self.parts(asked);
        line.write_all(head.as_bytes())?;
        line.write_all(bytes)?;
        Ok(true)
    }

    /// The good answer, cut off after so many bytes of the body.
    pub(crate) fn cut(
        &self,
        asked: &Asked,
        line: &mut dyn Line,
        after: usize,
    ) -> std::io::Result<bool> {
        let (head, bytes) = self.parts(asked);
        line.write_all(head.as_bytes())?;
        line.write_all(&bytes[..after.min(bytes.len())])?;
        Ok(false)
    }

    /// The whole, as a server without parts gives it.
    pub(crate) fn whole(&self, line: &mut dyn Line) -> std::io::Result<bool> {
        line.write_all(self.whole_head().as_bytes())?;
        line.write_all(&self.bytes)?;
        Ok(true)
    }
}

/// The answer where there is no such file.
pub(crate) fn missing(line: &mut dyn Line) -> std::io::Result<bool> {
    line.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").map(|()| true)
}

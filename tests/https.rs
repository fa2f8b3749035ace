//! A check over TLS: by the image's own client, with the authorities that the image trusts.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server with a certificate of its own; the root answers 200 and everything else 404.
struct Server {
    child: Child,
    port: String,
    folder: tempfile::TempDir,
}

const SERVER: &str = r#"
import http.server, ssl, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 404)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl Server {
    fn start() -> Server {
        let folder = common::scratch();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (key, certificate) = (path("key"), path("certificate"));
        let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let about = ["-nodes", "-days", "2", "-subj", "/CN=bench"];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1"];
        let out = ["-keyout", &key, "-out", &certificate];
        let words = [&kind[..], &about, &names, &out].concat();
        common::run("openssl", &words, &[], b"").ok();
        let mut child = Command::new("python3")
            .args(["-c", SERVER, &certificate, &key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Server { child, port: port.trim().to_owned(), folder }
    }

    /// What the probe says of this path.
    fn asked(&self, path: &str, environment: &[(&str, &str)]) -> serde_json::Value {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let question = serde_json::json!({ "kind": { "http": url }, "timeout": 10.0 });
        let program = env!("CARGO_BIN_EXE_surefoot");
        let line = format!("{question}\n");
        common::run(program, &["probe"], environment, line.as_bytes()).ok().json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_whose_authority_is_trusted_is_good_and_any_other_is_not() {
    let server = Server::start();
    let certificate = server.folder.path().join("certificate");
    let trusted = [("CURL_CA_BUNDLE", certificate.to_str().unwrap())];
    assert_eq!(server.asked("/", &trusted)["found"], "good");
    let missing = server.asked("/elsewhere", &trusted);
    assert_eq!(missing["found"], "bad", "{missing}");
    assert!(missing["detail"].as_str().unwrap().ends_with("answered 404"), "{missing}");
    let stranger = server.asked("/", &[]);
    assert_eq!(stranger["found"], "bad", "{stranger}");
    assert!(stranger["detail"].as_str().unwrap().contains("certificate"), "{stranger}");
}

#[test]
fn without_a_client_nobody_looked() {
    let server = Server::start();
    let answer = server.asked("/", &[("PATH", "/nowhere")]);
    assert_eq!(answer["found"], "could-not", "{answer}");
    assert!(answer["detail"].as_str().unwrap().starts_with("curl, which "), "{answer}");
}

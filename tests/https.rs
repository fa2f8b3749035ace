//! A check over TLS, with the authorities that the settings name.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common;
use crate::net::tls::Authority;
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
        let authority = Authority::new();
        let own = authority.good();
        std::fs::write(path("authority"), authority.pem()).unwrap();
        std::fs::write(&certificate, own.certificate).unwrap();
        std::fs::write(&key, own.key).unwrap();
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

    /// What the probe says of this path, where it believes these certificates.
    fn asked(&self, path: &str, roots: &str) -> serde_json::Value {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let net = serde_json::json!({ "roots": roots, "connect": 10_000, "header": 10_000, "stall": 10_000 });
        let question = serde_json::json!({ "kind": { "http": url }, "timeout": 10.0, "net": net });
        let program = env!("CARGO_BIN_EXE_surefoot");
        let line = format!("{question}\n");
        common::run(program, &["probe"], &[], line.as_bytes()).ok().json()
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
    let trusted = std::fs::read_to_string(server.folder.path().join("authority")).unwrap();
    let good = server.asked("/", &trusted);
    assert_eq!(good["found"], "good", "{good}");
    let missing = server.asked("/elsewhere", &trusted);
    assert_eq!(missing["found"], "bad", "{missing}");
    assert!(missing["detail"].as_str().unwrap().ends_with("answered 404"), "{missing}");
    let stranger = server.asked("/", "");
    assert_eq!(stranger["found"], "bad", "{stranger}");
    assert!(stranger["detail"].as_str().unwrap().contains("certificate"), "{stranger}");
}

#[test]
fn a_check_over_tls_needs_no_other_program() {
    let bench = common::Bench::new();
    let server = Server::start();
    let config = bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let roots = server.folder.path().join("authority");
    let url = format!("https://127.0.0.1:{}/", server.port);
    let more = format!(
        "\n[source]\nroots = {roots:?}\n[[health.check]]\nname = \"web\"\nhttp = \"{url}\"\n"
    );
    std::fs::write(&config, text + &more).unwrap();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&[]);
    bench.surefoot_with(&["commit"], &[("PATH", "/nowhere")], b"").ok();
}

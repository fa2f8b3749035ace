//! The honest server: nginx as Debian has it.

use super::Fetching;
use crate::common::skip::skipped;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves this folder.
fn nginx(folder: &str) -> Option<(Nginx, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{}}\nhttp {{\n  access_log off;\n  client_body_temp_path {folder}/t1;\n  proxy_temp_path {folder}/t2;\n  \
         fastcgi_temp_path {folder}/t3;\n  uwsgi_temp_path {folder}/t4;\n  scgi_temp_path {folder}/t5;\n  gzip on;\n  \
         gzip_types *;\n  server {{ listen 127.0.0.1:{port}; root {folder}; }}\n}}\n"
    );
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, config).unwrap();
    let child = Command::new("nginx").args(["-c", &file]).stderr(Stdio::null()).spawn().ok()?;
    let server = Nginx(child);
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some((server, port))
}

#[test]
fn an_honest_server_gives_the_release() {
    let it = Fetching::new();
    let Some((_server, port)) = nginx(&it.bench.path(".")) else {
        return skipped("nginx is not installed");
    };
    let name = "v2.0.0.surefoot";
    it.gets(&format!("http://127.0.0.1:{port}/{name}"));
    it.refused_after(&format!("http://127.0.0.1:{port}/nothing"));
}

impl Fetching {
    /// Where a release waits already, a URL that leads to nothing changes nothing.
    fn refused_after(&self, url: &str) {
        self.install(url).refused(69, "HTTP_STATUS");
        self.is_installed();
    }
}

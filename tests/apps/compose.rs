//! `surefoot-forge build --app`: what a Compose file says comes out, and nothing else.

use super::images::{MadeImage, docker_old, file, layer, tar};
use crate::common::{self, Said, forge};
use serde_json::{Value, json};

/// A folder with keys, and archives of the images `shop-web:1` and `shop-db:1`, which share a layer.
pub(super) struct Shop {
    pub(super) dir: tempfile::TempDir,
    pub(super) web: MadeImage,
    pub(super) db: MadeImage,
}

impl Shop {
    pub(super) fn new() -> Shop {
        let dir = common::scratch();
        let health =
            json!({ "Healthcheck": { "Test": ["CMD", "/bin/ask"], "Interval": 2_000_000_000u64 } });
        let web = MadeImage::new("amd64", &[layer(1), layer(2)]);
        let db = MadeImage::with("amd64", &[layer(1), layer(3)], health);
        std::fs::create_dir(dir.path().join("images")).unwrap();
        let saved = tar(&docker_old(&[(&web, "localhost/shop-web:1"), (&db, "shop-db:1")]));
        std::fs::write(dir.path().join("images/shop.tar"), saved).unwrap();
        let shop = Shop { dir, web, db };
        forge(&["keygen", "--out", &shop.path("KEYS")]).ok();
        shop
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn build_to(&self, compose: &str, output: &str, more: &[&str]) -> Said {
        std::fs::write(self.path("compose.yaml"), compose).unwrap();
        let (file, images) = (self.path("compose.yaml"), self.path("images"));
        let (key, output) = (self.path("KEYS/release.key"), self.path(output));
        let words = [
            "build",
            "--app",
            "shop",
            "--compose",
            &file,
            "--images",
            &images,
            "--product",
            "demo",
            "--compatible",
            "demo-board",
            "--version",
            "1.2.0",
            "--key",
            &key,
            "--level",
            "3",
            "-o",
            &output,
        ];
        forge(&[&words[..], more].concat())
    }

    /// The document of the bundle that is built.
    #[track_caller]
    pub(super) fn document(&self, compose: &str) -> Value {
        self.build_to(compose, "x.surefoot", &[]).ok();
        document_of(&self.path("x.surefoot"))
    }

    #[track_caller]
    pub(super) fn refused(&self, compose: &str, code: &str, words: &str) {
        let said = self.build_to(compose, "x.surefoot", &[]);
        assert_ne!(said.code, 0, "{compose}");
        let line = said.err.lines().find(|l| l.starts_with("surefoot-forge: ")).unwrap_or_default();
        assert!(line.ends_with(&format!("[{code}]")), "{compose}\n{}", said.err);
        assert!(line.contains(words), "{compose}\nnot `{words}`: {}", said.err);
        assert!(!std::path::Path::new(&self.path("x.surefoot")).exists(), "{compose}");
    }
}

pub(super) fn document_of(path: &str) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let head = surefoot::artifact::read_head(&mut rest).unwrap();
    let release = head.parse_unverified().unwrap();
    release.pass_pages(&mut rest).unwrap();
    let chunks = release.chunks_of(&release.manifest.payloads[0]);
    let content = surefoot::artifact::PayloadContent::new(&mut rest, chunks).unwrap();
    serde_json::from_slice(&content.read_all(256 * 1024).unwrap()).unwrap()
}

const WHOLE: &str = r#"
name: shop
x-common: &common
  restart: unless-stopped
  mem_limit: 64mb
services:
  migrate:
    image: shop-db:1
    command: /bin/migrate --to '7 8'
    volumes: ["data:/var/lib/db"]
    x-surefoot: { run: once-per-release }
  db:
    <<: *common
    image: localhost/shop-db:1
    depends_on: { migrate: { condition: service_completed_successfully } }
    volumes:
      - data:/var/lib/db
      - { type: bind, source: /run/bus.sock, target: /bus.sock, read_only: true, x-surefoot: { type: socket } }
      - { type: tmpfs, target: /scratch, tmpfs: { size: 1m } }
    deploy: { resources: { reservations: { memory: 32M, cpus: "0.25" } } }
    stop_grace_period: 1m30s
    stop_signal: int
  web:
    <<: *common
    image: docker.io/library/shop-web:1
    depends_on: [db]
    environment: ["MODE=fast", "PRICE=5 $$"]
    x-surefoot: { critical: true, logs: [/var/log/web], variables: [SERIAL] }
    secrets: [token]
    ports: ["443:8443", "127.0.0.1:53:53/udp", { target: 9000 }]
    healthcheck: { test: "wget -q localhost", interval: 5s, timeout: 1s, retries: 2, start_period: 500ms }
    networks: { default: { aliases: [www] } }
    tmpfs: /tmp:size=64k
    user: "33:33"
    read_only: true
    init: true
    privileged: true
    cap_drop: [ALL]
    cap_add: [CAP_NET_BIND_SERVICE]
    security_opt: ["no-new-privileges:true"]
    devices: ["/dev/ttyS0:/dev/ttyS1:rw"]
    ulimits: { nofile: { soft: 10, hard: 20 }, nproc: 5 }
    sysctls: { net.core.somaxconn: 100 }
    extra_hosts: ["cloud:10.0.0.1"]
    dns: 10.0.0.2
    shm_size: 1m
    logging: { driver: json-file, options: { max-size: 1m } }
    labels: { shop.example/role: web }
volumes:
  data: { x-surefoot: { schema: 7, readable_by: ">=6", owner: "5:6", size: 1g } }
secrets:
  token: { external: true }
x-surefoot:
  deadline: 20s
  soak: 3s
  max_restarts: 4
  keep: 2
  provides: [web-shop]
  requires: clock
  conflicts: [kiosk]
  claims: [uart0]
  permissions: [reboot]
  external: { cloud: { optional: true } }
  config: { LEVEL: { type: integer, default: 3, least: 0, most: 9, about: "How much is said" } }
  web: "http://{host}:8080/"
  disk: 10m
"#;

#[test]
fn what_a_compose_file_says_stands_in_the_document_in_one_form() {
    let shop = Shop::new();
    let found = shop.document(WHOLE);
    let always_db = json!({
        "image": shop.db.id(), "after": { "migrate": { "condition": "service_completed_successfully" } },
        "mounts": [
            { "what": { "kind": "volume", "volume": "data" }, "target": "/var/lib/db" },
            { "what": { "kind": "bind", "source": "/run/bus.sock", "of": "socket" }, "target": "/bus.sock", "read_only": true },
            { "what": { "kind": "tmpfs", "size": 1 << 20 }, "target": "/scratch" },
        ],
        "resources": { "reserved_memory": 32 << 20, "reserved_cpu": 250, "most_memory": 64 << 20 },
        "stop_grace_period": 90_000, "stop_signal": "SIGINT",
        // That of the image, where the file says nothing.
        "health": { "command": ["/bin/ask"], "interval": 2000, "timeout": 30_000, "retries": 3, "start_period": 0 },
    });
    let web = json!({
        "image": shop.web.id(), "after": { "db": { "condition": "service_started" } },
        "environment": { "MODE": "fast", "PRICE": "5 $" }, "variables": ["SERIAL"], "secrets": ["token"],
        "critical": true, "logs": { "/var/log/web": 10 << 20 }, "log_size": 1 << 20,
        "ports": [
            { "host": 443, "container": 8443 },
            { "address": "127.0.0.1", "host": 53, "container": 53, "protocol": "udp" },
            { "container": 9000 },
        ],
        "health": { "command": ["/bin/sh", "-c", "wget -q localhost"], "interval": 5000, "timeout": 1000, "retries": 2, "start_period": 500 },
        "aliases": ["www"], "mounts": [{ "what": { "kind": "tmpfs", "size": 65536 }, "target": "/tmp" }],
        "user": "33:33", "read_only": true, "init": true, "privileged": true, "no_new_privileges": true,
        "cap_add": ["NET_BIND_SERVICE"], "cap_drop": ["ALL"],
        "devices": [{ "source": "/dev/ttyS0", "target": "/dev/ttyS1", "rights": "rw" }],
        "ulimits": { "nofile": [10, 20], "nproc": [5, 5] }, "sysctls": { "net.core.somaxconn": "100" },
        "extra_hosts": ["cloud:10.0.0.1"], "dns": ["10.0.0.2"], "shm_size": 1 << 20,
        "resources": { "most_memory": 64 << 20 }, "labels": { "shop.example/role": "web" },
    });
    let migrate = json!({
        "image": shop.db.id(), "command": ["/bin/migrate", "--to", "7 8"], "run": "once-per-release", "restart": "no",
        "mounts": [{ "what": { "kind": "volume", "volume": "data" }, "target": "/var/lib/db" }],
    });
    let image = |image: &MadeImage, name: &str| {
        let layers: Vec<String> =
            image.layers.iter().map(|l| surefoot::model::Digest::of(l).to_string()).collect();
        let size: usize = image.layers.iter().map(Vec::len).sum();
        json!({ "name": name, "architecture": "amd64", "layers": layers, "size": size })
    };
    let wanted = json!({
        "format": 1, "app": "shop", "kind": "containers",
        "services": { "migrate": migrate, "db": always_db, "web": web },
        "images": {
            shop.db.id(): image(&shop.db, "localhost/shop-db:1"),
            shop.web.id(): image(&shop.web, "docker.io/library/shop-web:1"),
        },
        "volumes": { "data": { "schema": 7, "readable_by": 6, "owner": [5, 6], "size": 1 << 30 } },
        "secrets": { "token": {} },
        "deadline": 20_000, "soak": 3000, "max_restarts": 4, "keep": 2,
        "provides": ["web-shop"], "requires": ["clock"], "conflicts": ["kiosk"], "claims": ["uart0"],
        "permissions": ["reboot"], "external": { "cloud": { "variable": "CLOUD", "optional": true } },
        "config": { "LEVEL": { "type": "integer", "default": "3", "least": 0, "most": 9, "about": "How much is said" } },
        "web": "http://{host}:8080/", "disk": 10 << 20,
    });
    for key in wanted.as_object().unwrap().keys() {
        assert_eq!(found[key], wanted[key], "{key}");
    }
    assert_eq!(found, wanted);
}

#[test]
fn the_same_input_gives_the_same_bytes_and_a_shared_layer_once() {
    let shop = Shop::new();
    shop.build_to(WHOLE, "a.surefoot", &[]).ok();
    let said = shop.build_to(WHOLE, "b.surefoot", &["--json"]).ok().json();
    let bytes = std::fs::read(shop.path("a.surefoot")).unwrap();
    assert!(bytes == std::fs::read(shop.path("b.surefoot")).unwrap());
    let seen = forge(&["inspect", &shop.path("a.surefoot"), "--json"]).ok().json();
    let kinds: Vec<&str> =
        seen["payloads"].as_array().unwrap().iter().map(|p| p["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["app", "image", "image", "layer", "layer", "layer"]);
    assert_eq!((&seen["app"], &seen["requires_updater"]), (&json!("shop"), &json!("0.5.0")));
    assert_eq!(seen["app_document"]["services"], json!(["db", "migrate", "web"]));
    let shared = |layer: &&Value| layer["images"] == json!(2);
    assert_eq!(said["layers"].as_array().unwrap().iter().filter(shared).count(), 1, "{said}");
    let verified = ["verify", &shop.path("a.surefoot"), "--trust", &shop.path("KEYS/trust.toml")];
    forge(&verified).ok();
    let told = shop.build_to(WHOLE, "c.surefoot", &[]).ok();
    assert!(told.out.contains("services: db, migrate, web"), "{}", told.out);
    assert!(told.out.contains("layers: 3, "), "{}", told.out);
}

#[test]
fn native_and_command_apps_carry_their_tree() {
    let shop = Shop::new();
    std::fs::create_dir_all(shop.path("tree/bin")).unwrap();
    common::program(shop.path("tree/bin/agent"), b"#!/bin/sh\n");
    std::fs::write(shop.path("tree/agent.service"), "[Service]\nExecStart=@ROOT@/bin/agent\n")
        .unwrap();
    let found = shop.document("x-surefoot: { kind: native, tree: tree, units: [agent.service] }\n");
    let files = found["native"]["files"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["agent.service", "bin/agent"]);
    assert_eq!((&files[1]["executable"], &files[0]["executable"]), (&json!(true), &Value::Null));
    let found =
        shop.document("x-surefoot: { kind: command, tree: tree, program: mcu, timeout: 60s }\n");
    assert_eq!(
        (&found["command"]["program"], &found["command"]["timeout"]),
        (&json!("mcu"), &json!(60_000))
    );
    let found = shop.document("x-surefoot: { kind: command, program: mcu }\n");
    assert_eq!(found["command"], json!({ "program": "mcu", "timeout": 120_000 }));
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    std::fs::write(shop.path("tree/agent.service"), "[Service]\nExecStart=/bin/rm -r /\n").unwrap();
    shop.refused(
        "x-surefoot: { kind: native, tree: tree, units: [agent.service] }\n",
        "APP_INVALID",
        "units.agent.service",
    );
    std::os::unix::fs::symlink("/etc/passwd", shop.path("tree/out")).unwrap();
    shop.refused(
        "x-surefoot: { kind: native, tree: tree, units: [agent.service] }\n",
        "APP_INVALID",
        "only files and folders",
    );
}

#[test]
fn what_makes_a_bundle_large_or_hard_to_run_is_told_or_denied() {
    let shop = Shop::new();
    let dirty = tar(&[
        file("var/lib/apt/lists/deb.example_dists", vec![1; 5000]),
        file("var/cache/apt/pkgcache.bin", "x"),
        file("root/.cache/pip/x", "x"),
        file("root/.npm/_cacache/x", "x"),
        file("var/cache/apk/x", "x"),
        file("root/.cargo/registry/x", "x"),
        file("var/cache/ldconfig/aux-cache", "x"),
        file("var/log/dpkg.log", "x"),
        file("usr/lib/a/__pycache__/a.pyc", [&[1, 2, 3, 4, 0, 0, 0, 0][..], &[7; 20]].concat()),
        file("usr/lib/a/__pycache__/b.pyc", [&[1, 2, 3, 4, 3, 0, 0, 0][..], &[7; 20]].concat()),
    ]);
    let again = super::images::Entry { mtime: 8, ..file("var/log/dpkg.log", "x") };
    let image = MadeImage::new("amd64", &[dirty, tar(&[again])]);
    let saved = tar(&docker_old(&[(&image, "dirty:latest")]));
    std::fs::write(shop.path("images/dirty.tar"), saved).unwrap();
    let compose = "version: '3'\nservices: { web: { image: dirty } }\n";
    let said = shop.build_to(compose, "x.surefoot", &["--json"]).ok();
    let mut rules: Vec<String> = said.json()["lint"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{} {}", f["rule"].as_str().unwrap(), f["files"]))
        .collect();
    rules.sort();
    assert_eq!(
        rules,
        [
            "apk-cache 1",
            "apt-cache 2",
            "cargo-cache 1",
            "compose 0",
            "latest 0",
            "ldconfig-cache 1",
            "logs 1",
            "logs 1",
            "no-health 0",
            "no-memory-limit 0",
            "npm-cache 1",
            "only-time 1",
            "pip-cache 1",
            "pyc-times 1",
            "root 0",
        ]
    );
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    let told = shop.build_to(compose, "x.surefoot", &[]).ok();
    assert!(
        told.err
            .contains("warning: apt-cache: image dirty: apt's lists and archives: 2 of 4.8 KiB"),
        "{}",
        told.err
    );
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    let denied = shop.build_to(compose, "x.surefoot", &["--lint", "deny"]);
    assert_ne!(denied.code, 0);
    assert!(denied.err.contains("findings with `--lint deny`"), "{}", denied.err);
    assert!(!std::path::Path::new(&shop.path("x.surefoot")).exists());
    let off = shop.build_to(compose, "x.surefoot", &["--lint", "off"]).ok();
    assert!(!off.err.contains("warning"), "{}", off.err);
    let clean = "services: { web: { image: shop-db:1, user: '5', mem_limit: 64m } }\n";
    shop.build_to(clean, "y.surefoot", &["--lint", "deny"]).ok();
}

#[test]
fn a_key_of_an_app_signs_its_bundles_and_no_system() {
    let shop = Shop::new();
    let said =
        forge(&["keygen", "--out", &shop.path("KEYS"), "--app", "shop", "--json"]).ok().json();
    let trust = std::fs::read_to_string(shop.path("KEYS/trust.toml")).unwrap();
    let trust = format!("{trust}\n{}", said["entry"].as_str().unwrap());
    std::fs::write(shop.path("trust.toml"), trust).unwrap();
    let compose = "services: { web: { image: shop-web:1 } }\n";
    shop.build_to(compose, "x.surefoot", &[]).ok();
    let (key, trust) = (shop.path("KEYS/app-shop.key"), shop.path("trust.toml"));
    let build = |output: &str, more: &[&str]| {
        let words =
            ["build", "--product", "demo", "--compatible", "demo-board", "--version", "1.0.0"];
        forge(&[&words[..], &["--key", &key, "-o", output], more].concat()).ok();
        forge(&["verify", output, "--trust", &trust])
    };
    let (file, images, output) =
        (shop.path("compose.yaml"), shop.path("images"), shop.path("y.surefoot"));
    build(&output, &["--app", "shop", "--compose", &file, "--images", &images]).ok();
    assert_ne!(
        build(&output, &["--app", "other", "--compose", &file, "--images", &images]).code,
        0
    );
    let rootfs = shop.path("rootfs");
    std::fs::write(&rootfs, common::image(3, 1 << 20)).unwrap();
    assert_ne!(build(&output, &["--raw", "--rootfs", &rootfs]).code, 0);
}

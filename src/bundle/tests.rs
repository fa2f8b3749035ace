//! Each rule of a document, by a document that breaks it and nothing else.

use super::*;
use crate::model::{Digest, ReasonCode};
use serde_json::{Value, json};

const IMAGE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const LAYER: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const OTHER: &str = "3333333333333333333333333333333333333333333333333333333333333333";

fn shop() -> Value {
    json!({
        "format": 1, "app": "shop", "kind": "containers",
        "deadline": 20000, "soak": 3000, "max_restarts": 2, "keep": 1,
        "images": { IMAGE: { "name": "shop:1", "architecture": "amd64", "layers": [LAYER], "size": 2048 } },
        "volumes": { "data": { "schema": 7, "readable_by": 6, "owner": [7, 8] } },
        "secrets": { "token": {} },
        "config": { "LEVEL": { "type": "integer", "default": "1", "least": 0, "most": 9 } },
        "external": { "cloud": { "variable": "CLOUD" } },
        "provides": ["web"], "requires": ["clock"],
        "services": {
            "init": { "image": IMAGE, "run": "once-per-release" },
            "db": {
                "image": IMAGE, "after": { "init": { "condition": "service_completed_successfully" } },
                "mounts": [{ "what": { "kind": "volume", "volume": "data" }, "target": "/var/lib/db" },
                    { "what": { "kind": "tmpfs", "size": 65536 }, "target": "/tmp" }],
                "health": { "command": ["/bin/true"], "interval": 1000, "timeout": 1000, "retries": 3, "start_period": 0 },
            },
            "web": {
                "image": IMAGE, "after": { "db": { "condition": "service_healthy" } }, "aliases": ["www"],
                "environment": { "A": "b" }, "variables": ["LEVEL", "CLOUD"], "secrets": ["token"],
                "ports": [{ "host": 8080, "container": 80 }, { "container": 81, "protocol": "udp" }],
                "mounts": [{ "what": { "kind": "bind", "source": "/run/x.sock", "of": "socket" }, "target": "/x.sock", "read_only": true }],
                "devices": [{ "source": "/dev/ttyS0", "target": "/dev/ttyS0", "rights": "rw" }],
                "ulimits": { "nofile": [10, 20] }, "sysctls": { "net.core.somaxconn": "9" },
                "resources": { "most_memory": 67108864, "reserved_memory": 1024 },
                "stop_signal": "SIGINT", "cap_drop": ["ALL"], "logs": { "/var/log/web": 65536 },
            },
        },
    })
}

fn read(value: &Value) -> crate::model::Result<AppDocument> {
    parse_document(&serde_json::to_vec(value).unwrap())
}

/// The good document with one value changed: `null` takes it away.
fn with(mut document: Value, place: &str, value: Value) -> Value {
    let (above, name) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(above).unwrap_or_else(|| panic!("{place}"));
    match (parent, value) {
        (Value::Object(map), Value::Null) => assert!(map.remove(name).is_some(), "{place}"),
        (Value::Object(map), value) => drop(map.insert(name.to_owned(), value)),
        (parent, value) => parent[name.parse::<usize>().unwrap()] = value,
    }
    document
}

#[track_caller]
fn refused(document: &Value, code: ReasonCode, words: &str) {
    let failure = read(document).expect_err(words);
    assert_eq!(failure.code(), code, "{failure}");
    assert!(failure.detail().contains(words), "{failure}");
}

#[test]
fn a_good_document_reads_and_is_written_in_one_spelling() {
    let read_it = read(&shop()).unwrap();
    let bytes = read_it.to_bytes();
    assert_eq!(parse_document(&bytes), Ok(read_it.clone()));
    assert_eq!(parse_document(&bytes).unwrap().to_bytes(), bytes);
    // What is a default is not written, whether the document says it or not.
    let said = with(shop(), "/services/web/privileged", json!(false));
    let said = with(said, "/services/web/replicas", json!(1));
    let said = with(said, "/services/init/restart", json!("always"));
    assert_eq!(read(&said).unwrap().to_bytes(), bytes);
    let text = String::from_utf8(bytes).unwrap();
    for word in ["privileged", "replicas", "\"network\"", "restart\":", "null", "[]", " "] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(text.starts_with("{\"app\":\"shop\",\"config\":"), "{text}");
}

#[test]
fn an_app_has_no_name_that_an_engine_has_for_a_network() {
    for name in ["host", "none"] {
        let text = format!("`{name}` is no name for an app");
        refused(&with(shop(), "/app", json!(name)), ReasonCode::AppInvalid, &text);
    }
}

#[test]
fn services_start_in_levels_and_a_circle_is_named() {
    let document = read(&shop()).unwrap();
    let names = |levels: Vec<Vec<&ServiceName>>| -> Vec<Vec<String>> {
        levels.iter().map(|level| level.iter().map(ToString::to_string).collect()).collect()
    };
    let order = names(document.start_order().unwrap());
    assert_eq!(order, [["init"], ["db"], ["web"]]);
    let free = with(shop(), "/services/web/after", Value::Null);
    let order = names(read(&free).unwrap().start_order().unwrap());
    assert_eq!(order, [&["init", "web"][..], &["db"]]);
    let started = json!({ "web": { "condition": "service_started" } });
    let circle = with(shop(), "/services/init/after", started);
    refused(&circle, ReasonCode::DependencyCycle, "db, init, web, db");
    let own = json!({ "db": { "condition": "service_healthy" } });
    let circle = with(shop(), "/services/db/after", own);
    refused(&circle, ReasonCode::DependencyCycle, "db, db");
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_place() {
    let service = |place: &str, value: Value| (format!("/services/web/{place}"), value);
    let mount = |target: &str| json!([{ "what": { "kind": "tmpfs" }, "target": target }]);
    let bind =
        |source: &str| json!([{ "what": { "kind": "bind", "source": source }, "target": "/x" }]);
    let port = |host: u32, container: u32| json!([{ "host": host, "container": container }]);
    let health = |command: Value, interval: u32, timeout: u32, retries: u32| json!({ "command": command, "interval": interval, "timeout": timeout, "retries": retries, "start_period": 0 });
    let cases = [
        (service("image", json!(OTHER)), "none of the bundle"),
        (service("replicas", json!(0)), "`replicas` is 0"),
        (service("after", json!({ "nix": { "condition": "service_started" } })), "`nix`"),
        (
            service("after", json!({ "init": { "condition": "service_healthy" } })),
            "no health check",
        ),
        (
            service("after", json!({ "db": { "condition": "service_completed_successfully" } })),
            "say `run`",
        ),
        (service("secrets", json!(["nix"])), "secret `nix`"),
        (service("secrets", json!(["token", "token"])), "named twice"),
        (service("environment", json!({ "A=B": "x" })), "no name of a variable"),
        (service("environment", json!({ "A": "x\u{0}" })), "zero byte"),
        (service("variables", json!(["A"])), "there twice"),
        (service("variables", json!(["1A"])), "no name of a variable"),
        (service("user", json!("0:0:0")), "no user"),
        (service("user", json!("a b")), "no user"),
        (service("working_dir", json!("x")), "no absolute folder"),
        (service("hostname", json!("-x")), "no name of a host"),
        (service("aliases", json!(["a b"])), "no name of a host"),
        (service("network", json!("host")), "only in the app's own network"),
        (service("ports", port(0, 80)), "no port 0"),
        (service("ports", port(80, 0)), "no port 0"),
        (service("ports", json!([{ "address": "lan", "container": 80 }])), "no address"),
        (service("extra_hosts", json!(["a"])), "not NAME:ADDRESS"),
        (service("dns", json!(["a"])), "name server"),
        (service("mounts", mount("x")), "no place to mount"),
        (service("mounts", mount("/")), "no place to mount"),
        (service("mounts", mount("/proc/sys")), "no place to mount"),
        (service("mounts", mount("/a/../b")), "no place to mount"),
        (service("mounts", mount("/a//b")), "no place to mount"),
        (service("mounts", mount("/a:rw")), "no place to mount"),
        (service("mounts", mount("/a\nb")), "no place to mount"),
        (service("mounts", mount("/run/secrets")), "mounted at `/run/secrets`"),
        (service("mounts", mount("/var/log/web")), "mounted at `/var/log/web`"),
        (service("mounts", bind("/etc/../root")), "no absolute path"),
        (service("mounts", bind("/x:/y")), "no absolute path"),
        (service("mounts/0/what/of", json!("block")), "`file`, `dir` or `socket`"),
        (service("mounts/0/what", json!({ "kind": "volume", "volume": "nix" })), "volume `nix`"),
        (service("mounts/0/what", json!({ "kind": "tmpfs", "size": 1 })), "`tmpfs` is 1"),
        (service("devices/0/source", json!("/etc/shadow")), "below /dev"),
        (service("devices/0/source", json!("/dev/../etc")), "below /dev"),
        (service("devices/0/rights", json!("rr")), "`rwm`"),
        (service("cap_add", json!(["CAP_NET_ADMIN"])), "without `CAP_`"),
        (service("cap_drop", json!(["net"])), "no capability"),
        (service("sysctls", json!({ "kernel.panic": "1" })), "no kernel setting"),
        (service("ulimits", json!({ "nofile": [30, 20] })), "soft limit"),
        (service("ulimits", json!({ "nofiles": [1, 2] })), "no limit"),
        (service("stop_signal", json!("SIGNAL")), "no signal"),
        (service("stop_signal", json!("SIGRTMIN+31")), "no signal"),
        (service("resources", json!({ "most_memory": 4096 })), "`most_memory`"),
        (service("resources", json!({ "most_cpu": 5, "reserved_cpu": 6 })), "`reserved_cpu` is 6"),
        (service("stop_grace_period", json!(4_000_000)), "`stop_grace_period`"),
        (service("log_size", json!(1)), "`log_size`"),
        (service("shm_size", json!(1)), "`shm_size`"),
        (service("logs", json!({ "log": 65536 })), "no place to mount"),
        (service("logs", json!({ "/log": 1 })), "`logs` is 1"),
        (service("labels", json!({ "io.surefoot.app": "other" })), "the updater's own"),
        (service("health", health(json!([]), 1000, 1000, 1)), "names no program"),
        (service("health", health(json!(["x"]), 1, 1000, 1)), "`health.interval`"),
        (service("health", health(json!(["x"]), 1000, 1, 1)), "`health.timeout`"),
        (service("health", health(json!(["x"]), 1000, 1000, 0)), "`health.retries`"),
        (("/deadline".into(), json!(1)), "`deadline` is 1"),
        (("/soak".into(), json!(90_000_000)), "`soak`"),
        (("/keep".into(), json!(11)), "`keep`"),
        (("/max_restarts".into(), json!(101)), "`max_restarts`"),
        (("/web".into(), json!("javascript:alert(1)")), "no link"),
        (("/web".into(), json!("http://{x}/")), "no link"),
        (("/conflicts".into(), json!(["web"])), "in conflict with `web`"),
        (("/claims".into(), json!(["uart", "uart"])), "twice"),
        (("/volumes/data/readable_by".into(), json!(8)), "newer than"),
        (("/volumes/data/size".into(), json!(1)), "size of volume"),
        (("/config/level-x".into(), json!({ "type": "string" })), "names no variable"),
        (("/config/CLOUD".into(), json!({ "type": "string" })), "or twice"),
        (("/config/LEVEL/default".into(), json!("10")), "config.LEVEL"),
        (
            (
                format!("/images/{OTHER}"),
                json!({ "name": "", "architecture": "amd64", "layers": [], "size": 0 }),
            ),
            "of no service",
        ),
        ((format!("/images/{IMAGE}/architecture"), json!("")), "which processor"),
        (("/native".into(), json!({ "files": [], "units": [] })), "kind"),
        (("/kind".into(), json!("native")), "kind"),
        (("/app".into(), json!("Shop")), "name of"),
        (("/colour".into(), json!("red")), "colour"),
        (service("colour", json!("red")), "colour"),
        (service("mounts/0/what/colour", json!("red")), "colour"),
    ];
    for ((place, value), words) in cases {
        refused(&with(shop(), &place, value), ReasonCode::AppInvalid, words);
    }
    let once = with(shop(), "/services/db/run", json!("every-start"));
    refused(&once, ReasonCode::AppInvalid, "no health check and no replicas");
    let replicas = with(shop(), "/services/web/replicas", json!(2));
    refused(&replicas, ReasonCode::AppInvalid, "this has replicas");
    let own = with(shop(), "/requires", json!(["web"]));
    refused(&own, ReasonCode::DependencyCycle, "provides itself");
    let newer = with(shop(), "/format", json!(2));
    refused(&newer, ReasonCode::UpdaterTooOld, "format 2");
    let failure = read(&with(shop(), "/services/web/user", json!("a b"))).unwrap_err();
    assert!(failure.detail().starts_with("services.web: "), "{failure}");
}

#[test]
fn a_port_of_the_device_leads_to_one_service() {
    let db = |port: Value| with(shop(), "/services/db/ports", json!([port]));
    let taken = ReasonCode::PortTaken;
    refused(
        &db(json!({ "host": 8080, "container": 1 })),
        taken,
        "port 8080 leads to `db` and to `web`",
    );
    refused(&db(json!({ "host": 8080, "container": 1, "address": "127.0.0.1" })), taken, "8080");
    refused(&db(json!({ "host": 8080, "container": 1, "address": "0.0.0.0" })), taken, "8080");
    assert!(read(&db(json!({ "host": 8080, "container": 1, "protocol": "udp" }))).is_ok());
    assert!(read(&db(json!({ "host": 8081, "container": 1 }))).is_ok());
    let local = |address: &str| json!([{ "host": 80, "container": 80, "address": address }]);
    let apart = with(shop(), "/services/web/ports", local("127.0.0.1"));
    assert!(read(&with(apart, "/services/db/ports", local("127.0.0.2"))).is_ok());
}

#[test]
fn ten_thousand_services_are_refused_before_they_are_looked_at() {
    let mut document = shop();
    let web = document["services"]["init"].clone();
    // All of these are also wrong in themselves.
    let bad = with(json!({ "w": web }), "/w/user", json!("a b"))["w"].clone();
    for n in 0..900 {
        document["services"][format!("w{n}")] = bad.clone();
    }
    refused(&document, ReasonCode::AppInvalid, "903 services");
    let many = with(shop(), "/services/web/replicas", json!(10_000));
    refused(&many, ReasonCode::AppInvalid, "10002 services, replicas counted");
    let long = vec![b' '; usize::try_from(MAX_DOCUMENT_LEN).unwrap() + 1];
    assert!(parse_document(&long).unwrap_err().detail().contains("at most"));
}

#[test]
fn the_seeds_of_the_fuzzer_and_mutations_of_them_keep_their_promises() {
    crate::model::corpus::run("app_document", fuzz::document);
}

fn native() -> Value {
    json!({
        "format": 1, "app": "agent", "kind": "native",
        "deadline": 20000, "soak": 0, "max_restarts": 0, "keep": 1,
        "native": {
            "files": [{ "path": "bin/agent", "size": 7, "executable": true, "sha256": LAYER },
                { "path": "agent.service", "size": 9, "sha256": OTHER }],
            "units": ["agent.service"],
        },
    })
}

#[test]
fn the_tree_of_a_native_app_cannot_climb_or_contradict_itself() {
    assert_eq!(read(&native()).unwrap().files().len(), 2);
    let cases = [
        ("/native/files/0/path", json!("../bin"), "relative path"),
        ("/native/files/0/path", json!("/bin"), "relative path"),
        ("/native/files/0/path", json!("bin//agent"), "relative path"),
        ("/native/files/0/path", json!("./bin"), "relative path"),
        ("/native/files/0/path", json!("agent.service"), "there twice"),
        ("/native/files/0/path", json!("agent.service/x"), "a file and a folder"),
        ("/native/files/0/size", json!(5_000_000_000u64), "bytes together"),
        ("/native/units/0", json!("other.service"), "none of the files"),
        ("/native/units/0", json!("bin/agent"), "no unit"),
        ("/native/units", json!([]), "units among them"),
        ("/native/units", json!(["agent.service", "agent.service"]), "two units"),
        ("/services", shop()["services"].clone(), "kind"),
        ("/secrets", json!({ "token": {} }), "kind"),
    ];
    for (place, value, words) in cases {
        refused(&with(native(), place, value), ReasonCode::AppInvalid, words);
    }
    let file = |n: usize| json!({ "path": format!("f{n}"), "size": 1, "sha256": LAYER });
    let many: Vec<Value> = (0..=MAX_FILES).map(file).collect();
    refused(&with(native(), "/native/files", json!(many)), ReasonCode::AppInvalid, "1025 files");
    let command = json!({
        "format": 1, "app": "mcu", "kind": "command", "deadline": 20000, "soak": 0,
        "max_restarts": 0, "keep": 0, "command": { "program": "flash-mcu", "timeout": 60000 },
    });
    assert!(read(&command).unwrap().files().is_empty());
    refused(&with(command, "/command/timeout", json!(1)), ReasonCode::AppInvalid, "`timeout` is 1");
}

#[test]
fn a_document_is_held_against_the_payloads_that_came_with_it() {
    let document = read(&shop()).unwrap();
    let digest = |text: &str| text.parse::<Digest>().unwrap();
    let (image, layer, other) = (digest(IMAGE), digest(LAYER), digest(OTHER));
    let check = |document: &AppDocument, app: &str, payloads: &[(&str, Digest, u64)]| {
        let payloads =
            payloads.iter().map(|(kind, sha256, size)| (kind.parse().unwrap(), sha256, *size));
        document.check_payloads(app, payloads).map_err(|f| f.detail().to_owned())
    };
    let good = [("app", other, 5), ("image", image, 9), ("layer", layer, 2048)];
    assert_eq!(check(&document, "shop", &good), Ok(()));
    for (app, payloads, words) in [
        ("other", &good[..], "the manifest is of the app `other`"),
        ("shop", &good[..2], "no payload is layer"),
        ("shop", &[good[0], good[2]], "no payload is the configuration"),
        ("shop", &[good[0], good[1], good[1], good[2]], "twice"),
        ("shop", &[good[0], good[1], ("layer", layer, 2049)], "have 2049 bytes, not 2048"),
        ("shop", &[good[0], good[1], good[2], ("layer", other, 1)], "of no image"),
        ("shop", &[good[0], good[1], good[2], ("image", other, 1)], "of no image"),
        ("shop", &[good[0], good[1], good[2], ("tree", other, 1)], "`tree` has 1 bytes"),
    ] {
        let why = check(&document, app, payloads).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    let native = read(&native()).unwrap();
    assert_eq!(check(&native, "agent", &[("app", other, 5), ("tree", other, 16)]), Ok(()));
    assert!(check(&native, "agent", &[("app", other, 5)]).unwrap_err().contains("16 bytes"));
    assert!(check(&native, "agent", &[("app", other, 5), ("tree", other, 15)]).is_err());
}

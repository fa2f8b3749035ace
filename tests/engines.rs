//! The same on every engine that is supported: the real Podman and the real dockerd.

use crate::common::engines::{Engines, Image, busybox, layer, on_each, shared};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use surefoot::engine::{
    Container, ContainerSpec, ContainerState, Engine, EngineSocket, Logs, labels,
};
use surefoot::model::{Digest, ReasonCode};

const GRACE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// An image that no other test has, on the layer that all have.
fn image(what: &str) -> Image {
    Image::new(&[&busybox(), &layer(&[("etc/what", what.as_bytes(), 0o644)])])
}

fn spec(image: &Image, name: &str, words: &[&str]) -> ContainerSpec {
    let labels = [(labels::APP, "test"), (labels::SPEC, name), (labels::SERVICE, name)];
    ContainerSpec {
        name: name.to_owned(),
        hostname: name.to_owned(),
        image: image.id().to_string(),
        command: Some(words.iter().map(|w| (*w).to_owned()).collect()),
        labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        network: "none".to_owned(),
        log_size: 1 << 20,
        ..ContainerSpec::default()
    }
}

fn found(engine: &dyn Engine, name: &str) -> Option<Container> {
    engine.containers().unwrap().into_iter().find(|c| c.name == name)
}

fn ended(engine: &dyn Engine, name: &str) -> ContainerState {
    for _ in 0..600 {
        match found(engine, name).unwrap().state {
            ContainerState::Running => std::thread::sleep(Duration::from_millis(100)),
            state => return state,
        }
    }
    panic!("{name} does not end");
}

fn log(engine: &dyn Engine, name: &str, last: Option<u32>) -> String {
    let mut text = Vec::new();
    let mut line = |l: &[u8]| {
        text.extend_from_slice(l);
        true
    };
    engine.logs(name, &Logs { last, follow: false }, &mut line).unwrap();
    String::from_utf8(text).unwrap()
}

fn exec(engine: &dyn Engine, name: &str, words: &[&str]) -> (Option<i64>, String) {
    let words: Vec<String> =
        ["/bin/busybox"].iter().chain(words).map(|w| (*w).to_owned()).collect();
    let done = engine.exec(name, &words, LONG).unwrap();
    (done.status, done.output)
}

/// What the engine itself says, by the interface that people use.
fn raw(engine: &str, method: &str, target: &str, body: &str) -> serde_json::Value {
    let socket = shared().running.iter().find(|(n, _, _)| n == engine).unwrap().1.clone();
    let words = ["-sS", "-m", "60", "-X", method, "-H", "Content-Type: application/json"];
    let mut call = Command::new("curl");
    call.args(words).arg("--unix-socket").arg(socket);
    if !body.is_empty() {
        call.args(["-d", body]);
    }
    let out = call.arg(format!("http://e/v1.41{target}")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

fn gone(engine: &dyn Engine, names: &[&str], images: &[&Image]) {
    for name in names {
        engine.stop(name, Duration::ZERO).unwrap();
        engine.remove(name).unwrap();
    }
    for image in images {
        engine.remove_image(&image.id()).unwrap();
        assert!(!engine.images().unwrap().iter().any(|i| i.id == image.id()));
    }
}

#[test]
fn only_layers_that_are_missing_are_sent_and_the_image_is_the_one_that_was_given() {
    on_each(|name, engine| {
        let base = layer(&[("bin/own", b"a base that only this test has", 0o755)]);
        let mut first = Image::new(&[&base]);
        let top = layer(&[("etc/top", b"one", 0o644)]);
        let mut second = Image::new(&[&base, &top]);
        first.load(engine).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(first.asked, [first.layers[0].0]);
        second.load(engine).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(second.asked, [second.layers[1].0], "{name}: the base is there");
        // Once more is no harm.
        second.load(engine).unwrap();
        let info = engine.info().unwrap();
        assert_eq!(info.architecture, "amd64", "{info:?}");
        let images = engine.images().unwrap();
        let stored = images.iter().find(|i| i.id == second.id()).unwrap();
        let diffs: Vec<Digest> = second.layers.iter().map(|(d, _)| *d).collect();
        assert_eq!((&stored.layers, stored.architecture.as_str()), (&diffs, "amd64"));
        assert_eq!(stored.tags, [format!("surefoot.local/test:{}-1", second.id().short())]);
        assert_eq!(std::fs::read(stored.folders[0].join("bin/own")).unwrap().len(), 30);
        assert_eq!(std::fs::read(stored.folders[1].join("etc/top")).unwrap(), b"one");
        assert!(stored.folders[0].starts_with(&info.store), "{info:?}");
        engine.sync().unwrap();
        engine.scrub(&first.id()).unwrap();
        engine.scrub(&second.id()).unwrap();
        gone(engine, &[], &[&second, &first]);
        engine.remove_image(&first.id()).unwrap();
    });
}

#[test]
fn an_image_of_other_bytes_is_refused_and_leaves_nothing() {
    on_each(|name, engine| {
        let mut image = image("refused");
        image.bytes.insert(image.layers[1].0, layer(&[("etc/what", b"forgedd", 0o644)]));
        let why = image.load(engine).unwrap_err();
        assert_eq!(why.code(), ReasonCode::ContainerImage, "{name}: {why}");
        image.bytes.insert(image.layers[1].0, b"short".to_vec());
        assert_eq!(image.load(engine).unwrap_err().code(), ReasonCode::ContainerImage);
        image.bytes.remove(&image.layers[1].0);
        assert_eq!(image.load(engine).unwrap_err().code(), ReasonCode::Io, "of the source");
        assert!(!engine.images().unwrap().iter().any(|i| i.id == image.id()), "{name}");
        let tag = format!("/images/surefoot.local%2Ftest:{}-1/json", image.id().short());
        assert!(raw(name, "GET", &tag, "")["message"].is_string(), "{name}");
    });
}

#[test]
fn a_container_lives_from_create_to_remove() {
    on_each(|name, engine| {
        let mut image = image("life");
        image.load(engine).unwrap();
        let words =
            ["sh", "-c", "echo out; echo err >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done"];
        let spec = spec(&image, "sf-life", &words);
        engine.create(&spec).unwrap();
        engine.create(&spec).unwrap();
        let made = found(engine, "sf-life").unwrap();
        assert_eq!(
            (made.image, made.state),
            (image.id().to_string(), ContainerState::Created),
            "{name}"
        );
        assert_eq!(made.labels, spec.labels);
        engine.start("sf-life").unwrap();
        engine.start("sf-life").unwrap();
        assert_eq!(found(engine, "sf-life").unwrap().state, ContainerState::Running);
        assert_eq!(exec(engine, "sf-life", &["cat", "/etc/what"]), (Some(0), "life".to_owned()));
        assert_eq!(exec(engine, "sf-life", &["sh", "-c", "exit 3"]), (Some(3), String::new()));
        let (status, output) = exec(engine, "sf-life", &["sh", "-c", "yes | head -c 100000"]);
        assert_eq!((status, output.chars().count()), (Some(0), 4096), "{name}");
        assert!(engine.remove("sf-life").is_err(), "it runs");
        engine.stop("sf-life", Duration::from_secs(30)).unwrap();
        let state = ContainerState::Ended { status: 7, out_of_memory: false };
        assert_eq!(found(engine, "sf-life").unwrap().state, state, "{name}");
        engine.stop("sf-life", GRACE).unwrap();
        let mut lines: Vec<String> =
            log(engine, "sf-life", None).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["err", "out"], "{name}");
        assert_eq!(log(engine, "sf-life", Some(1)).lines().count(), 1);
        assert!(engine.exec("sf-life", &["/bin/busybox".to_owned()], LONG).is_err());
        engine.remove("sf-life").unwrap();
        engine.remove("sf-life").unwrap();
        engine.stop("sf-life", GRACE).unwrap();
        assert_eq!(engine.start("sf-life").unwrap_err().code(), ReasonCode::EngineFailed);
        gone(engine, &[], &[&image]);
    });
}

#[test]
fn what_hangs_in_a_container_is_ended_at_its_time() {
    on_each(|name, engine| {
        let mut image = image("hangs");
        image.load(engine).unwrap();
        engine.create(&spec(&image, "sf-hangs", &["sleep", "1000"])).unwrap();
        engine.start("sf-hangs").unwrap();
        let hangs = ["/bin/busybox", "sh", "-c", "echo begun; exec /bin/busybox sleep 777"];
        let done =
            engine.exec("sf-hangs", &hangs.map(str::to_owned), Duration::from_secs(2)).unwrap();
        assert_eq!((done.status, done.output.as_str()), (None, "begun\n"), "{name}");
        let mut left = String::new();
        for _ in 0..100 {
            left = exec(engine, "sf-hangs", &["ps"]).1;
            if !left.contains("sleep 777") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(left.contains("sleep 1000") && !left.contains("sleep 777"), "{name}: {left}");
        // SIGTERM is nothing to a first process without a handler: SIGKILL ends it.
        engine.stop("sf-hangs", GRACE).unwrap();
        let state = found(engine, "sf-hangs").unwrap().state;
        assert_eq!(state, ContainerState::Ended { status: 137, out_of_memory: false }, "{name}");
        gone(engine, &["sf-hangs"], &[&image]);
    });
}

#[test]
fn services_find_each_other_by_name_and_ports_are_on_the_address_that_was_said() {
    on_each(|name, engine| {
        let mut image = image("names");
        image.load(engine).unwrap();
        engine.make_network("test-names").unwrap();
        engine.make_network("test-names").unwrap();
        let serve = ["httpd", "-f", "-p", "8080", "-h", "/etc"];
        let port = if name == "podman" { 18_181 } else { 18_182 };
        let db = ContainerSpec {
            network: "test-names".to_owned(),
            aliases: vec!["db".to_owned()],
            ports: vec![("127.0.0.1".to_owned(), port, 8080, "tcp")],
            ..spec(&image, "sf-db", &serve)
        };
        let web = ContainerSpec {
            network: "test-names".to_owned(),
            aliases: vec!["web".to_owned()],
            ..spec(&image, "sf-web", &["sleep", "1000"])
        };
        for spec in [&db, &web] {
            engine.create(spec).unwrap();
            engine.start(&spec.name).unwrap();
        }
        // By the name first, as a static program of glibc asks no name server by itself; both take a moment to come.
        let script = "a=$(nslookup db | sed -n 's/^Address: *\\([0-9.]*\\)$/\\1/p' | tail -n 1); \
                      printf 'GET /what HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $a 8080 | tail -n 1 | grep .";
        let fetch = || exec(engine, "sf-web", &["sh", "-c", script]);
        let mut said = fetch();
        for _ in 0..50 {
            if said.0 == Some(0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            said = fetch();
        }
        let seen = exec(engine, "sf-web", &["nslookup", "db"]);
        assert_eq!(said, (Some(0), "names\n".to_owned()), "{name}: {seen:?}");
        let network = shared().network.unwrap().to_string();
        let from = |address: &str| {
            let url = format!("http://{address}:{port}/what");
            let mut call = Command::new("nsenter");
            call.args(["-t", &network, "-n", "curl", "-sS", "-m", "10", &url]);
            call.output().unwrap().stdout
        };
        assert_eq!(from("127.0.0.1"), b"names", "{name}");
        assert_eq!(from("127.0.0.2"), b"", "{name}: of no other address was spoken");
        gone(engine, &["sf-web", "sf-db"], &[&image]);
        engine.remove_network("test-names").unwrap();
        engine.remove_network("test-names").unwrap();
        assert!(raw(name, "GET", "/networks/sf-test-names", "")["message"].is_string());
    });
}

#[test]
fn what_others_have_made_is_neither_seen_nor_touched() {
    on_each(|name, engine| {
        let mut image = image("theirs");
        image.load(engine).unwrap();
        let theirs = serde_json::json!({ "Image": format!("sha256:{}", image.id()), "Cmd": ["sleep", "1000"] });
        raw(name, "POST", "/containers/create?name=sf-theirs", &theirs.to_string());
        raw(name, "POST", "/networks/create", r#"{"Name":"sf-test-theirs"}"#);
        assert!(found(engine, "sf-theirs").is_none());
        let code = |done: surefoot::model::Result<()>| done.unwrap_err().code();
        let all = [
            code(engine.create(&spec(&image, "sf-theirs", &["true"]))),
            code(engine.start("sf-theirs")),
            code(engine.stop("sf-theirs", GRACE)),
            code(engine.remove("sf-theirs")),
            code(engine.make_network("test-theirs")),
            code(engine.remove_network("test-theirs")),
        ];
        assert_eq!(all, [ReasonCode::EngineFailed; 6], "{name}");
        // An image that has another name too only loses ours.
        let tag = format!("/images/sha256:{}/tag?repo=theirs.local/x&tag=1", image.id());
        raw(name, "POST", &tag, "");
        engine.remove_image(&image.id()).unwrap();
        let left = engine.images().unwrap().into_iter().find(|i| i.id == image.id()).unwrap();
        assert!(left.tags.is_empty(), "{name}: {left:?}");
        assert_eq!(
            raw(name, "GET", "/containers/sf-theirs/json", "")["State"]["Status"],
            "created"
        );
        raw(name, "DELETE", "/containers/sf-theirs", "");
        raw(name, "DELETE", "/networks/sf-test-theirs", "");
        raw(name, "DELETE", "/images/theirs.local%2Fx:1", "");
    });
}

#[test]
fn a_damaged_layer_is_found_and_comes_back_by_removing_and_loading() {
    on_each(|name, engine| {
        let base = layer(&[("bin/damaged", &vec![b'x'; 10_000], 0o755)]);
        let mut image = Image::new(&[&base, &layer(&[("etc/what", b"damaged", 0o644)])]);
        image.load(engine).unwrap();
        engine.scrub(&image.id()).unwrap();
        let stored = engine.images().unwrap().into_iter().find(|i| i.id == image.id()).unwrap();
        let file = stored.folders[0].join("bin/damaged");
        for damage in [vec![0; 10_000], vec![b'x'; 4096], Vec::new()] {
            std::fs::write(&file, damage).unwrap();
            let why = engine.scrub(&image.id()).unwrap_err();
            assert_eq!(why.code(), ReasonCode::LayerDamaged, "{name}: {why}");
        }
        std::fs::remove_file(&file).unwrap();
        let why = engine.scrub(&image.id()).unwrap_err();
        assert_eq!(why.code(), ReasonCode::LayerDamaged, "{name}: {why}");
        image.load(engine).unwrap();
        assert!(engine.scrub(&image.id()).is_err(), "{name}: loading repairs nothing");
        engine.remove_image(&image.id()).unwrap();
        image.load(engine).unwrap();
        engine.scrub(&image.id()).unwrap();
        assert_eq!(
            engine.scrub(&Digest::of(b"none")).unwrap_err().code(),
            ReasonCode::LayerDamaged
        );
        gone(engine, &[], &[&image]);
    });
}

#[test]
fn a_container_is_as_its_specification_says() {
    on_each(|name, engine| {
        let mut image = image("spec");
        image.load(engine).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "from the device").unwrap();
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(folder.path().join("file"), open).unwrap();
        let source = folder.path().to_str().unwrap();
        let whole = ContainerSpec {
            entrypoint: Some(vec!["/bin/busybox".to_owned()]),
            environment: vec!["COLOUR=blue=green".to_owned()],
            user: Some("1000:1001".to_owned()),
            working_dir: Some("/data".to_owned()),
            binds: vec![format!("{source}:/data"), format!("{source}:/config:ro")],
            tmpfs: BTreeMap::from([("/scratch".to_owned(), "size=65536,mode=1777".to_owned())]),
            devices: vec![["/dev/null", "/dev/nothing", "rw"].map(str::to_owned)],
            cap_add: vec!["NET_ADMIN".to_owned()],
            cap_drop: vec!["CHOWN".to_owned()],
            security: vec!["no-new-privileges".to_owned()],
            read_only: true,
            init: true,
            sysctls: BTreeMap::from([(
                "net.ipv4.ip_unprivileged_port_start".to_owned(),
                "80".to_owned(),
            )]),
            ulimits: vec![("nofile".to_owned(), 512, 512), ("nproc".to_owned(), 1024, 1024)],
            nano_cpus: Some(500_000_000),
            memory: Some(64 << 20),
            processes: Some(50),
            shm_size: Some(1 << 20),
            extra_hosts: vec!["device:192.0.2.1".to_owned()],
            dns: vec!["192.0.2.53".to_owned()],
            stop_signal: Some("SIGINT".to_owned()),
            network: "test-spec".to_owned(),
            ..spec(
                &image,
                "sf-spec",
                &["sh", "-c", "trap 'exit 5' INT; while :; do sleep 0.1; done"],
            )
        };
        engine.make_network("test-spec").unwrap();
        engine.create(&whole).unwrap();
        engine.start("sf-spec").unwrap();
        let shell = |script: &str| exec(engine, "sf-spec", &["sh", "-c", script]).1;
        assert_eq!(
            shell("echo $COLOUR; id -u; id -g; pwd; hostname"),
            "blue=green\n1000\n1001\n/data\nsf-spec\n",
            "{name}"
        );
        assert_eq!(shell("cat /config/file"), "from the device");
        assert!(shell("echo x > /config/file").contains("Read-only"), "{name}");
        assert!(shell("echo x > /srv/empty").contains("Read-only"), "{name}");
        assert_eq!(shell("echo y > /data/file && cat /config/file"), "y\n", "{name}");
        assert_eq!(shell("echo x > /scratch/file && cat /scratch/file"), "x\n", "{name}");
        let full =
            shell("head -c 100000 /dev/zero > /scratch/file 2>/dev/null; wc -c < /scratch/file");
        assert_eq!(full, "65536\n", "{name}");
        assert_eq!(
            shell("ulimit -n; cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
            "512\n80\n",
            "{name}"
        );
        assert!(shell("grep device /etc/hosts").starts_with("192.0.2.1"), "{name}");
        assert!(shell("ls -l /dev/nothing").starts_with('c'), "{name}");
        assert_eq!(
            shell("grep NoNewPrivs /proc/self/status").trim_end().chars().last(),
            Some('1'),
            "{name}"
        );
        let said = raw(name, "GET", "/containers/sf-spec/json", "");
        let host = &said["HostConfig"];
        let told = (
            host["Memory"].as_u64(),
            host["NanoCpus"].as_u64(),
            host["PidsLimit"].as_u64(),
            host["ShmSize"].as_u64(),
        );
        assert_eq!(
            told,
            (Some(64 << 20), Some(500_000_000), Some(50), Some(1 << 20)),
            "{name}: {host}"
        );
        // Nothing but this program starts it, and nothing else looks at its health.
        let policy = host["RestartPolicy"]["Name"].as_str().unwrap();
        assert!(matches!(policy, "" | "no"), "{name}: {policy}");
        assert!(
            said["State"]["Health"]["Status"].as_str().is_none_or(|s| s.is_empty()),
            "{name}: {}",
            said["State"]
        );
        engine.stop("sf-spec", Duration::from_secs(30)).unwrap();
        let state = found(engine, "sf-spec").unwrap().state;
        assert_eq!(state, ContainerState::Ended { status: 5, out_of_memory: false }, "{name}");
        // Another specification of this name takes its place; a source that is not there is not made.
        let other = ContainerSpec {
            binds: vec![format!("{source}/none:/data")],
            ..spec(&image, "sf-spec", &["true"])
        };
        let mut other = ContainerSpec { network: "none".to_owned(), ..other };
        other.labels.insert(labels::SPEC.to_owned(), "another".to_owned());
        let refused = engine.create(&other).and_then(|()| engine.start("sf-spec"));
        assert_eq!(refused.unwrap_err().code(), ReasonCode::EngineFailed, "{name}");
        assert!(!folder.path().join("none").exists(), "{name}");
        gone(engine, &["sf-spec"], &[&image]);
        engine.remove_network("test-spec").unwrap();
    });
}

#[test]
fn a_log_has_its_limit_and_is_followed_to_its_end() {
    on_each(|name, engine| {
        let mut image = image("logs");
        image.load(engine).unwrap();
        let much =
            "i=0; while [ $i -lt 20000 ]; do echo line $i of a log that is long; i=$((i+1)); done";
        let limited =
            ContainerSpec { log_size: 100_000, ..spec(&image, "sf-logs", &["sh", "-c", much]) };
        engine.create(&limited).unwrap();
        engine.start("sf-logs").unwrap();
        assert_eq!(
            ended(engine, "sf-logs"),
            ContainerState::Ended { status: 0, out_of_memory: false }
        );
        let text = log(engine, "sf-logs", None);
        assert!(
            text.len() < 150_000 && text.ends_with("line 19999 of a log that is long\n"),
            "{name}: {}",
            text.len()
        );
        let some =
            spec(&image, "sf-follow", &["sh", "-c", "for i in 1 2 3; do echo $i; sleep 1; done"]);
        engine.create(&some).unwrap();
        engine.start("sf-follow").unwrap();
        let mut seen = Vec::new();
        let follow = Logs { last: None, follow: true };
        engine
            .logs("sf-follow", &follow, &mut |l| {
                seen.extend_from_slice(l);
                true
            })
            .unwrap();
        assert_eq!(seen, b"1\n2\n3\n", "{name}");
        let mut lines = 0;
        engine
            .logs("sf-logs", &follow, &mut |_| {
                lines += 1;
                lines < 2
            })
            .unwrap();
        assert_eq!(lines, 2, "{name}: who has had enough is given no more");
        gone(engine, &["sf-logs", "sf-follow"], &[&image]);
    });
}

#[test]
fn an_engine_that_is_killed_is_an_error_and_no_wait() {
    let engines = Engines::start();
    for (name, socket, pid) in &engines.running {
        let engine = EngineSocket::new(socket.clone());
        let mut image = image("killed");
        image.load(&engine).unwrap();
        engine.create(&spec(&image, "sf-killed", &["sleep", "1000"])).unwrap();
        engine.start("sf-killed").unwrap();
        std::thread::scope(|scope| {
            let hangs = ["/bin/busybox", "sleep", "500"].map(str::to_owned);
            let engine = &engine;
            let waits =
                scope.spawn(move || engine.exec("sf-killed", &hangs, Duration::from_secs(400)));
            std::thread::sleep(Duration::from_secs(2));
            assert!(
                Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success()
            );
            let why = waits.join().unwrap().unwrap_err();
            assert!(
                matches!(why.code(), ReasonCode::EngineFailed | ReasonCode::EngineMissing),
                "{name}: {why}"
            );
        });
        assert_eq!(engine.containers().unwrap_err().code(), ReasonCode::EngineMissing, "{name}");
    }
    engines.end();
}

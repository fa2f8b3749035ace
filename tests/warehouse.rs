//! A device that has lain in a warehouse: its first release, a clock that begins in 1970, an authority that has
//! expired since, and keys that were changed twice since. It takes the newest release in one step.

use crate::common::{forge, run};
use crate::followed::{Followed, give};
use crate::net::server::Server;
use crate::net::tls::Authority;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

/// Every clock of 1970 is the real one, as much earlier as is said.
const SHIM: &[u8] = br#"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t which, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, which, now);
    if (done == 0 && which == CLOCK_REALTIME) now->tv_sec -= BACK;
    return done;
}
"#;

/// A library that sets the clock of a program back to the first minutes of 1970.
fn shim(folder: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (out, back) = (format!("{folder}/shim.so"), format!("-DBACK={}", now.as_secs() - 60));
    run("gcc", &["-shared", "-fPIC", &back, "-x", "c", "-o", &out, "-"], &[], SHIM).ok();
    out
}

/// The unit of the fetcher, in a world with this clock.
fn fetchers(socket: &str, shim: String) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for line in listener.incoming().flatten() {
            let twin = line.try_clone().unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
                .arg("fetch")
                .env("LD_PRELOAD", &shim)
                .stdin(Stdio::from(OwnedFd::from(line)))
                .stdout(Stdio::from(OwnedFd::from(twin)))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::spawn(move || child.wait());
        }
    });
}

/// The entry of one key in the trust file that `keygen` has written, and the key's id.
fn entry(folder: &str, name: &str) -> (String, String) {
    let text = std::fs::read_to_string(format!("{folder}/trust.toml")).unwrap();
    let block =
        text.split("[[keys]]").find(|b| b.contains(&format!("comment = \"{name}: "))).unwrap();
    let id = block.split('"').nth(1).unwrap().to_owned();
    (format!("[[keys]]{block}"), id)
}

#[test]
fn the_warehouse_device_takes_the_newest_release_in_one_step() {
    let place = Followed::new();
    let bench = &place.bench;
    // Keys of the first day, and of two changes since: each time the spare key took over.
    let keys = [bench.path("KEYS"), bench.path("SECOND"), bench.path("THIRD")];
    for folder in &keys[1..] {
        forge(&["keygen", "--out", folder]).ok();
    }
    let (first, spare) = (entry(&keys[0], "release"), entry(&keys[0], "release-next"));
    let good = ["root", "release", "channel"].map(|name| entry(&keys[2], name).0);
    let today = format!(
        "format = 1\nname = \"my-devices\"\nversion = 3\nrevoked = [\"{}\", \"{}\"]\n[thresholds]\nroot = 1\nrelease = 1\n{}",
        first.1,
        spare.1,
        good.concat()
    );

    // A server whose authority has expired; the device knows no other.
    let authority = Authority::from_to(2018, 2022);
    let folder = place.www.clone();
    let server =
        Server::tls(authority.good().server(), move |asked, line| give(&folder, asked, line));
    let roots = bench.path("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    place.follow(&server.url("/stable.channel"));
    let config = bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[source]\n", &format!("[source]\nroots = \"{roots}\"\n"));
    std::fs::write(&config, text).unwrap();

    // What was published since. The newest is signed by the spare key of the first day, for devices of the
    // first day, and by today's; so is the channel. A phase holds it back, but no device that is new.
    place.channel(&["add", &bench.release("2.0.0")]);
    place.channel(&["publish"]);
    let middle = bench.artifact("middle", 3, 1 << 20, &["--version", "3.0.0", "--unsigned"]);
    for key in [format!("{}/release.key", keys[0]), format!("{}/release.key", keys[1])] {
        forge(&["sign", &middle, "--key", &key]).ok();
    }
    place.channel(&["add", &middle]);
    place.channel(&["publish", "--key", &format!("{}/channel.key", keys[1])]);
    let newest = bench.artifact("newest", 9, 1 << 20, &["--version", "9.0.0", "--unsigned"]);
    for key in [format!("{}/release-next.key", keys[0]), format!("{}/release.key", keys[2])] {
        forge(&["sign", &newest, "--key", &key]).ok();
    }
    place.channel(&["add", &newest]);
    place.channel(&["phase", "9.0.0", "--percent", "0,100", "--every", "6h"]);
    let (old, new) = (format!("{}/channel.key", keys[0]), format!("{}/channel.key", keys[2]));
    place.channel(&["publish", "--key", &old, "--key", &new]);

    let shim = shim(&bench.path(""));
    std::fs::create_dir_all(bench.path("DEV/run/surefoot")).unwrap();
    fetchers(&bench.path("DEV/run/surefoot/fetch.sock"), shim.clone());
    let device = |words: &[&str]| bench.surefoot_with(words, &[("LD_PRELOAD", &shim)], b"");
    let clock = device(&["doctor", "--network", "--json"]).ok().out;
    assert!(clock.contains("not set"), "the clock is that of 1970: {clock}");
    device(&["update"]).ok();
    let armed = bench.status();
    assert_eq!(
        (&armed["state"], &armed["slots"]["b"]["version"]),
        (&"switching".into(), &"9.0.0".into())
    );
    assert_eq!(bench.reboot(&[]), "b");
    // The new image brings today's trust file.
    std::fs::write(bench.path("DEV/trust.toml"), today).unwrap();
    let said = device(&["commit"]).ok();
    assert!(!said.err.contains("does not accept"), "{}", said.err);
    assert_eq!(bench.status()["slots"]["b"]["identity"], "known");
    // From now on today's channel key is the only one that it needs.
    let nothing = device(&["check-update", "--json"]);
    assert_eq!((nothing.code, &nothing.json()["offers"]), (3, &serde_json::Value::Null));
    let posted = server.asked().into_iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(posted, 2, "its begin and its end are told");
}

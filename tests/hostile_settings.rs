//! Each accepted configuration is usable: a duration or a size at the edge of what can be written is
//! refused by `config check`, or every verb and the daemon work with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{Bench, Said};
use crate::kept::Kept;

const TIMES: [&str; 10] = [
    "0s",
    "1s",
    "3600s",
    "3660d",
    "87840h",
    "3661d",
    "4294967296s",
    "9223372036854775807s",
    "18446744073709551615s",
    "307445734561825861m",
];

/// A setting with a place for its value.
const SETTINGS: [&str; 6] = [
    "[health]\nstable = \"@\"\n",
    "[health]\ndeadline = \"@\"\n",
    "[trial]\ndeadline = \"@\"\n",
    "[[health.check]]\nname = \"net\"\ntcp = \"127.0.0.1:1\"\ntimeout = \"@\"\n",
    "[[health.check]]\nname = \"web\"\nhttp = \"http://127.0.0.1:1/\"\ntimeout = \"@\"\n",
    "[[hook]]\nname = \"h\"\nat = \"after-install\"\ncommand = [\"/bin/true\"]\ntimeout = \"@\"\n",
];

const SIZES: [&str; 5] = ["0", "1G", "1073741824G", "1073741825G", "18446744073709551615"];

fn sound(said: Said, what: &str) -> Said {
    assert!(said.code >= 0 && ![70, 101].contains(&said.code), "{what}: {}{}", said.out, said.err);
    assert!(!said.err.contains("panicked"), "{what}: {}", said.err);
    said
}

#[test]
fn each_accepted_time_and_size_is_usable_by_every_verb() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&[]);
    let config = bench.path("DEV/surefoot.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let space = "[[health.check]]\nname = \"room\"\nspace = { path = \"state\", free = \"@\" }\n";
    let timed = SETTINGS.iter().flat_map(|s| TIMES.iter().map(move |t| s.replace('@', t)));
    let sized = SIZES.iter().map(|size| space.replace('@', size));
    let (mut accepted, mut refused) = (0, 0);
    for written in timed.chain(sized) {
        std::fs::write(&config, format!("{good}\n{written}")).unwrap();
        match sound(bench.surefoot(&["config", "check"]), &written).code {
            0 => {
                accepted += 1;
                sound(bench.surefoot(&["doctor"]), &written);
                sound(bench.surefoot(&["why"]), &written);
            }
            // It can be read, and may not be sensible; or it cannot be read.
            78 => {
                refused += 1;
                sound(bench.surefoot(&["status"]), &written);
            }
            code => panic!("{written}: {code}"),
        }
    }
    assert!(accepted >= 12 && refused >= 20, "{accepted} accepted, {refused} refused");
    // The longest of everything at once, in a trial that lasts for as long as a clock can say.
    let longest = SETTINGS[2..].concat().replace('@', "3660d");
    let hook = longest.replace(
        "command = [\"/bin/true\"]\ntimeout = \"3660d\"",
        "command = [\"/bin/true\"]\ntimeout = \"1h\"",
    );
    let all = format!("{good}\n[health]\nstable = \"3660d\"\ndeadline = \"3660d\"\n{hook}");
    std::fs::write(&config, all).unwrap();
    std::fs::write(bench.path("DEV/run/uptime"), "18446744073709551615").unwrap();
    for words in [&["status"][..], &["why"], &["doctor"], &["report"]] {
        sound(bench.surefoot(words), "the longest of everything");
    }
    let daemon = Kept::start(&bench);
    for seconds in ["0", "18446744073709551615", "9223372036854775807"] {
        let target = format!("/v1/hold?seconds={seconds}");
        let (status, document) = daemon.ask("control.sock", "POST", &target);
        assert_eq!(status, 200, "{document}");
        sound(daemon.surefoot(&["status"]), seconds);
        sound(daemon.surefoot(&["why"]), seconds);
    }
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    drop(daemon);
    sound(bench.surefoot(&["commit"]), "a commit");
    for words in [
        &["wait", "--for", "idle", "--timeout", "9223372036854775807s"][..],
        &["hold", "--for", "9223372036854775807s"],
        &["push", "localhost", "x.surefoot", "--timeout", "18446744073709551615d"],
    ] {
        assert_eq!(sound(bench.surefoot(words), "a word").code, 64, "{words:?}");
    }
}

#[test]
fn an_address_that_names_no_host_of_the_web_is_refused_with_its_key() {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    for (key, value) in
        [("channel", "127.0.0.1:8802/x"), ("channel", "/srv/x"), ("report", "banana")]
    {
        std::fs::write(&config, format!("{good}\n[source]\n{key} = \"{value}\"\n")).unwrap();
        let said = bench.surefoot(&["config", "check"]);
        assert_eq!(said.code, 78, "{}{}", said.out, said.err);
        let told = format!("`source.{key}` is `{value}`");
        assert!(said.out.contains(&told), "{}", said.out);
    }
    let url = "[source]\nchannel = \"https://h.example:8443/s.channel\"\n";
    std::fs::write(&config, format!("{good}\n{url}")).unwrap();
    bench.surefoot(&["config", "check"]).ok();
    std::fs::write(&config, format!("{good}\n[source]\nchannel = \"/srv/x\"\n")).unwrap();
    bench.surefoot(&["check-update"]).refused(78, "CONFIG_INVALID");
}

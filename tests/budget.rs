//! `[source] budget`: what a day may fetch, over days and reboots.

use crate::common::{Bench, Said};
use crate::followed::Followed;
use crate::kept::{Kept, until};
use crate::net::Fetching;
use crate::net::server::{File, Server};
use serde_json::Value;

/// An artifact of about two megabytes that cannot be compressed much.
fn long(bench: &Bench) -> String {
    let path = bench.artifact("long", 77, 3 << 20, &["--version", "2.0.0"]);
    let len = std::fs::metadata(&path).unwrap().len();
    assert!(len > 1_200_000, "{len}");
    path
}

fn day(it: &Bench) -> Value {
    let path = it.path("DEV/state/budget.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A day passes.
fn next_day(it: &Bench) {
    let mut day = day(it);
    day["begun"] = (day["begun"].as_u64().unwrap() - 86_400).into();
    std::fs::write(it.path("DEV/state/budget.json"), day.to_string()).unwrap();
}

fn spent(said: Said) {
    let said = said.refused(69, "BUDGET_SPENT");
    assert!(
        said.err.contains("the 1.0 MiB of this day are fetched; it goes on at 20"),
        "{}",
        said.err
    );
}

#[test]
fn an_update_over_several_days_goes_on_where_it_stopped() {
    let it = Fetching::with("budget = \"1MiB\"");
    let bytes = std::fs::read(long(&it.bench)).unwrap();
    let file = File::new(&bytes);
    let server = Server::new(move |asked, line| file.give(asked, line));
    let url = server.url("/u.surefoot");
    let mut days = 1;
    loop {
        let said = it.install(&url);
        if said.code == 0 {
            break;
        }
        spent(said);
        let counted = day(&it.bench)["spent"].as_u64().unwrap();
        assert!((1 << 20..(1 << 20) + 200_000).contains(&counted), "{counted}");
        // No byte more on this day, and nobody is asked.
        let asked = server.asked().len();
        spent(it.install(&url));
        assert_eq!(server.asked().len(), asked);
        next_day(&it.bench);
        days += 1;
        assert!(days < 6, "it never ends");
    }
    assert!((2..=3).contains(&days), "{days} days");
    let image = std::fs::read(it.bench.path("long.img")).unwrap();
    assert_eq!(it.bench.slot_bytes("b")[..image.len()], image);
}

#[test]
fn what_is_critical_is_fetched_all_the_same_and_polls_go_on() {
    let place = Followed::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[source]\n", "[source]\nbudget = \"1MiB\"\n");
    std::fs::write(&config, text).unwrap();
    place.publish("2.0.0", &[]);
    place.ask(&["check-update"]).ok();
    let polled = day(&place.bench)["spent"].as_u64().unwrap();
    let channel = std::fs::metadata(format!("{}/stable.channel", place.www)).unwrap().len();
    assert_eq!(polled, channel, "what a look brings is counted");
    let mut all = day(&place.bench);
    all["spent"] = (2 << 20).into();
    std::fs::write(place.bench.path("DEV/state/budget.json"), all.to_string()).unwrap();
    spent(place.ask(&["update"]));
    place.ask(&["check-update"]).ok();
    place.channel(&["add", &place.bench.release("3.0.0"), "--critical"]);
    place.channel(&["publish"]);
    place.ask(&["update"]).ok();
    assert_eq!(place.bench.status()["state"], "switching");
    let counted = day(&place.bench)["spent"].as_u64().unwrap();
    assert!(counted > 2 << 20, "it is counted too: {counted}");
}

#[test]
fn a_daemon_goes_on_by_itself_on_the_next_day() {
    let place = Followed::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[source]\n", "[source]\npoll = \"10s\"\nbudget = \"1MiB\"\n");
    std::fs::write(&config, text).unwrap();
    place.channel(&["add", &long(&place.bench)]);
    place.channel(&["publish"]);
    let kept = Kept::with(&place.bench, &config, &[("SUREFOOT_SIM_PACE", "100")]);
    let spent = || {
        let path = place.bench.path("DEV/state/budget.json");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let day: Value = serde_json::from_str(&text).unwrap_or_default();
        day["spent"].as_u64().unwrap_or(0) >= 1 << 20 && place.bench.status()["running"].is_null()
    };
    // A look of the daemon may write its count over ours: then the next day comes once more.
    until("it is armed", || {
        if place.bench.status()["state"] == "switching" {
            return true;
        }
        if spent() {
            next_day(&place.bench);
        }
        false
    });
    assert!(kept.log().contains("BUDGET_SPENT"), "{}", kept.log());
}

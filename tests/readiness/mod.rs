//! What must be true before an update: `doctor`, `verify FILE`, `why`, `install --dry-run` and
//! `install` make the same rehearsal and say the same code.

mod blocks;
mod notes;
mod protected;

use crate::common::{Bench, Said};
use serde_json::Value;

/// One of the five, and what it answered.
struct Answered {
    verb: &'static str,
    plain: Said,
    json: Said,
}

/// Asks all five; the real installation last, as it may change something.
fn five(say: &dyn Fn(&[&str]) -> Said, artifact: &str) -> Vec<Answered> {
    let all: [(&'static str, &[&str]); 5] = [
        ("doctor", &["doctor"]),
        ("why", &["why"]),
        ("verify FILE", &["verify", artifact]),
        ("install --dry-run", &["install", artifact, "--dry-run"]),
        ("install", &["install", artifact]),
    ];
    let ask = |(verb, words): (&'static str, &[&str])| {
        let json = say(&[words, &["--json"]].concat());
        Answered { verb, plain: say(words), json }
    };
    all.into_iter().map(ask).collect()
}

/// The conditions in an answer: everything in `findings` that has a kind.
fn conditions(json: &Value) -> Vec<Value> {
    let all = json["findings"].as_array().cloned().unwrap_or_default();
    let known = all.into_iter().filter(|f| !f["kind"].is_null());
    let keys = ["code", "kind", "text", "remedy"];
    known.map(|f| keys.map(|k| (k.to_owned(), f[k].clone())).into_iter().collect()).collect()
}

/// All five refuse with `code`, exit with its status, and list the same conditions.
#[track_caller]
fn all_refuse(say: &dyn Fn(&[&str]) -> Said, artifact: &str, status: i32, code: &str) {
    let answers = five(say, artifact);
    let first = conditions(&answers[0].json.json());
    assert!(first.iter().any(|c| c["kind"] == "blocks" && c["code"] == code), "{first:#?}");
    let remedy = first.iter().find(|c| c["kind"] == "blocks").unwrap()["remedy"].clone();
    for Answered { verb, plain, json } in &answers {
        let told = (plain.code, plain.reason());
        assert_eq!(told, (status, Some(code)), "{verb}:\n{}\n{}", plain.out, plain.err);
        let advice = plain.err.lines().find_map(|l| l.strip_prefix("  next: "));
        assert_eq!(advice, remedy.as_str(), "{verb}: {}", plain.err);
        assert_eq!(json.code, status, "{verb}: {}{}", json.out, json.err);
        let blocks = |all: &[Value]| {
            all.iter().filter(|c| c["kind"] == "blocks").cloned().collect::<Vec<_>>()
        };
        let here = conditions(&json.json());
        assert_eq!(blocks(&here), blocks(&first), "{verb}: {}", json.out);
    }
}

/// The first four tell `code` with this kind and go on; what `install` says is its own.
#[track_caller]
fn all_tell(say: &dyn Fn(&[&str]) -> Said, artifact: &str, kind: &str, code: &str) -> Said {
    let mut answers = five(say, artifact);
    for Answered { verb, plain, json } in &answers[..4] {
        assert_eq!(plain.code, 0, "{verb}:\n{}\n{}", plain.out, plain.err);
        assert!(plain.out.contains(&format!("[{code}]")), "{verb}:\n{}", plain.out);
        let all = conditions(&json.json());
        let told = all.iter().any(|c| c["kind"] == kind && c["code"] == code);
        assert!(told, "{verb}: {}", json.out);
    }
    answers.pop().unwrap().json
}

/// Nothing is found on a sound device, and the artifact installs.
#[track_caller]
fn none_tells(bench: &Bench, artifact: &str) {
    let say = |words: &[&str]| bench.surefoot(words);
    for Answered { verb, plain, json } in five(&say, artifact) {
        assert_eq!(plain.code, 0, "{verb}:\n{}\n{}", plain.out, plain.err);
        assert_eq!(conditions(&json.json()), [] as [Value; 0], "{verb}: {}", json.out);
    }
}

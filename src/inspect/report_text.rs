//! A report for people: the same sections, as text.

use serde_json::{Map, Value};
use std::fmt::Write;

/// The report as text.
pub fn text(report: &Value) -> String {
    let mut out = String::new();
    let of = |path: &str| report.pointer(path).and_then(Value::as_str).unwrap_or("?");
    let up = report.pointer("/made/uptime").and_then(Value::as_u64).unwrap_or(0);
    let _ = writeln!(out, "Report of surefoot {}, {}", of("/surefoot"), of("/made/utc"));
    let _ = writeln!(out, "up {up} s, boot {}", of("/made/boot_id"));
    let none = Map::new();
    let sections = report.as_object().unwrap_or(&none);
    // What is read first stands first; what nobody has named here stands last.
    let order = ["status", "postmortem", "doctor", "history", "events"];
    let rest = sections.keys().map(String::as_str).filter(|k| !order.contains(k));
    for name in order.into_iter().chain(rest) {
        match sections.get(name) {
            Some(section) if !["v", "surefoot", "made"].contains(&name) => {
                let _ = writeln!(out, "\n== {name} ==");
                section_text(name, section, &mut out);
            }
            _ => {}
        }
    }
    out
}

fn section_text(name: &str, section: &Value, out: &mut String) {
    if let Some(error) = section.get("error") {
        let of = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("");
        let _ = writeln!(out, "cannot be told: {} [{}]", of("detail"), of("code"));
        return;
    }
    match (name, section) {
        (_, Value::Null) => out.push_str("nothing\n"),
        ("doctor", Value::Object(map)) => {
            for finding in map.get("findings").and_then(Value::as_array).into_iter().flatten() {
                let of = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or("");
                let _ = writeln!(out, "{:<9} {:<12} {}", of("level"), of("topic"), of("text"));
            }
        }
        ("blackbox", Value::Array(boots)) => boots.iter().for_each(|boot| boot_text(boot, out)),
        (_, Value::Array(items)) if items.is_empty() => out.push_str("nothing\n"),
        (_, Value::Array(items)) => {
            for item in items {
                let _ = writeln!(out, "{item}");
            }
        }
        _ => lines(section, "", out),
    }
}

fn boot_text(boot: &Value, out: &mut String) {
    let empty = Vec::new();
    let _ = writeln!(out, "-- boot {}", boot.get("boot").unwrap_or(&Value::Null));
    for line in boot.get("lines").and_then(Value::as_array).unwrap_or(&empty) {
        // Indented: what a system on trial has said cannot look like a line of ours.
        let _ = writeln!(out, "  {}", continued(line.as_str().unwrap_or("")));
    }
    match boot.pointer("/end/1").and_then(Value::as_str) {
        Some(end) => _ = writeln!(out, "-- {end}"),
        None => out.push_str("-- it ended without a word\n"),
    }
}

/// `a.b.c  value`, one line for each value.
fn lines(value: &Value, path: &str, out: &mut String) {
    let inner =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, v)| lines(v, &inner(name), out)),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            for item in items {
                let _ = writeln!(out, "{path}  {}", continued(item.as_str().unwrap_or("")));
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .zip(1..)
                .for_each(|(v, n): (_, u32)| lines(v, &inner(&n.to_string()), out));
        }
        Value::String(text) => _ = writeln!(out, "{path}  {}", continued(text)),
        Value::Null => {}
        other => _ = writeln!(out, "{path}  {other}"),
    }
}

/// A line that goes on is no line of its own: text from outside cannot look like ours.
fn continued(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_section_is_told_and_what_is_read_first_stands_first() {
        let report = json!({
            "v": 1, "surefoot": "0.2.0", "made": { "utc": "now", "uptime": 7, "boot_id": "x" },
            "blackbox": [{ "boot": { "slot": "b" }, "lines": ["[ 1.0] bye"], "end": null }],
            "doctor": { "findings": [{ "level": "good", "topic": "disk", "text": "fine" }] },
            "history": [], "hooks": null, "new-section": { "a": { "b": [1, { "c": "d" }] } },
            "partitions": { "error": { "code": "IO", "detail": "no disk" } },
            "status": { "summary": "Running 1.0.0" },
        });
        let text = text(&report);
        for part in [
            "Report of surefoot 0.2.0, now\nup 7 s, boot x\n\n== status ==\nsummary  Running 1.0.0\n",
            "good      disk         fine",
            "-- boot {\"slot\":\"b\"}\n  [ 1.0] bye\n-- it ended without a word\n",
            "== partitions ==\ncannot be told: no disk [IO]\n",
            "a.b.1  1\na.b.2.c  d\n",
            "== hooks ==\nnothing\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        super::text(&Value::Null);
        super::text(&json!({ "doctor": 7, "blackbox": [7, {}], "status": "x", "events": {} }));
    }
}

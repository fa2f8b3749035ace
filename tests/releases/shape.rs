//! The rule of what a program writes for others: keys are added, never removed and never given
//! another type, and a word that an older program must know is one of its words.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Words that a release knows, by the last key of their place: `state`, `reason`, `slot`.
pub(crate) type Words = BTreeMap<String, Vec<String>>;

/// What a release has written in one kind of document, over all scenes.
#[derive(Default)]
pub(crate) struct Shape {
    /// The JSON types seen at each place.
    types: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Shape {
    pub(crate) fn learn(&mut self, document: &Value) {
        for (place, value) in places(document) {
            self.types.entry(place).or_default().insert(kind(value));
        }
    }

    /// What a reader of `old` would not understand of `new`, which tells of the same situation.
    pub(crate) fn complaints(&self, old: &Value, new: &Value, words: &Words) -> Vec<String> {
        let new = places(new);
        let there: BTreeSet<&str> = new.iter().map(|(place, _)| place.as_str()).collect();
        let gone = places(old).into_iter().filter(|(place, _)| !there.contains(place.as_str()));
        let mut complaints: Vec<String> =
            gone.map(|(place, _)| format!("`{place}` is gone")).collect();
        for (place, value) in &new {
            let known = self.types.get(place);
            if known.is_some_and(|types| !types.contains(kind(value))) {
                complaints.push(format!("`{place}` has become {}: {value}", kind(value)));
            }
            let last = place.rsplit('.').next().unwrap_or_default();
            if let (Some(words), Some(word)) = (words.get(last), value.as_str())
                && known.is_some()
                && !words.iter().any(|w| w == word)
            {
                complaints.push(format!("`{place}` says `{word}`, which it does not know"));
            }
        }
        complaints
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() => "natural number",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Every value of a document with its place: `last.work.slot`; items of a list share one.
fn places(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), document)];
    while let Some((place, value)) = open.pop() {
        let below =
            |key: &str| if place.is_empty() { key.into() } else { format!("{place}.{key}") };
        match value {
            Value::Object(object) => open.extend(object.iter().map(|(k, v)| (below(k), v))),
            Value::Array(items) => open.extend(items.iter().map(|v| (format!("{place}[]"), v))),
            _ => {}
        }
        found.push((place, value));
    }
    found
}

#[test]
fn what_an_older_reader_would_not_understand_is_named() {
    use serde_json::json;
    let old = json!({"state": "idle", "n": 1, "last": {"reason": null}, "list": [{"slot": "a"}]});
    let mut shape = Shape::default();
    shape.learn(&old);
    shape.learn(&json!({"last": {"reason": "BOOT_FAILED"}}));
    let words = Words::from([
        ("state".into(), vec!["idle".into()]),
        ("reason".into(), vec!["BOOT_FAILED".into()]),
        ("slot".into(), vec!["a".into(), "b".into()]),
    ]);
    let of = |new: Value| shape.complaints(&old, &new, &words);
    let changed = |place: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(place).unwrap() = value;
        of(new)
    };
    assert_eq!(of(old.clone()), Vec::<String>::new());
    assert_eq!(changed("/last", json!({"reason": "BOOT_FAILED", "more": 1})), Vec::<String>::new());
    assert_eq!(changed("/last", json!({})), ["`last.reason` is gone"]);
    assert_eq!(changed("/n", json!("1")), ["`n` has become text: \"1\""]);
    assert_eq!(changed("/n", json!(-1)), ["`n` has become number: -1"]);
    assert_eq!(changed("/state", json!("resting")).len(), 1);
    assert_eq!(changed("/list/0/slot", json!("c")).len(), 1);
    assert_eq!(changed("/last/reason", json!("NEW_REASON")).len(), 1);
}

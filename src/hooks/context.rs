//! What a hook is told: in its environment and, in full, as JSON on its standard input.

use super::{Hook, Moment};
use crate::model::{Against, Digest, Failing, ReasonCode, SlotId, Txn, Version, printable};
use serde::Serialize;
use std::path::PathBuf;

/// What is known at a moment. What is not known is `None`: an empty variable, `null` in the JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The slot that the update writes, tries or has left.
    pub slot: Option<SlotId>,
    /// The slot that runs.
    pub booted: Option<SlotId>,
    /// The release that the update brings.
    pub version: Option<Version>,
    /// The release that it replaces.
    pub from_version: Option<Version>,
    /// SHA-256 of the manifest: the name of the artifact.
    pub digest: Option<Digest>,
    /// The attempt.
    pub txn: Option<Txn>,
    /// Why the device went back.
    pub reason: Option<ReasonCode>,
    /// What spoke against the release that was left.
    pub against: Against,
    /// The drill that it was: nobody needs to be alarmed.
    pub drill: Option<&'static str>,
    /// Who asked for it: `uid 0`, `stick`, `daemon`.
    pub by: String,
    /// The folder that outlives updates.
    pub state: PathBuf,
}

/// The JSON. Fields may be added; `v` changes when one changes its meaning or goes.
#[derive(Serialize)]
struct Told<'a> {
    v: u32,
    moment: Moment,
    hook: &'a str,
    slot: Option<SlotId>,
    booted: Option<SlotId>,
    version: &'a Option<Version>,
    from_version: &'a Option<Version>,
    digest: Option<Digest>,
    txn: &'a Option<Txn>,
    reason: Option<ReasonCode>,
    failing: &'a [Failing],
    drill: Option<&'static str>,
    by: &'a str,
    state_folder: String,
    timeout: u64,
}

impl Context {
    /// What the hook finds in its environment, and on its standard input.
    pub(super) fn tell(&self, hook: &Hook) -> (Vec<(String, String)>, Vec<u8>) {
        fn text<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(String::new, |v| v.to_string())
        }
        // A program that reads its input by the line gets one line, whoever asked.
        let by = printable(&self.by, 256);
        let folder = self.state.display().to_string();
        let failing: Vec<&str> = self.against.failing.iter().map(|f| f.name.as_str()).collect();
        let variables = [
            ("SUREFOOT_MOMENT", hook.at.to_string()),
            ("SUREFOOT_SLOT", text(self.slot)),
            ("SUREFOOT_VERSION", text(self.version.as_ref())),
            ("SUREFOOT_FROM_VERSION", text(self.from_version.as_ref())),
            ("SUREFOOT_DIGEST", text(self.digest)),
            ("SUREFOOT_REASON", text(self.reason)),
            // One on each line.
            ("SUREFOOT_FAILING", failing.join("\n")),
            ("SUREFOOT_DRILL", text(self.drill)),
            ("SUREFOOT_BY", by.clone()),
            ("SUREFOOT_STATE_FOLDER", folder.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let told = Told {
            v: 1,
            moment: hook.at,
            hook: hook.name.as_str(),
            slot: self.slot,
            booted: self.booted,
            version: &self.version,
            from_version: &self.from_version,
            digest: self.digest,
            txn: &self.txn,
            reason: self.reason,
            failing: &self.against.failing,
            drill: self.drill,
            by: &by,
            state_folder: folder,
            timeout: hook.timeout.as_secs(),
        };
        let mut input = serde_json::to_vec(&told).expect("because every field is text or a number");
        input.push(b'\n');
        (variables, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hook() -> Hook {
        let name = "h".parse().unwrap();
        let (at, timeout) = (Moment::BeforeInstall, Duration::from_secs(60));
        Hook { name, at, command: vec!["/x".into()], timeout }
    }

    #[test]
    fn both_ways_of_telling_say_the_same() {
        let context = Context {
            slot: Some(SlotId::B),
            booted: Some(SlotId::A),
            version: Some("2.0".parse().unwrap()),
            from_version: Some("1.9".parse().unwrap()),
            digest: Some(Digest::of(b"x")),
            txn: Some(Txn::new(&Digest::of(b"x"), 1)),
            reason: Some(ReasonCode::HealthFailed),
            against: Against::all([Failing::check("web: front", "no"), Failing::check("db", "no")]),
            drill: Some("hang"),
            by: "uid 0".into(),
            state: "/data/surefoot".into(),
        };
        let (variables, input) = context.tell(&hook());
        let json: serde_json::Value = serde_json::from_slice(&input).unwrap();
        assert_eq!(json["v"], 1);
        assert_eq!(
            (json["reason"].as_str(), json["booted"].as_str()),
            (Some("HEALTH_FAILED"), Some("a"))
        );
        assert_eq!(variables.len(), 10);
        for (name, value) in variables {
            let key = name.strip_prefix("SUREFOOT_").unwrap().to_lowercase();
            match key.as_str() {
                "failing" => {
                    assert_eq!(value, "web: front\ndb");
                    assert_eq!(
                        json[&key][0],
                        serde_json::json!({"name": "web: front", "detail": "no", "by": "check"})
                    );
                }
                _ => assert_eq!(json[&key], value, "{key}"),
            }
            assert!(!value.is_empty(), "{key}");
        }
    }

    #[test]
    fn what_is_not_known_is_empty_and_the_input_stays_one_line() {
        let context = Context { by: "a\nb\u{1b}[2J".repeat(400), ..Context::default() };
        let (variables, input) = context.tell(&hook());
        let of = |name: &str| variables.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(of("SUREFOOT_SLOT"), "");
        assert!(of("SUREFOOT_BY").starts_with("a b?[2J"));
        assert_eq!(input.iter().filter(|b| **b == b'\n').count(), 1);
        let json: serde_json::Value = serde_json::from_slice(&input).unwrap();
        assert!(json["slot"].is_null() && json["digest"].is_null());
        // It fits a pipe: nobody has to read it for us to go on.
        assert!(input.len() < 4_096);
    }
}

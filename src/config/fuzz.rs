//! Properties of configurations for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::line::line_of;
use super::load::{Text, understand};

/// Two files: what is accepted is usable, prints, and means the same when it is read again.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (a, b) = text.split_once('\u{c}').unwrap_or((text, ""));
    let read = |texts: &[&str]| {
        let files: Vec<Text> =
            texts.iter().map(|t| Text { file: "/x.toml".into(), text: (*t).to_owned() }).collect();
        understand(&files, Vec::new(), "/".as_ref())
    };
    for path in ["device.product", "health.check.0.name", "hook.1.colour", "a.b", ""] {
        let _ = line_of(a, path);
    }
    let examined = read(&[a, b]);
    for mistake in &examined.mistakes {
        assert!(mistake.detail().chars().all(|c| !c.is_control()), "{mistake:?}");
    }
    let Some(loaded) = examined.loaded else {
        assert!(!examined.mistakes.is_empty(), "refused without a reason");
        return;
    };
    for key in loaded.origin.keys() {
        let _ = loaded.value(key);
    }
    let settings = &loaded.settings;
    let _ = settings.hook_root();
    // No time that is accepted is beyond what a clock can count.
    let times =
        settings.checks.iter().map(|c| c.timeout).chain(settings.hooks.iter().map(|h| h.timeout));
    for time in times.chain([settings.patience.stable, settings.patience.deadline]) {
        assert!(std::time::Instant::now().checked_add(time).is_some(), "{time:?}");
    }
    assert!(settings.trial.deadline < u64::MAX / 4);
    let merged = toml::to_string(&loaded.merged).expect("merged values print");
    let again = read(&[&merged]);
    let again = again.loaded.unwrap_or_else(|| panic!("refused: {:?}\n{merged}", again.mistakes));
    assert_eq!(again.settings, loaded.settings);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_accepted_configuration_is_usable() {
        crate::model::corpus::run("config", super::config);
    }
}

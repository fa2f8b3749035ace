//! What a value of an app's configuration may be.

use super::ConfigValueRule;
use crate::model::{Failure, ReasonCode, Result, printable};

/// A value has at most this many bytes.
const MOST: usize = 1024;

impl ConfigValueRule {
    /// Whether the rule takes this value; `SETTING_REFUSED` says why not.
    pub fn takes(&self, value: &str) -> Result<()> {
        let shown = printable(value, 80);
        let refuse = |why: String| {
            let text = format!("`{shown}` {why}");
            Err(Failure::new(ReasonCode::SettingRefused, text))
        };
        if value.len() > MOST || value.contains('\0') {
            return refuse(format!("has more than {MOST} bytes, or a zero byte"));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|one| one == value) {
            return refuse(format!("is none of {}", printable(&self.one_of.join(", "), 400)));
        }
        match self.of.as_str() {
            "boolean" if value != "true" && value != "false" => {
                refuse("is neither true nor false".into())
            }
            "integer" => {
                let plain = value.strip_prefix('-').unwrap_or(value);
                let plain = plain.bytes().all(|b| b.is_ascii_digit());
                let Some(number) = value.parse::<i64>().ok().filter(|_| plain) else {
                    return refuse("is no whole number".into());
                };
                match (self.least, self.most) {
                    (Some(least), _) if number < least => refuse(format!("is less than {least}")),
                    (_, Some(most)) if number > most => refuse(format!("is more than {most}")),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule itself makes sense.
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |why: &str| Err(Failure::new(ReasonCode::AppInvalid, why));
        if !["string", "integer", "boolean"].contains(&self.of.as_str()) {
            return invalid("`type` is none of string, integer, boolean");
        }
        if self.of != "integer" && (self.least.is_some() || self.most.is_some()) {
            return invalid("`least` and `most` are for integers");
        }
        if self.least.zip(self.most).is_some_and(|(least, most)| least > most) {
            return invalid("`least` is more than `most`");
        }
        for value in self.one_of.iter().chain(&self.default) {
            self.takes(value).map_err(|f| Failure::new(ReasonCode::AppInvalid, f.detail()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(of: &str) -> ConfigValueRule {
        let (one_of, about) = (Vec::new(), String::new());
        ConfigValueRule { of: of.into(), default: None, one_of, least: None, most: None, about }
    }

    #[test]
    fn a_rule_takes_the_values_of_its_type_within_its_bounds_and_no_others() {
        let number = ConfigValueRule { least: Some(-2), most: Some(9), ..rule("integer") };
        let level =
            ConfigValueRule { one_of: vec!["info".into(), "debug".into()], ..rule("string") };
        for (rule, good, bad) in [
            (&number, &["-2", "0", "9"][..], &["-3", "10", "+1", "1.0", "", "-", "0x1"][..]),
            (&rule("boolean"), &["true", "false"], &["yes", "1", "True", ""]),
            (&level, &["info"], &["Info", "", "info "]),
            (&rule("string"), &["", "anything"], &["a\0b"]),
        ] {
            for value in good {
                assert_eq!(rule.takes(value), Ok(()), "{value}");
            }
            for value in bad {
                let failure = rule.takes(value).unwrap_err();
                assert_eq!(failure.code(), ReasonCode::SettingRefused, "{value}");
            }
        }
        assert!(rule("string").takes(&"x".repeat(MOST + 1)).is_err());
    }

    #[test]
    fn a_rule_that_refuses_its_own_default_is_refused() {
        for bad in [
            ConfigValueRule { default: Some("x".into()), ..rule("integer") },
            ConfigValueRule { one_of: vec!["maybe".into()], ..rule("boolean") },
            ConfigValueRule { least: Some(1), ..rule("string") },
            ConfigValueRule { least: Some(2), most: Some(1), ..rule("integer") },
            rule("float"),
        ] {
            assert_eq!(bad.check().unwrap_err().code(), ReasonCode::AppInvalid, "{bad:?}");
        }
        assert_eq!(
            ConfigValueRule { default: Some("1".into()), ..rule("integer") }.check(),
            Ok(())
        );
    }
}

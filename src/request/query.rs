//! The values in a query, in pairs: how one is read, and how the same is written.

use crate::control::Head;
use crate::model::{Failure, ReasonCode, Result, printable};
use crate::update::Reboot;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A parameter that makes no sense.
pub(super) fn usage(text: String) -> Failure {
    Failure::new(ReasonCode::Usage, printable(&text, 200))
}

/// A query as it came.
pub(super) struct Query<'a>(pub(super) &'a Head);

impl Query<'_> {
    /// Said or not: `stage`, `stage=1`, `stage=0`.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.0.parameter(name) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(text) => Err(usage(format!("`{name}={text}` is neither 1 nor 0"))),
        }
    }

    /// Digits and nothing else.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let read = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let found = text.parse().ok().filter(|_| digits);
            found.ok_or_else(|| usage(format!("`{name}={text}` is no number")))
        };
        self.0.parameter(name).map(read).transpose()
    }

    /// Any text; what it is used for makes it printable.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.0.parameter(name).map(str::to_owned))
    }

    /// One of the words that a type knows.
    pub(super) fn word<T: FromStr<Err = String>>(&self, name: &str) -> Result<Option<T>> {
        self.0.parameter(name).map(|text| text.parse().map_err(usage)).transpose()
    }

    /// The same, where a bare name means now.
    pub(super) fn time(&self, name: &str) -> Result<Option<Reboot>> {
        match self.0.parameter(name) {
            Some("" | "1") => Ok(Some(Reboot::Now)),
            _ => self.word(name),
        }
    }
}

/// A query to be sent: empty, or with its `?`.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<(&'static str, String)>);

impl Words {
    pub(super) fn flag(&mut self, name: &'static str, set: &bool) {
        if *set {
            self.0.push((name, "1".to_owned()));
        }
    }

    pub(super) fn number(&mut self, name: &'static str, value: &Option<u64>) {
        self.word(name, value);
    }

    pub(super) fn text(&mut self, name: &'static str, value: &Option<String>) {
        self.word(name, value);
    }

    pub(super) fn word(&mut self, name: &'static str, value: &Option<impl Display>) {
        self.0.extend(value.as_ref().map(|value| (name, value.to_string())));
    }

    pub(super) fn time(&mut self, name: &'static str, value: &Option<Reboot>) {
        self.word(name, value);
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut joint = '?';
        for (name, value) in &self.0 {
            write!(f, "{joint}{name}=")?;
            joint = '&';
            for byte in value.bytes() {
                match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    true => write!(f, "{}", char::from(byte))?,
                    false => write!(f, "%{byte:02X}")?,
                }
            }
        }
        Ok(())
    }
}

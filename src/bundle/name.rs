//! Names of apps, services, volumes and secrets: they become names of containers, networks and folders.

use crate::model::printable;
use serde::{Deserialize, Serialize};

/// 2 to 32 lower-case letters, digits or `-`, beginning with a letter and not ending with `-`: an alphabet that
/// a DNS label, a folder and the names of both engines share (Docker wants two characters at least).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ServiceName {
    type Err = String;
    fn from_str(text: &str) -> Result<ServiceName, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (2..=32).contains(&text.len())
            && text.bytes().all(plain)
            && text.as_bytes()[0].is_ascii_lowercase()
            && !text.ends_with('-');
        match good {
            true => Ok(ServiceName(text.to_owned())),
            false => {
                let rule = "2 to 32 lower-case letters, digits or `-`, beginning with a letter";
                Err(format!("`{}` is not a name of {rule}", printable(text, 80)))
            }
        }
    }
}

impl TryFrom<String> for ServiceName {
    type Error = String;
    fn try_from(text: String) -> Result<ServiceName, String> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0
    }
}

//! What a system is called, and how far that can be believed.

use crate::model::{Digest, Version};
use serde::{Deserialize, Serialize};

/// A release by what orders it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named {
    /// For people; `None` for a system that no artifact has brought, and for one without a name.
    pub version: Option<Version>,
    /// Orders releases.
    pub release_counter: u64,
    /// The anti-rollback epoch.
    pub security_epoch: u32,
    /// What speaks against this name.
    #[serde(default, skip_serializing_if = "Doubt::is_none")]
    pub doubt: Doubt,
}

/// What speaks against a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Nothing.
    #[default]
    None,
    /// Whoever has signed for it is not trusted any more. It still counts for the order.
    NotAccepted,
    /// There is none: a release was committed, and which one cannot be known.
    #[serde(other)]
    Unknown,
}

impl Doubt {
    fn is_none(&self) -> bool {
        *self == Doubt::None
    }
}

/// The four answers to "which release is this?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// A release with a name that this device has verified.
    Known,
    /// The system that no artifact has brought: its release counter is 0, for certain.
    Factory,
    /// A release with a name for which no key that is trusted now has signed.
    NotAccepted,
    /// A release whose name is lost: what is older than it cannot be said.
    #[serde(other)]
    Unknown,
}

impl Named {
    /// A release whose name is lost.
    pub fn unknown() -> Named {
        Named { doubt: Doubt::Unknown, ..Named::default() }
    }

    /// The same, with what speaks against it.
    #[must_use]
    pub fn not_accepted(self) -> Named {
        Named { doubt: Doubt::NotAccepted, ..self }
    }

    /// Which of the four answers it is.
    pub fn identity(&self) -> Identity {
        match (self.doubt, &self.version) {
            (Doubt::NotAccepted, Some(_)) => Identity::NotAccepted,
            (Doubt::None, Some(_)) => Identity::Known,
            (Doubt::None, None) => Identity::Factory,
            (Doubt::Unknown, _) | (Doubt::NotAccepted, None) => Identity::Unknown,
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.identity(), &self.version) {
            (Identity::Unknown, _) => f.write_str("an unknown release"),
            (_, Some(version)) => write!(f, "{version}"),
            (_, None) => f.write_str("the factory system"),
        }
    }
}

/// What stands in a slot, by name and by digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its name.
    pub named: Named,
    /// SHA-256 of its manifest; [`Digest::NONE`] where no artifact has brought it or it is unknown.
    pub digest: Digest,
}

impl Label {
    /// Of what nothing is known.
    pub fn unknown() -> Label {
        Label { named: Named::unknown(), digest: Digest::NONE }
    }

    /// The system that no artifact has brought.
    pub fn factory() -> Label {
        Label { named: Named::default(), digest: Digest::NONE }
    }
}

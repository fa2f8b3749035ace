//! Names that cross a trust boundary: strict alphabets, whole-string comparison (R5).

use super::printable;
use serde::{Deserialize, Serialize};

/// The name of the part of a slot that carries the root filesystem; each slot has exactly one.
pub const PART_ROOTFS: &str = "rootfs";

/// The name of the part that carries kernel and device tree, where a slot has one.
pub const PART_BOOT: &str = "boot";

/// The name of the partition that carries the boot script of both slots.
pub const BOOT_PARTITION: &str = "boot";

/// How a data partition begins that packaging/crypt/crypt is to encrypt, and which holds nothing yet.
pub const UNMADE_DATA: &str = "surefoot: data not made yet";

/// The hint of a release that says in which form its system's engine keeps container images.
pub const STORE_EPOCH_HINT: &str = "apps_store_epoch";

/// One of the two places a system can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotId {
    /// Slot `a`.
    A,
    /// Slot `b`.
    B,
}

impl SlotId {
    /// The other one.
    #[must_use]
    pub fn other(self) -> SlotId {
        match self {
            SlotId::A => SlotId::B,
            SlotId::B => SlotId::A,
        }
    }

    /// The one letter that the environment, the command line and people use.
    pub fn letter(self) -> &'static str {
        match self {
            SlotId::A => "a",
            SlotId::B => "b",
        }
    }
}

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.letter())
    }
}

impl std::str::FromStr for SlotId {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "a" => Ok(SlotId::A),
            "b" => Ok(SlotId::B),
            _ => Err(format!("`{text}` is not a slot; slots are `a` and `b`")),
        }
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $expect:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> std::result::Result<Self, String> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(format!("`{}` is not {}", printable(text, 80), $expect))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> std::result::Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

checked_text! {
    /// A product, compatible, hardware revision or other name that is compared as a whole.
    Identifier,
    |t| !t.is_empty() && t.len() <= 64
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b',')),
    "a name of 1 to 64 letters, digits, `.`, `_`, `-` or `,`"
}

checked_text! {
    /// The version people read. It orders nothing: `release_counter` does.
    Version,
    |t| !t.is_empty() && t.len() <= 64
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'~' | b':')),
    "a version of 1 to 64 letters, digits, `.`, `_`, `-`, `+`, `~` or `:`"
}

checked_text! {
    /// The id of one attempt to move to one release: the first twelve hexadecimal digits of the
    /// manifest's SHA-256, a dash, the attempt (DESIGN 9.17). It travels in the same
    /// environment write as the slot.
    Txn,
    |t| t.split_once('-').is_some_and(|(release, attempt)| {
        release.len() == 12 && release.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && (1..=9).contains(&attempt.len()) && attempt.bytes().all(|b| b.is_ascii_digit())
    }),
    "a transaction id like `0123456789ab-1`"
}

impl Txn {
    /// The id of the given attempt at the release whose manifest bytes hash to `body`.
    pub fn new(body: &super::Digest, attempt: u32) -> Txn {
        Txn(format!("{}-{}", body.short(), attempt % 1_000_000_000))
    }

    /// Whether this is an attempt at the release whose manifest hashes to `body`.
    pub fn names(&self, body: &super::Digest) -> bool {
        self.0.split('-').next() == Some(body.short().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strict() {
        for good in ["demo", "acme,board-2", "A.b_c"] {
            assert!(good.parse::<Identifier>().is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "a b", "a\0b", "a/b", "é", "a\n", long.as_str()] {
            assert!(bad.parse::<Identifier>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_transaction_names_its_release() {
        let body = super::super::Digest::of(b"x");
        let txn = Txn::new(&body, 7);
        assert_eq!(txn.as_str().parse(), Ok(txn.clone()));
        assert!(txn.names(&body));
        assert!(!txn.names(&super::super::Digest::of(b"y")));
        for bad in [
            "",
            "0123456789ab",
            "0123456789ab-",
            "0123456789AB-1",
            "0123456789ab-1x",
            "0123456789ab-1234567890",
        ] {
            assert!(bad.parse::<Txn>().is_err(), "{bad}");
        }
    }
}

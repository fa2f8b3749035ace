//! Lengths and digests.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A number of bytes. Prints as people read it: `1.5 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteLen(pub u64);

impl std::fmt::Display for ByteLen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (name, size) in UNITS {
            if self.0 >= size {
                let tenths = u128::from(self.0) * 10 / u128::from(size);
                return write!(f, "{}.{} {name}", tenths / 10, tenths % 10);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl std::str::FromStr for ByteLen {
    type Err = String;

    /// `4096`, `64K`, `128M`, `1G` (powers of 1024).
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = || format!("`{text}` is not a size; write bytes, or a number with K, M or G");
        let (digits, shift) = match text.trim_end_matches("iB").chars().last() {
            Some('K' | 'k') => (1, 10),
            Some('M' | 'm') => (1, 20),
            Some('G' | 'g') => (1, 30),
            _ => (0, 0),
        };
        let body = text.trim_end_matches("iB");
        let number: u64 = body[..body.len() - digits].parse().map_err(|_| bad())?;
        number.checked_mul(1 << shift).map(ByteLen).ok_or_else(bad)
    }
}

macro_rules! digest32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// Exactly 64 lower-case hexadecimal digits: one spelling per value.
            fn from_str(text: &str) -> std::result::Result<Self, String> {
                let bad = || format!("not 64 lower-case hexadecimal digits: `{text}`");
                let bytes = text.as_bytes();
                let mut out = [0u8; 32];
                if bytes.len() != 64 || !bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(bad());
                }
                for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
                }
                Ok($name(out))
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
                value.to_string()
            }
        }
    };
}

digest32! {
    /// A SHA-256 digest; printed as 64 lower-case hexadecimal digits.
    Digest
}

digest32! {
    /// The name of a public key: SHA-256 over `SUREFOOT-KEY-v1` and the key's bytes. A hint that
    /// finds the key, never a proof of anything.
    KeyId
}

impl Digest {
    /// The digest of no content: what a zero chunk carries in place of a hash.
    pub const NONE: Digest = Digest([0; 32]);

    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The first twelve hexadecimal digits: enough for people and for transaction ids.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes) in [("0", 0), ("64K", 65536), ("128M", 128 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(ByteLen(bytes)), "{text}");
        }
        for bad in ["", "M", "-1", "1.5G", "99999999999G", "12X"] {
            assert!(bad.parse::<ByteLen>().is_err(), "{bad}");
        }
        assert_eq!(ByteLen(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteLen(999).to_string(), "999 bytes");
        assert_eq!(ByteLen(u64::MAX).to_string(), "17179869183.9 GiB");
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
        assert!(format!("{}é", &text[2..]).parse::<Digest>().is_err());
    }
}

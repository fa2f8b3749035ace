//! Public keys: only those for which a signature means something.

use crate::model::{Failure, KeyId, ReasonCode, Result};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a key may sign. A key has exactly one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs trust files; kept offline.
    Root,
    /// Signs releases.
    Release,
    /// Signs channels, and nothing that is installed.
    Channel,
    /// Signs bundles of apps for devices that are under hold, and nothing else.
    Develop,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Root => "root",
            Role::Release => "release",
            Role::Channel => "channel",
            Role::Develop => "develop",
        })
    }
}

/// An Ed25519 public key that is neither weak nor written in a second spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032. Refuses points of small order (under the identity point
    /// *any* message verifies), encodings that are not the canonical one, and points outside of
    /// the prime-order group: with a point of order 2, 4 or 8 added to its key, one secret signs
    /// under several ids, and would count several times towards a threshold.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PublicKey> {
        let refuse = |why| Failure::new(ReasonCode::KeyUnusable, why);
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| refuse("the public key is no point of the curve"))?;
        if key.is_weak() {
            return Err(refuse("the public key is weak: it verifies what nobody signed"));
        }
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(refuse("the public key is not in its canonical encoding"));
        }
        if !key.to_edwards().is_torsion_free() {
            return Err(refuse(
                "the public key is outside of the prime-order group: its secret half can sign \
                 under other keys too",
            ));
        }
        Ok(PublicKey(key))
    }

    /// Takes 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<PublicKey> {
        let bytes: crate::model::Digest = text
            .parse()
            .map_err(|e| Failure::new(ReasonCode::KeyUnusable, format!("public key: {e}")))?;
        PublicKey::from_bytes(&bytes.0)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The same key with the other sign, −A for A. The secret half of one is, with its own sign
    /// changed, the secret half of the other.
    pub(super) fn mirrored(&self) -> [u8; 32] {
        let mut bytes = *self.as_bytes();
        bytes[31] ^= 0x80;
        bytes
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        crate::model::Digest(*self.as_bytes()).to_string()
    }

    /// SHA-256(`SUREFOOT-KEY-v1` ‖ key).
    pub fn id(&self) -> KeyId {
        id_of(self.as_bytes())
    }

    /// Whether `signature` is this key's over `message`. Strict: R of small order, S not below
    /// the group order and R in another encoding are all "no".
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

pub(super) fn id_of(public: &[u8; 32]) -> KeyId {
    let mut hash = Sha256::new();
    hash.update(b"SUREFOOT-KEY-v1");
    hash.update(public);
    KeyId(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_keys_and_second_spellings_are_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        // y = p - 1 (order 2), y = 0 (order 4), y = p (0 written a second time), y = p + 1
        let mut minus_one = [0xffu8; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        let zero = [0u8; 32];
        let mut p = minus_one;
        p[0] = 0xed;
        let mut p_plus_one = minus_one;
        p_plus_one[0] = 0xee;
        // The identity with the sign bit set: x = 0 has no negative.
        let mut negative_identity = identity;
        negative_identity[31] = 0x80;
        for bad in [identity, minus_one, zero, p, p_plus_one, negative_identity] {
            let failure = PublicKey::from_bytes(&bad).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::KeyUnusable, "{bad:02x?}");
        }
        // y = p + 3 is y = 3 in a second spelling; whether it is on the curve or not: refused.
        for low in 0xedu8..=0xff {
            let mut bytes = minus_one;
            bytes[0] = low;
            assert!(PublicKey::from_bytes(&bytes).is_err(), "{low:02x}");
        }
    }

    #[test]
    fn a_key_of_mixed_order_is_refused() {
        use curve25519_dalek::constants::EIGHT_TORSION;
        for seed in 1..=3 {
            let secret = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
            let own = secret.verifying_key().to_edwards();
            assert!(PublicKey::from_bytes(own.compress().as_bytes()).is_ok());
            // Entry 0 is the identity: the key itself.
            for (n, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
                let mixed = (own + torsion).compress();
                let failure = PublicKey::from_bytes(mixed.as_bytes()).unwrap_err();
                assert_eq!(failure.code(), ReasonCode::KeyUnusable, "{n}");
                assert!(failure.detail().contains("prime-order group"), "{n}: {failure}");
            }
        }
    }

    #[test]
    fn a_key_verifies_only_what_it_signed() {
        use ed25519_dalek::{Signer, SigningKey};
        let secret = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
        let signature = secret.sign(b"message").to_bytes();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagE", &signature));
        for forged in [[0u8; 64], [0xff; 64]] {
            assert!(!public.verifies(b"message", &forged));
        }
        // S + L: the same scalar in a second spelling (malleability).
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut malleated = signature;
        let mut carry = 0u16;
        for (byte, l) in malleated[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert!(!public.verifies(b"message", &malleated));
    }
}

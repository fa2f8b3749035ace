//! The trust file: which keys speak for a device.

use super::{PublicKey, Role, is_published_test_key};
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result, WithReason};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// A trust file is at most this long, in bytes.
pub const MAX_TRUST_LEN: usize = 16 * 1024;

/// What a key may sign for. An empty list means "any".
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Products.
    pub products: Vec<Identifier>,
    /// Kinds of payload.
    pub payloads: Vec<Identifier>,
}

impl Scope {
    fn covers(&self, product: &Identifier, kinds: &[Identifier]) -> bool {
        (self.products.is_empty() || self.products.contains(product))
            && (self.payloads.is_empty() || kinds.iter().all(|kind| self.payloads.contains(kind)))
    }
}

/// A key in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// Its name.
    pub id: KeyId,
    /// What it may sign.
    pub role: Role,
    /// The key.
    pub public: PublicKey,
    /// For people.
    pub comment: String,
    /// What it may sign for.
    pub scope: Scope,
}

impl TrustedKey {
    /// Whether the key may speak for this product and all of these payload kinds.
    pub fn covers(&self, product: &Identifier, kinds: &[Identifier]) -> bool {
        self.scope.covers(product, kinds)
    }
}

/// A trust file that keeps all its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    name: Identifier,
    version: u32,
    root_threshold: NonZeroU32,
    release_threshold: NonZeroU32,
    keys: Vec<TrustedKey>,
    revoked: Vec<KeyId>,
    min_epoch: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    name: Identifier,
    version: NonZeroU32,
    #[serde(default)]
    min_epoch: u32,
    #[serde(default)]
    revoked: Vec<KeyId>,
    thresholds: Thresholds,
    keys: Vec<KeyText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    root: NonZeroU32,
    release: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    id: KeyId,
    role: Role,
    alg: String,
    public: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    scope: Scope,
}

impl Trust {
    /// Reads a trust file. An empty one is `TRUST_MISSING`, never "trust everybody"; any broken
    /// rule is `TRUST_INVALID`; a key from artifacts/test-keys is `TEST_KEY` unless this build
    /// has the feature `test-keys`.
    pub fn parse(text: &str) -> Result<Trust> {
        Trust::parse_with(text, cfg!(any(test, feature = "test-keys")))
    }

    fn parse_with(text: &str, accept_test_keys: bool) -> Result<Trust> {
        let invalid = |why: String| Failure::new(ReasonCode::TrustInvalid, why);
        if text.len() > MAX_TRUST_LEN {
            return Err(invalid(format!(
                "{} bytes; at most {MAX_TRUST_LEN}",
                text.len()
            )));
        }
        if text.trim().is_empty() {
            return Err(Failure::new(
                ReasonCode::TrustMissing,
                "the trust file is empty",
            ));
        }
        // The format is looked at first, so that a newer file is called newer and not broken.
        let table: toml::Table =
            toml::from_str(text).reason(ReasonCode::TrustInvalid, "trust file")?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(1) => {}
            Some(n) => {
                return Err(invalid(format!(
                    "trust file format {n}; this build reads 1"
                )));
            }
            None => return Err(invalid("the trust file has no `format`".into())),
        }
        let file = Text::deserialize(table).reason(ReasonCode::TrustInvalid, "trust file")?;
        debug_assert_eq!(file.format, 1);
        let mut keys = Vec::with_capacity(file.keys.len());
        for key in file.keys {
            keys.push(accept(key, accept_test_keys)?);
        }
        let trust = Trust {
            name: file.name,
            version: file.version.get(),
            root_threshold: file.thresholds.root,
            release_threshold: file.thresholds.release,
            keys,
            revoked: file.revoked,
            min_epoch: file.min_epoch,
        };
        trust.check()?;
        Ok(trust)
    }

    fn check(&self) -> Result<()> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::TrustInvalid, why));
        let mut seen = BTreeSet::new();
        for key in &self.keys {
            // Also what keeps a key out of two roles.
            if !seen.insert(*key.public.as_bytes()) {
                return invalid(format!("key {} is listed twice", key.id));
            }
            if self.revoked.contains(&key.id) {
                return invalid(format!("key {} is listed and revoked", key.id));
            }
        }
        for role in [Role::Root, Role::Release] {
            let count = self.keys_of(role).count();
            let threshold = self.threshold(role);
            if count == 0 {
                return invalid(format!("there is no {role} key"));
            }
            if usize::try_from(threshold).map_or(true, |t| t > count) {
                return invalid(format!(
                    "{threshold} {role} signatures are demanded of {count} keys"
                ));
            }
        }
        Ok(())
    }

    /// Whose devices these are.
    pub fn name(&self) -> &Identifier {
        &self.name
    }

    /// Counts up with every new trust file.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Releases below this security epoch are refused (an emergency brake).
    pub fn min_epoch(&self) -> u32 {
        self.min_epoch
    }

    /// How many distinct keys of this role must sign.
    pub fn threshold(&self, role: Role) -> u32 {
        match role {
            Role::Root => self.root_threshold.get(),
            Role::Release => self.release_threshold.get(),
        }
    }

    /// The keys in force, in the file's order.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys of one role.
    pub fn keys_of(&self, role: Role) -> impl Iterator<Item = &TrustedKey> {
        self.keys.iter().filter(move |key| key.role == role)
    }

    /// The key of that name, if it is in force.
    pub fn key(&self, id: &KeyId) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.id == *id)
    }

    /// Whether the key of that name was revoked.
    pub fn is_revoked(&self, id: &KeyId) -> bool {
        self.revoked.contains(id)
    }
}

fn accept(key: KeyText, accept_test_keys: bool) -> Result<TrustedKey> {
    let invalid = |why: String| Failure::new(ReasonCode::TrustInvalid, why);
    if key.alg != "ed25519" {
        return Err(invalid(format!(
            "key {}: algorithm `{}` is not `ed25519`",
            key.id, key.alg
        )));
    }
    let public = PublicKey::from_hex(&key.public)
        .map_err(|f| invalid(format!("key {}: {}", key.id, f.detail())))?;
    if public.id() != key.id {
        return Err(invalid(format!("key {} is really {}", key.id, public.id())));
    }
    if is_published_test_key(&public) && !accept_test_keys {
        let detail = format!("the secret half of key {} is published", key.id);
        return Err(Failure::new(ReasonCode::TestKey, detail));
    }
    Ok(TrustedKey {
        id: key.id,
        role: key.role,
        public,
        comment: key.comment,
        scope: key.scope,
    })
}

//! One entry of a trust file: a key, its role and its scope.

use super::{PublicKey, Role, is_published_test_key};
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result};
use serde::Deserialize;

/// What a key may sign for. An empty list means "any".
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Products.
    pub products: Vec<Identifier>,
    /// Kinds of payload.
    pub payloads: Vec<Identifier>,
    /// Apps. A key that has any signs bundles of these, and no system.
    pub apps: Vec<Identifier>,
}

impl Scope {
    fn covers(&self, product: &Identifier, kinds: &[Identifier], app: Option<&Identifier>) -> bool {
        (self.apps.is_empty() || app.is_some_and(|app| self.apps.contains(app)))
            && (self.products.is_empty() || self.products.contains(product))
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
    /// Whether the key may speak for this product, all of these payload kinds, and this app where it is one.
    pub fn covers(
        &self,
        product: &Identifier,
        kinds: &[Identifier],
        app: Option<&Identifier>,
    ) -> bool {
        self.scope.covers(product, kinds, app)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyText {
    id: KeyId,
    role: Role,
    alg: String,
    public: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    scope: Scope,
}

/// Takes an entry whose key is usable and is the one it says.
pub(super) fn accept(key: KeyText, accept_test_keys: bool) -> Result<TrustedKey> {
    let invalid = |why: String| Failure::new(ReasonCode::TrustInvalid, why);
    if key.alg != "ed25519" {
        return Err(invalid(format!("key {}: algorithm `{}` is not `ed25519`", key.id, key.alg)));
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
    Ok(TrustedKey { id: key.id, role: key.role, public, comment: key.comment, scope: key.scope })
}

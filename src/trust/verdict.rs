//! The verdict: enough of the right keys have signed, or nothing is even parsed.

use super::{PublicKey, Purpose, Role, SignatureRecord, Statement, Trust};
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result};

/// What signed content says about itself that decides whether its signers may say it.
pub trait Claims {
    /// The product it is for.
    fn product(&self) -> &Identifier;
    /// The kinds of payload it carries.
    fn payload_kinds(&self) -> Vec<Identifier>;
    /// Its security epoch.
    fn security_epoch(&self) -> u32;
}

/// A value that enough trusted keys have signed. Only [`vouch`] makes one.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    signers: Vec<KeyId>,
}

impl<T> Verified<T> {
    /// Who has signed: the keys that counted.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Checks the signatures over `statement`, and only then runs `parse` and looks at what it found:
/// every signer that counts must be allowed to speak for that product and those payloads.
///
/// Unknown key ids are skipped. A signature by a key in force that does not verify refuses
/// everything: a file with a bad signature in it has been damaged or tampered with, whatever
/// else it carries. Distinct public keys are counted, never records.
pub fn vouch<T: Claims>(
    trust: &Trust,
    statement: &Statement,
    records: &[SignatureRecord],
    parse: impl FnOnce() -> Result<T>,
) -> Result<Verified<T>> {
    let signers = signers(trust, statement, records)?;
    let value = parse()?;
    let kinds = value.payload_kinds();
    let covering: Vec<KeyId> = signers
        .iter()
        .copied()
        .filter(|id| trust.key(id).is_some_and(|key| key.covers(value.product(), &kinds)))
        .collect();
    if covering.len() < threshold(trust, role_for(statement.purpose())) {
        let detail = format!(
            "{} of {} signing keys may speak for product `{}` and these payloads",
            covering.len(),
            signers.len(),
            value.product()
        );
        return Err(Failure::new(ReasonCode::KeyScope, detail));
    }
    if value.security_epoch() < trust.min_epoch() {
        let detail = format!(
            "security epoch {} is below the trust file's minimum {}",
            value.security_epoch(),
            trust.min_epoch()
        );
        return Err(Failure::new(ReasonCode::BelowFloor, detail));
    }
    Ok(Verified { value, signers: covering })
}

/// Runs `parse` on what one of `keys` has signed, though nobody may be trusted to have signed it:
/// what was accepted once, and is not any more, still has a name. No permission follows from it, and
/// nothing is parsed that none of these keys has signed.
pub fn recall<T>(
    keys: &[PublicKey],
    statement: &Statement,
    records: &[SignatureRecord],
    parse: impl FnOnce() -> Result<T>,
) -> Option<T> {
    let signed = |record: &SignatureRecord| {
        let mut named = keys.iter().filter(|key| key.id() == record.key_id);
        named.any(|key| key.verifies(statement.as_bytes(), &record.signature))
    };
    records.iter().any(signed).then(|| parse().ok()).flatten()
}

fn role_for(purpose: Purpose) -> Role {
    match purpose {
        // Nothing below a release key speaks for a channel or a delta yet.
        Purpose::Release | Purpose::Channel | Purpose::Delta => Role::Release,
        Purpose::Root => Role::Root,
    }
}

fn threshold(trust: &Trust, role: Role) -> usize {
    // A threshold that does not fit is one that cannot be met.
    usize::try_from(trust.threshold(role)).unwrap_or(usize::MAX)
}

fn signers(
    trust: &Trust,
    statement: &Statement,
    records: &[SignatureRecord],
) -> Result<Vec<KeyId>> {
    let refuse = |code, detail: String| Err(Failure::new(code, detail));
    if records.is_empty() {
        return refuse(ReasonCode::SignatureMissing, "there is no signature".into());
    }
    let role = role_for(statement.purpose());
    let (mut counted, mut other_role, mut revoked) = (Vec::<KeyId>::new(), None, None);
    for record in records {
        if trust.is_revoked(&record.key_id) {
            revoked = Some(record.key_id);
            continue;
        }
        let Some(key) = trust.key(&record.key_id) else {
            continue;
        };
        if !key.public.verifies(statement.as_bytes(), &record.signature) {
            let detail = format!("the signature by key {} does not match", key.id);
            return refuse(ReasonCode::SignatureInvalid, detail);
        }
        if key.role != role {
            other_role = Some(key);
        } else if !counted.contains(&key.id) {
            // The trust file holds each public key once, so distinct ids are distinct keys.
            counted.push(key.id);
        }
    }
    let needed = threshold(trust, role);
    if counted.len() >= needed {
        return Ok(counted);
    }
    if let Some(id) = revoked {
        return refuse(ReasonCode::KeyRevoked, format!("key {id} has been revoked"));
    }
    if let Some(key) = other_role {
        let detail = format!("key {} is a {} key, not a {role} key", key.id, key.role);
        return refuse(ReasonCode::KeyRole, detail);
    }
    if counted.is_empty() {
        let ids: Vec<String> =
            records.iter().map(|r| r.key_id.to_string()[..12].to_owned()).collect();
        let detail = format!("signed by {}; no key of these is trusted here", ids.join(", "));
        return refuse(ReasonCode::SignatureUntrusted, detail);
    }
    let detail = format!("{} of {needed} needed {role} keys have signed", counted.len());
    refuse(ReasonCode::SignatureThreshold, detail)
}

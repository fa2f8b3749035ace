//! The verdict: enough of the right keys have signed, or nothing is even parsed.

use super::{PublicKey, Purpose, Role, SignatureRecord, Statement, Trust};
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result};

/// What signed content says about itself that decides whether its signers may say it.
pub trait Claims {
    /// The product it is for.
    fn product(&self) -> &Identifier;
    /// The kinds of payload it carries.
    fn payload_kinds(&self) -> Vec<Identifier>;
    /// The app that it is a bundle of; none for a system.
    fn app(&self) -> Option<&Identifier>;
    /// Its security epoch.
    fn security_epoch(&self) -> u32;
}

/// A value that enough trusted keys have signed. Only [`vouch`] makes one.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    signers: Vec<KeyId>,
    development: bool,
}

impl<T> Verified<T> {
    /// Who has signed: the keys that counted.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// Whether only a development key has signed it: a bundle of an app, for a device under hold.
    pub fn is_development(&self) -> bool {
        self.development
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
    let (role, signers) = speakers(trust, statement, records)?;
    let value = parse()?;
    let development = role == Role::Develop;
    if development && value.app().is_none() {
        let detail = "a develop key signs bundles of apps, and this is none";
        return Err(Failure::new(ReasonCode::KeyRole, detail));
    }
    let kinds = value.payload_kinds();
    let covering: Vec<KeyId> = signers
        .iter()
        .copied()
        .filter(|id| {
            trust.key(id).is_some_and(|key| key.covers(value.product(), &kinds, value.app()))
        })
        .collect();
    if covering.len() < threshold(trust, role) {
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
    Ok(Verified { value, signers: covering, development })
}

/// Which role speaks, and its keys that have signed: the role of the purpose, or for a release the develop
/// keys where too few release keys have.
fn speakers(
    trust: &Trust,
    statement: &Statement,
    records: &[SignatureRecord],
) -> Result<(Role, Vec<KeyId>)> {
    let role = role_for(statement.purpose());
    match signers(trust, role, statement, records) {
        Err(why) if why.code() == ReasonCode::KeyRole && role == Role::Release => {
            match statement.purpose() {
                Purpose::Release => signers(trust, Role::Develop, statement, records)
                    .map(|signers| (Role::Develop, signers))
                    .map_err(|_| why),
                _ => Err(why),
            }
        }
        found => Ok((role, found?)),
    }
}

/// The same for a channel of `product`, which is known before the channel is read: only keys whose
/// scope covers the product are counted, of the role that [`Trust::channel_role`] names. `KEY_SCOPE` where
/// keys of that role have signed and none, or too few, cover it. What `parse` finds must be checked for the
/// product by the caller.
pub fn vouch_channel<T>(
    trust: &Trust,
    product: &Identifier,
    statement: &Statement,
    records: &[SignatureRecord],
    parse: impl FnOnce() -> Result<T>,
) -> Result<Verified<T>> {
    if statement.purpose() != Purpose::Channel {
        return Err(Failure::new(ReasonCode::Internal, "no statement of a channel"));
    }
    let role = trust.channel_role(product);
    let signers = signers(trust, role, statement, records)?;
    let covers = |id: &KeyId| trust.key(id).is_some_and(|key| key.covers(product, &[], None));
    let covering: Vec<KeyId> = signers.iter().copied().filter(covers).collect();
    if covering.len() < threshold(trust, role) {
        let detail = format!(
            "{} of {} signing keys may speak for channels of product `{product}`",
            covering.len(),
            signers.len(),
        );
        return Err(Failure::new(ReasonCode::KeyScope, detail));
    }
    Ok(Verified { value: parse()?, signers: covering, development: false })
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
        Purpose::Release | Purpose::Delta => Role::Release,
        // The product decides whether release keys speak for it, too: [`vouch_channel`].
        Purpose::Channel => Role::Channel,
        Purpose::Root => Role::Root,
    }
}

fn threshold(trust: &Trust, role: Role) -> usize {
    // A threshold that does not fit is one that cannot be met.
    usize::try_from(trust.threshold(role)).unwrap_or(usize::MAX)
}

fn signers(
    trust: &Trust,
    role: Role,
    statement: &Statement,
    records: &[SignatureRecord],
) -> Result<Vec<KeyId>> {
    let refuse = |code, detail: String| Err(Failure::new(code, detail));
    if records.is_empty() {
        return refuse(ReasonCode::SignatureMissing, "there is no signature".into());
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    const ROOT: (u8, &str, &str) = (1, "root", "");

    struct Of(Identifier, Option<Identifier>);

    impl Claims for Of {
        fn product(&self) -> &Identifier {
            &self.0
        }
        fn payload_kinds(&self) -> Vec<Identifier> {
            Vec::new()
        }
        fn app(&self) -> Option<&Identifier> {
            self.1.as_ref()
        }
        fn security_epoch(&self) -> u32 {
            0
        }
    }

    /// What the trust file says of a release that `signers` have signed: whether it is for development.
    fn vouched(trust: &Trust, app: Option<&str>, signers: &[u8]) -> Result<bool> {
        let statement = Statement::new(Purpose::Release, b"body", b"").unwrap();
        let sign = |seed: &u8| SignatureRecord {
            key_id: public(*seed).id(),
            signature: SigningKey::from_bytes(&[*seed; 32]).sign(statement.as_bytes()).to_bytes(),
        };
        let records: Vec<_> = signers.iter().map(sign).collect();
        let what = Of("demo".parse().unwrap(), app.map(|app| app.parse().unwrap()));
        vouch(trust, &statement, &records, || Ok(what)).map(|verified| verified.is_development())
    }

    #[test]
    fn a_develop_key_signs_apps_alone_and_never_a_system() {
        let keys = [ROOT, (2, "release", ""), (3, "develop", "")];
        let trust = trust("root = 1\nrelease = 1", &keys);
        let code = |app, signers: &[u8]| vouched(&trust, app, signers).map_err(|f| f.code());
        assert_eq!(code(Some("shop"), &[3]), Ok(true));
        assert_eq!(code(Some("shop"), &[2]), Ok(false));
        assert_eq!(code(Some("shop"), &[2, 3]), Ok(false), "a release key says more");
        assert_eq!(code(None, &[3]), Err(ReasonCode::KeyRole));
        assert_eq!(code(None, &[2, 3]), Ok(false));
        for purpose in [Purpose::Delta, Purpose::Channel] {
            let code = judged(&trust, purpose, &[3]).unwrap_err().code();
            assert_eq!(code, ReasonCode::KeyRole, "{purpose:?}");
        }
    }

    #[test]
    fn a_develop_key_takes_the_place_of_no_second_release_key() {
        let keys = [ROOT, (2, "release", ""), (4, "release", ""), (3, "develop", "")];
        let trust = trust("root = 1\nrelease = 2", &keys);
        assert_eq!(vouched(&trust, Some("shop"), &[2, 3]), Ok(true), "still only for development");
        assert_eq!(vouched(&trust, None, &[2, 3]).unwrap_err().code(), ReasonCode::KeyRole);
        assert_eq!(vouched(&trust, Some("shop"), &[2, 4]), Ok(false));
    }

    #[test]
    fn a_key_that_is_scoped_to_apps_signs_these_and_no_system() {
        for (role, scope) in [("release", 2), ("develop", 3)] {
            let scope = (scope, role, "scope = { apps = ['shop', 'web'] }");
            let spare = (9, "release", "");
            let trust = trust("root = 1\nrelease = 1", &[ROOT, scope, spare]);
            let code = |app| vouched(&trust, app, &[scope.0]).map_err(|f| f.code());
            assert_eq!(code(Some("shop")), Ok(role == "develop"));
            assert_eq!(code(Some("cash")), Err(ReasonCode::KeyScope));
            assert!(code(None).is_err());
        }
    }

    fn trust(thresholds: &str, keys: &[(u8, &str, &str)]) -> Trust {
        let entry = |(seed, role, more): &(u8, &str, &str)| {
            let key = public(*seed);
            let (id, hex) = (key.id(), key.to_hex());
            format!(
                "[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n{more}\n"
            )
        };
        let keys: String = keys.iter().map(entry).collect();
        let text =
            format!("format = 1\nname = 'acme'\nversion = 1\n[thresholds]\n{thresholds}\n{keys}");
        Trust::parse(&text).unwrap()
    }

    fn public(seed: u8) -> PublicKey {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        PublicKey::from_bytes(key.as_bytes()).unwrap()
    }

    fn judged(trust: &Trust, purpose: Purpose, signers: &[u8]) -> Result<usize> {
        let statement = Statement::new(purpose, b"body", b"").unwrap();
        let sign = |seed: &u8| SignatureRecord {
            key_id: public(*seed).id(),
            signature: SigningKey::from_bytes(&[*seed; 32]).sign(statement.as_bytes()).to_bytes(),
        };
        let records: Vec<_> = signers.iter().map(sign).collect();
        let product = "demo".parse().unwrap();
        match purpose {
            Purpose::Channel => {
                let vouched = vouch_channel(trust, &product, &statement, &records, || Ok(()))?;
                Ok(vouched.signers().len())
            }
            _ => Ok(vouch(trust, &statement, &records, || Ok(Product(product)))?.signers().len()),
        }
    }

    struct Product(Identifier);

    impl Claims for Product {
        fn product(&self) -> &Identifier {
            &self.0
        }
        fn payload_kinds(&self) -> Vec<Identifier> {
            Vec::new()
        }
        fn app(&self) -> Option<&Identifier> {
            None
        }
        fn security_epoch(&self) -> u32 {
            0
        }
    }

    #[test]
    fn a_channel_is_signed_by_channel_keys_where_there_are_any_and_by_release_keys_else() {
        let one = "root = 1\nrelease = 1";
        let (demo, other) = ("scope = { products = ['demo'] }", "scope = { products = ['other'] }");
        let code = |result: Result<usize>| result.map_err(|f| f.code());
        let with =
            trust(one, &[ROOT, (2, "release", ""), (3, "channel", demo), (4, "channel", other)]);
        assert_eq!(code(judged(&with, Purpose::Channel, &[3])), Ok(1));
        assert_eq!(code(judged(&with, Purpose::Channel, &[2])), Err(ReasonCode::KeyRole));
        assert_eq!(code(judged(&with, Purpose::Channel, &[4])), Err(ReasonCode::KeyScope));
        // It signs nothing that is installed.
        for installed in [Purpose::Release, Purpose::Delta] {
            assert_eq!(code(judged(&with, installed, &[3])), Err(ReasonCode::KeyRole));
            assert_eq!(code(judged(&with, installed, &[2])), Ok(1));
        }
        let without =
            trust("root = 1\nrelease = 2", &[ROOT, (2, "release", ""), (5, "release", "")]);
        assert_eq!(code(judged(&without, Purpose::Channel, &[2, 5])), Ok(2));
        let few = judged(&without, Purpose::Channel, &[2]);
        assert_eq!(code(few), Err(ReasonCode::SignatureThreshold));
        let elsewhere = trust(one, &[ROOT, (2, "release", ""), (4, "channel", other)]);
        assert_eq!(code(judged(&elsewhere, Purpose::Channel, &[2])), Ok(1));
        assert_eq!(
            code(judged(&elsewhere, Purpose::Channel, &[])),
            Err(ReasonCode::SignatureMissing)
        );
    }
}

//! The trust file: which keys speak for a device.

use super::Role;
use super::entry::{KeyText, TrustedKey, accept};
use super::key::id_of;
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result, WithReason, from_toml};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// A trust file is at most this long, in bytes.
pub const MAX_TRUST_LEN: usize = 16 * 1024;

/// A trust file that keeps all its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    name: Identifier,
    version: u32,
    root_threshold: NonZeroU32,
    release_threshold: NonZeroU32,
    channel_threshold: NonZeroU32,
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
    channel: Option<NonZeroU32>,
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
            return Err(invalid(format!("{} bytes; at most {MAX_TRUST_LEN}", text.len())));
        }
        if text.trim().is_empty() {
            return Err(Failure::new(ReasonCode::TrustMissing, "the trust file is empty"));
        }
        // The format is looked at first, so that a newer file is called newer and not broken.
        let table: toml::Table =
            toml::from_str(text).reason(ReasonCode::TrustInvalid, "trust file")?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(1) => {}
            Some(n) => {
                return Err(invalid(format!("trust file format {n}; this build reads 1")));
            }
            None => return Err(invalid("the trust file has no `format`".into())),
        }
        let file: Text =
            from_toml(&table, &|_| ()).reason(ReasonCode::TrustInvalid, "trust file")?;
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
            channel_threshold: file.thresholds.channel.unwrap_or(NonZeroU32::MIN),
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
            let mirrored = key.public.mirrored();
            if seen.contains(&mirrored) {
                let twin = id_of(&mirrored);
                return invalid(format!("keys {} and {twin} have one secret half", key.id));
            }
            if self.revoked.contains(&key.id) {
                return invalid(format!("key {} is listed and revoked", key.id));
            }
            if self.revoked.contains(&id_of(&mirrored)) {
                return invalid(format!("key {} has the secret half of a revoked key", key.id));
            }
        }
        for role in [Role::Root, Role::Release, Role::Channel] {
            let count = self.keys_of(role).count();
            let threshold = self.threshold(role);
            // Without keys of its own a channel is signed by release keys.
            if count == 0 && role == Role::Channel && threshold == 1 {
                continue;
            }
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
            Role::Channel => self.channel_threshold.get(),
            Role::Develop => 1,
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

    /// Which keys sign the channels of a product: channel keys where at least one covers the product,
    /// else release keys.
    pub fn channel_role(&self, product: &Identifier) -> Role {
        match self.keys_of(Role::Channel).any(|key| key.covers(product, &[], None)) {
            true => Role::Channel,
            false => Role::Release,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::PublicKey;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8, role: &str) -> String {
        let public = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        let public = PublicKey::from_bytes(public.as_bytes()).unwrap();
        let (id, hex) = (public.id(), public.to_hex());
        format!("[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n")
    }

    fn file(root: u32, release: u32, keys: &[String]) -> String {
        let thresholds = format!("[thresholds]\nroot = {root}\nrelease = {release}\n");
        format!("format = 1\nname = 'acme'\nversion = 1\n{thresholds}{}", keys.concat())
    }

    fn code(text: &str) -> ReasonCode {
        Trust::parse(text).unwrap_err().code()
    }

    #[test]
    fn a_good_file_is_read() {
        let scoped = key(2, "release") + "scope = { products = ['demo'] }\n";
        let trust = Trust::parse(&file(1, 1, &[key(1, "root"), scoped])).unwrap();
        assert_eq!(trust.keys_of(Role::Release).count(), 1);
        let (demo, other) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let release = trust.keys_of(Role::Release).next().unwrap();
        let rootfs = ["rootfs".parse().unwrap()];
        assert!(release.covers(&demo, &rootfs, None) && !release.covers(&other, &rootfs, None));
    }

    #[test]
    fn channel_keys_sign_for_the_products_that_they_cover() {
        let (demo, other) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let both = [key(1, "root"), key(2, "release")];
        let without = Trust::parse(&file(1, 1, &both)).unwrap();
        assert_eq!(without.channel_role(&demo), Role::Release);
        let scoped = key(3, "channel") + "scope = { products = ['demo'] }\n";
        let text = file(1, 1, &[both.concat(), scoped]);
        let with = Trust::parse(&text).unwrap();
        assert_eq!(with.channel_role(&demo), Role::Channel);
        assert_eq!(with.channel_role(&other), Role::Release);
        assert_eq!(with.threshold(Role::Channel), 1);
        let demanded =
            |n: u32| text.replace("release = 1\n", &format!("release = 1\nchannel = {n}\n"));
        assert_eq!(code(&demanded(0)), ReasonCode::TrustInvalid);
        assert!(Trust::parse(&demanded(1)).is_ok());
        assert_eq!(code(&demanded(2)), ReasonCode::TrustInvalid);
        let nobody = file(1, 1, &both).replace("release = 1\n", "release = 1\nchannel = 2\n");
        assert_eq!(code(&nobody), ReasonCode::TrustInvalid);
    }

    #[test]
    fn an_empty_file_trusts_nobody() {
        for empty in ["", " \n", "\t\n\n"] {
            assert_eq!(code(empty), ReasonCode::TrustMissing);
        }
        assert_eq!(code("# only words"), ReasonCode::TrustInvalid);
    }

    #[test]
    fn every_broken_rule_is_refused() {
        let (root, release) = (key(1, "root"), key(2, "release"));
        let id = |key: &str| key.split('\'').nth(1).unwrap().to_owned();
        let both = [root.clone(), release.clone()];
        let good = file(1, 1, &both);
        assert!(Trust::parse(&good).is_ok());
        let cases = [
            ("threshold zero", file(1, 0, &both)),
            ("threshold above the keys", file(1, 2, &both)),
            ("root threshold above the keys", file(2, 1, &both)),
            ("no release key", file(1, 1, std::slice::from_ref(&root))),
            ("no root key", file(1, 1, std::slice::from_ref(&release))),
            ("one key twice", file(1, 2, &[root.clone(), release.clone(), release.clone()])),
            ("one key in two roles", file(1, 1, &[root.clone(), key(1, "release")])),
            (
                "a listed key revoked",
                good.replace(
                    "version = 1",
                    &format!("version = 1\nrevoked = ['{}']", id(&release)),
                ),
            ),
            ("an id of another key", good.replace(&id(&release), &id(&root))),
            ("an unknown role", good.replace("'release'", "'dev'")),
            ("an unknown algorithm", good.replace("ed25519", "ed25519ph")),
            ("an unknown field", good.replace("version = 1", "version = 1\nexpires = 1")),
            ("an unknown field of a key", format!("{good}not_after = 1\n")),
            ("a newer format", good.replace("format = 1", "format = 2")),
            ("no format", good.replace("format = 1\n", "")),
            ("format twice", good.replace("format = 1", "format = 1\nformat = 1")),
            ("a name outside the alphabet", good.replace("'acme'", "'ac me'")),
            ("too long", format!("{good}#{}", "x".repeat(MAX_TRUST_LEN))),
        ];
        for (what, text) in cases {
            assert_ne!(text, good, "{what}");
            assert_eq!(code(&text), ReasonCode::TrustInvalid, "{what}");
        }
    }

    /// The entry of any 32 bytes, with the id that belongs to them.
    fn entry(public: &[u8; 32]) -> String {
        let (id, hex) = (id_of(public), crate::model::Digest(*public));
        format!("[[keys]]\nid = '{id}'\nrole = 'release'\nalg = 'ed25519'\npublic = '{hex}'\n")
    }

    #[test]
    fn one_secret_is_one_signer_whatever_its_public_keys_are() {
        use curve25519_dalek::constants::EIGHT_TORSION;
        let own = SigningKey::from_bytes(&[2; 32]).verifying_key().to_edwards();
        let other = SigningKey::from_bytes(&[3; 32]).verifying_key();
        let (root, first) = (key(1, "root"), entry(own.compress().as_bytes()));
        let with = |public: &[u8; 32]| file(1, 2, &[root.clone(), first.clone(), entry(public)]);
        assert!(Trust::parse(&with(other.as_bytes())).is_ok());
        let cousins = EIGHT_TORSION.iter().flat_map(|t| [own + t, -own + t]);
        for (n, cousin) in cousins.enumerate() {
            assert_eq!(code(&with(cousin.compress().as_bytes())), ReasonCode::TrustInvalid, "{n}");
        }
        // Nor does a revoked key come back with the other sign.
        let mirrored = file(1, 1, &[root, entry((-own).compress().as_bytes())]);
        assert!(Trust::parse(&mirrored).is_ok());
        let revoked = format!("version = 1\nrevoked = ['{}']", id_of(own.compress().as_bytes()));
        assert_eq!(code(&mirrored.replace("version = 1", &revoked)), ReasonCode::TrustInvalid);
    }

    #[test]
    fn a_weak_key_is_refused_however_it_is_named() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let failure = Trust::parse(&file(1, 1, &[key(1, "root"), entry(&identity)])).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::TrustInvalid);
        assert!(failure.detail().contains("weak"), "{failure}");
    }

    #[test]
    fn published_test_keys_are_refused_where_they_are_not_asked_for() {
        let text = include_str!("../../artifacts/test-keys/trust.toml");
        assert!(Trust::parse_with(text, true).is_ok());
        let failure = Trust::parse_with(text, false).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::TestKey);
        // Its secret half is as well known when it is written with the other sign.
        let published = Trust::parse_with(text, true).unwrap();
        let release = published.keys_of(Role::Release).next().unwrap();
        let mirrored = file(1, 1, &[key(1, "root"), entry(&release.public.mirrored())]);
        let failure = Trust::parse_with(&mirrored, false).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::TestKey);
    }
}

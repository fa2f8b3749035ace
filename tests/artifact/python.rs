//! artifacts/verify.py, written from the description alone, comes to the same verdicts.

use super::stranger::{
    Parts, hex, judge, key_id, parts, raw_record, record, secret, trust, trust_text,
};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::Signer;
use sha2::{Digest, Sha512};
use std::path::Path;
use std::process::Command;
use surefoot::model::ReasonCode::TrustInvalid;
use surefoot::trust::Trust;

fn has_toml() -> bool {
    let asked = Command::new("python3").args(["-c", "import tomllib"]).output();
    asked.is_ok_and(|o| o.status.success())
}

/// What artifacts/verify.py says of `x` and `trust.toml` in a folder.
fn python(folder: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts/verify.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(folder.join("x")).arg(folder.join("trust.toml"));
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_verifier_of_another_language_agrees() {
    if !has_toml() {
        crate::skip::skipped("no python3 with tomllib (3.11)");
        return;
    }
    let folder = crate::common::scratch();
    let (artifact, trust_file) = (folder.path().join("x"), folder.path().join("trust.toml"));
    let keys = [(1, "root", ""), (2, "release", ""), (3, "release", ""), (4, "release", "")];
    std::fs::write(&trust_file, trust_text(2, &keys, "")).unwrap();
    let two = Parts { signers: vec![2, 3], ..parts() };
    let (good, said) = (two.bytes(), two.statement());
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        bad
    };
    let mut zero_s = [0u8; 64];
    zero_s[0] = 1;
    let cases = [
        good.clone(),
        two.bytes_signed(&[record(3, &said), record(9, &said), record(4, &said)]),
        two.bytes_signed(&[record(2, &said)]),
        two.bytes_signed(&[record(2, &said), record(1, &said)]),
        two.bytes_signed(&[record(2, &said), record(2, &said)]),
        two.bytes_signed(&[record(2, &said), record(3, b"other"), record(4, &said)]),
        two.bytes_signed(&[record(2, &said), record(3, &said), raw_record(&[7; 32], &zero_s)]),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"x"].concat(),
        flip(9),
        flip(33),
        flip(75),
        flip(300),
        flip(good.len() - 9),
        flip(good.len() - 400),
    ];
    let mut accepted = 0;
    for (n, bytes) in cases.iter().enumerate() {
        std::fs::write(&artifact, bytes).unwrap();
        let ours = judge(bytes, &trust(2));
        let (theirs_ok, theirs) = python(folder.path());
        assert_eq!(theirs_ok, ours.is_ok(), "case {n}: {ours:?}, {theirs}");
        assert!(!theirs.contains("Traceback"), "case {n}: {theirs}");
        accepted += u32::from(ours.is_ok());
    }
    assert_eq!(accepted, 3);
}

/// A signature under A + T by the secret half of A. It verifies where the challenge is a multiple of
/// T's order, which one nonce in eight brings.
fn sign_as(public: &[u8; 32], seed: u8, message: &[u8]) -> [u8; 64] {
    let secret = super::stranger::secret(seed).to_scalar();
    for nonce in 1u64.. {
        let nonce = Scalar::from(nonce);
        let r = EdwardsPoint::mul_base(&nonce).compress();
        let challenge = Sha512::new().chain_update(r.as_bytes()).chain_update(public);
        let challenge = Scalar::from_hash(challenge.chain_update(message));
        if challenge.as_bytes()[0].trailing_zeros() >= 3 {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(r.as_bytes());
            signature[32..].copy_from_slice((nonce + challenge * secret).as_bytes());
            return signature;
        }
    }
    unreachable!("one in eight")
}

#[test]
fn neither_verifier_takes_one_secret_for_two_signers() {
    if !has_toml() {
        crate::skip::skipped("no python3 with tomllib (3.11)");
        return;
    }
    let folder = crate::common::scratch();
    let artifact = Parts { signers: vec![2], ..parts() };
    let said = artifact.statement();
    let own = secret(2).verifying_key().to_edwards();
    let entry = |public: &[u8; 32]| {
        let (id, public) = (hex(&key_id(public)), hex(public));
        format!("[[keys]]\nid = '{id}'\nrole = 'release'\nalg = 'ed25519'\npublic = '{public}'\n")
    };
    let honest = trust_text(2, &[(1, "root", ""), (2, "release", "")], "");
    let agree = |second: [u8; 32], signature: [u8; 64], top: &str| {
        let bytes =
            artifact.bytes_signed(&[record(2, &said), raw_record(&key_id(&second), &signature)]);
        let text =
            honest.replacen("version = 1", &format!("version = 1\n{top}"), 1) + &entry(&second);
        std::fs::write(folder.path().join("x"), &bytes).unwrap();
        std::fs::write(folder.path().join("trust.toml"), &text).unwrap();
        let (accepted, theirs) = python(folder.path());
        let ours = Trust::parse(&text).and_then(|trust| judge(&bytes, &trust));
        assert_eq!(accepted, ours.is_ok(), "{ours:?}, {theirs}");
        assert!(accepted || theirs.contains("trust file"), "{theirs}");
        ours.map_err(|f| f.code())
    };
    let third = secret(3);
    let (public, signature) = (third.verifying_key().to_bytes(), third.sign(&said).to_bytes());
    assert_eq!(agree(public, signature, ""), Ok(()));
    for (n, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        let mixed = (own + torsion).compress().to_bytes();
        let signature = sign_as(&mixed, 2, &said);
        // What a verifier without the check would count: the equation holds.
        let key = ed25519_dalek::VerifyingKey::from_bytes(&mixed).unwrap();
        key.verify_strict(&said, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
        assert_eq!(agree(mixed, signature, ""), Err(TrustInvalid), "{n}");
    }
    let mirrored = (-own).compress().to_bytes();
    assert_eq!(agree(mirrored, [0; 64], ""), Err(TrustInvalid));
    let revoked = format!("revoked = ['{}']", hex(&key_id(&public)));
    assert_eq!(agree(public, signature, &revoked), Err(TrustInvalid));
}

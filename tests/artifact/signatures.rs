//! S: who has signed, and what.

use super::stranger::{
    Parts, hex, judge, key_id, parts, raw_record, record, refused, secret, statement, trust,
    trust_text,
};
use ed25519_dalek::Signer;
use surefoot::model::ReasonCode::{
    BelowFloor, HeaderInvalid, KeyRevoked, KeyRole, KeyScope, SignatureInvalid, SignatureThreshold,
    SignatureUntrusted, TrustInvalid, TrustMissing,
};
use surefoot::trust::Trust;

fn signed_over(seed: u8, message: &[u8]) -> Vec<u8> {
    parts().bytes_signed(&[record(seed, message)])
}

fn with_signature(change: impl Fn(&mut [u8; 64])) -> Vec<u8> {
    let key = secret(2);
    let mut signature = key.sign(&parts().statement()).to_bytes();
    change(&mut signature);
    parts().bytes_signed(&[raw_record(&key_id(&key.verifying_key().to_bytes()), &signature)])
}

#[test]
fn s01_an_unknown_key_says_nothing() {
    refused(&signed_over(9, &parts().statement()), &trust(1), SignatureUntrusted);
}

#[test]
fn s02_s03_s04_a_signature_of_something_else() {
    let mut other = parts();
    other.body = other.body.replace("1.0.0", "6.6.6");
    refused(&signed_over(2, &other.statement()), &trust(1), SignatureInvalid);
    let (body, table) = (parts().body.into_bytes(), parts().table());
    refused(&signed_over(2, &body), &trust(1), SignatureInvalid);
    refused(&signed_over(2, &[body.clone(), table.clone()].concat()), &trust(1), SignatureInvalid);
    for purpose in [0, 1, 3, 4, 256] {
        refused(&signed_over(2, &statement(purpose, &body, &table)), &trust(1), SignatureInvalid);
    }
    // The table is not covered.
    refused(&signed_over(2, &statement(2, &body, &[])), &trust(1), SignatureInvalid);
}

#[test]
fn s05_one_key_counts_once() {
    let one = record(2, &parts().statement());
    refused(&parts().bytes_signed(&[one.clone(), one]), &trust(2), HeaderInvalid);
}

#[test]
fn s06_below_the_threshold() {
    let said = parts().statement();
    refused(&parts().bytes_signed(&[record(2, &said)]), &trust(2), SignatureThreshold);
    let with_unknown = [record(2, &said), record(9, &said)];
    refused(&parts().bytes_signed(&with_unknown), &trust(2), SignatureThreshold);
    judge(&parts().bytes_signed(&with_unknown), &trust(1)).unwrap();
}

#[test]
fn s07_one_bad_signature_of_a_known_key_spoils_all() {
    let said = parts().statement();
    for records in [[record(2, &said), record(3, b"x")], [record(3, b"x"), record(2, &said)]] {
        refused(&parts().bytes_signed(&records), &trust(1), SignatureInvalid);
    }
}

#[test]
fn s08_the_identity_point_is_no_key() {
    let mut identity = [0u8; 32];
    identity[0] = 1;
    let weak = format!(
        "[[keys]]\nid = '{}'\nrole = 'release'\nalg = 'ed25519'\npublic = '{}'\n",
        hex(&key_id(&identity)),
        hex(&identity)
    );
    let text = trust_text(1, &[(1, "root", "")], "") + &weak;
    assert_eq!(Trust::parse(&text).unwrap_err().code(), TrustInvalid);
    let mut forged = [0u8; 64];
    forged[0] = 1;
    let artifact = parts().bytes_signed(&[raw_record(&key_id(&identity), &forged)]);
    refused(&artifact, &trust(1), SignatureUntrusted);
}

#[test]
fn s09_s10_malleated_and_degenerate_signatures() {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let plus_l = |signature: &mut [u8; 64]| {
        let mut carry = 0u16;
        for (byte, l) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
    };
    refused(&with_signature(plus_l), &trust(1), SignatureInvalid);
    for byte in [0, 0xff] {
        refused(&with_signature(|s| s.fill(byte)), &trust(1), SignatureInvalid);
    }
    // R = identity, S = 0; R = the identity in a second spelling; S = L.
    refused(
        &with_signature(|s| {
            s.fill(0);
            s[0] = 1
        }),
        &trust(1),
        SignatureInvalid,
    );
    refused(
        &with_signature(|s| {
            s[..32].fill(0xff);
            s[0] = 0xee;
            s[31] = 0x7f
        }),
        &trust(1),
        SignatureInvalid,
    );
    refused(&with_signature(|s| s[32..].copy_from_slice(&L)), &trust(1), SignatureInvalid);
    judge(&with_signature(|_| ()), &trust(1)).unwrap();
}

#[test]
fn s14_a_key_of_another_role() {
    refused(&signed_over(1, &parts().statement()), &trust(1), KeyRole);
    // Beside a release key it does no harm, and no good.
    let said = parts().statement();
    let both = parts().bytes_signed(&[record(1, &said), record(2, &said)]);
    judge(&both, &trust(1)).unwrap();
    refused(&both, &trust(2), KeyRole);
}

#[test]
fn s15_a_revoked_key() {
    let id = hex(&key_id(&secret(3).verifying_key().to_bytes()));
    let keys = [(1, "root", ""), (2, "release", "")];
    let trust = Trust::parse(&trust_text(1, &keys, &format!("revoked = ['{id}']"))).unwrap();
    let said = parts().statement();
    refused(&parts().bytes_signed(&[record(3, &said)]), &trust, KeyRevoked);
    // Signed by the old and the new key, as in a rotation: the new one suffices.
    judge(&parts().bytes_signed(&[record(3, &said), record(2, &said)]), &trust).unwrap();
}

#[test]
fn s16_no_trust_file_is_no_trust() {
    assert_eq!(Trust::parse("").unwrap_err().code(), TrustMissing);
    let nobody = Trust::parse(&trust_text(1, &[(1, "root", "")], ""));
    assert_eq!(nobody.unwrap_err().code(), TrustInvalid);
}

fn scoped(threshold: u32, scope: &str) -> Trust {
    let scope = format!("scope = {scope}");
    let keys = [(1, "root", ""), (2, "release", scope.as_str()), (3, "release", "")];
    Trust::parse(&trust_text(threshold, &keys, "")).unwrap()
}

#[test]
fn a_key_speaks_within_its_scope_only() {
    let by = |signers: &[u8]| Parts { signers: signers.to_vec(), ..parts() }.bytes();
    for outside in [
        "{ products = ['other'] }",
        "{ payloads = ['firmware'] }",
        "{ products = ['other', 'demo2'] }",
    ] {
        refused(&by(&[2]), &scoped(1, outside), KeyScope);
        refused(&by(&[2, 3]), &scoped(2, outside), KeyScope);
        judge(&by(&[2, 3]), &scoped(1, outside)).unwrap();
    }
    for inside in
        ["{}", "{ products = ['demo'] }", "{ products = ['x', 'demo'], payloads = ['rootfs'] }"]
    {
        judge(&by(&[2]), &scoped(1, inside)).unwrap();
    }
}

#[test]
fn the_trust_file_can_raise_the_floor() {
    let floor = |n: u32| {
        let keys = [(1, "root", ""), (2, "release", "")];
        Trust::parse(&trust_text(1, &keys, &format!("min_epoch = {n}"))).unwrap()
    };
    judge(&parts().bytes(), &floor(0)).unwrap();
    refused(&parts().bytes(), &floor(1), BelowFloor);
}

//! Properties of channels for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::{Asker, Body, Channel, KeptSerial, Unread, choose, judge_serial, place, resolve};
use crate::model::{Digest, Identifier, Result};
use crate::trust::{PublicKey, Purpose, SignatureRecord, Statement, Trust, Verified};
use ed25519_dalek::{Signer, SigningKey};
use std::sync::LazyLock;

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    Trust::parse(include_str!("../../../artifacts/test-keys/trust.toml")).unwrap()
});
static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let text = include_str!("../../../artifacts/test-keys/release.key");
    let hex = text.split(|c: char| !c.is_ascii_hexdigit()).find(|w| w.len() == 64).expect("a key");
    SigningKey::from_bytes(&hex.parse::<Digest>().unwrap().0)
});

/// A file that anybody has made, and a body behind a good signature.
pub fn channel(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let product: Identifier = "demo".parse().unwrap();
    if mode & 1 == 0 {
        if let Ok(unread) = Unread::parse(data)
            && let Ok(channel) = unread.verify(&TRUST, &product)
        {
            used(&channel);
        }
        return;
    }
    if let Ok(channel) = behind_a_signature(data, &product) {
        used(&channel);
    }
}

fn behind_a_signature(body: &[u8], product: &Identifier) -> Result<Verified<Channel>> {
    let statement = Statement::new(Purpose::Channel, body, b"")?;
    let key_id = PublicKey::from_bytes(KEY.verifying_key().as_bytes()).unwrap().id();
    let record = SignatureRecord { key_id, signature: KEY.sign(statement.as_bytes()).to_bytes() };
    Unread::parse(&file(body, &record))?.verify(&TRUST, product)
}

fn file(body: &[u8], record: &SignatureRecord) -> Vec<u8> {
    let mut bytes = b"\x89SFC\r\n\x1a\n\x01\0".to_vec();
    bytes.extend(136u16.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0, 0, 0, 1]);
    bytes.extend([0; 11]);
    bytes.extend(record.to_bytes());
    bytes.extend(body);
    bytes
}

/// What is accepted writes and reads back, offers each device only what is for it, and leads nowhere but
/// to http and https.
fn used(channel: &Channel) {
    let body = &channel.body;
    let text = toml::to_string(body).expect("an accepted body can be written");
    assert_eq!(&Body::parse(text.as_bytes()).expect("and read"), body);
    let kept = KeptSerial { name: body.name.clone(), serial: body.serial, digest: channel.digest };
    assert!(judge_serial(channel, std::slice::from_ref(&kept)).is_ok());
    let later = KeptSerial { serial: body.serial.saturating_add(1), ..kept };
    assert!(body.serial == u64::MAX || judge_serial(channel, &[later]).is_err());
    assert!(body.stale_from() > body.issued);
    let base = "https://u.example/a/stable.channel";
    for release in &body.releases {
        let links = release.deltas.iter().map(|delta| &delta.url).chain([&release.url]);
        for link in links.chain(&body.report) {
            let led = resolve(base, link).expect("an accepted address leads somewhere");
            assert!(led.starts_with("http://") || led.starts_with("https://"), "{led}");
            let authority = led.split('/').nth(2).unwrap_or_default();
            assert!(!authority.is_empty() && !authority.contains('@'), "{led}");
        }
        assert!(release.phases.iter().all(|phase| phase.percent <= 100));
    }
    let boards: Vec<Identifier> =
        body.releases.iter().flat_map(|r| r.compatible.first().cloned()).take(4).collect();
    let tags: Vec<Identifier> =
        body.releases.iter().flat_map(|r| r.tags.first().cloned()).take(4).collect();
    let denied = |digest: &Digest| digest.0[0] % 2 == 1;
    for compatible in &boards {
        for (counter, fresh, tags) in [(0, true, &[][..]), (0, false, &tags[..]), (1, false, &[])] {
            let asker = Asker {
                id: "device-1",
                tags,
                compatible,
                hardware: None,
                counter,
                digest: Digest::of(b"runs"),
                floor: 0,
                fresh,
                denied: &denied,
                now: body.issued,
            };
            let options = body.options_for(asker.id, tags);
            assert!(options.values().all(|value| !value.contains('\n')));
            let choice = choose(body, &asker);
            for release in choice.now.into_iter().chain(choice.later.map(|(release, _)| release)) {
                assert!(release.counter > counter && !release.withdrawn);
                assert!(!denied(&release.digest) && release.compatible.contains(compatible));
                let _ = place("device-1", &release.digest);
            }
            assert!(choice.now.is_none_or(|release| !release.paused));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_seed_gets_behind_the_signature() {
        let seed = include_bytes!("../../../fuzz/corpus/channel/body-everything");
        let channel = super::behind_a_signature(&seed[1..], &"demo".parse().unwrap());
        assert_eq!(channel.unwrap().body.releases.len(), 2);
    }

    #[test]
    fn channels_are_refused_or_mean_one_thing() {
        crate::model::corpus::run("channel", super::channel);
    }
}

//! Format 1 is frozen: what was written once is read for ever. If a test here fails, the reader
//! is wrong, never the file.

use super::{Codec, Manifest, check_payload, read_head, read_record};
use crate::model::{Digest, ReasonCode};
use crate::trust::Trust;

const GOLDEN: &[u8] = include_bytes!("../../artifacts/format-1/golden.surefoot");
const TRUST: &str = include_str!("../../artifacts/test-keys/trust.toml");

#[test]
fn the_golden_artifact_of_format_1_is_read_to_its_last_byte() {
    assert_eq!(
        Digest::of(GOLDEN).to_string(),
        "80d78793fa53d78f658c41943ad5fc7a90d92f19679de6b08c06ff61e03aec2b"
    );
    let mut input = GOLDEN;
    let trust = Trust::parse(TRUST).unwrap();
    let release = read_head(&mut input).unwrap().verify(&trust).unwrap();
    assert_eq!(release.signers().len(), 2);
    assert_eq!(
        release.body_digest().to_string(),
        "bbba65a754228f38a033f6d77aa5770c9d4ad462aabe2116d6e010392b7fd36a"
    );
    let manifest = &release.manifest;
    assert_eq!(manifest.product.as_str(), "golden");
    assert_eq!(manifest.compatible.len(), 2);
    assert_eq!(manifest.version.as_str(), "1.2.3");
    assert_eq!((manifest.release_counter, manifest.security_epoch), (1_002_003, 7));
    assert_eq!(
        manifest.notes.as_deref(),
        Some("The golden artifact of format 1.\nIts second line.\n")
    );
    assert_eq!(manifest.provenance.source_revision.as_deref(), Some("0123abc"));
    assert_eq!(manifest.provenance.build_id.as_deref(), Some("nightly-42"));
    assert_eq!(manifest.provenance.built_at, Some(1_700_000_000));
    assert_eq!(manifest.hints["window"].as_str(), Some("night"));
    let rev2 = "rev2".parse().unwrap();
    assert!(manifest.select(Some(&rev2)).is_ok());
    assert_eq!(manifest.select(None).unwrap_err().code(), ReasonCode::NoPayload);
    let payload = &manifest.payloads[0];
    assert_eq!((payload.size, payload.chunks), (303_319, 15));
    assert_eq!(
        payload.sha256.to_string(),
        "4b46eac813a01a6c3feab50bde1a240b7c632f13139fd55e5201ad3cac202209"
    );
    for codec in [Codec::Raw, Codec::Zstd, Codec::Zero] {
        assert!(release.table.chunks.iter().any(|c| c.codec == codec), "{codec:?}");
    }
    let checked = check_payload(&release, &mut input, &|_| ()).unwrap();
    assert_eq!(checked.artifact_len, GOLDEN.len() as u64);
    assert_eq!(checked.plain_len, payload.size);
    let record = release.record(&[0], 1024 * 1024).unwrap();
    let installed = read_record(&record, &trust).unwrap();
    assert_eq!(installed.chunks.as_ref().map(Vec::len), Some(15));
}

/// What comes until 0.3.0 is told as what it is: this updater is too old, and nothing is wrong with
/// the artifact.
#[test]
fn what_comes_later_asks_for_a_newer_updater() {
    const TOP: &str = "format = 1\nproduct = 'demo'\ncompatible = ['board']\nversion = '2.0.0'\n\
        release_counter = 1\nsecurity_epoch = 0\n";
    let requires = "[requires]\nupdater = '0.3.0'\n";
    for later in [
        "[[payloads]]\nkind = 'app'\nname = 'web'\ndigest = 'sha256:00'\nplatform = 'linux/arm64'\n",
        "[[payloads]]\nkind = 'delta'\nfrom = '00'\nop_streams = [1, 2, 3, 4]\n",
        "[delta]\nbase = '00'\n[[payloads]]\nkind = 'rootfs'\n",
        "payloads = 'elsewhere'\n",
        "",
    ] {
        let parse = |requires: &str| {
            let text = match later.starts_with('[') || later.is_empty() {
                true => format!("{TOP}{requires}{later}"),
                false => format!("{TOP}{later}{requires}"),
            };
            Manifest::parse(text.as_bytes()).unwrap_err().code()
        };
        assert_eq!(parse(requires), ReasonCode::UpdaterTooOld, "{later}");
        // Without these words nobody could know.
        assert_eq!(parse(&requires.replace('3', "2")), ReasonCode::ManifestInvalid, "{later}");
    }
}

/// A source that fails is no source that goes on.
#[test]
fn what_fails_after_the_last_byte_is_told_as_what_it_is() {
    struct Fails;
    impl std::io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    let trust = Trust::parse(TRUST).unwrap();
    let check = |more: &mut dyn std::io::Read| {
        let mut input = std::io::Read::chain(GOLDEN, more);
        let release = read_head(&mut input).unwrap().verify(&trust).unwrap();
        check_payload(&release, &mut input, &|_| ()).map_err(|failure| failure.code())
    };
    assert!(check(&mut std::io::empty()).is_ok());
    assert_eq!(check(&mut &b"x"[..]), Err(ReasonCode::TrailingBytes));
    assert_eq!(check(&mut Fails), Err(ReasonCode::SourceLost));
}

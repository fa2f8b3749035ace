//! Format 1 is frozen: what was written once is read for ever. If a test here fails, the reader
//! is wrong, never the file.

use super::{Chunk, Manifest, check_payload, read_head, read_record};
use crate::model::{Digest, ReasonCode};
use crate::trust::Trust;

const GOLDEN: &[u8] = include_bytes!("../../artifacts/format-1/golden.surefoot");
/// The slot record that an installation of it on a board of revision rev1 leaves, without the zeros that follow.
const RECORD: &[u8] = include_bytes!("../../artifacts/format-1/slot-record");
/// Magic, version, length and checksum, which are read by room `slot`.
const RECORD_HEAD: usize = 20;
const TRUST: &str = include_str!("../../artifacts/test-keys/trust.toml");

#[test]
fn the_golden_artifact_of_format_1_is_read_to_its_last_byte() {
    assert_eq!(
        Digest::of(GOLDEN).to_string(),
        "1a63e19e5bfb9b3f5cf4f0d4ce20b010f9bd87c386062d70d4fd041994f4e656"
    );
    let mut input = GOLDEN;
    let trust = Trust::parse(TRUST).unwrap();
    let release = read_head(&mut input).unwrap().verify(&trust).unwrap();
    assert_eq!(release.signers().len(), 2);
    assert_eq!(
        release.body_digest().to_string(),
        "7b8cf44ee758c94f05b24041f2722ae251b5be3c6d59dd671a7bb3b8319210b2"
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
    let provenance = &manifest.provenance;
    assert_eq!(provenance.source_revision.as_deref(), Some("0123abc"));
    assert_eq!(provenance.build_id.as_deref(), Some("nightly-42"));
    assert_eq!(provenance.built_at, Some(1_700_000_000));
    assert_eq!((provenance.chunk_size, provenance.context), (Some(16 << 10), Some(64 << 10)));
    assert_eq!(manifest.hints["window"].as_str(), Some("night"));
    let of = |revision: &str| -> Vec<(u64, u32)> {
        let chosen = manifest.select(Some(&revision.parse().unwrap())).unwrap();
        chosen.iter().map(|p| (p.size, p.chunks)).collect()
    };
    assert_eq!(of("rev2"), [(4 << 20, 72), (512 << 10, 4)]);
    assert_eq!(manifest.select(None).unwrap_err().code(), ReasonCode::NoPayload);
    for codec in ["Raw", "Zstd", "Zero", "Context"] {
        let name = |c: &Chunk| format!("{:?}", c.codec);
        assert!(release.table.chunks.iter().any(|c| name(c).starts_with(codec)), "{codec}");
    }
    assert_eq!(release.pages().len(), 32 + 5 * 16);
    let checked = check_payload(&release, &mut input, &|_| ()).unwrap();
    assert_eq!(checked.artifact_len, GOLDEN.len() as u64);
    assert_eq!(checked.plain_len, manifest.payloads.iter().map(|p| p.size).sum::<u64>());
}

#[test]
fn the_golden_slot_record_is_read_and_is_what_is_written() {
    let trust = Trust::parse(TRUST).unwrap();
    let installed = read_record(&RECORD[RECORD_HEAD..], &trust).unwrap();
    let release = read_head(&mut &GOLDEN[..]).unwrap().verify(&trust).unwrap();
    assert_eq!(installed.payloads, [0, 1]);
    assert_eq!(installed.manifest, release.manifest);
    assert_eq!(installed.chunks.as_deref(), Some(&release.table.chunks[..76]));
    assert!(release.record(&[0, 1], 1 << 20).unwrap() == RECORD[RECORD_HEAD..]);
}

/// What comes until 0.5.0 is told as what it is: this updater is too old, and nothing is wrong with
/// the artifact.
#[test]
fn what_comes_later_asks_for_a_newer_updater() {
    const TOP: &str = "format = 1\nproduct = 'demo'\ncompatible = ['board']\nversion = '2.0.0'\n\
        release_counter = 1\nsecurity_epoch = 0\n";
    let requires = "[requires]\nupdater = '0.6.0'\n";
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
        assert_eq!(parse(&requires.replace('6', "2")), ReasonCode::ManifestInvalid, "{later}");
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

//! artifacts/verify.py, written from the description alone, comes to the same verdicts.

use crate::stranger::{Parts, judge, parts, raw_record, record, trust, trust_text};
use std::path::Path;
use std::process::Command;

#[test]
fn a_verifier_of_another_language_agrees() {
    let has_toml = Command::new("python3").args(["-c", "import tomllib"]).output();
    if !has_toml.is_ok_and(|o| o.status.success()) {
        crate::skip::skipped("no python3 with tomllib (3.11)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts/verify.py");
    let mut accepted = 0;
    for (n, bytes) in cases.iter().enumerate() {
        std::fs::write(&artifact, bytes).unwrap();
        let output =
            Command::new("python3").arg(&script).arg(&artifact).arg(&trust_file).output().unwrap();
        let ours = judge(bytes, &trust(2));
        let theirs = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), ours.is_ok(), "case {n}: {ours:?}, {theirs}");
        assert!(!theirs.contains("Traceback"), "case {n}: {theirs}");
        accepted += u32::from(ours.is_ok());
    }
    assert_eq!(accepted, 3);
}

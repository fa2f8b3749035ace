//! A system and its apps in one artifact: each bundle keeps its own signature.

use super::compose::Shop;
use crate::common::{forge, image};
use serde_json::json;

const WEB: &str = "services: { web: { image: shop-web:1 } }\n";

fn joint(shop: &Shop, with: &[&str], product: &str) -> crate::common::Said {
    let rootfs = shop.path("rootfs");
    std::fs::write(&rootfs, image(3, 1 << 20)).unwrap();
    let (key, output) = (shop.path("KEYS/release.key"), shop.path("joint.surefoot"));
    let mut words = vec![
        "build",
        "--raw",
        "--rootfs",
        &rootfs,
        "--product",
        product,
        "--compatible",
        "demo-board",
        "--version",
        "2.0.0",
        "--key",
        &key,
        "--level",
        "3",
        "-o",
        &output,
    ];
    let with: Vec<String> = with.iter().map(|name| shop.path(name)).collect();
    words.extend(with.iter().flat_map(|path| ["--with", path.as_str()]));
    forge(&words)
}

#[test]
fn a_joint_artifact_holds_the_bundles_byte_for_byte_before_the_system() {
    let shop = Shop::new();
    shop.build_to(WEB, "shop.surefoot", &[]).ok();
    joint(&shop, &["shop.surefoot"], "demo").ok();
    let seen = forge(&["inspect", &shop.path("joint.surefoot"), "--json"]).ok().json();
    let payloads = seen["payloads"].as_array().unwrap();
    let kinds: Vec<&str> = payloads.iter().map(|p| p["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["bundle", "rootfs"]);
    let bundle = std::fs::read(shop.path("shop.surefoot")).unwrap();
    assert_eq!(payloads[0]["size"], bundle.len());
    assert_eq!(payloads[0]["sha256"], surefoot::model::Digest::of(&bundle).to_string());
    assert_eq!((&seen["app"], &seen["requires_updater"]), (&json!(null), &json!("0.5.0")));
    assert_eq!(
        (&seen["bundles"][0]["app"], &seen["bundles"][0]["version"]),
        (&json!("shop"), &json!("1.2.0"))
    );
    // What is packed already costs no more than its own length.
    let stored = payloads[0]["stored_size"].as_u64().unwrap();
    assert!(stored <= bundle.len() as u64, "{stored}");
    let trust = shop.path("KEYS/trust.toml");
    let said = forge(&["verify", &shop.path("joint.surefoot"), "--trust", &trust]).ok();
    assert!(said.out.contains("bundle         shop 1.2.0"), "{}", said.out);
    let piped = std::fs::read(shop.path("joint.surefoot")).unwrap();
    let piped = crate::common::run(
        env!("CARGO_BIN_EXE_surefoot-forge"),
        &["inspect", "-", "--json", "--trust", &trust],
        &[],
        &piped,
    );
    let piped = piped.ok().json();
    assert_eq!((&piped["bundles"], &piped["file_len"]), (&seen["bundles"], &seen["file_len"]));
}

#[test]
fn a_bundle_that_another_key_has_signed_is_found_by_verify() {
    let shop = Shop::new();
    forge(&["keygen", "--out", &shop.path("OTHER")]).ok();
    let other = shop.path("OTHER/release.key");
    shop.build_to(WEB, "shop.surefoot", &[]).ok();
    // Signed by the other key alone.
    let rebuilt = {
        let (file, images) = (shop.path("compose.yaml"), shop.path("images"));
        let output = shop.path("foreign.surefoot");
        forge(&[
            "build",
            "--app",
            "shop",
            "--compose",
            &file,
            "--images",
            &images,
            "--product",
            "demo",
            "--compatible",
            "demo-board",
            "--version",
            "1.2.0",
            "--key",
            &other,
            "-o",
            &output,
        ])
    };
    rebuilt.ok();
    joint(&shop, &["foreign.surefoot"], "demo").ok();
    let trust = shop.path("KEYS/trust.toml");
    let said = forge(&["verify", &shop.path("joint.surefoot"), "--trust", &trust]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("the bundle of `shop`"), "{}", said.err);
    let seen =
        forge(&["inspect", &shop.path("joint.surefoot"), "--trust", &trust, "--json"]).ok().json();
    assert_eq!(seen["accepted"], json!(true));
    assert!(seen["bundles"][0]["refused_because"].is_string(), "{seen}");
}

#[test]
fn what_is_no_bundle_for_this_system_is_refused_beside_it() {
    let shop = Shop::new();
    shop.build_to(WEB, "shop.surefoot", &[]).ok();
    shop.build_to(WEB, "again.surefoot", &["--counter", "7"]).ok();
    let refused = |with: &[&str], product: &str, code: &str, words: &str| {
        let said = joint(&shop, with, product);
        assert_ne!(said.code, 0, "{words}");
        let line = said.err.lines().find(|l| l.starts_with("surefoot-forge: ")).unwrap();
        assert!(line.contains(words) && line.ends_with(&format!("[{code}]")), "{}", said.err);
        assert!(!std::path::Path::new(&shop.path("joint.surefoot")).exists());
    };
    refused(&["shop.surefoot", "again.surefoot"], "demo", "USAGE", "is a bundle of `shop`, as ");
    refused(&["shop.surefoot"], "other", "USAGE", "is for the product `demo`");
    let mut bytes = std::fs::read(shop.path("shop.surefoot")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(shop.path("torn.surefoot"), &bytes).unwrap();
    refused(&["torn.surefoot"], "demo", "CHUNK_CORRUPT", "torn.surefoot");
    std::fs::write(shop.path("short.surefoot"), &bytes[..last]).unwrap();
    refused(&["short.surefoot"], "demo", "TRUNCATED", "short.surefoot");
    joint(&shop, &[], "demo").ok();
    std::fs::rename(shop.path("joint.surefoot"), shop.path("system.surefoot")).unwrap();
    refused(&["system.surefoot"], "demo", "USAGE", "no bundle of an app");
}

//! `inspect` and `verify` of a delta of a bundle.

use super::super::file;
use super::super::say::{document, say};
use super::super::words::{Inspect, Verify};
use crate::artifact::{BundleDelta, FromBundle, Unverified};
use crate::delta::stored_only;
use crate::model::{ByteLen, Result, printable};
use crate::trust::{Trust, Verified};
use serde_json::json;
use std::fmt::Write;
use std::io::Read;

pub(in super::super) fn inspect_bundle(
    words: &Inspect,
    head: Unverified,
    input: &mut dyn Read,
    trust: Option<&Trust>,
) -> Result<()> {
    let verdict = trust.map(|trust| match head.clone().verify_bundle_delta(trust) {
        Ok(_) => "accepted".to_owned(),
        Err(failure) => format!("refused: {failure}"),
    });
    let delta = head.parse_unverified_bundle_delta()?;
    let rest = std::io::copy(input, &mut std::io::sink());
    let on_disk = delta.stored_offset() + rest.map_err(|e| file::failure(&words.artifact, &e))?;
    let manifest = &delta.manifest;
    if words.json {
        let keys = delta.signatures().iter().map(|record| json!({ "key": record.key_id }));
        return say(&document(&json!({
            "v": 1, "delta": true, "product": manifest.product, "app": manifest.app,
            "requires_updater": printable(&manifest.requires.updater, 64),
            "from": manifest.from, "to": manifest.to, "digest": manifest.to.digest,
            "version": manifest.to.version, "release_counter": manifest.to.release_counter,
            "security_epoch": manifest.security_epoch,
            "signatures": keys.collect::<Vec<_>>(),
            "accepted": verdict.as_ref().map(|v| v == "accepted"),
            "refused_because": verdict.as_ref().filter(|v| *v != "accepted"),
            "artifact_len": delta.file_len(), "file_len": on_disk,
            "stored_blocks": delta.blocks.hashes.len(), "memory": delta.memory(),
            "head": manifest.head, "payloads": manifest.payloads,
        })));
    }
    let mut text = String::new();
    // Everything foreign goes through `printable`; writing to a String cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14} {}", printable(value, 400));
    };
    line("delta", &format!("{} {}", manifest.app, manifest.to.version));
    line("product", manifest.product.as_str());
    line("counter", &manifest.to.release_counter.to_string());
    line("epoch", &manifest.security_epoch.to_string());
    line("needs updater", &manifest.requires.updater);
    for (n, from) in manifest.from.iter().enumerate() {
        line(if n == 0 { "needs" } else { "" }, &named(from));
    }
    line("makes", &manifest.to.digest.to_string());
    for (n, record) in delta.signatures().iter().enumerate() {
        let known = trust.and_then(|t| t.key(&record.key_id));
        let who = known.map_or(String::new(), |k| format!("  {} key, {}", k.role, k.comment));
        let name = if n == 0 { "signed by" } else { "" };
        line(name, &format!("{}{who}", &record.key_id.to_string()[..12]));
    }
    if delta.signatures().is_empty() {
        line("signed by", "no key: devices refuse it");
    }
    line("trust", verdict.as_deref().unwrap_or("not checked (give --trust FILE)"));
    let whole = delta.file_len();
    line("artifact", &format!("{} ({whole} bytes)", ByteLen(whole)));
    match on_disk.cmp(&whole) {
        std::cmp::Ordering::Less => line("", &format!("CUT SHORT: the file has {on_disk} bytes")),
        std::cmp::Ordering::Greater => {
            line("", &format!("TRAILING BYTES: the file has {on_disk} bytes"));
        }
        std::cmp::Ordering::Equal => {}
    }
    line("windows", &ByteLen(delta.memory() as u64).to_string());
    line("head", &ByteLen(manifest.head.into()).to_string());
    for (n, plan) in manifest.payloads.iter().enumerate() {
        let how = match &plan.patch {
            None => "which the device has".to_owned(),
            Some(patch) if patch.from_size == 0 => {
                format!("in {}, from nothing old", ByteLen(patch.stored))
            }
            Some(patch) => format!(
                "in {}, from {} of {} layers",
                ByteLen(patch.stored),
                ByteLen(patch.from_size),
                patch.sources.len()
            ),
        };
        let kind = plan.kind.name();
        line(&format!("payload {n}"), &format!("{kind}, {} {how}", ByteLen(plan.size)));
    }
    say(&text)
}

fn named(from: &FromBundle) -> String {
    format!("{} {} ({})", from.app, from.version, from.digest)
}

pub(in super::super) fn verify_bundle(
    words: &Verify,
    delta: Verified<BundleDelta>,
    input: &mut dyn Read,
) -> Result<()> {
    stored_only(&delta.blocks, input)?;
    let manifest = &delta.manifest;
    if words.json {
        let ids: Vec<String> = delta.signers().iter().map(ToString::to_string).collect();
        return say(&document(&json!({
            "v": 1, "delta": true, "artifact": words.artifact, "product": manifest.product,
            "app": manifest.app, "version": manifest.to.version,
            "release_counter": manifest.to.release_counter, "from": manifest.from,
            "digest": manifest.to.digest, "signed_by": ids, "artifact_len": delta.file_len(),
        })));
    }
    let signers: Vec<String> =
        delta.signers().iter().map(|id| id.to_string()[..12].to_owned()).collect();
    let from: Vec<String> =
        manifest.from.iter().map(|from| format!("{} {}", from.app, from.version)).collect();
    say(&format!(
        "{}: {} {} from {}, signed by {}; {} read, every stored block as signed\n",
        words.artifact.display(),
        manifest.app,
        manifest.to.version,
        from.join(" and "),
        signers.join(" and "),
        ByteLen(delta.file_len()),
    ))
}

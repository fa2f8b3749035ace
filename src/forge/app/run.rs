//! `build --app`: what is typed, and what is told.

use super::build::{AppPacked, AppWish, pack_app};
use super::lint::{Lint, LintFinding};
use crate::artifact::DEFAULT_AVERAGE;
use crate::bundle::{AppDocument, AppKind};
use crate::forge::assemble::{Payload, assemble};
use crate::forge::build::{draft, finish, need, packing_of, parse, summary, warn};
use crate::forge::file;
use crate::forge::say::{document, say, tell};
use crate::forge::settings;
use crate::forge::words::Build;
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufWriter;

pub(in crate::forge) fn run(mut words: Build) -> Result<()> {
    let (as_json, lint) = (words.json, words.lint);
    let (app, compose) = (words.app.take(), words.compose.take());
    let wish = AppWish {
        name: app.ok_or_else(|| need("--app"))?,
        compose: compose.ok_or_else(|| need("--compose"))?,
        images: words.images.take(),
    };
    let mut settings = settings::load(words.config.as_deref())?.under(words)?;
    let output = settings.output.take().ok_or_else(|| need("-o X.surefoot"))?;
    file::may_be_written(&output)?;
    let mut drafted = draft(&mut settings)?;
    drafted.draft.app = Some(parse(&wish.name)?);
    let (mut packing, wished) = packing_of(&settings)?;
    packing.average = wished.unwrap_or(DEFAULT_AVERAGE);
    let mut scratch = BufWriter::with_capacity(1 << 20, file::scratch(&output)?);
    let AppPacked { document: app, packed, mut findings, layers } =
        pack_app(&wish, packing, &output, &mut scratch)?;
    if lint == Lint::Off {
        findings.clear();
    }
    if lint == Lint::Deny
        && let Some(first) = findings.first()
    {
        let (count, place) = (findings.len(), &first.place);
        let code = match first.files {
            0 => ReasonCode::ComposeInvalid,
            _ => ReasonCode::ContainerImage,
        };
        tell(&told(&findings))?;
        let text =
            format!("{count} findings with `--lint deny`; the first: {place}: {}", first.text);
        return Err(Failure::new(code, text));
    }
    let counted = summary(&packed);
    let signed = finish(&mut drafted, packed, packing, &settings)?;
    let stored = scratch.into_inner().map_err(|e| file::failure(&output, e.error()))?;
    let len =
        assemble(&signed.head, (Payload::Packed, stored, 0), &output, signed.signer.as_ref())?;
    // Standard output has the artifact, and nothing else.
    let out = if file::is_standard(&output) { tell } else { say };
    warn(signed.warning.as_deref())?;
    if as_json {
        let warnings = signed.warning.iter().cloned();
        let warnings = warnings.chain(findings.iter().map(LintFinding::line));
        let mut value = summary_of(&app, &layers);
        let more = json!({
            "v": 1, "artifact": output.display().to_string(), "app": wish.name,
            "version": drafted.version, "release_counter": drafted.counter,
            "digest": signed.head.body_digest(), "artifact_len": len,
            "signed_by": signed.signer.as_ref().map(|key| key.id().to_string()),
            "warnings": warnings.collect::<Vec<_>>(), "lint": findings,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
            all.extend(more);
        }
        return out(&document(&value));
    }
    tell(&told(&findings))?;
    let derived = if drafted.derived { " (from the version)" } else { "" };
    let by = signed.signer.as_ref().map_or_else(
        || format!("unsigned\nnext: surefoot-forge sign {} --key KEY", output.display()),
        |key| format!("signed by key {}", &key.id().to_string()[..12]),
    );
    out(&format!(
        "{}: app {} {}, release counter {}{derived}\n{counted}, {} in all, read back and checked\n{}{by}\n",
        output.display(),
        wish.name,
        drafted.version,
        drafted.counter,
        ByteLen(len),
        lines_of(&app, &layers),
    ))
}

impl LintFinding {
    fn line(&self) -> String {
        format!("{}: {}: {}", self.rule, self.place, self.text)
    }
}

fn told(findings: &[LintFinding]) -> String {
    let line = |finding: &LintFinding| format!("warning: {}\n", finding.line());
    findings.iter().map(line).collect()
}

/// What a bundle has, for programs.
pub(in crate::forge) fn summary_of(app: &AppDocument, layers: &BTreeMap<Digest, u64>) -> Value {
    let images = app.images.iter().map(|(id, image)| {
        json!({
            "id": id, "name": image.name, "architecture": image.architecture,
            "variant": image.variant, "size": image.size, "layers": image.layers,
        })
    });
    let layers = layers
        .iter()
        .map(|(id, size)| json!({ "diff_id": id, "size": size, "images": users(app, id) }));
    json!({
        "kind": app.kind, "services": app.services.keys().collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(), "layers": layers.collect::<Vec<_>>(),
        "files": app.files().len(), "deadline": app.deadline, "soak": app.soak,
    })
}

/// How many images have a layer.
fn users(app: &AppDocument, layer: &Digest) -> usize {
    app.images.values().filter(|image| image.layers.contains(layer)).count()
}

/// What a bundle has, for people.
pub(in crate::forge) fn lines_of(app: &AppDocument, layers: &BTreeMap<Digest, u64>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if app.kind != AppKind::Containers {
        let files = app.files();
        let size: u64 = files.iter().map(|file| file.size).sum();
        let _ = writeln!(text, "files: {}, {}", files.len(), ByteLen(size));
        return text;
    }
    let names: Vec<&str> = app.services.keys().map(|name| name.as_str()).collect();
    let _ = writeln!(text, "services: {}", names.join(", "));
    for (id, image) in &app.images {
        let variant = match image.variant.as_str() {
            "" => String::new(),
            variant => format!("/{variant}"),
        };
        let _ = writeln!(
            text,
            "image {} {}: {}{variant}, {} in {} layers",
            &id.to_string()[..12],
            crate::model::printable(&image.name, 120),
            image.architecture,
            ByteLen(image.size),
            image.layers.len(),
        );
    }
    let shared: Vec<u64> =
        layers.iter().filter(|(id, _)| users(app, id) > 1).map(|(_, size)| *size).collect();
    let all: u64 = layers.values().sum();
    let _ = writeln!(
        text,
        "layers: {}, {}; {} of them, {}, in several images",
        layers.len(),
        ByteLen(all),
        shared.len(),
        ByteLen(shared.iter().sum()),
    );
    text
}

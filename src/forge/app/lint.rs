//! What makes a bundle larger than it need be, its deltas larger than they could be, or its app harder to run than it
//! should be. Nothing of it is wrong.

use super::compose::Composed;
use super::images::is_latest;
use super::layer::{FactKind, LayerFact, PlainLayer};
use crate::bundle::RunWhen;
use crate::model::{ByteLen, printable};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is done about findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::forge) enum Lint {
    /// Tell them
    Warn,
    /// End the build
    Deny,
    /// Do not look
    Off,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LintFinding {
    /// Its name, for programs.
    pub(super) rule: &'static str,
    /// The image, service or file that it is about.
    pub(super) place: String,
    pub(super) text: String,
    /// Files, and their bytes; 0 where it is not about files.
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Rule, what is found, what to do.
type FileRule = (&'static str, fn(&str) -> bool, &'static str, &'static str);

const CACHES: [FileRule; 8] = [
    (
        "apt-cache",
        |p| {
            let lists = p.strip_prefix("var/lib/apt/lists/");
            p.starts_with("var/cache/apt/") || lists.is_some_and(|rest| rest.contains('_'))
        },
        "apt's lists and archives",
        "end the same RUN with `rm -rf /var/lib/apt/lists/* /var/cache/apt/*`",
    ),
    (
        "pip-cache",
        |p| p.contains(".cache/pip/"),
        "pip's cache",
        "install with `pip install --no-cache-dir`",
    ),
    (
        "npm-cache",
        |p| p.contains(".npm/_cacache/"),
        "npm's cache",
        "end the same RUN with `npm cache clean --force`",
    ),
    (
        "apk-cache",
        |p| p.starts_with("var/cache/apk/"),
        "apk's cache",
        "install with `apk add --no-cache`",
    ),
    (
        "dnf-cache",
        |p| p.starts_with("var/cache/dnf/") || p.starts_with("var/cache/yum/"),
        "dnf's cache",
        "end the same RUN with `dnf clean all`",
    ),
    (
        "cargo-cache",
        |p| p.contains(".cargo/registry/"),
        "cargo's registry",
        "build in a stage of its own, and copy the program out of it",
    ),
    (
        "ldconfig-cache",
        |p| p == "var/cache/ldconfig/aux-cache",
        "ldconfig's cache, which has times in it",
        "end the same RUN with `rm -f /var/cache/ldconfig/aux-cache`",
    ),
    (
        "logs",
        |p| p.ends_with(".log") && (p.starts_with("var/log/") || p.starts_with("tmp/")),
        "logs of the build",
        "end the same RUN with `rm -f` of them",
    ),
];

/// What one layer has on top of those below it. `place` names the image.
pub(super) fn layer(
    place: &str,
    layer: &PlainLayer,
    below: &BTreeMap<String, LayerFact>,
    findings: &mut Vec<LintFinding>,
) {
    let mut found: BTreeMap<&'static str, (u64, u64, &str, &str, &str)> = BTreeMap::new();
    for (path, fact) in &layer.entries {
        let FactKind::File { len, sha256, by_time } = &fact.kind else { continue };
        let mut add = |rule: &'static str, what: &'static str, next: &'static str| {
            let entry = found.entry(rule).or_insert((0, 0, path, what, next));
            entry.0 += 1;
            entry.1 += len;
        };
        if let Some((rule, _, what, next)) = CACHES.iter().find(|(_, is, ..)| is(path)) {
            add(rule, what, next);
        }
        if *by_time {
            add(
                "pyc-times",
                "compiled Python modules with the time of their source",
                "set `PYTHONDONTWRITEBYTECODE=1`, or compile with `--invalidation-mode unchecked-hash`",
            );
        }
        let same = below.get(path).is_some_and(|old| match &old.kind {
            FactKind::File { len: l, sha256: s, .. } => {
                l == len && s == sha256 && old.mtime != fact.mtime
            }
            _ => false,
        });
        if same && *len > 0 {
            add(
                "only-time",
                "files that a layer below has with another time only",
                "copy what has changed, or set times with SOURCE_DATE_EPOCH",
            );
        }
    }
    for (rule, (files, bytes, example, what, next)) in found {
        let (example, size) = (printable(example, 120), ByteLen(bytes));
        let text = format!("{what}: {files} of {size} in one layer, such as {example}: {next}");
        findings.push(LintFinding { rule, place: place.to_owned(), text, files, bytes });
    }
}

/// What the Compose file leaves open. `users` has the user that each service's image says.
pub(super) fn services(
    composed: &Composed,
    users: &BTreeMap<String, String>,
    findings: &mut Vec<LintFinding>,
) {
    let mut add = |rule, place: &str, text: String| {
        findings.push(LintFinding { rule, place: place.to_owned(), text, files: 0, bytes: 0 });
    };
    for text in &composed.warnings {
        add("compose", "compose", text.clone());
    }
    for (key, service) in &composed.document.services {
        let name = key.as_str();
        if let Some(wanted) = composed.wanted.get(key)
            && is_latest(&wanted.name)
        {
            let shown = printable(&wanted.name, 120);
            add("latest", name, format!("`{shown}` says no version: name the one that was tested"));
        }
        if service.run == RunWhen::Always && service.health.is_none() {
            let text = "no health check: a service that runs and does nothing counts as well";
            add("no-health", name, text.into());
        }
        if service.resources.most_memory.is_none() {
            let text = "no memory limit: where it leaks, the kernel chooses what ends";
            add("no-memory-limit", name, text.into());
        }
        let user = service.user.as_ref().or_else(|| users.get(name));
        let user = user.map_or("", String::as_str);
        let root = matches!(user.split(':').next(), None | Some("" | "0" | "root"));
        if root && !service.read_only {
            let text =
                "it runs as root with a root that can be written: say `user`, or `read_only: true`";
            add("root", name, text.into());
        }
    }
}

//! Names: which full artifact lies beside a delta, and which delta beside an artifact; and when the one stands
//! in for the other.

use super::installation::Installation;
use super::unfinished::Origin;
use crate::model::{Class, ReasonCode};
use crate::source::Source;
use std::path::{Path, PathBuf};

/// The full artifact of a delta.
#[derive(Debug, Clone)]
pub(super) struct Instead {
    /// Where it is.
    pub(super) origin: Origin,
    /// It is what was asked for or offered, and the delta only a shorter way to it.
    pub(super) sure: bool,
}

/// Whether another way may bring what a delta did not: what it is made from is not here, or it is damaged.
/// Where it is `sure` that the full artifact is meant too, whatever is wrong with the delta's file.
pub(super) fn may_fall_back(code: ReasonCode, sure: bool) -> bool {
    let damaged = matches!(
        code,
        ReasonCode::DeltaBase
            | ReasonCode::DeltaInvalid
            | ReasonCode::ChunkCorrupt
            | ReasonCode::Truncated
            | ReasonCode::TrailingBytes
    );
    let served = matches!(
        code,
        ReasonCode::HttpStatus
            | ReasonCode::HttpAnswer
            | ReasonCode::HttpRange
            | ReasonCode::HttpEncoding
            | ReasonCode::CaptivePortal
            | ReasonCode::SourceChanged
    );
    damaged || sure && (served || code.class() == Class::Reject)
}

/// What the full artifact beside a delta is called: `X.surefoot` beside `X.from-VERSION.delta.surefoot`.
fn full_name(delta: &str) -> Option<String> {
    let (stem, from) = delta.strip_suffix(".delta.surefoot")?.rsplit_once(".from-")?;
    let named = !from.contains('/') && !stem.is_empty() && !stem.ends_with('/');
    named.then(|| format!("{stem}.surefoot"))
}

/// Where the full artifact is that lies beside what is installed. A file is looked for; whether a server
/// has one is seen when it is asked. An offer names the full artifact itself.
pub(super) fn full_beside(source: &Source, ask: &Installation) -> Option<Instead> {
    let (origin, sure) = match (&ask.url, &ask.full) {
        (Some(_), Some(full)) => (Origin::Url(full.clone()), true),
        (Some(url), None) if ask.expected.is_none() => (Origin::Url(full_name(url)?), false),
        (Some(_), None) => return None,
        (None, _) => (Origin::File(full_file(&source.path()?)?), false),
    };
    Some(Instead { origin, sure })
}

fn full_file(delta: &Path) -> Option<PathBuf> {
    let full = delta.with_file_name(full_name(delta.file_name()?.to_str()?)?);
    full.is_file().then_some(full)
}

/// The name of a file on a server, without what a URL may hide.
pub(super) fn shown(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default()
}

/// `X.from-VERSION.delta.surefoot` beside `X.surefoot`.
pub(super) fn delta_name(url: &str, version: &str) -> Option<String> {
    let stem = url.strip_suffix(".surefoot")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_+~".contains(c);
    let named = !stem.ends_with(".delta") && !stem.ends_with('/') && !stem.contains(['?', '#']);
    let whole = named && !version.is_empty() && version.chars().all(plain);
    whole.then(|| format!("{stem}.from-{version}.delta.surefoot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_artifact_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let delta = at("x-2.0.from-1.0.from-9.delta.surefoot");
        assert_eq!(full_file(&delta), None, "it is not there");
        std::fs::write(at("x-2.0.from-1.0.surefoot"), "").unwrap();
        assert_eq!(full_file(&delta), Some(at("x-2.0.from-1.0.surefoot")));
        for other in ["x.surefoot", "x.delta.surefoot", "x.from-1.surefoot"] {
            assert_eq!(full_file(&at(other)), None, "{other}");
        }
    }

    #[test]
    fn and_on_a_server_by_its_url() {
        let full = |url: &str| full_name(url);
        let delta = "https://h.example/a/x-2.0.from-1.0.delta.surefoot";
        assert_eq!(full(delta).as_deref(), Some("https://h.example/a/x-2.0.surefoot"));
        let others = [
            "https://h.example/x.surefoot",
            "https://h.example/x.from-1.0.delta.surefoot?token=a",
            "https://h.example/a.from-1/x.delta.surefoot",
            "https://h.example/.from-1.delta.surefoot",
        ];
        for other in others {
            assert_eq!(full(other), None, "{other}");
        }
    }

    #[test]
    fn a_delta_lies_beside_its_artifact() {
        let full = "https://h.example/a/x-2.0.surefoot";
        let delta = "https://h.example/a/x-2.0.from-1.0+2.delta.surefoot";
        assert_eq!(delta_name(full, "1.0+2").as_deref(), Some(delta));
        for (url, version) in [
            (delta, "1.0"),
            ("https://h.example/x.surefoot?token=a.surefoot", "1.0"),
            ("https://h.example/x", "1.0"),
            ("https://h.example/.surefoot/", "1.0"),
            (full, ""),
            (full, "1/0"),
            (full, "1 0"),
        ] {
            assert_eq!(delta_name(url, version), None, "{url} {version}");
        }
        assert_eq!(shown("https://u:p@h.example/a/x.surefoot?token=a"), "x.surefoot");
    }
}

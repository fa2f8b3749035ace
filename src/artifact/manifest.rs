//! The manifest: what a release says about itself.

use super::{APP_UPDATER, spelling};
use crate::model::{
    Digest, Failure, Identifier, PART_ROOTFS, ReasonCode, Result, Version, WithReason, from_toml,
};
use serde::{Deserialize, Serialize};

/// What a release says about itself. The field order is the order in the file: TOML wants
/// values before tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always 1.
    pub format: u32,
    /// The product it is for.
    pub product: Identifier,
    /// The devices it may run on; one of them must be the device's own. Never empty.
    pub compatible: Vec<Identifier>,
    /// The version people read.
    pub version: Version,
    /// Orders releases: a higher one is newer.
    pub release_counter: u64,
    /// The anti-rollback floor: raised when an older release must never run again.
    pub security_epoch: u32,
    /// The app that it is a bundle of; none for a release of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Identifier>,
    /// What people should know about this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// What reading it takes.
    pub requires: Requires,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Provenance::is_empty")]
    pub provenance: Provenance,
    /// What old updaters may ignore; can never loosen a check.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub hints: toml::Table,
    /// The block of page hashes between table and payload, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Pages>,
    /// What it carries.
    pub payloads: Vec<Payload>,
}

/// What a manifest says of the block of page hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Its length in bytes: 32, and 16 for each page.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Pages {
    /// Of this block.
    pub(super) fn of(block: &[u8]) -> Pages {
        Pages { size: block.len() as u64, sha256: Digest::of(block) }
    }
}

/// What a device needs before it can read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// The oldest updater that understands this artifact, `MAJOR.MINOR.PATCH`.
    pub updater: String,
}

/// Where a release came from; all of it for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The revision of the sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_revision: Option<String>,
    /// The build's name in the build system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// Seconds since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<u64>,
    /// The average length of its chunks, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u32>,
    /// How far its chunks may refer back, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
}

impl Provenance {
    fn is_empty(&self) -> bool {
        *self == Provenance::default()
    }
}

/// What a payload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Identifier", into = "Identifier")]
pub enum PayloadKind {
    /// The image of a root filesystem: the part `rootfs` of the inactive slot.
    Rootfs,
    /// The image of another part of the inactive slot; `part` names it.
    Part,
    /// A whole bundle of an app, with its own signature, beside a system.
    Bundle,
    /// The document of an app: the first payload of a bundle.
    App,
    /// The configuration of a container image: its SHA-256 is the image's id.
    Image,
    /// A layer of a container image, uncompressed: its SHA-256 is the layer's diff id.
    Layer,
    /// The files of a native app, one behind the other, as its document lists them.
    Tree,
    /// A kind this updater does not know: skipped unless required.
    Unknown(Identifier),
}

impl From<Identifier> for PayloadKind {
    fn from(name: Identifier) -> PayloadKind {
        match name.as_str() {
            PART_ROOTFS => PayloadKind::Rootfs,
            "part" => PayloadKind::Part,
            "bundle" => PayloadKind::Bundle,
            "app" => PayloadKind::App,
            "image" => PayloadKind::Image,
            "layer" => PayloadKind::Layer,
            "tree" => PayloadKind::Tree,
            _ => PayloadKind::Unknown(name),
        }
    }
}

impl From<PayloadKind> for Identifier {
    fn from(kind: PayloadKind) -> Identifier {
        kind.name()
    }
}

impl PayloadKind {
    /// Whether a bundle of an app, or a system, carries it.
    fn belongs(&self, app: bool) -> bool {
        use PayloadKind::{App, Bundle, Image, Layer, Part, Rootfs, Tree, Unknown};
        match self {
            Rootfs | Part | Bundle => !app,
            App | Image | Layer | Tree => app,
            Unknown(_) => true,
        }
    }

    /// More bytes it never has; `None` where only the medium sets a limit.
    fn most_bytes(&self) -> Option<u64> {
        match self {
            PayloadKind::App => Some(256 * 1024),
            PayloadKind::Image => Some(1024 * 1024),
            _ => None,
        }
    }

    /// Its name in the manifest.
    pub fn name(&self) -> Identifier {
        let known = |name: &str| name.parse().expect("because it is in the alphabet");
        match self {
            PayloadKind::Rootfs => known(PART_ROOTFS),
            PayloadKind::Part => known("part"),
            PayloadKind::Bundle => known("bundle"),
            PayloadKind::App => known("app"),
            PayloadKind::Image => known("image"),
            PayloadKind::Layer => known("layer"),
            PayloadKind::Tree => known("tree"),
            PayloadKind::Unknown(name) => name.clone(),
        }
    }
}

/// One thing that a release carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// What it is.
    pub kind: PayloadKind,
    /// The part of the slot that it is for, where the kind is `part`; no other kind has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Identifier>,
    /// The hardware revisions it is for; empty means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<Identifier>,
    /// Whether a device it fits must understand it.
    pub required: bool,
    /// Bytes in place.
    pub size: u64,
    /// Bytes in the artifact.
    pub stored_size: u64,
    /// Its first chunk in the table.
    pub first_chunk: u32,
    /// The number of its chunks.
    pub chunks: u32,
    /// [`super::image_digest`] of its chunks.
    pub digest: Digest,
    /// SHA-256 of the whole image, for people and other tools; installing does not need it.
    pub sha256: Digest,
    /// The dm-verity root hash of the image, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity_root: Option<Digest>,
}

impl Payload {
    /// The part of a slot that it is for: `rootfs`, or what it names. `None` for what goes to no slot.
    pub fn part(&self) -> Option<Identifier> {
        match self.kind {
            PayloadKind::Rootfs => Some(self.kind.name()),
            PayloadKind::Part => self.part.clone(),
            _ => None,
        }
    }

    /// Whether it is for a device of this hardware revision. A device that does not know its
    /// revision takes only what is for every one.
    pub fn fits_hardware(&self, hardware: Option<&Identifier>) -> bool {
        self.hardware.is_empty() || hardware.is_some_and(|own| self.hardware.contains(own))
    }
}

impl Manifest {
    /// Reads a manifest as shipped. `format` and `requires.updater` are looked at before
    /// anything else, so that an old device says `UPDATER_TOO_OLD` and not "unknown field".
    pub(super) fn parse(bytes: &[u8]) -> Result<Manifest> {
        let code = ReasonCode::ManifestInvalid;
        let text = std::str::from_utf8(bytes).reason(code, "the manifest is not UTF-8")?;
        // The reader would skip a byte order mark: two spellings of one manifest.
        if text.starts_with('\u{feff}') {
            return Err(Failure::new(code, "the manifest begins with a byte order mark"));
        }
        let table: toml::Table = toml::from_str(text).reason(code, "manifest")?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(1) => {}
            Some(n) if n > 1 => {
                let detail = format!("manifest format {n}; this updater reads format 1");
                return Err(Failure::new(ReasonCode::UpdaterTooOld, detail));
            }
            _ => return Err(Failure::new(code, "the manifest has no valid `format`")),
        }
        new_enough(&table, APP_UPDATER)?;
        if let Some(what) = spelling::newer(text) {
            let detail = format!("the manifest has {what}, which TOML 1.0 does not have");
            return Err(Failure::new(code, detail));
        }
        let manifest: Manifest = from_toml(&table, &|_| ()).reason(code, "manifest")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The rules that need no chunk table.
    fn check(&self) -> Result<()> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::ManifestInvalid, why));
        if self.compatible.is_empty() {
            return invalid("`compatible` is empty: it would fit no device".into());
        }
        if self.payloads.is_empty() {
            return invalid("there is no payload".into());
        }
        for (n, payload) in self.payloads.iter().enumerate() {
            if payload.size == 0 {
                return invalid(format!("payload {n} is empty"));
            }
            if !payload.kind.belongs(self.app.is_some()) {
                let kind = payload.kind.name();
                let what = if self.app.is_some() { "a bundle of an app" } else { "a system" };
                return invalid(format!("payload {n} of kind `{kind}` is none of {what}"));
            }
            if (payload.kind == PayloadKind::App) != (self.app.is_some() && n == 0) {
                return invalid(
                    "the first payload of a bundle, and no other, is of kind `app`".into(),
                );
            }
            if let Some(most) = payload.kind.most_bytes().filter(|most| payload.size > *most) {
                let (kind, size) = (payload.kind.name(), payload.size);
                return invalid(format!(
                    "payload {n} of kind `{kind}` has {size} bytes; {most} at most"
                ));
            }
            if self.app.is_some() && !payload.hardware.is_empty() {
                return invalid(format!("payload {n} of a bundle is for some hardware only"));
            }
            match (&payload.kind, &payload.part) {
                (PayloadKind::Part, None) => {
                    return invalid(format!("payload {n} does not say which part it is"));
                }
                (PayloadKind::Part, Some(part)) if part.as_str() == PART_ROOTFS => {
                    let text = format!("payload {n}: the part `{part}` is of the kind `{part}`");
                    return invalid(text);
                }
                (PayloadKind::Part, Some(_)) | (_, None) => {}
                (kind, Some(_)) => {
                    let text = format!("payload {n} of kind `{}` names a part", kind.name());
                    return invalid(text);
                }
            }
            let Some(part) = payload.part() else { continue };
            for other in &self.payloads[..n] {
                let same_device = payload.hardware.is_empty()
                    || other.hardware.is_empty()
                    || payload.hardware.iter().any(|h| other.hardware.contains(h));
                if other.part().as_ref() == Some(&part) && same_device {
                    let text = format!("the part `{part}` twice for one hardware revision");
                    return invalid(text);
                }
            }
        }
        Ok(())
    }

    /// What a device of this hardware revision writes into a slot, in the manifest's order: payloads for
    /// other revisions and optional ones of unknown kinds are skipped.
    pub fn select(&self, hardware: Option<&Identifier>) -> Result<Vec<&Payload>> {
        let mut chosen = Vec::new();
        for payload in self.payloads.iter().filter(|p| p.fits_hardware(hardware)) {
            match &payload.kind {
                PayloadKind::Rootfs | PayloadKind::Part => chosen.push(payload),
                PayloadKind::Unknown(kind) if payload.required => {
                    let detail = format!("this updater cannot install a payload of kind `{kind}`");
                    return Err(Failure::new(ReasonCode::UpdaterTooOld, detail));
                }
                _ => {}
            }
        }
        if chosen.is_empty() {
            let own = hardware.map_or("of unknown revision".to_owned(), ToString::to_string);
            let detail = format!("no payload is for hardware {own}");
            return Err(Failure::new(ReasonCode::NoPayload, detail));
        }
        Ok(chosen)
    }
}

/// `UPDATER_TOO_OLD` unless this program is what `requires.updater` says, or `reads` is, which it reads
/// whatever its own version is.
pub(super) fn new_enough(table: &toml::Table, reads: &str) -> Result<()> {
    let requires = table.get("requires").and_then(|r| r.get("updater"));
    let Some(needed) = requires.and_then(toml::Value::as_str) else { return Ok(()) };
    let own = env!("CARGO_PKG_VERSION");
    if triple(needed)? > triple(finished(own))?.max(triple(reads)?) {
        let detail = format!("it needs updater {needed}; this is {own}");
        return Err(Failure::new(ReasonCode::UpdaterTooOld, detail));
    }
    Ok(())
}

/// The version that a program is on the way to: `0.3.0` of `0.3.0-rc.1`.
fn finished(version: &str) -> &str {
    version.split(['-', '+']).next().unwrap_or(version)
}

/// `MAJOR.MINOR.PATCH` as numbers that compare.
fn triple(text: &str) -> Result<[u32; 3]> {
    let mut parts = text.split('.').map(|part| {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if plain { part.parse::<u32>().ok() } else { None }
    });
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
            Ok([major, minor, patch])
        }
        _ => Err(Failure::new(
            ReasonCode::ManifestInvalid,
            format!("`{text}` is not MAJOR.MINOR.PATCH"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_finished_reads_what_the_finished_one_will() {
        for (version, numbers) in
            [("0.2.0", [0, 2, 0]), ("0.3.0-dev", [0, 3, 0]), ("1.0.2-rc.1+5", [1, 0, 2])]
        {
            assert_eq!(triple(finished(version)), Ok(numbers));
        }
        // In a manifest it stays an error.
        assert!(triple("0.3.0-dev").is_err());
    }
}

//! The document of a bundle, and its rules.

use super::{MAX_DOCUMENT_LEN, Service, ServiceName, is_default};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, WithReason, from_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a bundle says of itself. Its JSON is normalised: keys sorted, no blank, no default written; so that its
/// SHA-256 is that of its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppDocument {
    /// Always 1.
    pub format: u32,
    /// The app, as the manifest names it.
    pub app: ServiceName,
    /// What the bundle is made of.
    pub kind: AppKind,
    /// Containers: the services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, Service>,
    /// Containers: the images, by their id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<Digest, ImageEntry>,
    /// What outlives a release.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<ServiceName, Volume>,
    /// What the device must have in its folder of secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<ServiceName, Secret>,
    /// What can be set on the device, and what may be set: goes back with its generation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, ConfigValueRule>,
    /// Endpoints elsewhere that the app needs; the device says where they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<ServiceName, External>,
    /// What other bundles may require.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<Identifier>,
    /// What another bundle, the system or the hardware must provide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Identifier>,
    /// What must not be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Identifier>,
    /// What it has for itself alone: no other bundle may claim the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Identifier>,
    /// What the device's settings must grant by name: `[apps] permissions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Identifier>,
    /// Native: files and units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeApp>,
    /// Command: the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandApp>,
    /// A link to the app's own page, for people: `http://{host}:8080/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<String>,
    /// Bytes of the device's disk that must be free beside the images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disk: u64,
    /// Milliseconds in which every service must have come as far as it should.
    pub deadline: u64,
    /// Milliseconds for which all must stay well after that.
    pub soak: u64,
    /// So often a service may be started again in a trial.
    pub max_restarts: u32,
    /// So many generations before the current one are kept.
    pub keep: u32,
}

/// What a bundle is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppKind {
    /// Containers in an engine.
    Containers,
    /// Files and systemd units.
    Native,
    /// Whatever a program of the image makes of it.
    Command,
}

/// An image that a bundle brings or relies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEntry {
    /// For people: the name that the Compose file had.
    pub name: String,
    /// Go's word: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// Go's word: `v7`, `v8`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Its layers from the lowest: SHA-256 of the uncompressed tar archive, which the engine calls diff id.
    pub layers: Vec<Digest>,
    /// Bytes of its layers, uncompressed.
    pub size: u64,
}

/// A folder of the app that outlives its releases.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Who owns it when it is made: `UID:GID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<[u32; 2]>,
    /// The layout of the data that this release writes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schema: u32,
    /// The oldest layout whose programs can read what this release writes; where the release before is older than
    /// this, the volume is copied before the switch and put back at a rollback.
    #[serde(default, skip_serializing_if = "is_default")]
    pub readable_by: u32,
    /// At most so many bytes, where the device can hold it to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A secret of the device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The app starts without it, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
}

/// What a value of the configuration may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigValueRule {
    /// `string`, `integer` or `boolean`.
    #[serde(rename = "type")]
    pub of: String,
    /// Where nothing is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// Not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// Not more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// An endpoint elsewhere. Its address comes from `[apps.external]` of the device, as a variable of the services that
/// name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The variable that tells the services where it is.
    pub variable: String,
    /// The app starts without it, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
}

/// Files and systemd units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeApp {
    /// The files, in the order in which they stand, one behind the other, in the payload `tree`.
    pub files: Vec<NativeFile>,
    /// Paths of units in the tree, in the order in which they are started.
    pub units: Vec<String>,
}

/// A file of a native app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeFile {
    /// Relative, no `..`, no empty part.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// It can be run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub executable: bool,
    /// SHA-256.
    pub sha256: Digest,
}

/// What a program of the image does with five verbs: prepare, start, check, stop, remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandApp {
    /// The name of the program, which the device's settings map to a path: `[apps.commands]`.
    pub program: Identifier,
    /// The files that it is given, as for a native app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<NativeFile>,
    /// Milliseconds for each verb.
    pub timeout: u64,
}

/// Reads a document and holds it to its rules: `APP_INVALID`, and for what has a code of its own that one.
pub fn parse_document(bytes: &[u8]) -> Result<AppDocument> {
    let code = ReasonCode::AppInvalid;
    if bytes.len() as u64 > MAX_DOCUMENT_LEN {
        let text = format!("the document has {} bytes; {MAX_DOCUMENT_LEN} at most", bytes.len());
        return Err(Failure::new(code, text));
    }
    let document: AppDocument = from_json(bytes).reason(code, "the document of the app")?;
    document.check()?;
    Ok(document)
}

impl AppDocument {
    /// The document as it is shipped: the keys in order, no blank, no default written. Two documents of one meaning
    /// have the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }
}

impl Service {
    /// All that is said of it, in the one spelling that its meaning has: what a hash is made of.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }
}

/// A value's map has its keys in order, whatever the order in which a type writes them.
fn canonical(what: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(what);
    let bytes = value.and_then(|value| serde_json::to_vec(&value));
    bytes.expect("because every key of a document is text, and none of its numbers has a fraction")
}

//! What goes to an engine and what comes back, as plain values.

use crate::model::{Digest, Result};
use std::collections::BTreeMap;
use std::io::Read;

/// Which engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// dockerd, and what is made of it.
    Docker,
    /// Podman's service.
    Podman,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Which.
    pub kind: EngineKind,
    /// Its version, for people.
    pub version: String,
    /// Go's word for what it runs: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// `v6`, `v7`, `v8`; empty where the engine does not say.
    pub variant: String,
    /// The folder of its store.
    pub store: std::path::PathBuf,
    /// Processors.
    pub processors: u32,
    /// Bytes of memory.
    pub memory: u64,
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// SHA-256 of its configuration.
    pub id: Digest,
    /// Diff ids from the lowest.
    pub layers: Vec<Digest>,
    /// Its architecture.
    pub architecture: String,
    /// Its variant.
    pub variant: String,
    /// Folders with the contents of its layers, the lowest first, where the engine gives them: for deltas.
    pub folders: Vec<std::path::PathBuf>,
    /// Its names and tags that are ours. Without one it belongs to another program.
    pub tags: Vec<String>,
}

/// An image to be brought in.
pub struct ImageToLoad<'a> {
    /// SHA-256 of `config`.
    pub id: Digest,
    /// The configuration, byte for byte.
    pub config: &'a [u8],
    /// Diff ids from the lowest, with the length of each uncompressed archive.
    pub layers: &'a [(Digest, u64)],
    /// The name and tag under which the engine keeps it, so that nothing takes it for garbage.
    pub tag: String,
}

/// Gives the bytes of layers. Each is read from its beginning to its end; it may be asked for once more where the
/// engine did not take it.
pub trait LayerSource {
    /// The uncompressed archive of one layer; whoever reads it hashes it.
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>>;
}

/// The bytes of a layer.
pub type LayerBytes<'a> = Box<dyn Read + 'a>;

/// A container as it is to be made. [`crate::engine::labels::SPEC`] is the SHA-256 of all of it but the name and
/// the release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// SHA-256 of the image's configuration.
    pub image: String,
    /// In place of the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's command.
    pub command: Option<Vec<String>>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `UID[:GID]` or a name.
    pub user: Option<String>,
    /// Where it starts.
    pub working_dir: Option<String>,
    /// `SOURCE:TARGET[:ro]` by absolute paths.
    pub binds: Vec<String>,
    /// Target and options.
    pub tmpfs: BTreeMap<String, String>,
    /// Source, target, rights.
    pub devices: Vec<[String; 3]>,
    /// Capabilities that it gains.
    pub cap_add: Vec<String>,
    /// Capabilities that it loses.
    pub cap_drop: Vec<String>,
    /// `no-new-privileges` and others.
    pub security: Vec<String>,
    /// All rights of the device's root.
    pub privileged: bool,
    /// Its root cannot be written.
    pub read_only: bool,
    /// A first process that reaps children.
    pub init: bool,
    /// Kernel settings.
    pub sysctls: BTreeMap<String, String>,
    /// Name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Processes.
    pub processes: Option<u64>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// `host`, `none`, or the app whose network it is in.
    pub network: String,
    /// Names in that network.
    pub aliases: Vec<String>,
    /// Address, port of the device, port of the container, protocol.
    pub ports: Vec<(String, u16, u16, &'static str)>,
    /// `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// The signal that ends it.
    pub stop_signal: Option<String>,
    /// Bytes that its log may have.
    pub log_size: u64,
}

/// A container that carries our labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// SHA-256 of its image's configuration.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it runs.
    pub state: ContainerState,
}

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// Its exit status.
        status: i64,
        /// The kernel ended it as there was no memory.
        out_of_memory: bool,
    },
}

/// What a program in a container came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its exit status; `None` where its time was over.
    pub status: Option<i64>,
    /// The beginning of what it printed, for people.
    pub output: String,
}

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logs {
    /// So many last lines; all where none is said.
    pub last: Option<u32>,
    /// Go on for as long as the container runs.
    pub follow: bool,
}

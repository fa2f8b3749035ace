//! A container engine as this project needs one: the Docker Engine API over a Unix socket, which Podman, Docker
//! and balenaEngine speak. This room carries out single steps and says what is there; it never decides, never
//! keeps a state of its own, and believes nothing that an engine says about bytes that it can hash itself.
//!
//! The engine's store is a cache: what is wanted is in the journal and the signed documents. No container has a
//! restart policy, so that nothing starts but what this program starts.

mod answers;
mod api;
mod archive;
mod create;
#[cfg(any(test, feature = "sim"))]
pub mod fake;
mod frames;
mod images;
#[cfg(test)]
mod liars;
mod saved;
mod socket;
mod types;

pub use socket::EngineSocket;
pub use types::{
    Container, ContainerSpec, ContainerState, EngineInfo, EngineKind, Execution, ImageToLoad,
    LayerBytes, LayerSource, Logs, StoredImage,
};

use crate::model::{Digest, Result};
use std::time::Duration;

/// The labels of everything that this program makes in an engine.
pub mod labels {
    /// The app.
    pub const APP: &str = "io.surefoot.app";
    /// The release: SHA-256 of its manifest.
    pub const RELEASE: &str = "io.surefoot.release";
    /// The service.
    pub const SERVICE: &str = "io.surefoot.service";
    /// SHA-256 of the container's whole specification: the same specification is the same container.
    pub const SPEC: &str = "io.surefoot.spec";
    /// The number of the replica, from 1.
    pub const REPLICA: &str = "io.surefoot.replica";
    /// Set where a development key made it: goes at `unhold`.
    pub const DEVELOPMENT: &str = "io.surefoot.development";
}

/// With what every name and tag of ours begins. Only images that carry one are ever taken away.
pub const TAG_PREFIX: &str = "surefoot.local/";

/// What is asked of an engine. Each call ends in its time; each may be repeated. `ENGINE_MISSING` where nothing
/// answers, `ENGINE_FAILED` where it says no, `ENGINE_ANSWER` where its answer breaks the protocol or a promise.
pub trait Engine: Send + Sync {
    /// Which engine it is, and what it runs on.
    fn info(&self) -> Result<EngineInfo>;
    /// All images, with their layers.
    fn images(&self) -> Result<Vec<StoredImage>>;
    /// Brings an image in. Layers that are in the store already in the same place are not asked for. The image
    /// that then is there has been compared: id, layers, architecture. Not durable before [`Engine::sync`]. One that
    /// is there already is not repaired by this: what [`Engine::scrub`] finds damaged is removed first, with every
    /// image that has the layer.
    fn load(&self, image: &ImageToLoad<'_>, layers: &mut dyn LayerSource) -> Result<()>;
    /// Reads every byte of an image out of the store and compares each layer with its diff id: `LAYER_DAMAGED`.
    fn scrub(&self, image: &Digest) -> Result<()>;
    /// Takes our names of an image away; without another name, the image goes, and what of its layers no other has.
    /// Nothing happens where it is not there; `ENGINE_FAILED` where a container still has it.
    fn remove_image(&self, image: &Digest) -> Result<()>;
    /// Makes everything durable that the engine's store was given.
    fn sync(&self) -> Result<()>;
    /// All containers that carry [`labels::APP`], running or not.
    fn containers(&self) -> Result<Vec<Container>>;
    /// Makes a container, not started. Nothing happens where one with this name and the same [`labels::SPEC`]
    /// stands; one with another is replaced where it does not run.
    fn create(&self, spec: &ContainerSpec) -> Result<()>;
    /// Starts a container.
    fn start(&self, name: &str) -> Result<()>;
    /// Ends a container: its stop signal, after `grace` SIGKILL. Returns when it has ended; nothing happens where it
    /// is not there or does not run.
    fn stop(&self, name: &str, grace: Duration) -> Result<()>;
    /// Removes a container that does not run. Nothing happens where it is not there.
    fn remove(&self, name: &str) -> Result<()>;
    /// Runs a program in a running container. What is not done in its time is ended where that can be done.
    fn exec(&self, name: &str, command: &[String], timeout: Duration) -> Result<Execution>;
    /// What a container has printed, each line with its line feed. `false` ends it. One who follows is now and then
    /// given an empty one, and so can say that he no longer listens.
    fn logs(&self, name: &str, want: &Logs, line: &mut dyn FnMut(&[u8]) -> bool) -> Result<()>;
    /// Makes the network of an app, in which services find each other by name.
    fn make_network(&self, app: &str) -> Result<()>;
    /// Removes it.
    fn remove_network(&self, app: &str) -> Result<()>;
}

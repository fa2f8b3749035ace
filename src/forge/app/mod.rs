//! Bundles of apps: a Compose file and the archives of its images become one artifact.

mod archive;
mod build;
mod compose;
mod fields;
mod health;
mod images;
mod layer;
mod lint;
mod mounts;
mod ports;
mod service;
mod tree;
mod yaml;

pub(super) mod joint;
mod push;
mod run;

#[cfg(any(test, fuzzing))]
pub(super) use compose::parse as parse_compose;
pub(super) use lint::Lint;
pub(super) use push::{Apps, apps};
pub(super) use run::{lines_of, run, summary_of};

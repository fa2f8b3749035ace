//! What an engine answers, as far as it is used. Go writes `null` for an empty list.

use super::types::ContainerState;
use crate::model::Digest;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// `GET /version`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionAnswer {
    pub(super) version: String,
    pub(super) arch: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Component {
    pub(super) name: String,
}

/// `GET /info`.
#[derive(Deserialize)]
pub(super) struct InfoAnswer {
    #[serde(rename = "DockerRootDir")]
    pub(super) store: String,
    #[serde(rename = "NCPU", default)]
    pub(super) processors: u32,
    #[serde(rename = "MemTotal", default)]
    pub(super) memory: u64,
}

/// One of `GET /images/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageListed {
    pub(super) id: String,
}

/// `GET /images/NAME/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageInspected {
    pub(super) id: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) repo_tags: Vec<String>,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) variant: String,
    #[serde(rename = "RootFS")]
    pub(super) root: RootAnswer,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) graph_driver: GraphDriver,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RootAnswer {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) layers: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GraphDriver {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) data: BTreeMap<String, String>,
}

/// One of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerListed {
    pub(super) id: String,
}

/// `GET /containers/NAME/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerInspected {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) state: StateAnswer,
    pub(super) config: ConfigAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateAnswer {
    pub(super) status: String,
    #[serde(default)]
    pub(super) exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    pub(super) out_of_memory: bool,
}

impl StateAnswer {
    pub(super) fn state(&self) -> ContainerState {
        match self.status.as_str() {
            "created" | "configured" | "initialized" => ContainerState::Created,
            // One that is paused still holds its ports and volumes.
            "running" | "paused" | "restarting" | "stopping" | "removing" => {
                ContainerState::Running
            }
            _ => {
                ContainerState::Ended { status: self.exit_code, out_of_memory: self.out_of_memory }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigAnswer {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) labels: BTreeMap<String, String>,
}

/// One of `GET /networks`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkListed {
    pub(super) name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `POST /containers/NAME/exec`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExecCreated {
    pub(super) id: String,
}

/// `GET /exec/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExecInspected {
    #[serde(default)]
    pub(super) running: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) exit_code: Option<i64>,
    #[serde(default)]
    pub(super) pid: u32,
}

/// An answer of which nothing is used.
#[derive(Deserialize)]
pub(super) struct Anything {}

/// The configuration of an image, as far as it must agree with the rest.
#[derive(Deserialize)]
pub(super) struct ImageConfig {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) variant: String,
    pub(super) rootfs: RootConfig,
}

#[derive(Deserialize)]
pub(super) struct RootConfig {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) diff_ids: Vec<String>,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// `sha256:` and 64 digits, or the digits alone, as engines write them.
pub(super) fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().ok()
}

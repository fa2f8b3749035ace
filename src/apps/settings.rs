//! `[apps]`: where apps live on this device, and what they may have of it. Nothing is granted by itself.

use crate::bundle::ServiceName;
use crate::model::{Identifier, StateFile, printable, size};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Keys of a table of values, and of the table of programs.
const MAX_VALUES: usize = 256;
const MAX_COMMANDS: usize = 64;
/// Bytes of a value.
const MAX_VALUE_LEN: usize = 4096;

/// `[apps]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// The socket of the container engine. Without it bundles of containers are refused.
    pub engine: Option<PathBuf>,
    /// The folder for data of apps: volumes, and the trees of native apps. Outlives updates.
    pub data: Option<PathBuf>,
    /// The folder with a file for each secret.
    pub secrets: Option<PathBuf>,
    /// The folder whose bundles are installed at the first start without a network.
    pub preload: Option<PathBuf>,
    /// Whether whole bundles are kept, so that a lost or damaged store is filled again without a network.
    pub keep_files: bool,
    /// The form in which this system's engine keeps its store; another number is another store.
    pub store_epoch: u32,
    /// Files, folders and sockets of the device that may be mounted in a service; what lies below a folder, too.
    pub binds: Vec<PathBuf>,
    /// Device nodes that a service may have.
    pub devices: Vec<PathBuf>,
    /// Capabilities that a service may have beyond the engine's own.
    pub capabilities: Vec<String>,
    /// Whether a service may have the device's own network.
    pub host_network: bool,
    /// Whether a service may have all rights of root.
    pub privileged: bool,
    /// What bundles are granted that they ask for by name.
    pub permissions: Vec<Identifier>,
    /// What the system and its hardware provide to bundles, by name.
    pub provides: Vec<Identifier>,
    /// What of the memory is not for apps.
    #[serde(deserialize_with = "size")]
    pub reserved_memory: u64,
    /// Variables of services whose value is this device's.
    pub variables: BTreeMap<String, String>,
    /// Addresses of endpoints elsewhere, by name.
    pub external: BTreeMap<String, String>,
    /// Programs of apps of the kind `command`, by name: a full path.
    pub commands: BTreeMap<String, PathBuf>,
}

impl AppSettings {
    /// The same with full paths: relative ones begin at `folder`, and what is not said lies beside `state`.
    #[must_use]
    pub fn at(self, folder: &Path, state: &Path) -> AppSettings {
        let of =
            |path: Option<PathBuf>, usual: PathBuf| Some(path.map_or(usual, |p| folder.join(p)));
        // The folder that the data partition is mounted at, where the state folder is one of its folders.
        let beside = state.parent().unwrap_or(state);
        AppSettings {
            engine: self.engine.map(|p| folder.join(p)),
            data: of(self.data, beside.join("apps")),
            secrets: of(self.secrets, state.join("secrets")),
            preload: of(self.preload, beside.join("preload")),
            commands: self.commands.into_iter().map(|(name, p)| (name, folder.join(p))).collect(),
            ..self
        }
    }

    /// What cannot be meant, each as one sentence.
    pub fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut refuse = |key: &str, value: &str, rule: &str| {
            wrong.push(format!("`apps.{key}`: `{}` {rule}", printable(value, 80)));
        };
        let paths = self.binds.iter().map(|path| ("binds", path));
        let nodes = self.devices.iter().map(|path| ("devices", path));
        for (key, path) in paths.chain(nodes).filter(|(_, path)| !is_plain(path)) {
            refuse(key, &path.display().to_string(), "is no full path without `..` and `:`");
        }
        for node in self.devices.iter().filter(|node| !node.starts_with("/dev")) {
            refuse("devices", &node.display().to_string(), "is not below /dev");
        }
        for name in self.capabilities.iter().filter(|name| !is_capability(name)) {
            refuse("capabilities", name, "is no capability; write it as `NET_ADMIN`");
        }
        for (key, value) in &self.variables {
            if !is_variable(key) || !is_one_line(value) {
                let rule = "is a name of letters, digits and `_`, and its value one line of at most 4096 bytes";
                refuse("variables", key, rule);
            }
        }
        for (key, value) in &self.external {
            if key.parse::<ServiceName>().is_err() || !is_one_line(value) {
                let rule = "is a name of lower-case letters, digits and `-`, and its value one line of at most 4096 bytes";
                refuse("external", key, rule);
            }
        }
        for (key, path) in &self.commands {
            if key.parse::<Identifier>().is_err() || path.as_os_str().is_empty() {
                refuse("commands", key, "is a name, and its value a full path");
            }
        }
        let tables = [
            ("variables", self.variables.len(), MAX_VALUES),
            ("external", self.external.len(), MAX_VALUES),
            ("commands", self.commands.len(), MAX_COMMANDS),
        ];
        for (key, _, most) in tables.into_iter().filter(|(_, found, most)| found > most) {
            wrong.push(format!("`apps.{key}` has at most {most} keys"));
        }
        wrong
    }

    /// Where heads, documents and configurations of bundles are kept.
    pub fn bundles(state: &Path) -> PathBuf {
        StateFile::BUNDLES.within(state)
    }
}

/// Absolute, without `..`, and without what ends a path in the words of an engine.
fn is_plain(path: &Path) -> bool {
    let plain = |c: Component<'_>| match c {
        Component::RootDir => true,
        Component::Normal(name) => {
            name.to_str().is_some_and(|n| !n.contains(':') && !n.chars().any(char::is_control))
        }
        _ => false,
    };
    path.is_absolute() && path.components().all(plain)
}

fn is_capability(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    !name.is_empty() && name.len() <= 40 && !name.starts_with("CAP_") && name.bytes().all(plain)
}

fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let digit = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    !digit && name.len() <= 128 && name.bytes().all(plain)
}

fn is_one_line(value: &str) -> bool {
    value.len() <= MAX_VALUE_LEN && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AppSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_an_app_may_have_is_said_in_full_paths_and_plain_names() {
        let good = "engine = \"/run/e.sock\"\nbinds = [\"/dev/dri\", \"/run/dbus/s\"]\ndevices = [\"/dev/ttyS0\"]\n\
            capabilities = [\"NET_ADMIN\"]\nreserved_memory = \"64MiB\"\n\
            [variables]\nSITE_1 = \"north\"\n[external]\nmqtt = \"h:1\"\n[commands]\nmcu = \"/usr/bin/mcu\"\n";
        let found = read(good);
        assert_eq!(found.mistakes(), Vec::<String>::new());
        assert_eq!(found.reserved_memory, 64 << 20);
        for (key, text) in [
            ("binds", "binds = [\"etc\"]"),
            ("binds", "binds = [\"/a/../etc\"]"),
            ("binds", "binds = [\"/a:/etc\"]"),
            ("devices", "devices = [\"/etc/passwd\"]"),
            ("capabilities", "capabilities = [\"CAP_NET_ADMIN\"]"),
            ("capabilities", "capabilities = [\"net_admin\"]"),
            ("variables", "[variables]\n\"A B\" = \"x\""),
            ("variables", "[variables]\n\"1A\" = \"x\""),
            ("variables", "[variables]\nA = \"x\\ny\""),
            ("external", "[external]\nMQTT = \"x\""),
            ("commands", "[commands]\nmcu = \"\""),
        ] {
            let wrong = read(text).mistakes();
            assert!(
                wrong.iter().any(|w| w.starts_with(&format!("`apps.{key}`"))),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn paths_begin_at_the_folder_and_what_is_not_said_lies_in_the_state_folder() {
        let found = read("engine = \"e.sock\"\n[commands]\nmcu = \"mcu.sh\"\n")
            .at(Path::new("/bench"), Path::new("/data/state"));
        assert_eq!(found.engine.as_deref(), Some(Path::new("/bench/e.sock")));
        assert_eq!(found.data.as_deref(), Some(Path::new("/data/apps")));
        assert_eq!(found.commands["mcu"], Path::new("/bench/mcu.sh"));
    }
}

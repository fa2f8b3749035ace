//! Which revision of the hardware this is. The answer never comes from a slot: an image must not
//! say what board it runs on.

use crate::model::{Failure, Identifier, ReasonCode, Result};
use crate::sys::files;
use crate::sys::process::{Ending, Invocation, run};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the revision is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareSource {
    /// It is the same for all devices with this configuration.
    Fixed(Identifier),
    /// The first line of a file.
    File(PathBuf),
    /// A property under `/proc/device-tree`, like `board-rev`.
    DeviceTree(String),
    /// A variable of the bootloader environment.
    Env(String),
    /// The first line that a program prints.
    Command(Vec<String>),
}

/// The revision, with `variable` looking up the bootloader environment. `HARDWARE_UNKNOWN` if it
/// cannot be read or is not a name: an unknown board takes no update.
pub fn revision(
    source: &HardwareSource,
    folder: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Identifier> {
    let unknown = |what: String| Failure::new(ReasonCode::HardwareUnknown, what);
    let from_file = |path: &Path| {
        let read = files::read_foreign(path, 4096)
            .map_err(|e| unknown(format!("{}: {e}", path.display())));
        read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = match source {
        HardwareSource::Fixed(revision) => return Ok(revision.clone()),
        HardwareSource::File(path) => from_file(&folder.join(path))?,
        HardwareSource::DeviceTree(property) => {
            from_file(&Path::new("/proc/device-tree").join(property))?
        }
        HardwareSource::Env(name) => variable(name)
            .ok_or_else(|| unknown(format!("no variable `{name}` in the environment")))?,
        HardwareSource::Command(command) => {
            let deadline = Duration::from_secs(10);
            let call =
                Invocation { command, folder, environment: &[], input: b"", deadline, keep: 1024 };
            let done = run(&call).map_err(|e| unknown(format!("{command:?}: {e}")))?;
            if done.ending != Ending::Exit(0) {
                return Err(unknown(format!("{command:?} ended with {:?}", done.ending)));
            }
            String::from_utf8_lossy(&done.stdout).into_owned()
        }
    };
    // Device-tree strings end with NUL.
    let line = text.lines().next().unwrap_or("").trim_end_matches('\0').trim();
    line.parse().map_err(|e: String| unknown(format!("hardware revision: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: HardwareSource, dir: &Path) -> Result<String> {
        let variable = |name: &str| (name == "board_rev").then(|| "rev3".to_owned());
        revision(&source, dir, variable).map(String::from)
    }

    #[test]
    fn each_source_is_read_and_a_bad_one_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("rev"), b"rev2\0\n").unwrap();
        let command = vec!["/bin/echo".to_owned(), "rev4".to_owned()];
        assert_eq!(read(HardwareSource::File("rev".into()), dir.path()).unwrap(), "rev2");
        assert_eq!(read(HardwareSource::Env("board_rev".into()), dir.path()).unwrap(), "rev3");
        assert_eq!(read(HardwareSource::Command(command), dir.path()).unwrap(), "rev4");
        std::fs::write(dir.path().join("bad"), b"two words\n").unwrap();
        for bad in [
            HardwareSource::File("bad".into()),
            HardwareSource::File("missing".into()),
            HardwareSource::Env("other".into()),
            HardwareSource::Command(vec!["/bin/false".into()]),
        ] {
            assert_eq!(read(bad, dir.path()).unwrap_err().code(), ReasonCode::HardwareUnknown);
        }
    }
}

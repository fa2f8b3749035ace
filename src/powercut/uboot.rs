//! U-Boot's own sandbox build as the boot ROM (tests/vm/setup makes one).

use super::broken;
use super::rom::{Booted, Rom};
use crate::model::{Result, SlotId};
use crate::sys::process::{Ending, Invocation, run};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a boot may take that ends at the prompt.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status of a run whose power was cut.
const CUT: Ending = Ending::Exit(99);

/// The folder of a sandbox build: `u-boot` and `bench.dtb`.
#[derive(Debug, Clone)]
pub struct UbootSandbox {
    folder: PathBuf,
}

impl UbootSandbox {
    /// The build in `folder`.
    pub fn open(folder: &Path) -> Result<UbootSandbox> {
        let folder = folder.canonicalize().map_err(|e| broken(folder.display(), e))?;
        for name in ["u-boot", "bench.dtb"] {
            if !folder.join(name).is_file() {
                return Err(broken(folder.display(), format!("there is no {name} in it")));
            }
        }
        Ok(UbootSandbox { folder })
    }

    fn run(
        &self,
        folder: &Path,
        cut: Option<(u64, u64)>,
        words: &[&str],
    ) -> Result<(Ending, String)> {
        let mut command = vec!["/usr/bin/env".to_owned()];
        if let Some((sectors, bytes)) = cut {
            command.extend([format!("UB_CUT={sectors}"), format!("UB_TORN={bytes}")]);
        }
        let file = |name: &str| self.folder.join(name).display().to_string();
        command.extend([file("u-boot"), "-d".into(), file("bench.dtb")]);
        command.extend(words.iter().map(|w| (*w).to_owned()));
        let call = Invocation {
            command: &command,
            folder,
            environment: &[],
            input: b"",
            deadline: PATIENCE,
            keep: 64 << 10,
        };
        let done = run(&call).map_err(|e| broken("U-Boot's sandbox", e))?;
        Ok((done.ending, String::from_utf8_lossy(&done.stdout).into_owned()))
    }
}

impl Rom for UbootSandbox {
    fn name(&self) -> String {
        "U-Boot's sandbox build".to_owned()
    }

    fn boot(&self, folder: &Path) -> Result<Booted> {
        let (_, said) = self.run(folder, None, &[])?;
        let started = said.lines().find(|l| l.starts_with("SUREFOOT-BOOT "));
        let word = |line: &str| {
            let found = line.split_whitespace().find_map(|w| w.strip_prefix("surefoot.slot="));
            found.and_then(|slot| slot.parse::<SlotId>().ok())
        };
        Ok(Booted { slot: started.and_then(word) })
    }

    fn loads(&self, folder: &Path, partition: u32, kernel: &str) -> Option<Result<bool>> {
        // Runs in place of the boot; nothing is counted.
        let load = format!("load mmc 0:{partition:x} ${{kernel_addr_r}} {kernel}");
        let script = format!("if {load}; then echo SUREFOOT-LOADS; fi; poweroff");
        let run = self.run(folder, None, &["-c", &script]);
        Some(run.map(|(_, said)| said.lines().any(|l| l.trim() == "SUREFOOT-LOADS")))
    }

    fn can_be_cut(&self) -> bool {
        true
    }

    fn boot_cut(&self, folder: &Path, sectors: u64, bytes: u64) -> Option<Result<bool>> {
        Some(self.run(folder, Some((sectors, bytes)), &[]).map(|(ending, _)| ending == CUT))
    }
}

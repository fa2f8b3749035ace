//! The environment that U-Boot finds on a new disk.

use super::image::Counter;
use crate::boot::uboot::{Env, FwEnvConfig};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Where things are loaded to: a stored environment replaces the compiled-in one, so they must be in it.
const ADDRESSES: [&str; 4] = ["kernel_addr_r", "ramdisk_addr_r", "fdt_addr_r", "scriptaddr"];

/// What goes into it; later ones win.
#[derive(Debug, Clone, Copy)]
pub struct Factory<'a> {
    /// The text of the board's `u-boot-initial-env`.
    pub board: &'a str,
    /// Who counts the boots of a trial.
    pub counter: Counter,
    /// Variables for this board.
    pub set: &'a [(String, String)],
    /// The disk has an MBR: partitions have numbers and no names.
    pub by_number: bool,
}

/// An environment that boots slot a.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(Env);

impl Factory<'_> {
    /// `ENV_CONFIG` where the board's text is none, or does not say where to load to: the message names
    /// the line or the variables.
    pub fn environment(&self) -> Result<Environment> {
        let mut env = Env::from_text(self.board)?;
        let factory = self.counter.factory_environment().lines();
        for (name, value) in factory.filter_map(|line| line.split_once('=')) {
            env.set(name, value)?;
        }
        if self.by_number {
            // Hexadecimal, as U-Boot counts partitions.
            env.set("surefoot_part_boot", "1")?;
            env.set("surefoot_part_a", "2")?;
            env.set("surefoot_part_b", "3")?;
        }
        for (name, value) in self.set {
            env.set(name, value).map_err(|f| Failure::new(ReasonCode::EnvConfig, f.detail()))?;
        }
        let missing: Vec<_> =
            ADDRESSES.into_iter().filter(|name| env.get(name).is_none()).collect();
        match missing.is_empty() {
            true => Ok(Environment(env)),
            false => {
                let text = format!("these variables are missing: {}", missing.join(", "));
                Err(Failure::new(ReasonCode::EnvConfig, text))
            }
        }
    }
}

/// `ENV_CONFIG` for a name or a value that an environment cannot have.
pub fn check_variable(name: &str, value: &str) -> Result<()> {
    let set = Env::default().set(name, value);
    set.map_err(|f| Failure::new(ReasonCode::EnvConfig, f.detail()))
}

/// Why the boot script could not use this value of a variable of its own. U-Boot's shell splits what stands outside of quotes, and
/// takes a single quote and a backslash for its own within them too: tried in both shells of U-Boot, one of which does not
/// start at all after an odd one.
pub fn check_for_script(name: &str, value: &str) -> std::result::Result<(), String> {
    let refused =
        |bad: char, what: &str| Err(format!("`{name}` has the sign {bad:?} in it, {what}"));
    match name {
        "surefoot_args" => match value.chars().find(|c| *c == '\'' || *c == '\\') {
            Some(bad) => refused(
                bad,
                "which U-Boot's shell takes away, or does not start for: write words with blanks in double quotes",
            ),
            None => Ok(()),
        },
        "surefoot_kernel" | "surefoot_initrd" | "surefoot_fdt" | "surefoot_panic"
        | "surefoot_wdt" | "surefoot_wdt_dev" | "surefoot_part_boot" | "surefoot_part_a"
        | "surefoot_part_b" | "devtype" | "devnum" => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
            match value.chars().find(|c| !plain(*c)) {
                Some(bad) => refused(
                    bad,
                    "and is one word for U-Boot's shell: letters, digits and `/._-+@:,`",
                ),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.into_owned())
    }

    /// Every variable and its value.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.0.iter()
    }

    /// Its copies as they are stored, `len` bytes each: one, or two of which the first is the newer.
    /// `ENV_FULL` where it does not fit.
    pub fn copies(&self, len: u64, count: usize) -> Result<Vec<Vec<u8>>> {
        let len = usize::try_from(len).reason(ReasonCode::EnvFull, "environment")?;
        let serials: &[Option<u8>] = if count == 1 { &[None] } else { &[Some(1), Some(0)] };
        serials.iter().map(|serial| self.0.encode(len, *serial)).collect()
    }

    /// What `name=value` lines would make it, for an identifier.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }
}

/// The text of `fw_env.config` for copies in these files or devices: path, offset and length.
pub fn fw_env_config(places: &[(PathBuf, u64, u64)]) -> String {
    let mut text = String::from("# Device or file   Offset      Length\n");
    for (path, offset, len) in places {
        let _ = writeln!(text, "{:<18} {offset:#x}    {len:#x}", path.display().to_string());
    }
    text
}

/// The places that a `fw_env.config` names: path, offset and length. `ENV_CONFIG` names a bad line.
pub fn env_places(text: &str) -> Result<Vec<(PathBuf, i64, u64)>> {
    let copies = FwEnvConfig::parse(text)?.copies;
    Ok(copies.into_iter().map(|copy| (copy.device, copy.offset, copy.size)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = "arch=arm\nbootcmd=run distro_bootcmd\nfdt_addr_r=0x3\nkernel_addr_r=0x1\nramdisk_addr_r=0x2\nscriptaddr=0x4\n";

    #[test]
    fn the_board_is_kept_and_ours_is_set_after_it() {
        let set = [("surefoot_args".to_owned(), "console=ttyS0".to_owned())];
        let factory = Factory { board: BOARD, counter: Counter::Uboot, set: &set, by_number: true };
        let env = factory.environment().unwrap();
        for (name, value) in [
            ("arch", "arm"),
            ("bootcmd", "run surefoot_boot"),
            ("kernel_addr_r", "0x1"),
            ("surefoot_counter", "uboot"),
            ("surefoot_args", "console=ttyS0"),
            ("surefoot_part_boot", "1"),
            ("surefoot_part_a", "2"),
            ("surefoot_part_b", "3"),
        ] {
            assert_eq!(env.get(name).as_deref(), Some(value), "{name}");
        }
        let names: Vec<_> =
            factory.environment().unwrap().text().lines().map(str::to_owned).collect();
        assert!(names.iter().any(|line| line == "fdt_addr_r=0x3"));
        let copies = env.copies(0x4000, 2).unwrap();
        assert_eq!((copies[0][4], copies[1][4], copies.len()), (1, 0, 2));
        assert_eq!(Env::decode(&copies[1], true).unwrap().0, env.0);
        let single = env.copies(0x4000, 1).unwrap();
        assert_eq!(Env::decode(&single[0], false).unwrap().0, env.0);
        assert_eq!(env.copies(0x100, 2).unwrap_err().code(), ReasonCode::EnvFull);
        let by_name = Factory { by_number: false, ..factory };
        assert_eq!(by_name.environment().unwrap().get("surefoot_part_a"), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let why = |board: &str, set: &[(String, String)]| {
            let factory = Factory { board, counter: Counter::Script, set, by_number: false };
            factory.environment().unwrap_err().detail().to_owned()
        };
        let without = BOARD.replace("kernel_addr_r=0x1\n", "").replace("scriptaddr=0x4\n", "");
        assert!(why(&without, &[]).ends_with("kernel_addr_r, scriptaddr"));
        assert!(why("a=1\nb\n", &[]).contains("line 2"));
        assert!(why(BOARD, &[("a b".to_owned(), "1".to_owned())]).contains("`a b`"));
    }

    #[test]
    fn a_written_fw_env_config_names_its_places() {
        let places = [
            (PathBuf::from("/dev/x"), 4 << 20, 0x4000),
            (PathBuf::from("/dev/x"), 8 << 20, 0x4000),
        ];
        let read = env_places(&fw_env_config(&places)).unwrap();
        assert_eq!(read[1], (PathBuf::from("/dev/x"), 8 << 20, 0x4000));
        assert!(env_places("x").is_err());
    }
}

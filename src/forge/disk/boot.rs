//! What stands before the slots: the environment, raw pieces, and the files of the boot partition.

use super::recipe::Recipe;
use crate::disk::TableKind;
use crate::firstboot::PROVISION_FILE;
use crate::forge::file;
use crate::model::{Failure, ReasonCode, Result, paths};
use crate::provision::{
    Counter, ENV_LEN, ENV_OFFSETS, Environment, Factory, Reserved, SCRIPT_FILE, boot_script_file,
    check_for_script, check_variable,
};
use crate::sys::files;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// All files of the boot partition together, bytes.
const FILES: u64 = 2 << 30;
/// One of a folder, or a raw piece, bytes.
const FILE: u64 = 1 << 30;
const FOLDERS: usize = 1000;
/// U-Boot and Linux reach a card in these units, bytes.
const SECTOR: u64 = 512;
/// What the updater and the boot script keep their state in.
const STATE: [&str; 4] =
    ["surefoot_slot", "surefoot_good", "surefoot_counter", "upgrade_available"];

/// Everything of the board.
pub(super) struct BoardParts {
    pub(super) environment: Environment,
    /// What stands outside of partitions.
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
    pub(super) reserved: Vec<Reserved>,
    /// By their paths in the boot partition.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Partitions of an eMMC that are no part of the disk: the end of their names, and their bytes.
    pub(super) beside: Vec<(String, Vec<u8>)>,
    /// Where the device finds the copies of the environment: path, offset, length.
    pub(super) places: Vec<(PathBuf, u64, u64)>,
}

/// `more` are files of the boot partition beside those of the recipe, which win.
pub(super) fn board(
    recipe: &Recipe,
    table: TableKind,
    more: Vec<(String, Vec<u8>)>,
) -> Result<BoardParts> {
    let environment = environment(recipe, table)?;
    let mut board = BoardParts {
        environment,
        pieces: Vec::new(),
        reserved: Vec::new(),
        files: vec![boot_script_file()],
        beside: Vec::new(),
        places: Vec::new(),
    };
    board.firmware(recipe)?;
    for (name, bytes) in more {
        if !board.files.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            board.files.push((name, bytes));
        }
    }
    board.copies(recipe)?;
    board.distinct(recipe)?;
    for raw in &recipe.values.boot.raw {
        let bytes = read(recipe, "boot.raw", &raw.file)?;
        let start = recipe.size("boot.raw", &raw.at)?;
        if !start.is_multiple_of(SECTOR) || bytes.is_empty() {
            let why = format!(
                "{}: a piece has content, and begins at a whole sector of {SECTOR} bytes",
                raw.file.display()
            );
            return Err(recipe.wrong("boot.raw", why));
        }
        let what = raw.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        board.reserved.push(Reserved { what, key: "boot.raw", start, len: bytes.len() as u64 });
        board.pieces.push((start, bytes));
    }
    Ok(board)
}

fn read(recipe: &Recipe, key: &'static str, path: &Path) -> Result<Vec<u8>> {
    files::read_foreign(path, FILE).map_err(|e| match e.kind() {
        ErrorKind::NotFound => recipe.wrong(key, format!("there is no {}", path.display())),
        _ => recipe.wrong(key, format!("{}: {e}", path.display())),
    })
}

fn environment(recipe: &Recipe, table: TableKind) -> Result<Environment> {
    let boot = &recipe.values.boot;
    let path = recipe.need("boot.uboot-env", "--uboot-env", &boot.uboot_env)?;
    let blame = recipe.blame("boot.uboot-env");
    let text = file::read_text(path, 1 << 20, ReasonCode::EnvConfig).map_err(&blame)?;
    let counter =
        match recipe.word("boot.counter", boot.counter.as_deref(), &["script", "uboot"])? {
            "uboot" => Counter::Uboot,
            _ => Counter::Script,
        };
    let set: Vec<_> = boot.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in &set {
        let why = match check_variable(name, value) {
            Err(failure) => failure.detail().to_owned(),
            Ok(()) if STATE.contains(&name.as_str()) => {
                format!("`{name}` is the updater's own, which keeps its state in it")
            }
            Ok(()) => continue,
        };
        return Err(recipe.wrong(&format!("boot.set.{name}"), why));
    }
    let by_number = table == TableKind::Mbr;
    let factory = Factory { board: &text, counter, set: &set, by_number };
    let environment = factory.environment().map_err(|f| {
        let next = "Give the `u-boot-initial-env` that the U-Boot build of the board leaves; `[boot.set]` of a recipe has further variables.";
        blame(f.at(path.display())).with_next(next)
    })?;
    for (name, value) in environment.iter() {
        check_for_script(&name, &value).map_err(|why| {
            let set = format!("boot.set.{name}");
            let key = if boot.set.contains_key(&*name) { set.as_str() } else { "boot.uboot-env" };
            recipe.wrong(key, why)
        })?;
    }
    Ok(environment)
}

impl BoardParts {
    fn firmware(&mut self, recipe: &Recipe) -> Result<()> {
        let Some(root) = &recipe.values.boot.firmware else { return Ok(()) };
        let key = "boot.firmware";
        let (mut waiting, mut found, mut all) = (vec![String::new()], Vec::new(), 0);
        for _ in 0..FOLDERS {
            let Some(folder) = waiting.pop() else { break };
            let path = if folder.is_empty() { root.clone() } else { root.join(&folder) };
            let failed = |e: std::io::Error| match e.kind() {
                ErrorKind::NotFound => recipe.wrong(key, format!("there is no {}", path.display())),
                _ => recipe.wrong(key, format!("{}: {e}", path.display())),
            };
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name().into_string().map_err(|name| {
                    recipe.wrong(key, format!("{}: the name {name:?} is not UTF-8", path.display()))
                })?;
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let place = root.join(&name);
                let about = std::fs::metadata(&place)
                    .map_err(|e| recipe.wrong(key, format!("{}: {e}", place.display())))?;
                match about.is_dir() {
                    true => waiting.push(name),
                    false => found.push(name),
                }
            }
        }
        if !waiting.is_empty() {
            return Err(recipe.wrong(key, format!("more than {FOLDERS} folders")));
        }
        // The same folder gives the same file system.
        found.sort();
        for name in found {
            let bytes = read(recipe, key, &root.join(&name))?;
            all += bytes.len() as u64;
            if all > FILES {
                return Err(recipe.wrong(key, "more than 2 GiB of files"));
            }
            if name.eq_ignore_ascii_case(SCRIPT_FILE) {
                if bytes == self.files[0].1 {
                    continue;
                }
                let why = format!(
                    "{name} is not the boot script of this version, which is put there anyway: remove it"
                );
                return Err(recipe.wrong(key, why));
            }
            self.files.push((name, bytes));
        }
        Ok(())
    }

    /// FAT takes two names that differ in case for one, and knows no blank and no dot at the end of a name.
    fn distinct(&self, recipe: &Recipe) -> Result<()> {
        let folded = |path: &str| {
            let parts =
                path.split('/').map(|part| part.trim_end_matches(['.', ' ']).to_uppercase());
            parts.collect::<Vec<_>>().join("/")
        };
        let mut seen: HashMap<String, (&str, bool)> = HashMap::new();
        for (path, _) in &self.files {
            let folders = path.match_indices('/').map(|(at, _)| (&path[..at], true));
            for (name, is_folder) in folders.chain([(path.as_str(), false)]) {
                match seen.insert(folded(name), (name, is_folder)) {
                    Some((other, was_folder)) if !(is_folder && was_folder) => {
                        let why = format!("`{other}` and `{name}` are one name on a FAT");
                        return Err(recipe.wrong("boot.firmware", why));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn copies(&mut self, recipe: &Recipe) -> Result<()> {
        let (key, said) = ("boot.environment", &recipe.values.boot.environment);
        let len = said.size.as_deref().map_or(Ok(ENV_LEN), |text| recipe.size(key, text))?;
        if !(SECTOR..=1 << 20).contains(&len) || !len.is_multiple_of(SECTOR) {
            return Err(recipe
                .wrong(key, "`size` is from 512 bytes to 1 MiB, in whole sectors of 512 bytes"));
        }
        let encode = |count: usize| self.environment.copies(len, count).map_err(recipe.blame(key));
        let device = recipe.values.disk.device.as_deref();
        if let Some(files) = &said.files {
            if said.at.is_some() || said.hwpart.is_some() || !(1..=2).contains(&files.len()) {
                return Err(recipe.wrong(key, "say either one or two `files`, or `at`"));
            }
            for (name, bytes) in files.iter().zip(encode(files.len())?) {
                // `fw_env.config` has blanks between its words.
                let plain = |part: &str| {
                    !part.starts_with('.')
                        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                };
                if name.split('/').any(|part| part.is_empty() || !plain(part))
                    || name == PROVISION_FILE
                {
                    let why = format!(
                        "`{name}` is no name of a file in the boot partition: letters, digits, `.`, `_`, `-`, and `/` between folders"
                    );
                    return Err(recipe.wrong(key, why));
                }
                if self.files.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                    return Err(
                        recipe.wrong(key, format!("the boot partition has a file {name} already"))
                    );
                }
                self.places.push((Path::new("/boot").join(name), 0, len));
                self.files.push((name.clone(), bytes));
            }
            return Ok(());
        }
        let at = match &said.at {
            None => ENV_OFFSETS.to_vec(),
            Some(texts) => {
                let all = texts.iter().map(|text| recipe.size(key, text));
                all.collect::<Result<Vec<u64>>>()?
            }
        };
        if !(1..=2).contains(&at.len()) {
            return Err(recipe.wrong(key, "`at` has one or two places"));
        }
        if at.iter().any(|start| !start.is_multiple_of(SECTOR)) {
            return Err(
                recipe.wrong(key, "`at` is in whole sectors of 512 bytes: U-Boot reads no others")
            );
        }
        let copies = encode(at.len())?;
        match said.hwpart {
            None => {
                let disk = device.map_or_else(|| format!("{}/disk", paths::LINKS), str::to_owned);
                for (n, (start, bytes)) in at.into_iter().zip(copies).enumerate() {
                    let what = format!("environment copy {n}");
                    self.reserved.push(Reserved { what, key, start, len });
                    self.places.push((PathBuf::from(&disk), start, len));
                    self.pieces.push((start, bytes));
                }
            }
            Some(part @ 1..=2) => self.hardware_part(recipe, part, &at, copies, len)?,
            Some(_) => {
                return Err(recipe.wrong(key, "`hwpart` is 1 or 2: a boot partition of an eMMC"));
            }
        }
        Ok(())
    }

    /// U-Boot counts them from 1 and Linux from 0. With one offset for both copies the second is in the other
    /// one (`ENV_MMC_HWPART_REDUND`).
    fn hardware_part(
        &mut self,
        recipe: &Recipe,
        part: u32,
        at: &[u64],
        copies: Vec<Vec<u8>>,
        len: u64,
    ) -> Result<()> {
        let key = "boot.environment";
        let disk = recipe.values.disk.device.as_deref().unwrap_or("/dev/mmcblk0");
        let apart = at.len() == 2 && at[0] == at[1];
        if apart && part != 1 {
            return Err(recipe
                .wrong(key, "two copies at one place need `hwpart = 1`: the second is in boot1"));
        }
        if !apart && at.len() == 2 && at[0].abs_diff(at[1]) < len {
            return Err(recipe.wrong(key, "the two copies of the environment overlap"));
        }
        for (n, (start, bytes)) in at.iter().zip(copies).enumerate() {
            let number = if apart { n } else { part as usize - 1 };
            let name = format!("boot{number}");
            let end = start.checked_add(len).filter(|end| *end <= 64 << 20);
            let end = end.and_then(|end| usize::try_from(end).ok()).ok_or_else(|| {
                recipe.wrong(key, "a boot partition of an eMMC has at most 64 MiB")
            })?;
            self.places.push((PathBuf::from(format!("{disk}{name}")), *start, len));
            let place = match self.beside.iter().position(|(other, _)| *other == name) {
                Some(place) => place,
                None => {
                    self.beside.push((name, Vec::new()));
                    self.beside.len() - 1
                }
            };
            let image = &mut self.beside[place].1;
            image.resize(image.len().max(end), 0);
            image[end - bytes.len()..end].copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// What an image that was shipped without U-Boot lacks here. The firmware of a Raspberry Pi starts the kernel that `config.txt`
/// names; other boards have U-Boot outside of partitions, which the recipe must name. `from` are the files of the old disk.
pub(super) fn without_uboot(
    from: &[(String, Vec<u8>)],
    board: &BoardParts,
    recipe: &Recipe,
) -> Option<String> {
    let config = |files: &[(String, Vec<u8>)]| {
        let found = files.iter().find(|(path, _)| path.eq_ignore_ascii_case("config.txt"))?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    };
    let Some(text) = config(&board.files) else {
        let text = "nothing of U-Boot was brought along from outside of the old disk's partitions: where the board reads it from there, name its pieces in `[boot] raw` (docs/boards/generic.md)";
        return (recipe.values.boot.raw.is_empty() && config(from).is_none())
            .then(|| text.to_owned());
    };
    let mut kernels = text.lines().filter_map(|line| line.trim().strip_prefix("kernel="));
    let kernel = kernels.next_back().map(str::trim);
    let there = |name: &str| board.files.iter().any(|(path, _)| path.eq_ignore_ascii_case(name));
    let told = match kernel {
        Some(name) if name.contains("u-boot") && there(name) => return None,
        Some(name) if name.contains("u-boot") => {
            format!("config.txt starts {name}, and the boot partition has no such file")
        }
        _ => "the firmware would start the kernel of the old disk and no slot: U-Boot is missing"
            .to_owned(),
    };
    Some(format!(
        "{told}. Put `u-boot.bin` of the board and a config.txt with `kernel=u-boot.bin` into the folder of `[boot] firmware` (docs/boards/raspberrypi4.md)"
    ))
}

/// Why the boot partition could not be filled, told at its size.
pub(super) fn not_filled(recipe: &Recipe, failure: Failure) -> Failure {
    match failure.code() {
        ReasonCode::TooBig => recipe.blame("boot.size")(failure),
        _ => recipe.blame("boot.firmware")(failure),
    }
}

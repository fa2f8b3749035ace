//! Finding the files and merging them, with the origin of each value.

use super::line::line_of;
use super::mistakes::in_file;
use super::{Fragment, Settings};
use crate::model::{Failure, ReasonCode, Result, paths, printable};
use crate::sys::{files, host};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where the configuration is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// This file and no other.
    File(PathBuf),
    /// `surefoot/*.toml` under `usr/lib`, `etc` and `run` of this root, later ones winning.
    Folders(PathBuf),
}

/// Which file set a value.
pub type Origin = BTreeMap<String, PathBuf>;

/// What was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is meant.
    pub settings: Settings,
    /// `device.product` and so on, with the value as written and the file that set it.
    pub origin: Origin,
    /// The merged values as TOML.
    pub merged: Table,
    /// What is written and does not count, as `file:line: why`: unknown settings, and files in the
    /// configuration folders whose names keep them from being read. It stops nothing at run time:
    /// after a rollback the old program lives with the new file.
    pub ignored: Vec<String>,
}

impl Loaded {
    /// The merged value of `device.product` or of the entry `health.check.NAME`.
    pub fn value(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let mut value = self.merged.get(first)?;
        for key in rest.split('.').filter(|k| !k.is_empty()) {
            value = match value {
                Value::Table(table) => table.get(key)?,
                Value::Array(items) => items.iter().find(|i| name(i) == Some(key))?,
                _ => return None,
            };
        }
        Some(value)
    }
}

/// Reads, merges and validates; the first mistake ends it.
pub fn load(place: &Where) -> Result<Loaded> {
    let mut examined = examine(place)?;
    match examined.mistakes.is_empty() {
        true => examined.loaded.ok_or_else(|| {
            Failure::new(ReasonCode::Internal, "a configuration without a mistake has no meaning")
        }),
        false => Err(examined.mistakes.swap_remove(0)),
    }
}

/// A configuration and everything that is wrong with it.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What it means, where that can be told.
    pub loaded: Option<Loaded>,
    /// Every mistake, as `file:line: what`; the one that [`load`] ends with is the first.
    pub mistakes: Vec<Failure>,
    /// What is written and does not count, as in [`Loaded`].
    pub ignored: Vec<String>,
    /// The mistakes are those of a file alone, and not of all of them together.
    torn: bool,
}

/// The same, going on past mistakes. An error means that there is nothing to examine.
pub fn examine(place: &Where) -> Result<Examined> {
    let (files, ignored) = match place {
        Where::File(file) => (vec![file.clone()], Vec::new()),
        Where::Folders(root) => in_folders(root),
    };
    let Some(last) = files.last() else {
        if let Where::Folders(root) = place
            && let Some(folder) = folders(root).into_iter().find(|f| host::is_denied(f, false))
        {
            let text = format!("user {} may not read {}", host::user(), folder.display());
            return Err(Failure::new(ReasonCode::NotAllowed, text));
        }
        let text = format!("no *.toml in {}, {} or {}", paths::ETC, paths::LIB, paths::RUN);
        return Err(Failure::new(ReasonCode::ConfigMissing, text));
    };
    // Relative paths: the named file's folder, or the root of the system's folders.
    let folder = match place {
        Where::File(_) => absolute_folder(last)?,
        Where::Folders(root) => root.clone(),
    };
    let (mut texts, mut unread) = (Vec::new(), Vec::new());
    for file in &files {
        match read(file) {
            Ok(text) => texts.push(Text { file: file.clone(), text }),
            Err(failure) => unread.push(failure),
        }
    }
    let mut examined = understand(&texts, ignored, &folder);
    if !unread.is_empty() {
        // What is missing may be in the file that cannot be read.
        let told = std::mem::take(&mut examined.mistakes).into_iter();
        let told = told.filter(|_| examined.torn).collect::<Vec<_>>();
        examined = Examined { loaded: None, mistakes: [unread, told].concat(), ..examined };
    }
    Ok(examined)
}

/// The same of files that the caller has read, each with its name; later ones win. Relative paths start at `folder`.
pub fn examine_texts(texts: Vec<(PathBuf, String)>, folder: &Path) -> Examined {
    let text = |(file, text)| Text { file, text };
    understand(&texts.into_iter().map(text).collect::<Vec<_>>(), Vec::new(), folder)
}

/// The text of a file that was read.
pub(super) struct Text {
    /// Its name, for what is told.
    pub(super) file: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

/// What these texts mean together, each winning over those before it; relative paths start at
/// `folder`. `ignored` is what is known not to count already.
pub(super) fn understand(texts: &[Text], mut ignored: Vec<String>, folder: &Path) -> Examined {
    let (mut merged, mut origin) = (Table::new(), Origin::new());
    let mut mistakes: Vec<Failure> = Vec::new();
    for Text { file, text } in texts {
        let invalid = |line: usize, message: &str| {
            let what = format!("{}:{line}: {message}", file.display());
            Failure::new(ReasonCode::ConfigInvalid, what)
        };
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let before = error.span().map_or("", |span| &text[..span.start]);
                mistakes.push(invalid(before.matches('\n').count() + 1, error.message()));
                continue;
            }
        };
        let unknown = RefCell::new(&mut ignored);
        let note = |path: &str| {
            let line = line_of(text, path).map_or_else(String::new, |n| format!(":{n}"));
            let text = format!("{}{line}: unknown setting `{path}`", file.display());
            unknown.borrow_mut().push(printable(&text, 400));
        };
        if let Err(error) = Fragment::read(&table, &note) {
            // Found one by one, for the reader stops at the first.
            let all = in_file(file, text, &table);
            if all.is_empty() {
                let line = line_of(text, error.path()).unwrap_or(0);
                mistakes.push(invalid(line, error.message()));
            }
            let failure = |what| Failure::new(ReasonCode::ConfigInvalid, what);
            mistakes.extend(all.into_iter().map(failure));
            continue;
        }
        merge(&mut merged, table, "", file, &mut origin);
    }
    // What is missing in a file that cannot be read is not missed.
    if !mistakes.is_empty() {
        return Examined { loaded: None, mistakes, ignored, torn: true };
    }
    let fragment = match Fragment::of(&merged) {
        Ok(fragment) => fragment,
        Err(error) => {
            let mistakes = vec![Failure::new(ReasonCode::ConfigInvalid, error.message())];
            return Examined { loaded: None, mistakes, ignored, torn: true };
        }
    };
    let last = texts.last().map_or(Path::new("the configuration"), |t| &t.file);
    let loaded = match Settings::from_merged(fragment, folder) {
        Ok(settings) => Some(Loaded { settings, origin, merged, ignored: ignored.clone() }),
        Err(wrong) => {
            mistakes = wrong.into_iter().map(|failure| failure.at(last.display())).collect();
            None
        }
    };
    Examined { loaded, mistakes, ignored, torn: false }
}

fn read(file: &Path) -> Result<String> {
    files::foreign_text(file, files::SMALL).map_err(|e| {
        let code = match e.kind() {
            std::io::ErrorKind::NotFound => ReasonCode::ConfigMissing,
            std::io::ErrorKind::PermissionDenied => ReasonCode::NotAllowed,
            _ => ReasonCode::ConfigInvalid,
        };
        Failure::new(code, format!("{}: {e}", file.display()))
    })
}

fn absolute_folder(file: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(file);
    let folder = absolute.as_deref().ok().and_then(Path::parent);
    let text = || format!("{} is in no folder", file.display());
    folder.map(Path::to_owned).ok_or_else(|| Failure::new(ReasonCode::ConfigMissing, text()))
}

fn folders(root: &Path) -> [PathBuf; 3] {
    [paths::LIB, paths::ETC, paths::RUN].map(|folder| paths::within(root, folder))
}

/// The files that count, in the order in which they win; and the ones that a person may have
/// meant to count, with the reason why they do not.
fn in_folders(root: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut ignored) = (Vec::new(), Vec::new());
    for folder in folders(root) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut here: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        here.sort();
        for path in here.into_iter().filter(|p| p.file_name().is_some_and(|n| n != "trust.toml")) {
            match path.extension().is_some_and(|x| x == "toml") {
                true => files.push(path),
                false => ignored.extend(why_not_read(&path)),
            }
        }
    }
    (files, ignored)
}

/// Why a file in a configuration folder is not read, if it looks like a configuration.
fn why_not_read(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let meant = name.contains("toml") || name.contains("conf") || name.ends_with(".d");
    let text = || format!("{}: not read: its name does not end in `.toml`", path.display());
    meant.then(|| printable(&text(), 400))
}

/// Tables are merged, lists of named tables by name; anything else is replaced, so that an empty
/// list takes away what an earlier file has said.
fn merge(into: &mut Table, from: Table, prefix: &str, file: &Path, origin: &mut Origin) {
    for (key, value) in from {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new, &path, file, origin),
            (None, Value::Table(new)) => {
                let mut fresh = Table::new();
                merge(&mut fresh, new, &path, file, origin);
                into.insert(key, Value::Table(fresh));
            }
            (Some(Value::Array(old)), Value::Array(new))
                if !new.is_empty() && new.iter().all(|v| name(v).is_some()) =>
            {
                for item in new {
                    let named = name(&item).map(str::to_owned).unwrap_or_default();
                    origin.insert(format!("{path}.{named}"), file.to_owned());
                    match old.iter_mut().find(|o| name(o) == Some(&named)) {
                        Some(place) => *place = item,
                        None => old.push(item),
                    }
                }
            }
            (_, value) => {
                if let Value::Array(items) = &value {
                    for named in items.iter().filter_map(name) {
                        origin.insert(format!("{path}.{named}"), file.to_owned());
                    }
                }
                origin.insert(path, file.to_owned());
                into.insert(key, value);
            }
        }
    }
}

fn name(value: &Value) -> Option<&str> {
    value.as_table()?.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "[device]\nproduct = \"demo\"\ncompatible = \"demo-board\"\ndisk = \"disk.img\"\n";

    fn one(text: &str) -> (tempfile::TempDir, Result<Loaded>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("surefoot.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&Where::File(file));
        (dir, loaded)
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let (dir, loaded) = one(BASE);
        let settings = loaded.unwrap().settings;
        assert_eq!(settings.device.disk.named(), Some(dir.path().join("disk.img").as_path()));
        assert_eq!(settings.device.state, Path::new("/data/surefoot"));
        assert_eq!(settings.slots, crate::slot::SlotNames::default());
    }

    #[test]
    fn a_wrong_type_names_file_and_line() {
        let (_dir, loaded) = one(&format!("{BASE}state = 5\n"));
        let failure = loaded.unwrap_err();
        assert_eq!(failure.code(), ReasonCode::ConfigInvalid);
        assert!(failure.detail().contains("surefoot.toml:5:"), "{failure}");
    }

    #[test]
    fn an_unknown_key_is_told_but_stops_nothing() {
        let (_dir, loaded) = one(&format!("{BASE}colour = \"red\"\n[weather]\nrain = true\n"));
        let unknown = loaded.unwrap().ignored.join(" ");
        assert!(unknown.contains("surefoot.toml:5: unknown setting `device.colour`"), "{unknown}");
        assert!(unknown.contains("surefoot.toml:6: unknown setting `weather`"), "{unknown}");
    }

    #[test]
    fn a_file_whose_name_keeps_it_from_being_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("etc/surefoot");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, told) in [
            ("a.toml", false),
            ("trust.toml", false),
            ("20-hold.conf", true),
            ("b.toml.bak", true),
            ("B.TOML", true),
            ("surefoot.d", true),
            ("README", false),
        ] {
            std::fs::write(folder.join(name), BASE).unwrap();
            let ignored = load(&Where::Folders(dir.path().to_owned())).map(|l| l.ignored);
            let ignored = ignored.unwrap().into_iter().any(|i| i.contains(&format!("/{name}: ")));
            assert_eq!(ignored, told, "{name}");
        }
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("surefoot.toml");
        std::fs::write(&file, "[slots]\na = []\n[trial]\nclean_reboots = 9\n").unwrap();
        let mistakes = examine(&Where::File(file)).unwrap().mistakes;
        let told: Vec<String> = mistakes.iter().map(|f| f.detail().to_owned()).collect();
        let what = ["device.product", "device.compatible", "slots.a", "clean_reboots"];
        assert_eq!(told.len(), what.len(), "{told:?}");
        for (told, what) in told.iter().zip(what) {
            assert!(told.contains(what), "{told:?}");
        }
    }

    #[test]
    fn a_trial_has_its_time_and_its_reboots() {
        let trial = |text: &str| one(&format!("{BASE}[trial]\n{text}")).1.map(|l| l.settings.trial);
        let usual = trial("").unwrap();
        assert_eq!((usual.deadline, usual.clean_reboots), (3_600, 3));
        let set = trial("deadline = \"10m\"\nclean_reboots = 0\n").unwrap();
        assert_eq!((set.deadline, set.clean_reboots), (600, 0));
        for bad in
            ["deadline = \"soon\"", "deadline = 0", "clean_reboots = 4", "clean_reboots = -1"]
        {
            assert_eq!(trial(bad).unwrap_err().code(), ReasonCode::ConfigInvalid, "{bad}");
        }
    }

    #[test]
    fn hooks_have_a_name_and_their_programs_a_place() {
        let hook = |name: &str, more: &str| {
            format!("[[hook]]\nname = \"{name}\"\nat = \"before-reboot\"\n{more}\n")
        };
        let full = hook("stop", "command = [\"/usr/bin/stop\"]\ntimeout = \"90s\"");
        let (_dir, loaded) = one(&format!("{BASE}{full}"));
        let settings = loaded.unwrap().settings;
        assert_eq!(settings.hooks[0].timeout.as_secs(), 90);
        assert_eq!(settings.hook_root(), crate::hooks::Root::Device);
        let relative = hook("stop", "command = [\"./stop\"]");
        let (dir, loaded) = one(&format!("{BASE}booted = \"booted\"\n{relative}"));
        let image = crate::hooks::Root::Folder(dir.path().to_owned());
        assert_eq!(loaded.unwrap().settings.hook_root(), image, "an image file has its own");
        for (text, said) in [
            (relative.clone(), "full path"),
            (format!("{full}{full}"), "two hooks are named `stop`"),
            (hook("stop", "command = \"/x\""), "surefoot.toml:8:"),
            (hook("stop", "command = []"), "`command` is empty"),
            (hook("stop", "command = [\"/x\"]\ntimeout = \"soon\""), "surefoot.toml:9:"),
        ] {
            let failure = one(&format!("{BASE}{text}")).1.unwrap_err();
            assert_eq!(failure.code(), ReasonCode::ConfigInvalid, "{text}");
            let told = failure.detail();
            assert!(told.contains(said) && told.contains("surefoot.toml"), "{text}: {told}");
        }
        let (_dir, loaded) = one(&format!("{BASE}{full}colour = \"red\"\n"));
        assert!(loaded.unwrap().ignored[0].contains("colour"));
    }

    #[test]
    fn what_holds_back_is_read_and_a_mistake_in_it_has_file_and_line() {
        let inhibit = |text: &str| one(&format!("{BASE}[inhibit]\n{text}"));
        assert_eq!(one(BASE).1.unwrap().settings.inhibit, crate::inhibit::Settings::default());
        let (dir, loaded) = inhibit("files = [\"run/busy\"]\nwindows = [\"Sat 02:00-04:00\"]\n");
        let found = loaded.unwrap().settings.inhibit;
        assert_eq!((found.files, found.windows.len()), (vec![dir.path().join("run/busy")], 1));
        for (text, said) in [
            ("\nwear = \"much\"", "surefoot.toml:7:"),
            ("battery_min = 400", "surefoot.toml:6:"),
            ("windows = [\"25:00-26:00\"]", "`25:00-26:00` is not a window"),
        ] {
            let told = inhibit(text).1.unwrap_err();
            assert!(told.detail().contains(said), "{text}: {told}");
            assert!(told.detail().contains("surefoot.toml:"), "{text}: {told}");
        }
        assert!(inhibit("wether = 1").1.unwrap().ignored[0].contains("inhibit.wether"));
    }

    #[test]
    fn an_empty_list_takes_away_what_an_earlier_file_has_said() {
        let dir = tempfile::tempdir().unwrap();
        let hook = "[[hook]]\nname = \"x\"\nat = \"first-boot\"\ncommand = [\"/x\"]\n";
        for (folder, text) in [
            ("usr/lib/surefoot", format!("{BASE}{hook}[inhibit]\nfiles = [\"/x\"]\nwear = 9\n")),
            ("etc/surefoot", "hook = []\n[inhibit]\nfiles = []\n".to_owned()),
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join("a.toml"), text).unwrap();
        }
        let settings = load(&Where::Folders(dir.path().to_owned())).unwrap().settings;
        assert!(settings.hooks.is_empty() && settings.inhibit.files.is_empty());
        assert_eq!(settings.inhibit.wear, 9);
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_dir, loaded) = one("[device]\nproduct = \"demo\"\n");
        assert!(loaded.unwrap_err().detail().contains("device.compatible"));
        let nowhere = load(&Where::File("/nowhere/surefoot.toml".into())).unwrap_err();
        assert_eq!(nowhere.code(), ReasonCode::ConfigMissing);
    }

    #[test]
    fn later_folders_win_and_every_value_has_an_origin() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, what: &str| {
            format!("[[health.check]]\nname = \"{name}\"\ncommand = [\"{what}\"]\n")
        };
        for (folder, text) in [
            ("usr/lib/surefoot", format!("{BASE}{}{}", check("web", "old"), check("disk", "d"))),
            ("etc/surefoot", format!("[device]\nproduct = \"mine\"\n{}", check("web", "new"))),
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join("a.toml"), text).unwrap();
        }
        let loaded = load(&Where::Folders(dir.path().to_owned())).unwrap();
        assert_eq!(loaded.settings.device.product.as_str(), "mine");
        let kinds: Vec<_> = loaded.settings.checks.iter().map(|c| c.kind.clone()).collect();
        let command = |word: &str| crate::health::Kind::Command(vec![word.to_owned()]);
        assert_eq!(kinds, [command("new"), command("d")]);
        assert!(loaded.origin["device.product"].ends_with("etc/surefoot/a.toml"));
        assert!(loaded.origin["health.check.disk"].ends_with("usr/lib/surefoot/a.toml"));
    }
}

//! What may hold back an update, as the configuration writes it.

use super::Window;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Which clock windows are read by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// The device's time zone, `/etc/localtime`.
    #[default]
    Local,
    /// Coordinated universal time.
    Utc,
}

/// `[inhibit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    /// Held while one of these exists.
    pub files: Vec<PathBuf>,
    /// Held while somebody holds a lock on one of these.
    pub locks: Vec<PathBuf>,
    /// Held outside of all of these; without any there is no wrong time.
    pub windows: Vec<Window>,
    /// Which clock they are read by.
    pub zone: Zone,
    /// Whether inhibitors of the init system count, where it has any.
    pub systemd: bool,
    /// Whether the supply is looked at, where the kernel knows of it.
    pub power: bool,
    /// On battery, held below so many per cent; 0 means never.
    pub battery_min: u8,
    /// Held when an eMMC has used so many tenths of its life, 11 for more than all; 0 means never.
    pub wear: u8,
}

#[derive(Deserialize)]
#[serde(default)]
struct Written {
    files: Vec<PathBuf>,
    locks: Vec<PathBuf>,
    windows: Vec<String>,
    zone: Zone,
    systemd: bool,
    power: bool,
    battery_min: u8,
    wear: u8,
}

impl Default for Written {
    fn default() -> Written {
        Written {
            files: Vec::new(),
            locks: Vec::new(),
            windows: Vec::new(),
            zone: Zone::Local,
            systemd: true,
            power: true,
            battery_min: 30,
            wear: super::wear::EXCEEDED,
        }
    }
}

/// More than anybody has; what is longer is a mistake of whoever made the file.
const MOST: usize = 64;

impl Default for Settings {
    fn default() -> Settings {
        Settings::try_from(Written::default()).expect("because what is usual keeps every limit")
    }
}

impl TryFrom<Written> for Settings {
    type Error = String;

    fn try_from(w: Written) -> Result<Settings, String> {
        let lists =
            [("files", w.files.len()), ("locks", w.locks.len()), ("windows", w.windows.len())];
        if let Some((name, n)) = lists.into_iter().find(|(_, n)| *n > MOST) {
            return Err(format!("`{name}` has {n} entries; {MOST} are the most"));
        }
        if w.files.iter().chain(&w.locks).any(|p| p.as_os_str().is_empty()) {
            return Err("an empty path in `files` or `locks`".to_owned());
        }
        if w.battery_min > 100 {
            return Err("`battery_min` is a percentage, 0 to 100".to_owned());
        }
        if w.wear > super::wear::EXCEEDED {
            let most = super::wear::EXCEEDED;
            return Err(format!("`wear` is a number of tenths, 0 to {most}"));
        }
        let windows: Result<_, String> = w.windows.iter().map(|text| text.parse()).collect();
        Ok(Settings {
            files: w.files,
            locks: w.locks,
            windows: windows?,
            zone: w.zone,
            systemd: w.systemd,
            power: w.power,
            battery_min: w.battery_min,
            wear: w.wear,
        })
    }
}

impl Settings {
    /// The same with relative paths resolved against `folder`.
    #[must_use]
    pub fn at(self, folder: &Path) -> Settings {
        let join = |paths: Vec<PathBuf>| paths.iter().map(|p| folder.join(p)).collect();
        Settings { files: join(self.files), locks: join(self.locks), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn nothing_said_is_what_is_usual() {
        let usual = read("").unwrap();
        assert_eq!(usual, Settings::default());
        assert!(usual.systemd && usual.power && usual.windows.is_empty());
        assert_eq!((usual.battery_min, usual.wear, usual.zone), (30, 11, Zone::Local));
    }

    #[test]
    fn every_key_reads() {
        let text = "files = [\"run/busy\", \"/x\"]\nlocks = [\"l\"]\nzone = \"utc\"\nsystemd = false\n\
                    windows = [\"02:00-04:00\"]\npower = false\nbattery_min = 50\nwear = 9";
        let read = read(text).unwrap().at(Path::new("/f"));
        assert_eq!(read.files, [Path::new("/f/run/busy"), Path::new("/x")]);
        assert_eq!(read.locks, [Path::new("/f/l")]);
        assert_eq!((read.windows.len(), read.zone, read.wear), (1, Zone::Utc, 9));
        assert!(!read.systemd && !read.power && read.battery_min == 50);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let many = format!("files = [{}]", "\"x\", ".repeat(65));
        for (text, said) in [
            ("files = \"x\"", "expected a sequence"),
            ("files = [\"\"]", "empty path"),
            (many.as_str(), "65 entries"),
            ("windows = [\"at night\"]", "`at night`"),
            ("zone = \"berlin\"", "berlin"),
            ("battery_min = 101", "percentage"),
            ("battery_min = -1", "invalid value"),
            ("wear = 12", "0 to 11"),
            ("systemd = \"yes\"", "expected a boolean"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.contains(said), "{text}: {failure}");
        }
    }
}

//! Files that the configuration names and that are not there, and where it names them.

use super::Loaded;
use super::line::line_of;
use crate::health::Kind;
use crate::model::printable;
use crate::sys::files;
use std::path::PathBuf;
use toml::{Table, Value};

impl Loaded {
    /// One line for each, as `file:line: key: path is not there`. A program without a folder is
    /// looked for where it is run, and not here.
    pub fn missing(&self) -> Vec<String> {
        let settings = &self.settings;
        let program = |command: &[String]| {
            let first = command.first().filter(|c| c.contains('/'))?;
            Some(settings.folder.join(first))
        };
        let (bootloader, described) = settings.bootloader.described_by();
        let mut named: Vec<(String, PathBuf)> = vec![
            ("trust.file".to_owned(), settings.trust_file.clone()),
            (bootloader.to_owned(), described.to_owned()),
        ];
        let disk = settings.device.disk.named();
        named.extend(disk.map(|disk| ("device.disk".to_owned(), disk.to_owned())));
        named.extend(
            settings
                .hooks
                .iter()
                .filter_map(|hook| Some((format!("hook.{}", hook.name), program(&hook.command)?))),
        );
        named.extend(settings.checks.iter().filter_map(|check| match &check.kind {
            Kind::Command(command) => {
                Some((format!("health.check.{}", check.name), program(command)?))
            }
            _ => None,
        }));
        #[cfg(feature = "apps")]
        {
            let engine = settings.apps.engine.iter();
            named.extend(engine.map(|socket| ("apps.engine".to_owned(), socket.clone())));
            let programs = settings.apps.commands.iter();
            let programs = programs.map(|(name, path)| (format!("apps.commands.{name}"), path));
            named.extend(programs.map(|(key, path)| (key, path.clone())));
        }
        named.retain(|(_, path)| !path.exists());
        let told = |(key, path): &(String, PathBuf)| {
            let line = format!("{}{key}: {} is not there", self.place_of(key), path.display());
            printable(&line, 400)
        };
        named.iter().map(told).collect()
    }

    /// `file:line: `, or nothing for a default.
    pub(super) fn place_of(&self, key: &str) -> String {
        let Some(file) = self.origin.get(key) else { return String::new() };
        let line =
            files::foreign_text(file, files::SMALL).ok().and_then(|text| line_in(&text, key));
        let line = line.map_or_else(String::new, |n| format!(":{n}"));
        printable(&format!("{}{line}:", file.display()), 400) + " "
    }
}

/// Entries of lists are known by their names; [`line_of`] counts them.
fn line_in(text: &str, key: &str) -> Option<usize> {
    let (list, name) = key.rsplit_once('.')?;
    let table: Table = text.parse().ok()?;
    let mut words = list.split('.');
    let first = table.get(words.next()?)?;
    let value = words.try_fold(first, |value, word| value.get(word))?;
    let Value::Array(items) = value else { return line_of(text, key) };
    let is = |item: &Value| item.get("name").and_then(Value::as_str) == Some(name);
    line_of(text, &format!("{list}.{}", items.iter().position(is)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_entry_is_found_by_its_name() {
        let text = "[device]\ndisk = 1\n[[health.check]]\nname = \"a\"\n[[hook]]\nname = \"h\"\n[[health.check]]\nname = \"b\"\n";
        for (key, line) in [
            ("device.disk", Some(2)),
            ("health.check.a", Some(3)),
            ("hook.h", Some(5)),
            ("health.check.b", Some(7)),
            ("health.check.c", None),
        ] {
            assert_eq!(line_in(text, key), line, "{key}");
        }
    }
}

//! Every mistake of a configuration at once, each with its file and line. A person who corrects a
//! file wants to run the check once, not once per mistake.

use super::Fragment;
use super::line::line_of;
use std::path::Path;
use toml::{Table, Value};

/// The mistakes of type and value in one file, as `file:line: what`, in the order of the file. `table` is
/// the parsed `text`. The values are tried one by one, for the reader ends with the first mistake.
pub(super) fn in_file(file: &Path, text: &str, table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        let alone = |value: Value| Table::from_iter([(key.clone(), value)]);
        narrow(&alone, value, key, &mut found);
    }
    let mut told: Vec<(usize, String)> = found
        .into_iter()
        .map(|(path, what)| {
            let line = line_of(text, &path).unwrap_or(0);
            (line, format!("{path}: {what}"))
        })
        .collect();
    told.sort();
    told.into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())).collect()
}

/// Adds the smallest parts of `value` that are refused. `around` puts such a part where it stands
/// in a file. An entry of a list is not taken apart: it may be wrong only as a whole.
fn narrow(
    around: &dyn Fn(Value) -> Table,
    value: &Value,
    path: &str,
    found: &mut Vec<(String, String)>,
) {
    let Err(error) = Fragment::of(&around(value.clone())) else { return };
    let before = found.len();
    match value {
        Value::Table(parts) => {
            for (key, part) in parts {
                let inner =
                    |part: Value| around(Value::Table(Table::from_iter([(key.clone(), part)])));
                narrow(&inner, part, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_table) => {
            for (n, item) in items.iter().enumerate() {
                if let Err(error) = Fragment::of(&around(Value::Array(vec![item.clone()]))) {
                    // Tried alone, it is the first of its list.
                    let inner = error.path().strip_prefix(&format!("{path}.0")).unwrap_or_default();
                    found.push((format!("{path}.{n}{inner}"), error.message().to_owned()));
                }
            }
        }
        _ => {}
    }
    // No part of it is wrong alone: the whole is.
    if found.len() == before {
        found.push((path.to_owned(), error.message().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_with_its_line_and_none_hides_another() {
        let text = "[device]\nproduct = 5\nstate = \"/x\"\nhold = \"yes\"\n[trial]\ndeadline = \"soon\"\n\
            [inhibit]\nbattery_min = 400\nwear = \"much\"\n[[health.check]]\nname = \"a\"\ntcp = \"h:1\"\n\
            [[health.check]]\nname = \"b\"\n[[hook]]\nname = \"c\"\nat = \"never\"\ncommand = [\"/x\"]\n";
        let table: Table = text.parse().unwrap();
        let found = in_file(Path::new("f.toml"), text, &table);
        let places: Vec<_> = found.iter().map(|f| f.splitn(4, ':').collect::<Vec<_>>()).collect();
        let places: Vec<_> = places.iter().map(|p| format!("{}:{}", p[1], p[2])).collect();
        let want = [
            "2: device.product",
            "4: device.hold",
            "6: trial.deadline",
            "8: inhibit.battery_min",
            "9: inhibit.wear",
            "13: health.check.1",
            "17: hook.0.at",
        ];
        assert_eq!(places, want, "{found:#?}");
    }

    #[test]
    fn a_sound_file_has_none() {
        let text = "[device]\nproduct = \"demo\"\n";
        assert!(in_file(Path::new("f"), text, &text.parse().unwrap()).is_empty());
    }
}

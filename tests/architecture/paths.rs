//! Where a path of a device is spelled out though `packaging/paths` is the place for it.

use std::path::Path;

/// The values that only that file may spell: what belongs to the system (`/run/lock`, the folders of units) is others' to name too.
pub(crate) fn values(text: &str) -> Vec<String> {
    let own = ["DATA", "STATE", "RUN", "BIN", "ETC", "LIB", "TRUST", "FW_ENV_CONFIG", "LINKS"];
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let found: Vec<String> =
        lines.filter(|(name, _)| own.contains(name)).map(|(_, value)| value.to_owned()).collect();
    assert_eq!(found.len(), own.len(), "packaging/paths lacks a name");
    found
}

/// `path:line: value` for each place where `text` spells one of the values. In Rust, comments and the tests at the end of a file may;
/// elsewhere comments may.
pub(crate) fn spelled(path: &Path, text: &str, values: &[String]) -> Vec<String> {
    let rust = path.extension().is_some_and(|x| x == "rs");
    let comment = if rust { "//" } else { "#" };
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if rust && line == "mod tests {" {
            break;
        }
        if line.trim_start().starts_with(comment) {
            continue;
        }
        // The longest value alone is told: `/data/surefoot`, and not `/data` too.
        let found = values.iter().filter(|value| spells(line, value)).max_by_key(|v| v.len());
        faults.extend(found.map(|v| format!("{}:{}: {v}", path.display(), number + 1)));
    }
    faults
}

fn spells(line: &str, value: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_.@".contains(c);
    line.match_indices(value).any(|(at, _)| {
        // Behind the name of a folder it is another path; behind a variable (`$root/etc/…`) it is this one.
        let folder = line[..at].trim_end_matches(inside);
        let begins = folder.len() == at || folder.ends_with('$');
        let rest = &line[at + value.len()..];
        let after = rest.strip_prefix('.').unwrap_or(rest).chars().next();
        begins && !after.is_some_and(|c| inside(c) || c == '-')
    })
}

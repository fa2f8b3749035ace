//! Where in a file a key stands, for whoever has to correct it: pure.

use std::collections::BTreeMap;

/// The line, counted from 1, at which the setting `path` is written, or else the table around it.
/// Entries of lists are numbered from 0, as in `hook.1.colour`.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut table = String::new();
    let mut lists: BTreeMap<String, usize> = BTreeMap::new();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let name = |left: &str, right: &str| {
            let inner = line.strip_prefix(left)?.split(right).next()?;
            Some(inner.replace([' ', '"', '\''], ""))
        };
        if let Some(list) = name("[[", "]]") {
            let entry = lists.entry(list.clone()).and_modify(|n| *n += 1).or_insert(0);
            table = format!("{list}.{entry}");
            found.entry(table.clone()).or_insert(number);
        } else if let Some(header) = name("[", "]") {
            table = header;
            found.entry(table.clone()).or_insert(number);
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let key = key.replace([' ', '"', '\''], "");
            let key = if table.is_empty() { key } else { format!("{table}.{key}") };
            found.entry(key).or_insert(number);
        }
    }
    let mut path = path;
    loop {
        match (found.get(path), path.rsplit_once('.')) {
            (Some(line), _) => return Some(*line),
            (None, Some((around, _))) => path = around,
            (None, None) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_tables_lists_and_tables_within_a_line() {
        let text = "top = 1\n[a]\n# x = 1\nx = 1\ny.z = 2\n\n[[l]]\nn = 1\n[[ l ]]\n\"n\" = { m = 1 }\n[a.b]\nx=3\n";
        for (path, line) in [
            ("top", Some(1)),
            ("a", Some(2)),
            ("a.x", Some(4)),
            ("a.y.z", Some(5)),
            ("l.0.n", Some(8)),
            ("l.1.n", Some(10)),
            ("l.1.n.m", Some(10)),
            ("a.b.x", Some(12)),
            ("a.b.c", Some(11)),
            ("nowhere", None),
        ] {
            assert_eq!(line_of(text, path), line, "{path}");
        }
    }
}

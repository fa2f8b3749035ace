//! The Yocto layer is in step with the program and with its manual. What it computes, and what BitBake says of it, is tried by `tests/yocto/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out
}

/// Every name in a text that begins with `SUREFOOT_`.
fn names(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (at, start) in text.match_indices("SUREFOOT_") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let rest = text[at + start.len()..].chars();
        let tail: String = rest.take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        out.insert(format!("SUREFOOT_{}", tail.trim_end_matches('_')));
    }
    out.remove("SUREFOOT_"); // the prefix itself, in the check of names
    out
}

/// The table of variables in the manual: name and default.
fn table() -> BTreeMap<String, String> {
    let page = read("docs/yocto.md");
    let (_, table) = page.split_once("## Every variable").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `SUREFOOT_"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = format!("SUREFOOT_{}", cells.next().unwrap().trim_end_matches('`'));
        (name, cells.next().unwrap().trim_matches('`').to_owned())
    })
    .collect()
}

#[test]
fn the_manual_begins_with_the_three_lines_of_local_conf() {
    let page = read("docs/yocto.md");
    let block: Vec<&str> = page.lines().skip(2).take(5).collect();
    assert_eq!(block[0], "```");
    assert_eq!(block[4], "```");
    assert!(block[1].starts_with("require conf/distro/include/surefoot.inc"), "{block:?}");
    assert!(top().join("yocto-layer/conf/distro/include/surefoot.inc").exists());
    assert!(block[2].starts_with("SUREFOOT_PRODUCT = "), "{block:?}");
    assert!(block[3].starts_with("SUREFOOT_KEYS = "), "{block:?}");
}

#[test]
fn the_table_of_variables_is_what_the_layer_uses() {
    let mut used = BTreeSet::new();
    for file in files(&top().join("yocto-layer")) {
        if !file.components().any(|part| part.as_os_str() == "__pycache__") {
            used.extend(names(&String::from_utf8_lossy(&std::fs::read(&file).unwrap())));
        }
    }
    // Pieces of names that are put together, like f"SUREFOOT_{name}_SIZE", and one that is a glob of words.
    used.retain(|name| name != "SUREFOOT" && name != "SUREFOOT_ENV");
    let table = table();
    let told: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(used, told);
    assert!(told.len() <= 40, "{}", told.len());
    // The list that misspelt names are held against.
    let source = read("yocto-layer/lib/surefoot/__init__.py");
    let (_, list) = source.split_once("NAMES = \"\"\"").unwrap();
    let (list, _) = list.split_once("\"\"\"").unwrap();
    let known: Vec<&str> = list.split_whitespace().collect();
    assert_eq!(known.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), told);
    assert!(known.is_sorted(), "{known:?}");
}

#[test]
fn the_defaults_in_the_table_are_those_of_the_layer() {
    let table = table();
    let mut seen = 0;
    for line in read("yocto-layer/conf/distro/include/surefoot.inc").lines() {
        let Some((name, value)) = line.split_once(" ??= ") else { continue };
        if !name.starts_with("SUREFOOT_") {
            continue;
        }
        seen += 1;
        let value = value.trim_matches('"');
        let told = table.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        if value.is_empty() {
            assert_eq!(told, "empty", "{name}");
        } else if !value.contains("${@") {
            assert_eq!(told, value, "{name}");
        }
    }
    // All but the two internal ones.
    assert_eq!(seen, table.len() - 2);
}

#[test]
fn the_list_of_crates_is_what_cargo_lock_says() {
    let told =
        Command::new(top().join("yocto-layer/tools/crates")).arg("--check").output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn the_licenses_are_those_that_the_recipes_name() {
    let inc = read("yocto-layer/recipes-core/surefoot/surefoot.inc");
    let script = read("yocto-layer/recipes-bsp/surefoot-boot-script/surefoot-boot-script_git.bb");
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let told = Command::new("md5sum").arg(top().join(file)).output().unwrap();
        let sum = String::from_utf8(told.stdout).unwrap();
        let entry = format!("file://{file};md5={}", sum.split(' ').next().unwrap());
        assert!(inc.contains(&entry) && script.contains(&entry), "{entry}");
    }
    assert_eq!(read("yocto-layer/COPYING.MIT"), read("LICENSE-MIT"));
}

#[test]
fn every_file_that_a_layer_must_have_is_there() {
    for (file, word) in [
        ("README.md", "## Dependencies"),
        ("README.md", "## Patches"),
        ("README.md", "## Maintainers"),
        ("SECURITY.md", "# Security"),
        ("conf/layer.conf", "LAYERSERIES_COMPAT_surefoot = \"scarthgap wrynose blacksail\""),
        ("kas/qemuarm64.yml", "machine: qemuarm64"),
        ("kas/raspberrypi4-64.yml", "machine: raspberrypi4-64"),
        ("kas/genericx86-64.yml", "NO UPDATES until the bootloader is supported"),
        ("files/wic/surefoot-efi.wks.in", "NO UPDATES until the bootloader is supported"),
        ("files/wic/surefoot-tryboot.wks.in", "NO UPDATES until the bootloader is supported"),
    ] {
        assert!(read(&format!("yocto-layer/{file}")).contains(word), "{file}: {word}");
    }
}

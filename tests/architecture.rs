//! The room table in ARCHITECTURE.md is a promise; this test holds the code to it.
//!
//! It reads tokens, not lines: comments and strings cannot hide or fake an edge. Items under
//! `#[cfg(test)]` may use anything. Every rule is also shown a planted fault, so that a rule that
//! sees nothing fails here and not in review.

// Helpers of a test stand outside #[test] functions; a panic there is the test's verdict.
#![allow(clippy::unwrap_used)]

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/table.rs"]
mod table;

use graph::Graph;
use scan::{Source, Use};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use table::Table;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn house() -> Table {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    Table::parse(&text).unwrap()
}

/// Every Rust file below `src/`, with its path relative to it.
fn sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    let (mut out, mut folders) = (Vec::new(), vec![src.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|x| x == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((path.strip_prefix(&src).unwrap().to_owned(), text));
            }
        }
    }
    // Modules that their parent declares under `#[cfg(test)]` are tests as a whole.
    let tests: Vec<PathBuf> = out.iter().flat_map(|(p, t)| scan::test_modules(p, t)).collect();
    out.retain(|(path, _)| !tests.iter().any(|test| path.starts_with(test)));
    assert!(out.len() > 40, "only {} source files found", out.len());
    out.sort();
    out
}

/// Every file below these folders and of these names that makes or names a path of a device; the pictures of devices in tests/ do as a
/// device's owner does, and docs tell the usual values.
fn with_paths() -> Vec<(PathBuf, String)> {
    let mut out: Vec<(PathBuf, String)> =
        sources().into_iter().map(|(path, text)| (Path::new("src").join(path), text)).collect();
    let mut folders: Vec<PathBuf> =
        ["systemd", "packaging", "buildroot", "yocto-layer", "uboot-scripts"]
            .map(|f| root().join(f))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                out.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    // It runs on devices of another updater, where the path is that of the tools for U-Boot's environment.
    out.retain(|(path, _)| {
        !["packaging/paths", "uboot-scripts/adopt"].iter().any(|p| path == Path::new(p))
    });
    out
}

#[test]
fn a_path_of_a_device_is_spelled_in_one_place() {
    let values = paths::values(&std::fs::read_to_string(root().join("packaging/paths")).unwrap());
    let faults: Vec<String> =
        with_paths().iter().flat_map(|(path, text)| paths::spelled(path, text, &values)).collect();
    assert!(faults.is_empty(), "packaging/paths is the place for these:\n{}", faults.join("\n"));
    let found = |name: &str, text: &str| paths::spelled(Path::new(name), text, &values).len();
    assert_eq!(found("a.rs", "let x = \"/data/surefoot\";"), 1);
    assert_eq!(found("a.service", "ReadWritePaths=-/data\nExecStart=/usr/bin/surefoot daemon"), 2);
    assert_eq!(found("a.sh", "cp x \"$root/etc/fw_env.config\"\nls /run/surefoot/y"), 2);
    assert_eq!(
        found("a.rs", "// in /data\nlet x = \"/database\";\n#[cfg(test)]\nmod tests {\n\"/data\""),
        0
    );
}

/// What is wrong with the uses of one file. `path` is relative to `src/`.
fn edge_faults(table: &Table, path: &Path, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    let Some(room) = source.room() else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for found in source.uses() {
        match found {
            Use::Room(other) if other == room => {}
            Use::Room(other) => {
                if !table.allows(&room, &other) {
                    faults.push(format!(
                        "{}: `{room}` uses `{other}`, which its row in ARCHITECTURE.md does not name",
                        path.display()
                    ));
                }
            }
            Use::WholeCrate(how) => faults
                .push(format!("{}: {how} hides which rooms are used; name them", path.display())),
        }
    }
    faults
}

#[test]
fn rooms_use_only_what_their_row_names() {
    let table = house();
    let faults: Vec<String> =
        sources().iter().flat_map(|(path, text)| edge_faults(&table, path, text)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_planted_edge_of_each_kind_is_seen() {
    let table = house();
    let planted = [
        ("disk/gpt.rs", "use crate::cli::run;"),
        ("disk/gpt.rs", "fn f() { crate::cli::run(); }"),
        ("disk/gpt.rs", "use crate::{model::Digest, cli};"),
        (
            "disk/gpt.rs",
            "use crate::{\n    model::{Digest, SlotId},\n    update::{decide, journal},\n};",
        ),
        ("disk/gpt.rs", "use super::super::cli::run;"),
        ("disk/gpt.rs", "use super::super::{model::Digest, cli::run};"),
        ("disk/mod.rs", "use super::cli;"),
        ("disk/mod.rs", "mod inner { use super::super::cli; }"),
        ("disk/mod.rs", "mod inner { fn f() { super::super::cli::run() } }"),
        ("boot/uboot/env.rs", "fn f() -> super::super::super::cli::X { todo!() }"),
        ("disk/gpt.rs", "use crate as x;\nfn f() { x::cli::run(); }"),
        ("disk/gpt.rs", "use {crate as x, std::fs};"),
        ("disk/gpt.rs", "use super::super as up;\nfn f() { up::cli::run(); }"),
        ("disk/gpt.rs", "use crate::{self as x};"),
        ("disk/gpt.rs", "extern crate self as x;"),
        ("disk/gpt.rs", "use crate::*;"),
        ("disk/mod.rs", "use super::*;"),
        ("disk/gpt.rs", "macro_rules! m { () => { $crate::cli::run() }; }"),
        ("disk/gpt.rs", "fn f(x: &dyn crate :: cli :: T) {}"),
        ("disk/gpt.rs", "#[cfg(test)]\nmod tests { use crate::cli; }\nuse crate::update;"),
        ("disk/gpt.rs", "#[cfg(test)] use std::fs;\nuse crate::cli;"),
        ("disk/gpt.rs", "#[derive(X)] // crate::model\nstruct S(/* } */ crate::cli::C);"),
        ("model/text.rs", "use crate::event::Event;"),
        ("cli/mod.rs", "use crate::sim;"),
    ];
    for (path, text) in planted {
        assert_eq!(
            edge_faults(&table, Path::new(path), text).len(),
            1,
            "in {path}: {text}\n{:?}",
            edge_faults(&table, Path::new(path), text)
        );
    }
    let allowed = [
        ("disk/gpt.rs", "use crate::model::Digest; use super::device; use crate::disk::Window;"),
        ("disk/gpt.rs", "// use crate::cli;\n/* crate::cli /* nested */ crate::cli */ fn f() {}"),
        (
            "disk/gpt.rs",
            "const S: &str = \"crate::cli\"; const R: &str = r#\"\"crate::cli\"#; fn f<'a>(c: char) -> bool { c == '\"' }",
        ),
        ("disk/gpt.rs", "#[cfg(test)]\nmod tests { use crate::cli; fn f() { let x = '{'; } }"),
        (
            "disk/gpt.rs",
            "#[cfg(test)]\n#[allow(unused)]\npub(crate) fn tests<A, B>() { crate::cli::run() }",
        ),
        ("disk/mod.rs", "mod inner { use super::device; use super::super::sys; }"),
        ("disk/mod.rs", "pub(crate) mod inner; pub(super) use self::device::Window;"),
        ("sim/mod.rs", "use crate::{boot, provision, forge};"),
    ];
    for (path, text) in allowed {
        let faults = edge_faults(&table, Path::new(path), text);
        assert!(faults.is_empty(), "in {path}: {text}\n{faults:?}");
    }
}

#[test]
fn a_module_declared_for_tests_is_left_out() {
    let found = scan::test_modules(
        Path::new("update/mod.rs"),
        "mod a;\n#[cfg(test)]\npub(crate) mod explore;\n#[cfg(test)]\nmod tests { mod x; }\n// #[cfg(test)] mod no;\n\
         #[cfg(all(test, feature = \"sim\"))]\nmod cuts;\n#[cfg(any(test, feature = \"sim\"))]\nmod kept;",
    );
    let both = ["update/explore.rs", "update/explore", "update/cuts.rs", "update/cuts"];
    assert_eq!(found, both.map(PathBuf::from));
}

#[test]
fn the_table_and_the_folders_agree() {
    let rows: BTreeSet<String> = house().rooms().collect();
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "bin" {
            folders.insert(name);
        } else if path.is_file() {
            assert_eq!(name, "lib.rs", "a file beside the rooms");
        }
    }
    assert_eq!(rows, folders, "left: rows of the table; right: folders in src/");
}

#[test]
fn the_table_has_no_tangle() {
    let table = house();
    assert_eq!(table.cycle(), None);
    let tangled = "| Floor | Room | One sentence | May use |\n|--|--|--|--|\n\
                   | H | `a` | x | b |\n| H | `b` | x | c |\n| H | `c` | x | a |\n";
    assert!(Table::parse(tangled).unwrap().cycle().is_some());
    let upward = "| Floor | Room | One sentence | May use |\n|--|--|--|--|\n\
                  | 0 | `a` | x | b |\n| 1 | `b` | x | – |\n";
    assert!(Table::parse(upward).unwrap_err().contains("above"));
}

#[test]
fn files_use_each_other_in_no_circle() {
    let sources = sources();
    let graph = Graph::new(&sources);
    let circles = graph.circles();
    let largest = circles.first().map_or(1, BTreeSet::len);
    let (uses, across) = graph.edges();
    let lines = |text: &String| text.lines().count();
    println!("rooms            {}", house().rooms().count());
    println!("files            {}", sources.len());
    println!("edges            {uses} between files, {across} of them between rooms");
    println!("largest circle   {largest} file{}", if largest == 1 { "" } else { "s" });
    println!("files over 300 lines:");
    for (path, text) in sources.iter().filter(|(_, text)| lines(text) > 300) {
        println!("  {:4} {}", lines(text), path.display());
    }
    let told: Vec<String> = circles.iter().flat_map(|c| graph.uses_in(c)).collect();
    assert!(circles.is_empty(), "\n{}\n", told.join("\n"));
}

#[test]
fn a_planted_circle_is_seen_through_every_kind_of_import() {
    let circle = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(p, t)| (p.into(), (*t).to_owned())).collect();
        Graph::new(&files).circles().first().map_or(0, BTreeSet::len)
    };
    let door = ("a/mod.rs", "mod x;\nmod y;\npub use x::X;\npub use y::Y;");
    let x = ("a/x.rs", "use super::y::Y;\npub struct X(Y);");
    for y in [
        "use super::x::X;\npub struct Y(X);",
        "use super::X;\npub struct Y(X);",
        "use crate::a::X;\npub struct Y(X);",
        "use super::{X, y};\npub struct Y(X);",
        "pub struct Y(super::X);",
        "use crate::a;\npub struct Y(a::X);",
        "use super::x;\npub struct Y(x::X);",
        "pub struct Y; impl Y { fn f() { use super::X; } }",
    ] {
        assert_eq!(circle(&[door, x, ("a/y.rs", y)]), 2, "{y}");
    }
    let calm =
        "use super::z::Z;\npub struct Y(Z);\n#[cfg(test)]\nmod tests { use super::super::X; }";
    assert_eq!(circle(&[door, x, ("a/y.rs", calm), ("a/z.rs", "pub struct Z;")]), 0);
    let third = ("a/z.rs", "use super::X;\npub struct Z(X);");
    assert_eq!(circle(&[door, x, ("a/y.rs", calm), third]), 3);
}

/// What a room may use and does not.
fn unused(table: &Table, sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut left: Vec<(String, String)> = Vec::new();
    for room in table.rooms() {
        left.extend(table.named(&room).iter().map(|other| (room.clone(), other.clone())));
    }
    for (path, text) in sources {
        let source = Source::new(path, text);
        let used = source.uses();
        let room = source.room();
        left.retain(|(from, to)| {
            Some(from) != room.as_ref() || !used.contains(&Use::Room(to.clone()))
        });
    }
    left.into_iter()
        .map(|(from, to)| format!("`{from}` names `{to}`, and no file of it uses it"))
        .collect()
}

#[test]
fn a_row_names_no_more_than_is_used() {
    let found = unused(&house(), &sources());
    assert!(found.is_empty(), "ARCHITECTURE.md:\n{}\n", found.join("\n"));
    let rows = "| Floor | Room | One sentence | May use |\n|--|--|--|--|\n\
                | 0 | `a` | x | – |\n| 1 | `b` | x | a |\n";
    let table = Table::parse(rows).unwrap();
    let file = |text: &str| vec![(PathBuf::from("b/mod.rs"), text.to_owned())];
    assert_eq!(unused(&table, &file("fn f() { crate::a::g() }")).len(), 0);
    assert_eq!(unused(&table, &file("// crate::a")).len(), 1);
    assert_eq!(unused(&table, &file("#[cfg(test)]\nmod tests { use crate::a; }")).len(), 1);
}

/// Names of other rooms that a file offers as its own: a name has one place.
fn offered_again(path: &Path, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    let Some(room) = source.room() else { return Vec::new() };
    let foreign = |import: &scan::Import| {
        let of = import.path.first();
        import.public && of.is_some_and(|of| *of != room && house().rooms().any(|r| r == *of))
    };
    let found = source.imports().into_iter().filter(foreign);
    found.map(|i| format!("{}: {}", path.display(), i.path.join("::"))).collect()
}

#[test]
fn a_room_offers_no_names_of_another() {
    let found: Vec<String> =
        sources().iter().flat_map(|(path, text)| offered_again(path, text)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    let door = Path::new("device/mod.rs");
    assert_eq!(offered_again(door, "pub use crate::model::State;").len(), 1);
    assert_eq!(offered_again(door, "pub(crate) use super::model::{State, SlotId};").len(), 2);
    assert_eq!(offered_again(door, "use crate::model::State;\npub use world::World;").len(), 0);
}

/// The list that follows `words` in ARCHITECTURE.md, up to the end of the sentence.
fn listed(words: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no `{words}`"));
    let sentence = rest.split(". ").next().unwrap();
    sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn traits_stand_where_the_map_says() {
    let mut found = BTreeSet::new();
    for (path, text) in sources() {
        found.extend(Source::new(&path, &text).traits());
    }
    assert_eq!(found, listed("Traits stand only where the world really differs:"));
    let planted =
        Source::new(Path::new("disk/x.rs"), "// trait A\npub(super) trait B {}\nfn f() {}");
    assert_eq!(planted.traits(), ["B".to_owned()].into());
}

#[test]
fn processes_are_started_where_the_map_says() {
    // clap has a type of this name.
    let starts = |path: &Path, text: &str| {
        let source = Source::new(path, text);
        source.names("Command", "new") && !source.names("clap", "Command")
    };
    let found: BTreeSet<String> = sources()
        .iter()
        .filter(|(path, text)| starts(path, text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(found, listed("Processes are started in"));
    assert!(starts(Path::new("x.rs"), "fn f() { std::process::Command::new(x); }"));
    let renamed = "use std::process::{Command as Run, Stdio};\nfn f() { Run::new(x); }";
    assert!(starts(Path::new("x.rs"), renamed));
    assert!(!starts(Path::new("x.rs"), "// Command::new"));
}

/// Words that only `sys` may say.
fn kernel_words(path: &Path, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    if source.room().as_deref() == Some("sys") {
        return Vec::new();
    }
    source
        .words()
        .filter(|word| ["unsafe", "nix", "libc", "unsafe_code"].contains(&word.as_str()))
        .map(|word| format!("{}: `{word}`", path.display()))
        .collect()
}

#[test]
fn only_sys_speaks_to_the_kernel() {
    let found: Vec<String> =
        sources().iter().flat_map(|(path, text)| kernel_words(path, text)).collect();
    assert!(found.is_empty(), "outside sys:\n{}\n", found.join("\n"));
    for (path, text) in [
        ("slot/mod.rs", "fn f() { unsafe { g() } }"),
        ("slot/mod.rs", "use nix::fcntl;"),
        ("bin/surefoot.rs", "#![allow(unsafe_code)]"),
        ("slot/mod.rs", "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }"),
    ] {
        assert_eq!(kernel_words(Path::new(path), text).len(), 1, "{text}");
    }
    assert!(kernel_words(Path::new("sys/x.rs"), "unsafe {}").is_empty());
    assert!(kernel_words(Path::new("slot/x.rs"), "// unsafe nix\n").is_empty());
}

/// Who may name a part of `boot::uboot`: the room itself, and what makes, judges or simulates disks of boards with
/// U-Boot. All others meet a bootloader behind `BootControl`.
fn names_u_boot(path: &Path, text: &str) -> bool {
    let source = Source::new(path, text);
    let known = ["boot", "imagecheck", "provision", "sim"];
    let may = source.room().is_none_or(|room| known.contains(&room.as_str()));
    !may && source.names("boot", "uboot")
}

#[test]
fn a_bootloader_is_met_behind_its_trait() {
    for (path, text) in sources() {
        assert!(!names_u_boot(&path, &text), "{}: use boot::BootControl", path.display());
    }
    let planted = "use crate::boot::uboot::Env;";
    assert!(names_u_boot(Path::new("device/world.rs"), planted));
    assert!(names_u_boot(Path::new("powercut/x.rs"), "fn f() { crate::boot::uboot::apply() }"));
    let grouped = "use crate::boot::{BootControl, uboot::{Env, apply}};";
    assert!(names_u_boot(Path::new("device/world.rs"), grouped));
    let renamed = "use crate::boot as b;\nfn f() { b::uboot::apply() }";
    assert!(names_u_boot(Path::new("device/world.rs"), renamed));
    assert!(!names_u_boot(Path::new("sim/boot.rs"), planted));
    assert!(!names_u_boot(Path::new("device/world.rs"), "use crate::boot::BootControl;"));
}

/// What is wrong with the first paragraph of a room's `mod.rs`.
fn door_fault(text: &str) -> Option<&'static str> {
    let first: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    if first.is_empty() {
        Some("does not begin with `//!`")
    } else if !first.join(" ").split_whitespace().any(|w| w.eq_ignore_ascii_case("never")) {
        Some("does not say in its first paragraph what the room never does")
    } else {
        None
    }
}

#[test]
fn a_room_says_on_its_door_what_it_never_does() {
    let mut doors = 0;
    for (path, text) in sources() {
        if path.components().count() == 2 && path.ends_with("mod.rs") {
            doors += 1;
            assert_eq!(door_fault(&text), None, "{}", path.display());
        } else if path.ends_with("mod.rs") {
            assert!(text.starts_with("//!"), "{}: no `//!` line", path.display());
        }
    }
    assert_eq!(doors, house().rooms().count());
    assert!(door_fault("mod x;").is_some());
    assert!(door_fault("//! Nice room.\n//!\n//! It never rains.\n").is_some());
    assert!(door_fault("//! Nice room; it never\n//! rains.\n").is_none());
}

/// Files are opened by `sys::files`: bounded, never waiting, ours never through a link. These have
/// a reason to open something else.
const OPENERS: [(&str, &str); 13] = [
    ("sys/files.rs", "the one place"),
    ("sys/durable.rs", "syncs folders"),
    ("sys/lock.rs", "looks at locks of others, which may be folders"),
    ("sys/kmsg.rs", "the kernel's log, a device"),
    ("sys/blk/mod.rs", "block devices and images, judged there"),
    ("sys/blk/file.rs", "block devices and images, judged there"),
    ("sys/power/record.rs", "the simulator's write log"),
    ("provision/image.rs", "makes a new image"),
    ("forge/file.rs", "artifacts, which may come through a pipe"),
    ("forge/key.rs", "makes a new key"),
    ("forge/pages.rs", "writes pages for a package"),
    ("sim/new.rs", "fills a folder that was empty"),
    ("sys/unnamed.rs", "opens a folder, for a file without a name in it"),
];

fn opens_by_itself(path: &Path, text: &str) -> bool {
    let source = Source::new(path, text);
    let calls = [
        ("File", "open"),
        ("File", "create"),
        ("File", "create_new"),
        ("File", "options"),
        ("OpenOptions", "new"),
        ("fs", "read"),
        ("fs", "read_to_string"),
        ("fs", "write"),
    ];
    calls.iter().any(|(first, last)| source.names(first, last))
}

#[test]
fn files_are_opened_in_one_place() {
    for (path, text) in sources() {
        // It makes whole disks, on a laptop.
        let known = path.starts_with("powercut")
            // In builds for fuzzers and tests alone.
            || path.ends_with("fuzz.rs")
            || path.ends_with("corpus.rs")
            || OPENERS.iter().any(|(known, _)| path == Path::new(known));
        assert!(known || !opens_by_itself(&path, &text), "{}: use sys::files", path.display());
    }
    let planted = Path::new("disk/x.rs");
    assert!(opens_by_itself(planted, "fn f() { std::fs::read_to_string(p) }"));
    assert!(opens_by_itself(planted, "fn f() { File::open(p) }"));
    assert!(opens_by_itself(planted, "use std::fs::{self, read};\nfn f() { read(p) }"));
    assert!(opens_by_itself(planted, "use std::fs::File as F;\nfn f() { F::create_new(p) }"));
    assert!(!opens_by_itself(planted, "fn f() { files::own(p) } // fs::read"));
}

/// What a file is and which room it belongs to is told by its place.
#[test]
fn no_shipped_file_is_taken_from_elsewhere() {
    for (path, text) in sources() {
        assert!(!Source::new(&path, &text).is_elsewhere(), "{}", path.display());
    }
    let elsewhere = |text| Source::new(Path::new("disk/x.rs"), text).is_elsewhere();
    assert!(elsewhere("#[path = \"../cli/run.rs\"]\nmod run;"));
    assert!(elsewhere("include!(\"../cli/run.rs\");"));
    assert!(!elsewhere("#[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;"));
    assert!(!elsewhere("const T: &str = include_str!(\"x.txt\");"));
}

#[test]
fn files_stay_small() {
    for (path, text) in sources() {
        let lines = Source::new(&path, &text).lines_of_code();
        assert!(lines <= 500, "{}: {lines} lines of code", path.display());
    }
    let long = "fn f() {}\n// no code\n\n".repeat(501);
    assert_eq!(Source::new(Path::new("disk/x.rs"), &long).lines_of_code(), 501);
}

#[test]
fn programs_are_thin_doors() {
    for (path, text) in sources() {
        if path.starts_with("bin") {
            let lines = Source::new(&path, &text).lines_of_code();
            assert!(lines <= 30, "{}: {lines} lines; move them to a room", path.display());
        }
    }
}

#[test]
fn the_map_holds_nothing_but_rooms() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let source = Source::new(Path::new("lib.rs"), &text);
    let allowed: BTreeSet<String> =
        house().rooms().chain(["pub", "mod", "cfg", "any", "feature"].map(String::from)).collect();
    let strange: Vec<String> = source.words().filter(|w| !allowed.contains(w)).collect();
    assert!(strange.is_empty(), "lib.rs says more than which rooms there are: {strange:?}");
}

/// The files that the module at `file` declares, and those that they declare.
fn compiled(file: &Path, is_root: bool, out: &mut BTreeSet<PathBuf>) {
    let Ok(text) = std::fs::read_to_string(file) else { return };
    out.insert(file.to_owned());
    let here = file.parent().unwrap();
    let below = match file.file_stem().unwrap().to_str().unwrap() {
        "mod" => here.to_owned(),
        _ if is_root => here.to_owned(),
        name => here.join(name),
    };
    let mut path = None;
    for line in text.lines().map(str::trim) {
        let word = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        if let Some(quoted) = line.strip_prefix("#[path = \"") {
            path = quoted.strip_suffix("\"]").map(|p| here.join(p));
        } else if let Some(name) = word.strip_prefix("mod ").and_then(|w| w.strip_suffix(';')) {
            let named = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
            for file in path.take().map_or(named.to_vec(), |p| vec![p]) {
                compiled(&file, false, out);
            }
        }
    }
}

#[test]
fn every_file_of_tests_is_compiled() {
    let cargo = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(cargo.contains("autotests = false"));
    let mut there = BTreeSet::new();
    let roots = cargo.lines().filter_map(|l| l.strip_prefix("path = \"tests/")?.strip_suffix('"'));
    for path in roots {
        compiled(&root().join("tests").join(path), true, &mut there);
    }
    let mut folders = vec![root().join("tests")];
    let mut missing = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|x| x == "rs") && !there.contains(&path) {
                missing.push(path);
            }
        }
    }
    assert!(there.len() > 50, "only {} files", there.len());
    assert!(missing.is_empty(), "no program has them, see `mod` in tests/main.rs: {missing:?}");
}

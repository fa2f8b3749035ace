//! Documents that can be generated are compared with what they come from; what they name exists.
//! `UPDATE_DOCS=1 cargo test --test docs` writes the generated ones.

// Helpers of a test stand outside #[test] functions; a panic there is the test's verdict.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use surefoot::model::{Class, ReasonCode};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Files with the given extension in the project's own folders.
fn files(extension: &str) -> Vec<PathBuf> {
    let (mut out, mut folders) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with("target") && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|x| x == extension) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

fn class_name(class: Class) -> String {
    format!("{class:?}")
}

fn reason_page() -> String {
    let mut by_class: BTreeMap<u8, Vec<ReasonCode>> = BTreeMap::new();
    for code in ReasonCode::ALL {
        by_class.entry(code.class().exit_status()).or_default().push(*code);
    }
    let mut page = String::from(
        "# Reason codes\n\n\
         Generated from `src/model/reason.rs` by `UPDATE_DOCS=1 cargo test --test docs`. A code never changes once released; new\n\
         ones are added. The class decides the [exit status](exit-codes.md).\n",
    );
    for (status, codes) in by_class {
        let class = codes[0].class();
        let (name, deed) = (class_name(class), class.device_does());
        write!(
            page,
            "\n## {name}: exit {status}\n\n{deed}\n\n\
             | Code | Meaning | What a person does next |\n|---|---|---|\n"
        )
        .unwrap();
        for code in codes {
            writeln!(page, "| `{code}` | {} | {} |", code.meaning(), code.next_step()).unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_reason_codes_is_the_table_in_the_code() {
    let page = reason_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join("docs/reason-codes.md"), &page).unwrap();
    }
    assert!(
        read("docs/reason-codes.md") == page,
        "docs/reason-codes.md is out of date: UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn the_reference_of_the_settings_is_the_list_in_the_code() {
    let page = surefoot::forge::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join("docs/configuration.md"), &page).unwrap();
    }
    assert!(
        read("docs/configuration.md") == page,
        "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test --test docs"
    );
}

fn events_page() -> String {
    let mut page = String::from(
        "# Events\n\n\
         Generated from `src/event/` by `UPDATE_DOCS=1 cargo test --test docs`. A name, a field and an id never change once released; new ones\n\
         are added, so a reader skips what it does not know.\n\n\
         `surefoot events --follow --json` and `GET /v1/events?follow=1` ([control.md](control.md)) print them as JSON lines, each with `v`, `number` (counts from 1 in\n\
         the daemon's life) and `at` (seconds since 1970 by the clock of that moment) in front. The journal keeps those that have a `MESSAGE_ID`:\n\n\
         ```sh\n\
         journalctl MESSAGE_ID=ffbd367c39284eeb96b5f81b374b9842     # every return to the old system\n\
         ```\n",
    );
    for (meaning, event) in surefoot::event::examples() {
        let line = serde_json::to_string(&event).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        write!(page, "\n## {}\n\n{meaning}\n\n", value["event"].as_str().unwrap()).unwrap();
        writeln!(page, "```json\n{line}\n```\n").unwrap();
        match event.told() {
            Some(told) => writeln!(
                page,
                "`MESSAGE_ID={}`, `PRIORITY={}`: {}",
                told.id, told.priority, told.line
            ),
            None => writeln!(page, "Not in the journal."),
        }
        .unwrap();
    }
    page
}

#[test]
fn the_page_of_events_is_made_of_the_events() {
    let page = events_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join("docs/events.md"), &page).unwrap();
    }
    assert!(
        read("docs/events.md") == page,
        "docs/events.md is out of date: UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn the_page_of_the_control_socket_knows_every_request_and_parameter() {
    let page = read("docs/control.md");
    let described: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let known: BTreeSet<String> = surefoot::request::ROUTES
        .iter()
        .map(|route| format!("{} {}", route.methods()[0], route.path))
        .collect();
    assert_eq!(described, known, "left: docs/control.md; right: src/request/table.rs");
    for route in surefoot::request::ROUTES {
        let name = format!("### `{} {}`", route.methods()[0], route.path);
        let section = page.split(&name).nth(1).unwrap().split("\n#").next().unwrap();
        // What every order knows is told once.
        let own = route.parameters().filter(|p| !["by", "progress"].contains(p));
        for parameter in own {
            assert!(section.contains(&format!("`{parameter}")), "{name}: {parameter}");
        }
    }
}

#[test]
fn every_request_can_be_typed_as_it_is_called() {
    let grammar = surefoot::cli::command();
    let typed = |path: &str| {
        let mut words = path.split('/').peekable();
        let mut at = &grammar;
        while let Some(word) = words.next() {
            let mut verbs = at.get_subcommands();
            let found = verbs.find(|v| v.get_name_and_visible_aliases().contains(&word));
            at = found?;
            // `GET /v1/apps` is `surefoot apps status`.
            if words.peek().is_none() && at.has_subcommands() {
                at.find_subcommand("status")?;
            }
        }
        Some(())
    };
    for route in surefoot::request::ROUTES {
        match route.path.strip_prefix("/v1").map(|rest| rest.trim_start_matches('/')) {
            // The version is `--version`; an artifact is judged by `verify FILE`.
            Some("" | "judge") => {}
            Some(name) => assert!(typed(name).is_some(), "`surefoot {name}` is no verb"),
            None => panic!("{} has no version", route.path),
        }
    }
}

#[test]
fn paths_of_requests_stand_in_one_table() {
    let mut tables = 0;
    for path in files("rs").into_iter().filter(|path| path.starts_with(root().join("src"))) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        // A container engine has versions of its own: `/v1.41`.
        let named = code.matches("\"/v1").count() - code.matches("\"/v1.").count();
        let allowed = match path.strip_prefix(root().join("src")).unwrap().to_str().unwrap() {
            "request/table.rs" => surefoot::request::ROUTES.len(),
            // With a slash behind it the root is the same.
            "request/route.rs" => 2,
            _ => 0,
        };
        assert_eq!(named, allowed, "{}", path.display());
        tables += usize::from(named > 0);
    }
    assert_eq!(tables, 2);
}

#[test]
fn the_page_of_exit_statuses_names_every_class() {
    let mut expected: BTreeMap<u8, String> = ReasonCode::ALL
        .iter()
        .map(|code| (code.class().exit_status(), class_name(code.class())))
        .collect();
    expected.insert(0, "–".into());
    let page: BTreeMap<u8, String> = read("docs/exit-codes.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(page, expected);
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let used: BTreeSet<String> = ["dependencies", "dev-dependencies"]
        .iter()
        .flat_map(|kind| manifest[*kind].as_table().unwrap().keys().cloned())
        .collect();
    let page = read("ARCHITECTURE.md");
    let table = page.split("| Crate | Why it is here |").nth(1).unwrap();
    let explained: BTreeSet<String> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "))
        .flat_map(|line| line.split('|').next().unwrap().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(explained, used, "left: ARCHITECTURE.md; right: Cargo.toml");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    for page in files("md") {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(
                page.parent().unwrap().join(file).exists(),
                "{}: link to {target}",
                page.display()
            );
        }
    }
    assert!(links > 10, "only {links} links found");
}

#[test]
fn every_claim_of_security_names_a_test_that_exists() {
    let text = read("SECURITY.md");
    let table = text.split("<!-- claims -->").nth(1).unwrap();
    let table = table.split("<!-- /claims -->").next().unwrap();
    let sources: String =
        files("rs").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut claims = 0;
    for row in table.lines().filter(|l| l.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 4, "{row}");
        let named: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "a claim without a test: {row}");
        for name in named {
            let exists = if name.contains('/') {
                root().join(name).exists()
            } else {
                // A scene of `scenes!` is a test on each bootloader, if it stands in the list.
                let scene = [format!("fn {name}(on: On)"), format!("\n    {name},\n")];
                sources.contains(&format!("fn {name}()"))
                    || scene.iter().all(|part| sources.contains(part))
            };
            assert!(exists, "no such test `{name}`: {row}");
            claims += 1;
        }
    }
    assert!(claims > 10, "only {claims} tests are named");
}

/// Configurations that a page shows: ```` ```toml surefoot ```` is a whole one, with the word `part` a file that is added to another.
#[test]
fn configurations_that_are_shown_are_read_without_a_mistake() {
    use surefoot::config::{Where, load};
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for page in files("md") {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```toml surefoot").skip(1) {
            let (info, block) = block.split_once('\n').unwrap();
            let shown = block.split("```").next().unwrap();
            let device = "[device]\nproduct = \"p\"\ncompatible = \"c\"\ndisk = \"d\"\n";
            let whole = match info.trim() {
                "part" => format!("{device}{shown}"),
                _ => shown.to_owned(),
            };
            let file = folder.path().join("surefoot.toml");
            std::fs::write(&file, whole).unwrap();
            let loaded = load(&Where::File(file)).unwrap_or_else(|e| panic!("{page:?}: {e}"));
            assert!(loaded.ignored.is_empty(), "{page:?}: {:?}", loaded.ignored);
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen}");
}

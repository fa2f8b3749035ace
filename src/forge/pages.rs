//! `docs DIR`: man pages, completions and the reference of the settings, as files that a package
//! can ship. All of it is made from the programs' own grammars and the list of settings.

use crate::config::reference::{SETTINGS, Setting, TABLES, place};
use crate::model::{ReasonCode, Result, WithReason, paths};
use clap_complete::{Shell, generate_to};
use clap_mangen::roff::{Roff, bold, roman};
use std::fmt::Write;
use std::path::Path;

/// Writes everything below `folder`, laid out like `/usr/share`; files of an earlier run are
/// replaced.
pub(super) fn write(folder: &Path, programs: Vec<clap::Command>) -> Result<()> {
    let make = |below: &str| {
        let path = folder.join(below);
        std::fs::create_dir_all(&path).reason(ReasonCode::Io, path.display())?;
        Ok(path)
    };
    let (commands, formats) = (make("man/man1")?, make("man/man5")?);
    let shells = [
        (Shell::Bash, make("bash-completion/completions")?),
        (Shell::Zsh, make("zsh/site-functions")?),
        (Shell::Fish, make("fish/vendor_completions.d")?),
    ];
    for program in programs {
        let program = visible(program);
        let name = program.get_name().to_owned();
        for (shell, path) in &shells {
            let made = generate_to(*shell, &mut program.clone(), &name, path);
            let made = made.reason(ReasonCode::Io, path.display())?;
            // bash-completion loads the file that is named like the program.
            if *shell == Shell::Bash {
                std::fs::rename(&made, path.join(&name)).reason(ReasonCode::Io, made.display())?;
            }
        }
        clap_mangen::generate_to(program, &commands).reason(ReasonCode::Io, commands.display())?;
    }
    let page = formats.join("surefoot.toml.5");
    std::fs::write(&page, manual()).reason(ReasonCode::Io, page.display())?;
    let page = make("doc/surefoot")?.join("configuration.md");
    std::fs::write(&page, reference()).reason(ReasonCode::Io, page.display())
}

/// The same grammar without what is hidden from people.
fn visible(program: clap::Command) -> clap::Command {
    let verbs: Vec<_> = program.get_subcommands().filter(|v| !v.is_hide_set()).cloned().collect();
    let known = ["surefoot", "surefoot-forge", "surefoot-sim"];
    let Some(name) = known.into_iter().find(|n| *n == program.get_name()) else { return program };
    let mut out = clap::Command::new(name).bin_name(name).version(env!("CARGO_PKG_VERSION"));
    if let Some(about) = program.get_about() {
        out = out.about(about.clone());
    }
    if let Some(after) = program.get_after_help() {
        out = out.after_help(after.clone());
    }
    let arguments: Vec<_> = program.get_arguments().cloned().collect();
    out.args(arguments).subcommands(verbs).subcommand_required(true)
}

fn settings_of(table: &str) -> impl Iterator<Item = &'static Setting> {
    let table = table.trim_matches(['[', ']']).to_owned();
    SETTINGS.iter().filter(move |s| place(s.key).0 == table)
}

/// Whether a setting must be written: it has no usual value, and no other kind of check stands
/// for it.
fn needed(setting: &Setting) -> &'static str {
    let one_of = "health.check.";
    match setting.usual {
        "" if setting.key.starts_with(one_of) && setting.key != "health.check.name" => {
            "one of these"
        }
        "" => "must be set",
        usual => usual,
    }
}

/// The reference of the settings as Markdown.
pub fn reference() -> String {
    let [lib, etc, run] = [paths::LIB, paths::ETC, paths::RUN];
    let mut out = format!(
        "# Configuration\n\nFor integrators: every setting of `surefoot.toml`. This page is made from the code.\n\n\
        The program reads `*.toml` in `{lib}`, `{etc}` and `{run}`, each folder in the order\n\
        of the names; what is read later wins. `trust.toml` in these folders is no configuration. `--config FILE` reads\n\
        this file and no other. Tables are merged, lists of named entries by their names, and anything else is replaced:\n\
        an empty list takes away what an earlier file has said.\n\n\
        A duration is a number with `s`, `m`, `h` or `d`; a size is a number of bytes, or one with `K`, `M` or `G`. A\n\
        relative path starts at the folder of the file that `--config` names, else at `/`.\n\n\
        `surefoot config check` names every mistake with its line; `surefoot config show --origin` says which file has set\n\
        each value.\n",
    );
    for (table, what) in TABLES {
        let _ = write!(out, "\n## `{table}`\n\n{what}\n");
        let settings: Vec<_> = settings_of(table).collect();
        if !settings.is_empty() {
            out.push_str("\n| Setting | Takes | Default | Meaning |\n|---|---|---|---|\n");
        }
        for setting in settings {
            let (name, takes) = (place(setting.key).1, setting.takes);
            let _ =
                writeln!(out, "| `{name}` | {takes} | {} | {} |", needed(setting), setting.text);
        }
    }
    out
}

/// The same as a page of the manual's section 5.
fn manual() -> String {
    let mut page = Roff::new();
    page.control("TH", ["surefoot.toml", "5", "", concat!("surefoot ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]).text([roman("surefoot.toml - the settings of surefoot(1)")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        concat!("The program reads *.toml in ", env!("SUREFOOT_PATH_LIB"), ", ", env!("SUREFOOT_PATH_ETC"), " and ",
            env!("SUREFOOT_PATH_RUN"), "; what is read later wins. \
         A duration is a number with s, m, h or d; a size is a number of bytes, or one with K, M or G. \
         surefoot config check names every mistake."),
    )]);
    for (table, what) in TABLES {
        page.control("SH", [table]).text([roman(plain(what))]);
        for setting in settings_of(table) {
            page.control("TP", []);
            page.text([bold(place(setting.key).1), roman(format!(" ({})", plain(setting.takes)))]);
            let usual = match needed(setting) {
                "must be set" => "It must be set.".to_owned(),
                "one of these" => "Exactly one of these is written.".to_owned(),
                usual => format!("Default: {}.", plain(usual)),
            };
            page.text([roman(format!("{} {usual}", plain(setting.text)))]);
        }
    }
    page.control("SH", ["SEE ALSO"]).text([roman("surefoot(1), surefoot-config-check(1)")]);
    page.render()
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

//! What a person reads before anything works: help and man pages.

mod common;

const PROGRAMS: [&str; 3] = [
    env!("CARGO_BIN_EXE_surefoot"),
    env!("CARGO_BIN_EXE_surefoot-forge"),
    env!("CARGO_BIN_EXE_surefoot-sim"),
];

fn grammars() -> [clap::Command; 3] {
    [surefoot::cli::command(), surefoot::forge::command(), surefoot::sim::command()]
}

#[test]
fn every_verb_explains_itself() {
    for (program, mut grammar) in PROGRAMS.iter().zip(grammars()) {
        let help = common::run(program, &["--help"], &[], b"").ok().out;
        assert!(help.contains("xample") || help.contains("A first"), "{help}");
        let version = common::run(program, &["--version"], &[], b"").ok().out;
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        assert_eq!(common::run(program, &["frobnicate"], &[], b"").code, 64);
        grammar.build();
        for verb in grammar.get_subcommands().filter(|v| !v.is_hide_set()) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() > 10, "{program} {}: {about}", verb.get_name());
            for argument in verb.get_arguments().filter(|a| !a.is_hide_set()) {
                let told = argument.get_help().is_some() || argument.get_id() == "help";
                assert!(
                    told,
                    "{program} {}: {} is not explained",
                    verb.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}

/// Every verb of a program with the words that reach it.
fn verbs(grammar: &clap::Command) -> Vec<Vec<String>> {
    let mut out = vec![vec![]];
    for verb in grammar.get_subcommands().filter(|v| !v.is_hide_set() && v.get_name() != "help") {
        for words in verbs(verb) {
            out.push([vec![verb.get_name().to_owned()], words].concat());
        }
    }
    out
}

#[test]
fn help_fits_the_terminal() {
    for (program, grammar) in PROGRAMS.iter().zip(grammars()) {
        for verb in verbs(&grammar) {
            let words: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
            for columns in [80, 132] {
                let help = common::run(program, &words, &[("COLUMNS", &columns.to_string())], b"");
                let help = help.ok().out;
                let most = columns.min(100);
                let long = help.lines().find(|line| line.chars().count() > most);
                assert_eq!(long, None, "{verb:?} at {columns}");
                // What was laid out by hand is not broken again.
                let broken = help.lines().find(|l| *l == "it" || *l == "board?");
                assert_eq!(broken, None, "{verb:?}");
            }
        }
    }
}

#[test]
fn each_verb_has_an_example_of_itself() {
    fn look(above: &str, verb: &clap::Command, without: &mut Vec<String>) {
        let own = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let name = verb.get_name();
        let examples = format!("{above}{own}");
        let is = |line: &str| line.starts_with("  ") && line.contains("surefoot");
        let shown = examples.lines().any(|l| is(l) && l.split(' ').any(|word| word == name));
        if !shown && !verb.has_subcommands() && !verb.is_hide_set() && name != "help" {
            without.push(name.to_owned());
        }
        verb.get_subcommands().for_each(|v| look(&own, v, without));
    }
    let mut without = Vec::new();
    grammars().iter().for_each(|grammar| {
        grammar.get_subcommands().for_each(|verb| look("", verb, &mut without));
    });
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn examples_are_laid_out_for_80_columns() {
    fn look(verb: &clap::Command, long: &mut Vec<String>) {
        let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = after.lines().filter(|line| line.chars().count() > 79);
        long.extend(lines.map(|line| format!("{}: {line}", verb.get_name())));
        verb.get_subcommands().for_each(|v| look(v, long));
    }
    let mut long = Vec::new();
    grammars().iter().for_each(|grammar| look(grammar, &mut long));
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_mistyped_verb_or_flag_is_answered_with_the_nearest_one() {
    for (program, words, tip) in [
        (0, &["isntall", "x"][..], "'install'"),
        (0, &["stauts"], "'status'"),
        (0, &["install", "--alow-older", "x"], "'--allow-older'"),
        (0, &["wait", "updatd"], "'updated'"),
        (1, &["bulid"], "'build'"),
        (2, &["rebot", "dev"], "'reboot'"),
    ] {
        let told = common::run(PROGRAMS[program], words, &[], b"");
        assert_eq!(told.code, 64, "{words:?}");
        assert!(told.err.contains(tip), "{words:?}: {}", told.err);
    }
}

#[test]
fn one_command_writes_the_pages_and_completions_that_a_package_ships() {
    let dir = crate::common::scratch();
    let place = dir.path().to_str().unwrap();
    // Twice: files of an earlier version are replaced.
    for _ in 0..2 {
        common::run(PROGRAMS[1], &["docs", place], &[], b"").ok();
    }
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let install = page("man/man1/surefoot-install.1");
    for part in [".SH NAME", ".SH SYNOPSIS", "allow\\-older", "goes on where it stopped"] {
        assert!(install.contains(part), "{part}: {install}");
    }
    for (grammar, name) in grammars().iter().zip(["surefoot", "surefoot-forge", "surefoot-sim"]) {
        for verb in verbs(grammar) {
            let file = [vec![name.to_owned()], verb].concat().join("-");
            assert!(page(&format!("man/man1/{file}.1")).contains(".SH DESCRIPTION"), "{file}");
        }
        let (bash, fish) = (
            format!("bash-completion/completions/{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
        );
        for file in [bash, fish, format!("zsh/site-functions/_{name}")] {
            let text = page(&file);
            assert!(text.contains(name), "{file}");
            for hidden in ["blackbox", "probe", "pairs"] {
                assert!(!text.contains(hidden), "{file}: {hidden}");
            }
        }
    }
    let settings = page("man/man5/surefoot.toml.5");
    assert!(settings.contains("trial") && settings.contains("clean_reboots"), "{settings}");
    assert!(page("doc/surefoot/configuration.md").contains("`clean_reboots`"));
    // The shell itself completes a verb and a file's verb.
    let script = format!(
        "source {place}/bash-completion/completions/surefoot\n\
         COMP_WORDS=(surefoot ins); COMP_CWORD=1; _surefoot surefoot ins surefoot; echo ${{COMPREPLY[@]}}\n\
         COMP_WORDS=(surefoot wait roll); COMP_CWORD=2; _surefoot surefoot roll wait; echo ${{COMPREPLY[@]}}"
    );
    let told = common::run("bash", &["-c", &script], &[], b"").ok();
    assert_eq!(told.out, "install\nrolled-back\n");
}

#[test]
fn the_check_of_the_configuration_names_every_mistake_at_once() {
    let dir = crate::common::scratch();
    let file = dir.path().join("surefoot.toml");
    let text = "[device]\nproduct = 5\ncompatible = \"c\"\ndisk = \"d\"\ncolour = 1\n[trial]\ndeadline = \"soon\"\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let told = common::run(PROGRAMS[0], &["--config", file, "config", "check"], &[], b"");
    assert_eq!(told.code, 78);
    for line in [":2: device.product", ":5: unknown setting `device.colour`", ":7: trial.deadline"]
    {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
    assert!(told.out.contains("3 mistakes."), "{}", told.out);
    assert!(!told.err.contains("config check"), "{}", told.err);
    let told = common::run(PROGRAMS[0], &["--config", file, "config", "check", "--json"], &[], b"");
    let answer: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (told.code, answer["v"].as_u64(), answer["sound"].as_bool()),
        (78, Some(1), Some(false))
    );
    assert_eq!(answer["mistakes"].as_array().unwrap().len(), 3);
}

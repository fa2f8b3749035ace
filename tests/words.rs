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

#[test]
fn the_man_pages_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    for grammar in grammars() {
        clap_mangen::generate_to(grammar, dir.path()).unwrap();
    }
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let install = page("surefoot-install.1");
    for part in [".SH NAME", ".SH SYNOPSIS", "allow\\-older", "goes on where it stopped"] {
        assert!(install.contains(part), "{part}: {install}");
    }
    for name in ["surefoot.1", "surefoot-forge.1", "surefoot-sim.1", "surefoot-forge-build.1"] {
        assert!(page(name).contains(".SH DESCRIPTION"), "{name}");
    }
}

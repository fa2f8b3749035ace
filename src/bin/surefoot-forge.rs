//! The build host's program: a thin door to [`surefoot::forge`].

fn main() -> std::process::ExitCode {
    surefoot::forge::main(programs)
}

/// The grammars of the programs that this build has.
fn programs() -> Vec<clap::Command> {
    vec![
        surefoot::cli::command(),
        surefoot::forge::command(),
        #[cfg(feature = "sim")]
        surefoot::sim::command(),
    ]
}

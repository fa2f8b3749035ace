//! The build host's program: a thin door to [`surefoot::forge`].

fn main() -> std::process::ExitCode {
    surefoot::forge::main()
}

//! The device's program: a thin door to [`surefoot::cli`].

fn main() -> std::process::ExitCode {
    surefoot::cli::main()
}

//! A device, its bootloader and its power plug on a laptop: a thin door to [`surefoot::sim`].
fn main() -> std::process::ExitCode {
    surefoot::sim::main()
}

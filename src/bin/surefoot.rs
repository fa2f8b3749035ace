//! The device's program: a thin door to [`surefoot::cli`].

fn main() -> std::process::ExitCode {
    surefoot::cli::main(IMAGE)
}

/// What judges images of disks, in a program for a host.
#[cfg(any(feature = "forge", feature = "sim"))]
const IMAGE: Option<surefoot::cli::LookAtImage> = Some(surefoot::imagecheck::look);
#[cfg(not(any(feature = "forge", feature = "sim")))]
const IMAGE: Option<surefoot::cli::LookAtImage> = None;

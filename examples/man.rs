//! Writes the man pages of the three programs and their verbs: `cargo run --example man -- DIR`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: man DIR");
        std::process::exit(64);
    };
    std::fs::create_dir_all(&folder)?;
    let programs = [surefoot::cli::command(), surefoot::forge::command(), surefoot::sim::command()];
    for program in programs {
        clap_mangen::generate_to(program, Path::new(&folder))?;
    }
    Ok(())
}

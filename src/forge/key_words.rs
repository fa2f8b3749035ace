//! The words that say who signs.

use clap::Args;
use std::path::PathBuf;

/// How to sign.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct KeyWords {
    /// A .key file, or cmd:PROGRAM that gets 128 bytes on stdin and returns 64 on stdout within
    /// 60 s
    #[arg(long, value_name = "FILE|cmd:PROGRAM")]
    pub(super) key: Option<String>,
    /// The public key that cmd:PROGRAM signs for [default: any release key of the trust file]
    #[arg(long, value_name = "FILE")]
    pub(super) r#pub: Option<PathBuf>,
    /// The trust file whose release keys cmd:PROGRAM may sign for
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// The trust file that is inside the image: a warning says if it does not accept this release
    #[arg(long, value_name = "FILE")]
    pub(super) trust_file_inside: Option<PathBuf>,
}

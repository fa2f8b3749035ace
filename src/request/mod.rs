//! What can be asked of a device, as one table: each request with its typed parameters, its answer,
//! and both to and from HTTP. Who has something to ask does it through a [`Client`]: this process
//! ([`Here`]), or the daemon over its socket ([`Daemon`]). This room never decides and never prints,
//! and it listens nowhere: `device` does what is asked, `daemon` takes what comes, `cli` shows it.
//!
//! A new request is a row in `table.rs` and an arm in `here.rs`.

#[cfg(feature = "apps")]
mod apps;
mod bring;
mod client;
mod daemon;
mod find;
mod here;
mod query;
mod response;
mod route;
mod table;

pub use client::Client;
pub use daemon::{Daemon, Events};
pub use find::find;
pub use here::Here;
#[cfg(feature = "apps")]
pub use response::LogLine;
pub use response::{History, Numbered, Report, Response, Said, Verified, Version};
pub use route::{Asked, Route, Wanted};
pub use table::{ROUTES, Request};

/// The reason for the record where none is given.
pub const UNREASONED: &str = "a person asked for it";

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

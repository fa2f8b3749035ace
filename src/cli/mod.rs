//! From words typed to a request, from a response to words printed. This room never decides: it
//! asks the daemon's room and prints what it says.

mod args;
mod asked;
mod configuration;
mod progress;
mod push;
mod render;
mod run;

pub use args::command;
pub use run::main;

//! From words typed to a request, from a response to words printed. This room never decides: it
//! asks through `request` and prints what is answered.

mod args;
mod context;
mod end;
mod json;
mod meter;
mod printed;
mod progress;
mod render;
mod run;
mod verbs;

pub use args::command;
pub use context::LookAtImage;
pub use run::main;

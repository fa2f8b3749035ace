//! As much of U-Boot's shell as boot scripts use, so that the simulator runs the script that is
//! shipped and not a second description of it.
//!
//! What is here behaves as U-Boot 2025.01's old parser; what is not here stops the boot with the
//! name of what is missing, and never guesses.

mod parse;
mod run;
mod words;

pub(super) use run::{Board, Halt, Shell};

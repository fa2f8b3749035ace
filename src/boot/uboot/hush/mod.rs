//! As much of U-Boot's shell as boot scripts use: the simulator runs the shipped script with it, and
//! [`super::way_back`] follows the steps of the stored `altbootcmd`.
//!
//! What is here behaves as U-Boot 2025.01's old parser; what is not here stops the script with the
//! name of what is missing, and is never guessed. Scripts come from outside: nesting, steps and
//! bytes are bounded ([`Budget`]), so that none overflows the stack or runs for ever.

mod board;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod parse;
mod run;
#[cfg(test)]
mod run_tests;
mod test;
mod words;

pub(crate) use board::{Board, Budget, Halt};
pub(crate) use run::Shell;

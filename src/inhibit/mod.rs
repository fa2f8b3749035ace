//! What holds back an automatic update or reboot: a file, a lock, the time of day, an inhibitor of
//! the init system, the supply, a worn-out medium. This room never acts, and never holds back what
//! a person has asked for: it only says what it sees.

mod look;
mod power;
mod rule;
mod settings;
mod sysfs;
mod systemd;
#[cfg(test)]
mod tests;
mod wear;
mod window;
mod zone;

pub use look::{Found, Held, Place, What, look};
pub use settings::{Settings, Zone};
pub use window::Window;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

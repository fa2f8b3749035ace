//! The environment of U-Boot: its bytes, where its copies lie, and the variables of Surefoot in it.
//!
//! Sources: U-Boot 2025.01 `env/common.c`, `lib/hashtable.c`, `common/autoboot.c`; libubootenv
//! 0.3; checked against `fw_printenv`, `fw_setenv` and `mkenvimage` in tests.

mod choose;
mod config;
mod control;
#[cfg(any(test, feature = "sim"))]
mod copy;
mod diagnose;
mod env;
#[cfg(test)]
mod env_tests;
mod facts;
mod grade;
#[cfg(test)]
mod grade_tests;
pub(crate) mod hush;
mod limits;
mod lock;
mod model;
mod place;
mod scheme;
mod store;
mod way_back;
#[cfg(test)]
mod way_back_tests;

pub use choose::choose;
pub use config::{CopyPlace, FwEnvConfig};
pub(super) use control::NAME;
pub use control::UbootControl;
#[cfg(test)]
pub(super) use copy::memory as said_in;
#[cfg(any(test, feature = "sim"))]
pub(super) use copy::read as read_copy;
pub use env::Env;
pub use scheme::{apply, exact, hex_address, names, number};
pub use store::{CopyState, EnvStore, Loaded, Session};

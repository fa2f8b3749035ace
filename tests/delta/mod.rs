//! Deltas: the format as a stranger writes it, what hostile ones are refused for, and `surefoot-forge delta`.

mod beside;
mod brought;
mod channel;
mod forge;
mod hostile;
mod images;
pub(crate) mod install;
mod mounted;
mod stranger;
mod target;

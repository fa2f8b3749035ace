//! Deltas: the format as a stranger writes it, what hostile ones are refused for, and `surefoot-forge delta`.

mod forge;
mod hostile;
mod install;
mod stranger;

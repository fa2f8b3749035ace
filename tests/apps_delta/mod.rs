//! Deltas of bundles: layers come out bit for bit, whichever engine has unpacked the old ones; nothing wrong is made of
//! damaged files; hostile patches are refused.

mod applied;
mod hostile;
mod ranked;
mod shop;
mod staged;

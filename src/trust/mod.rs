//! Who may speak: keys, roles, thresholds, revocation, scopes; the one place where a signature is
//! checked, and the proof of it as a type ([`Verified`]). This room never opens a file, never
//! reads a clock and never holds a secret key.

mod entry;
mod file;
mod key;
mod published;
mod statement;
mod verdict;

pub use entry::{Scope, TrustedKey};
pub use file::{MAX_TRUST_LEN, Trust};
pub use key::{PublicKey, Role};
pub use published::is_published_test_key;
pub use statement::{Purpose, SignatureRecord, Statement};
pub use verdict::{Claims, Verified, recall, vouch, vouch_channel};

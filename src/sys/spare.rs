//! Threads and memory, which the system may refuse: a limit of the service, a full machine. Whoever
//! asks here gets an answer instead of the end of the program.

use crate::model::{Failure, ReasonCode, Result};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// A thread's stack. The standard library's 2 MiB count against a limit of address space.
pub const STACK: usize = 512 << 10;

/// The failure for those who can only hand on an `io::Error`.
pub(super) fn no_memory(failure: Failure) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::OutOfMemory, failure)
}

fn refused(what: &str) -> Failure {
    Failure::new(ReasonCode::NoMemory, what)
}

fn no_thread(name: &str, error: &std::io::Error) -> Failure {
    refused(&format!("the thread `{name}` could not be started: {error}"))
}

/// Starts a thread. `NO_MEMORY` if the system gives none.
pub fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let builder = Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(body).map_err(|e| no_thread(name, &e))
}

/// Starts a thread that ends with its scope. `NO_MEMORY` if the system gives none.
pub fn scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let builder = Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn_scoped(scope, body).map_err(|e| no_thread(name, &e))
}

/// Whether that much memory can be had. What it found is free again: others may take it first, so
/// this makes a refusal early and cheap, and no promise.
pub fn room(bytes: usize) -> Result<()> {
    let mut probe = Vec::<u8>::new();
    probe.try_reserve_exact(bytes).map_err(|_| refused(&format!("{bytes} bytes are needed")))
}

/// Makes a buffer `len` bytes long, with zeros at its end if it was shorter.
pub fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    let more = len.saturating_sub(buffer.len());
    let grown = buffer.try_reserve_exact(more);
    grown.map_err(|_| refused(&format!("a buffer of {len} bytes is needed")))?;
    buffer.resize(len, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_answer() {
        let code = |r: Result<()>| r.err().map(|f| f.code());
        assert_eq!(code(room(1 << 20)), None);
        assert_eq!(code(room(usize::MAX / 4)), Some(ReasonCode::NoMemory));
        let mut buffer = vec![7; 3];
        assert_eq!(code(resize(&mut buffer, usize::MAX / 4)), Some(ReasonCode::NoMemory));
        assert_eq!(buffer, [7; 3]);
        resize(&mut buffer, 5).unwrap();
        assert_eq!(buffer, [7, 7, 7, 0, 0]);
    }
}

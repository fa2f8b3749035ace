//! Bytes that come once, in order.

use crate::model::{ReasonCode, Result, WithReason};
use crate::sys::unix::{Patient, Stdin};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// For how long an artifact that another process sends may pause, or nearly so.
pub const SILENCE: Duration = Duration::from_secs(120);

/// Bytes as they come: standard input, a pipe, a push over the socket. Nothing is kept between two
/// reads; the next byte is the first that was not read.
pub struct ByteStream {
    bytes: Box<dyn Read + Send>,
    descriptor: Option<OwnedFd>,
    /// Bytes of all answers so far, where a network is involved.
    received: Option<Arc<AtomicU64>>,
}

impl ByteStream {
    /// Whatever `bytes` gives.
    pub fn new(bytes: impl Read + Send + 'static) -> ByteStream {
        ByteStream { bytes: Box::new(bytes), descriptor: None, received: None }
    }

    /// The same over a network; `received` counts the bytes of all answers, those that came twice too.
    #[cfg(feature = "http")]
    pub(super) fn counted(
        bytes: impl Read + Send + 'static,
        received: Arc<AtomicU64>,
    ) -> ByteStream {
        ByteStream { received: Some(received), ..ByteStream::new(bytes) }
    }

    /// The standard input of this process. It may pause for as long as it likes.
    pub(super) fn stdin() -> Result<ByteStream> {
        let told = "standard input";
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned();
        let descriptor = Some(descriptor.reason(ReasonCode::SourceLost, told)?);
        let stdin = Stdin::of_this_process().reason(ReasonCode::SourceLost, told)?;
        Ok(ByteStream { bytes: Box::new(stdin), descriptor, received: None })
    }

    /// A pipe from another process; one that is silent for longer than [`SILENCE`] is lost.
    pub(super) fn pipe(pipe: OwnedFd) -> ByteStream {
        ByteStream::new(Patient::new(pipe.into(), SILENCE))
    }

    /// What counts the bytes of all answers; `None` where no network is involved.
    pub(super) fn received(&self) -> Option<Arc<AtomicU64>> {
        self.received.clone()
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }
}

impl Read for ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(buf)
    }
}

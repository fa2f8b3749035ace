//! Bytes that come once, in order.

use crate::model::{ReasonCode, Result, WithReason};
use crate::sys::unix::{Patient, Stdin};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// For how long an artifact that another process sends may pause, or nearly so.
pub const SILENCE: Duration = Duration::from_secs(120);

/// Bytes as they come: standard input, a pipe, a push over the socket. Nothing is kept between two
/// reads; the next byte is the first that was not read.
pub struct ByteStream {
    bytes: Box<dyn Read + Send>,
    descriptor: Option<OwnedFd>,
}

impl ByteStream {
    /// Whatever `bytes` gives.
    pub fn new(bytes: impl Read + Send + 'static) -> ByteStream {
        ByteStream { bytes: Box::new(bytes), descriptor: None }
    }

    /// The standard input of this process. It may pause for as long as it likes.
    pub(super) fn stdin() -> Result<ByteStream> {
        let told = "standard input";
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned();
        let descriptor = Some(descriptor.reason(ReasonCode::SourceLost, told)?);
        let stdin = Stdin::of_this_process().reason(ReasonCode::SourceLost, told)?;
        Ok(ByteStream { bytes: Box::new(stdin), descriptor })
    }

    /// A pipe from another process; one that is silent for longer than [`SILENCE`] is lost.
    pub(super) fn pipe(pipe: OwnedFd) -> ByteStream {
        ByteStream::new(Patient::new(pipe.into(), SILENCE))
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

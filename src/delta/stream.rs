//! One of the four compressed streams of a delta, decoded as far as the batch at hand goes.

use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// A stream is one zstd frame; a batch has a part of it.
pub(super) struct Stream {
    context: DCtx<'static>,
    /// What of the batch was not taken yet.
    left: Range<usize>,
    ended: bool,
}

pub(super) fn invalid(why: impl Into<String>) -> Failure {
    Failure::new(ReasonCode::DeltaInvalid, why.into())
}

impl Stream {
    /// `window` is a power of two; a frame that wants a larger one is refused.
    pub(super) fn new(window: u8) -> Result<Stream> {
        let memory = || Failure::new(ReasonCode::NoMemory, "a delta's stream needs a decoder");
        let mut context = DCtx::try_create().ok_or_else(memory)?;
        let set = context.set_parameter(DParameter::WindowLogMax(window.into()));
        set.map_err(|_| invalid("a window of no length"))?;
        Ok(Stream { context, left: 0..0, ended: false })
    }

    /// This stream's part of a new batch. What it had of the one before is used up.
    pub(super) fn load(&mut self, part: Range<usize>) -> Result<()> {
        if self.ended && !part.is_empty() {
            return Err(invalid("a stream goes on after its end"));
        }
        self.left = part;
        Ok(())
    }

    /// Fills `out` as far as the batch goes; says how far.
    pub(super) fn fill(&mut self, batch: &[u8], out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < out.len() && !self.ended {
            let mut input = InBuffer::around(&batch[self.left.clone()]);
            let mut output = OutBuffer::around(&mut out[done..]);
            let hint = self.context.decompress_stream(&mut output, &mut input).map_err(|code| {
                invalid(format!("a stream: zstd: {}", zstd_safe::get_error_name(code)))
            })?;
            let (used, made) = (input.pos(), output.pos());
            self.left.start += used;
            done += made;
            self.ended = hint == 0;
            if used == 0 && made == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Fills all of `out`.
    pub(super) fn exact(&mut self, batch: &[u8], out: &mut [u8]) -> Result<()> {
        match self.fill(batch, out)? == out.len() {
            true => Ok(()),
            false => Err(invalid("a batch has fewer bytes than its ops need")),
        }
    }

    /// Nothing of the batch is left over.
    pub(super) fn used_up(&mut self, batch: &[u8]) -> Result<()> {
        match self.fill(batch, &mut [0])? == 0 && self.left.is_empty() {
            true => Ok(()),
            false => Err(invalid("a batch has bytes that no op takes")),
        }
    }

    /// Whether its frame has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

/// A stream of numbers (LEB128: seven bits a byte, the lowest first).
pub(super) struct Numbers {
    stream: Stream,
    bytes: Vec<u8>,
    at: usize,
}

impl Numbers {
    pub(super) fn new(window: u8) -> Result<Numbers> {
        Ok(Numbers { stream: Stream::new(window)?, bytes: Vec::new(), at: 0 })
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The next byte; `None` where the batch has no more.
    fn byte(&mut self, batch: &[u8]) -> Result<Option<u8>> {
        if self.at == self.bytes.len() {
            self.bytes.resize(4096, 0);
            let made = self.stream.fill(batch, &mut self.bytes)?;
            self.bytes.truncate(made);
            self.at = 0;
        }
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    /// The next number; `None` where the batch has no more.
    pub(super) fn next(&mut self, batch: &[u8]) -> Result<Option<u64>> {
        let (mut number, mut shift) = (0u64, 0u32);
        loop {
            let Some(byte) = self.byte(batch)? else {
                return match shift {
                    0 => Ok(None),
                    _ => Err(invalid("a number ends with its batch")),
                };
            };
            let bits = u64::from(byte & 127);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(invalid("a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 128 == 0 {
                // One spelling for each number.
                return match byte == 0 && shift > 0 {
                    true => Err(invalid("a number with zeros at its end")),
                    false => Ok(Some(number)),
                };
            }
            shift += 7;
        }
    }

    pub(super) fn used_up(&mut self, batch: &[u8]) -> Result<()> {
        match self.at == self.bytes.len() {
            true => self.stream.used_up(batch),
            false => Err(invalid("a batch has numbers that no op takes")),
        }
    }
}

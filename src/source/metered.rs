//! A source whose bytes are counted against the budget of the day.

use super::budget::Meter;
use super::{ByteStream, Fetch};
use crate::model::{Failure, Result};
use std::io::{Error, Read};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Shared = Arc<Mutex<Meter>>;

/// What has come is counted, and a failure is told with what the budget says of it.
fn counted<T>(meter: &Shared, received: u64, done: Result<T>) -> Result<T> {
    let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    let counted = meter.came(received);
    let done = done.map_err(|failure| meter.told(failure))?;
    counted.map(|()| done)
}

fn counted_read(
    meter: &Shared,
    received: u64,
    done: std::io::Result<usize>,
) -> std::io::Result<usize> {
    let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    let counted = meter.came(received);
    let done = done.map_err(|error| {
        let own = error.get_ref().and_then(|e| e.downcast_ref::<Failure>()).cloned();
        own.map_or(error, |failure| Error::other(meter.told(failure)))
    })?;
    counted.map_err(Error::other).map(|()| done)
}

struct Ranges {
    inner: Arc<dyn Fetch>,
    meter: Shared,
}

impl Fetch for Ranges {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let done = self.inner.read_at(offset, buf);
        counted(&self.meter, self.inner.received(), done)
    }

    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        let done = self.inner.read_ranges(ranges, buf);
        counted(&self.meter, self.inner.received(), done)
    }

    fn is_dear(&self) -> bool {
        self.inner.is_dear()
    }

    fn in_order(&self, ranges: &[Range<u64>]) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let reader = self.inner.in_order(ranges)?;
        let count = |reader| -> Box<dyn Read + Send + '_> {
            Box::new(InOrder { reader, inner: &*self.inner, meter: self.meter.clone() })
        };
        Ok(reader.map(count))
    }

    fn received(&self) -> u64 {
        self.inner.received()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}

struct InOrder<'a> {
    reader: Box<dyn Read + Send + 'a>,
    inner: &'a dyn Fetch,
    meter: Shared,
}

impl Read for InOrder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let done = self.reader.read(buf);
        counted_read(&self.meter, self.inner.received(), done)
    }
}

struct Whole {
    stream: ByteStream,
    received: Arc<AtomicU64>,
    meter: Shared,
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let done = self.stream.read(buf);
        counted_read(&self.meter, self.received.load(Ordering::Relaxed), done)
    }
}

fn shared(meter: Meter) -> Shared {
    Arc::new(Mutex::new(meter))
}

/// The same bytes, counted by `meter`.
pub(super) fn ranges(inner: Arc<dyn Fetch>, meter: Meter) -> Arc<dyn Fetch> {
    Arc::new(Ranges { inner, meter: shared(meter) })
}

/// The same bytes, counted by `meter`; a stream that no network gives is given back.
pub(super) fn whole(stream: ByteStream, meter: Meter) -> ByteStream {
    match stream.received() {
        Some(received) => {
            let whole = Whole { stream, received: received.clone(), meter: shared(meter) };
            ByteStream::counted(whole, received)
        }
        None => stream,
    }
}

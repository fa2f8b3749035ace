//! Who is asked.

use super::response::Response;
use super::table::Request;
use crate::device::World;
use crate::event::Sink;
use crate::model::Result;
use crate::source::Source;

/// Whoever answers for a device.
pub trait Client {
    /// Has the request answered, with an artifact where one goes with it. What happens on the way
    /// is told to `sink`.
    fn send(&self, request: Request, source: Option<Source>, sink: &dyn Sink) -> Result<Response>;

    /// The same without an artifact.
    fn ask(&self, request: Request, sink: &dyn Sink) -> Result<Response> {
        self.send(request, None, sink)
    }

    /// The device itself, where no daemon looks after it: nobody decides a trial by itself, and what
    /// follows an answer is done by the one who asked.
    fn alone(&self) -> Option<&World>;
}

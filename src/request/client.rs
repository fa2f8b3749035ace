//! Who is asked.

#[cfg(feature = "apps")]
use super::response::LogLine;
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

    /// Gives each line of the answer to `line`, until that listens no more.
    #[cfg(feature = "apps")]
    fn lines(&self, request: Request, line: &mut dyn FnMut(LogLine) -> bool) -> Result<()> {
        let _ = line;
        let text = format!("{request:?} is not answered in lines");
        Err(crate::model::Failure::new(crate::model::ReasonCode::Internal, text))
    }

    /// The device itself, where no daemon looks after it: nobody decides a trial by itself, and what
    /// follows an answer is done by the one who asked.
    fn alone(&self) -> Option<&World>;
}

//! The network of this device: the fetcher, by `[source]`.

use super::Web;
use super::kept::Kept;
use crate::device::World;
use crate::source::Settings;
use std::path::PathBuf;

/// What fetches for this device.
pub(super) struct Net {
    settings: Settings,
    /// Where the fetcher's socket is.
    run: PathBuf,
    /// The newest time that a channel was issued at.
    floor: u64,
}

impl World {
    /// The network, by `[source]`.
    pub fn web(&self) -> Box<dyn Web> {
        let (settings, run) = (self.settings.source.clone(), self.settings.run.clone());
        Box::new(Net { settings, run, floor: Kept::load(self).issued })
    }
}

#[cfg(feature = "http")]
mod online {
    use super::Net;
    use crate::device::offers::{Document, Unheard, Web};
    use crate::model::Result;
    use crate::source::http::{Want, document};
    use crate::source::{Setup, Source, Tries};

    /// Status, the server's mark, and the body.
    type Answer = (u16, Option<String>, Vec<u8>);

    impl Net {
        fn ask(&self, url: &str, want: Want) -> std::result::Result<Answer, Unheard> {
            let setup = Setup::of(&self.settings, self.floor, Tries::Minute)?;
            match document(url, want, setup, &self.run) {
                Ok((head, bytes)) => Ok((head.status, head.etag, bytes)),
                Err(denied) => Err(Unheard { failure: denied.failure, wait: denied.wait }),
            }
        }
    }

    impl Web for Net {
        fn document(
            &self,
            url: &str,
            etag: Option<&str>,
            limit: usize,
        ) -> std::result::Result<Document, Unheard> {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let want = Want::Document { limit, etag: etag.map(str::to_owned) };
            match self.ask(url, want)? {
                (304, ..) => Ok(Document::Same),
                (_, etag, bytes) => Ok(Document::Bytes { bytes, etag }),
            }
        }

        fn report(&self, url: &str, body: &str) -> std::result::Result<(), Unheard> {
            self.ask(url, Want::Report { body: body.to_owned() }).map(drop)
        }

        fn artifact(&self, url: &str, tries: Tries) -> Result<Source> {
            Source::fetched(url, &self.settings, &self.run, self.floor, tries)
        }
    }
}

#[cfg(not(feature = "http"))]
mod offline {
    use super::Net;
    use crate::device::offers::{Document, Unheard, Web};
    use crate::model::{Failure, ReasonCode, Result};
    use crate::source::{Source, Tries};

    fn none(url: &str) -> Failure {
        Failure::new(ReasonCode::NoNetwork, format!("{url} is not fetched"))
    }

    impl Web for Net {
        fn document(
            &self,
            url: &str,
            _: Option<&str>,
            _: usize,
        ) -> std::result::Result<Document, Unheard> {
            Err(none(url).into())
        }

        fn report(&self, url: &str, _: &str) -> std::result::Result<(), Unheard> {
            Err(none(url).into())
        }

        fn artifact(&self, url: &str, tries: Tries) -> Result<Source> {
            Source::fetched(url, &self.settings, &self.run, self.floor, tries)
        }
    }
}

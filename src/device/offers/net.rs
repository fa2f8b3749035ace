//! The network of this device: the fetcher, by `[source]`.

use super::{Kept, Web};
use crate::device::World;
use crate::model::Result;
use crate::source::{Budget, Fetching, Source, Tries};
use std::sync::atomic::AtomicU64;

/// What fetches for this device.
pub(super) struct Net<'a> {
    world: &'a World,
    /// Bytes of answers that have brought no file.
    fruitless: AtomicU64,
}

impl Net<'_> {
    /// Opens what a URL names; its bytes are counted against the budget of the day, which holds back all but
    /// what the last good channel calls critical.
    fn open(&self, url: &str, tries: Tries) -> Result<Source> {
        let (world, settings) = (self.world, &self.world.settings);
        let kept = Kept::load(settings);
        let free = kept.is_critical(world, url);
        let budget = Budget::of(&settings.source, &settings.device.state, free);
        if budget.is_some() {
            world.state_folder()?;
        }
        let (run, floor, fruitless) = (&*settings.run, kept.issued, &self.fruitless);
        Source::fetched(url, &settings.source, Fetching { run, floor, tries, budget, fruitless })
    }
}

impl World {
    /// The network, by `[source]`.
    pub fn web(&self) -> Box<dyn Web + '_> {
        Box::new(Net { world: self, fruitless: AtomicU64::new(0) })
    }
}

#[cfg(feature = "http")]
mod online {
    use super::Net;
    use crate::device::offers::{Document, Unheard, Web, signed_time};
    use crate::model::Result;
    use crate::source::http::{Want, document, reach};
    use crate::source::{Budget, Reached, Settings, Setup, Source, Tries};
    use std::sync::atomic::Ordering;

    /// Status, the server's mark, and the body.
    type Answer = (u16, Option<String>, Vec<u8>);

    impl Net<'_> {
        fn ask(&self, url: &str, want: Want) -> std::result::Result<Answer, Unheard> {
            let settings = &self.world.settings;
            let setup = Setup::of(&settings.source, signed_time(settings), Tries::Minute)?;
            let (head, bytes) = document(url, want, setup, &settings.run)
                .map_err(|denied| Unheard { failure: denied.failure, wait: denied.wait })?;
            // It is asked for whatever has been spent: without it no critical release is known of.
            if let Some(budget) = Budget::of(&settings.source, &settings.device.state, true) {
                self.world.state_folder()?;
                budget.count(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
            }
            Ok((head.status, head.etag, bytes))
        }
    }

    impl Web for Net<'_> {
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

        fn reach(&self, url: &str, witnesses: &[String], again: bool) -> Result<Reached> {
            let settings = &self.world.settings;
            // Whether it is there: what it is believed by does not count.
            let bare = Settings {
                roots: Vec::new(),
                client_cert: None,
                client_key: None,
                ..settings.source.clone()
            };
            reach(url, witnesses, again, Setup::of(&bare, 0, Tries::Once)?, &settings.run)
        }

        fn fruitless(&self) -> u64 {
            self.fruitless.load(Ordering::Relaxed)
        }

        fn artifact(&self, url: &str, tries: Tries) -> Result<Source> {
            self.open(url, tries)
        }
    }
}

#[cfg(not(feature = "http"))]
mod offline {
    use super::Net;
    use crate::device::offers::{Document, Unheard, Web};
    use crate::model::{Failure, ReasonCode, Result};
    use crate::source::{Reached, Source, Tries};

    fn none(url: &str) -> Failure {
        Failure::new(ReasonCode::NoNetwork, format!("{url} is not fetched"))
    }

    impl Web for Net<'_> {
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

        fn reach(&self, url: &str, _: &[String], _: bool) -> Result<Reached> {
            Err(none(url))
        }

        fn artifact(&self, url: &str, tries: Tries) -> Result<Source> {
            self.open(url, tries)
        }
    }
}

//! A source that is dear to read twice, as over a network, is read once: each stored hash is checked
//! as the chunk comes.

use crate::common::Bench;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use surefoot::config::{Where, load};
use surefoot::device::{Installation, Installed, World, glance, install, judge};
use surefoot::event::Nowhere;
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::source::{Fetch, Source};
use surefoot::update::{Allowed, Order, Then};

/// An artifact far away, and every range of it that was asked for.
struct Far {
    bytes: Vec<u8>,
    read: Mutex<Vec<Range<usize>>>,
}

impl Far {
    fn new(bytes: Vec<u8>) -> Arc<Far> {
        Arc::new(Far { bytes, read: Mutex::default() })
    }

    /// How many bytes of it were read. None was read twice, but for what the first read of 2 KiB brought
    /// of what lies behind the manifest.
    fn read_once(&self) -> usize {
        let mut read = self.read.lock().unwrap().clone();
        read.retain(|range| !range.is_empty());
        read.sort_by_key(|range| range.start);
        for pair in read.windows(2) {
            let after = pair[1].start.max(2048);
            assert!(pair[0].end <= after, "{pair:?} were read twice");
        }
        let (mut len, mut end) = (0, 0);
        for range in read {
            len += range.end.saturating_sub(range.start.max(end));
            end = range.end.max(end);
        }
        len
    }
}

impl Fetch for Far {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap();
        let range = start..start + buf.len();
        let found = self.bytes.get(range.clone());
        let gone = || Failure::new(ReasonCode::Truncated, "it ends before");
        buf.copy_from_slice(found.ok_or_else(gone)?);
        self.read.lock().unwrap().push(range);
        Ok(())
    }
    fn is_dear(&self) -> bool {
        true
    }
}

fn world(bench: &Bench) -> World {
    let place = Where::File(PathBuf::from(bench.path("DEV/surefoot.toml")));
    World::open(load(&place).unwrap().settings).unwrap()
}

fn bring(bench: &Bench, source: &Arc<Far>, dry_run: bool) -> Result<Installed> {
    let ask = Installation {
        apps: None,
        then: Then::Switch,
        allowed: Allowed::default(),
        order: Order::default(),
        hold_ok: false,
        anew: false,
        url: None,
        full: None,
        only: None,
        expected: None,
        dry_run,
    };
    install(&world(bench), Source::Ranges(Arc::clone(source) as _), ask, &Nowhere)
}

#[test]
fn no_byte_of_it_is_read_twice_and_a_good_one_boots() {
    let bench = Bench::new();
    let artifact = std::fs::read(bench.release("2.0.0")).unwrap();
    let len = artifact.len();
    let look = |act: &dyn Fn(Source)| {
        let far = Far::new(artifact.clone());
        act(Source::Ranges(Arc::clone(&far) as _));
        far.read_once()
    };
    assert_eq!(look(&|source| drop(judge(&world(&bench), source, &Nowhere).unwrap())), len);
    assert!(look(&|source| drop(glance(&world(&bench), source).unwrap())) < len / 10);
    let far = Far::new(artifact.clone());
    bring(&bench, &far, true).unwrap();
    assert!(far.read_once() < len / 10, "a plan needs the head alone");
    let far = Far::new(artifact);
    bring(&bench, &far, false).unwrap();
    assert!(far.read_once() <= len);
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.status()["state"], "trying");
}

#[test]
fn a_damaged_one_is_found_as_it_comes_and_the_rest_of_a_good_one_is_read_once() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let artifact = std::fs::read(bench.release("2.0.0")).unwrap();
    let mut damaged = artifact.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = bring(&bench, &Far::new(damaged), false).unwrap_err();
    assert_eq!(refused.code(), ReasonCode::ChunkCorrupt, "{refused}");
    assert_eq!(bench.firm_ground(), before);
    assert_eq!(bench.reboot(&[]), "a");
    let far = Far::new(artifact.clone());
    bring(&bench, &far, false).unwrap();
    assert!(far.read_once() <= artifact.len());
    assert_eq!(bench.reboot(&[]), "b");
}

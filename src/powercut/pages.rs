//! A disk as its difference from another: pages that were written, and a number that two disks
//! share only if they hold the same bytes.

use super::small;
use crate::model::{Digest, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub(super) const PAGE: usize = 4096;

/// Tells disks (and folders) apart. A sum of hashes of (place, content), so that it does not
/// depend on the order of writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark(u128);

impl Mark {
    pub(super) fn of(place: u64, content: &[u8]) -> Mark {
        let mut bytes = Vec::with_capacity(content.len() + 8);
        bytes.extend_from_slice(&place.to_le_bytes());
        bytes.extend_from_slice(content);
        let digest = Digest::of(&bytes).0;
        let half = digest.first_chunk::<16>().expect("because a digest has 32 bytes");
        Mark(u128::from_le_bytes(*half))
    }

    pub(super) fn and(self, other: Mark) -> Mark {
        Mark(self.0.wrapping_add(other.0))
    }

    fn without(self, other: Mark) -> Mark {
        Mark(self.0.wrapping_sub(other.0))
    }
}

/// A page of zeros counts for nothing, so that a disk is told by what is on it.
fn page_mark(number: u64, page: &[u8; PAGE]) -> Mark {
    match *page == [0; PAGE] {
        true => Mark::default(),
        false => Mark::of(number, page),
    }
}

/// The disk before the story: its pages that are not all zeros.
#[derive(Debug)]
pub(super) struct Base {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    mark: Mark,
    pub(super) len: u64,
}

impl Base {
    pub(super) fn read(path: &Path) -> Result<Arc<Base>> {
        let read = || {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            let (mut pages, mut mark, mut at) = (BTreeMap::new(), Mark::default(), 0);
            let mut piece = vec![0; PAGE * 256];
            while at < len {
                let take = small((len - at).min(piece.len() as u64));
                file.read_exact_at(&mut piece[..take], at)?;
                for (n, bytes) in piece[..take].chunks(PAGE).enumerate() {
                    if bytes != &[0; PAGE][..bytes.len()] {
                        let mut page = [0; PAGE];
                        page[..bytes.len()].copy_from_slice(bytes);
                        let number = at / PAGE as u64 + n as u64;
                        mark = mark.and(page_mark(number, &page));
                        pages.insert(number, Arc::new(page));
                    }
                }
                at += take as u64;
            }
            Ok(Arc::new(Base { pages, mark, len }))
        };
        read().map_err(|e: std::io::Error| super::broken(path.display(), e))
    }

    fn page(&self, number: u64) -> Arc<[u8; PAGE]> {
        self.pages.get(&number).cloned().unwrap_or_else(|| Arc::new([0; PAGE]))
    }
}

/// Pages that differ from the base.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    base: Arc<Base>,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    mark: Mark,
}

impl Pages {
    pub(super) fn new(base: Arc<Base>) -> Pages {
        Pages { mark: base.mark, base, pages: BTreeMap::new() }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    fn page(&self, number: u64) -> Arc<[u8; PAGE]> {
        self.pages.get(&number).cloned().unwrap_or_else(|| self.base.page(number))
    }

    pub(super) fn read(&self, at: u64, buf: &mut [u8]) {
        each(at, buf.len(), |number, skip, part| {
            let take = part.len();
            buf[part].copy_from_slice(&self.page(number)[skip..skip + take]);
        });
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        each(at, bytes.len(), |number, skip, part| {
            let mut page = *self.page(number);
            page[skip..skip + part.len()].copy_from_slice(&bytes[part]);
            self.put(number, page);
        });
    }

    fn put(&mut self, number: u64, page: [u8; PAGE]) {
        let old = self.page(number);
        if page == *old {
            return;
        }
        self.mark = self.mark.without(page_mark(number, &old)).and(page_mark(number, &page));
        self.pages.remove(&number);
        if page != *self.base.page(number) {
            self.pages.insert(number, Arc::new(page));
        }
    }

    /// Makes the disk as a file.
    pub(super) fn put_down(&self, path: &Path) -> Result<()> {
        let write = || {
            let file = File::create(path)?;
            file.set_len(self.base.len)?;
            let still = self.base.pages.iter().filter(|(n, _)| !self.pages.contains_key(n));
            for (number, page) in still.chain(&self.pages) {
                let at = number * PAGE as u64;
                let len = small((self.base.len - at).min(PAGE as u64));
                file.write_all_at(&page[..len], at)?;
            }
            Ok(())
        };
        write().map_err(|e: std::io::Error| super::broken(path.display(), e))
    }
}

/// Calls `take` for each page that `len` bytes from `at` touch: its number, where in it they
/// begin, and which of them they are.
fn each(at: u64, len: usize, mut take: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let here = at + done as u64;
        let skip = small(here % PAGE as u64);
        let count = (PAGE - skip).min(len - done);
        take(here / PAGE as u64, skip, done..done + count);
        done += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_mark_however_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let base = Base::read(&path).unwrap();
        let (mut one, mut two) = (Pages::new(base.clone()), Pages::new(base.clone()));
        one.write(100, b"abc");
        one.write(5000, &[1; 4000]);
        two.write(5000, &[1; 4000]);
        assert_ne!(one.mark(), two.mark());
        two.write(99, b"xabc");
        two.write(99, &[7]);
        assert_eq!(one.mark(), two.mark());
        let mut found = [0; 5];
        one.read(99, &mut found);
        assert_eq!(&found, b"\x07abc\x07");
        two.write(0, &[7; 10_000]);
        assert_eq!((two.mark(), two.pages.len()), (base.mark, 0), "back at the base");
        one.write(9_998, b"yz");
        one.read(9_995, &mut found);
        assert_eq!(&found, b"\x07\x07\x07yz");
        one.put_down(&path).unwrap();
        let (mut whole, there) = (vec![0; 10_000], std::fs::read(&path).unwrap());
        one.read(0, &mut whole);
        assert!(whole == there, "the file is the disk");
    }
}

//! Properties of sticks for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::disk::Disk;
use super::words::{Answer, parse, print};
use super::{Kind, Named, fat, gather, kind, table};
use std::fs::File;
use std::io::Result as IoResult;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{LazyLock, Mutex, Once};
use std::time::Instant;

static FILE: LazyLock<&'static File> = LazyLock::new(|| {
    let path = format!("/dev/shm/sf-fuzz-{}", std::process::id());
    let f = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    Box::leak(Box::new(f))
});
static ONCE: Once = Once::new();
static LAST: Mutex<Option<String>> = Mutex::new(None);

fn guarded<T>(what: &str, f: impl FnOnce() -> T) -> Option<T> {
    let start = Instant::now();
    let r = catch_unwind(AssertUnwindSafe(f));
    let took = start.elapsed();
    if took.as_millis() >= 1500 {
        eprintln!("SLOW {what} {took:?}");
    }
    match r {
        Ok(v) => Some(v),
        Err(_) => {
            let at = LAST.lock().unwrap().take().unwrap_or_default();
            // The library's own panics are caught in the child; ours are not to be.
            if at.starts_with("./src") || at.starts_with("src/") {
                eprintln!("PANIC OF OURS {at}");
                std::process::abort();
            }
            if std::env::var_os("FATFS_PANICS").is_some() {
                eprintln!("LIBRARY PANIC {what} {at}");
            }
            None
        }
    }
}
// [size/256K u8][flags] then records [block32 u16][len u8][bytes]: a sparse image

/// Places of a medium.
pub fn places(
    len: u64,
    read: &mut dyn FnMut(u64, &mut [u8]) -> IoResult<()>,
) -> IoResult<Vec<Range<u64>>> {
    table::places(len, read).map(|(places, _)| places)
}

/// Whether a sector begins a volume.
pub fn volume(sector: &[u8; 512]) -> bool {
    kind::looks_like_a_volume(sector)
}

fn disk(file: &'static File) -> Rc<Disk> {
    Rc::new(Disk::new(file, None).unwrap())
}

/// A stick: readers stay inside its places, writers too, and both come to an end.
pub fn stick_fat(data: &[u8]) {
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|i| {
            *LAST.lock().unwrap() = Some(format!(
                "{} {i}",
                i.location().map_or(String::new(), |l| format!("{}:{}", l.file(), l.line()))
            ));
        }))
    });
    if data.len() < 2 {
        return;
    }
    let size = (u64::from(data[0]) + 1) * (256 << 10);
    let flags = data[1];
    let file = *FILE;
    file.set_len(0).unwrap();
    file.set_len(size).unwrap();
    let mut rest = &data[2..];
    while rest.len() > 3 {
        let at = u64::from(u16::from_le_bytes([rest[0], rest[1]])) * 32;
        let len = usize::from(rest[2]).min(rest.len() - 3);
        if at + len as u64 <= size {
            file.write_all_at(&rest[3..3 + len], at).unwrap()
        }
        rest = &rest[3 + len..];
    }
    let part = |from: u64, to: u64| {
        let mut b = vec![0; (to - from) as usize];
        file.read_exact_at(&mut b, from).unwrap();
        b
    };
    let Some(Ok(places)) =
        guarded("places", || places(size, &mut |at, buf| file.read_exact_at(buf, at)))
    else {
        return;
    };
    for place in places.iter().take(2) {
        let head = part(place.start, place.end.min(place.start + (36 << 10)));
        if kind::kind(&head) != Kind::Fat {
            continue;
        }
        let Some(super::words::Listing { files, damage, .. }) =
            guarded("list", || fat::list(disk(file), place.clone()))
        else {
            continue;
        };
        for (n, listed) in files.iter().enumerate().take(3) {
            if let Some(Ok(pieces)) = guarded("find", || fat::find(disk(file), place.clone(), &[n]))
            {
                let sum: u64 = pieces.iter().map(|r| r.end - r.start).sum();
                if !pieces.iter().all(|r| r.start >= place.start && r.end <= place.end) {
                    eprintln!("OUTSIDE {pieces:?} {place:?}");
                    std::process::abort();
                }
                if sum != listed.len {
                    eprintln!("LENGTH {} {} of {:?}", sum, listed.len, listed.name);
                    std::process::abort();
                }
            }
        }
        if flags & 1 != 0 && damage.is_none() {
            let put = [("surefoot-report-1.json".to_owned(), vec![b'x'; usize::from(flags) * 16])];
            let small = size <= 4 << 20;
            let before = if small {
                (part(0, place.start), part(place.end, size))
            } else {
                Default::default()
            };
            let done = guarded("write", || fat::write(disk(file), place.clone(), &put));
            if small && before != (part(0, place.start), part(place.end, size)) {
                eprintln!("WROTE OUTSIDE");
                std::process::abort();
            }
            if let Some(Ok(())) = done {
                let _ = guarded("again", || fat::write(disk(file), place.clone(), &put));
            }
        }
    }
}

/// What a child says of a medium: a listing that parses prints and parses.
pub fn listing(data: &[u8]) {
    let Some(answer) = std::str::from_utf8(data).ok().and_then(parse) else { return };
    let files = answer.listing.files.iter().enumerate();
    let named: Vec<Named> =
        files.map(|(number, f)| Named { name: f.name.clone(), len: f.len, number }).collect();
    std::hint::black_box(gather(&named));
    let texts = answer
        .listing
        .files
        .iter()
        .map(|f| &f.name)
        .chain(&answer.listing.damage)
        .chain(&answer.listing.near);
    let plain = !texts.flat_map(|t| t.chars()).any(char::is_control);
    let again = parse(&print(&answer));
    assert!(!plain || again == Some(Answer { ..answer }), "a listing prints and parses");
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_stick_is_read_and_written_inside_its_places() {
        crate::model::corpus::run("stick_fat", super::stick_fat);
    }

    #[test]
    fn a_listing_that_is_understood_is_the_same_one_when_it_is_written_and_read_again() {
        crate::model::corpus::run("listing", super::listing);
    }
}

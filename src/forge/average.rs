//! How long chunks are where nobody says: as short as lets the chunk table fit the slot record, which a
//! device needs to fetch only the pages of the next table that have changed.

use super::file;
use crate::artifact::{Cuts, MAX_RECORD_LEN, RECORD_LEN, Span, spans};
use crate::model::Result;
use std::fs::File;
use std::path::PathBuf;

/// The averages that are tried, bytes.
const TRIED: [u32; 3] = [64 << 10, 128 << 10, 256 << 10];
/// What the record needs besides the chunks: signatures and an ordinary manifest.
const HEAD: usize = 16 << 10;

/// An image that a chunk table describes.
pub(super) struct Measured {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    pub(super) cuts: Vec<u64>,
    pub(super) hardware: Vec<String>,
    /// Its pieces, where they were counted, and with which average.
    pub(super) found: Option<(u32, Vec<Span>)>,
}

impl Measured {
    /// Where to cut it with this average.
    pub(super) fn cuts(self, average: u32) -> Cuts {
        let found = self.found.filter(|(with, _)| *with == average);
        found.map_or(Cuts::Besides(self.cuts), |(_, spans)| Cuts::Found(spans))
    }
}

/// An average, and what there is to say about it.
pub(super) struct Average {
    pub(super) bytes: u32,
    pub(super) told: Option<String>,
}

/// The average for these images; `wished` stands, whatever follows from it.
pub(super) fn average(images: &mut [Measured], wished: Option<u32>) -> Result<Average> {
    let tried = wished.map_or(TRIED.to_vec(), |bytes| vec![bytes]);
    let fits = |records: usize| records * RECORD_LEN as usize + HEAD <= MAX_RECORD_LEN;
    for bytes in &tried {
        // Counting reads the images, and most are so small that it is not needed.
        if fits(records(images, *bytes, most)?) || fits(records(images, *bytes, count)?) {
            let told = (wished.is_none() && *bytes > TRIED[0]).then(|| {
                let kib = bytes >> 10;
                format!("chunks of {kib} KiB on average: the table of shorter ones does not fit the slot record")
            });
            return Ok(Average { bytes: *bytes, told });
        }
    }
    let told = "the chunk table does not fit the slot record: a device will fetch all of it with each update";
    let bytes = tried.last().copied().unwrap_or(TRIED[0]);
    Ok(Average { bytes, told: Some(told.to_owned()) })
}

/// The most chunks that one device has to keep, where an image has as many as `count` says.
fn records(
    images: &mut [Measured],
    average: u32,
    count: fn(&mut Measured, u32) -> Result<usize>,
) -> Result<usize> {
    let mut counts = Vec::new();
    for image in images.iter_mut() {
        counts.push((count(image, average)?, image.hardware.clone()));
    }
    let mut revisions: Vec<Option<&String>> = vec![None];
    revisions.extend(counts.iter().flat_map(|(_, hardware)| hardware.iter().map(Some)));
    let of = |revision: &Option<&String>| {
        let fits = |hardware: &[String]| {
            hardware.is_empty() || revision.is_some_and(|own| hardware.contains(own))
        };
        counts.iter().filter(|(_, hardware)| fits(hardware)).map(|(n, _)| n).sum::<usize>()
    };
    Ok(revisions.iter().map(of).max().unwrap_or(0))
}

/// More than an image can have: a chunk has a quarter of the average at least, but for those that a
/// cut or a run of zeros makes shorter, and such a run has 32 KiB.
#[expect(clippy::unnecessary_wraps, reason = "it stands for `count`")]
fn most(image: &mut Measured, average: u32) -> Result<usize> {
    let most = image.len / u64::from(average / 4) + image.len / (16 << 10);
    let most = most + 2 * (image.cuts.len() as u64 + 1);
    Ok(usize::try_from(most).unwrap_or(usize::MAX / RECORD_LEN as usize / 1024))
}

/// As many as the image has; they are kept.
fn count(image: &mut Measured, average: u32) -> Result<usize> {
    let failed = |e: std::io::Error| file::failure(&image.path, &e);
    let found = spans(&image.file, image.len, average, &image.cuts).map_err(failed)?;
    Ok(image.found.insert((average, found)).1.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::unix::fs::FileExt;

    /// `mib` MiB of noise.
    fn measured(mib: usize) -> Measured {
        let mut file = tempfile::tempfile().unwrap();
        let mut state = 3u64;
        for _ in 0..mib {
            let next = |_: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 8).to_le_bytes()
            };
            file.write_all(&(0..1 << 17).flat_map(next).collect::<Vec<u8>>()).unwrap();
        }
        file.rewind().unwrap();
        Measured {
            path: "image".into(),
            file,
            len: (mib as u64) << 20,
            cuts: Vec::new(),
            hardware: Vec::new(),
            found: None,
        }
    }

    /// Places as close as the files of a large system, so that little data makes many chunks.
    fn cut_each(mut image: Measured, bytes: u64) -> Measured {
        image.cuts = (0..image.len).step_by(usize::try_from(bytes).unwrap()).collect();
        image
    }

    #[test]
    fn the_average_is_the_shortest_whose_table_fits() {
        let of = |images: &mut [Measured], wished| {
            let found = average(images, wished).unwrap();
            (found.bytes >> 10, found.told.is_some())
        };
        assert_eq!(of(&mut [measured(1)], None), (64, false));
        let many = || cut_each(measured(30), 4096);
        assert_eq!(of(&mut [many()], None), (64, false), "7 680 chunks");
        // Cuts at files are made with every average: nothing helps.
        assert_eq!(of(&mut [many(), many()], None), (256, true), "15 360 chunks");
        assert_eq!(of(&mut [many(), many()], Some(16 << 10)), (16, true));
        // Each of these could have half of what fits; together they have a fourth of that.
        let mut three = [measured(19), measured(19), measured(19)];
        assert_eq!(of(&mut three, Some(16 << 10)), (16, false), "4 000 chunks");
        // Runs of zeros make many short chunks of any average.
        let mut holes = measured(1);
        let (block, run) = (4096, 32 << 10);
        let all = 6500 * (block + run);
        holes.file.set_len(all).unwrap();
        for at in (0..all).step_by(usize::try_from(block + run).unwrap()) {
            holes.file.write_all_at(b"x", at).unwrap();
        }
        holes.len = all;
        assert_eq!(of(&mut [holes], Some(256 << 10)), (256, true), "13 000 chunks");
        // No device has both.
        let mut apart = [many(), many()];
        for (image, revision) in apart.iter_mut().zip(["r1", "r2"]) {
            image.hardware = vec![revision.to_owned()];
        }
        assert_eq!(of(&mut apart, None), (64, false));
    }
}

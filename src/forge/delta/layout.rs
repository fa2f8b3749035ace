//! The parts of a read-only image, by its superblock alone: each is compared with the same part of the old image,
//! and the estimate says which of them costs.
//!
//! Layouts: kernel.org, "Squashfs 4.0 Filesystem" and "EROFS".

use super::image::{Extent, Image};

/// Blocks of files that are stored as they are.
pub(super) const BLOCKS: &str = "blocks of files";
/// Blocks of files that are compressed.
pub(super) const PACKED_BLOCKS: &str = "compressed blocks of files";
/// Inodes and folders that are stored as they are.
const TABLES: &str = "inodes and folders";
/// Inodes and folders that are compressed.
pub(super) const PACKED_TABLES: &str = "compressed inodes and folders";
/// All of an image that is not known.
const BYTES: &str = "bytes of the image";

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) name: &'static str,
    pub(super) run: Extent,
}

/// The parts of both images, in pairs; each covers its image. One pair where they are not of one kind.
pub(super) fn areas(old: &Image, new: &Image) -> Vec<(Area, Area)> {
    match (of_image(old), of_image(new)) {
        (Some(old), Some(new)) if old.len() == new.len() => old.into_iter().zip(new).collect(),
        _ => {
            let whole = |image: &Image| Area { name: BYTES, run: Extent { at: 0, len: image.len } };
            vec![(whole(old), whole(new))]
        }
    }
}

fn of_image(image: &Image) -> Option<Vec<Area>> {
    let mut begin = vec![0; 2048];
    image.read(0, &mut begin).ok()?;
    of(&begin, image.len)
}

/// By the first 2 KiB of an image of `len` bytes.
fn of(begin: &[u8], len: u64) -> Option<Vec<Area>> {
    let number = |at: usize, n: usize| {
        begin[at..at + n].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    if begin.starts_with(b"hsqs") {
        // The tables follow the blocks: that of inodes is the first.
        let (flags, tables) = (number(24, 2), number(64, 8));
        let blocks = if flags & 2 == 0 { PACKED_BLOCKS } else { BLOCKS };
        let inodes = if flags & 1 == 0 { PACKED_TABLES } else { TABLES };
        let tables = Some(tables).filter(|at| *at <= len)?;
        let area = |name, at, len| Area { name, run: Extent { at, len } };
        return Some(vec![area(blocks, 0, tables), area(inodes, tables, len - tables)]);
    }
    if number(1024, 4) == 0xe0f5_e1e2 {
        // Inodes stand among the blocks; the first two features are those of compressed ones.
        let name = if number(1024 + 80, 4) & 3 == 0 { BLOCKS } else { PACKED_BLOCKS };
        return Some(vec![Area { name, run: Extent { at: 0, len } }]);
    }
    None
}

/// What of these runs lies in an area.
pub(super) fn within(runs: &[Extent], area: Area) -> Vec<Extent> {
    let inside = |run: &Extent| {
        let at = run.at.max(area.run.at);
        let end = run.end().min(area.run.end());
        (at < end).then(|| Extent { at, len: end - at })
    };
    runs.iter().filter_map(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(at: usize, bytes: &[(usize, u64, usize)], magic: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2048];
        image[at..at + magic.len()].copy_from_slice(magic);
        for (place, value, len) in bytes {
            image[at + place..at + place + len].copy_from_slice(&value.to_le_bytes()[..*len]);
        }
        image
    }

    #[test]
    fn the_parts_are_those_that_the_superblock_names() {
        let names = |begin: &[u8]| {
            let areas = of(begin, 10_000)?;
            Some(
                areas.iter().map(|area| (area.name, area.run.at, area.run.len)).collect::<Vec<_>>(),
            )
        };
        let squashfs = |flags, tables| image(0, &[(24, flags, 2), (64, tables, 8)], b"hsqs");
        let packed = vec![(PACKED_BLOCKS, 0, 9_000), (PACKED_TABLES, 9_000, 1_000)];
        assert_eq!(names(&squashfs(0, 9_000)), Some(packed));
        let plain = vec![(BLOCKS, 0, 9_000), (TABLES, 9_000, 1_000)];
        assert_eq!(names(&squashfs(3, 9_000)), Some(plain));
        assert_eq!(names(&squashfs(0, 10_001)), None, "a table behind the image");
        let erofs = |features| image(1024, &[(80, features, 4)], &[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(names(&erofs(0)), Some(vec![(BLOCKS, 0, 10_000)]));
        assert_eq!(names(&erofs(1)), Some(vec![(PACKED_BLOCKS, 0, 10_000)]));
        assert_eq!(names(&[0; 2048]), None);
    }

    #[test]
    fn runs_are_cut_at_the_ends_of_a_part() {
        let run = |at, len| Extent { at, len };
        let area = Area { name: BYTES, run: run(100, 50) };
        let runs = [run(0, 100), run(90, 20), run(120, 5), run(140, 60), run(150, 9)];
        assert_eq!(within(&runs, area), [run(100, 10), run(120, 5), run(140, 10)]);
    }
}

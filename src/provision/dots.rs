//! Puts the first two entries of each folder of a new FAT where the format wants them: `fatfs` gives `.` and `..` long
//! names, which stand before them, and `fsck.fat` takes that for damage.
//!
//! Layout: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.

const ENTRY: usize = 32;
const DOT: &[u8; 11] = b".          ";
const DOTS: &[u8; 11] = b"..         ";
const FOLDER: u8 = 0x10;
const LONG: u8 = 0x0f;
const DELETED: u8 = 0xe5;

struct Fat<'a> {
    bytes: &'a mut [u8],
    fat: usize,
    wide: bool,
    /// Where cluster 2 begins, and the length of each.
    data: usize,
    cluster: usize,
}

/// Mends all folders; `None` where this is no FAT16 or FAT32 that can be followed.
pub(super) fn mend(bytes: &mut [u8], wide: bool) -> Option<()> {
    let number = |at: usize, len: usize| {
        let field = bytes.get(at..at + len)?;
        Some(field.iter().rev().fold(0usize, |sum, b| sum << 8 | usize::from(*b)))
    };
    let sector = number(11, 2)?;
    let fat = number(14, 2)? * sector;
    let length = if wide { number(36, 4)? } else { number(22, 2)? };
    let root = fat + number(16, 1)? * length * sector;
    let fixed = number(17, 2)? * ENTRY;
    let (cluster, first) = (number(13, 1)? * sector, number(44, 4)?);
    let mut volume = Fat { bytes, fat, wide, data: root + fixed, cluster };
    let mut waiting = match wide {
        true => volume.folders(&volume.chain(first)?)?,
        false => volume.folders(&[(root, fixed)])?,
    };
    // Each folder has a cluster of its own.
    for _ in 0..volume.bytes.len() / volume.cluster.max(1) {
        let Some(folder) = waiting.pop() else { return Some(()) };
        let places = volume.chain(folder)?;
        volume.mend(places.first()?.0, wide.then_some(first))?;
        waiting.extend(volume.folders(&places)?);
    }
    None
}

impl Fat<'_> {
    /// The places of the clusters of a chain.
    fn chain(&self, first: usize) -> Option<Vec<(usize, usize)>> {
        let (mut places, mut at) = (Vec::new(), first);
        let end = if self.wide { 0x0fff_fff8 } else { 0xfff8 };
        while at < end {
            places.push((self.data + at.checked_sub(2)? * self.cluster, self.cluster));
            if places.len() > self.bytes.len() / self.cluster {
                return None;
            }
            let width = if self.wide { 4 } else { 2 };
            let entry = self.bytes.get(self.fat + at * width..self.fat + (at + 1) * width)?;
            at = entry.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b)) & 0x0fff_ffff;
        }
        Some(places)
    }

    /// The first clusters of the folders that are named there.
    fn folders(&self, places: &[(usize, usize)]) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for (start, len) in places {
            for entry in self.bytes.get(*start..start + len)?.chunks_exact(ENTRY) {
                let own = entry[11] & FOLDER != 0 && entry[11] & 0x08 == 0;
                if own && entry[0] != DELETED && entry[0] != 0 && entry[0] != b'.' {
                    let half = |at| usize::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                    found.push(half(20) << 16 | half(26));
                }
            }
        }
        Some(found)
    }

    /// The folder above is 0 where it is the root, also in a FAT32, whose root has a cluster.
    fn mend(&mut self, start: usize, root: Option<usize>) -> Option<()> {
        let head = self.bytes.get_mut(start..start + 4 * ENTRY)?;
        let is = |n: usize, name: &[u8]| head[n * ENTRY..].starts_with(name);
        let long = |n: usize| head[n * ENTRY + 11] == LONG;
        if !(long(0) && is(1, DOT) && long(2) && is(3, DOTS)) {
            return Some(());
        }
        let two = [&head[ENTRY..2 * ENTRY], &head[3 * ENTRY..]].concat();
        head.fill(0);
        head[..2 * ENTRY].copy_from_slice(&two);
        let above = [52, 53, 58, 59].map(|at| usize::from(head[at]));
        if Some(above[0] << 16 | above[1] << 24 | above[2] | above[3] << 8) == root {
            [52, 53, 58, 59].into_iter().for_each(|at| head[at] = 0);
        }
        head[2 * ENTRY] = DELETED;
        head[3 * ENTRY] = DELETED;
        Some(())
    }
}

//! Which filesystem the first block of a slot shows: what decides whether U-Boot can read it.

/// The least that [`filesystem`] looks at, bytes.
pub const FILESYSTEM_HEAD: usize = 2048;

/// The filesystem whose superblock stands in the first [`FILESYSTEM_HEAD`] bytes of a slot. The
/// magics are those of Linux's headers: ext2/3/4 0xEF53 at 1080, erofs 0xE0F5E1E2 at 1024,
/// squashfs `hsqs` at 0; FAT's are the words for people that every `mkfs.fat` writes, 54 or 82 bytes
/// in, and a boot sector's 55 AA.
pub fn filesystem(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0, b"hsqs") {
        return Some("squashfs");
    }
    if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Some("erofs");
    }
    if at(1080, &[0x53, 0xef]) {
        return Some("ext4");
    }
    let fat = at(510, &[0x55, 0xaa]) && (at(54, b"FAT") || at(82, b"FAT32"));
    fat.then_some("FAT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_that_u_boot_reads_are_known_and_zeros_are_not() {
        let mut head = vec![0; FILESYSTEM_HEAD];
        assert_eq!(filesystem(&head), None);
        assert_eq!(filesystem(&[]), None);
        for (at, word) in [(54, &b"FAT16"[..]), (82, b"FAT32")] {
            let mut fat = vec![0; FILESYSTEM_HEAD];
            fat[at..at + word.len()].copy_from_slice(word);
            assert_eq!(filesystem(&fat), None);
            fat[510..512].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(filesystem(&fat), Some("FAT"));
        }
        head[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(filesystem(&head), Some("ext4"));
        head[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(filesystem(&head), Some("erofs"));
        head[..4].copy_from_slice(b"hsqs");
        assert_eq!(filesystem(&head), Some("squashfs"));
    }
}

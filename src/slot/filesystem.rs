//! Which filesystem the first block of a slot shows: what decides whether U-Boot can read it.

/// The least that [`filesystem`] looks at, bytes.
pub const FILESYSTEM_HEAD: usize = 2048;

/// The filesystem whose superblock stands in the first [`FILESYSTEM_HEAD`] bytes of a slot. The
/// magics are those of Linux's headers: ext2/3/4 0xEF53 at 1080, erofs 0xE0F5E1E2 at 1024,
/// squashfs `hsqs` at 0.
pub fn filesystem(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0, b"hsqs") {
        return Some("squashfs");
    }
    if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Some("erofs");
    }
    at(1080, &[0x53, 0xef]).then_some("ext4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_that_u_boot_reads_are_known_and_zeros_are_not() {
        let mut head = vec![0; FILESYSTEM_HEAD];
        assert_eq!(filesystem(&head), None);
        assert_eq!(filesystem(&[]), None);
        head[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(filesystem(&head), Some("ext4"));
        head[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(filesystem(&head), Some("erofs"));
        head[..4].copy_from_slice(b"hsqs");
        assert_eq!(filesystem(&head), Some("squashfs"));
    }
}

//! What a file is, by its first bytes: values in, values out.

/// How many bytes [`kind`] wants to see, where the file has so many.
pub(super) const PROBE: usize = 0x1_1000;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system that a root can be, and the length that it says of itself.
    Filesystem(&'static str, Option<u64>),
    /// A FAT file system: no root can be one, and a boot partition often is.
    Fat,
    /// Something that is expanded.
    Packed(Packing),
    /// Something else, and what to do about it.
    Other(&'static str, &'static str),
}

/// What is expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Zstd,
    Sparse,
}

impl Packing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zstd => "zstd",
            Packing::Sparse => "an Android sparse image",
        }
    }
}

const UNPACK: &str = "make a filesystem image of its content first (`mke2fs -d`, `mksquashfs`)";
const EXPAND: &str = "expand it first";
const PARTITION: &str = "give the partition of the root filesystem alone";
const CONVERT: &str =
    "convert it first: `qemu-img convert -O raw`; then give the root filesystem alone";
const KERNEL: &str = "give the root filesystem, with the kernel in its /boot";
const ROOTFS: &str = "give the image of the root filesystem";

/// Magic bytes at a place, and what they say.
const OTHERS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x89SFT\r\n", "a Surefoot artifact already", ROOTFS),
    (56, b"ARM\x64", "a kernel (arm64 Image)", KERNEL),
    (56, b"RSC\x05", "a kernel (RISC-V Image)", KERNEL),
    (0x24, b"\x18\x28\x6f\x01", "a kernel (ARM zImage)", KERNEL),
    (0x202, b"HdrS", "a kernel (x86 bzImage)", KERNEL),
    (0, b"\x27\x05\x19\x56", "an image for U-Boot (uImage or script)", KERNEL),
    (0, b"\xd0\x0d\xfe\xed", "a device tree or FIT image", KERNEL),
    (0, b"\x7fELF", "an ELF program", ROOTFS),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"070701", "a cpio archive", UNPACK),
    (0, b"070702", "a cpio archive", UNPACK),
    (0, b"070707", "a cpio archive", UNPACK),
    (0, b"!<arch>\n", "an ar archive or Debian package", UNPACK),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"\x04\x22\x4d\x18", "lz4", EXPAND),
    (0, b"BZh", "bzip2", EXPAND),
    (0, b"\x89LZO", "lzop", EXPAND),
    (0, b"\x5d\0\0", "lzma", EXPAND),
    (0, b"QFI\xfb", "a qcow2 disk", CONVERT),
    (0, b"KDMV", "a VMDK disk", CONVERT),
    (0, b"vhdxfile", "a VHDX disk", CONVERT),
    (0, b"UBI#", "a UBI volume image", "Surefoot writes block devices, not raw flash"),
    (0, b"\x31\x18\x10\x06", "a UBIFS image", "Surefoot writes block devices, not raw flash"),
    (0, b"\x85\x19", "a JFFS2 image", "Surefoot writes block devices, not raw flash"),
    (0x8001, b"CD001", "an ISO 9660 image", ROOTFS),
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume", ROOTFS),
    (512, b"EFI PART", "a whole disk with a GPT", PARTITION),
    (4096, b"EFI PART", "a whole disk with a GPT", PARTITION),
];

/// What the file that begins with `head` is. `head` is all of the file, or [`PROBE`] bytes of it.
pub(super) fn kind(head: &[u8]) -> Kind {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if head.is_empty() {
        return Kind::Other("empty", ROOTFS);
    }
    for (magic, packing) in [
        (&b"\x1f\x8b"[..], Packing::Gzip),
        (b"\xfd7zXZ\0", Packing::Xz),
        (b"\x28\xb5\x2f\xfd", Packing::Zstd),
        (b"\x3a\xff\x26\xed", Packing::Sparse),
    ] {
        if has(0, magic) {
            return Kind::Packed(packing);
        }
    }
    if let Some(filesystem) = filesystem(head) {
        return filesystem;
    }
    for (at, magic, name, advice) in OTHERS {
        if has(*at, magic) {
            return Kind::Other(name, advice);
        }
    }
    if has(510, b"\x55\xaa") {
        let fat = has(54, b"FAT") || has(82, b"FAT") || has(3, b"EXFAT");
        return match fat {
            true => Kind::Fat,
            false => Kind::Other("a whole disk with an MBR", PARTITION),
        };
    }
    if head.iter().all(|b| *b == 0) {
        return Kind::Other("nothing but zeros at its beginning", ROOTFS);
    }
    let text = &head[..head.len().min(4096)];
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if text.iter().all(printable)
        && std::str::from_utf8(&text[..text.len().saturating_sub(3)]).is_ok()
    {
        return Kind::Other("text", ROOTFS);
    }
    Kind::Other("no filesystem that is known here", ROOTFS)
}

fn filesystem(head: &[u8]) -> Option<Kind> {
    let bytes = |at: usize, n: usize| head.get(at..at + n).unwrap_or(&[]);
    let le = |at, n| bytes(at, n).iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b));
    let be = |at, n| bytes(at, n).iter().fold(0u64, |v, b| v << 8 | u64::from(*b));
    let found = |name, len| Some(Kind::Filesystem(name, len));
    if le(0, 4) == 0x7371_7368 {
        return found("squashfs", Some(le(40, 8)));
    }
    // The magic alone has two bytes: the block size must be one that ext has.
    if le(1080, 2) == 0xef53 && le(1048, 4) <= 6 && le(1028, 4) > 0 {
        let high = if le(1024 + 0x60, 4) & 0x80 == 0 { 0 } else { le(1024 + 0x150, 4) };
        let blocks = u128::from(high << 32 | le(1028, 4)) << (10 + le(1048, 4));
        return found("ext2/3/4", Some(u64::try_from(blocks).unwrap_or(u64::MAX)));
    }
    if le(1024, 4) == 0xe0f5_e1e2 {
        let bits = le(1024 + 12, 1).min(16);
        return found("erofs", Some(le(1024 + 36, 4) << bits));
    }
    if le(1024, 4) == 0xf2f5_2010 {
        let bits = le(1024 + 16, 4).min(16);
        return found("f2fs", Some(le(1024 + 36, 8).saturating_mul(1 << bits)));
    }
    if bytes(0, 4) == b"XFSB" {
        return found("xfs", Some(be(4, 4).saturating_mul(be(8, 8))));
    }
    if bytes(0x1_0040, 8) == b"_BHRfS_M" {
        return found("btrfs", Some(le(0x1_0070, 8)));
    }
    match le(0, 4) {
        0x28cd_3d45 => found("cramfs", Some(le(4, 4))),
        _ if bytes(0, 8) == b"-rom1fs-" => found("romfs", Some(be(8, 4))),
        _ => None,
    }
}

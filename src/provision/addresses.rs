//! Whether what the boot script loads has room between the addresses it is loaded to.

use crate::model::Result;

/// Bytes of a file that say what it is.
const HEAD: usize = 64;

/// A file of a slot: its length in bytes, and its first bytes.
pub struct Measured {
    /// Bytes.
    pub len: u64,
    /// As many as there are, 64 at the most.
    pub head: Vec<u8>,
}

/// Two files that U-Boot would lay over each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlap {
    /// One sentence.
    pub text: String,
    /// The variable that must be greater.
    pub variable: &'static str,
    /// The least value of it that leaves the other one alone.
    pub least: u64,
}

/// What takes this place in memory.
struct Taken {
    what: String,
    variable: &'static str,
    start: u64,
    end: u64,
}

/// Looks at what the script loads (uboot-scripts/boot.cmd): the kernel with the room that it says it needs, the initramfs, the
/// device tree. `folder` is where they lie, `/boot` or nothing. What has no address or no file is left out.
pub fn overlap(
    variable: &dyn Fn(&str) -> Option<String>,
    measure: &dyn Fn(&str) -> Result<Option<Measured>>,
    folder: &str,
) -> Result<Option<Overlap>> {
    let named = |name: &str| variable(name).filter(|value| !value.is_empty());
    let place = |name: &str, standard: &str| {
        named(name).or_else(|| (!standard.is_empty()).then(|| format!("{folder}/{standard}")))
    };
    let mut taken: Vec<Taken> = Vec::new();
    for (what, path, name) in [
        ("the kernel", place("surefoot_kernel", "Image"), "kernel_addr_r"),
        ("the initramfs", place("surefoot_initrd", "initrd.img"), "ramdisk_addr_r"),
        ("the device tree", place("surefoot_fdt", ""), "fdt_addr_r"),
    ] {
        let (Some(path), Some(start)) = (path, named(name).and_then(|text| hexadecimal(&text)))
        else {
            continue;
        };
        let Some(file) = measure(&path)? else { continue };
        let mut end = start.saturating_add(file.len);
        if name == "kernel_addr_r" && named("surefoot_go").is_none() {
            end = end.max(started(start, &file.head).unwrap_or(end));
        }
        taken.push(Taken { what: format!("{what} {path}"), variable: name, start, end });
    }
    taken.sort_by_key(|t| t.start);
    Ok(taken.windows(2).find_map(|pair| {
        let (below, above) = (&pair[0], &pair[1]);
        (above.start < below.end).then(|| Overlap {
            text: format!(
                "{} takes the memory from {:#x} to {:#x}, and {} is loaded to {:#x} (`{}`): U-Boot cannot start it",
                below.what, below.start, below.end, above.what, above.start, above.variable
            ),
            variable: above.variable,
            least: below.end.checked_next_multiple_of(1 << 20).unwrap_or(u64::MAX),
        })
    }))
}

/// U-Boot reads a number without a prefix as hexadecimal.
fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x").trim_start_matches("0X"), 16).ok()
}

/// Where a kernel ends once `booti` has moved it: to a multiple of 2 MiB, with the memory that it needs before it has any (arm64
/// and riscv `Image`: Documentation/arch/arm64/booting.rst; U-Boot, `booti_setup`). `None` for a file of another kind, and for
/// one that goes to the begin of the memory.
fn started(start: u64, head: &[u8]) -> Option<u64> {
    const ANYWHERE: u64 = 1 << 3;
    let word = |at: usize| Some(u64::from_le_bytes(*head.get(at..at + 8)?.first_chunk()?));
    let (offset, len, flags) = (word(8)?, word(16)?, word(24)?);
    if head.len() < HEAD || &head[56..60] != b"ARM\x64" || len == 0 || flags & ANYWHERE == 0 {
        return None;
    }
    let moved = start.checked_sub(offset)?.checked_next_multiple_of(2 << 20)?;
    moved.checked_add(offset)?.checked_add(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(len: u64, needs: u64) -> Measured {
        let mut head = vec![0; HEAD];
        head[16..24].copy_from_slice(&needs.to_le_bytes());
        head[24] = 0xa;
        head[56..60].copy_from_slice(b"ARM\x64");
        Measured { len, head }
    }

    fn found(addresses: &[(&str, &str)]) -> Option<Overlap> {
        let variable = |name: &str| {
            addresses.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        let measure = |path: &str| {
            Ok(match path {
                "/boot/Image" => Some(kernel(0x240_bf00, 0x251_0000)),
                "/boot/initrd.img" => Some(Measured { len: 0x100_0000, head: Vec::new() }),
                "/boot/board.dtb" => Some(Measured { len: 0x8000, head: Vec::new() }),
                _ => None,
            })
        };
        overlap(&variable, &measure, "/boot").unwrap()
    }

    /// The first is Debian's kernel of 6.12 between the addresses of U-Boot for the Raspberry Pi: "RD image overlaps OS image".
    #[test]
    fn files_that_lie_over_each_other_are_found() {
        let pi = [("kernel_addr_r", "0x00080000"), ("ramdisk_addr_r", "0x02700000")];
        let over = found(&pi).unwrap();
        assert_eq!((over.variable, over.least), ("ramdisk_addr_r", 0x280_0000));
        assert!(over.text.contains("from 0x80000 to 0x2710000"), "{}", over.text);
        assert_eq!(found(&[pi[0], ("ramdisk_addr_r", "2800000")]), None);
        // Another starter than booti: the file alone counts.
        assert_eq!(found(&[pi[0], pi[1], ("surefoot_go", "bootefi")]), None);
        let below = [("kernel_addr_r", "4000000"), ("ramdisk_addr_r", "3800000")];
        assert_eq!(found(&below).unwrap().variable, "kernel_addr_r");
        let tree = [("kernel_addr_r", "80000"), ("fdt_addr_r", "100000")];
        assert_eq!(found(&tree), None, "a device tree that nothing loads");
        let loaded = [tree[0], tree[1], ("surefoot_fdt", "/boot/board.dtb")];
        assert_eq!(found(&loaded).unwrap().variable, "fdt_addr_r");
    }

    #[test]
    fn odd_numbers_and_heads_are_nothing() {
        for wrong in ["", "x", "0x", "ffffffffffffffffff", "-1"] {
            assert_eq!(found(&[("kernel_addr_r", wrong), ("ramdisk_addr_r", "1")]), None);
        }
        let most = [("kernel_addr_r", "ffffffffffffff00"), ("ramdisk_addr_r", "fffffffffffffffe")];
        assert_eq!(found(&most).unwrap().least, u64::MAX);
        for head in [Vec::new(), vec![0xff; 64], kernel(1, 0).head, kernel(1, u64::MAX).head] {
            let _no_panic = started(u64::MAX, &head);
            assert_eq!(started(0x10_0000, &head), None);
        }
    }
}

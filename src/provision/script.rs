//! The boot script as U-Boot's `source` wants it: a legacy image. Source of the layout: U-Boot,
//! `include/image.h`; all numbers big-endian.
//!
//! ```text
//!   0  u32 magic 27051956    16  u32 load address 0     28  system 5, architecture 2,
//!   4  u32 CRC of the header 20  u32 entry point 0          type 6 (script), compression 0
//!   8  u32 time 0            24  u32 CRC of the data    32  name, 32 bytes
//!  12  u32 length of data    64  data: u32 length of the script, u32 0, the script
//! ```

const MAGIC: u32 = 0x2705_1956;
const HEADER: usize = 64;
const KIND: [u8; 4] = [5, 2, 6, 0];

/// The boot script of this project, without its comments, as it is written to a disk.
pub fn shipped_boot_script() -> String {
    include_str!("../../uboot-scripts/boot.cmd")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Wraps a script. The time in it is 0, so that the same script gives the same bytes. `None` if
/// it is longer than the format can say.
pub fn wrap_script(text: &str) -> Option<Vec<u8>> {
    let script_len = u32::try_from(text.len()).ok()?;
    let mut data = script_len.to_be_bytes().to_vec();
    data.extend([0; 4]);
    data.extend(text.as_bytes());
    let mut header = [0u8; HEADER];
    header[..4].copy_from_slice(&MAGIC.to_be_bytes());
    header[12..16].copy_from_slice(&u32::try_from(data.len()).ok()?.to_be_bytes());
    header[24..28].copy_from_slice(&crc32fast::hash(&data).to_be_bytes());
    header[28..32].copy_from_slice(&KIND);
    header[32..40].copy_from_slice(b"surefoot");
    let crc = crc32fast::hash(&header);
    header[4..8].copy_from_slice(&crc.to_be_bytes());
    Some([header.as_slice(), &data].concat())
}

/// The script in a legacy image, or why `source` would refuse it.
pub fn unwrap_script(bytes: &[u8]) -> Result<&str, &'static str> {
    let word = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    let header = bytes.get(..HEADER).ok_or("too short for a script image")?;
    if word(0) != Some(MAGIC) {
        return Err("Wrong image format for \"source\" command");
    }
    let mut blank = header.to_vec();
    blank[4..8].fill(0);
    if word(4) != Some(crc32fast::hash(&blank)) {
        return Err("Bad header crc");
    }
    let len = word(12).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let end = HEADER.checked_add(len).ok_or("Bad data length")?;
    let data = bytes.get(HEADER..end).ok_or("Bad data length")?;
    if word(24) != Some(crc32fast::hash(data)) {
        return Err("Bad data crc");
    }
    if header[30] != KIND[2] {
        return Err("Bad image type");
    }
    let script_len = word(HEADER).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let script = data.get(8..).and_then(|rest| rest.get(..script_len));
    std::str::from_utf8(script.ok_or("Empty Script")?).map_err(|_| "the script is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_script_reads_back_and_is_always_the_same() {
        let script = shipped_boot_script();
        assert!(script.contains("upgrade_available") && !script.contains('#'));
        let image = wrap_script(&script).unwrap();
        assert_eq!(unwrap_script(&image), Ok(script.as_str()));
        assert_eq!(wrap_script(&script).unwrap(), image);
    }

    #[test]
    fn the_bytes_are_those_of_mkimage() {
        // printf 'echo hi\n' > s; SOURCE_DATE_EPOCH=0 mkimage -T script -A arm -O linux -C none -n surefoot -d s s.scr
        let mkimage = "27051956 7169e9df 00000000 00000010 00000000 00000000 d9340162 05020600";
        let image = wrap_script("echo hi\n").unwrap();
        let words: Vec<String> =
            image[..32].chunks(4).map(|c| c.iter().map(|b| format!("{b:02x}")).collect()).collect();
        assert_eq!(words.join(" "), mkimage);
    }

    #[test]
    fn any_flipped_bit_is_refused_where_a_checksum_looks() {
        let image = wrap_script("echo hi\n").unwrap();
        for at in 0..image.len() {
            for bit in 0..8 {
                let mut broken = image.clone();
                broken[at] ^= 1 << bit;
                assert!(unwrap_script(&broken).is_err(), "byte {at} bit {bit}");
            }
        }
        for len in 0..image.len() {
            assert!(unwrap_script(&image[..len]).is_err(), "{len}");
        }
    }
}

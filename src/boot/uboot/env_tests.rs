//! The codec: every bit, every fill, every foreign entry.

use super::env::Env;
use crate::model::ReasonCode;

fn env(pairs: &[(&str, &str)]) -> Env {
    let mut env = Env::new();
    for (name, value) in pairs {
        env.set(name, value).unwrap();
    }
    env
}

fn stored(data: &[u8], size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    out[4..4 + data.len()].copy_from_slice(data);
    let crc = crc32fast::hash(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

#[test]
fn fills_to_the_last_byte_and_not_beyond() {
    for redundant in [false, true] {
        let serial = redundant.then_some(9);
        for size in 16..80 {
            let room = size - (4 + usize::from(redundant));
            for value in 1..room {
                let env = env(&[("n", &"v".repeat(value))]);
                // `n=`, the value, its NUL, the last NUL.
                let fits = value + 4 <= room;
                let encoded = env.encode(size, serial);
                assert_eq!(encoded.is_ok(), fits, "{size} {value}");
                match encoded {
                    Ok(bytes) => {
                        assert_eq!(bytes.len(), size);
                        assert_eq!(Env::decode(&bytes, redundant), Ok((env, serial)));
                        assert!(Env::decode(&bytes, !redundant).is_err());
                    }
                    Err(f) => assert_eq!(f.code(), ReasonCode::EnvFull),
                }
            }
        }
        assert!(Env::new().encode(4 + usize::from(redundant), serial).is_err());
        assert!(Env::new().encode((4 + usize::from(redundant)) + 1, serial).is_ok());
    }
}

#[test]
fn every_flipped_bit_but_the_flags_kills_the_copy() {
    let bytes = env(&[("a", "1"), ("b", "2")]).encode(32, Some(3)).unwrap();
    for bit in 0..32 * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let alive = Env::decode(&flipped, true).is_ok();
        assert_eq!(alive, bit / 8 == 4, "bit {bit}");
    }
    for len in 0..32 {
        assert!(Env::decode(&bytes[..len], true).is_err());
    }
}

#[test]
fn a_list_without_an_end_is_dead_though_its_checksum_holds() {
    let mut full = vec![b'x'; 32];
    let crc = crc32fast::hash(&full[4..]);
    full[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Env::decode(&full, false), Err("the end of the list is missing"));
    full[31] = 0;
    let crc = crc32fast::hash(&full[4..]);
    full[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Env::decode(&full, false), Err("the end of the list is missing"));
    assert_eq!(Env::decode(&stored(b"=x\0\0", 16), false), Err("a variable without a name"));
}

#[test]
fn foreign_entries_stay_where_they_are_and_u_boots_reading_counts() {
    let data = b"z=1\0#c=1\0junk\0\xff\xfe=\x80\0 a=blank\0z=2\0e=\0\0trash";
    let bytes = stored(data, 64);
    let (mut env, _) = Env::decode(&bytes, false).unwrap();
    assert_eq!(env.get("z").as_deref(), Some("2"), "the last one counts");
    assert_eq!(env.get("a").as_deref(), Some("blank"), "U-Boot skips blanks");
    for absent in ["e", "junk", "#c", "c", "", "zz"] {
        assert_eq!(env.get(absent), None, "{absent}");
    }
    env.set("m", "5").unwrap();
    env.set("z", "9").unwrap();
    let out = env.encode(64, None).unwrap();
    let expected = b"m=5\0z=9\0#c=1\0junk\0\xff\xfe=\x80\0 a=blank\0e=\0\0";
    assert_eq!(&out[4..4 + expected.len()], expected);
    env.remove("a");
    assert_eq!(env.get("a"), None);
}

#[test]
fn names_and_values_that_nobody_could_read_again_are_refused() {
    let mut env = Env::new();
    for (name, value) in [
        ("", "x"),
        ("a=b", "x"),
        ("a b", "x"),
        ("#a", "x"),
        ("a\0", "x"),
        ("a", ""),
        ("a", "x\0y"),
        ("é", "x"),
    ] {
        assert!(env.set(name, value).is_err(), "{name:?} {value:?}");
    }
    assert_eq!(env, Env::new());
}

#[test]
fn text_reads_as_mkenvimage_reads_it() {
    let env = Env::from_text("# note\nb=two words\nc=1\n\na=1; \\\nrun x\nc=\nd=\n").unwrap();
    assert_eq!(env.get("a").as_deref(), Some("1; \nrun x"));
    assert_eq!(env.get("b").as_deref(), Some("two words"));
    assert_eq!((env.get("c"), env.get("d")), (None, None), "a name alone is not set");
    for wrong in ["name value\n", "=x\n", "a b=\n", "=\n"] {
        assert!(Env::from_text(wrong).is_err(), "{wrong:?}");
    }
}

//! SHA-512 crypt, the `$6$` of shadow(5), to try a password that everybody knows. Source: Ulrich Drepper, "Unix crypt using
//! SHA-256 and SHA-512", version 0.6.

use sha2::{Digest, Sha512};

/// Rounds where the hash does not say how many.
const ROUNDS: u32 = 5_000;

/// A hash that asks for more is not tried.
const ROUNDS_MAX: u32 = 20_000;

const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether a password has this hash; `None` for a hash of another kind.
pub(super) fn matches(password: &str, hash: &str) -> Option<bool> {
    let rest = hash.strip_prefix("$6$")?;
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        Some(said) => {
            let (rounds, rest) = said.split_once('$')?;
            (rounds.parse::<u32>().ok()?.clamp(1_000, 999_999_999), rest)
        }
        None => (ROUNDS, rest),
    };
    let (salt, digits) = rest.split_once('$')?;
    if rounds > ROUNDS_MAX || salt.len() > 16 {
        return None;
    }
    Some(spelled(&hashed(password.as_bytes(), salt.as_bytes(), rounds)) == digits)
}

/// `len` bytes of one digest again and again.
fn filled(digest: &[u8], len: usize) -> Vec<u8> {
    digest.iter().copied().cycle().take(len).collect()
}

fn hashed(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 64] {
    let digest = |parts: &[&[u8]]| {
        let mut hash = Sha512::new();
        parts.iter().for_each(|part| hash.update(part));
        <[u8; 64]>::from(hash.finalize())
    };
    let both = digest(&[password, salt, password]);
    let mut hash = Sha512::new();
    hash.update(password);
    hash.update(salt);
    hash.update(filled(&both, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        hash.update(if bits & 1 == 1 { &both } else { password });
        bits >>= 1;
    }
    let mut last = <[u8; 64]>::from(hash.finalize());
    let every = digest(&vec![password; password.len()]);
    let p = filled(&every, password.len());
    let every = digest(&vec![salt; 16 + usize::from(last[0])]);
    let s = filled(&every, salt.len());
    for round in 0..rounds {
        let mut hash = Sha512::new();
        hash.update(if round % 2 == 1 { &p[..] } else { &last });
        if round % 3 != 0 {
            hash.update(&s);
        }
        if round % 7 != 0 {
            hash.update(&p);
        }
        hash.update(if round % 2 == 1 { &last[..] } else { &p });
        last = hash.finalize().into();
    }
    last
}

/// The digest in the alphabet and the order of the format.
fn spelled(digest: &[u8; 64]) -> String {
    let mut out = String::new();
    let mut put = |mut word: u32, count: usize| {
        for _ in 0..count {
            out.push(char::from(DIGITS[(word & 0x3f) as usize]));
            word >>= 6;
        }
    };
    // Three bytes at a time, 21 apart, each time beginning with the next of the three.
    for n in 0..21 {
        let at = [n, n + 21, n + 42];
        let [a, b, c] = [0, 1, 2].map(|k| u32::from(digest[at[(k + n) % 3]]));
        put(a << 16 | b << 8 | c, 4);
    }
    put(u32::from(digest[63]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        for (password, hash) in [
            (
                "Hello world!",
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (
                "Hello world!",
                "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
            ),
        ] {
            assert_eq!(matches(password, hash), Some(true), "{hash}");
            assert_eq!(matches("hello world!", hash), Some(false), "{hash}");
        }
        for other in ["", "*", "!", "$y$j9T$x$y", "$6$", "$6$rounds=999999$salt$x"] {
            assert_eq!(matches("x", other), None, "{other}");
        }
    }
}

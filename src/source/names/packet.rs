//! Questions to a name server and its answers (RFC 1035), as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

/// What a name server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These addresses; none where the name has others only.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// It does not fit into a packet: to be asked for over TCP.
    Longer,
    /// The server cannot say.
    Fails(u8),
}

const CNAME: u16 = 5;
/// Records of an answer that are looked at, and names in a row that stand for another.
const RECORDS_MAX: u16 = 64;
const CHAIN_MAX: usize = 8;
/// Pointers in one name.
const JUMPS_MAX: usize = 16;

/// A question. `None` for a name that does not fit.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion is wanted; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let len = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        bytes.push(len);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.number().to_be_bytes());
    bytes.extend([0, 1]);
    (bytes.len() <= 12 + 255 + 4).then_some(bytes)
}

/// Reads bytes from the front; everything is `None` behind the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// In small letters, with dots. A pointer leads only to what stands before it.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut jumps) = (String::new(), 0);
        let (mut at, mut end) = (self.at, None);
        loop {
            let len = usize::from(*self.bytes.get(at)?);
            match len {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(name);
                }
                1..64 => {
                    let label = self.bytes.get(at + 1..at + 1 + len)?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                    at += 1 + len;
                }
                192.. => {
                    let to = (len & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    jumps += 1;
                    if to >= at || jumps > JUMPS_MAX {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
            if name.len() > 255 {
                return None;
            }
        }
    }
}

/// Reads an answer to `asked`; `None` for what answers something else, or is no answer.
pub(super) fn answer(bytes: &[u8], asked: &[u8], kind: Kind) -> Option<Answer> {
    let mut it = Reader { bytes, at: 0 };
    let mut own = Reader { bytes: asked, at: 12 };
    let (id, flags) = (it.u16()?, it.u16()?);
    let (questions, answers) = (it.u16()?, it.u16()?);
    it.at = 12;
    // A response to a standard question.
    if id.to_be_bytes() != asked[..2] || flags & 0xf800 != 0x8000 || questions != 1 {
        return None;
    }
    let name = it.name()?;
    if name != own.name()? || it.u16()? != kind.number() || it.u16()? != 1 {
        return None;
    }
    match flags & 0xf {
        0 if flags & 0x200 != 0 => return Some(Answer::Longer),
        0 => {}
        3 => return Some(Answer::NoName),
        code => return Some(Answer::Fails(u8::try_from(code).unwrap_or(0))),
    }
    let (mut stands_for, mut found) = (Vec::new(), Vec::new());
    for _ in 0..answers.min(RECORDS_MAX) {
        let owner = it.name()?;
        let (what, class) = (it.u16()?, it.u16()?);
        it.at += 4;
        let len = usize::from(it.u16()?);
        let data = it.bytes.get(it.at..it.at + len)?;
        let address = match (what, class) {
            (1, 1) => <[u8; 4]>::try_from(data).ok().map(|b| IpAddr::from(Ipv4Addr::from(b))),
            (28, 1) => <[u8; 16]>::try_from(data).ok().map(|b| IpAddr::from(Ipv6Addr::from(b))),
            (CNAME, 1) => {
                let mut target = Reader { bytes, at: it.at };
                stands_for.push((owner.clone(), target.name()?));
                None
            }
            _ => None,
        };
        if let Some(address) = address.filter(|_| what == kind.number()) {
            found.push((owner, address));
        }
        it.at += len;
    }
    let mut last = name;
    for _ in 0..CHAIN_MAX {
        let Some((_, next)) = stands_for.iter().find(|(owner, _)| *owner == last) else { break };
        last.clone_from(next);
    }
    // What belongs to another name was not asked for.
    let own = found.into_iter().filter(|(owner, _)| *owner == last);
    Some(Answer::Addresses(own.map(|(_, address)| address).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to this question with these records: owner's label, kind and data.
    fn reply(asked: &[u8], flags: [u8; 2], records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut bytes = asked.to_vec();
        bytes[2..4].copy_from_slice(&flags);
        bytes[7] = u8::try_from(records.len()).unwrap();
        for (owner, kind, data) in records {
            bytes.extend(*owner);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 9]);
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    const SELF: &[u8] = &[0xc0, 12];
    const GOOD: [u8; 2] = [0x81, 0x80];

    fn asked() -> Vec<u8> {
        question(7, "www.Example.org", Kind::A).unwrap()
    }

    #[test]
    fn addresses_come_through_names_that_stand_for_others() {
        let asked = asked();
        let a = |owner, n| -> (&[u8], u16, [u8; 4]) { (owner, 1, [192, 0, 2, n]) };
        let other = b"\x05other\xc0\x10";
        let (one, two) = (a(&other[..], 1), a(b"\x05xxxxx\x00", 2));
        let bytes =
            reply(&asked, GOOD, &[(SELF, 5, other), (one.0, 1, &one.2), (two.0, 1, &two.2)]);
        let found = answer(&bytes, &asked, Kind::A).unwrap();
        assert_eq!(found, Answer::Addresses(vec!["192.0.2.1".parse().unwrap()]));
        let six = question(9, "a", Kind::Aaaa).unwrap();
        let bytes = reply(&six, GOOD, &[(SELF, 28, &[0; 16]), (SELF, 1, &[1; 4])]);
        let found = answer(&bytes, &six, Kind::Aaaa).unwrap();
        assert_eq!(found, Answer::Addresses(vec!["::".parse().unwrap()]));
    }

    #[test]
    fn what_answers_something_else_is_no_answer() {
        let asked = asked();
        let good = reply(&asked, GOOD, &[]);
        assert_eq!(answer(&good, &asked, Kind::A), Some(Answer::Addresses(vec![])));
        for (at, byte) in [(0, 1), (1, 8), (2, 1), (5, 0), (13, b'x'), (asked.len() - 3, 28)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(answer(&bad, &asked, Kind::A), None, "byte {at}");
        }
        assert_eq!(
            answer(&reply(&asked, [0x81, 0x83], &[]), &asked, Kind::A),
            Some(Answer::NoName)
        );
        assert_eq!(
            answer(&reply(&asked, [0x83, 0x80], &[]), &asked, Kind::A),
            Some(Answer::Longer)
        );
        assert_eq!(
            answer(&reply(&asked, [0x81, 0x82], &[]), &asked, Kind::A),
            Some(Answer::Fails(2))
        );
    }

    #[test]
    fn circles_and_ends_are_no_answers() {
        let asked = asked();
        let at = u8::try_from(asked.len()).unwrap();
        for owner in [&[0xc0, at][..], &[0xc0, 0xff], &[0x40], &[63, b'a']] {
            let bytes = reply(&asked, GOOD, &[(owner, 1, &[1; 4])]);
            assert_eq!(answer(&bytes, &asked, Kind::A), None, "{owner:?}");
        }
        // A name that stands for itself ends.
        let bytes = reply(&asked, GOOD, &[(SELF, 5, SELF)]);
        assert_eq!(answer(&bytes, &asked, Kind::A), Some(Answer::Addresses(vec![])));
        let whole = reply(&asked, GOOD, &[(SELF, 1, &[1; 4])]);
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &asked, Kind::A), None, "{len} bytes");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_not_asked_for() {
        for name in ["", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(question(1, name, Kind::A), None, "{name}");
        }
    }
}

//! What the listing child says, as lines of text. The child is not to be trusted: it has read what
//! a stranger made. Whatever it says is bounded, and is only a list of names and numbers.

use super::kind::{Kind, named};
use super::{NAMES_MAX, NEAR_MAX, PLACES_MAX};

const FIRST: &str = "surefoot-fat 1";

/// More than the longest listing.
pub(super) const LISTING_MAX: usize = NAMES_MAX * 1100;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) len: u64,
    pub(super) name: String,
}

/// What is in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) files: Vec<Listed>,
    /// Names of files that a person may have meant to be artifacts, and that are none.
    pub(super) near: Vec<String>,
    /// There is more than was looked at.
    pub(super) more: bool,
    /// Why the file system could not be read, or not to its end.
    pub(super) damage: Option<String>,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Places on the medium.
    pub(super) places: usize,
    pub(super) kind: Kind,
    /// It is a partition of firmware, where no person looks.
    pub(super) firmware: bool,
    pub(super) listing: Listing,
}

/// Line ends inside a name would be another line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

pub(super) fn print(answer: &Answer) -> String {
    let mut out = format!("{FIRST}\nplaces {}\nkind {}\n", answer.places, answer.kind);
    if answer.firmware {
        out.push_str("firmware\n");
    }
    for name in &answer.listing.near {
        out.push_str(&format!("near {}\n", line(name)));
    }
    for file in &answer.listing.files {
        out.push_str(&format!("file {} {}\n", file.len, line(&file.name)));
    }
    if answer.listing.more {
        out.push_str("more\n");
    }
    if let Some(damage) = &answer.listing.damage {
        out.push_str(&format!("damage {}\n", line(damage)));
    }
    out + "end\n"
}

/// `None` for what is no whole answer.
pub(super) fn parse(text: &str) -> Option<Answer> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let mut next = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ');
    let _ = next("surefoot-fat").filter(|v| *v == "1")?;
    let places = next("places")?.parse().ok().filter(|n| *n <= PLACES_MAX)?;
    let kind = named(next("kind")?)?;
    let mut listing = Listing::default();
    let (mut ended, mut firmware) = (false, false);
    for line in lines {
        if ended {
            return None;
        }
        match line.split_once(' ') {
            Some(("file", rest)) if listing.files.len() < NAMES_MAX => {
                let (len, name) = rest.split_once(' ')?;
                let file = Listed { len: len.parse().ok()?, name: name.to_owned() };
                listing.files.push(file);
            }
            Some(("near", name)) if listing.near.len() < NEAR_MAX => {
                listing.near.push(name.to_owned());
            }
            Some(("damage", why)) => listing.damage = Some(why.chars().take(200).collect()),
            None if line == "firmware" => firmware = true,
            None if line == "more" => listing.more = true,
            None if line == "end" => ended = true,
            _ => return None,
        }
    }
    ended.then_some(Answer { places, kind, firmware, listing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back_and_half_of_one_is_none() {
        let file = |name: &str| Listed { len: 7, name: name.to_owned() };
        let listing = Listing {
            files: vec![file("a b.surefoot"), file("c")],
            near: vec!["other/a.surefoot".to_owned(), "b.surefoot.zip".to_owned()],
            more: true,
            damage: Some("it turns".to_owned()),
        };
        let answer = Answer { places: 2, kind: Kind::Fat, firmware: true, listing };
        let text = print(&answer);
        assert_eq!(parse(&text), Some(answer));
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len]), None, "{len}");
        }
        assert_eq!(parse(&format!("{text}end\n")), None);
        let trick = Listing { files: vec![file("x\nend")], ..Listing::default() };
        let text = print(&Answer { places: 1, kind: Kind::Fat, firmware: false, listing: trick });
        assert_eq!(parse(&text).unwrap().listing.files[0].name, "x?end");
        let many = format!("{FIRST}\nplaces 1\nkind FAT\n{}end\n", "file 1 x\n".repeat(257));
        assert_eq!(parse(&many), None);
        let many = format!("{FIRST}\nplaces 1\nkind FAT\n{}end\n", "near x\n".repeat(9));
        assert_eq!(parse(&many), None);
    }
}

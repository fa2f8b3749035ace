//! Which of several artifacts is installed, and why: values in, values out.

use crate::model::{Digest, ReasonCode, Version};
use serde::Serialize;
use std::cmp::Reverse;

/// What this device says of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It would be installed.
    Fits {
        /// As people call it.
        version: Version,
        /// Its order among releases.
        release_counter: u64,
        /// Names it.
        artifact: Digest,
    },
    /// It would not.
    Refused {
        /// Why.
        code: ReasonCode,
        /// One line for people.
        detail: String,
    },
}

/// An artifact and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The file's name.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// What was said.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Those that fit, by number, in the order in which they are tried: the next one only if the
    /// one before turns out to be damaged.
    pub order: Vec<usize>,
    /// The choice, in one line for people.
    pub text: String,
}

/// How the choice came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Not tried yet.
    Chosen,
    /// It was installed, or was there already.
    Installed,
    /// It was not, and not because of its bytes.
    NotInstalled,
}

/// How the name of a delta ends. Only the order depends on it.
const DELTA: &str = ".delta.surefoot";

/// The newest that fits. Releases are ordered by their counter alone. Two different ones with one
/// counter are both signed for this device, so that neither does harm; the one with the lower
/// digest is taken, because that is the same one on every device and whatever the files are called,
/// and it is said. A second copy of the same is passed over. A delta that fits is taken before the full
/// artifact, which has its chance where the delta turns out not to help.
pub fn choose(judged: &[Judged]) -> Choice {
    let fits = |number: usize| match &judged.get(number)?.verdict {
        Verdict::Fits { release_counter, artifact, .. } => Some((*release_counter, *artifact)),
        Verdict::Refused { .. } => None,
    };
    let whole = |n: usize| !judged[n].name.to_ascii_lowercase().ends_with(DELTA);
    let rank = |n: usize| {
        let fits = fits(n);
        fits.map(|(counter, artifact)| (Reverse(counter), artifact.0, whole(n), &judged[n].name))
    };
    let mut order: Vec<usize> = Vec::new();
    for number in (0..judged.len()).filter(|n| fits(*n).is_some()) {
        order.insert(order.partition_point(|n| rank(*n) < rank(number)), number);
    }
    let mut before = None;
    order.retain(|n| {
        let this = fits(*n).map(|fits| (fits, whole(*n)));
        this != std::mem::replace(&mut before, this)
    });
    let chosen = order.first().copied();
    let text = summary(judged, &fates(judged, chosen, Came::Chosen));
    Choice { order, text }
}

/// What became of each, one line for people each: `taken` is the one that was tried last.
pub fn fates(judged: &[Judged], taken: Option<usize>, came: Came) -> Vec<String> {
    let fits = |one: &Judged| match &one.verdict {
        Verdict::Fits { version, release_counter, artifact } => {
            Some((version.clone(), *release_counter, *artifact))
        }
        Verdict::Refused { .. } => None,
    };
    let best = taken.and_then(|n| fits(judged.get(n)?));
    let fate = |(number, one): (usize, &Judged)| {
        let Some((version, counter, artifact)) = fits(one) else {
            let Verdict::Refused { code, detail } = &one.verdict else { return String::new() };
            return format!("{detail} ({code})");
        };
        match &best {
            _ if taken == Some(number) => match came {
                Came::Chosen => format!("{version} chosen"),
                Came::Installed => format!("{version} installed"),
                Came::NotInstalled => format!("{version} chosen, and not installed"),
            },
            None => format!("{version} not tried"),
            Some((_, _, best)) if *best == artifact => format!("{version}, a copy of another one"),
            Some((_, best, _)) if *best == counter => format!(
                "{version}, another build with the same release counter; passed over because \
                 its digest is higher: take one of the two away to choose yourself"
            ),
            Some(_) => format!("{version} is older"),
        }
    };
    judged.iter().enumerate().map(|(number, one)| fate((number, one))).collect()
}

/// All fates in one line.
pub fn summary(judged: &[Judged], fates: &[String]) -> String {
    let lines: Vec<_> = judged.iter().zip(fates).map(|(j, f)| format!("{}: {f}", j.name)).collect();
    let count = match judged.len() {
        0 => "no artifact".to_owned(),
        1 => "1 artifact: ".to_owned(),
        n => format!("{n} artifacts: "),
    };
    format!("{count}{}", lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(name: &str, version: &str, release_counter: u64, digest: u8) -> Judged {
        let artifact = Digest([digest; 32]);
        let version = version.parse().unwrap();
        let verdict = Verdict::Fits { version, release_counter, artifact };
        Judged { name: name.to_owned(), len: 1, verdict }
    }

    fn refused(name: &str, code: ReasonCode) -> Judged {
        let verdict = Verdict::Refused { code, detail: code.meaning().to_owned() };
        Judged { name: name.to_owned(), len: 1, verdict }
    }

    #[test]
    fn the_newest_that_fits_is_chosen_and_the_others_are_explained() {
        let judged = [
            fits("a", "2.0", 5, 1),
            refused("b", ReasonCode::Incompatible),
            fits("c", "2.1", 6, 2),
        ];
        let choice = choose(&judged);
        assert_eq!(choice.order, [2, 0]);
        assert_eq!(
            choice.text,
            "3 artifacts: a: 2.0 is older; b: The artifact is not compatible with this device. \
             (INCOMPATIBLE); c: 2.1 chosen"
        );
    }

    #[test]
    fn equal_releases_are_told_apart_the_same_way_everywhere() {
        let pair = [fits("a", "2.1", 6, 9), fits("b", "2.1", 6, 3)];
        let choice = choose(&pair);
        assert_eq!(choice.order, [1, 0]);
        assert!(choice.text.contains("a: 2.1, another build with the same"), "{}", choice.text);
        let renamed = [fits("z", "2.1", 6, 3), fits("y", "2.1", 6, 9)];
        assert_eq!(choose(&renamed).order, [0, 1]);
    }

    #[test]
    fn a_copy_is_no_second_chance() {
        let choice = choose(&[fits("b", "2.1", 6, 3), fits("a", "2.1", 6, 3)]);
        assert_eq!(choice.order, [1]);
        assert!(choice.text.contains("b: 2.1, a copy of another one"), "{}", choice.text);
    }

    #[test]
    fn a_delta_comes_first_and_the_full_artifact_is_its_second_chance() {
        let full = fits("x.surefoot", "2.1", 6, 3);
        let delta = fits("x.from-2.0.delta.surefoot", "2.1", 6, 3);
        let choice = choose(&[full, delta, fits("y.surefoot", "2.1", 6, 3)]);
        assert_eq!(choice.order, [1, 0]);
    }

    #[test]
    fn where_nothing_fits_nothing_is_chosen() {
        assert!(choose(&[]).order.is_empty());
        assert!(choose(&[refused("a", ReasonCode::SignatureMissing)]).order.is_empty());
    }
}

//! The stories that are told again and again with a cut in them: between them they make every kind
//! of write that an update makes.

use super::way::Way;

/// What the new system does once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// It is healthy.
    Good,
    /// It comes up and its check says no.
    Unhealthy,
    /// Its kernel starts, and nothing else does.
    Never,
}

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A verb, the words after it, and the exit statuses it may have. `@` is the artifact, or what brings it.
    Surefoot(&'static str, &'static [&'static str], &'static [i32]),
    /// The same, with the power going after so many writes.
    Cut(&'static str, &'static [&'static str], &'static str),
    /// The same, with a medium that stores another byte than it was given.
    Lie(&'static str, &'static [&'static str], &'static [i32]),
    /// Power off and on.
    Boot,
    /// Something that no program of ours did.
    Happens(Accident),
    /// From here on the power is cut.
    FromHere,
}

/// What befalls a device from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accident {
    /// The system that runs has brought another trust file along: what is committed is signed by a
    /// key that is not believed any more.
    KeysChange,
    /// A file system was grown over the record of the slot that runs.
    RecordLost,
    /// The state folder is empty.
    StateLost,
}

/// Which release a story brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brings {
    /// The one whose update is cut.
    Artifact,
    /// One that is newer than what runs and older than that, signed by the new key.
    Between,
}

/// One story.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) nature: Nature,
    pub(super) brings: Brings,
    /// What brings it, where that is not the artifact as a file.
    pub(super) way: Option<Way>,
    pub(super) steps: Vec<Step>,
}

const DONE: &[i32] = &[0];
const REFUSED: &[i32] = &[65];
const DENIED: &[i32] = &[77];

impl Story {
    /// Whether something happens in it that only an older release can tell: it must not be taken.
    pub(super) fn asks_for_the_order(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Happens(_)))
    }

    pub(super) fn changes_keys(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Happens(Accident::KeysChange)))
    }
}

/// All of them, and those of each other way.
pub(super) fn stories(ways: &[Way]) -> Vec<Story> {
    let mut all = updates();
    all.extend(accidents());
    all.extend(ways.iter().flat_map(brought));
    all
}

/// An update by another way, and one that goes on after a cut.
fn brought(way: &Way) -> [Story; 2] {
    use Step::{Boot, Cut, FromHere, Surefoot};
    let update = [FromHere, Surefoot("install", &["@"], DONE), Boot, Surefoot("commit", &[], DONE)];
    let told = |name, steps: &[Step]| Story {
        name,
        nature: Nature::Good,
        brings: Brings::Artifact,
        way: Some(way.clone()),
        steps: steps.to_vec(),
    };
    let cut = [&[Cut("install", &["@"], "7:65536")][..], &update].concat();
    let [whole, interrupted] = way.names();
    [told(whole, &update), told(interrupted, &cut)]
}

/// What was committed is remembered, whatever of it is lost.
fn accidents() -> Vec<Story> {
    use Accident::{KeysChange, RecordLost, StateLost};
    use Step::{Boot, FromHere, Happens, Surefoot};
    let told = |name, brings, steps: &[Step]| Story {
        name,
        nature: Nature::Good,
        brings,
        way: None,
        steps: steps.to_vec(),
    };
    let install = Surefoot("install", &["@"], DONE);
    let commit = Surefoot("commit", &[], DONE);
    let update = |accident| [Happens(accident), FromHere, install.clone(), Boot, commit.clone()];
    let trial = |accidents: &[Accident]| {
        let mut steps = vec![install.clone(), Boot];
        steps.extend(accidents.iter().map(|accident| Happens(*accident)));
        steps.extend([FromHere, commit.clone()]);
        steps
    };
    vec![
        told("an update after a change of keys", Brings::Between, &update(KeysChange)),
        told("a change of keys in a trial", Brings::Artifact, &trial(&[KeysChange])),
        told("an update after a lost record", Brings::Artifact, &update(RecordLost)),
        told(
            "a change of keys and a lost record in a trial",
            Brings::Artifact,
            &trial(&[KeysChange, RecordLost]),
        ),
        told("an update after a lost state folder", Brings::Artifact, &update(StateLost)),
        told("a lost state folder in a trial", Brings::Artifact, &trial(&[StateLost])),
    ]
}

/// The life of an update.
fn updates() -> Vec<Story> {
    use Step::{Boot, Cut, FromHere, Lie, Surefoot};
    let install = || Surefoot("install", &["@"], DONE);
    let story = |name, nature, steps: &[Step]| Story {
        name,
        nature,
        brings: Brings::Artifact,
        way: None,
        steps: steps.to_vec(),
    };
    let commit = Surefoot("commit", &[], DONE);
    let rollback = Surefoot("rollback", &[], DONE);
    vec![
        story("a good update", Nature::Good, &[FromHere, install(), Boot, commit.clone()]),
        story(
            "an unhealthy update",
            Nature::Unhealthy,
            &[
                FromHere,
                install(),
                Boot,
                Surefoot("commit", &[], DENIED),
                Boot,
                Surefoot("install", &["@"], REFUSED),
            ],
        ),
        story(
            "an update that never comes up",
            Nature::Never,
            &[FromHere, install(), Boot, Boot, Boot, Boot, Surefoot("install", &["@"], REFUSED)],
        ),
        story(
            "a return after the commit",
            Nature::Good,
            &[install(), Boot, commit.clone(), FromHere, rollback.clone(), Boot, commit.clone()],
        ),
        story(
            "a trial sent back by a person",
            Nature::Good,
            &[
                install(),
                Boot,
                FromHere,
                rollback.clone(),
                Boot,
                Surefoot("install", &["@"], REFUSED),
            ],
        ),
        story(
            "a trial that is rebooted in an orderly way",
            Nature::Good,
            &[install(), Boot, FromHere, Surefoot("shutdown", &[], DONE), Boot, commit.clone()],
        ),
        story(
            "staged, armed, disarmed",
            Nature::Good,
            &[
                FromHere,
                Surefoot("install", &["@", "--stage"], DONE),
                Surefoot("switch", &[], DONE),
                rollback,
            ],
        ),
        story(
            "an interrupted installation that goes on",
            Nature::Good,
            &[Cut("install", &["@"], "7:65536"), FromHere, install(), Boot, commit],
        ),
        story(
            "a medium that lies",
            Nature::Good,
            // A product that reads back stops here; one that does not arms what it did not write.
            &[FromHere, Lie("install", &["@"], &[0, 74]), Boot],
        ),
    ]
}

//! The stories that are told again and again with a cut in them: between them they make every kind
//! of write that an update makes.

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
    /// A verb, the words after it, and the exit statuses it may have. `@` is the artifact.
    Surefoot(&'static str, &'static [&'static str], &'static [i32]),
    /// The same, with the power going after so many writes.
    Cut(&'static str, &'static [&'static str], &'static str),
    /// The same, with a medium that stores another byte than it was given.
    Lie(&'static str, &'static [&'static str], &'static [i32]),
    /// Power off and on.
    Boot,
    /// From here on the power is cut.
    FromHere,
}

/// One story.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) nature: Nature,
    pub(super) steps: Vec<Step>,
}

const DONE: &[i32] = &[0];
const REFUSED: &[i32] = &[65];
const DENIED: &[i32] = &[77];

/// All of them.
pub(super) fn stories() -> Vec<Story> {
    use Step::{Boot, Cut, FromHere, Lie, Surefoot};
    let install = || Surefoot("install", &["@"], DONE);
    let story = |name, nature, steps: &[Step]| Story { name, nature, steps: steps.to_vec() };
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

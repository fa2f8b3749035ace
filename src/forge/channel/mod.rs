//! `channel`: a folder that any web server can serve, with a signed file in it that says which release is
//! for which device and when. Drafts and the paths of keys lie beside the folder, never in it.

mod change;
mod deltas;
mod draft;
mod option;
mod publish;
mod reports;
mod status;
mod words;

pub(super) use words::Words;

use crate::model::Result;
use words::Verb;

/// Whether the answer is to be JSON.
pub(super) fn wants_json(words: &Words) -> bool {
    match &words.verb {
        Verb::Status(words) => words.json,
        Verb::Publish(words) => words.json,
        _ => false,
    }
}

pub(super) fn run(words: Words) -> Result<()> {
    match words.verb {
        Verb::Init(words) => change::init(&words),
        Verb::Add(words) => change::add(&words),
        Verb::Phase(words) => change::phase(&words),
        Verb::Pause(words) => change::pause(&words, true),
        Verb::Resume(words) => change::pause(&words, false),
        Verb::Withdraw(words) => change::withdraw(&words),
        Verb::Option(words) => option::option(&words),
        Verb::Publish(words) => publish::run(&words),
        Verb::Status(words) => status::run(&words),
    }
}

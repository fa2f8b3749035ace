//! What is done with the artifacts that somebody has brought: judge all, choose, install one, once.

use super::desk;
use super::patience::{patiently, wait_until_decided};
use super::shelf::Shelf;
use crate::device::{Installed, Judgement, Next};
use crate::event::{Event, Phase, Sink};
use crate::inspect::Status;
use crate::model::{Class, Failure, ReasonCode};
use crate::request::Client;
use crate::stick::{Board, Came, Choice, Judged, Shown, Verdict, advice, choose, fates, summary};
use crate::update::Ended;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More artifacts are not judged.
pub(super) const JUDGED_MAX: usize = 64;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) shown: Shown,
    pub(super) code: Option<ReasonCode>,
    /// One line.
    pub(super) text: String,
    /// What a person does next.
    pub(super) next: String,
}

impl Ending {
    pub(super) fn refused(failure: &Failure) -> Ending {
        let code = failure.code();
        let shown = match code {
            ReasonCode::TrialPending | ReasonCode::Busy | ReasonCode::Inhibited => Shown::Waiting,
            ReasonCode::AlreadyInstalled => Shown::Done,
            ReasonCode::SourceLost => Shown::Lost,
            ReasonCode::Cancelled => Shown::Cancelled,
            ReasonCode::Superseded | ReasonCode::Interrupted => Shown::Waiting,
            _ => Shown::Refused,
        };
        let text = failure.detail().to_owned();
        Ending { shown, code: Some(code), text, next: advice(code).to_owned() }
    }
}

/// Everything that was found out.
pub(super) struct Visit {
    pub(super) judged: Vec<Judged>,
    /// What became of each.
    pub(super) fates: Vec<String>,
    /// The same in one line.
    pub(super) choice: String,
    pub(super) ending: Ending,
}

/// Judges, chooses and installs. `by` is who brought it, `by_hand` whether it is certain that a
/// person has just done so.
pub(super) fn visit(
    client: &dyn Client,
    shelf: &dyn Shelf,
    by: &str,
    by_hand: bool,
    board: &Board,
    sink: &dyn Sink,
) -> Visit {
    let wait = wait_until_decided(client, shelf, board);
    let offers = shelf.offers();
    // Put in once more by a person, what was cancelled is begun again.
    let anew = by_hand && by == "stick";
    let fit = |judgement: Judgement| if anew { Ok(judgement) } else { judgement.unasked() };
    let mut judged: Vec<_> = (0..)
        .zip(offers.iter().take(JUDGED_MAX))
        .map(|(number, (name, len))| {
            let judgement =
                shelf.take(number).and_then(|g| desk::glance(client, g, sink)).and_then(fit);
            let verdict = match judgement {
                Ok(judgement) => Verdict::Fits {
                    version: judgement.plan.version,
                    release_counter: judgement.plan.release_counter,
                    artifact: judgement.artifact,
                },
                Err(failure) => {
                    Verdict::Refused { code: failure.code(), detail: failure.detail().to_owned() }
                }
            };
            Judged { name: name.clone(), len: *len, verdict }
        })
        .collect();
    let choice = choose(&judged);
    let mut taken = choice.order.first().copied();
    let ending = match wait {
        Err(failure) => Ending::refused(&failure),
        Ok(status) => {
            let order = Order { choice: &choice, status: &status, by, by_hand, anew };
            install(client, shelf, &mut judged, &mut taken, &order, board, sink)
        }
    };
    let came = match (ending.shown, ending.code) {
        (Shown::Done, None) => Came::Installed,
        _ => Came::NotInstalled,
    };
    let fates = fates(&judged, taken, came);
    Visit { choice: summary(&judged, &fates), fates, judged, ending }
}

/// What is to be installed, and in what order.
struct Order<'a> {
    choice: &'a Choice,
    status: &'a Status,
    by: &'a str,
    by_hand: bool,
    /// Also what a person has cancelled.
    anew: bool,
}

/// Tries one after the other; `taken` is the one that was tried last and was not damaged. What turns
/// out to be damaged is judged anew.
fn install(
    client: &dyn Client,
    shelf: &dyn Shelf,
    judged: &mut [Judged],
    taken: &mut Option<usize>,
    order: &Order<'_>,
    board: &Board,
    sink: &dyn Sink,
) -> Ending {
    let Order { choice, status, by, by_hand, anew } = *order;
    let mut last = nothing_fits(judged);
    for number in &choice.order {
        let Some(one) = judged.get_mut(*number) else {
            continue;
        };
        *taken = Some(*number);
        if !by_hand && let Some(ending) = came_back(one, status) {
            return ending;
        }
        if shelf.is_outdated(Duration::ZERO) {
            let text = "something has come meanwhile, and all is judged anew";
            return Ending::refused(&Failure::new(ReasonCode::Busy, text));
        }
        let told = Following { board, name: &one.name, sink, writes: AtomicBool::default() };
        board.show(Shown::Installing, &choice.text, None);
        let done = patiently(shelf, by, board, || {
            // What has begun to be written counts as cancelled no more, so that whoever cancels it from
            // then on is heard.
            let anew = anew && !told.writes.load(Ordering::Relaxed);
            shelf.take(*number).and_then(|g| desk::install(client, g, anew, &told))
        });
        match done {
            Ok(done) => return installed(&one.name, &done),
            Err(failure) => {
                let named =
                    Failure::new(failure.code(), format!("{}: {}", one.name, failure.detail()));
                last = Ending::refused(&named);
                // The next one has its chance only where this one itself was bad.
                if failure.code().class() != Class::Reject {
                    return last;
                }
                let detail = failure.detail().to_owned();
                one.verdict = Verdict::Refused { code: failure.code(), detail };
                *taken = None;
            }
        }
    }
    last
}

/// A stick that stays in is seen again at every boot. What was installed from it and did not stay
/// would be installed again, and so on for ever; so that it takes a person to try once more.
fn came_back(one: &Judged, status: &Status) -> Option<Ending> {
    let Verdict::Fits { version, artifact, .. } = &one.verdict else {
        return None;
    };
    let last = &status.last;
    let bad = matches!(last.outcome, Some(Ended::RolledBack | Ended::Failed | Ended::Vetoed));
    let same = last.artifact.as_ref() == Some(artifact);
    let lost = last.reason == Some(ReasonCode::SourceLost);
    if !(bad && same) || lost {
        return None;
    }
    let code = last.reason.unwrap_or(ReasonCode::Unknown);
    let why = last.detail.as_deref().unwrap_or(code.meaning());
    Some(Ending {
        shown: Shown::Refused,
        code: Some(code),
        text: format!("{version} was tried already and did not stay: {why}"),
        next: format!("{} To try again, take the stick out and put it in again.", advice(code)),
    })
}

/// Why nothing is installed: of several reasons the one that says most.
fn nothing_fits(judged: &[Judged]) -> Ending {
    let reasons = judged.iter().filter_map(|j| match &j.verdict {
        Verdict::Refused { code, detail } => Some((*code, format!("{}: {detail}", j.name))),
        Verdict::Fits { .. } => None,
    });
    let rank = |code: ReasonCode| match code {
        ReasonCode::AlreadyInstalled => 0,
        ReasonCode::RolledBackBefore => 1,
        ReasonCode::VersionOlder | ReasonCode::BelowFloor => 2,
        // The others are told of: it stays where it is, and no report may wait for it.
        ReasonCode::Cancelled => 5,
        _ if code.class() == Class::Reject => 4,
        _ => 3,
    };
    match reasons.min_by_key(|(code, _)| rank(*code)) {
        Some((code, text)) => Ending::refused(&Failure::new(code, text)),
        None => Ending {
            shown: Shown::Refused,
            code: Some(ReasonCode::NoSuchFile),
            text: "there is no artifact".to_owned(),
            next: advice(ReasonCode::NoSuchFile).to_owned(),
        },
    }
}

fn installed(name: &str, done: &Installed) -> Ending {
    let (shown, code) = (Shown::Done, None);
    let (text, next) = match done {
        Installed::Done(answer) if answer.next == Next::Reboot => (
            format!("{name}: {}", answer.text),
            "The device tries the new system at its next reboot. Leave the stick in, and its \
             report says how it ended.",
        ),
        Installed::Done(answer) => {
            (format!("{name}: {}", answer.text), "A person's word is missing.")
        }
        #[cfg(feature = "apps")]
        Installed::Apps(answer) => (format!("{name}: {}", answer.text), "Nothing."),
        Installed::Plan { .. } => (format!("{name}: nothing was done"), "Nothing."),
    };
    let next = next.to_owned();
    Ending { shown, code, text, next }
}

/// Shows progress, and passes on what is told.
struct Following<'a> {
    board: &'a Board,
    name: &'a str,
    sink: &'a dyn Sink,
    /// Whether the journal speaks of it, which it does before the first byte is written.
    writes: AtomicBool,
}

impl Sink for Following<'_> {
    fn emit(&self, event: &Event) {
        if let Event::Progress { phase, done, total, .. } = event {
            let text = format!("{} {}", phase.doing(), self.name);
            self.board.percent(phase.of_the_whole(*done, *total), &text);
        }
        if matches!(event, Event::PhaseStarted { phase: Phase::Write, .. }) {
            self.writes.store(true, Ordering::Relaxed);
        }
        self.sink.emit(event);
    }
}

#[cfg(test)]
#[path = "visit_tests.rs"]
mod tests;

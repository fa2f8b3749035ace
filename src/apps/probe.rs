//! Health probes: programs that are run in containers, by this program; the checks of engines are not used.

use crate::bundle::HealthProbe;
use crate::engine::Engine;
use crate::model::{both_ends, printable};
use crate::sys::{spare, stop};
use std::time::Duration;

/// So many are asked at once.
const AT_ONCE: usize = 8;
/// No probe may take longer, also where its document says so.
const LONGEST: Duration = Duration::from_secs(300);

/// One question.
pub(super) struct Question {
    /// The container.
    pub(super) container: String,
    /// What is asked.
    pub(super) probe: HealthProbe,
}

/// Asks all of them, some beside each other, and waits for the last. An answer is what stands against the service. Of
/// each service one probe runs at a time, as nothing else asks.
pub(super) fn ask(engine: &dyn Engine, questions: &[Question]) -> Vec<Result<(), String>> {
    let mut answers = Vec::with_capacity(questions.len());
    for some in questions.chunks(AT_ONCE) {
        if let [one] = some {
            answers.push(answer(engine, one));
            continue;
        }
        let carried = stop::carried();
        std::thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|question| {
                    let carried = carried.clone();
                    spare::scoped(scope, "probe", move || carried.over(|| answer(engine, question)))
                })
                .collect();
            for thread in threads {
                let lost = |_| Err("its probe could not be run".to_owned());
                answers.push(match thread {
                    Ok(thread) => thread.join().unwrap_or_else(lost),
                    Err(failure) => Err(failure.detail().to_owned()),
                });
            }
        });
    }
    answers
}

fn answer(engine: &dyn Engine, question: &Question) -> Result<(), String> {
    let probe = &question.probe;
    let timeout = Duration::from_millis(probe.timeout).min(LONGEST);
    let done = match engine.exec(&question.container, &probe.command, timeout) {
        Err(failure) => return Err(format!("its probe could not be run: {}", failure.detail())),
        Ok(done) => done,
    };
    let said = last_line(&done.output);
    match done.status {
        Some(0) => Ok(()),
        Some(status) => Err(format!("its probe ended with {status}{said}")),
        None => Err(format!("its probe had not ended after {} ms{said}", timeout.as_millis())),
    }
}

/// The last line with something in it, in words behind a sentence.
pub(super) fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| format!(": {}", printable(&both_ends(line, 200), 200)))
}

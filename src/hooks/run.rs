//! Asking hooks, one after the other.

use super::{Answer, Context, Hook, Moment, Report, Root};
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, both_ends, printable};
use crate::sys::clock;
use crate::sys::process::{Ending, Finished, Invocation, Runner};
use std::time::Instant;

/// How much of each stream is kept.
const KEEP: usize = 16 * 1024;
/// sysexits.h, `EX_TEMPFAIL`.
const LATER: i32 = 75;

/// What all hooks of a moment say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Nobody is against it.
    Go,
    /// One said no.
    Veto {
        /// Which.
        name: String,
        /// How it ended, and its last line.
        text: String,
    },
    /// One asks to be asked again later.
    Later {
        /// Which.
        name: String,
        /// How it ended, and its last line.
        text: String,
    },
}

impl Permission {
    /// As a failure of the step that `moment` stands before; none if nobody is against it.
    pub fn failure(&self, moment: Moment) -> Option<Failure> {
        let (code, name, text) = match self {
            Permission::Go => return None,
            Permission::Veto { name, text } => (ReasonCode::HookVeto, name, text),
            Permission::Later { name, text } => (ReasonCode::HookLater, name, text),
        };
        Some(Failure::new(code, format!("hook {name} at {moment}: {text}")))
    }
}

/// What hooks are run with.
pub struct Hands<'a> {
    /// Where their programs may come from.
    pub root: &'a Root,
    /// Runs them.
    pub runner: &'a dyn Runner,
    /// Told of each run.
    pub sink: &'a dyn Sink,
}

/// What was answered, and every run for the [`super::Log`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What follows.
    pub permission: Permission,
    /// The runs, in order.
    pub reports: Vec<Report>,
}

/// Runs the hooks of `moment` in the order of the configuration. The first that does not say go
/// ends it, and is the answer. At a moment that is over all are run, and the answer is go.
pub fn run(hooks: &[Hook], moment: Moment, context: &Context, hands: &Hands<'_>) -> Ran {
    let mut reports = Vec::new();
    for hook in hooks.iter().filter(|h| h.at == moment) {
        let (report, text) = hands.ask(hook, context);
        let event = Event::Hook {
            moment: moment.to_string(),
            name: report.name.clone(),
            text: text.clone(),
        };
        hands.sink.emit(&event);
        let (answer, name) = (report.answer, report.name.clone());
        reports.push(report);
        let permission = match answer {
            _ if !moment.is_asked() => continue,
            Answer::Go => continue,
            Answer::Later => Permission::Later { name, text },
            Answer::Veto => Permission::Veto { name, text },
        };
        return Ran { permission, reports };
    }
    Ran { permission: Permission::Go, reports }
}

impl Hands<'_> {
    /// The report of one run, and the line that is told of it.
    fn ask(&self, hook: &Hook, context: &Context) -> (Report, String) {
        let (time, start) = (clock::unix_seconds(), Instant::now());
        let ended = self.start(hook, context);
        let (answer, ended, output, last) = match &ended {
            Ok(done) => {
                let answer = match done.ending {
                    Ending::Exit(0) => Answer::Go,
                    Ending::Exit(LATER) => Answer::Later,
                    _ => Answer::Veto,
                };
                (answer, ending(done, hook), output(done), last_line(done))
            }
            // Could not be asked is not a yes: the integrator wanted to be asked.
            Err(what) => {
                let what = format!("could not be started: {}", printable(what, 300));
                (Answer::Veto, what, String::new(), None)
            }
        };
        let text = last.map_or_else(|| ended.clone(), |last| format!("{ended}: {last}"));
        let (moment, name) = (hook.at, hook.name.to_string());
        let seconds = start.elapsed().as_secs();
        (Report { time, moment, name, answer, ended, seconds, output }, text)
    }

    fn start(&self, hook: &Hook, context: &Context) -> Result<Finished, String> {
        let (program, arguments) = hook.command.split_first().ok_or("its command is empty")?;
        let program = self.root.program(program)?;
        let program = program.to_str().ok_or("its path is not UTF-8")?;
        let command: Vec<String> =
            std::iter::once(program.to_owned()).chain(arguments.iter().cloned()).collect();
        let (environment, input) = context.tell(hook);
        let call = Invocation {
            command: &command,
            folder: self.root.folder(),
            environment: &environment,
            input: &input,
            deadline: hook.timeout,
            keep: KEEP,
        };
        self.runner.run(&call).map_err(|e| format!("{program}: {e}"))
    }
}

fn ending(done: &Finished, hook: &Hook) -> String {
    match done.ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("killed by signal {signal}"),
        Ending::Deadline => format!("not finished after {} s", hook.timeout.as_secs()),
        Ending::Stopped => "ended, as the work that it was asked about was stopped".to_owned(),
    }
}

/// The last line with something in it, of standard error if there is one.
fn last_line(done: &Finished) -> Option<String> {
    [&done.stderr, &done.stdout].into_iter().find_map(|stream| {
        let text = String::from_utf8_lossy(stream);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(both_ends(line, 200))
    })
}

/// Both streams as lines that a terminal may show: what a hook prints is as hostile as what it
/// has read.
fn output(done: &Finished) -> String {
    let mut out = String::new();
    for stream in [&done.stdout, &done.stderr] {
        for line in String::from_utf8_lossy(stream).lines() {
            out.push_str(&both_ends(line, 512));
            out.push('\n');
        }
    }
    out
}

//! Recording: waits for the kernel, the journal, the end of the trial and the word to end, and
//! for nothing else.

use super::line::{Head, Line, of_kernel};
use super::ring::Ring;
use super::{SEGMENT, pstore};
use crate::sys::host;
use crate::sys::kmsg::Kmsg;
use crate::sys::wait::{Farewell, Watch, any};
use std::collections::VecDeque;
use std::io::{Read, Result};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long what was said may wait until it is durable.
const PAUSE: Duration = Duration::from_secs(2);

/// Journal not up yet, or gone: it is asked again, at ever longer intervals.
const AGAIN: [u64; 5] = [1, 2, 5, 15, 60];

/// More than fits is dropped, the oldest first: what counts is the end.
const WAITING_MAX: usize = 2048;

/// What is recorded, and until when.
pub struct Job<'a> {
    /// The folder of the black box; its parent exists.
    pub folder: &'a Path,
    /// The boot that is recorded.
    pub head: &'a Head,
    /// The kernel's log.
    pub kernel: Option<Kmsg>,
    /// A program that prints the lines of the services as they come.
    pub journal: Option<Vec<String>>,
    /// What the kernel of the boot before has put aside.
    pub before: &'a [pstore::Record],
    /// The folder in which something is replaced when the trial is decided.
    pub watched: &'a Path,
    /// Asked then: says how it was decided, if it was.
    pub decided: &'a mut dyn FnMut() -> Option<String>,
}

/// Records until the trial is decided or the system goes down, and says why it ended. An error
/// means that the black box cannot be written.
pub fn record(job: Job<'_>) -> Result<String> {
    let farewell = Farewell::take()?;
    if !job.folder.exists() {
        std::fs::create_dir(job.folder)?;
    }
    let watch = Watch::folder(job.watched)?;
    let mut ring = Ring::open(job.folder, SEGMENT)?;
    ring.begin(job.head)?;
    // What was said until now is durable at once: a system that hangs early has little time.
    let mut waiting = Waiting { urgent: true, ..Waiting::default() };
    for record in job.before {
        let title = Line::pstore(&format!("-- {} --", record.name));
        waiting.take(std::iter::once(title).chain(record.lines.iter().map(|l| Line::pstore(l))));
    }
    let mut kernel = job.kernel;
    let mut journal = Journal::new(job.journal);
    // What has happened before the watch stood is found by asking once.
    let mut ended = (job.decided)();
    loop {
        kernel = kernel.and_then(|kernel| waiting.hear(kernel));
        if ended.is_some() || waiting.is_due() {
            waiting.put(&mut ring)?;
        }
        if let Some(why) = ended {
            ring.end(&job.head.boot_id, host::uptime(), &why)?;
            return Ok(why);
        }
        journal.start();
        let most = [waiting.due(), journal.due()].into_iter().flatten().min();
        let [mut leaving, mut looking, mut spoken] = [false; 3];
        {
            let mut fds = vec![farewell.as_fd(), watch.as_fd()];
            fds.extend(journal.out().map(AsFd::as_fd));
            fds.extend(kernel.as_ref().map(AsFd::as_fd));
            let ready = any(&fds, most)?;
            let mut ready = ready.into_iter();
            for (flag, there) in
                [(&mut leaving, true), (&mut looking, true), (&mut spoken, journal.out().is_some())]
            {
                *flag = there && ready.next().unwrap_or(false);
            }
        }
        if spoken {
            waiting.take(journal.hear().into_iter());
        }
        if leaving {
            ended = Some("stopped in good order".to_owned());
        } else if looking && watch.drain() {
            ended = (job.decided)();
        }
    }
}

/// What was said and is not written yet.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    since: Option<Instant>,
    urgent: bool,
    dropped: usize,
}

impl Waiting {
    fn take(&mut self, lines: impl Iterator<Item = Line>) {
        for line in lines {
            self.urgent |= line.is_urgent();
            self.since.get_or_insert_with(Instant::now);
            if self.lines.len() == WAITING_MAX {
                self.lines.pop_front();
                self.dropped += 1;
            }
            self.lines.push_back(line);
        }
    }

    /// Takes what the kernel says; gives it back unless it has no more to say.
    fn hear(&mut self, mut kernel: Kmsg) -> Option<Kmsg> {
        // A kernel that never stops must not keep us from writing.
        for _ in 0..WAITING_MAX {
            match kernel.take() {
                Ok(Some(records)) if records.is_empty() => return None,
                Ok(Some(records)) => self.take(of_kernel(&records).into_iter()),
                Ok(None) => return Some(kernel),
                Err(_) => return None,
            }
        }
        Some(kernel)
    }

    fn due(&self) -> Option<Duration> {
        self.since.map(|since| PAUSE.saturating_sub(since.elapsed()))
    }

    fn is_due(&self) -> bool {
        self.urgent || self.due().is_some_and(|d| d.is_zero())
    }

    fn put(&mut self, ring: &mut Ring) -> Result<()> {
        if self.dropped > 0 {
            let text = format!("-- {} lines dropped: too many at once --", self.dropped);
            self.lines.push_front(Line::journal(&text));
        }
        ring.add(self.lines.iter())?;
        ring.sync()?;
        *self = Waiting::default();
        Ok(())
    }
}

/// The program that prints what the services say.
struct Journal {
    command: Option<Vec<String>>,
    child: Option<(Child, ChildStdout)>,
    rest: Vec<u8>,
    tries: usize,
    again: Option<Instant>,
}

impl Journal {
    fn new(command: Option<Vec<String>>) -> Journal {
        Journal { command, child: None, rest: Vec::new(), tries: 0, again: None }
    }

    fn start(&mut self) {
        let Some((program, arguments)) = self.command.as_ref().and_then(|c| c.split_first()) else {
            return;
        };
        if self.child.is_some() || self.again.is_some_and(|t| t > Instant::now()) {
            return;
        }
        let seconds = AGAIN[self.tries.min(AGAIN.len() - 1)];
        self.tries += 1;
        self.again = Some(Instant::now() + Duration::from_secs(seconds));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Ok(mut child) = command.spawn() {
            self.child = child.stdout.take().map(|out| (child, out));
        }
    }

    fn out(&self) -> Option<&ChildStdout> {
        self.child.as_ref().map(|(_, out)| out)
    }

    /// When it is to be started again.
    fn due(&self) -> Option<Duration> {
        let waits = self.command.is_some() && self.child.is_none();
        let again = self.again.filter(|_| waits)?;
        Some(again.saturating_duration_since(Instant::now()))
    }

    /// What it has printed; its end is noted.
    fn hear(&mut self) -> Vec<Line> {
        let mut block = [0; 16 * 1024];
        let read = self.child.as_mut().map_or(Ok(0), |(_, out)| out.read(&mut block));
        match read {
            Ok(n) if n > 0 => self.rest.extend_from_slice(&block[..n]),
            _ => self.stop(),
        }
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else {
            // A line without an end is cut when it is long.
            if self.rest.len() < block.len() {
                return Vec::new();
            }
            let line = std::mem::take(&mut self.rest);
            return vec![Line::journal(&String::from_utf8_lossy(&line))];
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let text = String::from_utf8_lossy(&whole);
        // The kernel is heard at its own place.
        let kernel = |l: &&str| l.split_once("] ").is_some_and(|(_, t)| is_kernel(t));
        text.lines().filter(|l| !kernel(l)).map(Line::journal).collect()
    }

    fn stop(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `HOST kernel: …`, as journalctl prints what the kernel has said.
fn is_kernel(said: &str) -> bool {
    said.split(' ').nth(1) == Some("kernel:")
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::head;
    use super::super::{Kind, read};
    use super::*;

    fn sh(script: &str) -> Option<Vec<String>> {
        Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
    }

    /// Records until `decided` says so.
    fn run(kernel: Option<&Path>, journal: &str, state: &Path) -> Result<String> {
        let (head, folder) = (head("one"), state.join("blackbox"));
        let mut decided = || state.join("done").exists().then(|| "decided".to_owned());
        record(Job {
            folder: &folder,
            head: &head,
            kernel: kernel.map(|p| Kmsg::at(p).unwrap()),
            journal: sh(journal),
            before: &[],
            watched: state,
            decided: &mut decided,
        })
    }

    #[test]
    fn what_kernel_and_services_say_is_kept_until_the_trial_is_decided() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("kmsg");
        std::fs::write(&log, "6,1,0,-;Linux version\n4,2,1500000,-;something odd\n").unwrap();
        let script = format!(
            "cp -r {0}/blackbox {0}/early; echo '[    1.0] host web[7]: it broke'; echo '[    1.5] host kernel: something odd'; \
             sleep 0.3; echo 1 > {0}/new; mv {0}/new {0}/done; sleep 90",
            dir.path().display()
        );
        let start = Instant::now();
        assert_eq!(run(Some(&log), &script, dir.path()).unwrap(), "decided");
        assert!(start.elapsed() < Duration::from_secs(80), "its child does not hold it");
        let early = read(&dir.path().join("early"));
        assert_eq!(early[0].lines.len(), 2, "what was there is kept before anything is waited for");
        let found = read(&dir.path().join("blackbox"));
        assert_eq!(found.len(), 1);
        let said: Vec<_> = found[0].lines.iter().map(|l| (l.kind, l.text.as_str())).collect();
        let want = [
            (Kind::Kernel(6), "[    0.000000] Linux version"),
            (Kind::Kernel(4), "[    1.500000] something odd"),
            (Kind::Journal, "[    1.0] host web[7]: it broke"),
        ];
        assert_eq!(said, want);
        assert_eq!(found[0].end.as_ref().map(|e| &*e.1), Some("decided"));
    }

    #[test]
    fn a_flood_keeps_its_end_and_says_how_much_is_missing() {
        let mut waiting = Waiting::default();
        waiting.take((0..WAITING_MAX + 7).map(|n| Line::journal(&n.to_string())));
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(dir.path(), SEGMENT).unwrap();
        ring.begin(&head("one")).unwrap();
        waiting.put(&mut ring).unwrap();
        let lines = read(dir.path()).remove(0).lines;
        assert!(lines[0].text.contains("7 lines dropped"), "{}", lines[0].text);
        assert_eq!(lines.last(), Some(&Line::journal(&(WAITING_MAX + 6).to_string())));
        assert!(waiting.due().is_none());
    }

    #[test]
    fn what_is_grave_is_not_kept_waiting() {
        let mut waiting = Waiting::default();
        waiting.take(of_kernel(b"6,1,0,-;hello\n").into_iter());
        assert!(!waiting.is_due() && waiting.due().is_some());
        waiting.take(of_kernel(b"1,1,0,-;BUG: unable to handle\n").into_iter());
        assert!(waiting.is_due());
    }

    #[test]
    fn a_journal_that_is_not_there_yet_is_asked_again_and_ever_later() {
        let mut journal = Journal::new(sh("exit 1"));
        journal.start();
        while journal.out().is_some() {
            assert!(journal.hear().is_empty());
        }
        let due = journal.due().unwrap();
        assert!(due <= Duration::from_secs(1), "{due:?}");
        journal.again = journal.again.map(|t| t + Duration::from_secs(600));
        journal.start();
        assert!(journal.out().is_none(), "not before its time");
        journal.tries = 99;
        journal.again = None;
        journal.start();
        journal.stop();
        assert!(journal.due().unwrap() > Duration::from_secs(50));
        assert_eq!(Journal::new(None).due(), None, "nothing to wait for");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("blackbox"), "a file").unwrap();
        assert!(run(None, "sleep 90", dir.path()).is_err());
    }
}

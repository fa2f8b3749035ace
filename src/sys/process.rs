//! Other programs, run with a deadline and an end to what they may print.

use super::spare;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is run, and how much it may take.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    /// The program and its arguments; no shell is involved.
    pub command: &'a [String],
    /// The folder it runs in.
    pub folder: &'a Path,
    /// Variables added to its environment.
    pub environment: &'a [(String, String)],
    /// What it reads on standard input.
    pub input: &'a [u8],
    /// When it, and all it has started, is killed.
    pub deadline: Duration,
    /// How much of each output stream is kept, bytes: of a longer one the beginning and the end, which
    /// says why. What is between is read and dropped.
    pub keep: usize,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed at its deadline.
    Deadline,
    /// It was ended with the work that it was a part of.
    Stopped,
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub ending: Ending,
    /// Standard output; where it was too long, see [`is_cut`].
    pub stdout: Vec<u8>,
    /// Standard error; the same.
    pub stderr: Vec<u8>,
}

/// Runs programs. Here as children; on a device that systemd looks after, as units of their own.
pub trait Runner: Send + Sync {
    /// Runs one to its end or its deadline. An error means that it could not be started.
    fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished>;
}

/// Runs programs as children of this process, with its rights.
#[derive(Debug, Clone, Copy, Default)]
pub struct Children;

impl Runner for Children {
    fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
        run(call)
    }
}

/// Runs a program to its end or its deadline. An error means that it could not be started, which
/// is another thing than having failed.
pub fn run(call: &Invocation<'_>) -> std::io::Result<Finished> {
    let empty = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the command is empty");
    let (program, arguments) = call.command.split_first().ok_or_else(empty)?;
    // A relative path with a slash means the folder it runs in, not the caller's.
    let path = if program.contains('/') { call.folder.join(program) } else { program.into() };
    let mut child = Command::new(path)
        .args(arguments)
        .current_dir(call.folder)
        .envs(call.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let out = child.stdout.take().map(OwnedFd::from);
    let err = child.stderr.take().map(OwnedFd::from);
    let heard = [out, err].map(|stream| Arc::new(Heard::new(stream)));
    let mut started = Ok(());
    for ear in &heard {
        let (keep, ear) = (call.keep, Arc::clone(ear));
        let listening = spare::thread("listen", move || ear.listen(keep));
        started = started.and(listening.map(drop));
    }
    if let Some(mut stdin) = child.stdin.take() {
        let input = call.input.to_vec();
        // A child that does not read must not hold us: a thread writes, nobody waits for it.
        let writing = spare::thread("write", move || stdin.write_all(&input));
        started = started.and(writing.map(drop));
    }
    if let Err(failure) = started {
        // What it says would be lost: it was not run.
        if let Ok(group) = group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        reap(child, PARTING)?;
        return Err(spare::no_memory(failure));
    }
    let start = Instant::now();
    let ending = loop {
        // Not reaped yet: its number, which is its group's, belongs to nobody else.
        if ended(&child)? {
            break None;
        }
        if start.elapsed() >= call.deadline {
            break Some(Ending::Deadline);
        }
        if super::stop::is_set() {
            if let Ok(group) = group {
                dismiss(&child, group)?;
            }
            break Some(Ending::Stopped);
        }
        super::systemd::waits();
        std::thread::sleep(Duration::from_millis(5));
    };
    // What it started in its group does not outlive it.
    if let Ok(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let by_itself = reap(child, PARTING)?.map_or(Ending::Deadline, |status| {
        status.code().map_or(Ending::Signal(status.signal().unwrap_or(0)), Ending::Exit)
    });
    let ending = ending.unwrap_or(by_itself);
    let [stdout, stderr] = heard.map(|h| h.take(call.keep));
    Ok(Finished { ending, stdout, stderr })
}

/// How long a program has for its farewell where the work that it was a part of is stopped: less
/// than the second in which whoever stopped it has an answer.
pub const FAREWELL: Duration = Duration::from_millis(400);

/// Asks a program, and all it has started, to end, and waits a moment for it.
fn dismiss(child: &Child, group: Pid) -> std::io::Result<()> {
    let _gone_already = killpg(group, Signal::SIGTERM);
    let start = Instant::now();
    while !ended(child)? && start.elapsed() < FAREWELL {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Ends one process of a container, by the id that its engine tells. That is not believed: nothing is ended that the
/// kernel does not count to the container.
pub fn end_in_container(pid: u32, container: &str) {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 1) else { return };
    let groups = super::files::kernel_text(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if container.len() == 64 && groups.contains(container) {
        // It may have ended by itself meanwhile.
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// How long the end of a program that was killed is waited for.
pub(super) const PARTING: Duration = Duration::from_secs(2);

/// Takes the end of a child that was killed. `None` if it does not come in time: while the kernel
/// waits for a disk that does not answer, SIGKILL waits too. Then a thread takes it, whenever it
/// comes, and nobody waits for that.
pub(super) fn reap(mut child: Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= patience {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    log::warn!("process {} was killed and does not end", child.id());
    if let Err(failure) = spare::thread("reap", move || drop(child.wait())) {
        // Its number stays taken until we end; nothing else is lost.
        log::debug!("{failure}");
    }
    Ok(None)
}

/// Whether a child has ended, without taking its end from whoever waits for it.
fn ended(child: &Child) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).map_err(std::io::Error::other)?;
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(Pid::from_raw(pid)), look)? != WaitStatus::StillAlive)
}

/// What a stream has said so far. A process that left the group may hold the stream for ever: what
/// it said before the end is kept all the same, and nothing of what it says later.
struct Heard {
    /// Read without blocking, and only under the lock of `kept`.
    stream: Option<File>,
    kept: Mutex<Kept>,
    over: AtomicBool,
}

/// The most that a pipe can hold for a process without privileges (`fs.pipe-max-size`).
const PIPE_MAX: usize = 1 << 20;

/// Stands, with a number before it, where something was left out of a stream.
const LEFT_OUT: &str = " bytes are left out]";
/// Room for the line that says so.
const NOTE_MAX: usize = 64;

/// Whether a stream was too long: whoever takes it apart must not believe that it is whole.
pub fn is_cut(kept: &[u8]) -> bool {
    kept.windows(LEFT_OUT.len()).any(|w| w == LEFT_OUT.as_bytes())
}

/// The beginning and the end of a stream.
#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    len: usize,
}

impl Kept {
    fn add(&mut self, bytes: &[u8], keep: usize) {
        self.len = self.len.saturating_add(bytes.len());
        // While all of it may still fit, all of it is kept.
        let (head, tail) = bytes.split_at(keep.saturating_sub(self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let surplus = self.tail.len().saturating_sub(keep);
        self.tail.drain(..surplus);
    }

    /// At most `keep` bytes; a line says how many are missing between the two ends.
    fn take(mut self, keep: usize) -> Vec<u8> {
        if self.len <= keep {
            return self.head;
        }
        let half = keep.saturating_sub(NOTE_MAX) / 2;
        let mut end = [self.head.as_slice(), self.tail.make_contiguous()].concat();
        // Where the stream is longer than both, what is missing lies between them.
        let end = end.split_off(end.len() - half);
        self.head.truncate(half);
        if half > 0 {
            let missing = self.len - 2 * half;
            let note = format!("\n[{missing}{LEFT_OUT}\n");
            self.head.extend_from_slice(note.as_bytes());
        }
        self.head.extend_from_slice(&end);
        self.head
    }
}

impl Heard {
    /// A stream that would block is not listened to: a thread that reads it could not be ended.
    fn new(stream: Option<OwnedFd>) -> Heard {
        let patient = |s: &OwnedFd| fcntl(s, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
        let stream = stream.filter(patient).map(File::from);
        Heard { stream, kept: Mutex::default(), over: AtomicBool::new(false) }
    }

    /// Empties the pipe while the program runs, so that it is not held up by a full one.
    fn listen(&self, keep: usize) {
        let Some(stream) = &self.stream else { return };
        while !self.over.load(Ordering::Relaxed) {
            let mut waited = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::from(200_u8)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) if self.read(&mut self.kept(), keep).is_some() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads once: how many bytes, and nothing at the end of the stream.
    fn read(&self, kept: &mut Kept, keep: usize) -> Option<usize> {
        let mut block = [0u8; 4096];
        match self.stream.as_ref()?.read(&mut block) {
            Ok(n @ 1..) => kept.add(&block[..n], keep),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Some(0);
            }
            Ok(0) | Err(_) => return None,
        }
        Some(block.len())
    }

    /// All that was said until now. What still lies in the pipe is read here and not waited for: on a
    /// machine under load the listener may not have had its turn.
    fn take(&self, keep: usize) -> Vec<u8> {
        self.over.store(true, Ordering::Relaxed);
        let mut kept = self.kept();
        let mut read = 0;
        while let Some(n @ 1..) = self.read(&mut kept, keep) {
            read += n;
            if read > PIPE_MAX {
                break;
            }
        }
        std::mem::take(&mut *kept).take(keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline_ms: u64, input: &[u8]) -> std::io::Result<Finished> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let deadline = Duration::from_millis(deadline_ms);
        run(&Invocation {
            command: &command,
            folder: Path::new("/"),
            environment: &[],
            input,
            deadline,
            keep: 100,
        })
    }

    #[test]
    fn output_input_and_status_come_through() {
        let done = sh("cat; echo no >&2; exit 3", 60_000, b"yes").unwrap();
        assert_eq!(
            done,
            Finished { ending: Ending::Exit(3), stdout: b"yes".to_vec(), stderr: b"no\n".to_vec() }
        );
        assert_eq!(sh("kill -9 $$", 60_000, b"").unwrap().ending, Ending::Signal(9));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let start = Instant::now();
        let done = sh("sleep 600 & sleep 600", 100, b"").unwrap();
        assert_eq!(done.ending, Ending::Deadline);
        assert!(start.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn who_does_not_end_is_left_to_a_thread() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let start = Instant::now();
        assert_eq!(reap(child, Duration::from_millis(50)).unwrap(), None);
        assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(start.elapsed() < Duration::from_secs(500), "{pid} is not reaped");
            std::thread::sleep(Duration::from_millis(10));
        }
        let ends = Command::new("true").spawn().unwrap();
        assert!(reap(ends, Duration::from_secs(60)).unwrap().unwrap().success());
    }

    #[test]
    fn a_program_ends_with_the_work_that_it_is_a_part_of() {
        use crate::model::{Failure, ReasonCode};
        use crate::sys::stop::Stop;
        let folder = tempfile::tempdir().unwrap();
        let (begun, told) = (folder.path().join("begun"), folder.path().join("told"));
        let waits = format!(
            "trap 'echo bye >{}; exit 0' TERM; touch {}; while :; do sleep 0.01; done",
            told.display(),
            begun.display()
        );
        for script in [waits.as_str(), &format!("trap '' TERM; {waits}")] {
            let stop = Stop::default();
            let flag = stop.clone();
            let seen = begun.clone();
            let word = std::thread::spawn(move || {
                while !seen.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                flag.set(Failure::new(ReasonCode::Requested, "enough"));
            });
            let done = stop.over(|| sh(script, 600_000, b"")).unwrap();
            word.join().unwrap();
            assert_eq!(done.ending, Ending::Stopped);
            assert_eq!(std::fs::read_to_string(&told).unwrap(), "bye\n", "it was asked first");
            std::fs::remove_file(&begun).unwrap();
        }
        let deaf = sh("trap '' TERM; kill -9 $$", 60_000, b"").unwrap();
        assert_eq!(deaf.ending, Ending::Signal(9));
    }

    #[test]
    fn what_left_the_group_holds_nobody_and_is_listened_to_no_more() {
        let start = Instant::now();
        let script = "setsid sh -c 'echo $$; while sleep 0.05; do echo on; done' & sleep 0.3";
        let done = sh(script, 300_000, b"").unwrap();
        assert_eq!(done.ending, Ending::Exit(0));
        assert!(start.elapsed() < Duration::from_secs(200), "{:?}", start.elapsed());
        let said = String::from_utf8(done.stdout).unwrap();
        let pid = said.lines().next().unwrap();
        // Nobody reads its pipe: it ends of its next word. A reader for each would pile up.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z")
        };
        while runs() {
            assert!(start.elapsed() < Duration::from_secs(300), "{pid} still talks");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn what_a_program_said_is_whole_although_its_listener_never_had_its_turn() {
        let (reading, writing) = nix::unistd::pipe().unwrap();
        let said = vec![b'x'; 60_000];
        File::from(writing.try_clone().unwrap()).write_all(&said).unwrap();
        // Nothing listens, and another process holds the other end.
        let heard = Heard::new(Some(reading));
        assert_eq!(heard.take(1 << 20), said);
        drop(writing);
    }

    #[test]
    fn endless_output_keeps_its_beginning_and_its_end() {
        let script = "echo first; head -c 1000000 /dev/zero; echo last";
        let done = sh(script, 60_000, b"").unwrap();
        assert_eq!(done.ending, Ending::Exit(0));
        assert!(done.stdout.len() <= 100 && is_cut(&done.stdout), "{:?}", done.stdout);
        assert!(done.stdout.starts_with(b"first\n") && done.stdout.ends_with(b"last\n"));
        assert!(!is_cut(&sh("echo all of it", 60_000, b"").unwrap().stdout));
    }

    #[test]
    fn whatever_the_length_and_the_room_both_ends_are_the_streams_own() {
        let stream: Vec<u8> = (0..3_000_u32).map(|n| b'a' + (n * 7 % 26) as u8).collect();
        for keep in [0, 1, 63, 64, 65, 100, 999, 1_000, 3_000, 9_000] {
            for len in [0, 1, 64, 99, 100, 101, 1_000, 1_001, 2_999, 3_000] {
                for step in [1, 7, 4_096] {
                    let mut kept = Kept::default();
                    stream[..len].chunks(step).for_each(|c| kept.add(c, keep));
                    let kept = kept.take(keep);
                    assert!(kept.len() <= keep, "{keep} {len}");
                    let half = keep.saturating_sub(NOTE_MAX) / 2;
                    let whole = len <= keep;
                    assert_eq!(whole, kept == stream[..len], "{keep} {len} {step}");
                    assert!(whole || kept.starts_with(&stream[..half]));
                    assert!(whole || kept.ends_with(&stream[len - half..len]), "{keep} {len}");
                    assert_eq!(is_cut(&kept), !whole && half > 0);
                }
            }
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_not_a_verdict() {
        let command = ["/nowhere/at-all".to_owned()];
        let deadline = Duration::from_secs(1);
        let call = Invocation {
            command: &command,
            folder: Path::new("/"),
            environment: &[],
            input: b"",
            deadline,
            keep: 1,
        };
        assert!(run(&call).is_err());
    }
}

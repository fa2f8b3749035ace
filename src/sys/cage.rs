//! Cages: a process that reads what strangers have made first gives up everything that it does
//! not need for it. A process of ours starts itself anew for that, with two descriptors.
#![allow(unsafe_code)]

use super::{filter, process};
use crate::model::Class;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use std::fs::File;
use std::io::Result;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is left inside.
#[derive(Debug, Clone, Copy)]
pub struct Cage {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of CPU time.
    pub seconds: u64,
    /// Whether files that are open may be written. Names cannot be opened either way.
    pub writes: bool,
}

/// The process that is in a cage, killed when this is dropped.
#[derive(Debug)]
pub struct Caged {
    /// There until it is dropped.
    child: Option<Child>,
}

/// Starts this program anew with these words. It gets standard input and output as given, no
/// environment, and nothing else: not even a place to complain.
pub fn start(words: &[String], input: OwnedFd, output: OwnedFd) -> Result<Caged> {
    let child = Command::new("/proc/self/exe")
        .args(words)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Caged { child: Some(child) })
}

/// What was wrong about the end of a process in a cage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadEnd {
    /// This signal has ended it.
    Signal(i32),
    /// It has ended with this status.
    Status(i32),
    /// It has not ended, or that cannot be told.
    Unknown(String),
}

impl BadEnd {
    /// Whether what it read has ended it, and would again: a limit, the cage, or a defect of the
    /// reader. SIGKILL comes from outside.
    pub fn is_over_what_it_read(&self) -> bool {
        match self {
            BadEnd::Signal(signal) => *signal != libc::SIGKILL,
            BadEnd::Status(status) => *status == i32::from(Class::Bug.exit_status()),
            BadEnd::Unknown(_) => false,
        }
    }
}

impl std::fmt::Display for BadEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadEnd::Signal(signal) => write!(f, "it was killed by signal {signal}"),
            BadEnd::Status(status) => write!(f, "it ended with status {status}"),
            BadEnd::Unknown(text) => f.write_str(text),
        }
    }
}

impl Caged {
    /// Waits for its end for so long, and then kills it. Says what was wrong about its end.
    pub fn end(mut self, patience: Duration) -> Option<BadEnd> {
        let start = Instant::now();
        let child = self.child.as_mut()?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(status)) => {
                    return Some(match status.signal() {
                        Some(signal) => BadEnd::Signal(signal),
                        None => BadEnd::Status(status.code().unwrap_or(-1)),
                    });
                }
                Ok(None) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) => return Some(BadEnd::Unknown("it did not come to an end".to_owned())),
                Err(error) => return Some(BadEnd::Unknown(error.to_string())),
            }
        }
    }
}

impl Drop for Caged {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            // It may hang in a read of a stick that does not answer.
            let _ = process::reap(child, process::PARTING);
        }
    }
}

/// Locks this process in, for good: no descriptor but 0, 1 and 2, no new rights, little memory and
/// time, and no system call but a few; any other one is its end. Returns what is read and where the
/// answer goes. An error means that this kernel cannot do it, and then nothing of strangers may be
/// read. Both stay open to the end: closing is on no list either.
pub fn enter(cage: &Cage) -> Result<(&'static File, &'static File)> {
    close_others()?;
    let written = if cage.writes { u64::MAX } else { 0 };
    for (resource, most) in [
        (Resource::RLIMIT_AS, cage.memory),
        (Resource::RLIMIT_CPU, cage.seconds),
        (Resource::RLIMIT_FSIZE, written),
        (Resource::RLIMIT_NOFILE, 3),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
    ] {
        limit(resource, most)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    filter::install(cage.writes)?;
    // SAFETY: both were made for this process alone, and it does not use them by their standard
    // names.
    let (input, output) = unsafe { (File::from_raw_fd(0), File::from_raw_fd(1)) };
    Ok((Box::leak(Box::new(input)), Box::leak(Box::new(output))))
}

/// Sets a limit of this process; what is more than the kernel's type holds is no limit.
#[allow(clippy::useless_conversion, reason = "the type has 32 bits on armv7")]
pub(super) fn limit(resource: Resource, most: u64) -> Result<()> {
    let most = libc::rlim_t::try_from(most).unwrap_or(libc::RLIM_INFINITY);
    Ok(setrlimit(resource, most, most)?)
}

/// Closes every descriptor but 0, 1 and 2. Only for a process that has just been started for this.
pub(super) fn close_others() -> Result<()> {
    // SAFETY: nothing in this process uses a descriptor above 2: it has just been started, and the
    // words it was started with say so.
    match unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) } {
        0 => Ok(()),
        _ => close_each(),
    }
}

/// For kernels before 5.9.
fn close_each() -> Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|n| n.parse::<libc::c_int>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: as above; a descriptor that the listing itself has used is closed already.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    const INSIDE: &str = "SUREFOOT_TEST_CAGE";

    /// Runs this very test in a process of its own, which enters a cage and then does the deed.
    fn inside(deed: &str) -> (String, std::process::ExitStatus) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sys::cage::tests::nothing_else_can_be_done_in_a_cage",
                "--nocapture",
            ])
            .env(INSIDE, deed)
            .stdin(Stdio::from(file))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (out, child.wait().unwrap())
    }

    fn do_it(deed: &str) {
        let folder = std::env::temp_dir();
        let writes = deed == "pwrite";
        let memory = 1 << 30;
        let (file, mut out) = enter(&Cage { memory, seconds: 1, writes }).unwrap();
        use std::os::unix::fs::FileExt;
        let mut buf = [0; 7];
        match deed {
            "read" => {
                file.read_at(&mut buf, 0).unwrap();
                let kept = vec![buf; 100_000];
                writeln!(out, "read {} {}", buf.len(), kept.len()).unwrap();
                std::process::exit(0);
            }
            "pwrite" => {
                file.write_at(b"CON", 0).unwrap();
                file.sync_data().unwrap();
                file.read_at(&mut buf, 0).unwrap();
                writeln!(out, "wrote {}", String::from_utf8_lossy(&buf)).unwrap();
                std::process::exit(0);
            }
            "write in vain" => drop(file.write_at(b"X", 0).is_ok()),
            "open" => drop(File::open("/etc/passwd")),
            "list" => drop(std::fs::read_dir(folder)),
            "socket" => drop(std::os::unix::net::UnixDatagram::unbound()),
            "program" => drop(Command::new("/bin/true").spawn()),
            "dup" => drop(file.as_fd().try_clone_to_owned()),
            "turn" => loop {
                std::hint::black_box(&buf);
            },
            "code" => {
                // SAFETY: the new memory is not used.
                unsafe {
                    let prot = libc::PROT_READ | libc::PROT_EXEC;
                    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                    libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0);
                }
            }
            other => panic!("{other}"),
        }
        let _ = writeln!(out, "survived");
        std::process::exit(0);
    }

    #[test]
    fn nothing_else_can_be_done_in_a_cage() {
        if let Some(deed) = std::env::var_os(INSIDE) {
            return do_it(deed.to_str().unwrap());
        }
        let good = inside("read");
        assert!(good.0.contains("read 7 100000") && good.1.success(), "{good:?}");
        let good = inside("pwrite");
        assert!(good.0.contains("wrote CONtent") && good.1.success(), "{good:?}");
        for deed in ["write in vain", "open", "list", "socket", "program", "dup", "code"] {
            let (out, status) = inside(deed);
            assert!(!out.contains("survived"), "{deed}: {out}");
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{deed}: {status:?}");
        }
        assert_eq!(inside("turn").1.signal(), Some(libc::SIGKILL), "it turned for ever");
    }
}

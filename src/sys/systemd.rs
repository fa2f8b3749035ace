//! What the init system and its journal are told, and the sockets that they hand over. Outside
//! systemd all of it is silence, and no failure; a watchdog of another kind reads a file.
#![allow(unsafe_code)]

use super::files;
use sd_notify::NotifyState;
use std::cell::Cell;
use std::io::{Error, Result, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where journald listens (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Well below any watchdog's patience.
const OFTEN: Duration = Duration::from_secs(20);

/// Names the file that a watchdog without systemd looks at (`packaging/init/surefoot-init`).
const SIGN: &str = "SUREFOOT_ALIVE";

/// Whether this process was started by systemd as a service that reports.
pub fn is_notified() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Says that the service is up.
pub fn ready() {
    told(&[NotifyState::Ready]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    told(&[NotifyState::Status(line)]);
}

/// The service makes progress: the watchdog may wait again.
pub fn alive() {
    told(&[NotifyState::Watchdog]);
    if let Some(file) = std::env::var_os(SIGN)
        && let Err(error) = leave_sign(Path::new(&file))
    {
        log::debug!("no sign is left: {error}");
    }
}

/// Another content each time. In place: a full file system takes it too, and a file that is not
/// there stays away, so that nothing waits for a sign that cannot be left.
fn leave_sign(file: &Path) -> Result<()> {
    let sign = format!("{} {}\n", std::process::id(), clock().as_millis());
    files::own_that_is_there(file)?.write_all(sign.as_bytes())
}

/// It is being stopped, and knows it.
pub fn stopping() {
    told(&[NotifyState::Stopping]);
}

/// Milliseconds from the first look at this clock to the last progress of any thread.
static PROGRESS: AtomicU64 = AtomicU64::new(0);

fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Something goes on, whoever does it.
pub fn progress() {
    let now = u64::try_from(clock().as_millis()).unwrap_or(u64::MAX);
    PROGRESS.store(now, Ordering::Relaxed);
}

/// How long nothing has gone on.
pub fn since_progress() -> Duration {
    clock().saturating_sub(Duration::from_millis(PROGRESS.load(Ordering::Relaxed)))
}

thread_local! {
    /// When this thread, if it is the service's driver, last said that it is alive.
    static DRIVER: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// This thread is the driver: what it waits for with a deadline is progress too.
pub fn drives() {
    DRIVER.set(Some(Instant::now()));
}

/// Called while something with a deadline is waited for: tells the watchdog now and then, if this
/// is the driver's thread.
pub fn waits() {
    progress();
    if DRIVER.get().is_some_and(|told| told.elapsed() >= OFTEN) {
        DRIVER.set(Some(Instant::now()));
        alive();
    }
}

fn told(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("the init system was not told: {error}");
    }
}

/// How long the watchdog waits for [`alive`], if there is one.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Sockets that were opened for this service before it started, by their `FileDescriptorName=`.
/// Once: whoever calls it again gets them twice.
pub fn handed_listeners() -> Result<Vec<(String, UnixListener)>> {
    let mut out = Vec::new();
    for (fd, name) in sd_notify::listen_fds_with_names()? {
        // SAFETY: the init system hands these descriptors to this process alone, and this is the
        // only place that takes them.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        out.push((name, UnixListener::from(fd)));
    }
    Ok(out)
}

/// One entry of the journal, by its native protocol: `MESSAGE`, `MESSAGE_ID`, `PRIORITY` and
/// whatever else. The journal stamps the time.
pub fn journal(fields: &[(&str, &str)]) -> Result<()> {
    send(Path::new(JOURNAL), fields)
}

/// Whether there is a journal to speak to.
pub fn has_journal() -> bool {
    Path::new(JOURNAL).exists()
}

fn send(socket: &Path, fields: &[(&str, &str)]) -> Result<()> {
    let mut entry = Vec::new();
    for (name, value) in fields {
        entry.write_all(name.as_bytes())?;
        match value.contains('\n') {
            false => writeln!(entry, "={value}")?,
            true => {
                // A value of several lines stands behind its length.
                entry.push(b'\n');
                let len = u64::try_from(value.len()).map_err(Error::other)?;
                entry.extend_from_slice(&len.to_le_bytes());
                writeln!(entry, "{value}")?;
            }
        }
    }
    UnixDatagram::unbound()?.send_to(&entry, socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_another_each_time_and_only_where_it_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alive");
        assert!(leave_sign(&file).is_err());
        assert!(!file.exists());
        std::fs::write(&file, "").unwrap();
        let mut before = String::new();
        for _ in 0..3 {
            leave_sign(&file).unwrap();
            let sign = std::fs::read_to_string(&file).unwrap();
            assert!(sign.starts_with(&format!("{} ", std::process::id())), "{sign}");
            assert_ne!(sign, before);
            before = sign;
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn an_entry_has_the_shape_of_the_protocol() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("socket");
        let journal = UnixDatagram::bind(&place).unwrap();
        send(&place, &[("MESSAGE", "one"), ("DETAIL", "two\nlines")]).unwrap();
        let mut entry = [0; 256];
        let n = journal.recv(&mut entry).unwrap();
        let want = b"MESSAGE=one\nDETAIL\n\x09\0\0\0\0\0\0\0two\nlines\n";
        assert_eq!(&entry[..n], want);
    }
}

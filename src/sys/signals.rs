//! The word to end that a process is sent, for work that ends in good order: SIGTERM, SIGINT and
//! SIGHUP. The second one ends the process at once, as does each where no work heeds them.
#![allow(unsafe_code)]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

const HEEDED: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Written to when a signal comes; -1 where nobody listens.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// Something that can be read once a signal has come. For one caller in a process.
pub fn bell() -> std::io::Result<UnixStream> {
    let (here, there) = UnixStream::pair()?;
    there.set_nonblocking(true)?;
    BELL.store(there.into_raw_fd(), Ordering::Relaxed);
    Ok(here)
}

static TOLD: AtomicI32 = AtomicI32::new(0);

extern "C" fn told_to_end(signal: nix::libc::c_int) {
    TOLD.store(signal, Ordering::Relaxed);
    let bell = BELL.load(Ordering::Relaxed);
    if bell >= 0 {
        // SAFETY: write(2) is async-signal-safe; the byte is a constant, and nobody closes the
        // descriptor. A bell that is full has rung.
        unsafe { nix::libc::write(bell, c"!".as_ptr().cast(), 1) };
    }
}

extern "C" fn nothing(_: nix::libc::c_int) {}

/// To be called before any thread is begun. From now on a file that may not become longer
/// (setrlimit(2), `RLIMIT_FSIZE`) is an error of the write that would make it so, and no silent end
/// of this process. And the ends of programs that it starts can be waited for: whoever ignores
/// SIGCHLD hands that on, and then the kernel keeps no end of a child.
pub fn set_up() {
    set(Signal::SIGCHLD, SigHandler::SigDfl);
    // A handler, as only that does not go on to the programs that this one starts: what is blocked
    // or ignored does.
    set(Signal::SIGXFSZ, SigHandler::Handler(nothing));
}

/// From now on the first of these signals is only noted. What ignores one goes on to ignore it, as
/// under nohup(1). Programs that are started begin without this.
pub fn heed() {
    let noted = SigHandler::Handler(told_to_end);
    let action =
        SigAction::new(noted, SaFlags::SA_RESTART | SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in HEEDED {
        // SAFETY: the handler only stores a number into an atomic, which is async-signal-safe.
        let before = unsafe { sigaction(signal, &action) };
        if before.is_ok_and(|before| before.handler() == SigHandler::SigIgn) {
            set(signal, SigHandler::SigIgn);
        }
    }
}

static FOR_EVER: AtomicBool = AtomicBool::new(false);

/// The same until the process ends: for one that has something to do before its end in any case.
pub fn heed_for_ever() {
    FOR_EVER.store(true, Ordering::Relaxed);
    heed();
}

/// Each ends the process again, and at once; but for a process that heeds them for ever.
pub fn heed_no_more() {
    if FOR_EVER.load(Ordering::Relaxed) {
        return;
    }
    for signal in HEEDED {
        set(signal, SigHandler::SigDfl);
    }
}

fn set(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the default and the ignoring disposition run no code of ours, and the one handler that
    // is set here does nothing.
    if let Err(error) = unsafe { sigaction(signal, &action) } {
        log::debug!("{signal}: {error}");
    }
}

/// The name of the signal that has come, if one has.
pub fn told() -> Option<&'static str> {
    Signal::try_from(TOLD.load(Ordering::Relaxed)).ok().map(Signal::as_str)
}

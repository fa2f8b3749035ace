//! A defect of a program (a panic) ends its whole process at once, as a power cut does: what it left is what
//! the next start finds. Nothing goes on with what a defect has left half done in memory.
#![allow(unsafe_code)]

use crate::model::{Class, printable};
use nix::libc;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More than any of our own messages has.
const TEXT_MAX: usize = 400;

/// From now on a panic, in whatever thread, tells one line on standard error and ends the process
/// with status 70. `program` begins the line. A build that aborts at a panic and one that unwinds
/// behave the same.
pub fn end_at_defects(program: &'static str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |about| {
        // Where two threads meet it at once, the second one waits for the end.
        while TOLD.swap(true, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
        }
        tell(&line(program, about));
        // SAFETY: it touches no memory. Not `exit`: what runs at an orderly end may wait for a lock
        // that the thread with the defect holds.
        unsafe { libc::_exit(i32::from(Class::Bug.exit_status())) }
    }));
}

fn line(program: &str, about: &PanicHookInfo<'_>) -> String {
    let payload = about.payload();
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    let what = payload.downcast_ref::<&str>().copied().or_else(owned);
    let what = printable(what.unwrap_or("it did not say why"), TEXT_MAX);
    let place =
        about.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
    format!("{program}: INTERNAL: stopped at a defect of its own{place}: {what}\n")
}

/// Past the lock of standard error: another thread may hold it and wait for a reader.
fn tell(line: &str) {
    // SAFETY: the bytes are there for the call; a place that takes none is no reason to stay.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const INSIDE: &str = "SUREFOOT_TEST_DEFECT";

    #[test]
    fn a_panic_of_any_thread_is_the_end_of_the_process_in_one_line() {
        if let Some(place) = std::env::var_os(INSIDE) {
            end_at_defects("program");
            let defect = || panic!("on\x1b[2J\npurpose");
            match place == "main" {
                true => defect(),
                // Standard error is held by this thread, as by one that waits for its reader.
                false => {
                    let _held = std::io::stderr().lock();
                    let _ = std::thread::spawn(defect).join();
                }
            }
            std::process::exit(0);
        }
        for place in ["main", "another"] {
            let name =
                "sys::defect::tests::a_panic_of_any_thread_is_the_end_of_the_process_in_one_line";
            let done = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env(INSIDE, place)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(70), "{place}: {told}");
            let line = told.strip_prefix(
                "program: INTERNAL: stopped at a defect of its own at src/sys/defect.rs:",
            );
            let text = line.and_then(|l| l.split_once(": ")).map(|(_, text)| text);
            assert_eq!(text, Some("on?[2J purpose\n"), "{place}: {told}");
        }
    }
}

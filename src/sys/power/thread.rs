//! A plug for one thread of a test: where the power goes, that thread leaves what it does and the
//! test goes on. What the thread holds (files, locks) is closed, as the kernel closes it for a
//! process that is gone.

use super::plug::Power;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// How many writes still pass, and how many bytes of the next one land.
    static PLAN: Cell<Option<(u64, usize)>> = const { Cell::new(None) };
}

/// What the thread leaves with.
struct Gone;

/// Does `act`, of which `after` writes pass; at the next one the power goes and `landing` bytes of
/// it land. `None` if the power went, what `act` returned if it ended first.
pub(crate) fn cut_at_write<T>(after: u64, landing: usize, act: impl FnOnce() -> T) -> Option<T> {
    PLAN.set(Some((after, landing)));
    let done = catch_unwind(AssertUnwindSafe(act));
    PLAN.set(None);
    match done {
        Ok(done) => Some(done),
        Err(why) if why.is::<Gone>() => None,
        Err(why) => resume_unwind(why),
    }
}

/// What happens to the next write of this thread; `None` without a plan.
pub(super) fn next() -> Option<Power> {
    let (after, landing) = PLAN.get()?;
    Some(match after.checked_sub(1) {
        Some(rest) => {
            PLAN.set(Some((rest, landing)));
            Power::On
        }
        None => {
            // Whatever writes on the way out must not.
            PLAN.set(Some((0, 0)));
            Power::Cut { landing }
        }
    })
}

/// Leaves what this thread does, if there is a plan.
pub(super) fn leave() {
    if PLAN.get().is_some() {
        resume_unwind(Box::new(Gone));
    }
}

#[cfg(test)]
mod tests {
    use super::cut_at_write;
    use crate::sys::durable;

    #[test]
    fn a_thread_without_power_leaves_the_old_file_until_the_name_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        durable::write(&path, b"old").unwrap();
        for (after, landing) in [(0, 0), (0, 2), (0, 3), (1, 0)] {
            assert!(cut_at_write(after, landing, || durable::write(&path, b"new")).is_none());
            assert_eq!(std::fs::read(&path).unwrap(), b"old", "{after}:{landing}");
        }
        let beside = std::fs::read(dir.path().join("file.new")).unwrap();
        assert_eq!(beside, b"new", "the last cut fell before the rename alone");
        cut_at_write(2, 0, || durable::write(&path, b"new")).expect("two writes").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}

//! The seam through which every byte reaches a medium: the power plug, the lying medium and the
//! write log of the simulator sit here. In a build for a device every function is empty.
//!
//! - `SUREFOOT_SIM_CUT=N` lets the first N writes of this process pass and ends it, with status 99
//!   and without another byte, at the next one; `N:B` lets the first B bytes of that one land.
//!   What was written before stays: what a disk's own cache loses is the business of the log.
//! - `SUREFOOT_SIM_LIE=N` flips one bit of the first write of N bytes or more, on its way to the
//!   medium.
//! - `SUREFOOT_SIM_STOP=N` lets N bytes of this process pass, or a little more, and stops it (SIGSTOP)
//!   at the next write: on a machine of any speed a test finds it there, kills it or lets it go on.
//! - `SUREFOOT_SIM_DEFECT=N` lets N bytes of this process pass, or a little more, and is a defect of the
//!   program (a panic) at the next write; `SUREFOOT_SIM_DEFECT=NAME` at the moment in which a file gets this name.
//! - `SUREFOOT_SIM_LOG=FILE` records every write, zeroed range, flush, rename and folder sync, each
//!   with its beginning and its end, in the order in which they happened (`record.rs`).

mod deed;
#[cfg(feature = "sim")]
mod plug;
#[cfg(feature = "sim")]
mod record;
#[cfg(all(test, feature = "sim"))]
mod thread;

#[cfg(all(test, feature = "sim"))]
pub(crate) use thread::cut_at_write;

pub use deed::{
    CUT_STATUS, CUT_VARIABLE, DEFECT_VARIABLE, Deed, LIE_VARIABLE, LOG_VARIABLE, STOP_VARIABLE,
};

/// Passes `bytes` to `write`, which puts them on a medium. If the power goes here, only their
/// first part is passed, and this does not return.
#[cfg(not(feature = "sim"))]
pub fn writing<T>(_: Deed<'_>, bytes: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    write(bytes)
}

/// Passes `bytes` to `write`, which puts them on a medium. If the power goes here, only their
/// first part is passed, and this does not return.
#[cfg(feature = "sim")]
pub fn writing<T>(deed: Deed<'_>, bytes: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    match plug::next(&deed, bytes.len()) {
        plug::Power::On => record::during(deed, bytes, || write(bytes)),
        plug::Power::Lie => {
            let mut other = crate::sys::AlignedBuf::new(bytes.len());
            other.copy_from_slice(bytes);
            if let Some(byte) = other.get_mut(bytes.len() / 2) {
                *byte ^= 1;
            }
            record::during(deed, &other, || write(&other))
        }
        plug::Power::Cut { landing } => {
            if landing > 0 {
                // What lands is there for whoever goes on: the log has it too.
                let part = &bytes[..landing.min(bytes.len())];
                let _ = record::during(deed, part, || write(part));
            }
            plug::dark()
        }
    }
}

/// Counts as one write that has no bytes: a rename, a range made zero. If the power goes here,
/// this does not return, and `act` is not done.
pub fn acting<T>(deed: Deed<'_>, act: impl FnOnce() -> T) -> T {
    writing(deed, &[], |_| act())
}

/// Something that only the log hears of: a flush, a file made. No write, so no place for a cut
/// that a write beside it is not.
#[cfg(not(feature = "sim"))]
pub fn telling<T>(_: Deed<'_>, act: impl FnOnce() -> T) -> T {
    act()
}

/// Something that only the log hears of: a flush, a file made. No write, so no place for a cut
/// that a write beside it is not.
#[cfg(feature = "sim")]
pub fn telling<T>(deed: Deed<'_>, act: impl FnOnce() -> T) -> T {
    record::during(deed, &[], act)
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::Deed;

    #[test]
    fn without_a_plan_every_write_passes() {
        assert_eq!(super::writing(Deed::Memory, b"abc", <[u8]>::len), 3);
        assert_eq!(super::acting(Deed::Memory, || 5), 5);
        assert_eq!(super::telling(Deed::Memory, || 7), 7);
    }
}

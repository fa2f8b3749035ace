//! What the state folder and the bootloader must offer before anything is begun.

use super::world::World;
use crate::boot::{BootFacts, Grade, overall};
use crate::model::{ByteLen, Failure, ReasonCode, Result, StateFile};
use crate::sys::{durable, host};
use std::path::Path;

/// Journal, history, black box and what hooks say: with less nothing is begun.
pub(crate) const ROOM: u64 = 1 << 20;

/// Files that an update makes, a few at a time.
const FILES: u64 = 8;

/// What an update cannot do without; a file is written beside its place, as `NAME.new`.
const WRITTEN: [StateFile; 10] = [
    StateFile::LOCK,
    StateFile::JOURNAL[0],
    StateFile::JOURNAL[1],
    StateFile::COMMITTED[0],
    StateFile::COMMITTED[1],
    StateFile::FLOOR[0],
    StateFile::FLOOR[1],
    StateFile::BASELINE,
    StateFile::BEGUN,
    StateFile::CAN_UPDATE,
];

/// Whether the file system of the state folder has `needed` bytes and some files to spare; how many
/// bytes are free, with those that were set aside. `NO_SPACE` if not.
pub(crate) fn enough_room(state: &Path, needed: u64) -> Result<u64> {
    let folder = if state.exists() { state } else { state.parent().unwrap_or(state) };
    let failed = |e: std::io::Error| {
        Failure::new(ReasonCode::StateNotDurable, format!("{}: {e}", folder.display()))
    };
    let free = host::free_bytes(folder).map_err(failed)?;
    let files = host::free_files(folder).map_err(failed)?;
    enough(free, durable::reserved(state), files, needed, state)
}

/// `aside` is what was set aside for the way home, and `files` how many more may be made, where the
/// file system counts them.
fn enough(free: u64, aside: u64, files: Option<u64>, needed: u64, state: &Path) -> Result<u64> {
    let refuse = |text: String| Err(Failure::new(ReasonCode::NoSpace, text));
    let place = state.display();
    // What is set aside may be used only while there is other room.
    if free < needed.saturating_sub(aside) {
        return refuse(format!(
            "No space left: {place} has {} free, {} are needed",
            ByteLen(free),
            ByteLen(needed.saturating_sub(aside))
        ));
    }
    match files {
        Some(left) if left < FILES => refuse(format!(
            "No space left: {place} has room for {left} more files, {FILES} are needed"
        )),
        _ => Ok(free),
    }
}

/// Whether what an update writes in the state folder can be replaced. A rename replaces anything
/// but a folder, also a link or a FIFO, without following or opening it.
pub(super) fn sound_files(state: &Path) -> Result<()> {
    let beside = |file: StateFile| state.join(format!("{}.new", file.name));
    for path in WRITTEN.into_iter().flat_map(|file| [file.within(state), beside(file)]) {
        if let Ok(found) = std::fs::symlink_metadata(&path)
            && found.is_dir()
        {
            let text =
                format!("{} is a folder, so that no file can take its place", path.display());
            let next = format!("Take it away: `rm -r {}`.", path.display());
            return Err(Failure::new(ReasonCode::StateNotDurable, text).with_next(next));
        }
    }
    Ok(())
}

/// What the next update writes to the state folder, several times over.
pub(super) const NEEDED: u64 = 256 * 1024;

/// The grade alone, for `status`.
pub(crate) fn grade(world: &World, facts: &BootFacts) -> Grade {
    overall(&world.boot.findings(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_or_too_few_files_stop_an_update() {
        let state = Path::new("/data/surefoot");
        let code =
            |free, aside, files| enough(free, aside, files, ROOM, state).map_err(|f| f.code());
        assert_eq!(code(ROOM - 1, 0, None), Err(ReasonCode::NoSpace));
        assert_eq!(code(ROOM, 0, Some(FILES - 1)), Err(ReasonCode::NoSpace));
        assert_eq!(code(ROOM, 0, Some(FILES)), Ok(ROOM));
        assert_eq!(code(ROOM, 0, None), Ok(ROOM));
        assert_eq!(code(ROOM - 1, 1, None), Ok(ROOM - 1), "the reserve is no loss of room");
    }
}

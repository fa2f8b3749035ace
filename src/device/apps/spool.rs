//! Bytes that come once, laid into a file: what an app is made of is read more than once, and in another order.

use crate::apps::AppSettings;
use crate::device::World;
use crate::event::{Event, Phase, Sink};
use crate::model::{ByteLen, Failure, ReasonCode, Result, WithReason};
use crate::source::LocalFile;
use crate::sys::{durable, files, host, stop, systemd};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Stays free beside what is laid down.
const SPARE: u64 = 16 << 20;
const BLOCK: usize = 256 * 1024;

/// A file that is there for as long as it is worked with. What a power cut leaves is taken away by the next one.
pub(super) struct Spooled {
    path: PathBuf,
    file: LocalFile,
}

impl Spooled {
    /// The same file, opened once more.
    pub(super) fn again(&self) -> Result<LocalFile> {
        LocalFile::open(&self.path)
    }

    /// What is in it.
    pub(super) fn file(&self) -> &LocalFile {
        &self.file
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_file(&self.path);
    }
}

fn folder(world: &World) -> PathBuf {
    AppSettings::bundles(&world.settings.device.state).join("incoming")
}

/// Takes away what a process that is gone has left. The caller holds the device's lock, so that nobody works with it.
pub(super) fn tidy(world: &World) {
    let entries = std::fs::read_dir(folder(world)).into_iter().flatten().flatten();
    for entry in entries {
        let _best_effort = std::fs::remove_file(entry.path());
    }
}

/// Lays down exactly `len` bytes: `head`, and then what comes. `NO_SPACE` before the first byte where there is no room
/// for all of them; `SOURCE_LOST` where they end too soon.
pub(super) fn spool(
    world: &World,
    head: &[u8],
    rest: &mut dyn Read,
    len: u64,
    sink: &dyn Sink,
) -> Result<Spooled> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = folder(world);
    let told = |path: &Path| format!("laying down a bundle in {}", path.display());
    std::fs::create_dir_all(&folder).reason(ReasonCode::Io, told(&folder))?;
    has_room(&folder, len)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{number}.part", std::process::id()));
    let _left = std::fs::remove_file(&path);
    let mut file = files::new(&path, 0o600).reason(ReasonCode::Io, told(&path))?;
    // From here on it goes with whatever ends this.
    let gone = Removed(&path);
    sink.emit(&Event::PhaseStarted { phase: Phase::Verify, total: len });
    let mut out = |bytes: &[u8]| {
        let write = file.write_all(bytes);
        write.map_err(|e| durable::io_failure("write", &path, &e))
    };
    out(head)?;
    let (mut done, mut block) = (head.len() as u64, vec![0; BLOCK]);
    while done < len {
        stop::look()?;
        let left = usize::try_from(len - done).unwrap_or(BLOCK).min(BLOCK);
        let read = match rest.read(&mut block[..left]) {
            Ok(read) => read,
            Err(error) => return Err(lost(&error)),
        };
        if read == 0 {
            let text = format!("the bundle ended after {done} of {len} bytes");
            return Err(Failure::new(ReasonCode::SourceLost, text));
        }
        out(&block[..read])?;
        done += read as u64;
        systemd::progress();
        sink.emit(&Event::Progress { phase: Phase::Verify, done, total: len, moved: None });
    }
    let file = LocalFile::open(&path)?;
    std::mem::forget(gone);
    sink.emit(&Event::PhaseEnded { phase: Phase::Verify, done, moved: None });
    Ok(Spooled { path, file })
}

struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_file(self.0);
    }
}

fn lost(error: &std::io::Error) -> Failure {
    let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
    own.cloned().unwrap_or_else(|| {
        Failure::new(ReasonCode::SourceLost, format!("the bundle broke off: {error}"))
    })
}

fn has_room(folder: &Path, len: u64) -> Result<()> {
    let free = host::free_bytes(folder)
        .map_err(|e| Failure::new(ReasonCode::Io, format!("{}: {e}", folder.display())))?;
    let needed = len.saturating_add(SPARE);
    if free < needed {
        let (place, needed, free) = (folder.display(), ByteLen(needed), ByteLen(free));
        let text = format!("No space left: {place} has {free} free, {needed} are needed");
        return Err(Failure::new(ReasonCode::NoSpace, text));
    }
    Ok(())
}

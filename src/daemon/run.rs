//! Starting up: sockets, threads, and a word to the init system.

use super::api::Api;
use super::core::Core;
use super::keeper::Keeper;
use crate::config::{Where, load};
use crate::control::{Door, Limits, May};
use crate::device::{Running, running};
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::{signals, systemd};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a daemon without a usable configuration stays before it is started again.
const HURRY: Duration = Duration::from_secs(30);

/// The sockets, by the name that a unit hands them over with, and what each allows.
const SOCKETS: [(&str, May); 2] = [("status", May::Read), ("control", May::Control)];

/// Runs until it is killed, which it may be at any time.
pub fn run(place: Where) -> Result<()> {
    let settings = match load(&place) {
        Ok(loaded) => loaded.settings,
        Err(failure) => {
            // Not ready: who asks whether this device is looked after is told the truth. Whoever
            // mends it finds us trying again soon; nobody is helped by an endless hurry.
            systemd::status(&failure.to_string());
            eprintln!("surefoot: {failure}");
            std::thread::sleep(HURRY);
            if load(&place).is_err() && super::stranded::leave_unsettled() {
                // The end comes from outside.
                std::thread::sleep(HURRY);
            }
            return Err(failure);
        }
    };
    let core = Arc::new(Core::new(place));
    leave_in_good_order(&core, &settings.run);
    core.introduce();
    let handed = systemd::handed_listeners().unwrap_or_default();
    for (name, may) in SOCKETS {
        let listener = match handed.iter().find(|(n, _)| n == name) {
            Some((_, listener)) => listener.try_clone().reason(ReasonCode::Io, name)?,
            None => listen(&settings.run, name)?,
        };
        let api = Arc::new(Api { core: core.clone() });
        Door::open(listener, may, Limits::default(), api).reason(ReasonCode::Io, name)?;
    }
    if let Err(failure) = super::media::watch(&core, &settings) {
        core.hub.emit(&Event::Warning { text: format!("the inbox is not watched: {failure}") });
    }
    #[cfg(feature = "apps")]
    super::apps::watch(&core)?;
    systemd::ready();
    let state = core.world().and_then(|w| crate::inspect::status(&w)).map(|s| s.state);
    if let Ok(state) = state {
        let updater = env!("CARGO_PKG_VERSION").to_owned();
        core.hub.emit(&Event::Started { updater, state });
    }
    Keeper::default().keep(&core);
    Ok(())
}

/// Told to end, an installation stops where it can go on, and whoever asked for it is told. All else
/// is as for a daemon that is killed, which it may be at any time.
fn leave_in_good_order(core: &Arc<Core>, folder: &Path) {
    signals::heed_for_ever();
    let (core, folder) = (core.clone(), folder.to_owned());
    let own = |running: Running| running.stoppable && running.owner.pid == std::process::id();
    let told = signals::bell().and_then(|mut bell| {
        std::thread::Builder::new().name("farewell".to_owned()).spawn(move || {
            if bell.read_exact(&mut [0]).is_err() {
                return;
            }
            systemd::stopping();
            let start = Instant::now();
            while running(&folder).is_some_and(own) && start.elapsed() < LEAVING {
                std::thread::sleep(Duration::from_millis(20));
            }
            // What is told of it goes out.
            let start = Instant::now();
            while core.is_at_work() && start.elapsed() < LEAVING / 10 {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::process::exit(0);
        })
    });
    if let Err(error) = told {
        log::warn!("a signal ends this daemon at once: {error}");
        signals::heed_no_more();
    }
}

/// Shorter than the init system waits.
const LEAVING: Duration = Duration::from_secs(15);

/// A socket of our own, where no unit hands one over: for the owner and the group.
fn listen(folder: &Path, name: &str) -> Result<UnixListener> {
    let path = folder.join(format!("{name}.sock"));
    let told = || format!("listening on {}", path.display());
    if !folder.exists() {
        std::fs::create_dir(folder).reason(ReasonCode::Io, told())?;
    }
    // What a daemon that was killed had just started holds its sockets for a moment longer.
    let start = Instant::now();
    let listens = || UnixStream::connect(&path).is_ok();
    while listens() && start.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(50));
    }
    if listens() {
        let text = format!("a daemon listens on {} already", path.display());
        return Err(Failure::new(ReasonCode::Busy, text));
    }
    // What a daemon that was killed has left.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).reason(ReasonCode::Io, told())?;
    let mode = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(&path, mode).reason(ReasonCode::Io, told())?;
    Ok(listener)
}

//! The form of the engine's store: a system with another one begins with an empty store, and fills it from whole bundles
//! that lie on the device. The store of the other form is not touched: the system before finds its own again.

use super::gear::Gear;
use super::journal::found;
use crate::apps::{
    AppJournal, AppMove, AppSet, BundleSource, kept_bundle, kept_file, stage_bundles,
};
use crate::artifact::{PayloadKind, Release};
use crate::bundle::AppKind;
use crate::device::World;
use crate::event::{Event, Nowhere, Sink};
use crate::model::{ByteLen, Class, Failure, ReasonCode, Result, STORE_EPOCH_HINT};
use crate::sys::host;

/// Stays free beside what is filled again.
const SPARE: u64 = 64 << 20;

/// The form that a release says its system's engine keeps its store in.
fn said(release: &Release) -> Option<u32> {
    let value = release.manifest.hints.get(STORE_EPOCH_HINT)?.as_integer()?;
    u32::try_from(value).ok()
}

fn with_images(gear: &Gear<'_>, set: &AppSet) -> Result<AppSet> {
    let ctx = gear.context(&Nowhere);
    let mut found = AppSet::new();
    for (app, generation) in set {
        let head = kept_bundle(&ctx, app, &generation.digest)?;
        if head.document().kind == AppKind::Containers {
            found.insert(app.clone(), generation.clone());
        }
    }
    Ok(found)
}

/// Whether a system may be written whose engine keeps its store in another form than the one that runs: every bundle that
/// is needed there lies on the device, and there is room to fill the new store.
pub(in crate::device) fn may_change_store(world: &World, release: &Release) -> Result<()> {
    let Some(wanted) = said(release) else { return Ok(()) };
    let now = world.settings.apps.store_epoch;
    if wanted == now || world.apps_journal().is_some_and(|j| j == AppJournal::default()) {
        return Ok(());
    }
    let gear = Gear::of(world)?;
    let ctx = gear.context(&Nowhere);
    let set = found(&gear, &Nowhere)?.set_of(gear.booted());
    // What comes along is brought into the store of the system that runs, and is not in the other one.
    let brings = release.manifest.payloads.iter().any(|p| p.kind == PayloadKind::Bundle);
    if brings && !world.settings.apps.keep_files {
        let text = format!(
            "the system keeps container images in form {wanted}, this one in form {now}, and the bundles that come along are not kept"
        );
        return Err(Failure::new(ReasonCode::StoreEpoch, text));
    }
    let mut room = 0u64;
    for (app, generation) in with_images(&gear, &set)? {
        let head = kept_bundle(&ctx, &app, &generation.digest)?;
        if kept_file(&ctx, &app, &generation.digest).is_none() {
            let text = format!(
                "the system keeps container images in form {wanted}, this one in form {now}, and the bundle of {app} {} does not lie on the device",
                generation.version
            );
            return Err(Failure::new(ReasonCode::StoreEpoch, text));
        }
        room = head.document().images.values().fold(room, |sum, i| sum.saturating_add(i.size));
    }
    let store = ctx.engine().and_then(crate::engine::Engine::info).map(|info| info.store);
    let place = store.ok().filter(|path| path.is_dir()).unwrap_or_else(|| ctx.state.to_owned());
    let free = host::free_bytes(&place).unwrap_or(0);
    if room > 0 && free < room.saturating_add(SPARE) {
        let text = format!(
            "the system keeps container images in form {wanted}, this one in form {now}: to fill its store {} are needed, and {} are free",
            ByteLen(room.saturating_add(SPARE)),
            ByteLen(free)
        );
        return Err(Failure::new(ReasonCode::StoreEpoch, text));
    }
    Ok(())
}

/// Whether what shall run is in the store of this system's form.
pub(super) fn is_filled(world: &World, journal: &AppJournal) -> bool {
    journal.store_epoch.is_none_or(|epoch| epoch == world.settings.apps.store_epoch)
}

/// In a system with another form of the store: brings the images of the set that shall run in again, before anything of it
/// is started. What is there already is compared. Returns whether it was filled.
pub(super) fn fill_store(gear: &Gear<'_>, sink: &dyn Sink) -> Result<bool> {
    let now = gear.world.settings.apps.store_epoch;
    let mut journal = found(gear, sink)?;
    if journal == AppJournal::default() || journal.store_epoch == Some(now) {
        return Ok(false);
    }
    // The first system that says a number has the store that was there.
    let filled = journal.store_epoch.is_some();
    if filled {
        let ctx = gear.context(sink);
        for (app, generation) in with_images(gear, &journal.set_of(gear.booted()))? {
            let file = kept_file(&ctx, &app, &generation.digest);
            let digest = generation.digest;
            let sources: Vec<BundleSource<'_>> =
                file.iter().map(|bytes| BundleSource { digest, bytes }).collect();
            let moves = [AppMove { app, from: None, to: Some(generation) }];
            match stage_bundles(&ctx, &moves, &sources) {
                // What passes by itself is waited for. One that is lost holds up no other: it is not started, and in a
                // trial the system goes back.
                Err(failure) if matches!(failure.code().class(), Class::Retry | Class::Busy) => {
                    return Err(failure);
                }
                Err(failure) if failure.code() == ReasonCode::EngineMissing => return Err(failure),
                Err(failure) => sink.emit(&Event::Warning { text: failure.to_string() }),
                Ok(()) => {}
            }
        }
    }
    journal.store_epoch = Some(now);
    gear.world.apps_store().save(&journal)?;
    Ok(filled)
}

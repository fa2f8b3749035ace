//! Judges the disk of a device before it is flashed: an image file, or a card in this computer. The checks that a device makes
//! of itself are the same ones; what only a running system can tell is left out. This room never writes, and
//! never runs a program of the image.

mod data;
mod environment;
mod judge;
mod own;
mod script;
mod slot;
mod system;
mod table;

use crate::disk::Disk;
use crate::event::Sink;
use crate::inspect::{Diagnosis, Product, System, judge_product};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use judge::{Judge, WHOLE};
use std::path::Path;
use std::sync::Arc;

/// Looks at everything that a device of this disk would lean on; with `production` also for what belongs on a developer's
/// bench. A failure means that there is nothing to be looked at.
pub fn look(path: &Path, production: bool, sink: &dyn Sink) -> Result<Diagnosis> {
    if !path.exists() {
        return Err(Failure::new(ReasonCode::NoSuchFile, path.display().to_string()));
    }
    let disk = Arc::new(Disk::open(path).map_err(|f| f.with_next(WHOLE))?);
    let mut out = Diagnosis::new();
    let Some(table) = table::look(&disk, &mut out) else { return Ok(out) };
    // Which partition it is, is not known before its settings are read: where they are, the usual names count.
    let root = system::root(path, &disk, &table, &mut out);
    let judge = Judge { production };
    let own = own::read(path, root.as_ref(), &judge, &mut out);
    let names = own.settings.as_ref().map(|settings| settings.slots.clone()).unwrap_or_default();
    let layout = table::slots(&table, &names, &mut out);
    let boot = environment::look(&disk, &table, &own, layout.as_ref(), &mut out);
    script::look(&disk, &table, &mut out);
    let variable = |name: &str| boot.as_ref().and_then(|boot| boot.variable(name));
    let mut unsigned = false;
    if let Some(layout) = &layout {
        slot::kernel(path, layout, root.as_ref(), &variable, &mut out);
        unsigned = slot::release(&disk, layout, &own, sink, &mut out);
    }
    if let Some(root) = &root {
        let boot_part = layout.as_ref().is_some_and(|layout| layout.parts(SlotId::A).len() > 1);
        system::starts(root, boot_part, &variable, &mut out);
        system::look(root, &judge, &mut out);
    }
    let data = data::look(path, &disk, &table, &own, &mut out);
    if let (true, Some(root)) = (production, &root) {
        let text = |path: &str| root.read_text(path, crate::sys::files::SMALL).ok().flatten();
        let names = |folder: &str| root.list(folder).unwrap_or_default();
        let state = data.as_ref().and_then(|data| data.about("/surefoot").ok().flatten());
        let product = Product {
            settings: own.settings.as_ref(),
            trust: own.trust.as_ref(),
            line: &variable("surefoot_args").unwrap_or_default(),
            ports: None,
            state: state.map(|about| about.mode),
            unsigned,
        };
        judge_product(&System { text: &text, names: &names }, &product, &mut out);
    }
    Ok(out)
}

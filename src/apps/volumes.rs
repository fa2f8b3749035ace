//! Copies of volumes that a new generation writes in a way that the old one cannot read: made before the switch, put
//! back at a rollback. Both may be cut anywhere and done again.

use super::plan::AppPlan;
use super::spec::volume_folder;
use super::{AppContext, Change};
use crate::bundle::{AppDocument, ServiceName};
use crate::event::Event;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The volumes whose data an old generation could not read any more once the new one has written to them.
pub(super) fn to_copy<'d>(
    old: &'d AppDocument,
    new: &AppDocument,
) -> impl Iterator<Item = &'d ServiceName> {
    let breaks = |name: &ServiceName, schema: u32| {
        new.volumes.get(name).is_some_and(|volume| volume.readable_by > schema)
    };
    old.volumes.iter().filter(move |(name, v)| breaks(name, v.schema)).map(|(name, _)| name)
}

/// The folder for the copies of a change.
pub(super) fn copies_of(data: &Path, change: u64) -> PathBuf {
    data.join("copies").join(change.to_string())
}

/// One volume and where its copy is.
pub(super) struct Copied {
    app: ServiceName,
    name: ServiceName,
    volume: PathBuf,
    copy: PathBuf,
    work: PathBuf,
    /// What the copy has taken the place of.
    aside: PathBuf,
}

/// The copies that a change needs: of apps with an old and a new side.
pub(super) fn needed(
    ctx: &AppContext<'_>,
    change: &Change,
    sides: &[(AppPlan, AppPlan)],
) -> Vec<Copied> {
    let mut all = Vec::new();
    for (old, new) in sides {
        let data = ctx.data_of(&old.app);
        for name in to_copy(&old.document, &new.document) {
            all.push(Copied::of(&data, &old.app, name, change.number));
        }
    }
    all
}

/// The copies that a change has made, by what lies on the disk: without a document.
pub(super) fn made(ctx: &AppContext<'_>, change: &Change) -> Vec<Copied> {
    let mut all = Vec::new();
    for m in &change.moves {
        let data = ctx.data_of(&m.app);
        let entries = std::fs::read_dir(copies_of(&data, change.number)).into_iter().flatten();
        // One that was put back, whole or half, has left what it took the place of.
        let name = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".aside").unwrap_or(&name).parse::<ServiceName>().ok()
        };
        let names: BTreeSet<ServiceName> = entries.flatten().filter_map(name).collect();
        all.extend(names.iter().map(|name| Copied::of(&data, &m.app, name, change.number)));
    }
    all
}

impl Copied {
    fn of(data: &Path, app: &ServiceName, name: &ServiceName, change: u64) -> Copied {
        let folder = copies_of(data, change);
        Copied {
            app: app.clone(),
            name: name.clone(),
            volume: volume_folder(data, name),
            copy: folder.join(name.as_str()),
            work: folder.join(format!("{name}.new")),
            aside: folder.join(format!("{name}.aside")),
        }
    }

    /// Whether the copy is there, whole and durable: it has its name only then.
    pub(super) fn is_there(&self) -> bool {
        self.copy.is_dir()
    }

    /// Makes the copy. A volume that was never made is copied as an empty folder.
    pub(super) fn make(&self, ctx: &AppContext<'_>) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        tree::make_folder(&self.volume)?;
        let mut left = Vec::new();
        tree::copy(&self.volume, &self.copy, &self.work, &mut left)?;
        for what in left {
            let text = format!("the copy of a volume of {} leaves out {what}", self.app);
            ctx.sink.emit(&Event::Warning { text });
        }
        Ok(())
    }

    /// Puts the copy in the volume's place; what the new generation has written is kept beside until the change is
    /// tidied up. Where that was done already there is nothing to do.
    pub(super) fn put_back(&self) -> Result<()> {
        if !self.is_there() {
            if self.aside.exists() && self.volume.exists() {
                return Ok(());
            }
            let text = format!("the copy of the volume {} of {} is lost", self.name, self.app);
            return Err(Failure::new(ReasonCode::Io, text));
        }
        if self.volume.exists() {
            tree::clear(&self.aside)
                .reason(ReasonCode::Io, format!("removing {}", self.aside.display()))?;
            tree::rename(&self.volume, &self.aside)?;
        } else {
            tree::make_folder(self.volume.parent().unwrap_or(&self.volume))?;
        }
        tree::rename(&self.copy, &self.volume)
    }
}

#[cfg(all(test, feature = "sim"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::power::cut_at_write;
    use std::fs;

    fn copied(dir: &Path) -> Copied {
        let (app, name) = ("shop".parse().unwrap(), "db".parse().unwrap());
        let copies = dir.join("copies/7");
        Copied {
            app,
            name,
            volume: dir.join("volumes/db"),
            copy: copies.join("db"),
            work: copies.join("db.new"),
            aside: copies.join("db.aside"),
        }
    }

    #[test]
    fn a_volume_is_copied_where_the_release_before_could_not_read_what_is_written() {
        let document = |schema: u32, readable_by: u32| -> AppDocument {
            let text = format!(
                r#"{{"format":1,"app":"shop","kind":"containers","deadline":5000,"soak":0,"max_restarts":1,"keep":1,
                "volumes":{{"db":{{"schema":{schema},"readable_by":{readable_by}}}}}}}"#
            );
            crate::model::from_json(text.as_bytes()).unwrap()
        };
        for (old, new, needed) in [
            ((1, 1), (1, 1), false),
            ((1, 1), (2, 1), false),
            ((1, 1), (2, 2), true),
            ((2, 2), (3, 2), false),
            ((2, 1), (1, 1), false),
        ] {
            let (old, new) = (document(old.0, old.1), document(new.0, new.1));
            assert_eq!(to_copy(&old, &new).count() == 1, needed, "{old:?} {new:?}");
        }
        let none = AppDocument { volumes: Default::default(), ..document(2, 2) };
        assert_eq!(to_copy(&none, &document(3, 3)).count(), 0, "a new volume has nothing to keep");
    }

    #[test]
    fn a_cut_anywhere_in_copying_and_putting_back_loses_nothing() {
        for cut in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let bench = super::super::fixture::Bench::new();
            let (one, at) = (copied(dir.path()), |p: &str| dir.path().join(p));
            fs::create_dir_all(&one.volume).unwrap();
            fs::write(at("volumes/db/rows"), "old").unwrap();
            let copies = || one.make(&bench.ctx()).unwrap();
            let first = cut_at_write(cut, 1, copies);
            assert_eq!(fs::read(at("volumes/db/rows")).unwrap(), b"old");
            if first.is_none() {
                copies();
            }
            assert_eq!(fs::read(one.copy.join("rows")).unwrap(), b"old");
            fs::write(at("volumes/db/rows"), "migrated").unwrap();
            copies();
            assert_eq!(fs::read(one.copy.join("rows")).unwrap(), b"old", "made once");
            let second = cut_at_write(cut, 1, || one.put_back().unwrap());
            one.put_back().unwrap();
            one.put_back().unwrap();
            assert_eq!(fs::read(at("volumes/db/rows")).unwrap(), b"old", "cut {cut}");
            if first.is_some() && second.is_some() {
                assert!(cut > 4, "{cut}");
                fs::remove_dir_all(at("copies")).unwrap();
                assert_eq!(
                    one.put_back().unwrap_err().code(),
                    ReasonCode::Io,
                    "a lost copy is told"
                );
                return;
            }
        }
    }

    #[test]
    fn what_was_copied_is_found_and_put_back_without_a_document() {
        use super::super::decide_tests::step_of;
        let bench = super::super::fixture::Bench::new();
        let ctx = bench.ctx();
        let cause = super::super::Cause::Slot(crate::model::SlotId::B);
        let change = Change { number: 7, moves: vec![step_of("shop", Some(1), Some(2))], cause };
        let app = "shop".parse().unwrap();
        let one = Copied::of(&ctx.data_of(&app), &app, &"db".parse().unwrap(), 7);
        fs::create_dir_all(&one.volume).unwrap();
        fs::write(one.volume.join("rows"), "old").unwrap();
        one.make(&ctx).unwrap();
        fs::write(one.volume.join("rows"), "migrated").unwrap();
        for _ in 0..2 {
            let found = made(&ctx, &change);
            assert_eq!(found.len(), 1, "put back or not");
            found.iter().try_for_each(Copied::put_back).unwrap();
            assert_eq!(fs::read(one.volume.join("rows")).unwrap(), b"old");
        }
        let other = Change { number: 8, ..change };
        assert!(made(&ctx, &other).is_empty());
    }
}

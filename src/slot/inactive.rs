//! The key to the slot that does not run.

use super::{Layout, OpenPart, Part, booted::refuse_running};
use crate::disk::Disk;
use crate::model::{EnvClaims, Failure, ReasonCode, Result, SlotId};

/// The proof that a slot is needed by nobody, and the only way to write it (promise 3). It can
/// only be made from facts: which slot runs, and that every copy of the bootloader environment
/// names that one and carries no trial (DESIGN 9.1). While it lives, the partitions are held with
/// O_EXCL, or the image with its lock.
pub struct Inactive {
    id: SlotId,
    parts: Vec<OpenPart>,
}

impl Inactive {
    /// Opens the slot that does not run. `SLOT_NEEDED` unless every environment copy is settled on
    /// `booted`; `SLOT_MOUNTED` if a partition of the slot is mounted or otherwise in use; `BUSY`
    /// if another program holds the image; `LAYOUT_INVALID` if the disk's table is no longer the
    /// one `layout` was found in.
    pub fn prove(
        disk: &Disk,
        layout: &Layout,
        booted: SlotId,
        claims: &EnvClaims,
    ) -> Result<Inactive> {
        let id = booted.other();
        let place = |f: Failure| f.at(format!("slot {id}"));
        if !claims.all_settled_on(booted) {
            return Err(Failure::new(
                ReasonCode::SlotNeeded,
                format!("slot {id}: a copy of the environment may still need it"),
            ));
        }
        let table = disk.table()?;
        refuse_running(disk, layout, booted).map_err(place)?;
        let mut parts = Vec::new();
        for Part { name, partition } in layout.parts(id) {
            if !table.partitions.contains(partition) {
                return Err(Failure::new(
                    ReasonCode::LayoutInvalid,
                    format!("slot {id}: partition {} has moved", partition.name),
                ));
            }
            if let Some(why) = disk.in_use(partition)? {
                return Err(Failure::new(
                    ReasonCode::SlotMounted,
                    format!("slot {id}: partition {} is {why}", partition.name),
                ));
            }
            let device = disk.open_partition(partition).map_err(place)?;
            parts.push(OpenPart { name: name.clone(), device });
        }
        Ok(Inactive { id, parts })
    }

    /// Which slot it is.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// All parts of the slot, writable, in the order of `[slots]`: at least one.
    pub fn parts(&self) -> &[OpenPart] {
        &self.parts
    }
}

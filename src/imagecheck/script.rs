//! The boot script on the boot partition.

use crate::disk::{Disk, PartitionTable, TableKind};
use crate::inspect::{Diagnosis, boot_script};
use crate::model::{BOOT_PARTITION, Failure, ReasonCode};
use crate::provision::{SCRIPT_FILE, read_boot_file, unwrap_script};

const TOPIC: &str = "boot script";

/// Whether it is there, whole, and of this program's line.
pub(super) fn look(disk: &Disk, table: &PartitionTable, out: &mut Diagnosis) {
    let boot = match table.kind {
        TableKind::Gpt => table.by_name(BOOT_PARTITION),
        TableKind::Mbr => table.partitions.iter().find(|p| p.number == 1),
    };
    let Some(boot) = boot else { return };
    let block = |text: String, out: &mut Diagnosis| {
        out.block(TOPIC, &Failure::new(ReasonCode::BootScript, text));
    };
    let read = disk.read_partition(boot).map(|part| read_boot_file(&part, SCRIPT_FILE));
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let text =
                format!("{SCRIPT_FILE} cannot be read from partition {}: {error}", boot.number);
            return block(text, out);
        }
        Err(failure) => return out.block(TOPIC, &failure),
    };
    match unwrap_script(&bytes) {
        Err(why) => block(format!("U-Boot would refuse {SCRIPT_FILE}: {why}"), out),
        Ok(text) if !text.contains("surefoot.slot=") => {
            block(format!("{SCRIPT_FILE} is not Surefoot's: it starts no slot by its name"), out);
        }
        Ok(text) => boot_script(text, out),
    }
}

//! The data partition: its file system, and the artifacts that were laid there.

use super::own::Own;
use super::table;
use crate::artifact::{Format, check_payload, read_head};
use crate::disk::{BlockDevice, Disk, PartitionTable};
use crate::inspect::Diagnosis;
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result, UNMADE_DATA};
use crate::rootfs::Root;
use crate::slot::filesystem;
use crate::trust::Trust;
use std::path::Path;

const TOPIC: &str = "data";

/// Where artifacts are laid for the first start.
const PRELOAD: &str = "/preload";

/// A longer one does not fit the memory of a build host.
const LIMIT: u64 = 4 << 30;

/// The data partition's file system, where its files can be read.
pub(super) fn look(
    path: &Path,
    disk: &Disk,
    table: &PartitionTable,
    own: &Own,
    out: &mut Diagnosis,
) -> Option<Root> {
    let block = |text: String, out: &mut Diagnosis| {
        let failure = Failure::new(ReasonCode::StateNotDurable, text);
        let next = "Build the image again, with an ext4 file system on `data`.";
        out.block(TOPIC, &failure.with_next(next));
    };
    let Some(partition) = table::data(table) else {
        block("there is no data partition: what the updater keeps has no place".to_owned(), out);
        return None;
    };
    let mut head = vec![0; 4096];
    let read = disk.read_partition(partition).and_then(|part| part.read_at(0, &mut head));
    if let Err(failure) = read {
        out.block(TOPIC, &failure);
        return None;
    }
    let size = ByteLen(partition.len);
    if head.starts_with(b"LUKS\xba\xbe") {
        out.good(TOPIC, format!("{size}, encrypted; its files are not looked at"));
        return None;
    }
    if head.starts_with(UNMADE_DATA.as_bytes()) {
        out.good(TOPIC, format!("{size}, empty: the first start encrypts it"));
        return None;
    }
    match filesystem(&head) {
        Some("ext4") => {}
        Some(other) => {
            block(
                format!("the data partition is {other}, which keeps no file safe from a cut"),
                out,
            );
            return None;
        }
        None => {
            block("the data partition has no file system".to_owned(), out);
            return None;
        }
    }
    let root = match table::opened(path, partition) {
        Ok(root) => root,
        Err(failure) => {
            block(format!("the data partition cannot be read: {}", failure.detail()), out);
            return None;
        }
    };
    out.good(TOPIC, format!("{size}, ext4"));
    preloads(&root, own, out);
    Some(root)
}

fn preloads(root: &Root, own: &Own, out: &mut Diagnosis) {
    const TOPIC: &str = "preload";
    for name in root.list(PRELOAD).unwrap_or_default() {
        let Some(trust) = &own.trust else {
            let text = format!("{name} cannot be verified: there is no trust file");
            out.warn(
                TOPIC,
                text,
                "Put the trust file into the root, or beside the image.".to_owned(),
            );
            continue;
        };
        match verified(root, &name, trust) {
            Ok(what) => out.good(TOPIC, format!("{name}: {what}, every byte as signed")),
            Err(failure) => out.block(TOPIC, &failure.at(name)),
        }
    }
}

/// What a preloaded artifact is; the failure that a device would refuse it with.
fn verified(root: &Root, name: &str, trust: &Trust) -> Result<String> {
    let path = format!("{PRELOAD}/{name}");
    let missing = || Failure::new(ReasonCode::NoSuchFile, "it is no file");
    let bytes = root.read(&path, LIMIT)?.ok_or_else(missing)?;
    let digest = Digest::of(&bytes).to_string();
    if name.split('-').next() != Some(&digest[..16]) {
        let text = format!("its name does not begin with {}, as its bytes say", &digest[..16]);
        return Err(Failure::new(ReasonCode::FileDamaged, text));
    }
    let mut input = bytes.as_slice();
    let head = read_head(&mut input)?;
    match head.format() {
        Format::Release => {
            let release = head.verify(trust)?;
            check_payload(&release, &mut input, &|_| ())?;
            Ok(format!("{} {}", release.manifest.product, release.manifest.version))
        }
        Format::Delta => {
            head.verify_delta(trust)?;
            Ok("a delta".to_owned())
        }
        Format::BundleDelta => {
            head.verify_bundle_delta(trust)?;
            Ok("a delta of a bundle".to_owned())
        }
    }
}

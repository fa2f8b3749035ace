//! The data partition: an ext4 file system with what is preloaded.

use super::recipe::Recipe;
use super::script::{Script, debugfs, quoted};
use super::tools::{Scratch, run};
use crate::artifact::{Format, check_payload, read_head};
use crate::delta::stored_only;
use crate::forge::app::joint::document;
use crate::forge::file;
use crate::forge::progress::Progress;
use crate::model::{Digest, Failure, ReasonCode, Result, UNMADE_DATA};
use crate::provision::{DiskId, Image, in_mib};
use crate::rootfs::ext4::{Ext4, u16_at, u32_at};
use crate::sys::files;
use crate::trust::Trust;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Folders of the data partition, and their modes.
const FOLDERS: [(&str, u32); 3] = [("etc", 0o755), ("preload", 0o755), ("surefoot", 0o700)];
const FEATURES: &str = "none,filetype,extent,sparse_super,large_file,huge_file,dir_nlink,extra_isize,flex_bg,\
                        has_journal,dir_index,ext_attr,resize_inode,64bit,metadata_csum";

/// An artifact that is laid onto the data partition.
#[derive(Debug, Clone)]
pub(super) struct Preload {
    /// Its name there: the beginning of its SHA-256 and the name that it had.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// Verifies each to its last byte, as the device would.
pub(super) fn preloads(recipe: &Recipe, trust: Option<&str>) -> Result<Vec<Preload>> {
    let key = "data.preload";
    let paths = &recipe.values.data.preload;
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    if recipe.values.data.encrypt {
        let text = "a partition that the first start encrypts holds no files";
        return Err(recipe.wrong(key, text));
    }
    let Some(trust) = trust else {
        return Err(recipe.wrong(key, "it cannot be verified: there is no trust file"));
    };
    let (trust, mut found) = (Trust::parse(trust)?, Vec::new());
    for path in paths {
        let opened = file::open(path).map_err(recipe.blame(key))?;
        let one = preload(opened, path, &trust);
        let one = one.map_err(|f| recipe.blame(key)(f.at(path.display())))?;
        if found.iter().any(|other: &Preload| other.name == one.name) {
            return Err(recipe.wrong(key, format!("{} is there twice", path.display())));
        }
        found.push(one);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn preload(mut opened: File, path: &Path, trust: &Trust) -> Result<Preload> {
    let mut input = BufReader::with_capacity(1 << 20, &opened);
    let head = read_head(&mut input)?;
    match head.format() {
        Format::Release => {
            let release = head.verify(trust)?;
            let total = release.manifest.payloads.iter().map(|p| p.size).sum();
            let progress = Progress::new("verifying", total);
            check_payload(&release, &mut input, &|done| progress.at(done))?;
            if release.manifest.app.is_some() {
                let failed = |e: std::io::Error| file::failure(path, &e);
                input.seek(SeekFrom::Start(release.rest_offset())).map_err(failed)?;
                document(&release, &mut input)?;
            }
        }
        Format::Delta => {
            let delta = head.verify_delta(trust)?;
            stored_only(&delta.blocks, &mut input)?;
        }
        Format::BundleDelta => {
            let delta = head.verify_bundle_delta(trust)?;
            stored_only(&delta.blocks, &mut input)?;
        }
    }
    let failed = |e: std::io::Error| file::failure(path, &e);
    opened.rewind().map_err(failed)?;
    let (mut hash, mut block, mut len) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let n = opened.read(&mut block).map_err(failed)?;
        if n == 0 {
            break;
        }
        hash.update(&block[..n]);
        len += n as u64;
    }
    let digest = Digest(hash.finalize().into()).to_string();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem.chars().take(100).map(plain).collect();
    Ok(Preload { name: format!("{}-{stem}.surefoot", &digest[..16]), path: path.to_owned(), len })
}

/// The least data partition in which they fit.
pub(super) fn least(preloads: &[Preload]) -> u64 {
    let room = room(preloads);
    (room + room / 8 + (32 << 20)).next_multiple_of(1 << 20)
}

/// What the preloads need besides the file system itself.
pub(super) fn room(preloads: &[Preload]) -> u64 {
    preloads.iter().map(|one| one.len.next_multiple_of(4096)).sum()
}

/// The file system, `len` bytes long.
pub(super) fn make(len: u64, preloads: &[Preload], id: DiskId, scratch: &Scratch) -> Result<Image> {
    let path = scratch.zeros(&format!("data-{len}"), len)?;
    let uuid = id.uuid("data filesystem").unwrap_or_default();
    // Without lazy_journal_init: what an earlier disk had in the place of the journal would be replayed.
    let extended =
        format!("hash_seed={uuid},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=0,nodiscard");
    let image = path.to_string_lossy();
    let words = [
        "mke2fs", "-q", "-F", "-b", "4096", "-I", "256", "-m", "1", "-i", "16384", "-O", FEATURES,
        "-U", &uuid, "-L", "data", "-E", &extended, &image,
    ];
    run(&words, b"", scratch)?;
    let mut script = Script::new();
    for (name, mode) in FOLDERS {
        script.say(&format!("mkdir {name}"))?;
        script.say(&format!("set_inode_field {name} mode 0{:o}", 0o40000 | mode))?;
    }
    script.say("cd preload")?;
    for one in preloads {
        let host = std::path::absolute(&one.path).unwrap_or_else(|_| one.path.clone());
        let name = quoted(&one.name);
        script.say(&format!("write {} {name}", quoted(&host.to_string_lossy())))?;
        script.say(&format!("set_inode_field {name} mode 0100644"))?;
    }
    debugfs(&path, &script, scratch)?;
    let file = files::own(&path).map_err(|e| file::failure(&path, &e))?;
    let needed = needed(&file, len).ok_or_else(|| {
        Failure::new(ReasonCode::Internal, "the data file system that was made cannot be read")
    })?;
    Ok(Image { file, len, needed: Some(needed) })
}

/// An empty partition of `len` bytes that the first start encrypts: its mark alone, whatever the medium held.
pub(super) fn unmade(len: u64, scratch: &Scratch) -> Result<Image> {
    let path = scratch.zeros(&format!("unmade-{len}"), len)?;
    let failed = |e: std::io::Error| file::failure(&path, &e);
    let file = files::own_to_change(&path, 0o600).map_err(failed)?;
    file.write_all_at(UNMADE_DATA.as_bytes(), 0).map_err(failed)?;
    Ok(Image { file, len, needed: Some(vec![(0, 4096.min(len))]) })
}

/// What a medium that held something else must be given: what was written, and what only counts as zeros.
fn needed(file: &File, len: u64) -> Option<Vec<(u64, u64)>> {
    const JOURNAL: u64 = 8;
    let mut ranges = files::data_ranges(file, len).ok()?;
    let mut ext4 = Ext4::open(len, |at, buf: &mut [u8]| file.read_exact_at(buf, at).ok())?;
    let superblock = ext4.bytes(1024, 1024)?;
    // Descriptors, and the room for more of them, which a larger disk takes.
    let groups = u32_at(&superblock, 4)?.div_ceil(u32_at(&superblock, 32)?);
    let descriptors = (groups * 64).div_ceil(ext4.block);
    let head = (1 + descriptors + u16_at(&superblock, 206)?) * ext4.block;
    ranges.push((0, head.min(len)));
    let mut numbers = vec![JOURNAL];
    for group in 0..groups {
        if !ext4.group(group)?.unused {
            let first = group * ext4.inodes_per_group;
            numbers.extend((first + 1..=first + ext4.inodes_per_group).filter(|n| *n > 10));
        }
    }
    for number in numbers {
        let inode = ext4.inode(number)?;
        if u16_at(&inode, 26)? > 0 {
            ranges.extend(ext4.runs(&inode)?.into_iter().map(|run| (run.at, run.len)));
        }
    }
    ranges.sort_unstable();
    // Each byte is copied once.
    let mut out: Vec<(u64, u64)> = Vec::new();
    for (start, len) in ranges {
        match out.last_mut() {
            Some(last) if start <= last.0 + last.1 => last.1 = last.1.max(start + len - last.0),
            _ => out.push((start, len)),
        }
    }
    Some(out)
}

/// Why the preloads do not fit.
pub(super) fn lack(recipe: &Recipe, room: u64, data: u64) -> Option<Failure> {
    // A journal, the tables of inodes and one in a hundred for root.
    let own = data / 64 + (data / 20).min(160 << 20) + (4 << 20);
    let needed = room + own;
    (needed > data && room > 0).then(|| {
        let text = format!(
            "the preloaded files need a data partition of {}, and it has {}: it lacks {}",
            in_mib(needed),
            in_mib(data),
            in_mib(needed - data)
        );
        recipe.wrong("data.size", text)
    })
}

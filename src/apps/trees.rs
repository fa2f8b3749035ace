//! The files of native and command apps: laid down once as `trees/DIGEST`, and reached by what runs through one link.
//!
//! A tree gets its name when it is whole and durable, so that a cut leaves all of it or nothing. It is compared with the
//! signed hashes again in each boot before it is used.

use crate::bundle::NativeFile;
use crate::model::{Digest, Failure, ReasonCode, Result, WithReason};
use crate::sys::{durable, files, tree};
use sha2::{Digest as _, Sha256};
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Programs of other users run what lies in a tree.
const FOLDER: u32 = 0o755;

/// Where the tree of a generation lies in the app's folder for data.
pub(super) fn tree_folder(data: &Path, digest: &Digest) -> PathBuf {
    data.join("trees").join(digest.to_string())
}

/// A folder that every user may enter.
pub(super) fn open_folder(folder: &Path) -> Result<()> {
    tree::make_folder(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(FOLDER))
        .reason(ReasonCode::Io, format!("making {}", folder.display()))
}

/// Lays the files down, one behind the other as they come from `from`. Where they lie already, and whole, nothing is done.
pub(super) fn lay_tree(
    data: &Path,
    digest: &Digest,
    of: &[NativeFile],
    from: &mut dyn Read,
) -> Result<()> {
    let folder = tree_folder(data, digest);
    if check_tree(&folder, of).is_ok() {
        return Ok(());
    }
    let told = || format!("laying {}", folder.display());
    let work = folder.with_extension("new");
    tree::clear(&work).reason(ReasonCode::Io, told())?;
    for folder in [data, &data.join("trees"), &work] {
        open_folder(folder)?;
    }
    for file in of {
        let path = work.join(&file.path);
        let mut above = work.clone();
        let parts = Path::new(&file.path).parent().into_iter().flat_map(Path::components);
        for part in parts {
            above.push(part);
            open_folder(&above)?;
        }
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut hash = Sha256::new();
        tree::fill(&path, mode, from, file.size, &mut |bytes| hash.update(bytes))?;
        if Digest(hash.finalize().into()) != file.sha256 {
            let text = format!("the file `{}` does not have its SHA-256", file.path);
            return Err(Failure::new(ReasonCode::ChunkCorrupt, text));
        }
        durable::sync_folder(&above)?;
    }
    durable::sync_folder(&work)?;
    tree::clear(&folder).reason(ReasonCode::Io, told())?;
    tree::rename(&work, &folder)
}

/// Whether a tree is here as it was signed: these files, each with its bytes and its mode, owned by this process's user.
pub(super) fn check_tree(folder: &Path, of: &[NativeFile]) -> Result<()> {
    let damaged = |path: &Path, why: &str| {
        let text = format!("{} {why}", path.display());
        let next = "Install the bundle again: `surefoot apps install FILE`.";
        Failure::new(ReasonCode::ChunkCorrupt, text).with_next(next)
    };
    if !std::fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir()) {
        return Err(Failure::new(
            ReasonCode::NoSuchApp,
            format!("{} is not there", folder.display()),
        ));
    }
    for file in of {
        let mut path = folder.to_owned();
        for part in Path::new(&file.path).components() {
            path.push(part);
            if std::fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink()) {
                return Err(damaged(&path, "is a link"));
            }
        }
        let found = files::own(&path).and_then(|found| Ok((found.metadata()?, found)));
        let (about, mut found) = found.map_err(|e| damaged(&path, &e.to_string()))?;
        let runs = about.mode() & 0o111 != 0;
        if about.len() != file.size || runs != file.executable || about.mode() & 0o022 != 0 {
            return Err(damaged(&path, "has another length or mode than was signed"));
        }
        let (mut hash, mut step) = (Sha256::new(), vec![0; 128 << 10]);
        loop {
            crate::sys::stop::look()?;
            crate::sys::systemd::waits();
            let n = found.read(&mut step).map_err(|e| damaged(&path, &e.to_string()))?;
            if n == 0 {
                break;
            }
            hash.update(&step[..n]);
        }
        if Digest(hash.finalize().into()) != file.sha256 {
            return Err(damaged(&path, "has other bytes than were signed"));
        }
    }
    Ok(())
}

/// Trees that are here, whole or not, with their folders.
pub(super) fn trees(data: &Path) -> Vec<(Option<Digest>, PathBuf)> {
    let entries = std::fs::read_dir(data.join("trees")).into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_str().and_then(|name| name.parse().ok()), entry.path()))
        .collect()
}

/// Makes `link` lead to `folder`; what reads it in this moment finds the old or the new one.
pub(super) fn point(link: &Path, folder: &Path) -> Result<()> {
    let beside = link.with_extension("new");
    let told = || format!("making {}", link.display());
    tree::clear(&beside).reason(ReasonCode::Io, told())?;
    std::os::unix::fs::symlink(folder, &beside)
        .and_then(|()| std::fs::rename(&beside, link))
        .reason(ReasonCode::Io, told())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_of() -> (Vec<NativeFile>, Vec<u8>) {
        let file = |path: &str, bytes: &[u8], executable| NativeFile {
            path: path.to_owned(),
            size: bytes.len() as u64,
            executable,
            sha256: Digest::of(bytes),
        };
        let files = vec![file("bin/web", b"program", true), file("share/a/page", b"hello", false)];
        (files, b"programhello".to_vec())
    }

    #[test]
    fn a_tree_is_laid_whole_with_its_modes_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (files, bytes) = files_of();
        let digest = Digest::of(b"release");
        let folder = tree_folder(dir.path(), &digest);
        assert_eq!(check_tree(&folder, &files).unwrap_err().code(), ReasonCode::NoSuchApp);
        lay_tree(dir.path(), &digest, &files, &mut &bytes[..]).unwrap();
        check_tree(&folder, &files).unwrap();
        let mode = |path: &str| folder.join(path).metadata().unwrap().mode() & 0o777;
        assert_eq!((mode("bin/web"), mode("share/a/page"), mode("share/a")), (0o755, 0o644, 0o755));
        // It is here: nothing is read.
        lay_tree(dir.path(), &digest, &files, &mut &b""[..]).unwrap();
        assert_eq!(trees(dir.path()), [(Some(digest), folder)]);
    }

    #[test]
    fn a_tree_that_was_changed_on_the_disk_is_not_used_and_is_laid_again() {
        let (files, bytes) = files_of();
        let digest = Digest::of(b"release");
        let damage: [fn(&Path); 5] = [
            |f| std::fs::write(f.join("bin/web"), b"prograM").unwrap(),
            |f| std::fs::write(f.join("bin/web"), b"program and more").unwrap(),
            |f| std::fs::remove_file(f.join("share/a/page")).unwrap(),
            |f| {
                std::fs::rename(f.join("share"), f.join("other")).unwrap();
                std::os::unix::fs::symlink("other", f.join("share")).unwrap();
            },
            |f| {
                let mode = Permissions::from_mode(0o777);
                std::fs::set_permissions(f.join("bin/web"), mode).unwrap();
            },
        ];
        for spoil in damage {
            let dir = tempfile::tempdir().unwrap();
            let folder = tree_folder(dir.path(), &digest);
            lay_tree(dir.path(), &digest, &files, &mut &bytes[..]).unwrap();
            spoil(&folder);
            assert_eq!(check_tree(&folder, &files).unwrap_err().code(), ReasonCode::ChunkCorrupt);
            lay_tree(dir.path(), &digest, &files, &mut &bytes[..]).unwrap();
            check_tree(&folder, &files).unwrap();
        }
    }

    #[test]
    fn bytes_that_are_not_those_that_were_signed_make_no_tree() {
        let dir = tempfile::tempdir().unwrap();
        let (files, bytes) = files_of();
        let digest = Digest::of(b"release");
        for bad in [&b"programhellO"[..], &b"programhel"[..]] {
            assert!(lay_tree(dir.path(), &digest, &files, &mut &bad[..]).is_err());
            assert!(!tree_folder(dir.path(), &digest).exists());
        }
        lay_tree(dir.path(), &digest, &files, &mut &bytes[..]).unwrap();
    }

    #[cfg(feature = "sim")]
    #[test]
    fn a_cut_while_a_tree_is_laid_leaves_none_or_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (files, bytes) = files_of();
        let digest = Digest::of(b"release");
        let folder = tree_folder(dir.path(), &digest);
        let mut cuts = 0;
        while crate::sys::power::cut_at_write(cuts, 1, || {
            lay_tree(dir.path(), &digest, &files, &mut &bytes[..]).unwrap();
        })
        .is_none()
        {
            assert!(!folder.exists() || check_tree(&folder, &files).is_ok(), "cut {cuts}");
            cuts += 1;
        }
        assert!(cuts >= 3 && check_tree(&folder, &files).is_ok(), "{cuts}");
    }
}

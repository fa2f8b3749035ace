//! Which programs may be hooks: those that came with the image. A hook runs as root and can hold
//! or approve an update, so what the data partition holds, or what others may change, is none.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Where the image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The running system: the filesystem of `/`, and root's.
    Device,
    /// A device that is an image file: this folder stands in for the image. What the running
    /// system has is allowed too.
    Folder(PathBuf),
}

/// As many as Linux follows.
const MOST_LINKS: usize = 40;

impl Root {
    /// Where a hook starts, and where a relative path begins.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Root::Device => Path::new("/"),
            Root::Folder(folder) => folder,
        }
    }

    /// The path of the program behind every link, if it is the image's. Otherwise what is wrong.
    pub fn program(&self, written: &str) -> Result<PathBuf, String> {
        let path = Path::new(written);
        match self {
            Root::Device if path.is_relative() => {
                Err(format!("{written} is relative; a hook is named by its full path"))
            }
            Root::Device => Image::device()?.find(path).map(|(program, _)| program),
            Root::Folder(folder) => {
                let image = Image::folder(folder)?;
                match image.find(&folder.join(path))? {
                    (program, true) => Ok(program),
                    (elsewhere, false) => Image::device()?.find(&elsewhere).map(|(p, _)| p),
                }
            }
        }
    }
}

/// What belongs to the image: everything under `top` that lies on its filesystem, belongs to one of
/// `owners` and that nobody else may change.
struct Image {
    top: PathBuf,
    device: u64,
    owners: [u32; 2],
}

impl Image {
    fn device() -> Result<Image, String> {
        Image::under(Path::new("/"), |_| 0)
    }

    fn folder(folder: &Path) -> Result<Image, String> {
        let folder = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
        Image::under(&folder, Metadata::uid)
    }

    fn under(top: &Path, owner: fn(&Metadata) -> u32) -> Result<Image, String> {
        let found = std::fs::metadata(top).map_err(|e| format!("{}: {e}", top.display()))?;
        let owners = [0, owner(&found)];
        Ok(Image { top: top.to_owned(), device: found.dev(), owners })
    }

    /// Follows `path` one name at a time, as the kernel does, so that every folder and every link
    /// on the way is looked at: one link in a folder of somebody else chooses another program.
    /// Whether it ends inside of the image is the second value; what is outside was not judged.
    fn find(&self, path: &Path) -> Result<(PathBuf, bool), String> {
        let mut at = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = names(path);
        let mut links = 0;
        let mut last = self.look(&at)?;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                last = self.look(&at)?;
                continue;
            }
            if !last.is_dir() {
                return Err(format!("{} is no folder", at.display()));
            }
            let next = at.join(&name);
            let found =
                std::fs::symlink_metadata(&next).map_err(|e| format!("{}: {e}", next.display()))?;
            if !found.file_type().is_symlink() {
                (at, last) = (next, found);
                self.judge(&at, &last)?;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(format!("{}: too many links", path.display()));
            }
            let to = std::fs::read_link(&next).map_err(|e| format!("{}: {e}", next.display()))?;
            if to.is_absolute() {
                at = PathBuf::from("/");
                last = self.look(&at)?;
            }
            for name in names(&to).into_iter().rev() {
                rest.push_front(name);
            }
        }
        let inside = at.starts_with(&self.top);
        if inside && !last.is_file() {
            return Err(format!("{} is not a regular file", at.display()));
        }
        if inside && last.mode() & 0o111 == 0 {
            return Err(format!("{} is not executable", at.display()));
        }
        Ok((at, inside))
    }

    fn look(&self, at: &Path) -> Result<Metadata, String> {
        let found = std::fs::symlink_metadata(at).map_err(|e| format!("{}: {e}", at.display()))?;
        self.judge(at, &found)?;
        Ok(found)
    }

    fn judge(&self, at: &Path, found: &Metadata) -> Result<(), String> {
        if !at.starts_with(&self.top) {
            return Ok(());
        }
        let (shown, top) = (at.display(), self.top.display());
        if found.dev() != self.device {
            return Err(format!("{shown} is on another filesystem than {top}, not in the image"));
        }
        if !self.owners.contains(&found.uid()) {
            let whose = found.uid();
            return Err(format!("{shown} belongs to user {whose}; it must be root's"));
        }
        if found.mode() & 0o022 != 0 {
            let mode = found.mode() & 0o7777;
            return Err(format!("{shown} may be changed by others (mode {mode:04o})"));
        }
        Ok(())
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn program(path: &Path) {
        fs::write(path, "#!/bin/sh\nexit 0\n").unwrap();
        mode(path, 0o755);
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A folder that is an image, with `bin/hook` in it.
    fn image() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("image");
        fs::create_dir_all(top.join("bin")).unwrap();
        for folder in [&top, &top.join("bin")] {
            mode(folder, 0o755);
        }
        program(&top.join("bin/hook"));
        (dir, top)
    }

    #[test]
    fn a_program_of_the_image_is_found_behind_its_links() {
        let (_dir, top) = image();
        let root = Root::Folder(top.clone());
        let hook = top.join("bin/hook");
        symlink("bin", top.join("sbin")).unwrap();
        symlink("../sbin/./hook", top.join("bin/again")).unwrap();
        symlink(&hook, top.join("absolute")).unwrap();
        for written in ["bin/hook", "./bin/../bin/hook", "sbin/again", "absolute"] {
            assert_eq!(root.program(written), Ok(hook.clone()), "{written}");
        }
        assert_eq!(root.program(hook.to_str().unwrap()), Ok(hook));
    }

    #[test]
    fn a_program_that_others_may_change_is_none() {
        let (_dir, top) = image();
        let root = Root::Folder(top.clone());
        for changed in ["bin/hook", "bin", ""] {
            let path = top.join(changed);
            for open in [0o775, 0o757, 0o1777] {
                mode(&path, open);
                let failure = root.program("bin/hook").unwrap_err();
                assert!(failure.contains("may be changed by others"), "{changed}: {failure}");
                assert!(failure.contains(&format!("{open:04o}")), "{failure}");
            }
            mode(&path, 0o755);
        }
        // A link in such a folder chooses the program, whatever it points to.
        fs::create_dir(top.join("open")).unwrap();
        mode(&top.join("open"), 0o777);
        symlink("../bin/hook", top.join("open/link")).unwrap();
        symlink("open/link", top.join("link")).unwrap();
        assert!(root.program("link").unwrap_err().contains("/open may be changed"));
        assert!(root.program("bin/hook").is_ok());
    }

    #[test]
    fn what_is_no_program_is_named() {
        let (_dir, top) = image();
        let root = Root::Folder(top.clone());
        fs::write(top.join("plain"), "x").unwrap();
        mode(&top.join("plain"), 0o644);
        symlink("round", top.join("round")).unwrap();
        for (written, said) in [
            ("bin", "not a regular file"),
            ("plain", "not executable"),
            ("plain/x", "no folder"),
            ("missing", "No such file"),
            ("round", "too many links"),
        ] {
            let failure = root.program(written).unwrap_err();
            assert!(failure.contains(said), "{written}: {failure}");
        }
        assert!(Root::Folder(top.join("gone")).program("x").is_err());
    }

    #[test]
    fn on_a_device_only_the_filesystem_of_the_root_counts() {
        let found = Root::Device.program("/bin/sh").unwrap();
        assert_eq!(found, Path::new("/bin/sh").canonicalize().unwrap());
        assert!(Root::Device.program("bin/sh").unwrap_err().contains("full path"));
        assert!(Root::Device.program("/proc/self/exe").unwrap_err().contains("another filesystem"));
        // Temporary folders are open to all, and the build's own are not root's or lie elsewhere.
        let (_dir, top) = image();
        let failure = Root::Device.program(top.join("bin/hook").to_str().unwrap()).unwrap_err();
        assert!(
            failure.contains("changed by others")
                || failure.contains("belongs to")
                || failure.contains("another filesystem"),
            "{failure}"
        );
    }

    #[test]
    fn a_link_to_another_filesystem_leads_out_of_the_image() {
        // /dev/shm plays the data partition.
        let (_dir, top) = image();
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        let foreign = elsewhere.path().join("hook");
        program(&foreign);
        assert_ne!(fs::metadata(&foreign).unwrap().dev(), fs::metadata("/").unwrap().dev());
        symlink(&foreign, top.join("bin/foreign")).unwrap();
        let root = Root::Folder(top);
        for (root, written) in [(&root, "bin/foreign"), (&Root::Device, foreign.to_str().unwrap())]
        {
            let failure = root.program(written).unwrap_err();
            assert!(failure.contains("another filesystem"), "{failure}");
        }
    }

    #[test]
    fn an_image_file_has_the_running_systems_programs_too() {
        let (_dir, top) = image();
        assert!(Root::Folder(top).program("/bin/sh").is_ok());
    }
}

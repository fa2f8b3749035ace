//! Whether a program could be started at all, without starting it.

use std::io::Read;
use std::path::{Path, PathBuf};

/// Where an init system looks, whatever the caller's own `PATH` says.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `ProtectHome=` and `PrivateTmp=` hide from a service.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// The kernel reads no more of a script's first line.
const LINE_MAX: u64 = 256;

/// Why `command` could not be started in `folder`, as [`super::process::run`] would start it. A
/// program that is there may fail all the same.
pub fn can_start(command: &[String], folder: &Path) -> Result<(), String> {
    let program = command.first().ok_or("its command is empty")?;
    if !folder.is_dir() && !is_hidden(folder) {
        return Err(format!("the folder {} that it starts in is not there", folder.display()));
    }
    match program.contains('/') {
        true => file(&folder.join(program)),
        false => named(program),
    }
}

/// A service of systemd does not see every folder; what it starts as a unit of its own does.
fn is_hidden(path: &Path) -> bool {
    super::systemd::is_notified() && HIDDEN.iter().any(|hidden| path.starts_with(hidden))
}

fn named(program: &str) -> Result<(), String> {
    let own = std::env::var("PATH").unwrap_or_default();
    let folders = own.split(':').chain(USUAL.split(':')).filter(|f| !f.is_empty());
    let mut found = folders.map(|f| PathBuf::from(f).join(program)).filter(|p| p.exists());
    match found.next() {
        Some(first) => std::iter::once(first).chain(found).map(|p| file(&p)).find(Result::is_ok),
        None => return Err(format!("{program} is in no folder of PATH")),
    }
    .unwrap_or_else(|| Err(format!("{program} in PATH is not executable")))
}

fn file(path: &Path) -> Result<(), String> {
    if is_hidden(path) {
        return Ok(());
    }
    executable(path)?;
    match interpreter(path) {
        Some(other) => executable(&other)
            .map_err(|why| format!("{}: its interpreter cannot run: {why}", path.display())),
        None => Ok(()),
    }
}

fn executable(path: &Path) -> Result<(), String> {
    let told = |why: String| Err(format!("{}: {why}", path.display()));
    match std::fs::metadata(path) {
        Err(error) => told(error.to_string()),
        Ok(found) if !found.is_file() => told("this is no regular file".to_owned()),
        Ok(_) => match nix::unistd::access(path, nix::unistd::AccessFlags::X_OK) {
            Ok(()) => Ok(()),
            Err(_) => told("it is not executable".to_owned()),
        },
    }
}

/// What the first line of a script names.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    super::files::foreign(path).ok()?.take(LINE_MAX).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    // A relative one depends on the folder; that is for the kernel to say.
    let word = text.split_whitespace().next().filter(|word| word.starts_with('/'))?;
    Some(PathBuf::from(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn start(program: &str, folder: &Path) -> Result<(), String> {
        can_start(&[program.to_owned()], folder)
    }

    #[test]
    fn a_program_that_can_never_start_is_told_from_one_that_may_fail() {
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        script("good.sh", "#!/bin/sh\nexit 1\n", 0o755);
        script("bare", "exit 1\n", 0o755);
        script("plain.sh", "#!/bin/sh\n", 0o644);
        script("lost.sh", "#!/nowhere/python3 -u\n", 0o755);
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("good.sh", dir.path().join("link")).unwrap();
        for good in ["sh", "/bin/sh", "./good.sh", "./bare", "./link"] {
            assert_eq!(start(good, dir.path()), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("./plain.sh", "not executable"),
            ("./lost.sh", "interpreter"),
            ("./gone.sh", "No such file"),
            ("./folder", "no regular file"),
            ("no-such-program-anywhere", "PATH"),
        ] {
            let said = start(bad, dir.path()).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(start("sh", &dir.path().join("gone")).unwrap_err().contains("folder"));
        assert!(can_start(&[], dir.path()).is_err());
    }
}

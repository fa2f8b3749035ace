//! A small filesystem below a folder, to be filled up.

use std::process::Command;

/// Mounted until dropped.
pub(crate) struct Tmpfs(String);

/// Puts a filesystem of that size below `folder`, with what is in it now. `None` where that is not
/// allowed: mounting takes root.
pub(crate) fn at(folder: &str, size: &str) -> Option<Tmpfs> {
    let aside = format!("{folder}.aside");
    let size = format!("size={size}");
    std::fs::create_dir(&aside).unwrap();
    if !run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", &aside]) {
        return None;
    }
    let mounted = Tmpfs(folder.to_owned());
    let copied = run(&["cp", "-a", "--sparse=always", &format!("{folder}/."), &aside]);
    let moved = run(&["mount", "--bind", &aside, folder]);
    let only_there = run(&["umount", &aside]);
    assert!(copied && moved && only_there, "what is in {folder} does not fit {size}");
    Some(mounted)
}

impl Tmpfs {
    #[allow(dead_code, reason = "each test file uses its own part")]
    pub(crate) fn resize(&self, size: &str) {
        assert!(run(&["mount", "-o", &format!("remount,size={size}"), &self.0]));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run(&["umount", "--lazy", &self.0]);
    }
}

fn run(words: &[&str]) -> bool {
    let done = Command::new(words[0]).args(&words[1..]).output();
    done.is_ok_and(|done| done.status.success())
}

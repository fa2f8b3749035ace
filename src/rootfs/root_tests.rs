//! One tree in each kind of image reads the same.

use super::{Root, What};
use crate::model::ReasonCode;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn tree(root: &Path) {
    for folder in ["etc/surefoot", "usr/bin", "usr/lib", "a b"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("etc/surefoot/surefoot.toml"), "[device]\n").unwrap();
    let noise: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    std::fs::write(root.join("usr/bin/init"), noise).unwrap();
    std::fs::write(root.join("a b/c"), "").unwrap();
    std::fs::set_permissions(root.join("a b/c"), PermissionsExt::from_mode(0o4751)).unwrap();
    for (link, target) in [
        ("sbin", "usr/bin"),
        ("config", "/etc/surefoot"),
        ("up", "../../../etc/surefoot/surefoot.toml"),
        ("loop", "loop"),
        ("nowhere", "/etc/passwd"),
        ("long", &format!("/usr/{}bin", "./".repeat(60))),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
}

fn made(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

fn looks_the_same(root: &Root, kind: &str) {
    assert_eq!(root.kind(), kind);
    let toml = Some(b"[device]\n".to_vec());
    for path in ["/etc/surefoot/surefoot.toml", "config/surefoot.toml", "/up", "//etc/./../up"] {
        assert_eq!(root.read(path, 100).unwrap(), toml, "{kind} {path}");
    }
    for path in ["/nowhere", "/loop", "/etc/passwd", "/a b/c/d", "/sbin/no"] {
        assert!(!root.exists(path).unwrap(), "{kind} {path}");
        assert_eq!(root.read(path, 100).unwrap(), None, "{kind} {path}");
    }
    assert_eq!(root.read("/etc", 100).unwrap(), None, "a folder");
    let init = root.read("/sbin/init", 2 << 20).unwrap().unwrap();
    assert_eq!(init.len(), 1_200_000);
    assert_eq!(init[1_199_996..], 42857u32.to_le_bytes());
    assert_eq!(root.read_head("/long/init", 5000).unwrap().unwrap(), init[..5000]);
    let long = root.read("/sbin/init", 1000).unwrap_err();
    assert!(long.detail().contains("longer than 1000 bytes"), "{long}");
    let about = root.about("/a b/c").unwrap().unwrap();
    assert_eq!((about.what, about.mode, about.len), (What::File, 0o4751, 0));
    assert_eq!(root.about("/").unwrap().unwrap().what, What::Folder);
    assert_eq!(root.link("/config").unwrap().as_deref(), Some("/etc/surefoot"));
    assert_eq!(root.link("/etc").unwrap(), None);
    assert_eq!(root.list("/config").unwrap(), ["surefoot.toml"]);
    let names = root.list("/").unwrap();
    let names: Vec<_> = names.iter().filter(|name| *name != "lost+found").collect();
    assert_eq!(names.len(), 9, "{names:?}");
    assert_eq!(root.list("/nowhere").unwrap().len() + root.list("/up").unwrap().len(), 0);
}

#[test]
fn a_tree_reads_the_same_in_each_kind_of_image_and_inside_of_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    tree(&dir.path().join("root"));
    looks_the_same(&Root::open(Path::new(&at("root"))).unwrap(), "folder");
    for kind in ["ext4", "ext2"] {
        made("mke2fs", &["-q", "-t", kind, "-b", "1024", "-d", &at("root"), &at(kind), "16M"]);
    }
    made("mksquashfs", &[&at("root"), &at("squashfs"), "-quiet", "-no-progress"]);
    made("mkfs.erofs", &[&at("erofs"), &at("root")]);
    made("mkfs.erofs", &["-zlz4hc", &at("packed"), &at("root")]);
    for (name, kind) in [
        ("ext4", "ext4"),
        ("ext2", "ext4"),
        ("squashfs", "squashfs"),
        ("erofs", "erofs"),
        ("packed", "erofs"),
    ] {
        looks_the_same(&Root::open(Path::new(&at(name))).unwrap(), kind);
        let image = std::fs::read(at(name)).unwrap();
        std::fs::write(at("disk"), [vec![7; 1 << 20], image.clone(), vec![9; 4096]].concat())
            .unwrap();
        let part = Root::open_part(Path::new(&at("disk")), 1 << 20, Some(image.len() as u64));
        looks_the_same(&part.unwrap(), kind);
        let cut = &image[..image.len() / 2];
        std::fs::write(at("cut"), cut).unwrap();
        // Broken is an error or reads as far as it is whole; it never panics.
        if let Ok(root) = Root::open(Path::new(&at("cut"))) {
            let _ = (root.list("/"), root.read("/sbin/init", 2 << 20));
        }
    }
}

#[test]
fn what_is_no_root_filesystem_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let code = |path: &Path| Root::open(path).unwrap_err().code();
    assert_eq!(code(&path), ReasonCode::NoSuchFile);
    for bytes in [vec![], vec![0; 4096], b"text".to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(code(&path), ReasonCode::NotAnImage);
    }
}

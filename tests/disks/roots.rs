//! A root filesystem of every kind becomes slot a.

use super::shop::{Shop, elf, tool};
use crate::common::{forge, run};
use std::path::Path;

/// `stat` of debugfs: mode, user, group, links and, of a device, its number.
fn stat(image: &str, path: &str) -> String {
    let said = tool("debugfs", &["-R", &format!("stat {path}"), image]);
    let words: Vec<_> = said.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|w| *w == name);
        at.map_or(String::new(), |at| words[at + 1].to_owned())
    };
    let device = said.split("Device major/minor number: ").nth(1);
    let device = device.unwrap_or("").split(' ').next().unwrap();
    format!(
        "{} {}:{} {} {device}",
        after("Mode:"),
        after("User:"),
        after("Group:"),
        after("Links:")
    )
}

#[test]
fn an_archive_keeps_owners_modes_devices_links_and_capabilities_also_for_who_is_not_root() {
    let shop = Shop::new();
    // Made by hand: this test need not be root.
    let script = "import sys, tarfile, io\n\
        out = tarfile.open(sys.argv[1], 'w:gz', format=tarfile.PAX_FORMAT)\n\
        def add(name, kind, data=b'', link='', mode=0o644, uid=0, gid=0, dev=(0, 0), pax={}):\n    \
            i = tarfile.TarInfo(name); i.type = kind; i.size = len(data); i.linkname = link; i.mode = mode\n    \
            i.uid, i.gid, (i.devmajor, i.devminor), i.pax_headers, i.mtime = uid, gid, dev, pax, 1700000000\n    \
            out.addfile(i, io.BytesIO(data))\n\
        add('./boot/Image', tarfile.REGTYPE, b'k' * 100000)\n\
        add('./boot/same', tarfile.LNKTYPE, link='./boot/Image')\n\
        add('./sbin/init', tarfile.REGTYPE, open(sys.argv[2], 'rb').read(), mode=0o755)\n\
        add('./usr/bin/surefoot', tarfile.REGTYPE, b'x', mode=0o4755, uid=70000, gid=3000000)\n\
        add('./dev/null', tarfile.CHRTYPE, dev=(1, 3), mode=0o666)\n\
        add('./dev/sda', tarfile.BLKTYPE, dev=(8, 300), mode=0o660, gid=6)\n\
        add('./run/pipe', tarfile.FIFOTYPE, mode=0o600)\n\
        add('./tmp', tarfile.DIRTYPE, mode=0o1777)\n\
        add('./usr/bin/ping', tarfile.REGTYPE, b'p', mode=0o755, pax={'SCHILY.xattr.security.capability': '\\x01\\x02'})\n\
        add('./long', tarfile.SYMTYPE, link='x' * 200)\n\
        out.close()\n";
    std::fs::write(shop.path("init"), elf(183, 2)).unwrap();
    run("python3", &["-c", script, &shop.at("root.tar.gz"), &shop.at("init")], &[], b"").ok();
    let recipe = shop.recipe("", "");
    let words = ["--rootfs", &shop.at("root.tar.gz"), "--json"];
    let said = shop.image(&recipe, "disk.img", &words).ok().json();
    assert_eq!(said["slot_a"]["root"], "ext4 from a tar archive from gzip", "{said}");
    let root = shop.part(&shop.at("disk.img"), &said["disks"][0]["partitions"][1]);
    for (path, expected) in [
        ("/boot/Image", "0644 0:0 2 "),
        ("/boot/same", "0644 0:0 2 "),
        ("/usr/bin/surefoot", "04755 70000:3000000 1 "),
        ("/dev/null", "0666 0:0 1 01:03"),
        ("/dev/sda", "0660 0:6 1 08:300"),
        ("/run/pipe", "0600 0:0 1 "),
        ("/tmp", "01777 0:0 2 "),
        ("/etc/surefoot/surefoot.toml", "0644 0:0 1 "),
        ("/usr/share/surefoot/trust.toml", "0644 0:0 1 "),
    ] {
        assert_eq!(stat(&root, path), expected, "{path}");
    }
    let value = tool("debugfs", &["-R", "ea_get -x /usr/bin/ping security.capability", &root]);
    assert!(value.contains("01 02"), "{value}");
    tool("e2fsck", &["-fn", &root]);
}

#[test]
fn a_finished_file_system_is_taken_as_it_is_and_its_own_files_are_read() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    shop.image(&recipe, "first.img", &["--artifact-out", &shop.at("1.surefoot")]).ok();
    for (name, text) in [
        ("surefoot.toml", "etc/surefoot"),
        ("fw_env.config", "etc"),
        ("trust.toml", "usr/share/surefoot"),
    ] {
        let folder = shop.path("root").join(text);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(shop.path(name), folder.join(name)).unwrap();
    }
    let root = shop.at("root");
    tool("mke2fs", &["-q", "-t", "ext4", "-d", &root, &shop.at("r.ext4"), "12M"]);
    tool("mksquashfs", &[&root, &shop.at("r.squashfs"), "-quiet", "-no-progress"]);
    tool("mkfs.erofs", &["-zlz4hc", &shop.at("r.erofs"), &root]);
    tool("zstd", &["-q", &shop.at("r.ext4"), "-o", &shop.at("r.ext4.zst")]);
    for name in ["r.ext4", "r.squashfs", "r.erofs", "r.ext4.zst"] {
        let words = ["--rootfs", &shop.at(name), "--json"];
        let said = shop.image(&recipe, "disk.img", &words).ok().json();
        assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{name}: {said}");
        let slot = shop.part(&shop.at("disk.img"), &said["disks"][0]["partitions"][1]);
        let plain = std::fs::read(shop.path(name.trim_end_matches(".zst"))).unwrap();
        assert!(std::fs::read(slot).unwrap().starts_with(&plain), "{name}");
    }
    // Without them: warnings, and the exit status stays.
    std::fs::remove_dir_all(Path::new(&root).join("etc/surefoot")).unwrap();
    std::fs::remove_file(Path::new(&root).join("etc/fw_env.config")).unwrap();
    std::fs::remove_dir_all(Path::new(&root).join("usr/share/surefoot")).unwrap();
    tool("mke2fs", &["-q", "-t", "ext4", "-d", &root, &shop.at("bare.ext4"), "12M"]);
    let said = shop.image(&recipe, "bare.img", &["--rootfs", &shop.at("bare.ext4")]).ok();
    for missing in
        ["/etc/surefoot/surefoot.toml", "/etc/fw_env.config", "/usr/share/surefoot/trust.toml"]
    {
        assert!(said.err.contains(&format!("warning: the root has no {missing}")), "{}", said.err);
    }
}

#[test]
fn an_artifact_is_slot_a_byte_for_byte_and_must_be_signed_by_whom_the_device_believes() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    let artifact = shop.at("1.surefoot");
    shop.image(&recipe, "first.img", &["--artifact-out", &artifact]).ok();
    let words = ["--artifact", &artifact, "--json"];
    let said = shop.image(&recipe, "second.img", &words).ok().json();
    assert_eq!(said["slot_a"]["release"]["version"], "1.0.0", "{said}");
    let [first, second] =
        ["first.img", "second.img"].map(|name| std::fs::read(shop.path(name)).unwrap());
    assert!(first == second);
    // The record by itself is the last MiB of slot a.
    let (record, trust) = (shop.at("record"), shop.at("KEYS/trust.toml"));
    let told = forge(&["record", &artifact, "--trust", &trust, "-o", &record, "--json"]).ok();
    assert_eq!(told.json()["payloads"], serde_json::json!([0]), "{}", told.out);
    let slot = &said["disks"][0]["partitions"][1];
    let number = |key: &str| usize::try_from(slot[key].as_u64().unwrap()).unwrap();
    let end = number("start") + number("len");
    assert!(std::fs::read(&record).unwrap() == first[end - (1 << 20)..end]);
    // Another house's keys: nothing is made.
    forge(&["keygen", "--out", &shop.at("OTHER")]).ok();
    let words = ["--artifact", &artifact, "--trust", &shop.at("OTHER/trust.toml")];
    let said = shop.image(&recipe, "third.img", &words);
    assert_eq!(said.code, 65, "{}", said.err);
    assert!(said.err.contains("--trust: the trust file is `my-devices`"), "{}", said.err);
    assert!(!shop.path("third.img").exists());
}

#[test]
fn settings_of_a_product_in_a_file_of_their_own_leave_room_for_the_recipe() {
    let shop = Shop::new();
    let folder = shop.path("root/etc/surefoot");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("50-product.toml"), "[update]\nreboot = \"now\"\n").unwrap();
    let recipe = shop.recipe("", "");
    shop.image(&recipe, "disk.img", &[]).ok();
    let own = std::fs::read_to_string(shop.path("surefoot.toml")).unwrap();
    assert!(own.contains("product = \"acme\""), "{own}");
    // What is wrong in it is told with its name, and nothing is made.
    std::fs::write(folder.join("50-product.toml"), "[update]\nreboot = \"never\"\n").unwrap();
    let said = shop.image(&recipe, "other.img", &[]);
    assert_eq!(said.code, 65, "{}", said.err);
    assert!(said.err.contains("/etc/surefoot/50-product.toml"), "{}", said.err);
    assert!(!shop.path("other.img").exists());
}

/// The names of more than 2,000 files in a folder are written by other code than those of a few.
#[test]
fn a_folder_with_many_files_is_as_any_other() {
    let shop = Shop::new();
    let many = shop.path("root/many");
    std::fs::create_dir_all(many.join("below")).unwrap();
    for n in 0..2100 {
        std::fs::write(many.join(format!("file {n} \"{}", "x".repeat(n % 200))), n.to_string())
            .unwrap();
    }
    std::fs::write(many.join("below/f"), "f").unwrap();
    std::fs::hard_link(many.join("below/f"), many.join("a second name")).unwrap();
    std::fs::hard_link(many.join("file 7 \"xxxxxxx"), shop.path("root/away")).unwrap();
    std::os::unix::fs::symlink("below/f", many.join("link")).unwrap();
    let recipe = shop.recipe("", "");
    let said = shop.image(&recipe, "disk.img", &["--slot-size", "32M", "--json"]).ok().json();
    let root = shop.part(&shop.at("disk.img"), &said["disks"][0]["partitions"][1]);
    tool("e2fsck", &["-fn", &root]);
    for (path, expected) in [
        ("/many", "0755 0:0 3 "),
        ("/many/below/f", "0644 0:0 2 "),
        ("\"/many/a second name\"", "0644 0:0 2 "),
        ("/away", "0644 0:0 2 "),
        ("/many/link", "0777 0:0 1 "),
    ] {
        assert_eq!(stat(&root, path), expected, "{path}");
    }
    // Each by its own name with its own bytes, and nothing besides.
    let out = shop.at("out");
    std::fs::create_dir(&out).unwrap();
    tool("debugfs", &["-R", &format!("rdump /many {out}"), &root]);
    let found =
        tool("diff", &["-r", "--no-dereference", many.to_str().unwrap(), &format!("{out}/many")]);
    assert_eq!(found, "");
    assert!(
        !tool("debugfs", &["-R", "ls /", &root]).contains(" .0"),
        "the place for the time is gone"
    );
    shop.image(&recipe, "again.img", &["--slot-size", "32M"]).ok();
    let [first, again] =
        ["disk.img", "again.img"].map(|name| std::fs::read(shop.path(name)).unwrap());
    assert!(first == again);
}

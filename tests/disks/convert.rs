//! A disk with one root becomes one with two slots.

use super::shop::{Shop, elf, names, tool};
use crate::common::{forge, run};
use std::os::unix::fs::symlink;

/// As Raspberry Pi OS is shipped: an MBR, a FAT with firmware and kernel, an ext4 with the root.
fn shipped(shop: &Shop) -> String {
    let root = shop.path("pi");
    for folder in ["etc", "usr/sbin", "usr/bin", "boot/firmware", "tmp"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("etc/fstab"), "proc /proc proc defaults 0 0\nPARTUUID=1-01 /boot/firmware vfat defaults 0 2\nPARTUUID=1-02 / ext4 defaults 0 1\n").unwrap();
    std::fs::write(root.join("usr/sbin/init"), elf(183, 2)).unwrap();
    std::fs::hard_link(root.join("usr/sbin/init"), root.join("usr/bin/again")).unwrap();
    symlink("usr/sbin", root.join("sbin")).unwrap();
    let ext4 = shop.at("pi.ext4");
    tool("mke2fs", &["-q", "-t", "ext4", "-d", root.to_str().unwrap(), &ext4, "16M"]);
    let edits = "set_inode_field /etc/fstab uid 70000\nset_inode_field /tmp mode 041777\ncd /tmp\nmknod sda b 8 300\n";
    run("debugfs", &["-w", "-f", "-", &ext4], &[], edits.as_bytes()).ok();
    let (fat, firmware) = (shop.at("pi.fat"), shop.path("pi-firmware"));
    std::fs::create_dir_all(firmware.join("overlays")).unwrap();
    std::fs::write(firmware.join("config.txt"), "arm_64bit=1\n").unwrap();
    std::fs::write(firmware.join("kernel8.img"), vec![7; 100_000]).unwrap();
    std::fs::write(firmware.join("overlays/x.dtbo"), "x").unwrap();
    std::fs::write(
        firmware.join("cmdline.txt"),
        "root=PARTUUID=1-02 init=/usr/lib/firstboot quiet\n",
    )
    .unwrap();
    std::fs::write(&fat, "").unwrap();
    tool("truncate", &["-s", "8M", &fat]);
    tool("mformat", &["-i", &fat, "::"]);
    let from = firmware.to_str().unwrap();
    for name in names(&firmware) {
        tool("mcopy", &["-s", "-i", &fat, &format!("{from}/{name}"), "::"]);
    }
    let image = shop.at("pi.img");
    std::fs::write(&image, "").unwrap();
    tool("truncate", &["-s", "32M", &image]);
    let table = "label: dos\nstart=2048, size=16384, type=c\nstart=20480, size=32768, type=83\n";
    run("sfdisk", &["-q", &image], &[], table.as_bytes()).ok();
    for (part, sector) in [(&fat, "seek=1"), (&ext4, "seek=10")] {
        tool(
            "dd",
            &[&format!("if={part}"), &format!("of={image}"), "bs=1M", sector, "conv=notrunc"],
        );
    }
    image
}

#[test]
fn an_image_with_one_root_becomes_one_with_two_slots_and_what_could_harm_is_told() {
    let shop = Shop::new();
    let image = shipped(&shop);
    tool("xz", &["-0", "-k", &image]);
    let text = std::fs::read_to_string(shop.recipe("table = \"mbr\"", "")).unwrap();
    let text = text.replace("rootfs = \"root\"\n", "");
    std::fs::write(shop.path("recipe.toml"), text).unwrap();
    let (recipe, output) = (shop.at("recipe.toml"), shop.at("disk.img"));
    let convert = |image: &str| forge(&["convert", image, &recipe, "-o", &output, "--json"]);
    let said = convert(&format!("{image}.xz")).ok();
    for word in [
        "/etc/fstab line 2 mounts /boot/firmware from PARTUUID=1-01",
        "/etc/fstab line 3 mounts / from PARTUUID=1-02",
        "cmdline.txt is not used any more",
        "cmdline.txt starts init=/usr/lib/firstboot",
        "kernel8.img of the boot partition was copied to /boot/Image",
        "the root has no updater",
        "config.txt starts u-boot.bin, and the boot partition has no such file. Put `u-boot.bin`",
    ] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    let places = said.json()["disks"][0]["partitions"].clone();
    let boot = shop.part(&output, &places[0]);
    let files = tool("mdir", &["-b", "-/", "-i", &boot, "::"]);
    // The recipe's own firmware wins over the old disk's.
    for name in
        ["boot.scr", "config.txt", "kernel8.img", "overlays/x.dtbo", "overlays/a long name.dtbo"]
    {
        assert!(files.to_lowercase().contains(name), "{name}: {files}");
    }
    let config = tool("mtype", &["-i", &boot, "::config.txt"]);
    assert_eq!(config, "kernel=u-boot.bin\n");
    let root = shop.part(&output, &places[1]);
    tool("e2fsck", &["-fn", &root]);
    let stat = |path: &str| tool("debugfs", &["-R", &format!("stat {path}"), &root]);
    assert!(stat("/etc/fstab").contains("User: 70000"), "{}", stat("/etc/fstab"));
    assert!(stat("/tmp").contains("Mode:  01777") && stat("/tmp/sda").contains("08:300"));
    assert!(stat("/usr/bin/again").contains("Links: 2"));
    let words = ["boot", &output, "--json"];
    let done = run(env!("CARGO_BIN_EXE_surefoot-sim"), &words, &[], b"").ok();
    assert_eq!(done.json()["slot"], "a");
    std::fs::write(shop.path("firmware/u-boot.bin"), "x").unwrap();
    assert!(!convert(&image).ok().err.contains("u-boot.bin"));
    // What is no such disk.
    std::fs::remove_file(&output).unwrap();
    for (bad, word) in [
        (shop.at("env"), "env is text"),
        (shop.at("pi.ext4"), "pi.ext4"),
        (shop.at("none"), "none"),
    ] {
        let said = convert(&bad);
        assert!(said.code == 65 && said.err.contains(word), "{}", said.err);
        assert!(!shop.path("disk.img").exists());
    }
}

//! The recipes of docs/boards: each makes a disk, with stand-ins for the files that come from a vendor.

use super::shop::{Shop, tool};
use crate::common::forge;
use std::path::Path;

/// What the environments of these boards have, by U-Boot 2025.01: `board/raspberrypi/rpi/rpi.env`,
/// `include/configs/imx8mp_evk.h`.
const ENVIRONMENTS: [(&str, &str); 2] = [
    (
        "raspberrypi",
        "kernel_addr_r=0x00080000\nramdisk_addr_r=0x02700000\nfdt_addr_r=0x02600000\nscriptaddr=0x02400000\n",
    ),
    ("imx8", "kernel_addr_r=0x40400000\nscriptaddr=0x40400000\nfdt_addr_r=0x43000000\n"),
];

#[test]
fn every_recipe_of_a_board_makes_a_disk() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/boards");
    let shop = Shop::new();
    std::fs::write(shop.path("root/boot/imx8mp-evk.dtb"), "a device tree").unwrap();
    for name in ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "u-boot.bin"] {
        std::fs::write(shop.path("firmware").join(name), name).unwrap();
    }
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|x| x != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // Beside the recipe lies what it names.
        std::fs::copy(&path, shop.path("board.toml")).unwrap();
        let board = ENVIRONMENTS.iter().find(|(begin, _)| name.starts_with(begin));
        let env = board.map_or(super::shop::BOARD, |(_, text)| text);
        std::fs::write(shop.path("u-boot-initial-env"), format!("arch=arm\ncpu=armv8\n{env}"))
            .unwrap();
        let (image, root, key) =
            (shop.at("disk.img"), shop.at("root"), shop.at("KEYS/release.key"));
        let words = ["image", &shop.at("board.toml"), "--rootfs", &root, "--version", "1.0.0"];
        let said = forge(&[&words[..], &["--key", &key, "-o", &image, "--json"]].concat());
        let said = said.ok().json();
        assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{name}: {said}");
        let places = said["disks"][0]["partitions"].as_array().unwrap();
        let names: Vec<_> = places.iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["boot", "rootfs-a", "rootfs-b", "data"], "{name}");
        tool("fsck.fat", &["-n", &shop.part(&image, &places[0])]);
        tool("e2fsck", &["-fn", &shop.part(&image, &places[3])]);
        if name != "raspberrypi4" {
            assert!(tool("sgdisk", &["-v", &image]).contains("No problems found"), "{name}");
        }
        let boot0 = shop.path("disk.boot0.img");
        assert_eq!(boot0.exists(), name == "imx8mp-emmc-boot", "{name}");
        // Those of another product would be kept.
        for file in ["disk.img", "surefoot.toml", "fw_env.config", "trust.toml"] {
            std::fs::remove_file(shop.path(file)).unwrap();
        }
        let _ = std::fs::remove_file(boot0);
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}

//! The pages of docs/boards: the commands of each are run as they stand, with each of its recipes, and with stand-ins for the files
//! that come from a vendor.

use super::shop::{BOARD, Shop, tool};
use crate::common::{forge, run};
use std::path::Path;

/// What the environments of these boards have, by U-Boot 2025.01: `board/raspberrypi/rpi/rpi.env`,
/// `include/configs/imx8mp_evk.h`.
const PI: &str = "kernel_addr_r=0x00080000\nramdisk_addr_r=0x02700000\nfdt_addr_r=0x02600000\nscriptaddr=0x02400000\n";
const IMX: &str = "kernel_addr_r=0x40400000\nscriptaddr=0x40400000\nfdt_addr_r=0x43000000\n";

/// A recipe, its page, its environment, and the name that the page gives the disk.
const RECIPES: [(&str, &str, &str, &str); 6] = [
    ("generic", "generic", BOARD, "disk"),
    ("imx8mp", "imx8", IMX, "disk"),
    ("imx8mp-emmc-boot", "imx8", IMX, "disk"),
    ("raspberrypi4", "raspberrypi4", PI, "pi"),
    ("raspberrypi4-raw", "raspberrypi4", PI, "pi"),
    ("qemu-arm64", "generic", BOARD, "disk"),
];

/// The blocks of a page with these words, without what a list moves them in by.
fn blocks(page: &str, words: &str) -> String {
    let path = format!("{}/docs/boards/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = parts.filter(|block| block.contains(words)).flat_map(str::lines);
    let lines = lines.map(str::trim_start).filter(|line| !line.is_empty());
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn the_commands_of_each_page_make_a_disk_that_may_be_flashed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/boards");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.filter_map(|name| name.into_string().ok());
    let mut recipes: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
    recipes.sort();
    let mut known: Vec<_> = RECIPES.iter().map(|recipe| recipe.0).collect();
    known.sort_unstable();
    assert_eq!(recipes, known);
    let programs = Path::new(env!("CARGO_BIN_EXE_surefoot")).parent().unwrap().display();
    let path = format!("{programs}:{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    for (name, page, env, disk) in RECIPES {
        let shop = Shop::new();
        std::fs::remove_dir_all(shop.path("KEYS")).unwrap();
        std::fs::write(shop.path("root/boot/imx8mp-evk.dtb"), "a device tree").unwrap();
        for name in ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "u-boot.bin"] {
            std::fs::write(shop.path("firmware").join(name), name).unwrap();
        }
        std::fs::write(shop.path("u-boot-initial-env"), format!("arch=arm\ncpu=armv8\n{env}"))
            .unwrap();
        std::os::unix::fs::symlink(env!("CARGO_MANIFEST_DIR"), shop.path("SUREFOOT")).unwrap();
        tool("tar", &["-cf", &shop.at("root.tar"), "-C", &shop.at("root"), "."]);
        let flash = format!("surefoot-forge flash {disk}.img /dev/sdX\n");
        let commands = blocks(page, "cp SUREFOOT/");
        assert!(commands.ends_with(&flash), "{page}: {commands}");
        // A page has its first recipe in its command, and names the others beside it.
        let mut commands = commands.replace(&flash, "");
        let first =
            commands.split("boards/").nth(1).unwrap().split(".toml").next().unwrap().to_owned();
        commands =
            commands.replace(&format!("boards/{first}.toml"), &format!("boards/{name}.toml"));
        // One copy of the environment is a risk that the root must take.
        if name == "raspberrypi4" {
            commands = blocks(page, "accept_single_copy") + &commands;
        }
        let script = format!("set -eu; cd {}\n{commands}", shop.at(""));
        let said = run("bash", &["-c", &script], &[("PATH", &path)], b"").ok();
        assert!(said.out.contains("This disk may be flashed"), "{name}: {}", said.out);
        let weak = name == "raspberrypi4";
        assert!(
            said.out.contains(if weak { "Rollback is weak" } else { "Rollback is armed" })
                || name == "imx8mp-emmc-boot",
            "{name}: {}",
            said.out
        );
        let image = shop.at(&format!("{disk}.img"));
        // The same once more, for what programs are told: nothing is warned of, and the artifact is the same.
        let (root, key) = (shop.at("root.tar"), shop.at("KEYS/release.key"));
        let words = [
            "image",
            &shop.at("board.toml"),
            "--rootfs",
            &root,
            "--version",
            "1.0.0",
            "--key",
            &key,
        ];
        let said = forge(&[&words[..], &["-o", &image, "--json"]].concat()).ok().json();
        assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{name}: {said}");
        let places = said["disks"][0]["partitions"].as_array().unwrap();
        let names: Vec<_> = places.iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["boot", "rootfs-a", "rootfs-b", "data"], "{name}");
        tool("fsck.fat", &["-n", &shop.part(&image, &places[0])]);
        tool("e2fsck", &["-fn", &shop.part(&image, &places[3])]);
        if !weak {
            assert!(tool("sgdisk", &["-v", &image]).contains("No problems found"), "{name}");
        }
        assert_eq!(shop.path("disk.boot0.img").exists(), name == "imx8mp-emmc-boot", "{name}");
        let rescue = std::fs::read_to_string(shop.path("board.toml")).unwrap();
        assert!(rescue.contains("surefoot_rescue"), "{name}: what runs where neither slot starts");
    }
}

//! A finished disk as a device: it starts, the updater knows what runs on it, and the first delta applies.

use super::KINDS;
use super::shop::{Shop, names, tool};
use crate::common::{Said, forge, run};

fn sim(words: &[&str]) -> Said {
    run(env!("CARGO_BIN_EXE_surefoot-sim"), words, &[], b"")
}

#[test]
fn every_kind_of_disk_starts_slot_a_by_the_rules_of_the_script_and_is_not_changed() {
    for (disk, boot, _) in KINDS {
        let shop = Shop::new();
        shop.image(&shop.recipe(disk, boot), "disk.img", &[]).ok();
        let before = std::fs::read(shop.path("disk.img")).unwrap();
        let said = sim(&["boot", &shop.at("disk.img"), "--json"]).ok();
        assert_eq!(
            (&said.json()["slot"], &said.json()["degraded"]),
            (&"a".into(), &false.into()),
            "{boot}"
        );
        assert!(said.err.contains("surefoot: starting slot a"), "{}", said.err);
        assert!(std::fs::read(shop.path("disk.img")).unwrap() == before, "{boot}");
    }
    // In the boot partitions of an eMMC, which are files beside the disk: both copies in one, or one in each.
    for (boot, parts) in [
        ("environment = { hwpart = 2, at = [\"0\", \"64K\"] }", &["disk.boot1.img"][..]),
        (
            "environment = { hwpart = 1, at = [\"1M\", \"1M\"] }",
            &["disk.boot0.img", "disk.boot1.img"],
        ),
    ] {
        let shop = Shop::new();
        shop.image(&shop.recipe("device = \"/dev/mmcblk2\"", boot), "disk.img", &[]).ok();
        assert_eq!(
            sim(&["boot", &shop.at("disk.img"), "--json"]).ok().json()["slot"],
            "a",
            "{boot}"
        );
        let mut config = std::fs::read_to_string(shop.path("fw_env.config")).unwrap();
        for part in parts {
            let device = format!("/dev/mmcblk2{}", &part[5..10]);
            assert!(config.contains(&device), "{config}");
            config = config.replace(&device, &shop.at(part));
        }
        std::fs::write(shop.path("fw"), config).unwrap();
        let env = tool("fw_printenv", &["-c", &shop.at("fw"), "surefoot_slot"]);
        assert!(env.contains("surefoot_slot=a"), "{env}");
    }
    // Nothing that starts: it says so, and where it stopped.
    let shop = Shop::new();
    shop.image(&shop.recipe("", ""), "disk.img", &[]).ok();
    let mut bytes = std::fs::read(shop.path("disk.img")).unwrap();
    bytes[24 << 20..25 << 20].fill(0);
    std::fs::write(shop.path("disk.img"), bytes).unwrap();
    assert_ne!(sim(&["boot", &shop.at("disk.img")]).code, 0);
}

#[test]
fn a_device_of_the_disk_believes_whom_the_disk_says_and_takes_its_first_delta() {
    for (disk, boot) in [("size = \"128M\"", ""), ("table = \"mbr\"", "counter = \"uboot\"")] {
        let shop = Shop::new();
        std::fs::create_dir_all(shop.path("root/etc/surefoot")).unwrap();
        let text = "[[health.check]]\nname = \"lamp\"\ncommand = [\"/usr/bin/lamp\"]\n";
        std::fs::write(shop.path("root/etc/surefoot/50-product.toml"), text).unwrap();
        let first = shop.at("1.surefoot");
        let recipe = shop.recipe(disk, boot);
        shop.image(&recipe, "disk.img", &["--artifact-out", &first]).ok();
        let dev = shop.at("dev");
        let said = sim(&["new", &dev, "--image", &shop.at("disk.img")]).ok();
        assert!(
            said.out.contains("for its system does not run here: the health check `lamp`."),
            "{}",
            said.out
        );
        let own = std::fs::read(shop.path("trust.toml")).unwrap();
        assert_eq!(std::fs::read(shop.path("dev/trust.toml")).unwrap(), own);
        assert!(!names(&shop.path("dev")).contains(&"keys".to_owned()));
        let config = shop.at("dev/surefoot.toml");
        let surefoot = |words: &[&str]| {
            let words = [&["--config", config.as_str()], words].concat();
            run(env!("CARGO_BIN_EXE_surefoot"), &words, &[], b"")
        };
        let slots = |slot: &str| {
            surefoot(&["status", "--json"]).ok().json()["slots"][slot]["version"].clone()
        };
        assert_eq!(slots("a"), "1.0.0");
        surefoot(&["verify"]).ok();
        // The next release: one file is new.
        std::fs::write(shop.path("root/etc/motd"), "hello\n").unwrap();
        let (second, delta) = (shop.at("2.surefoot"), shop.at("delta.surefoot"));
        let words = ["--version", "2.0.0", "--artifact-out", &second];
        shop.image(&recipe, "next.img", &words).ok();
        let key = shop.at("KEYS/release.key");
        forge(&["delta", "--from", &first, "--to", &second, "--key", &key, "-o", &delta]).ok();
        let said = surefoot(&["install", &delta, "--json"]).ok();
        assert!(said.out.contains("\"via\": \"delta\""), "{}", said.out);
        sim(&["reboot", &dev]).ok();
        surefoot(&["commit", "--force", "--reason", "it starts"]).ok();
        assert_eq!((slots("a"), slots("b")), ("1.0.0".into(), "2.0.0".into()), "{disk}");
        surefoot(&["verify"]).ok();
    }
}

#[test]
fn what_the_root_lacks_comes_from_the_files_beside_the_disk_and_nothing_is_invented() {
    let shop = Shop::new();
    let root = shop.at("root");
    tool("mke2fs", &["-q", "-t", "ext4", "-d", &root, &shop.at("bare.ext4"), "12M"]);
    let recipe = shop.recipe("", "");
    shop.image(&recipe, "first.img", &[]).ok();
    for name in ["surefoot.toml", "fw_env.config", "trust.toml"] {
        std::fs::copy(shop.path(name), shop.path(&format!("{name}.kept"))).unwrap();
    }
    shop.image(&recipe, "disk.img", &["--rootfs", &shop.at("bare.ext4")]).ok();
    // The root has none of the three: only what lies beside the disk is left.
    for name in ["surefoot.toml", "fw_env.config", "trust.toml"] {
        let _ = std::fs::remove_file(shop.path(name));
    }
    let said = sim(&["new", &shop.at("dev"), "--image", &shop.at("disk.img")]);
    assert_eq!(said.code, 78, "{}", said.err);
    assert!(!shop.path("dev").exists());
    std::fs::copy(shop.path("surefoot.toml.kept"), shop.path("surefoot.toml")).unwrap();
    let said = sim(&["new", &shop.at("dev"), "--image", &shop.at("disk.img")]);
    assert!(said.err.contains("[TRUST_MISSING]") && !shop.path("dev").exists(), "{}", said.err);
    std::fs::copy(shop.path("trust.toml.kept"), shop.path("trust.toml")).unwrap();
    sim(&["new", &shop.at("dev"), "--image", &shop.at("disk.img")]).ok();
}

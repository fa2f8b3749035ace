//! `surefoot-forge image`: the disk is what other programs take it for, the same recipe gives the same bytes, and a
//! mistake ends before anything is written.

mod boards;
mod convert;
mod device;
mod mistakes;
mod roots;
mod same;
mod shop;

use shop::{Shop, tool};

/// A recipe's `[disk]` and `[boot]`, and whether the environment lies raw on the disk.
const KINDS: [(&str, &str, bool); 4] = [
    ("size = \"128M\"", "raw = [{ file = \"imx-boot\", at = \"32K\" }]", true),
    ("table = \"mbr\"", "environment = { at = [\"1M\", \"2M\"], size = \"32K\" }", true),
    ("size = [\"128M\"]", "environment = { files = [\"uboot.env\", \"uboot-redund.env\"] }", false),
    ("", "counter = \"uboot\"\nenvironment = { files = [\"uboot.env\"] }", false),
];

#[test]
fn other_programs_are_content_with_every_kind_of_disk() {
    for (disk, boot, raw) in KINDS {
        let shop = Shop::new();
        let said = shop.image(&shop.recipe(disk, boot), "disk.img", &["--json"]).ok().json();
        assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{said}");
        let (one, image) = (&said["disks"][0], shop.at("disk.img"));
        if disk.contains("mbr") {
            let dump = tool("sfdisk", &["--dump", &image]);
            assert!(dump.contains("label: dos") && dump.matches("type=83").count() == 3, "{dump}");
        } else {
            assert!(tool("sgdisk", &["-v", &image]).contains("No problems found"));
            let names = tool("sgdisk", &["-p", &image]);
            assert!(
                ["boot", "rootfs-a", "rootfs-b", "data"].iter().all(|n| names.contains(n)),
                "{names}"
            );
        }
        let places = one["partitions"].as_array().unwrap();
        tool("fsck.fat", &["-n", &shop.part(&image, &places[0])]);
        let root = shop.part(&image, &places[1]);
        tool("e2fsck", &["-fn", &root]);
        tool("e2fsck", &["-fn", &shop.part(&image, &places[3])]);
        let own = std::fs::read_to_string(shop.path("fw_env.config")).unwrap();
        // As the device would have it: the disk, or the files of the boot partition.
        let mut config = own.replace("/dev/surefoot/disk", &image);
        for name in ["uboot.env", "uboot-redund.env"].iter().filter(|_| !raw) {
            if own.contains(name) {
                tool(
                    "mcopy",
                    &["-o", "-i", &shop.at("boot"), &format!("::{name}"), &shop.at(name)],
                );
            }
            config = config.replace(&format!("/boot/{name}"), &shop.at(name));
        }
        std::fs::write(shop.path("fw"), config).unwrap();
        let env = tool("fw_printenv", &["-c", &shop.at("fw")]);
        for line in [
            "kernel_addr_r=0x40400000",
            "board=acme",
            "bootcmd=run surefoot_boot",
            "surefoot_slot=a",
        ] {
            assert!(env.lines().any(|l| l == line), "{line}: {env}");
        }
        assert_eq!(env.contains("surefoot_part_a=2"), disk.contains("mbr"), "{env}");
        onto_a_used_card(&shop, &image, one["size"].as_u64().unwrap(), places);
    }
}

/// What bmaptool leaves of an earlier disk is nothing that counts.
fn onto_a_used_card(shop: &Shop, image: &str, size: u64, places: &[serde_json::Value]) {
    let card = shop.at("card");
    std::fs::write(&card, vec![0xa5; usize::try_from(size).unwrap()]).unwrap();
    tool("bmaptool", &["-q", "copy", image, &card]);
    let [disk, card_bytes] = [image, &card].map(|path| std::fs::read(path).unwrap());
    let part = |bytes: &[u8], n: usize, skip: u64| {
        let start = usize::try_from(places[n]["start"].as_u64().unwrap() + skip).unwrap();
        bytes[start..start + (1 << 20)].to_vec()
    };
    let last = places[2]["len"].as_u64().unwrap() - (1 << 20);
    for (n, skip) in [(0, 0), (1, 0), (1, 1 << 20), (1, last), (2, 0), (2, last)] {
        assert!(part(&disk, n, skip) == part(&card_bytes, n, skip), "partition {n} at {skip}");
    }
    tool("e2fsck", &["-fn", &shop.part(&card, &places[3])]);
}

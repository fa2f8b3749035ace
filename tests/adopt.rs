//! Promise: docs/from-mender.md and docs/from-rauc.md: `uboot-scripts/adopt` sees on each device which slot runs, moves the environment
//! in two writes, and writes nothing where it could strand the device. tests/vm/boot-script.py starts such a device.

use crate::common::{Said, run, scratch};
use crate::media::tool;
use std::path::PathBuf;

const THEIRS: &str = "bootcmd=run mender_setup; run distro_bootcmd\nmender_boot_part=2\nupgrade_available=0\n\
                      kernel_addr_r=0x40400000\nramdisk_addr_r=0x44000000\nscriptaddr=0x40200000\n";

struct Field {
    dir: tempfile::TempDir,
}

impl Field {
    /// A device whose environment has copies of `size` bytes, and the texts that the lines of a page make.
    fn new(lines: &str, size: u32) -> Field {
        let field = Field { dir: scratch() };
        for folder in ["etc", "proc/self", "sys/dev/block", "usr/share/surefoot", "boot"] {
            std::fs::create_dir_all(field.at(folder)).unwrap();
        }
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/uboot-scripts");
        std::os::unix::fs::symlink(scripts, field.at("uboot-scripts")).unwrap();
        let made = format!("set -eu; cd {}; {lines}", field.at("").display());
        run("bash", &["-c", &made], &[], b"").ok();
        for name in ["script.txt", "adopt.txt"] {
            std::fs::rename(field.at(name), field.at("usr/share/surefoot").join(name)).unwrap();
        }
        let disk = field.at("disk").display().to_string();
        let config = format!("{disk} 0x0 {size:#x}\n{disk} {size:#x} {size:#x}\n");
        std::fs::write(field.at("etc/fw_env.config"), config).unwrap();
        field.environment(THEIRS, size);
        field.mounted(2, "primary");
        field
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn environment(&self, text: &str, size: u32) {
        std::fs::write(self.at("env.txt"), text).unwrap();
        let [disk, text] = ["disk", "env.txt"].map(|name| self.at(name).display().to_string());
        tool("mkenvimage", &["-r", "-s", &size.to_string(), "-o", &disk, &text]);
        let copy = std::fs::read(self.at("disk")).unwrap();
        std::fs::write(self.at("disk"), [&copy[..], &copy].concat()).unwrap();
    }

    /// `/` of the device is this partition, below what an initramfs had there.
    fn mounted(&self, number: u32, name: &str) {
        let mounts = format!(
            "1 1 0:2 / / rw - rootfs rootfs rw\n22 1 179:{number} / / ro - ext4 /dev/root ro\n30 22 0:5 / /dev rw - devtmpfs d rw\n"
        );
        std::fs::write(self.at("proc/self/mountinfo"), mounts).unwrap();
        let folder = self.at(&format!("sys/dev/block/179:{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("partition"), format!("{number}\n")).unwrap();
        std::fs::write(folder.join("uevent"), format!("DEVTYPE=partition\nPARTNAME={name}\n"))
            .unwrap();
    }

    fn adopt(&self) -> Said {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/uboot-scripts/adopt");
        let top = self.at("").display().to_string();
        let folder = self.at("usr/share/surefoot").display().to_string();
        run(program, &[&folder], &[("SUREFOOT_ADOPT_ROOT", &top)], b"")
    }

    fn get(&self, name: &str) -> String {
        let config = self.at("etc/fw_env.config").display().to_string();
        let said = run("fw_printenv", &["-c", &config, "-n", name], &[], b"");
        said.out.trim_end().to_owned()
    }

    /// Refuses, and writes nothing.
    fn refuses(&self, status: i32, told: &str) {
        let before = std::fs::read(self.at("disk")).unwrap();
        let said = self.adopt();
        assert_eq!(said.code, status, "{told}: {}{}", said.out, said.err);
        assert!(said.err.contains(told), "{told}: {}", said.err);
        assert!(std::fs::read(self.at("disk")).unwrap() == before, "{told}");
    }
}

/// The blocks of a page that make the texts.
fn blocks(page: &str) -> Vec<String> {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    parts.filter(|block| block.contains("make adopt.txt")).map(str::to_owned).collect()
}

#[test]
fn each_device_is_given_the_slot_that_it_runs_from_by_the_lines_of_the_pages() {
    let pages = [blocks("from-mender.md"), blocks("from-rauc.md")];
    assert_eq!(pages.each_ref().map(Vec::len), [2, 1]);
    for (lines, size) in pages.iter().flatten().zip([0x2000, 0x1000, 0x2000]) {
        for (number, slot) in [(2, "a"), (3, "b")] {
            let field = Field::new(lines, size);
            field.mounted(number, "primary");
            // A cut after the first write: the old updater's command still starts the device.
            let stored =
                std::fs::read_to_string(field.at("usr/share/surefoot/script.txt")).unwrap();
            let config = field.at("etc/fw_env.config").display().to_string();
            tool("fw_setenv", &["-c", &config, "surefoot_boot", &stored]);
            assert!(field.get("bootcmd").starts_with("run mender_setup"));
            field.adopt().ok();
            let [bootcmd, slots] = [["bootcmd", "altbootcmd"], ["surefoot_slot", "surefoot_good"]]
                .map(|names| names.map(|name| field.get(name)));
            assert_eq!(
                (bootcmd[0].as_str(), slots),
                ("run surefoot_boot", [slot, slot].map(str::to_owned))
            );
            assert!(bootcmd[1].contains("given up"), "{bootcmd:?}");
            assert_eq!(field.get("kernel_addr_r"), "0x40400000");
            assert_eq!(field.get("surefoot_args"), "console=ttyS0,115200");
            assert_eq!(field.get("surefoot_boot"), stored.trim_end());
            // Again, from the other slot and within a trial: nothing is changed.
            tool("fw_setenv", &["-c", &config, "upgrade_available", "1"]);
            field.mounted(5 - number, "primary");
            let before = std::fs::read(field.at("disk")).unwrap();
            field.adopt().ok();
            assert!(std::fs::read(field.at("disk")).unwrap() == before);
        }
    }
}

#[test]
fn the_names_of_partitions_do_where_there_are_no_numbers() {
    let lines =
        "uboot-scripts/make script -o script.txt; uboot-scripts/make adopt.txt -o adopt.txt";
    let field = Field::new(lines, 0x4000);
    field.refuses(78, "with the name 'primary'");
    field.mounted(7, "rootfs-b");
    field.adopt().ok();
    assert_eq!(field.get("surefoot_slot"), "b");
}

#[test]
fn nothing_is_written_where_a_device_could_be_stranded() {
    let lines = &blocks("from-mender.md")[0];
    let field = Field::new(lines, 0x4000);
    field.mounted(4, "data");
    field.refuses(78, "/ is mounted from partition 4, and adopt.txt has 2 and 3");
    // An overlay is no partition.
    std::fs::write(field.at("proc/self/mountinfo"), "22 1 0:31 / / rw - overlay overlay rw\n")
        .unwrap();
    field.refuses(78, "/ is mounted from 0:31, which is no partition");
    field.mounted(2, "primary");
    field.environment(&THEIRS.replace("available=0", "available=1"), 0x4000);
    field.refuses(75, "on trial");
    field.environment(&THEIRS.replace("kernel_addr_r", "loadaddr"), 0x4000);
    field.refuses(78, "kernel_addr_r is neither");
    field.environment(&THEIRS.replace("ramdisk_addr_r", "other"), 0x4000);
    std::fs::write(field.at("boot/initrd.img"), "x").unwrap();
    field.refuses(78, "ramdisk_addr_r is neither");
    std::fs::remove_file(field.at("boot/initrd.img")).unwrap();
    // No copy is valid where the file says: what is there are not the variables of the device.
    std::fs::write(field.at("disk"), vec![0xff; 0x8000]).unwrap();
    field.refuses(78, "does not lead to the stored environment");
    let small = Field::new(lines, 0x1000);
    small.refuses(78, "room for 4090 bytes");
    // The program itself is what the room is told by: one that just fits is stored.
    let theirs = format!("{THEIRS}filler={}\n", "x".repeat(2250));
    let full = Field::new(lines, 0x2000);
    full.environment(&theirs, 0x2000);
    full.refuses(78, "room for 8186 bytes");
    full.environment(&theirs.replace(&"x".repeat(100), "x"), 0x2000);
    full.adopt().ok();
}

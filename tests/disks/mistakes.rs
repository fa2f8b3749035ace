//! Bad input: each mistake ends with 65 before anything is written, and says where it is.

use super::shop::{BOARD, Shop, elf, names};
use crate::common::{forge, run};

/// What is changed in a good recipe, the flags, and what the message must say.
type Mistake = (&'static str, &'static str, &'static [&'static str], &'static str);

const MISTAKES: &[Mistake] = &[
    // Keys.
    ("size = \"8M\"\n", "sice = \"8M\"\n", &[], "line 14: unknown field `sice`"),
    ("[data]", "[date]", &[], "line 16: unknown field `date`"),
    // Room.
    (
        "slot-size = \"16M\"",
        "slot-size = \"2M\"",
        &[],
        "line 10: its files need a file system of 4 MiB, and there is room for 1 MiB: it lacks 3 MiB",
    ),
    ("", "", &["--size", "64M"], "--size: a disk of 64 MiB lacks 9 MiB: it needs 73 MiB"),
    (
        "",
        "",
        &["--size", "100000"],
        "--size: a disk of 100000 bytes: it must be a whole number of MiB",
    ),
    (
        "[data]\nsize = \"16M\"",
        "[data]\nsize = \"4M\"\npreload = [\"big.surefoot\"]",
        &[],
        "line 17: the preloaded files need a data partition of",
    ),
    (
        "[data]",
        "[data]\nencrypt = true",
        &["--preload", "imx-boot"],
        "--preload: a partition that the first start encrypts holds no files",
    ),
    ("size = \"8M\"", "size = \"1M\"", &["--firmware", "large"], "line 14: boot: its files need 4"),
    // What lies over what.
    (
        "size = \"8M\"",
        "size = \"8M\"\nat = \"6M\"",
        &[],
        "line 11: environment copy 1 (8 MiB to 8.1 MiB) lies over partition boot (6 MiB to 14 MiB)",
    ),
    (
        "slot-size",
        "at = [\"24M\", \"30M\"]\nslot-size",
        &[],
        "line 10: partition rootfs-b (30 MiB to 46 MiB) lies over partition rootfs-a",
    ),
    (
        "size = \"8M\"",
        "environment = { at = [\"4M\", \"17M\"] }",
        &[],
        "line 14: environment copy 1 (17 MiB to 17.1 MiB) lies over partition boot",
    ),
    (
        "size = \"8M\"",
        "raw = [{ file = \"imx-boot\", at = \"1K\" }]",
        &[],
        "line 14: imx-boot (1 KiB to 301024 bytes) lies over the partition table",
    ),
    (
        "size = \"8M\"",
        "raw = [{ file = \"imx-boot\", at = \"4000K\" }]",
        &[],
        "line 14: imx-boot (4.0 MiB to 4.2 MiB) lies over environment copy 0",
    ),
    // What is not there.
    ("firmware = \"firmware\"", "firmware = \"nothing\"", &[], "line 13: there is no"),
    ("size = \"8M\"", "raw = [{ file = \"none\", at = \"32K\" }]", &[], "line 14: there is no"),
    ("uboot-env = \"env\"\n", "", &[], "`boot.uboot-env` (or --uboot-env) is missing"),
    ("", "", &["--uboot-env", "short"], "--uboot-env: "),
    ("", "", &["--rootfs", "none"], "--rootfs: none"),
    ("", "", &["--trust", "none"], "--trust: none"),
    ("", "", &["--preload", "imx-boot"], "--preload: imx-boot"),
    // What cannot be.
    ("", "", &["--rootfs", "empty"], "--rootfs: there is no kernel in the root: /boot/Image"),
    (
        "",
        "",
        &["--rootfs", "foreign"],
        "/sbin/init of the root is for x86_64, and the board is aarch64",
    ),
    (
        "",
        "",
        &["--arch", "arm"],
        "--arch: /sbin/init of the root is for aarch64, and the board is arm",
    ),
    ("", "", &["--rootfs", "imx-boot"], "--rootfs: imx-boot is"),
    ("", "", &["--table", "bsd"], "--table: `bsd` is not one of gpt, mbr"),
    ("", "", &["--size", "8X"], "--size: `8X` is not a size"),
    ("", "", &["--variant", "test"], "--variant: `test` is not one of"),
    ("", "", &["--product", "other"], "--rootfs"),
    ("", "", &["--key", "none"], "--key: none"),
    (
        "size = \"8M\"",
        "set = { surefoot_kernel = \"/boot/zImage\" }",
        &[],
        "there is no kernel in the root: /boot/zImage",
    ),
    (
        "size = \"8M\"",
        "set = { surefoot_initrd = \"/sbin/init\", ramdisk_addr_r = \"0x40400010\" }",
        &[],
        "line 14: the kernel /boot/Image takes the memory from 0x",
    ),
    (
        "size = \"8M\"",
        "environment = { files = [\"config.txt\"] }",
        &[],
        "line 14: the boot partition has a file config.txt already",
    ),
    ("size = \"8M\"", "environment = { size = \"600\" }", &[], "line 14: "),
    (
        "size = \"8M\"",
        "environment = { at = [\"4194305\", \"8M\"] }",
        &[],
        "line 14: `at` is in whole",
    ),
    (
        "size = \"8M\"",
        "environment = { hwpart = 1, at = [\"18446744073709551104\"] }",
        &[],
        "line 14: a boot partition of an eMMC has at most",
    ),
    ("size = \"8M\"", "environment = { files = [\"../u.env\"] }", &[], "line 14: `../u.env` is no"),
    (
        "size = \"8M\"",
        "raw = [{ file = \"imx-boot\", at = \"32769\" }]",
        &[],
        "imx-boot: a piece has content, and begins at a whole sector",
    ),
    (
        "size = \"8M\"",
        "size = \"1024G\"",
        &[],
        "line 14: a boot partition of 1048576 MiB: it must be",
    ),
    ("", "", &["--size", "17592186044415M"], "--size: a disk of 17592186044415 MiB: it is at most"),
    ("size = \"8M\"", "set = { \"a b\" = \"c\" }", &[], "line 14: environment variable `a b`"),
    ("size = \"8M\"", "set = { surefoot_slot = \"b\" }", &[], "line 14: `surefoot_slot` is the"),
    ("", "", &["--firmware", "cases"], "--firmware: `A.txt` and `a.TXT` are one name on a FAT"),
    ("", "", &["--firmware", "none"], "--firmware: there is no none ["),
    ("", "", &["--preload", "none"], "--preload: none: No such file"),
    ("", "", &["--id", " "], "--id: it is empty"),
    ("", "", &["--device", "../x"], "--device: `../x` is no device"),
    ("", "", &["--device", "/dev/a\" b"], "--device: `/dev/a\" b` is no device"),
    ("", "", &["--version", "x y"], "--version: `x y` is not MAJOR.MINOR.PATCH"),
    ("", "", &["--version", "2026-11"], "say `root.release-counter` (or --release-counter)"),
    ("", "", &["--version", "x y", "--release-counter", "3"], "--version: "),
    (
        "key = \"KEYS/release.key\"\n",
        "",
        &["--release-counter", "2"],
        "--release-counter: it is of a signed release: `root.key`",
    ),
    ("", "", &["--key", "cmd:false"], "next: Run the program by itself"),
    ("", "", &["--artifact-out", "env"], "--artifact-out env would take the place of"),
    (
        "",
        "",
        &["--artifact-out", "big.surefoot"],
        "big.surefoot is acme 9.0.0, and would be lost: this is acme 1.0.0",
    ),
    ("", "", &["--artifact-out", "short"], "what is at short is no release, and would be lost"),
    // No text of a library, and an example.
    (
        "[disk]\n",
        "[disk]\nsize = 512\n",
        &[],
        "line 4: write a size in quotes with its unit, `size = \"8G\"`",
    ),
    (
        "slot-size = \"16M\"",
        "slot-size = 16",
        &[],
        "line 10: invalid type: integer `16`, expected a string: write it in quotes",
    ),
    // What U-Boot's shell would not pass on.
    (
        "size = \"8M\"",
        "set = { surefoot_args = \"a='b c'\" }",
        &[],
        "line 14: `surefoot_args` has the sign",
    ),
    (
        "size = \"8M\"",
        "set = { surefoot_args = 'a\\b' }",
        &[],
        "line 14: `surefoot_args` has the sign",
    ),
    (
        "size = \"8M\"",
        "set = { surefoot_fdt = \"/boot/a b\" }",
        &[],
        "line 14: `surefoot_fdt` has the sign ' '",
    ),
    (
        "size = \"8M\"",
        "set = { surefoot_kernel = \"/boot/Image;reset\" }",
        &[],
        "line 14: `surefoot_kernel` has the sign ';'",
    ),
    ("", "", &["--uboot-env", "quoted"], "--uboot-env: `surefoot_args` has the sign"),
    (
        "key = \"KEYS/release.key\"\n",
        "",
        &["--version", "2.0.0"],
        "--version: it is of a signed release: `root.key`",
    ),
    (
        "",
        "",
        &["--artifact", "big.surefoot", "--version", "2.0.0"],
        "--version: an artifact has its own",
    ),
    ("", "", &["--artifact-out", "none/a.surefoot"], "--artifact-out: there is no folder none"),
    ("", "", &["--artifact-out", "root"], "--artifact-out"),
];

#[test]
fn each_mistake_is_told_with_its_line_or_its_flag_and_leaves_nothing() {
    let shop = Shop::new();
    let write = |name: &str, bytes: &[u8]| {
        let path = shop.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("short", b"kernel_addr_r=1\n");
    write("quoted", format!("{BOARD}surefoot_args=it's\n").as_bytes());
    write("empty/etc/passwd", b"");
    write("large/file", &vec![7; 4 << 20]);
    write("foreign/boot/Image", b"x");
    write("foreign/sbin/init", &elf(62, 2));
    write("cases/A.txt", b"x");
    write("cases/a.TXT", b"x");
    write("named/boot/Image", b"x");
    write(
        "named/etc/surefoot/surefoot.toml",
        b"[device]\nproduct = \"acme\"\ncompatible = \"acme-v2\"\n",
    );
    write(
        "noise",
        &(0..3_000_000u32).map(|n| n.wrapping_mul(n >> 3).to_le_bytes()[1]).collect::<Vec<_>>(),
    );
    let key = shop.at("KEYS/release.key");
    let words =
        ["build", "--raw", "--rootfs", &shop.at("noise"), "--product", "acme", "--compatible", "x"];
    forge(
        &[&words[..], &["--version", "9.0.0", "--key", &key, "-o", &shop.at("big.surefoot")]]
            .concat(),
    )
    .ok();
    let mut faults = Vec::new();
    for (from, to, flags, expected) in MISTAKES {
        let recipe = shop.recipe("", "");
        let text = std::fs::read_to_string(&recipe).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&recipe, text.replacen(from, to, 1)).unwrap();
        let own = if expected == &"--rootfs" { "named" } else { "" };
        let mut flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        if !own.is_empty() {
            flags.extend(["--rootfs".to_owned(), own.to_owned()]);
        }
        let before = names(shop.dir.path());
        let output = shop.at("disk.img");
        let words = ["image", &recipe, "-o", &output].map(str::to_owned);
        let words: Vec<&str> = words.iter().chain(&flags).map(String::as_str).collect();
        let said = in_folder(&shop, &words);
        let expected = if own.is_empty() {
            expected
        } else {
            &"--product: the product is `other` here, and `acme` in the root's"
        };
        let jargon = ["untagged", "--raw"].iter().any(|word| said.1.contains(word));
        if said.0 != 65 || jargon || !said.1.contains(expected) || names(shop.dir.path()) != before
        {
            faults.push(format!("{to} {flags:?}: {} {}", said.0, said.1));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Paths that were typed count from the folder of the caller.
fn in_folder(shop: &Shop, words: &[&str]) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_surefoot-forge");
    let done = std::process::Command::new(program)
        .args(words)
        .current_dir(shop.dir.path())
        .output()
        .unwrap();
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_target_that_cannot_be_written_is_refused_before_anything_is_read() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    std::fs::create_dir(shop.path("folder")).unwrap();
    for output in ["/dev/null", "none/disk.img", "folder", "-"] {
        let target = if output.starts_with('/') || output == "-" {
            output.to_owned()
        } else {
            shop.at(output)
        };
        let said = forge(&["image", &recipe, "-o", &target]);
        assert_eq!(said.code, 65, "{output}: {}", said.err);
        assert!(said.err.contains(&format!("-o {target}: it cannot be written")), "{}", said.err);
    }
}

#[test]
fn an_unsigned_root_is_a_warning_and_no_more() {
    let shop = Shop::new();
    let text = std::fs::read_to_string(shop.recipe("", "")).unwrap();
    std::fs::write(shop.path("recipe.toml"), text.replace("key = \"KEYS/release.key\"\n", ""))
        .unwrap();
    let said = shop.image(&shop.at("recipe.toml"), "disk.img", &["--json"]).ok();
    let warning = "factory release unsigned: version unknown, no delta";
    assert_eq!(said.json()["warnings"][0], warning);
    assert!(
        said.json()["slot_a"]["release"].is_null() && said.err.contains(warning),
        "{}",
        said.err
    );
}

#[test]
fn no_output_takes_the_place_of_an_input_or_of_another_output() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    let key = std::fs::read(shop.path("KEYS/release.key")).unwrap();
    for (output, words, told) in [
        ("d.img", vec!["--artifact-out", "KEYS/release.key"], "would take the place of"),
        ("env", vec![], "would take the place of"),
        ("recipe.toml", vec![], "would take the place of"),
        ("out.img", vec!["--artifact-out", "out.img"], "is -o"),
        ("trust.toml", vec![], "is -o"),
        ("root/d.img", vec![], "lies in"),
        ("firmware/d.img", vec![], "lies in"),
    ] {
        let words: Vec<String> = words
            .iter()
            .map(|w| if w.starts_with('-') { (*w).to_owned() } else { shop.at(w) })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = shop.image(&recipe, output, &words);
        assert_eq!(said.code, 65, "{output} {words:?}: {}", said.err);
        assert!(said.err.contains(told), "{output}: {}", said.err);
    }
    assert_eq!(std::fs::read(shop.path("KEYS/release.key")).unwrap(), key);
    assert!(!shop.path("out.img").exists() && !shop.path("root/d.img").exists());
}

#[test]
fn an_artifact_gets_its_name_with_the_disk_or_not_at_all() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    forge(&["keygen", "--out", &shop.at("OTHER")]).ok();
    let (artifact, key) = (shop.at("a.surefoot"), shop.at("OTHER/release.key"));
    for words in [vec!["--key", &key], vec!["--preload", "nowhere"]] {
        let said =
            shop.image(&recipe, "d.img", &[&words[..], &["--artifact-out", &artifact]].concat());
        assert_eq!(said.code, 65, "{}", said.err);
        assert!(!shop.path("a.surefoot").exists() && !shop.path("d.img").exists(), "{words:?}");
    }
    shop.image(&recipe, "d.img", &["--artifact-out", &artifact]).ok();
    forge(&["verify", &artifact, "--trust", &shop.at("KEYS/trust.toml")]).ok();
}

#[test]
fn a_version_of_any_form_takes_a_counter_and_its_release_is_replaced_by_no_other() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    let artifact = shop.at("a.surefoot");
    let words = |version: &'static str, counter: &'static str| {
        ["--version", version, "--release-counter", counter, "--artifact-out", &artifact, "--json"]
            .map(str::to_owned)
    };
    let image = |version, counter| {
        let words = words(version, counter);
        shop.image(&recipe, "d.img", &words.each_ref().map(String::as_str))
    };
    let said = image("2026-11", "7").ok().json();
    assert_eq!(said["slot_a"]["release"]["release_counter"], 7, "{said}");
    let first = std::fs::read(&artifact).unwrap();
    // The same again; the next one, which is refused; and the same version with other files, which is told.
    assert!(!image("2026-11", "7").ok().err.contains("a.surefoot"));
    let said = image("2026-12", "8");
    assert_eq!(said.code, 65, "{}", said.err);
    assert!(
        said.err.contains("a.surefoot is acme 2026-11, and would be lost: this is acme 2026-12"),
        "{}",
        said.err
    );
    assert!(std::fs::read(&artifact).unwrap() == first);
    std::fs::write(shop.path("root/etc/motd"), "hello").unwrap();
    assert!(
        image("2026-11", "7").ok().err.contains("a.surefoot had other content of the same version")
    );
    // The recipe has the same word, and `build` knows it too.
    let text = std::fs::read_to_string(&recipe).unwrap();
    let text = text.replace("version = \"1.0.0\"", "version = \"2026-12\"\nrelease-counter = 8");
    std::fs::write(&recipe, text).unwrap();
    let said = shop.image(&recipe, "d.img", &["--json"]).ok().json();
    assert_eq!(said["slot_a"]["release"]["release_counter"], 8, "{said}");
    assert!(forge(&["build", "--help"]).ok().out.contains("release-counter"));
}

/// What to do next fits what was given, and the place where it is given.
#[test]
fn the_next_step_is_one_for_this_computer() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    let text = std::fs::read_to_string(&recipe).unwrap().replace("rootfs = \"root\"\n", "");
    std::fs::write(shop.path("convert.toml"), text).unwrap();
    run("tar", &["-cf", &shop.at("root.tar"), "-C", &shop.at("root"), "."], &[], b"").ok();
    std::fs::write(shop.path("zeros"), vec![0; 1 << 20]).unwrap();
    let build = ["--product", "a", "--compatible", "b", "--version", "1.0.0", "-o", "x.surefoot"];
    let mut tried = 0;
    let mut told = |words: &[&str], next: &str| {
        let (code, said) = in_folder(&shop, words);
        assert!(code != 0 && said.contains(next), "{words:?}: {said}");
        assert!(!said.contains("[device]") && !said.contains("--raw"), "{words:?}: {said}");
        tried += 1;
    };
    for file in ["env", "root.tar", "zeros", "root/boot/Image"] {
        told(
            &["convert", file, "convert.toml", "-o", "e.img"],
            "next: Give the image of a whole disk",
        );
    }
    told(&["convert", "none", "convert.toml", "-o", "e.img"], "next: Check the path.");
    told(&["image", "none.toml", "-o", "e.img"], "next: Check the path.");
    for file in ["env", "root.tar"] {
        told(
            &[&["build", "--rootfs", file], &build[..]].concat(),
            "next: Give the image of a filesystem",
        );
    }
    for file in ["none", "root"] {
        told(
            &["configure", file, "--hostname", "x"],
            "next: Give the image of a disk, or the device",
        );
    }
    told(&["configure", "zeros", "--hostname", "x"], "[FOREIGN_DISK]");
    told(&["flash", "zeros", "none"], "next: Give the device of a card");
    told(&["flash", "zeros", "/dev/null"], "next: Give the device of a card");
    let doctor =
        |path: &str| run(env!("CARGO_BIN_EXE_surefoot"), &["doctor", "--image", path], &[], b"");
    for file in ["zeros", "root"] {
        let said = doctor(&shop.at(file));
        let said = said.out + &said.err;
        assert!(
            said.contains("Give the image of a whole disk") && !said.contains("sgdisk"),
            "{said}"
        );
    }
    assert_eq!(tried, 13);
}

#[test]
fn no_name_in_a_root_is_a_command_and_odd_places_are_refused() {
    let shop = Shop::new();
    let seen = shop.at("seen");
    std::os::unix::fs::symlink(format!("x\"\n!touch {seen}\nsymlink y \"z"), shop.path("root/lnk"))
        .unwrap();
    let said = shop.image(&shop.recipe("", ""), "d.img", &[]);
    assert_eq!(said.code, 65, "{}", said.err);
    assert!(said.err.contains("--rootfs") || said.err.contains("line"), "{}", said.err);
    assert!(!shop.path("seen").exists() && !shop.path("d.img").exists());
    std::fs::remove_file(shop.path("root/lnk")).unwrap();
    for boot in ["at = \"17592186044415M\"", "at = \"16777217\""] {
        let said = shop.image(&shop.recipe("", boot), "d.img", &[]);
        assert_eq!(said.code, 65, "{boot}: {}", said.err);
        assert!(said.err.contains("a partition at"), "{boot}: {}", said.err);
    }
}

#[test]
fn what_belongs_to_another_disk_stays_and_what_a_dead_process_left_goes() {
    let shop = Shop::new();
    let recipe = shop.recipe("", "");
    std::fs::create_dir(shop.path(".d.img.4294967.0.scratch")).unwrap();
    std::fs::create_dir(shop.path(".d.img.copy.scratch")).unwrap();
    shop.image(&recipe, "d.img", &[]).ok();
    assert!(!shop.path(".d.img.4294967.0.scratch").exists(), "no process holds it");
    assert!(shop.path(".d.img.copy.scratch").exists(), "it is none of ours");
    let own = std::fs::read(shop.path("surefoot.toml")).unwrap();
    for (output, words) in [("e.img", ["--product", "other"]), ("letter", ["--id", "x"])] {
        std::fs::write(shop.path("letter"), "dear reader").unwrap();
        let said = shop.image(&recipe, output, &words);
        assert_eq!(said.code, 65, "{output}: {}", said.err);
        assert!(said.err.contains("another product's disk") || said.err.contains("is no disk"));
    }
    assert_eq!(std::fs::read(shop.path("surefoot.toml")).unwrap(), own);
    assert_eq!(std::fs::read(shop.path("letter")).unwrap(), b"dear reader");
    // Another disk of the same product: it is told.
    let said = shop.image(&recipe, "f.img", &["--device", "/dev/mmcblk1"]).ok();
    assert!(said.err.contains("surefoot.toml had other content"), "{}", said.err);
}

/// What of an archive is not kept is told, and what no file system holds is refused with the path.
#[test]
fn strange_archives_are_told_or_refused() {
    let shop = Shop::new();
    let script = "import sys, tarfile, io\n\
        def mk(name, n, kind=tarfile.REGTYPE, pax={}):\n    \
            out = tarfile.open(sys.argv[1] + name, 'w', format=tarfile.PAX_FORMAT)\n    \
            for f in ('boot/Image', 'usr/bin/surefoot', n):\n        \
                i = tarfile.TarInfo(f); i.size = kind == tarfile.REGTYPE; i.mtime = 1\n        \
                if f == n: i.type, i.linkname, i.pax_headers = kind, 'x', pax\n        \
                out.addfile(i, io.BytesIO(b'x'))\n    \
            out.close()\n\
        mk('root.tar', './', tarfile.SYMTYPE)\n\
        mk('found.tar', 'lost+found')\n\
        mk('text.tar', 'f', pax={'SCHILY.xattr.system.posix_acl_access': 'zz'})\n\
        mk('etc.tar', 'etc/surefoot', tarfile.SYMTYPE)\n\
        mk('lost.tar', 'f', pax={'RHT.security.selinux': 'a', 'SCHILY.acl.access': 'b', 'SCHILY.xattr.bogus': 'c'})\n";
    run("python3", &["-c", script, &shop.at("")], &[], b"").ok();
    let recipe = shop.recipe("", "");
    for (name, told) in [
        ("root.tar", "the path `/` must be a folder"),
        ("found.tar", "the path `lost+found` must be a folder"),
        ("text.tar", "ea_set"),
        ("etc.tar", "/etc/surefoot/surefoot.toml cannot be put there"),
    ] {
        let said = shop.image(&recipe, "d.img", &["--rootfs", &shop.at(name)]);
        assert_eq!(said.code, 65, "{name}: {}", said.err);
        assert!(said.err.contains("--rootfs: ") && said.err.contains(told), "{}", said.err);
        assert!(!said.err.contains("--raw"), "{}", said.err);
    }
    let said = shop.image(&recipe, "d.img", &["--rootfs", &shop.at("lost.tar")]).ok();
    for told in ["1 labels of SELinux", "1 access control lists", "1 extended attributes"] {
        assert!(said.err.contains(told), "{told}: {}", said.err);
    }
}

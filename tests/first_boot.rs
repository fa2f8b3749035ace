//! `surefoot first-boot` and `surefoot factory-reset` on a device that is played: what they do, what they leave alone, and every
//! power cut.

use crate::common::{Bench, Said, forge, read, run};
use std::path::Path;
use surefoot::disk::{open_image, read_table};
use surefoot::sys::power::CUT_VARIABLE;

const MIB: u64 = 1 << 20;
const SECRET: &str = "horse battery staple";
const PROXY: &str = "http://me:s3cret@proxy.example:3128";

/// A device whose state lies in a data folder of its own, on a disk that is larger than its image.
fn device(more: u64) -> Bench {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(read(&config)).unwrap();
    let other = text.replace("state = \"state\"", "state = \"data/surefoot\"");
    assert_ne!(text, other);
    std::fs::write(config, other).unwrap();
    for folder in ["data", "root/usr/sbin", "root/etc/app"] {
        std::fs::create_dir_all(bench.path(&format!("DEV/{folder}"))).unwrap();
    }
    std::fs::write(bench.path("DEV/root/usr/sbin/wpa_supplicant"), "").unwrap();
    std::fs::write(bench.path("DEV/root/serial-number"), "SN-0042\n").unwrap();
    let disk = std::fs::OpenOptions::new().write(true).open(bench.path("DEV/disk.img")).unwrap();
    disk.set_len(disk.metadata().unwrap().len() + more).unwrap();
    bench
}

fn configure(bench: &Bench) {
    let disk = bench.path("DEV/disk.img");
    std::fs::write(bench.path("password"), SECRET).unwrap();
    let words = [
        "configure",
        &disk,
        "--hostname",
        "gate-7",
        "--proxy",
        PROXY,
        "--wifi",
        "Halle",
        "--wifi-password",
        &bench.path("password"),
    ];
    forge(&words).ok();
}

/// Offset and length of a partition.
fn partition(bench: &Bench, name: &str) -> (u64, u64) {
    let disk = open_image(bench.path("DEV/disk.img").as_ref()).unwrap();
    let table = read_table(disk.as_ref()).unwrap();
    let found = table.by_name(name).unwrap();
    (found.start, found.len)
}

/// Everything of the disk that must stay: the environment, both slots, and what the partitions are called.
fn kept(bench: &Bench) -> (Vec<Vec<u8>>, Vec<String>) {
    let disk = open_image(bench.path("DEV/disk.img").as_ref()).unwrap();
    let table = read_table(disk.as_ref()).unwrap();
    let named = table
        .partitions
        .iter()
        .map(|p| format!("{} {} {} {}", p.number, p.name, p.start, p.uuid))
        .collect();
    let [first, second] = bench.environment();
    (vec![first, second, bench.slot_bytes("a"), bench.slot_bytes("b")], named)
}

fn step(said: &Said, name: &str) -> (String, String) {
    let told = said.json();
    let steps = told["steps"].as_array().unwrap().clone();
    let step = steps.into_iter().find(|s| s["step"] == name).unwrap();
    (step["became"].as_str().unwrap().to_owned(), step["text"].as_str().unwrap().to_owned())
}

fn first_boot(bench: &Bench, cut: Option<&str>) -> Said {
    let cut: Vec<_> = cut.map(|cut| (CUT_VARIABLE, cut)).into_iter().collect();
    bench.surefoot_with(&["first-boot", "--early", "--json"], &cut, b"")
}

fn holds(bench: &Bench, part: &str) -> bool {
    // The few files of a boot partition lie at its beginning; what was written is found there, or the first test fails.
    let bytes = bench.disk_bytes(partition(bench, "boot").0, 1 << 20);
    let first = part.as_bytes()[0];
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    places.any(|(at, _)| bytes[at..].starts_with(part.as_bytes()))
}

#[test]
fn a_first_boot_grows_takes_and_keeps_and_the_second_only_shows() {
    let bench = device(64 * MIB);
    configure(&bench);
    let (before, (start, old)) = (kept(&bench), partition(&bench, "data"));
    assert!(holds(&bench, SECRET) && holds(&bench, "s3cret"));
    let said = first_boot(&bench, None).ok();
    for name in ["grow", "provision", "identity", "machine-id", "preload"] {
        assert_eq!(step(&said, name).0, "done", "{name}: {}", said.out);
    }
    assert!(!said.out.contains(SECRET) && !said.out.contains("s3cret"), "{}", said.out);
    let (at, new) = partition(&bench, "data");
    assert_eq!((at, new), (start, old + 64 * MIB), "{}", said.out);
    assert_eq!(kept(&bench), before);
    let checked = run("sgdisk", &["-v", &bench.path("DEV/disk.img")], &[], b"").ok();
    assert!(checked.out.contains("No problems found"), "{}", checked.out);
    // What was a secret on the boot partition is one on the data partition, and is shown where programs look.
    assert!(!holds(&bench, SECRET) && !holds(&bench, "s3cret"));
    let shown = |name: &str| shown(&bench, name);
    assert_eq!(shown("etc/hostname"), "gate-7\n");
    let settings = shown("run/surefoot/60-first-boot.toml");
    assert!(settings.contains("id = \"SN-0042\"") && settings.contains(PROXY), "{settings}");
    assert!(
        shown("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
            .contains(&format!("psk=\"{SECRET}\""))
    );
    let id = shown("etc/machine-id");
    assert_eq!(id.trim().len(), 32);
    // Again, as at the next boot: nothing is written to the disk, and what is kept is shown on a new root.
    std::fs::remove_dir_all(bench.path("DEV/root/etc")).unwrap();
    let disk = read(&bench.path("DEV/disk.img"));
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "grow").0, "before");
    assert!(disk == read(&bench.path("DEV/disk.img")));
    assert_eq!(shown("etc/machine-id"), id);
    // The rest of the program goes on as on any device.
    bench.update_to("2.0.0");
    assert_eq!(first_boot(&bench, None).ok().err, "");
}

#[test]
fn cut_at_every_write_it_leaves_slots_and_environment_and_ends_right() {
    let bench = device(3 * MIB);
    configure(&bench);
    let before = kept(&bench);
    let whole = bench.path("WHOLE");
    let copy = |from: &str, to: &str| {
        if Path::new(to).exists() {
            std::fs::remove_dir_all(to).unwrap();
        }
        run("cp", &["-a", "--sparse=always", from, to], &[], b"").ok();
    };
    copy(&bench.path("DEV"), &whole);
    let mut cuts = 0;
    for nth in 0.. {
        assert!(nth < 300, "it never ends");
        copy(&whole, &bench.path("DEV"));
        let cut = format!("{nth}:{}", [0, 100, 512, 700][nth % 4]);
        let said = first_boot(&bench, Some(&cut));
        assert_eq!(kept(&bench), before, "cut {cut}");
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 99, "{}", said.err);
        cuts += 1;
        let said = first_boot(&bench, None);
        assert_eq!(said.code, 0, "after cut {cut}: {}", said.err);
        assert_eq!(kept(&bench), before, "after cut {cut}");
        assert!(!holds(&bench, SECRET) && !holds(&bench, "s3cret"), "cut {cut}");
        let shown =
            String::from_utf8(read(&bench.path("DEV/root/run/surefoot/60-first-boot.toml")));
        let shown = shown.unwrap();
        assert!(shown.contains(PROXY) && shown.contains("SN-0042"), "cut {cut}: {shown}");
        assert_eq!(read(&bench.path("DEV/root/etc/hostname")), b"gate-7\n", "cut {cut}");
        let disk = bench.path("DEV/disk.img");
        let len = std::fs::metadata(&disk).unwrap().len();
        let (start, data) = partition(&bench, "data");
        assert_eq!(start + data, len - MIB, "cut {cut}");
    }
    assert!(cuts > 25, "{cuts}");
}

#[test]
fn during_a_trial_and_after_an_update_the_table_is_left_alone() {
    let bench = device(8 * MIB);
    let before = partition(&bench, "data");
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    bench.reboot(&[]);
    let said = first_boot(&bench, None);
    assert_eq!((said.code, said.reason()), (77, Some("TRIAL_PENDING")), "{}", said.err);
    bench.surefoot(&["commit"]).ok();
    let said = first_boot(&bench, None).ok();
    let (became, text) = step(&said, "grow");
    assert_eq!((became.as_str(), text.as_str()), ("left", "this device has been updated already"));
    assert_eq!(partition(&bench, "data"), before);
}

#[test]
fn an_image_that_does_not_fit_says_by_how_much() {
    let bench = device(0);
    let disk = std::fs::OpenOptions::new().write(true).open(bench.path("DEV/disk.img")).unwrap();
    let len = disk.metadata().unwrap().len();
    disk.set_len(len - 5 * MIB).unwrap();
    let said = first_boot(&bench, None);
    assert!(said.out.contains("5 MiB too small"), "{} {}", said.out, said.err);
    assert!(said.out.contains("DISK_TOO_SMALL"), "{}", said.out);
}

/// A file of the device, as it is shown to programs.
fn shown(bench: &Bench, name: &str) -> String {
    String::from_utf8(read(&bench.path(&format!("DEV/root/{name}")))).unwrap()
}

#[test]
fn a_list_names_a_batch_of_devices() {
    let bench = device(0);
    let list = "MATCH,ID,HOSTNAME\nSN-0041,gate-41,south\nsn-0042,gate-42,north\n";
    std::fs::write(bench.path("devices.csv"), list).unwrap();
    let disk = format!("{}@@{}", bench.path("DEV/disk.img"), partition(&bench, "boot").0);
    run("mcopy", &["-i", &disk, &bench.path("devices.csv"), "::devices.csv"], &[], b"").ok();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "identity").1, "gate-42");
    assert_eq!(shown(&bench, "etc/hostname"), "north\n");
    assert!(shown(&bench, "run/surefoot/60-first-boot.toml").contains("id = \"gate-42\""));
}

#[test]
fn a_program_names_the_device_and_what_the_configuration_names_is_kept() {
    let bench = device(0);
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(read(&config)).unwrap();
    let more = "[first_boot]\nidentity = { command = [\"./who\"] }\nkeep = [\"/etc/app\", \"/etc/none\"]\n";
    std::fs::write(&config, format!("{text}{more}")).unwrap();
    crate::common::program(bench.path("DEV/who"), b"#!/bin/sh\necho line-7\n");
    std::fs::write(bench.path("DEV/root/etc/app/app.conf"), "of the image").unwrap();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "identity").1, "line-7");
    assert_eq!(step(&said, "etc").1, "/etc/app");
    assert_eq!(read(&bench.path("DEV/data/etc/app/app.conf")), b"of the image");
    for bad in ["/etc", "/usr/x", "/etc/../x", "etc/x", "/etc/a:b"] {
        let more = format!("[first_boot]\nkeep = [\"{bad}\"]\n");
        std::fs::write(&config, format!("{text}{more}")).unwrap();
        bench.surefoot(&["first-boot", "--early"]).refused(78, "CONFIG_INVALID");
    }
}

#[test]
fn each_program_for_a_wireless_network_gets_it_in_its_own_words() {
    const NAME: &str = "Caf\u{e9} 3";
    const PHRASE: &str = "a \\ \"b\" #c";
    for (program, file, parts) in [
        (
            "usr/sbin/NetworkManager",
            "run/NetworkManager/system-connections/surefoot.nmconnection",
            ["ssid=67;97;102;195;169;32;51;", "psk=a\\s\\\\\\s\"b\"\\s#c"],
        ),
        (
            "usr/libexec/iwd",
            "var/lib/iwd/=436166c3a92033.psk",
            ["[Security]", "Passphrase=a\\s\\\\\\s\"b\"\\s#c"],
        ),
        (
            "sbin/wpa_supplicant",
            "etc/wpa_supplicant/wpa_supplicant-wlan0.conf",
            ["ssid=436166c3a92033", "psk=\"a \\ \"b\" #c\""],
        ),
    ] {
        let bench = device(0);
        std::fs::remove_file(bench.path("DEV/root/usr/sbin/wpa_supplicant")).unwrap();
        let place = bench.path(&format!("DEV/root/{program}"));
        std::fs::create_dir_all(Path::new(&place).parent().unwrap()).unwrap();
        std::fs::write(place, "").unwrap();
        std::fs::write(bench.path("password"), PHRASE).unwrap();
        let disk = bench.path("DEV/disk.img");
        forge(&["configure", &disk, "--wifi", NAME, "--wifi-password", &bench.path("password")])
            .ok();
        let said = first_boot(&bench, None).ok();
        let text = shown(&bench, file);
        for part in parts {
            assert!(text.lines().any(|line| line.trim() == part), "{program}: {part}: {text}");
        }
        assert!(step(&said, "provision").1.contains("the network"), "{}", said.out);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(bench.path(&format!("DEV/root/{file}"))).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn preloads_are_verified_and_what_cannot_be_installed_is_named() {
    let bench = device(0);
    std::fs::create_dir(bench.path("DEV/data/preload")).unwrap();
    let other = ["--version", "2.0.0", "--product", "lamp"];
    for (name, words) in [("good", &other[..2]), ("other", &other[..])] {
        let artifact = bench.artifact(name, 5, 1 << 20, words);
        std::fs::copy(artifact, bench.path(&format!("DEV/data/preload/{name}.surefoot"))).unwrap();
    }
    let said = first_boot(&bench, None).ok();
    let (_, text) = step(&said, "preload");
    assert!(text.contains("good.surefoot can be installed"), "{text}");
    assert!(text.contains("other.surefoot stays") && said.err.contains("WRONG_PRODUCT"), "{text}");
    assert!(Path::new(&bench.path("DEV/data/preload/other.surefoot")).exists());
}

#[test]
fn a_factory_reset_keeps_keys_floors_and_identity_and_survives_every_cut() {
    let bench = device(0);
    configure(&bench);
    first_boot(&bench, None).ok();
    bench.update_to("2.0.0");
    let id = read(&bench.path("DEV/data/etc/machine-id"));
    let state = |name: &str| std::fs::read(bench.path(&format!("DEV/data/surefoot/{name}"))).ok();
    let names = ["floor.0", "committed.0", "committed.1", "journal.0", "journal.1"];
    let firm = names.map(state);
    assert!(firm[1].is_some() && state("history.jsonl").is_some());
    for folder in ["app/cache", "backup/photos", "identity", "etc/ssh"] {
        std::fs::create_dir_all(bench.path(&format!("DEV/data/{folder}"))).unwrap();
    }
    for file in [
        "app/cache/x",
        "backup/photos/y",
        "identity/device.key",
        "etc/ssh/ssh_host_ed25519_key",
        "loose",
    ] {
        std::fs::write(bench.path(&format!("DEV/data/{file}")), file).unwrap();
    }
    std::os::unix::fs::symlink("/etc", bench.path("DEV/data/app/link")).unwrap();
    bench.surefoot(&["factory-reset", "--keep-backup", "/elsewhere"]).refused(64, "USAGE");
    let backup = bench.path("DEV/data/backup");
    bench.surefoot(&["factory-reset", "--keep-backup", &backup]).ok();
    assert!(Path::new(&bench.path("DEV/data/loose")).exists(), "nothing goes before the next boot");
    let mut cuts = 0;
    for nth in 0.. {
        assert!(nth < 200, "it never ends");
        // Each boot gets a little further than the one before.
        let said = first_boot(&bench, Some(&nth.to_string()));
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 99, "{}", said.err);
        cuts += 1;
        assert_eq!(names.map(state), firm, "cut {nth}");
        assert_eq!(read(&bench.path("DEV/data/etc/machine-id")), id, "cut {nth}");
    }
    assert!(cuts > 5, "{cuts}");
    let there = |name: &str| Path::new(&bench.path(&format!("DEV/data/{name}"))).exists();
    for gone in [
        "app",
        "loose",
        "surefoot/history.jsonl",
        "surefoot/factory-reset.json",
        "etc/wpa_supplicant",
    ] {
        assert!(!there(gone), "{gone}");
    }
    for stays in
        ["backup/photos/y", "identity/device.key", "etc/ssh/ssh_host_ed25519_key", "etc/hostname"]
    {
        assert!(there(stays), "{stays}");
    }
    assert!(Path::new("/etc").exists());
    let settings =
        String::from_utf8(read(&bench.path("DEV/data/etc/surefoot/60-first-boot.toml"))).unwrap();
    assert!(settings.contains("SN-0042") && !settings.contains("proxy"), "{settings}");
    // A device that knows what it was updated to takes nothing older.
    let older = bench.release("1.5.0");
    bench.surefoot(&["install", &older]).refused(65, "VERSION_OLDER");
}

#[test]
fn whatever_cannot_be_done_keeps_nothing_else_back() {
    let bench = device(0);
    // A marker that is no file.
    std::fs::create_dir_all(bench.path("DEV/data/surefoot/factory-reset.json")).unwrap();
    let said = first_boot(&bench, None);
    assert_ne!(said.code, 0);
    assert_eq!(step(&said, "reset").0, "failed", "{}", said.out);
    assert_eq!(step(&said, "machine-id").0, "done", "{}", said.out);
    let id = shown(&bench, "etc/machine-id");
    // Another process at work holds back a step that is still to be done, and nothing that is kept.
    std::fs::remove_dir(bench.path("DEV/data/surefoot/factory-reset.json")).unwrap();
    let setup = bench.path("DEV/data/surefoot/setup.json");
    let mut told: serde_json::Value = serde_json::from_slice(&read(&setup)).unwrap();
    told["done"].as_object_mut().unwrap().remove("folders").unwrap();
    std::fs::write(&setup, told.to_string()).unwrap();
    std::fs::remove_file(bench.path("DEV/root/etc/machine-id")).unwrap();
    let lock = std::fs::File::create(bench.path("DEV/data/surefoot/lock")).unwrap();
    lock.lock().unwrap();
    let said = first_boot(&bench, None);
    assert_eq!(step(&said, "folders").0, "failed", "{}", said.out);
    assert_eq!(said.reason(), Some("BUSY"), "{}", said.err);
    assert_eq!(shown(&bench, "etc/machine-id"), id);
}

#[test]
fn a_factory_reset_is_refused_during_a_trial() {
    let bench = device(0);
    first_boot(&bench, None).ok();
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    bench.surefoot(&["factory-reset"]).refused(77, "TRIAL_PENDING");
    bench.reboot(&[]);
    bench.surefoot(&["factory-reset"]).refused(77, "TRIAL_PENDING");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["factory-reset"]).ok();
}

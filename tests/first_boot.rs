//! `surefoot first-boot` and `surefoot factory-reset` on a device that is played: what they do, what they leave alone, and every
//! power cut.

use crate::common::{Bench, Said, forge, read, run};
use std::os::unix::fs::FileExt;
use std::path::Path;
use surefoot::disk::{open_image, read_table};
use surefoot::sys::power::CUT_VARIABLE;

const MIB: u64 = 1 << 20;
pub(crate) const SECRET: &str = "horse battery staple";
const PROXY: &str = "http://me:s3cret@proxy.example:3128";

/// A device whose state lies in a data folder of its own, on a disk that is larger than its image.
pub(crate) fn device(more: u64) -> Bench {
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

pub(crate) fn configure(bench: &Bench) {
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

pub(crate) fn step(said: &Said, name: &str) -> (String, String) {
    let told = said.json();
    let steps = told["steps"].as_array().unwrap().clone();
    let step = steps.into_iter().find(|s| s["step"] == name).unwrap();
    (step["became"].as_str().unwrap().to_owned(), step["text"].as_str().unwrap().to_owned())
}

pub(crate) fn first_boot(bench: &Bench, cut: Option<&str>) -> Said {
    let cut: Vec<_> = cut.map(|cut| (CUT_VARIABLE, cut)).into_iter().collect();
    bench.surefoot_with(&["first-boot", "--early", "--json"], &cut, b"")
}

pub(crate) fn holds(bench: &Bench, part: &str) -> bool {
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
    for name in ["grow", "provision", "identity", "machine-id"] {
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
fn after_an_update_the_file_system_still_follows_a_table_that_has_its_end() {
    let bench = device(0);
    let table = |bench: &Bench| read(&bench.path("DEV/disk.img"))[..34 * 512].to_vec();
    let before = table(&bench);
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    let (became, text) = step(&first_boot(&bench, None).ok(), "grow");
    assert_eq!(became, "done");
    assert!(text.contains("has the rest of the disk"), "{text}");
    assert!(table(&bench) == before);
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
    // A file system on such a disk cannot be mounted: that is no reason to say something else.
    std::fs::rename(bench.path("DEV/data"), bench.path("DEV/away")).unwrap();
    let said = first_boot(&bench, None);
    assert!(step(&said, "grow").1.contains("5 MiB too small"), "{}", said.out);
    let said = bench.surefoot(&["doctor"]);
    assert!(said.out.contains("5 MiB too small"), "{} {}", said.out, said.err);
    assert!(!said.out.contains("sgdisk"), "{}", said.out);
}

#[test]
fn nothing_grows_over_an_environment_behind_the_data_partition() {
    for at_end in [false, true] {
        let bench = device(64 * MIB);
        let (disk, config) = (bench.path("DEV/disk.img"), bench.path("DEV/fw_env.config"));
        let text = String::from_utf8(read(&config)).unwrap();
        let mut bytes = read(&disk);
        let mut moved = String::new();
        for (n, line) in text.lines().filter(|l| !l.starts_with('#')).enumerate() {
            let words: Vec<_> = line.split_whitespace().collect();
            let number = |word: &str| usize::from_str_radix(&word[2..], 16).unwrap();
            let (from, len) = (number(words[1]), number(words[2]));
            let behind = (8 - 4 * n) << 20;
            let to = bytes.len() - behind;
            bytes.copy_within(from..from + len, to);
            let place = if at_end { format!("-{behind:#x}") } else { format!("{to:#x}") };
            moved += &format!("{} {place} {}\n", words[0], words[2]);
        }
        std::fs::write(&disk, &bytes).unwrap();
        std::fs::write(&config, moved).unwrap();
        for _ in 0..2 {
            let (became, text) = step(&first_boot(&bench, None).ok(), "grow");
            assert_eq!(became, "left", "{text}");
            assert!(text.contains("a copy of the environment"), "{text}");
            assert!(read(&disk) == bytes);
        }
    }
}

#[test]
fn a_growth_that_was_refused_is_tried_again_once_a_person_has_mended_the_table() {
    let bench = device(8 * MIB);
    let (disk, before) = (bench.path("DEV/disk.img"), partition(&bench, "data"));
    let named = |name: &str| run("sgdisk", &["-c", &format!("4:{name}"), &disk], &[], b"").ok();
    named("daten");
    let (became, text) = step(&first_boot(&bench, None).ok(), "grow");
    assert_eq!(became, "left", "{text}");
    assert!(bench.surefoot(&["doctor"]).out.contains("grow: "));
    named("data");
    assert_eq!(step(&first_boot(&bench, None).ok(), "grow").0, "done");
    assert!(partition(&bench, "data").1 > before.1);
    assert!(!bench.surefoot(&["doctor"]).out.contains("grow: "));
}

/// A file of the device, as it is shown to programs.
pub(crate) fn shown(bench: &Bench, name: &str) -> String {
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
    assert_eq!(read(&bench.path("DEV/data/etc/kept/app/app.conf")), b"of the image");
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
    let said = bench.surefoot_with(&["first-boot", "--late", "--json"], &[], b"");
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
    bench.surefoot(&["hold", "--reason", "a person says so"]).ok();
    let backup = bench.path("DEV/data/backup");
    bench.surefoot(&["factory-reset", "--keep-backup", &backup]).ok();
    first_boot(&bench, None).ok();
    assert!(Path::new(&bench.path("DEV/data/loose")).exists(), "nothing goes before the next boot");
    bench.reboot(&[]);
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
        "etc/surefoot/wifi.toml",
    ] {
        assert!(!there(gone), "{gone}");
    }
    for stays in
        ["backup/photos/y", "identity/device.key", "etc/ssh/ssh_host_ed25519_key", "etc/hostname"]
    {
        assert!(there(stays), "{stays}");
    }
    assert!(Path::new("/etc").exists());
    assert_eq!(bench.status()["hold"]["reason"], "a person says so");
    let settings =
        String::from_utf8(read(&bench.path("DEV/data/etc/surefoot/60-first-boot.toml"))).unwrap();
    assert!(settings.contains("SN-0042") && !settings.contains("proxy"), "{settings}");
    // A device that knows what it was updated to takes nothing older.
    let older = bench.release("1.5.0");
    bench.surefoot(&["install", &older, "--hold-ok"]).refused(65, "VERSION_OLDER");
}

#[test]
fn whatever_cannot_be_done_keeps_nothing_else_back() {
    let bench = device(0);
    // A marker that is no file: nothing is erased, and nothing held back.
    std::fs::create_dir_all(bench.path("DEV/data/surefoot/factory-reset.json/x")).unwrap();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "machine-id").0, "done", "{}", said.out);
    assert!(bench.surefoot(&["doctor"]).out.contains("damaged"));
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    bench.surefoot(&["cancel"]).ok();
    bench.surefoot(&["factory-reset", "--cancel"]).ok();
    let id = shown(&bench, "etc/machine-id");
    // Another process at work holds back a step that is still to be done, and nothing that is kept.
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

#[test]
fn a_reset_that_is_pending_is_shown_holds_back_installations_and_can_be_withdrawn() {
    let bench = device(0);
    first_boot(&bench, None).ok();
    bench.surefoot(&["factory-reset"]).ok();
    let text = |status: serde_json::Value| status["reset"]["done"].as_bool();
    assert_eq!(text(bench.status()), Some(false));
    let artifact = bench.release("2.0.0");
    let said = bench.surefoot(&["install", &artifact]);
    said.refused(77, "RESET_PENDING");
    let said = bench.surefoot(&["doctor"]);
    assert!(said.out.contains("RESET_PENDING") && said.out.contains("--cancel"), "{}", said.out);
    bench.surefoot(&["factory-reset", "--cancel"]).ok();
    assert_eq!(text(bench.status()), None);
    bench.reboot(&[]);
    std::fs::write(bench.path("DEV/data/loose"), "").unwrap();
    first_boot(&bench, None).ok();
    assert!(Path::new(&bench.path("DEV/data/loose")).exists());
    // One that cannot be read says of no folder whether it stays.
    std::fs::write(bench.path("DEV/data/surefoot/factory-reset.json"), "{").unwrap();
    first_boot(&bench, None).ok();
    assert!(Path::new(&bench.path("DEV/data/loose")).exists());
    assert!(bench.surefoot(&["doctor"]).out.contains("damaged"));
    bench.surefoot(&["factory-reset", "--cancel"]).ok();
    bench.surefoot(&["install", &artifact]).ok();
}

#[test]
fn a_backup_behind_a_link_is_refused_at_once_and_again_before_anything_is_erased() {
    let bench = device(0);
    first_boot(&bench, None).ok();
    std::fs::create_dir_all(bench.path("DEV/data/b/1")).unwrap();
    std::fs::write(bench.path("DEV/data/b/1/photo"), "").unwrap();
    let (link, backup) = (bench.path("DEV/data/latest"), bench.path("DEV/data/b/1"));
    std::os::unix::fs::symlink("b/1", &link).unwrap();
    std::os::unix::fs::symlink("b", bench.path("DEV/data/all")).unwrap();
    for through in [&link, &bench.path("DEV/data/all/1"), &bench.path("DEV/data/b/../b/1")] {
        bench.surefoot(&["factory-reset", "--keep-backup", through]).refused(64, "USAGE");
    }
    bench.surefoot(&["factory-reset", "--keep-backup", &backup]).ok();
    bench.reboot(&[]);
    std::fs::rename(bench.path("DEV/data/b"), bench.path("DEV/data/c")).unwrap();
    std::os::unix::fs::symlink("c", bench.path("DEV/data/b")).unwrap();
    let said = first_boot(&bench, None);
    assert_eq!((step(&said, "reset").0.as_str(), said.code), ("failed", 64), "{}", said.out);
    assert!(Path::new(&bench.path("DEV/data/c/1/photo")).exists());
    // It is over with nothing erased, and says so; updates go on.
    first_boot(&bench, None).ok();
    let told = bench.surefoot(&["doctor"]).out;
    assert!(told.contains("nothing was erased") && told.contains("--cancel"), "{told}");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.surefoot(&["cancel"]).ok();
    std::fs::remove_file(bench.path("DEV/data/b")).unwrap();
    std::fs::rename(bench.path("DEV/data/c"), bench.path("DEV/data/b")).unwrap();
    bench.surefoot(&["factory-reset", "--keep-backup", &backup]).ok();
    bench.reboot(&[]);
    first_boot(&bench, None).ok();
    assert!(Path::new(&bench.path("DEV/data/b/1/photo")).exists());
    assert!(std::fs::symlink_metadata(link).is_err());
}

/// Runs the first boot in a mount namespace of its own, after these commands; `None` where that is not allowed.
fn among_mounts(bench: &Bench, before: &str, after: &str) -> Option<Said> {
    let rights = [["-m"].as_slice(), &["-rm"]];
    let rights = rights
        .into_iter()
        .find(|words| run("unshare", &[words, &["true"][..]].concat(), &[], b"").code == 0)?;
    let script = format!(
        "set -e; cd \"$1\"; {before}; rc=0; \"$2\" --config surefoot.toml first-boot --early --json || rc=$?; {after}; exit $rc"
    );
    let words = ["sh", "-c", &script, "sh", &bench.path("DEV"), env!("CARGO_BIN_EXE_surefoot")];
    Some(run("unshare", &[rights, &words].concat(), &[], b""))
}

#[test]
fn a_reset_goes_through_no_mount_and_leaves_what_is_mounted_elsewhere_its_folder() {
    let bench = device(0);
    first_boot(&bench, None).ok();
    for folder in [
        "data/media/usb",
        "data/var/log/app",
        "data/upper",
        "data/work",
        "root/var/lib",
        "root/opt",
    ] {
        std::fs::create_dir_all(bench.path(&format!("DEV/{folder}"))).unwrap();
    }
    for file in [
        "data/loose",
        "data/media/own",
        "data/var/log/app/x",
        "data/upper/x",
        "data/one",
        "root/var/lib/x",
    ] {
        std::fs::write(bench.path(&format!("DEV/{file}")), file).unwrap();
    }
    // What cannot be erased at all, where the file system knows of such.
    let fixed = bench.path("DEV/data/app/fixed");
    std::fs::create_dir(bench.path("DEV/data/app")).unwrap();
    std::fs::write(&fixed, "").unwrap();
    let is_fixed = run("chattr", &["+i", &fixed], &[], b"").code == 0;
    bench.surefoot(&["factory-reset"]).ok();
    bench.reboot(&[]);
    let before = "mount -t tmpfs tmpfs data/media/usb; echo film >data/media/usb/film; mount --bind data/var root/var; \
        mkdir data/same; mount --bind root/opt data/same; echo stays >root/opt/x; : >root/one; mount --bind data/one root/one; \
        mount -t overlay -o lowerdir=root/opt,upperdir=$PWD/data/upper,workdir=$PWD/data/work overlay root/opt 2>/dev/null && : >overlay || : none";
    let after = "cat data/media/usb/film >found; echo new >root/var/new; ls root/var root/opt >>found; wc -c <root/one >>found";
    let Some(said) = among_mounts(&bench, before, after) else {
        return crate::common::skip::skipped("a mount namespace: `unshare -m` is not allowed here");
    };
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    let found = String::from_utf8(read(&bench.path("DEV/found"))).unwrap();
    assert_eq!(found.lines().next(), Some("film"), "{found}");
    assert!(
        found.ends_with("\n0\n"),
        "the file that is shown elsewhere is there, and empty: {found}"
    );
    let there = |name: &str| Path::new(&bench.path(&format!("DEV/{name}"))).exists();
    for gone in ["data/loose", "data/media/own", "data/var/log"] {
        assert!(!there(gone), "{gone}");
    }
    for stays in ["data/media/usb", "data/var/new", "data/one", "data/same", "root/opt/x"] {
        assert!(there(stays), "{stays}");
    }
    for named in ["data/media/usb", "data/same"] {
        assert!(said.err.contains(named), "{named}: {}", said.err);
    }
    run("chattr", &["-i", &fixed], &[], b"");
    assert_eq!((there("data/app/fixed"), said.err.contains("app/fixed")), (is_fixed, is_fixed));
    // Not every kernel has overlays.
    assert_eq!(said.err.contains("data/upper"), there("overlay"), "{}", said.err);
    // It is told as long as it is there, and not tried again: what was written since then stays.
    std::fs::write(bench.path("DEV/data/later"), "").unwrap();
    bench.reboot(&[]);
    first_boot(&bench, None).ok();
    assert!(there("data/later") && there("data/var/new"));
    let reset = bench.status()["reset"].clone();
    let left: Vec<_> =
        reset["left"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect();
    assert!(reset["done"] == true && left.iter().any(|l| l.ends_with("data/media/usb")), "{reset}");
    assert!(bench.surefoot(&["doctor"]).out.contains("data/media/usb"));
    for left in left.iter().map(Path::new) {
        match left.is_dir() {
            true => std::fs::remove_dir_all(left).unwrap(),
            false => std::fs::remove_file(left).unwrap(),
        }
    }
    assert!(bench.status()["reset"].is_null());
}

#[test]
fn without_a_data_partition_the_table_is_mended_and_never_grown() {
    let bench = device(8 * MIB);
    let [data, away] = ["DEV/data", "DEV/away"].map(|name| bench.path(name));
    let without = || {
        std::fs::rename(&data, &away).unwrap();
        let said = first_boot(&bench, None);
        assert_eq!((said.code, said.reason()), (78, Some("STATE_NOT_DURABLE")), "{}", said.err);
        std::fs::rename(&away, &data).unwrap();
        step(&said, "grow")
    };
    let disk = bench.path("DEV/disk.img");
    let (image, before) = (read(&disk), partition(&bench, "data"));
    assert_eq!(without().0, "failed");
    assert!(read(&disk) == image, "a first growth never happens there");
    let mut mended = 0;
    for write in 0..8 {
        std::fs::write(&disk, &image).unwrap();
        if first_boot(&bench, Some(&format!("{write}:20"))).code == 0 {
            break;
        }
        let torn = read(&disk);
        if without().0 == "failed" {
            assert!(read(&disk) == torn);
            continue;
        }
        mended += 1;
        assert_eq!(partition(&bench, "data").1, before.1 + 8 * MIB, "{write}");
        let checked = run("sgdisk", &["-v", &disk], &[], b"").ok();
        assert!(checked.out.contains("No problems found"), "{}", checked.out);
        assert_eq!(without().0, "failed", "there is nothing more to mend");
    }
    assert!(mended >= 3, "{mended}");
    // A device that was updated, and whose data partition is gone or was made anew.
    std::fs::write(&disk, &image).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    bench.update_to("2.0.0");
    let image = read(&disk);
    assert_eq!(without().0, "failed");
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    let (became, text) = step(&first_boot(&bench, None), "grow");
    assert_eq!(
        (became.as_str(), text.as_str()),
        ("left", "the bootloader's environment tells of an update")
    );
    assert!(read(&disk) == image);
}

/// Sets `[first_boot]` of the device anew.
pub(crate) fn settings(bench: &Bench, base: &str, more: &str) {
    let text = format!("{base}[first_boot]\n{more}\n");
    std::fs::write(bench.path("DEV/surefoot.toml"), text).unwrap();
}

#[test]
fn what_another_computer_wrote_on_the_data_partition_decides_nothing_and_is_waited_for_nowhere() {
    use std::os::unix::fs::symlink;
    let bench = device(0);
    first_boot(&bench, None).ok();
    let id = shown(&bench, "etc/machine-id");
    let at = |name: &str| bench.path(&format!("DEV/data/{name}"));
    // A list of its own of what is shown where, as an older `setup.json` had it.
    let mut told: serde_json::Value =
        serde_json::from_slice(&read(&at("surefoot/setup.json"))).unwrap();
    told["shown"] = serde_json::json!([{ "kept": "evil", "at": "/etc/surefoot/trust.toml" }]);
    std::fs::write(at("surefoot/setup.json"), told.to_string()).unwrap();
    std::fs::write(at("evil"), "evil").unwrap();
    // Settings that are not this device's to change, and an id that no device has.
    let fragment = "[device]\nid = \"a b\\u001b\"\nhold = true\n[trust]\nfile = \"/data/evil\"\n[source]\nproxy = \"x\"\n";
    std::fs::write(at("etc/surefoot/60-first-boot.toml"), fragment).unwrap();
    // A FIFO and a link where files are.
    run("mkfifo", &[&at("etc/hostname")], &[], b"").ok();
    std::fs::remove_dir_all(at("etc/ssh")).unwrap_or(());
    symlink("/proc", at("etc/ssh")).unwrap();
    std::fs::remove_file(bench.path("DEV/root/etc/machine-id")).unwrap();
    let said = first_boot(&bench, None);
    let hidden = said.json()["hidden"].to_string();
    for part in
        ["/etc/hostname", "FIFO", "symbolic link", "the id that is kept", "the proxy that is kept"]
    {
        assert!(hidden.contains(part), "{part}: {hidden}");
    }
    assert!(!Path::new(&bench.path("DEV/root/etc/surefoot/trust.toml")).exists());
    assert!(!Path::new(&bench.path("DEV/root/run/surefoot/60-first-boot.toml")).exists());
    assert_eq!(shown(&bench, "etc/machine-id"), id);
    // A medium that is worn is no mistake in the configuration.
    std::fs::write(at("etc/surefoot/60-first-boot.toml"), b"[device]\nid = \"x\xff").unwrap();
    assert!(first_boot(&bench, None).json()["hidden"].to_string().contains("does not count"));
    assert!(!Path::new(&bench.path("DEV/root/run/surefoot/60-first-boot.toml")).exists());
}

#[test]
fn what_is_kept_keeps_owner_mode_and_links_and_a_new_list_counts_at_the_next_boot() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let bench = device(0);
    let base = String::from_utf8(read(&bench.path("DEV/surefoot.toml"))).unwrap();
    let at = |name: &str| bench.path(&format!("DEV/root/etc/{name}"));
    std::fs::create_dir_all(at("app/sub")).unwrap();
    std::fs::write(at("app/sub/secret"), "of a service").unwrap();
    std::fs::set_permissions(at("app/sub/secret"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::set_permissions(at("app/sub"), PermissionsExt::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(at("app/sub/secret"), None, None).unwrap();
    let root = std::fs::metadata(at("app")).unwrap().uid() == 0;
    if root {
        std::os::unix::fs::chown(at("app/sub/secret"), Some(1234), Some(567)).unwrap();
        std::fs::set_permissions(at("app/sub/secret"), PermissionsExt::from_mode(0o640)).unwrap();
    }
    symlink("nowhere", at("app/dangling")).unwrap();
    run("mkfifo", &[&at("app/fifo")], &[], b"").ok();
    std::fs::write(at("more"), "more").unwrap();
    std::fs::write(at("net.d.new"), "another file").unwrap();
    settings(&bench, &base, "keep = [\"/etc/app\", \"/etc/net.d.new\"]");
    let whole = bench.path("WHOLE");
    run("cp", &["-a", "--sparse=always", &bench.path("DEV"), &whole], &[], b"").ok();
    let kept = |name: &str| bench.path(&format!("DEV/data/etc/kept/{name}"));
    let mut cuts = 0;
    for nth in 0.. {
        assert!(nth < 300, "it never ends");
        std::fs::remove_dir_all(bench.path("DEV")).unwrap();
        run("cp", &["-a", "--sparse=always", &whole, &bench.path("DEV")], &[], b"").ok();
        let said = first_boot(&bench, Some(&nth.to_string()));
        cuts += u32::from(said.code == 99);
        let over = said.code != 99;
        let said = if over { said } else { first_boot(&bench, None) };
        assert_eq!(said.code, 0, "cut {nth}: {}", said.err);
        let about = std::fs::metadata(kept("app/sub/secret")).unwrap();
        assert_eq!(about.mode() & 0o7777, 0o640, "cut {nth}");
        assert_eq!(
            std::fs::metadata(kept("app/sub")).unwrap().mode() & 0o7777,
            0o2750,
            "cut {nth}"
        );
        assert!(!root || (about.uid(), about.gid()) == (1234, 567), "cut {nth}");
        assert_eq!(std::fs::read_link(kept("app/dangling")).unwrap(), Path::new("nowhere"));
        assert!(!Path::new(&kept("app/fifo")).exists());
        assert_eq!(read(&kept("net.d.new")), b"another file");
        if over {
            assert!(said.err.contains("app/fifo") || cuts > 0, "{}", said.err);
            break;
        }
    }
    assert!(cuts > 20, "{cuts}");
    // The copy counts from now on; what another image names is kept at its first boot.
    std::fs::write(kept("net.d.new"), "changed").unwrap();
    settings(&bench, &base, "keep = [\"/etc/app\", \"/etc/net.d.new\", \"/etc/more\"]");
    let said = first_boot(&bench, None).ok();
    assert_eq!(
        step(&said, "etc"),
        ("done".to_owned(), "/etc/app, /etc/net.d.new, /etc/more".to_owned())
    );
    assert_eq!(shown(&bench, "etc/net.d.new"), "changed");
    assert_eq!(step(&first_boot(&bench, None).ok(), "etc").0, "before");
}

#[test]
fn a_boot_partition_is_looked_at_in_each_boot_and_never_where_the_image_forbids_it() {
    let bench = device(0);
    let base = String::from_utf8(read(&bench.path("DEV/surefoot.toml"))).unwrap();
    first_boot(&bench, None).ok();
    configure(&bench);
    settings(&bench, &base, "provision = false");
    let said = first_boot(&bench, None).ok();
    assert!(step(&said, "provision").1.contains("is false"), "{}", said.out);
    assert!(holds(&bench, SECRET) && !Path::new(&bench.path("DEV/root/etc/hostname")).exists());
    settings(&bench, &base, "");
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "provision").0, "done", "{}", said.out);
    assert_eq!(shown(&bench, "etc/hostname"), "gate-7\n");
    assert!(!holds(&bench, SECRET) && !holds(&bench, "s3cret"));
    let said = first_boot(&bench, None).ok();
    let (became, text) = step(&said, "provision");
    assert!(became == "before" && text.contains("gate-7"), "{became} {text}");
}

/// Where on the disk the entry of `provision.toml` in the root folder of the boot partition is.
fn entry(bench: &Bench) -> u64 {
    let start = partition(bench, "boot").0;
    let whole = bench.disk_bytes(start, 1 << 20);
    let is = |name: &[u8]| name.starts_with(b"PROVIS") && name[8..] == *b"TOM";
    whole.windows(11).position(is).unwrap() as u64 + start
}

fn open_disk(bench: &Bench) -> std::fs::File {
    let mut how = std::fs::OpenOptions::new();
    how.read(true).write(true).open(bench.path("DEV/disk.img")).unwrap()
}

#[test]
fn what_an_editor_left_behind_the_end_of_a_file_goes_too_also_after_a_cut() {
    for cut in [None, Some("0"), Some("1"), Some("1:20"), Some("2")] {
        let bench = device(0);
        configure(&bench);
        // As editors of other systems do: the same cluster, a shorter length.
        let text = run("mtype", &["-i", &at_boot(&bench), "::provision.toml"], &[], b"").ok().out;
        let named = text.find("gate-7").unwrap();
        let len = u32::try_from(named + text[named..].find('\n').unwrap() + 1).unwrap();
        assert!(!text[..len as usize].contains(SECRET), "{text}");
        open_disk(&bench).write_all_at(&len.to_le_bytes(), entry(&bench) + 28).unwrap();
        assert!(holds(&bench, SECRET));
        if cut.is_some() {
            let _ = first_boot(&bench, cut);
        }
        first_boot(&bench, None).ok();
        assert!(!holds(&bench, SECRET) && !holds(&bench, "s3cret"), "{cut:?}");
        let left = run("mtype", &["-i", &at_boot(&bench), "::provision.toml"], &[], b"").ok().out;
        assert_eq!(left.len(), len as usize);
    }
}

/// The boot partition, as mtools want it.
fn at_boot(bench: &Bench) -> String {
    format!("{}@@{}", bench.path("DEV/disk.img"), partition(bench, "boot").0)
}

#[test]
fn a_reset_that_is_withdrawn_while_it_waits_for_another_process_erases_nothing() {
    let bench = device(0);
    first_boot(&bench, None).ok();
    std::fs::write(bench.path("DEV/data/photo"), "").unwrap();
    bench.surefoot(&["factory-reset"]).ok();
    bench.reboot(&[]);
    let lock = std::fs::File::create(bench.path("DEV/data/surefoot/lock")).unwrap();
    lock.lock().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| first_boot(&bench, None));
        // It has read the request by then, or it reads that there is none.
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::fs::remove_file(bench.path("DEV/data/surefoot/factory-reset.json")).unwrap();
        lock.unlock().unwrap();
        waits.join().unwrap();
    });
    assert!(Path::new(&bench.path("DEV/data/photo")).exists());
}

#[test]
fn a_boot_partition_that_cannot_be_read_is_a_step_that_failed() {
    let bench = device(0);
    configure(&bench);
    let start = partition(&bench, "boot").0;
    let disk = open_disk(&bench);
    let whole = bench.disk_bytes(start, 1 << 20);
    // Its first cluster is one that is none.
    let entry = entry(&bench);
    for (at, bytes) in [
        (entry + 26, &[1u8, 0][..]),
        (entry + 26, &[0xff, 0xff]),
        (start + 11, &[0; 8]),
        (start + 13, &[0xff; 32]),
        (start, &[0x11; 512]),
    ] {
        disk.write_all_at(bytes, at).unwrap();
        let said = first_boot(&bench, None);
        assert_eq!(step(&said, "provision").0, "failed", "{at}: {} {}", said.out, said.err);
        assert_eq!(step(&said, "etc").0.replace("before", "done"), "done", "{}", said.out);
        disk.write_all_at(&whole, start).unwrap();
    }
    assert_eq!(step(&first_boot(&bench, None).ok(), "provision").0, "done");
}

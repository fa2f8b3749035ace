//! A device whose bootloader keeps two numbered files: what is its own beside `life.rs` and
//! `power_cuts.rs`, which run on it as they run on U-Boot.

use crate::common::bootloaders::On;
use crate::common::{Bench, exists, read};

fn files(bench: &Bench) -> [String; 2] {
    bench.environment().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// The file that counts.
fn newest(bench: &Bench) -> String {
    let number = |text: &str| {
        let line = text.lines().next().unwrap();
        line.strip_prefix("number=").unwrap().parse::<u64>().unwrap()
    };
    files(bench).into_iter().max_by_key(|text| number(text)).unwrap()
}

/// The bootloader itself writes in a trial: it counts, or gives up. The next boot finds the old
/// count or the new one.
#[test]
fn the_power_goes_while_the_bootloader_counts() {
    let bench = On::Numbered.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    let (mut old, mut new) = (0, 0);
    for counted in 0..=3 {
        let kept = bench.environment();
        let mut after = 0;
        loop {
            for torn in ["0", "1", "60"] {
                for (copy, bytes) in kept.iter().enumerate() {
                    std::fs::write(bench.path(&format!("DEV/boot/env-{copy}")), bytes).unwrap();
                }
                let words = ["unplug", "--after", &after.to_string(), "--torn", torn];
                let said = bench.sim(&[&words[..], &["--", "reboot", "-q"]].concat());
                let ended = said.code == 3;
                assert!(said.code == 0 || ended, "{}{}", said.out, said.err);
                let stored = bench.environment() != kept;
                let count = counted + 1 + u32::from(stored && counted < 3);
                let place = format!("{counted} boots, cut at {after}:{torn}");
                let line = bench.sim(&["reboot", "-q"]).ok().out;
                let expected = match count {
                    1..=3 => format!("slot b (trial, boot {count} of 3)"),
                    _ if stored && counted == 3 => "slot a".to_owned(),
                    _ => "slot a (gave up on ".to_owned(),
                };
                assert!(line.starts_with(&expected), "{place}: {line}");
                (old, new) = (old + u32::from(!stored), new + u32::from(stored));
            }
            let whole = bench.sim(&[
                "unplug",
                "--json",
                "--after",
                &after.to_string(),
                "--",
                "reboot",
                "-q",
            ]);
            // What the bootloader said stands before it.
            let told: serde_json::Value =
                serde_json::from_str(whole.out.lines().last().unwrap()).unwrap();
            assert_eq!(told["cut"], whole.code == 0, "{}", whole.out);
            if whole.code == 3 {
                break;
            }
            after += 1;
        }
        for (copy, bytes) in kept.iter().enumerate() {
            std::fs::write(bench.path(&format!("DEV/boot/env-{copy}")), bytes).unwrap();
        }
        bench.sim(&["reboot", "-q"]).ok();
    }
    assert!(old >= 8 && new >= 8, "{old} old, {new} new");
}

#[test]
fn a_slot_on_trial_without_a_kernel_is_given_up_in_the_same_boot() {
    let bench = On::Numbered.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    let line = bench.sim(&["reboot", "-q", "--fail=kernel"]).ok().out;
    assert!(line.starts_with("slot a (gave up on "), "{line}");
    let newest = newest(&bench);
    for stored in ["\nslot=a\n", "\ntrial=0\n", "\nbootcount=0\n", "\nfallback="] {
        assert!(newest.contains(stored), "{stored}: {newest}");
    }
}

#[test]
fn without_a_whole_file_it_boots_slot_a_and_no_update_is_armed() {
    let bench = On::Numbered.bench();
    let artifact = bench.release("2.0.0");
    std::fs::write(bench.path("DEV/boot/env-0"), b"garbage\n").unwrap();
    assert_eq!(bench.reboot(&[]), "a");
    // One dead file is repaired by the next write.
    bench.surefoot(&["install", &artifact]).ok();
    assert!(files(&bench).iter().any(|text| text.contains("\ntrial=1\n")), "{:?}", files(&bench));
    bench.surefoot(&["rollback"]).ok();
    for copy in [0, 1] {
        std::fs::remove_file(bench.path(&format!("DEV/boot/env-{copy}"))).unwrap();
    }
    let line = bench.sim(&["reboot", "-q"]).ok().out;
    assert!(line.starts_with("slot a (both copies"), "{line}");
    bench.surefoot(&["install", &artifact]).refused(78, "ENV_UNREADABLE");
    assert!(!exists(&bench.path("DEV/boot/env-0")), "a write has no copy to begin from");
}

#[test]
fn what_is_made_for_u_boot_says_that_there_is_none() {
    let bench = On::Numbered.bench();
    assert!(!exists(&bench.path("DEV/fw_env.config")));
    for at in [4 << 20, 8 << 20] {
        assert_eq!(bench.disk_bytes(at, 0x4000), vec![0; 0x4000], "an environment of U-Boot");
    }
    let said = bench.sim(&["powercut", "--artifact", &bench.release("2.0.0")]);
    assert_eq!(said.code, 64, "{}", said.err);
    assert!(said.err.contains("has no U-Boot"), "{}", said.err);
    let other = bench.path("OTHER");
    let words = ["new", &other, "--bootloader", "numbered", "--counter", "uboot"];
    let said = crate::common::run(env!("CARGO_BIN_EXE_surefoot-sim"), &words, &[], b"");
    assert_eq!(said.code, 64, "{}", said.err);
    assert!(!exists(&other), "refused before anything is made");
    bench.surefoot(&["config", "check"]).ok();
    let doctor = bench.surefoot(&["doctor"]);
    assert!(!doctor.out.contains("U-Boot") && !doctor.out.contains("fw_env"), "{}", doctor.out);
    let report = bench.surefoot(&["report", "--json"]);
    let report = if report.code == 0 { report.json() } else { panic!("{}", report.err) };
    assert_eq!(report["bootloader"]["name"], "numbered");
    assert_eq!(report["bootloader"]["variables"]["slot"], "a");
}

#[test]
fn what_the_board_has_written_stays_and_a_bad_setting_is_named() {
    let bench = On::Numbered.bench();
    let [text, _] = files(&bench);
    let body = text.split("crc=").next().unwrap().to_owned() + "serial=77 of 3\n";
    let crc = crc32fast::hash(body.as_bytes());
    std::fs::write(bench.path("DEV/boot/env-0"), format!("{body}crc={crc:08x}\n")).unwrap();
    bench.update_to("2.0.0");
    let newest = newest(&bench);
    assert!(newest.contains("\nserial=77 of 3\n") && newest.contains("\nslot=b\n"), "{newest}");
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(read(&config)).unwrap();
    std::fs::write(&config, text.replace("\"numbered\"", "\"grub\"")).unwrap();
    let said = bench.surefoot(&["status"]).refused(78, "CONFIG_INVALID");
    assert!(said.err.contains("`grub` is no bootloader"), "{}", said.err);
}

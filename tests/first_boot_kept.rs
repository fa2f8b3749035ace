//! What a first boot keeps on the data partition: what is believed of it, what is made again where it is lost, and how it is shown among
//! real mounts.

use crate::common::skip::skipped;
use crate::common::{Bench, Said, forge, read, run};
use crate::first_boot::{SECRET, configure, device, first_boot, holds, settings, shown, step};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@desk";
const OWN: &str = "1111222233334444aaaabbbbccccdddd";
const WPA: &str = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";

fn base(bench: &Bench) -> String {
    String::from_utf8(read(&bench.path("DEV/surefoot.toml"))).unwrap()
}

fn write(bench: &Bench, name: &str, text: &str) {
    let path = bench.path(&format!("DEV/{name}"));
    std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
    let _none = std::fs::remove_file(&path);
    std::fs::write(path, text).unwrap();
}

fn there(bench: &Bench, name: &str) -> bool {
    Path::new(&bench.path(&format!("DEV/{name}"))).exists()
}

fn mode(bench: &Bench, name: &str) -> u32 {
    let about = std::fs::metadata(bench.path(&format!("DEV/{name}"))).unwrap();
    about.permissions().mode() & 0o7777
}

fn hidden(said: &Said) -> String {
    said.json()["hidden"].to_string()
}

/// The root of another image, at the next boot.
fn new_root(bench: &Bench) {
    for folder in ["etc", "run"] {
        let _none = std::fs::remove_dir_all(bench.path(&format!("DEV/root/{folder}")));
    }
}

#[test]
fn a_network_is_kept_as_values_and_no_text_for_another_program_is_believed() {
    let bench = device(0);
    configure(&bench);
    first_boot(&bench, None).ok();
    let right = shown(&bench, WPA);
    assert!(right.contains(SECRET) && !there(&bench, "data/etc/wpa_supplicant"), "{right}");
    // As an older layout had them, from another computer.
    let evil = "pkcs11_engine_path=/data/evil.so\n";
    for name in [
        WPA,
        "etc/NetworkManager/system-connections/surefoot.nmconnection",
        "etc/systemd/network/80-surefoot-wlan0.network",
        "etc/iwd/evil.psk",
        "etc/root/.ssh/authorized_keys",
    ] {
        write(&bench, &format!("data/{name}"), evil);
    }
    new_root(&bench);
    assert_eq!(hidden(&first_boot(&bench, None).ok()), "[]");
    assert_eq!(shown(&bench, WPA), right);
    for folder in ["etc/NetworkManager", "var/lib/iwd", "root/.ssh", "run/NetworkManager"] {
        assert!(!there(&bench, &format!("root/{folder}")), "{folder}");
    }
    // Another image brings another program.
    std::fs::remove_file(bench.path("DEV/root/usr/sbin/wpa_supplicant")).unwrap();
    write(&bench, "root/usr/sbin/NetworkManager", "");
    new_root(&bench);
    first_boot(&bench, None).ok();
    let file = "run/NetworkManager/system-connections/surefoot.nmconnection";
    assert!(shown(&bench, file).contains("psk=horse\\sbattery"), "{}", shown(&bench, file));
    assert!(!there(&bench, &format!("root/{WPA}")));
    // Values that break their rules are told, without any of them, and nothing is made of them.
    for value in
        ["ssid = \"a\\npkcs11_engine_path=/x\"", "ssid = \"a\"\npassword = \"s3cr\\u00e9t\""]
    {
        write(&bench, "data/etc/surefoot/wifi.toml", &format!("format = 1\n[wifi]\n{value}\n"));
        new_root(&bench);
        let told = hidden(&first_boot(&bench, None));
        assert!(told.contains("the wireless network is kept and cannot be shown"), "{told}");
        assert!(!told.contains("pkcs11") && !told.contains("s3cr"), "{told}");
        assert!(!there(&bench, &format!("root/{file}")));
    }
}

#[test]
fn a_device_that_was_updated_before_stays_the_one_that_it_is() {
    let bench = device(0);
    write(&bench, "root/etc/machine-id", &format!("{OWN}\n"));
    let keys = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"];
    for key in keys {
        write(&bench, &format!("root/etc/ssh/{key}"), key);
    }
    let fresh = bench.path("FRESH");
    run("cp", &["-a", "--sparse=always", &bench.path("DEV"), &fresh], &[], b"").ok();
    bench.update_to("2.0.0");
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "machine-id").1, OWN);
    assert_eq!(shown(&bench, "etc/machine-id"), format!("{OWN}\n"));
    assert!(step(&said, "identity").1.contains("its id stays"), "{}", said.out);
    assert!(!there(&bench, "root/run/surefoot/60-first-boot.toml"));
    let same =
        |bench: &Bench| keys.iter().all(|key| shown(bench, &format!("etc/ssh/{key}")) == *key);
    assert!(same(&bench));
    // On a new device they are the image's, and every device's.
    std::fs::remove_dir_all(bench.path("DEV")).unwrap();
    std::fs::rename(fresh, bench.path("DEV")).unwrap();
    let said = first_boot(&bench, None).ok();
    assert_ne!(step(&said, "machine-id").1, OWN);
    assert_eq!(step(&said, "identity").1, "SN-0042");
    assert_eq!(same(&bench), !Path::new("/usr/bin/ssh-keygen").exists());
}

#[test]
fn what_is_lost_or_damaged_of_a_device_is_made_again_and_told() {
    let bench = device(0);
    std::fs::create_dir_all(bench.path("DEV/root/etc/ssh")).unwrap();
    first_boot(&bench, None).ok();
    assert_eq!(step(&first_boot(&bench, None).ok(), "machine-id").0, "before");
    std::fs::remove_file(bench.path("DEV/data/etc/machine-id")).unwrap();
    std::fs::remove_file(bench.path("DEV/root/etc/machine-id")).unwrap();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "machine-id").0, "done");
    assert!(said.err.contains("the machine id that was kept is gone or damaged"), "{}", said.err);
    assert_eq!(shown(&bench, "etc/machine-id"), format!("{}\n", step(&said, "machine-id").1));
    // White space and capitals: programs see the id alone, and the file is written anew.
    let blank = format!("\n\n  {}   \n\n", OWN.to_uppercase());
    write(&bench, "data/etc/machine-id", &blank);
    let said = first_boot(&bench, None).ok();
    assert!(said.err.contains("is gone or damaged"), "{}", said.err);
    assert_eq!(shown(&bench, "etc/machine-id"), format!("{OWN}\n"));
    assert_eq!(read(&bench.path("DEV/data/etc/machine-id")), format!("{OWN}\n").as_bytes());
    assert_eq!(first_boot(&bench, None).ok().err, "");
    // Another image's list of lists: what it brings later is kept then.
    let text = base(&bench);
    settings(&bench, &text, "keep = [\"/etc/app.conf\", \"/etc/other\"]");
    write(&bench, "root/etc/other", "other");
    assert_eq!(step(&first_boot(&bench, None).ok(), "etc").1, "/etc/other");
    write(&bench, "root/etc/app.conf", "later");
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "etc"), ("done".to_owned(), "/etc/app.conf, /etc/other".to_owned()));
    assert_eq!(read(&bench.path("DEV/data/etc/kept/app.conf")), b"later");
    assert_eq!(step(&first_boot(&bench, None).ok(), "etc").0, "before");
    if !Path::new("/usr/bin/ssh-keygen").exists() {
        return skipped("ssh host keys: no ssh-keygen here");
    }
    let key = "data/etc/ssh/ssh_host_ed25519_key";
    let other = read(&bench.path("DEV/data/etc/ssh/ssh_host_ecdsa_key"));
    for lost in [key, "data/etc/ssh/ssh_host_ed25519_key.pub"] {
        write(&bench, lost, "");
        let said = first_boot(&bench, None).ok();
        assert_eq!(step(&said, "ssh-keys").0, "done");
        assert!(
            said.err.contains("the ssh host key ed25519 that was kept is gone"),
            "{}",
            said.err
        );
        assert!(!read(&bench.path(&format!("DEV/{lost}"))).is_empty());
    }
    assert!(read(&bench.path("DEV/data/etc/ssh/ssh_host_ecdsa_key")) == other);
    assert_eq!(mode(&bench, key), 0o600);
}

#[test]
fn what_is_kept_is_root_s_alone_and_damage_beside_it_ends_no_step() {
    let bench = device(0);
    write(&bench, "root/etc/vault/token", "TOKEN");
    let text = base(&bench);
    settings(&bench, &text, "keep = [\"/etc/vault/token\"]");
    write(&bench, "data/etc/.new", "a file where a folder was");
    std::fs::create_dir_all(bench.path("DEV/data/surefoot/setup.json.new/x")).unwrap();
    std::fs::create_dir_all(bench.path("DEV/data/etc/machine-id.new")).unwrap();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "etc"), ("done".to_owned(), "/etc/vault/token".to_owned()));
    assert_eq!(step(&said, "machine-id").0, "done");
    assert_eq!(mode(&bench, "data/etc"), 0o700);
    // So it is where an older system has made it.
    let etc = bench.path("DEV/data/etc");
    std::fs::set_permissions(&etc, PermissionsExt::from_mode(0o755)).unwrap();
    first_boot(&bench, None).ok();
    assert_eq!(mode(&bench, "data/etc"), 0o700);
    // A name says no line of its own.
    write(&bench, "data/preload/x\nError: evil.surefoot", "no artifact");
    let said = bench.surefoot_with(&["first-boot", "--late", "--json"], &[], b"");
    let (_, text) = step(&said, "preload");
    assert!(text.contains("x Error: evil.surefoot stays") && !text.contains('\n'), "{text:?}");
}

#[test]
fn keys_that_may_log_in_go_to_the_home_of_root_or_stay_on_the_card() {
    let bench = device(0);
    write(&bench, "root/etc/passwd", "x:x:10:0::/home/x:/bin/sh\nroot:x:0:0::/home/root:/bin/sh\n");
    std::fs::write(bench.path("key.pub"), format!("{KEY}\n")).unwrap();
    let key = bench.path("key.pub");
    forge(&["configure", &bench.path("DEV/disk.img"), "--ssh-key", &key]).ok();
    // No folder can be made there.
    write(&bench, "root/home/root", "");
    let said = first_boot(&bench, None);
    let (became, text) = step(&said, "provision");
    assert!(became == "failed" && text.contains("/home/root/.ssh"), "{became}: {text}");
    assert!(holds(&bench, "AAAAC3NzaC1lZDI1NTE5"));
    std::fs::remove_file(bench.path("DEV/root/home/root")).unwrap();
    let said = first_boot(&bench, None).ok();
    assert_eq!(step(&said, "provision"), ("done".to_owned(), "1 ssh keys".to_owned()));
    assert_eq!(shown(&bench, "home/root/.ssh/authorized_keys"), format!("{KEY}\n"));
    assert!(!holds(&bench, "AAAAC3NzaC1lZDI1NTE5") && !there(&bench, "root/root"));
}

#[test]
fn a_card_that_a_device_has_taken_is_configured_again_with_less() {
    let bench = device(0);
    configure(&bench);
    first_boot(&bench, None).ok();
    forge(&["configure", &bench.path("DEV/disk.img"), "--hostname", "gate-8"]).ok();
    assert_eq!(step(&first_boot(&bench, None).ok(), "provision").1, "host name gate-8");
    assert_eq!(shown(&bench, "etc/hostname"), "gate-8\n");
    // What it did not name stays.
    assert!(shown(&bench, WPA).contains(SECRET));
}

/// What is asked of a system whose root is read-only, and whose data partition holds what a first boot has kept.
const REAL: &str = r#"
set -e; cd "$1"; mkdir -p R/proc R/run R/data R/usr R/sbin R/etc/app R/etc/ssh R/home/root
for name in bin lib lib32 lib64; do [ ! -L /$name ] || cp -P /$name R/; done
for name in bin lib lib64; do [ -L /$name ] || [ ! -d /$name ] || { mkdir R/$name; mount --bind /$name R/$name; }; done
: >R/etc/machine-id; : >R/sbin/wpa_supplicant; : >R/surefoot; echo image >R/etc/app/x
echo root:x:0:0::/home/root:/bin/sh >R/etc/passwd
mount --bind R R; mount --bind /usr R/usr; mount --rbind /proc R/proc; mount --bind "$2" R/surefoot
mount -t tmpfs tmpfs R/run; mount -t tmpfs tmpfs R/data
cp -a DEV/data/. R/data/; mkdir R/data/app; echo device >R/data/app/x; cp DEV/trust.toml R/data/; cp real.toml R/data/surefoot.toml
mkdir -p R/data/etc/ssh
for kind in ed25519 ecdsa; do for end in "" .pub; do echo old >R/data/etc/ssh/ssh_host_${kind}_key$end; done; done
mount -o remount,bind,ro R; mount --bind R/data/app R/etc/app
boot() { chroot R /surefoot --config /data/surefoot.toml first-boot --early --json >$1.json 2>$1.err || :; }
say() { echo "$1 $(cat "R/$2" 2>/dev/null | tr '\n' '~')" >>found; }
boot 1; say 1app etc/app/x; say 1wpa etc/wpa_supplicant/wpa_supplicant-wlan0.conf; say 1id etc/machine-id
umount R/etc/app; boot 2; say 2wpa etc/wpa_supplicant/wpa_supplicant-wlan0.conf; say 2login home/root/.ssh/authorized_keys
say 2host etc/hostname; say 2key etc/ssh/ssh_host_ed25519_key; say 2id etc/machine-id
echo south >R/data/x; mv R/data/x R/data/etc/hostname; echo new >R/data/x; mv R/data/x R/data/etc/ssh/ssh_host_ed25519_key
boot 3; say 3host etc/hostname; say 3key etc/ssh/ssh_host_ed25519_key; echo "3name $(cat /proc/sys/kernel/hostname)" >>found
mount -t tmpfs tmpfs R/home/root; boot 4; say 4login home/root/.ssh/authorized_keys
umount R/home/root/.ssh/authorized_keys; echo '[first_boot]
provision = false' >>R/data/surefoot.toml
boot 5; say 5login home/root/.ssh/authorized_keys
"#;

#[test]
fn among_real_mounts_the_newest_is_shown_and_no_mount_is_hidden() {
    let rights = [["-m", "-u"].as_slice(), &["-r", "-m", "-u"]];
    let may =
        |words: &&[&str]| run("unshare", &[words, &["true"][..]].concat(), &[], b"").code == 0;
    let Some(rights) = rights.into_iter().find(may) else {
        return skipped("a mount namespace: `unshare -m` is not allowed here");
    };
    let bench = device(0);
    write(&bench, "root/etc/passwd", "root:x:0:0::/home/root:/bin/sh\n");
    std::fs::write(bench.path("key.pub"), format!("{KEY}\n")).unwrap();
    std::fs::write(bench.path("password"), SECRET).unwrap();
    let (disk, key, password) =
        (bench.path("DEV/disk.img"), bench.path("key.pub"), bench.path("password"));
    let words = ["--wifi", "Halle", "--wifi-password", &password, "--ssh-key", &key];
    forge(&[&["configure", &disk, "--hostname", "gate-7"], &words[..]].concat()).ok();
    first_boot(&bench, None).ok();
    let id = shown(&bench, "etc/machine-id");
    let text = base(&bench);
    let lines = text.lines().filter(|line| !line.starts_with("booted"));
    let lines = lines.take_while(|line| !line.starts_with("[[health"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let text = text.replace("\"data/surefoot\"", "\"/data/surefoot\"");
    std::fs::write(bench.path("real.toml"), text + "[daemon]\nfolder = \"/run/surefoot\"\n")
        .unwrap();
    let folder = bench.path("");
    let words = ["sh", "-c", REAL, "sh", &folder, env!("CARGO_BIN_EXE_surefoot")];
    let said = run("unshare", &[rights, &words].concat(), &[], b"");
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    let found = String::from_utf8(read(&bench.path("found"))).unwrap();
    let found = |word: &str| {
        let line = found.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        line.trim().replace('~', "\n").trim().to_owned()
    };
    let hidden = |boot: &str| {
        let told: serde_json::Value =
            serde_json::from_slice(&read(&bench.path(&format!("{boot}.json")))).unwrap();
        told["hidden"].to_string()
    };
    // What is mounted in /etc is worth more than a file that has no place there.
    assert_eq!(found("1app"), "device");
    assert_eq!((found("1wpa"), found("1id")), (String::new(), id.trim().to_owned()));
    let told = hidden("1");
    assert!(told.contains("/etc/app") && told.contains(WPA), "{told}");
    let overlays = String::from_utf8(read("/proc/filesystems")).unwrap().contains("overlay");
    if overlays {
        assert_eq!(hidden("2"), "[]");
        assert!(found("2wpa").contains(SECRET), "{}", found("2wpa"));
        assert_eq!((found("2login"), found("2key")), (KEY.to_owned(), "old".to_owned()));
        assert_eq!((found("2host"), found("2id")), ("gate-7".to_owned(), id.trim().to_owned()));
        // What is replaced in the same boot.
        assert_eq!(hidden("3"), "[]");
        assert_eq!((found("3host"), found("3key")), ("south".to_owned(), "new".to_owned()));
    }
    assert_eq!(found("3name"), "south");
    // A home that can be written to holds no copy.
    assert_eq!((found("4login"), found("5login")), (KEY.to_owned(), String::new()));
}

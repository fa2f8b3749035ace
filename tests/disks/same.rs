//! The same recipe and files give the same bytes.

use super::shop::{Shop, tool};
use crate::common::{forge, run};
use std::os::unix::fs::PermissionsExt;

const FILES: [&str; 5] =
    ["disk.img", "disk.img.bmap", "surefoot.toml", "fw_env.config", "trust.toml"];

#[test]
fn another_folder_another_time_and_another_user_give_the_same_bytes() {
    let shop = Shop::new();
    let artifact = shop.at("pre.surefoot");
    std::fs::write(shop.path("raw"), vec![7; 100_000]).unwrap();
    let words =
        ["build", "--raw", "--rootfs", &shop.at("raw"), "--product", "acme", "--compatible", "any"];
    let key = shop.at("KEYS/release.key");
    forge(&[&words[..], &["--version", "0.0.1", "--key", &key, "-o", &artifact]].concat()).ok();
    let recipe = shop.recipe("size = \"128M\"", "");
    shop.image(&recipe, "disk.img", &["--preload", &artifact]).ok();
    let first = FILES.map(|name| std::fs::read(shop.path(name)).unwrap());
    // A copy that was made now, in a folder with another path.
    let other = shop.path("elsewhere/deep");
    std::fs::create_dir_all(&other).unwrap();
    for name in ["root", "firmware", "env", "KEYS", "recipe.toml", "pre.surefoot"] {
        let from = shop.at(name);
        tool("cp", &["-r", "--preserve=mode,links", &from, other.to_str().unwrap()]);
    }
    tool(
        "find",
        &[other.to_str().unwrap(), "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"],
    );
    let at = |name: &str| other.join(name).to_str().unwrap().to_owned();
    let (recipe, disk, pre) = (at("recipe.toml"), at("disk.img"), at("pre.surefoot"));
    let program = env!("CARGO_BIN_EXE_surefoot-forge");
    let words = [program, "image", &recipe, "-o", &disk, "--preload", &pre];
    if nix::unistd::geteuid().is_root() {
        // Everything belongs to the other user, as it would on his machine.
        tool("chown", &["-hR", "65534:65534", other.to_str().unwrap()]);
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(shop.dir.path(), open).unwrap();
        let words = [
            &["--reuid=65534", "--regid=65534", "--clear-groups", "env", "TZ=Asia/Tokyo"],
            &words[..],
        ]
        .concat();
        run("setpriv", &words, &[], b"").ok();
    } else {
        run(words[0], &words[1..], &[("TZ", "Asia/Tokyo")], b"").ok();
    }
    for (name, before) in FILES.iter().zip(first) {
        assert!(std::fs::read(other.join(name)).unwrap() == before, "{name}");
    }
}

#[test]
fn a_release_that_is_kept_and_one_that_is_not_give_the_same_disk() {
    let shop = Shop::new();
    let recipe = shop.recipe("size = \"128M\"", "");
    shop.image(&recipe, "kept.img", &["--artifact-out", &shop.at("kept.surefoot")]).ok();
    // One processor: nothing of an artifact depends on their number.
    let (program, disk) = (env!("CARGO_BIN_EXE_surefoot-forge"), shop.at("disk.img"));
    run("taskset", &["1", program, "image", &recipe, "-o", &disk], &[], b"").ok();
    let read = |name: &str| std::fs::read(shop.path(name)).unwrap();
    assert!(read("kept.img") == read("disk.img"));
    let (artifact, record) = (shop.at("kept.surefoot"), shop.at("record"));
    forge(&["verify", &artifact, "--trust", &shop.at("KEYS/trust.toml")]).ok();
    // It is the release that slot a's record names.
    forge(&["record", &artifact, "-o", &record]).ok();
    let record = read("record");
    assert!(read("disk.img").chunks(1 << 20).any(|mib| mib == record));
}

#[test]
fn a_partition_that_the_first_start_encrypts_holds_its_mark_alone() {
    let shop = Shop::new();
    let recipe = shop.recipe("size = \"128M\"", "");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("[data]", "[data]\nencrypt = true")).unwrap();
    shop.image(&recipe, "disk.img", &[]).ok();
    let disk = std::fs::read(shop.path("disk.img")).unwrap();
    let script = include_str!("../../packaging/crypt/crypt");
    let mark = script.lines().find_map(|line| line.strip_prefix("mark=\"")?.strip_suffix('"'));
    let mark = mark.expect("the script says what it looks for").as_bytes();
    let at = disk.windows(mark.len()).position(|piece| piece == mark).unwrap();
    assert_eq!(at % (1 << 20), 0, "where the partition begins");
    let backup = disk.len() - 33 * 512;
    assert!(disk[at + mark.len()..backup].iter().all(|byte| *byte == 0));
    let blocks = std::fs::read_to_string(shop.path("disk.img.bmap")).unwrap();
    let first = at / 4096;
    let ranges = blocks.lines().filter_map(|line| line.split_once('>')?.1.split_once('<'));
    let holds = |(range, _): (&str, &str)| {
        let (from, to) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        let number = |text: &str| text.parse::<usize>().ok();
        number(from) <= Some(first) && number(to) >= Some(first) && number(from).is_some()
    };
    assert_eq!(ranges.filter(|range| holds(*range)).count(), 1, "block {first}: {blocks}");
    let words = ["doctor", "--image", &shop.at("disk.img")];
    let said = run(env!("CARGO_BIN_EXE_surefoot"), &words, &[], b"").out;
    assert!(said.contains("the first start encrypts it"), "{said}");
    let words = ["new", &shop.at("dev"), "--image", &shop.at("disk.img")];
    run(env!("CARGO_BIN_EXE_surefoot-sim"), &words, &[], b"").ok();
}

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

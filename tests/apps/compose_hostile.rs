//! What no Compose file and no layer may say: each with its code, and where it stands.

use super::compose::Shop;
use super::images::{Entry, MadeImage, docker_old, entry, file, folder, layer, tar};

fn web(more: &str) -> String {
    format!("services:\n  web:\n    image: shop-web:1\n    {more}\n")
}

#[test]
fn a_key_or_value_that_no_bundle_carries_is_refused_with_its_line() {
    let shop = Shop::new();
    for (compose, words) in [
        (
            "services: { web: { image: shop-web:1 } }\nservces: {}\n",
            "line 2: servces: this key is not known",
        ),
        (
            "x-surfoot: { soak: 1s }\nservices: { web: { image: shop-web:1 } }\n",
            "line 1: x-surfoot: nothing reads",
        ),
        (
            "name: other\nservices: { web: { image: shop-web:1 } }\n",
            "line 1: name: the app is built as `shop`",
        ),
        ("include: [x.yaml]\n", "a bundle is one file"),
        ("configs: { x: {} }\n", "x-surefoot: { config"),
        ("secrets: { token: { file: x } }\n", "carries no secret"),
        ("secrets: { token: {} }\n", "say `external: true`"),
        ("volumes: { xx: { external: true } }\n", "of this app alone"),
        ("networks: { other: {} }\n", "one network, `default`"),
        ("services: [web]\n", "services: a map is wanted"),
        ("x-surefoot: { soak: 3 }\n", "`3` is no duration"),
        ("x-surefoot: { health: {} }\n", "x-surefoot.health: this key is not known"),
        ("x-surefoot: { tree: x }\n", "x-surefoot.tree: this key is not known"),
        ("services: {}\n", "there is no service"),
        ("services: { Web: { image: shop-web:1 } }\n", "`Web` is not a name"),
        ("services: { web: { command: x } }\n", "`image` is missing"),
    ] {
        let code = if words.contains("no service") { "APP_INVALID" } else { "COMPOSE_INVALID" };
        shop.refused(compose, code, words);
    }
    for (more, words) in [
        ("build: .", "line 4: services.web.build: a bundle carries finished images"),
        ("container_name: x", "the updater names containers"),
        ("extends: { service: x }", "take an anchor"),
        ("profiles: [x]", "make another bundle"),
        ("links: [x]", "by their names"),
        ("env_file: x", "write the variables in `environment`"),
        ("pid: host", "a service has its own"),
        ("colour: red", "line 4: services.web.colour: this key is not known"),
        ("x-other: 1", "this key is not known"),
        ("environment: [HOME]", "that of the build host is not taken"),
        ("environment: { HOME: }", "that of the build host is not taken"),
        ("environment: { A: $HOME }", "names a variable of the build host"),
        ("environment: [A=1, A=2]", "is there twice"),
        ("network_mode: container:x", "`bridge`, `host` or `none`"),
        ("networks: [other]", "one network"),
        ("ports: ['3000-3005:3000-3005']", "one line for each port"),
        ("ports: ['80:80/sctp']", "`tcp` or `udp`"),
        ("ports: ['0:80']", "1 to 65535"),
        ("volumes: [/data]", "lost with its container"),
        ("volumes: ['./x:/x']", "no folder of the project"),
        ("volumes: ['~/x:/x']", "no folder of the project"),
        ("volumes: ['x1:/x:z']", "`ro` or `rw`"),
        (
            "volumes: [{ type: bind, source: /x, target: /x, bind: { create_host_path: true } }]",
            "nothing is made",
        ),
        ("healthcheck: { test: [RUN, x] }", "CMD-SHELL"),
        ("healthcheck: { interval: 1s }", "`test` is missing"),
        ("deploy: { mode: global }", "this key is not known"),
        ("deploy: { restart_policy: {} }", "say `restart`"),
        ("restart: sometimes", "is wanted"),
        ("restart: on-failure:3", "max_restarts"),
        ("security_opt: [seccomp:unconfined]", "profiles stay"),
        ("read_only: yes", "true or false"),
        ("logging: { driver: syslog }", "a file with a limit"),
        ("depends_on: { db: { condition: done } }", "not known here"),
        ("mem_limit: lots", "no size"),
        ("cpus: many", "no number of processors"),
        ("command: \"a 'b\"", "a quote is not closed"),
        ("image: shop-db:1", "line 4: `image` is there twice"),
        ("x-surefoot: { run: once }", "`once-per-release`"),
    ] {
        shop.refused(&web(more), "COMPOSE_INVALID", words);
    }
    for (more, code, words) in [
        ("volumes: ['/etc/../root:/x']", "APP_INVALID", "no absolute path"),
        ("volumes: ['nix:/x']", "APP_INVALID", "volume `nix`"),
        ("volumes: ['/x:/a/../../b']", "APP_INVALID", "no place to mount"),
        ("depends_on: [nix]", "APP_INVALID", "`nix`"),
        ("depends_on: [web]", "DEPENDENCY_CYCLE", "web, web"),
        ("deploy: { replicas: 10000 }", "APP_INVALID", "10000 services, replicas counted"),
        ("secrets: [nix]", "APP_INVALID", "secret `nix`"),
        ("labels: { io.surefoot.app: x }", "APP_INVALID", "the updater's own"),
    ] {
        shop.refused(&web(more), code, words);
    }
    let ring = "services:\n  aa: { image: shop-web:1, depends_on: [bb] }\n  bb: { image: shop-web:1, depends_on: [cc] }\n  cc: { image: shop-web:1, depends_on: [aa] }\n";
    shop.refused(ring, "DEPENDENCY_CYCLE", "aa, bb, cc, aa");
}

#[test]
fn a_file_that_explodes_or_is_no_plain_yaml_is_refused() {
    let shop = Shop::new();
    let mut laughs = "x-a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        laughs.push_str(&format!("x-a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(10)));
    }
    shop.refused(&laughs, "COMPOSE_INVALID", "more than 50000 nodes");
    shop.refused("services:\n\tweb: {}\n", "COMPOSE_INVALID", "line 2: a tab");
    shop.refused(&web("user: !!str 5"), "COMPOSE_INVALID", "line 4: a tag");
}

/// Each layer is the second of an image whose first one has `etc/passwd`.
fn hostile(shop: &Shop, entries: &[Entry], code: &str, words: &str) {
    let below = tar(&[folder("etc"), file("etc/passwd", "root"), entry("lib", b'2', "usr/lib")]);
    let image = MadeImage::new("amd64", &[below, tar(entries)]);
    std::fs::write(shop.path("images/bad.tar"), tar(&docker_old(&[(&image, "bad:1")]))).unwrap();
    shop.refused("services: { web: { image: 'bad:1' } }\n", code, words);
}

#[test]
fn an_entry_of_a_layer_that_no_honest_image_has_is_refused_by_its_name() {
    let shop = Shop::new();
    let code = "LAYER_HOSTILE";
    let long = "d/".repeat(60) + "../../../../../../x";
    let cases: Vec<(Vec<Entry>, &str)> = vec![
        (vec![file("/etc/passwd", "x")], "`/etc/passwd` is absolute"),
        (vec![file("../etc/passwd", "x")], "`../etc/passwd` is absolute or leads out"),
        (vec![file("a/../../etc/passwd", "x")], "leads out"),
        (vec![file(&long, "x")], "leads out"),
        (
            vec![file("a", "x"), entry("b", b'1', "/etc/passwd")],
            "`b` is a link to what is absolute",
        ),
        (vec![entry("b", b'1', "../../etc/passwd")], "`b` is a link to what is absolute or out"),
        (vec![entry("b", b'1', "nowhere")], "not before it in the layer"),
        (vec![entry("dev/sda", b'4', "")], "`dev/sda` is a device node"),
        (vec![entry("dev/mem", b'3', "")], "`dev/mem` is a device node"),
        (vec![entry("x", b'S', "")], "`x` is a sparse file"),
        (vec![entry("x", b'Z', "")], "of no kind that is known"),
        (
            vec![entry("a", b'2', "/etc"), file("a/passwd", "x")],
            "`a/passwd` lies behind a symbolic link",
        ),
        (vec![file("etc/.wh.nothing", "")], "`etc/.wh.nothing` takes away what no layer below"),
        (vec![file("etc/.wh...", "")], "takes away what is no file"),
        (vec![file("etc/.wh.", "")], "takes away what is no file"),
    ];
    for (entries, words) in &cases {
        hostile(&shop, entries, code, words);
    }
    let bomb = Entry { said_len: Some(1 << 40), ..file("bomb", "x") };
    hostile(&shop, &[bomb], "CONTAINER_IMAGE", "ends inside of a file");
    // What honest layers do.
    let good = [
        file("etc/.wh.passwd", ""),
        file("new/.wh..wh..opq", ""),
        entry("etc/mtab", b'2', "/proc/mounts"),
        file("new/a", "x"),
        entry("new/b", b'1', "new/a"),
        entry("new/fifo", b'6', ""),
        file(&("long/".repeat(40) + "x"), "x"),
    ];
    let below = tar(&[folder("etc"), file("etc/passwd", "root")]);
    let image = MadeImage::new("amd64", &[below, tar(&good)]);
    std::fs::write(shop.path("images/bad.tar"), tar(&docker_old(&[(&image, "bad:1")]))).unwrap();
    shop.document("services: { web: { image: 'bad:1' } }\n");
}

#[test]
fn an_archive_that_is_damaged_or_lies_is_refused() {
    let shop = Shop::new();
    let put = |entries: &[Entry]| {
        std::fs::write(shop.path("images/bad.tar"), tar(entries)).unwrap();
    };
    let compose = "services: { web: { image: 'bad:1' } }\n";
    let image = MadeImage::new("amd64", &[layer(9)]);
    let good = docker_old(&[(&image, "bad:1")]);
    let place = good.iter().position(|e| e.name.ends_with("layer.tar")).unwrap();
    let mut swapped = good.clone();
    swapped[place].data = layer(10);
    put(&swapped);
    shop.refused(compose, "CONTAINER_IMAGE", "the archive is damaged");
    let mut trailing = good.clone();
    trailing[place].data.extend(b"more");
    put(&trailing);
    shop.refused(compose, "LAYER_HOSTILE", "more behind the end");
    let mut missing = good.clone();
    missing.remove(place);
    put(&missing);
    shop.refused(compose, "CONTAINER_IMAGE", "is not in it");
    let mut climbing = good.clone();
    climbing[place] = entry(&good[place].name, b'2', "../../../etc/passwd");
    put(&climbing);
    shop.refused(compose, "CONTAINER_IMAGE", "is not in it");
    let two = MadeImage { layers: vec![layer(9), layer(9)], ..image.clone() };
    put(&docker_old(&[(&two, "bad:1")]));
    shop.refused(compose, "CONTAINER_IMAGE", "another number of layers");
    let windows = MadeImage {
        config: String::from_utf8(image.config.clone())
            .unwrap()
            .replace("linux", "windows")
            .into_bytes(),
        ..image
    };
    put(&docker_old(&[(&windows, "bad:1")]));
    shop.refused(compose, "CONTAINER_IMAGE", "is for `windows`");
}

//! Small bundles with layers that differ in the ways that layers do.

use crate::common::{forge, scratch};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use surefoot::artifact::write::{Draft, Image, Packing, pack};
use surefoot::artifact::{BundleDelta, PayloadKind, Provenance, Release, read_head};
use surefoot::layer::LayerFolders;
use surefoot::model::Digest;
use surefoot::trust::{Trust, Verified};

/// Keys, and a place for bundles.
pub(super) struct Shop {
    pub(super) dir: tempfile::TempDir,
}

/// A layer: its archive, and the folder in which an engine has it.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) tar: Vec<u8>,
    pub(super) folder: PathBuf,
}

impl Layer {
    pub(super) fn digest(&self) -> Digest {
        Digest(Sha256::digest(&self.tar).into())
    }
}

pub(super) fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) | 1 << 40;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Like a program: it can be compressed.
        state.to_be_bytes()[0] & 0x3f
    };
    (0..len).map(byte).collect()
}

impl Shop {
    pub(super) fn new() -> Shop {
        let dir = scratch();
        forge(&["keygen", "--out", dir.path().join("KEYS").to_str().unwrap()]).ok();
        Shop { dir }
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn trust(&self) -> Trust {
        let text = std::fs::read_to_string(self.path("KEYS/trust.toml")).unwrap();
        Trust::parse(&text).unwrap()
    }

    /// A base as a distribution has it. Version 2 has a program with changes in the middle, a library of another
    /// name, files that are new, and all times are others.
    pub(super) fn base(&self, version: u32) -> Layer {
        let root = self.dir.path().join(format!("base{version}"));
        let at = |name: &str| root.join(name);
        for folder in ["bin", "usr/lib", "etc", "var/empty"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let mut program = noise(1, 400_000);
        let mut library = noise(2, 300_000);
        for n in 1..version as usize {
            program.splice(n * 1000..n * 1000, noise(90, 37));
            program[200_000..200_400].fill(7);
            library[150_000] ^= 5;
            std::fs::write(at("etc/new"), noise(91, 5000)).unwrap();
        }
        std::fs::write(at("bin/program"), program).unwrap();
        std::fs::hard_link(at("bin/program"), at("bin/other-name")).unwrap();
        std::fs::write(at(&format!("usr/lib/library.so.1.{version}")), library).unwrap();
        symlink(format!("library.so.1.{version}"), at("usr/lib/library.so")).unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        for n in 0..60 {
            let name = format!("etc/file-{n}");
            std::fs::write(at(&name), noise(100 + n, 20 + 97 * n as usize)).unwrap();
        }
        std::fs::write(at("etc/empty"), "").unwrap();
        std::fs::write(at("etc/same-again"), noise(150, 20 + 97 * 50)).unwrap();
        let deep = format!("var/{}/{}", "d".repeat(120), "e".repeat(140));
        std::fs::create_dir_all(at(&deep)).unwrap();
        std::fs::write(at(&deep).join("long"), noise(200, 9000)).unwrap();
        let odd = root.join(OsStr::from_bytes(b"etc/\xff\xfe name"));
        std::fs::write(odd, noise(201, 3000)).unwrap();
        std::fs::File::create(at("var/holes")).unwrap().set_len(3 << 20).unwrap();
        self.pack(&root, &["--format=gnu", "--sparse", &format!("--mtime=@170000000{version}")])
    }

    /// What an app lays over that.
    pub(super) fn app(&self, name: &str, version: u32) -> Layer {
        let root = self.dir.path().join(format!("{name}{version}"));
        std::fs::create_dir_all(root.join("app")).unwrap();
        let mut main = noise(300, 250_000);
        main[1000 * version as usize] ^= 1;
        std::fs::write(root.join("app/main"), main).unwrap();
        std::fs::write(root.join("app/version"), format!("{name} {version}\n")).unwrap();
        // What it takes away of the layer below.
        std::fs::write(root.join("app/.wh.gone"), "").unwrap();
        self.pack(&root, &["--format=pax", &format!("--mtime=@1700000{version}00.5")])
    }

    fn pack(&self, root: &Path, words: &[&str]) -> Layer {
        let tar = Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(words)
            .arg("-C")
            .arg(root)
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        Layer { tar: tar.stdout, folder: root.to_owned() }
    }

    /// A signed bundle with one image for each list of layers.
    pub(super) fn bundle(&self, app: &str, version: u32, images: &[Vec<Layer>]) -> String {
        let (mut payloads, mut layers) = (Vec::new(), BTreeMap::new());
        let (mut services, mut entries) = (serde_json::Map::new(), serde_json::Map::new());
        for (n, image) in images.iter().enumerate() {
            let ids: Vec<Digest> = image.iter().map(Layer::digest).collect();
            let config = serde_json::json!({
                "architecture": "amd64", "os": "linux", "config": {},
                "rootfs": { "type": "layers", "diff_ids": ids.iter().map(|id| format!("sha256:{id}")).collect::<Vec<_>>() },
            });
            let config = config.to_string().into_bytes();
            let id = Digest(Sha256::digest(&config).into()).to_string();
            let size: usize = image.iter().map(|layer| layer.tar.len()).sum();
            let name = format!("{app}-{n}");
            services
                .insert(format!("service{n}"), serde_json::json!({ "image": id, "run": "always" }));
            entries.insert(
                id,
                serde_json::json!({
                    "name": name, "architecture": "amd64", "layers": ids, "size": size,
                }),
            );
            payloads.push((PayloadKind::Image, config));
            layers
                .extend(image.iter().map(|layer| (layer.digest().to_string(), layer.tar.clone())));
        }
        payloads.extend(layers.into_values().map(|tar| (PayloadKind::Layer, tar)));
        let document = serde_json::json!({
            "format": 1, "app": app, "kind": "containers", "services": services,
            "images": entries, "disk": 0, "deadline": 20_000, "soak": 1000, "max_restarts": 2, "keep": 1,
        });
        payloads.insert(0, (PayloadKind::App, document.to_string().into_bytes()));
        let image = |(kind, bytes): &(PayloadKind, Vec<u8>)| {
            let bytes = std::io::Cursor::new(bytes.clone());
            Image { kind: kind.clone(), ..Image::rootfs(bytes) }
        };
        let mut stored = Vec::new();
        let packing = Packing::of(3);
        let packed = pack(payloads.iter().map(image).collect(), packing, &mut stored, &|_| ());
        let draft = Draft {
            product: "demo".parse().unwrap(),
            compatible: vec!["board".parse().unwrap()],
            version: format!("{version}.0.0").parse().unwrap(),
            release_counter: version.into(),
            security_epoch: 0,
            app: Some(app.parse().unwrap()),
            notes: None,
            provenance: Provenance::default(),
            hints: Default::default(),
        };
        let head = draft.head(packed.unwrap()).unwrap();
        let path = self.path(&format!("{app}-{version}.surefoot"));
        std::fs::write(&path, [head.to_bytes(), stored].concat()).unwrap();
        forge(&["sign", &path, "--key", &self.path("KEYS/release.key")]).ok();
        path
    }

    /// What the device reads of a bundle that it has.
    pub(super) fn release(&self, path: &str) -> Verified<Release> {
        let bytes = std::fs::read(path).unwrap();
        read_head(&mut &bytes[..]).unwrap().verify(&self.trust()).unwrap()
    }

    /// Makes the delta as a release engineer does, and reads it as a device does.
    pub(super) fn delta(&self, from: &[&str], to: &str) -> (Vec<u8>, Verified<BundleDelta>) {
        let (out, key) = (self.path("made.delta.surefoot"), self.path("KEYS/release.key"));
        let mut words = vec!["delta", "--to", to, "--key", &key, "-o", &out];
        from.iter().for_each(|from| words.extend(["--from", from]));
        forge(&words).ok();
        let bytes = std::fs::read(&out).unwrap();
        let delta = read_head(&mut &bytes[..]).unwrap().verify_bundle_delta(&self.trust()).unwrap();
        assert_eq!(delta.file_len(), bytes.len() as u64);
        (bytes, delta)
    }
}

/// The folders of layers, as an engine names them.
pub(super) fn folders(layers: &[&Layer]) -> LayerFolders {
    let mut folders = LayerFolders::default();
    for layer in layers {
        folders.add(&[layer.digest()], std::slice::from_ref(&layer.folder));
    }
    folders
}

//! Bundles, a device and its settings, for tests.

#![allow(clippy::unwrap_used)]

use super::{AppContext, AppSettings, Generation, SlotTrial};
use crate::artifact::PayloadKind;
use crate::artifact::write::{Draft, Image, Packing, pack};
use crate::artifact::{Provenance, Unverified};
use crate::bundle::{AppDocument, ImageEntry, Service, ServiceName};
use crate::engine::Engine;
use crate::event::Nowhere;
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, SlotId};
use crate::source::Fetch;
use crate::sys::process::Children;
use crate::trust::{PublicKey, Trust};
use ed25519_dalek::{Signer, SigningKey};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Bytes in memory.
pub(super) struct Memory(Vec<u8>);

impl Memory {
    pub(super) fn new(bytes: Vec<u8>) -> Memory {
        Memory(bytes)
    }
}

impl Fetch for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        let ended = || Failure::new(ReasonCode::Truncated, "it ends before");
        buf.copy_from_slice(self.0.get(at..at + buf.len()).ok_or_else(ended)?);
        Ok(())
    }
}

/// An app with what an image is made of.
#[derive(Clone)]
pub(super) struct App {
    pub(super) document: AppDocument,
    images: Vec<Vec<u8>>,
    layers: BTreeMap<Digest, Vec<u8>>,
    /// The files of an app without containers, one behind the other.
    tree: Vec<u8>,
}

/// An app without containers, with these files; those of `bin/` can be run. `FILES` in `more` stands for their list.
pub(super) fn plain_app(named: &str, more: &str, files: &[(&str, &str)]) -> App {
    let of: Vec<_> = files
        .iter()
        .map(|(path, text)| {
            let sha256 = Digest::of(text.as_bytes()).to_string();
            serde_json::json!({ "path": path, "size": text.len(), "sha256": sha256,
                "executable": path.starts_with("bin/") })
        })
        .collect();
    let text = format!(
        r#"{{"format":1,"app":"{named}","deadline":3000,"soak":0,"max_restarts":1,"keep":1,{more}}}"#
    )
    .replace("FILES", &serde_json::to_string(&of).unwrap());
    let document: AppDocument = crate::model::from_json(text.as_bytes()).unwrap();
    let tree = files.iter().flat_map(|(_, text)| text.bytes()).collect();
    App { document, images: Vec::new(), layers: BTreeMap::new(), tree }
}

pub(super) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

/// A generation of no bundle.
pub(super) fn generation(n: u8) -> Generation {
    let text =
        format!(r#"{{"digest":"{}","version":"1.{n}","release_counter":{n}}}"#, Digest::of(&[n]));
    crate::model::from_json(text.as_bytes()).unwrap()
}

/// An app of one service `web` with an image of two layers.
pub(super) fn app(named: &str) -> App {
    let text = format!(
        r#"{{"format":1,"app":"{named}","kind":"containers","deadline":5000,"soak":0,"max_restarts":1,"keep":1}}"#
    );
    let document: AppDocument = crate::model::from_json(text.as_bytes()).unwrap();
    let (images, layers, tree) = (Vec::new(), BTreeMap::new(), Vec::new());
    App { document, images, layers, tree }.with("web", "one", "{}")
}

impl App {
    /// With a service of an image of that content; `more` are keys of the service.
    pub(super) fn with(mut self, service: &str, content: &str, more: &str) -> App {
        let layers = ["base".to_owned(), format!("files of {content}")].map(String::into_bytes);
        let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = serde_json::json!({ "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": ids.iter().map(|id| format!("sha256:{id}")).collect::<Vec<_>>() }});
        let config = serde_json::to_vec(&config).unwrap();
        let id = Digest::of(&config);
        let entry = ImageEntry {
            name: content.to_owned(),
            architecture: "amd64".to_owned(),
            variant: String::new(),
            layers: ids.clone(),
            size: layers.iter().map(|layer| layer.len() as u64).sum(),
        };
        if self.document.images.insert(id, entry).is_none() {
            self.images.push(config);
        }
        self.layers.extend(ids.into_iter().zip(layers));
        let mut said: serde_json::Value = serde_json::from_str(more).unwrap();
        said["image"] = id.to_string().into();
        let service_of: Service = crate::model::from_json(said.to_string().as_bytes()).unwrap();
        self.document.services.insert(name(service), service_of);
        // What it replaces has no image any more.
        let used: Vec<Digest> = self.document.services.values().map(|s| s.image).collect();
        self.document.images.retain(|id, _| used.contains(id));
        self.images.retain(|config| used.contains(&Digest::of(config)));
        let of = self.document.images.values().flat_map(|image| image.layers.clone());
        let layers: Vec<Digest> = of.collect();
        self.layers.retain(|layer, _| layers.contains(layer));
        self
    }

    /// With this changed.
    pub(super) fn but(mut self, change: impl FnOnce(&mut AppDocument)) -> App {
        change(&mut self.document);
        self
    }
}

/// A device in a folder.
pub(super) struct Bench {
    _dir: tempfile::TempDir,
    pub(super) trust: Trust,
    pub(super) settings: AppSettings,
    pub(super) held: bool,
    key: SigningKey,
    pub(super) product: Identifier,
    device: BTreeMap<String, String>,
    state: PathBuf,
    run: PathBuf,
    runner: Children,
    boot: std::cell::Cell<u32>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::signed_by(2)
    }

    pub(super) fn signed_by(seed: u8) -> Bench {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let entry = |seed: u8, role: &str| {
            let key = public(&SigningKey::from_bytes(&[seed; 32]));
            let (id, hex) = (key.id(), key.to_hex());
            format!("[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n")
        };
        let text = format!(
            "format = 1\nname = 'acme'\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n{}{}{}",
            entry(1, "root"),
            entry(seed, "release"),
            entry(3, "develop")
        );
        let dir = tempfile::tempdir().unwrap();
        let (state, run) = (dir.path().join("state"), dir.path().join("run"));
        std::fs::create_dir(&state).unwrap();
        std::fs::create_dir(&run).unwrap();
        let settings =
            AppSettings { engine: Some(dir.path().join("engine.sock")), ..AppSettings::default() }
                .at(dir.path(), &state);
        Bench {
            trust: Trust::parse(&text).unwrap(),
            settings,
            held: false,
            key,
            product: "demo".parse().unwrap(),
            device: BTreeMap::from([("id".to_owned(), "dev-7".to_owned())]),
            state,
            run,
            runner: Children,
            boot: std::cell::Cell::new(1),
            _dir: dir,
        }
    }

    pub(super) fn ctx(&self) -> AppContext<'_> {
        self.ctx_with(None)
    }

    pub(super) fn ctx_with<'a>(&'a self, engine: Option<&'a dyn Engine>) -> AppContext<'a> {
        AppContext {
            settings: &self.settings,
            state: &self.state,
            run: &self.run,
            engine,
            trust: &self.trust,
            product: &self.product,
            compatible: &self.product,
            booted: SlotId::A,
            boot_id: format!("boot-{}", self.boot.get()),
            slot: SlotTrial::None,
            held: self.held,
            runner: &self.runner,
            device: &self.device,
            sink: &Nowhere,
            up: 100,
            now: 1_000,
        }
    }

    /// The device is started again: what was in memory is gone.
    pub(super) fn reboot(&self) {
        self.boot.set(self.boot.get() + 1);
        std::fs::remove_dir_all(&self.run).unwrap();
        std::fs::create_dir(&self.run).unwrap();
    }

    pub(super) fn data(&self) -> &Path {
        self.settings.data.as_deref().unwrap()
    }

    pub(super) fn bundle(&self, app: &App, counter: u64) -> Vec<u8> {
        self.bundle_by(&self.key, app, counter)
    }

    pub(super) fn develop_bundle(&self, app: &App, counter: u64) -> Vec<u8> {
        self.bundle_by(&SigningKey::from_bytes(&[3; 32]), app, counter)
    }

    fn bundle_by(&self, key: &SigningKey, app: &App, counter: u64) -> Vec<u8> {
        let text = serde_json::to_vec(&serde_json::to_value(&app.document).unwrap()).unwrap();
        let image =
            |kind, bytes: &[u8]| Image { kind, ..Image::rootfs(Cursor::new(bytes.to_vec())) };
        let mut images = vec![image(PayloadKind::App, &text)];
        images.extend(app.images.iter().map(|config| image(PayloadKind::Image, config)));
        images.extend(app.layers.values().map(|layer| image(PayloadKind::Layer, layer)));
        if !app.tree.is_empty() {
            images.push(image(PayloadKind::Tree, &app.tree));
        }
        let mut payload = Vec::new();
        let packing = Packing { threads: 1, ..Packing::of(3) };
        let packed = pack(images, packing, &mut payload, &|_| ()).unwrap();
        let draft = Draft {
            product: self.product.clone(),
            compatible: vec![self.product.clone()],
            version: format!("1.{counter}").parse().unwrap(),
            release_counter: counter,
            security_epoch: 0,
            app: Some(app.document.app.as_str().parse().unwrap()),
            notes: None,
            provenance: Provenance::default(),
            hints: toml::Table::new(),
        };
        let mut head: Unverified = draft.head(packed).unwrap();
        let signature = key.sign(head.statement().unwrap().as_bytes()).to_bytes();
        head.add_signature(&public(key), signature).unwrap();
        [head.to_bytes(), payload].concat()
    }
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().as_bytes()).unwrap()
}

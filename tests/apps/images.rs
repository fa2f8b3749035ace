//! Container images made by hand: a tar writer, and each form in which tools save images. No engine is needed.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Write;
use std::path::Path;
use surefoot::model::Digest;

/// An entry of a tar archive.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: u8,
    pub(crate) link: String,
    pub(crate) data: Vec<u8>,
    pub(crate) mtime: u64,
    /// What the header says, where that is not true.
    pub(crate) said_len: Option<u64>,
}

pub(crate) fn file(name: &str, data: impl AsRef<[u8]>) -> Entry {
    let data = data.as_ref().to_vec();
    Entry { name: name.into(), kind: b'0', link: String::new(), data, mtime: 7, said_len: None }
}

pub(crate) fn entry(name: &str, kind: u8, link: &str) -> Entry {
    Entry { kind, link: link.into(), ..file(name, "") }
}

pub(crate) fn folder(name: &str) -> Entry {
    entry(&format!("{name}/"), b'5', "")
}

/// An archive of POSIX ustar, with GNU's long names where a name needs one.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in entries {
        if one.name.len() > 100 {
            let long = Entry {
                data: [one.name.as_bytes(), b"\0"].concat(),
                ..entry("././@LongLink", b'L', "")
            };
            block(&mut out, &long);
        }
        block(&mut out, one);
    }
    out.extend([0; 1024]);
    out
}

fn block(out: &mut Vec<u8>, entry: &Entry) {
    let mut head = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, &entry.name.as_bytes()[..entry.name.len().min(100)]);
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    let len = entry.said_len.unwrap_or(entry.data.len() as u64);
    put(124, format!("{len:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", entry.mtime).as_bytes());
    put(148, b"        ");
    put(156, &[entry.kind]);
    put(157, entry.link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u64 = head.iter().map(|b| u64::from(*b)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend(head);
    out.extend(&entry.data);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// An image: its configuration and its plain layers.
#[derive(Clone)]
pub(crate) struct MadeImage {
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl MadeImage {
    pub(crate) fn new(architecture: &str, layers: &[Vec<u8>]) -> MadeImage {
        MadeImage::with(architecture, layers, serde_json::json!({}))
    }

    /// With what the image says of how it is run.
    pub(crate) fn with(
        architecture: &str,
        layers: &[Vec<u8>],
        config: serde_json::Value,
    ) -> MadeImage {
        let ids: Vec<String> = layers.iter().map(|l| format!("sha256:{}", Digest::of(l))).collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": ids },
        });
        MadeImage { config: serde_json::to_vec(&config).unwrap(), layers: layers.to_vec() }
    }

    pub(crate) fn id(&self) -> String {
        Digest::of(&self.config).to_string()
    }
}

/// How layers are packed in an OCI archive.
#[derive(Clone, Copy)]
pub(crate) enum Pack {
    Plain,
    Gzip,
    Zstd,
}

impl Pack {
    fn bytes(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Pack::Plain => plain.to_vec(),
            Pack::Gzip => {
                let mut out =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(plain).unwrap();
                out.finish().unwrap()
            }
            Pack::Zstd => {
                let mut out = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
                zstd_safe::compress(&mut out, plain, 3).unwrap();
                out
            }
        }
    }
}

/// The members of an OCI layout with these images and their names.
pub(crate) fn oci(images: &[(&MadeImage, &str)], pack: Pack) -> Vec<Entry> {
    let blob = |bytes: Vec<u8>| (format!("sha256:{}", Digest::of(&bytes)), bytes);
    let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
    for (image, name) in images {
        let layers: Vec<(String, Vec<u8>)> =
            image.layers.iter().map(|l| blob(pack.bytes(l))).collect();
        let config = blob(image.config.clone());
        let described = |(digest, bytes): &(String, Vec<u8>), kind: &str| serde_json::json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": described(&config, "application/vnd.oci.image.config.v1+json"),
            "layers": layers.iter().map(|l| described(l, layer)).collect::<Vec<_>>(),
        });
        let manifest = blob(serde_json::to_vec(&manifest).unwrap());
        let mut at = described(&manifest, "application/vnd.oci.image.manifest.v1+json");
        if !name.is_empty() {
            at["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        }
        manifests.push(at);
        blobs.extend(layers);
        blobs.extend([config, manifest]);
    }
    blobs.sort();
    blobs.dedup();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    let mut entries = vec![
        file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
        file("index.json", serde_json::to_vec(&index).unwrap()),
    ];
    entries.extend(
        blobs
            .iter()
            .map(|(digest, bytes)| file(&digest.replacen("sha256:", "blobs/sha256/", 1), bytes)),
    );
    entries
}

/// As `docker save` wrote them before version 25, and podman does: a folder for each layer, the same layer as a link.
pub(crate) fn docker_old(images: &[(&MadeImage, &str)]) -> Vec<Entry> {
    let (mut entries, mut saved) = (Vec::<Entry>::new(), Vec::new());
    for (n, (image, name)) in images.iter().enumerate() {
        let mut layers = Vec::new();
        for (m, layer) in image.layers.iter().enumerate() {
            let place = format!("{n}{m}/layer.tar");
            let same = entries.iter().find(|e| e.kind == b'0' && e.data == *layer);
            entries.push(match same.map(|e| e.name.clone()) {
                Some(first) => entry(&place, b'2', &format!("../{first}")),
                None => file(&place, layer),
            });
            layers.push(place);
        }
        let config = format!("{}.json", image.id());
        entries.push(file(&config, &image.config));
        saved.push(serde_json::json!({ "Config": config, "RepoTags": [name], "Layers": layers }));
    }
    entries.push(file("manifest.json", serde_json::to_vec(&saved).unwrap()));
    entries
}

/// As `docker save` writes them since version 25: an OCI layout with a `manifest.json` beside it.
pub(crate) fn docker_new(images: &[(&MadeImage, &str)]) -> Vec<Entry> {
    // The index has the tag alone, and the name of the engine beside it.
    let tags: Vec<(&MadeImage, &str)> = images.iter().map(|(image, _)| (*image, "")).collect();
    let mut entries = oci(&tags, Pack::Plain);
    let saved: Vec<serde_json::Value> = images
        .iter()
        .map(|(image, name)| {
            let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes));
            let layers: Vec<String> = image.layers.iter().map(|l| blob(l)).collect();
            serde_json::json!({ "Config": blob(&image.config), "RepoTags": [name], "Layers": layers })
        })
        .collect();
    entries.push(file("manifest.json", serde_json::to_vec(&saved).unwrap()));
    entries
}

/// Members as files of a folder.
pub(crate) fn lay_out(entries: &[Entry], place: &Path) {
    for entry in entries {
        let path = place.join(&entry.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &entry.data).unwrap();
    }
}

/// A layer whose bytes nothing else has.
pub(crate) fn layer(seed: u8) -> Vec<u8> {
    let noise: Vec<u8> = (0..40_000u32)
        .map(|n| n.wrapping_mul(0x9e37_79b9).wrapping_add(u32::from(seed)).to_be_bytes()[1])
        .collect();
    tar(&[
        folder("bin"),
        file(&format!("bin/program-{seed}"), noise),
        entry("bin/sh", b'2', "/bin/busybox"),
    ])
}

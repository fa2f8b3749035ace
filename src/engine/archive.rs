//! Archives of images as engines take them, written while their layers are read: `docker save`'s form, and that of
//! OCI with uncompressed layers. Layers that an engine has are left out. What names the image stands at the end, so
//! that an archive that breaks off is no image.

use super::types::{EngineKind, ImageToLoad, LayerSource};
use crate::model::{Digest, Failure, ReasonCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::io::{Error, Read as _, Result, Write};

const BLOCK: u64 = 512;

/// What an archive will hold.
pub(super) struct Archive {
    /// The layers that are sent, with their names.
    layers: Vec<(String, Digest, u64)>,
    /// The small files behind them.
    files: Vec<(String, Vec<u8>)>,
}

impl Archive {
    /// Without the first `have` layers.
    pub(super) fn new(kind: EngineKind, image: &ImageToLoad<'_>, have: usize) -> Archive {
        let name = |digest: &Digest| match kind {
            EngineKind::Docker => format!("{digest}.tar"),
            EngineKind::Podman => format!("blobs/sha256/{digest}"),
        };
        let mut layers: Vec<(String, Digest, u64)> = Vec::new();
        for (digest, len) in image.layers.iter().skip(have) {
            // An image may have one layer twice.
            if !layers.iter().any(|(_, d, _)| d == digest) {
                layers.push((name(digest), *digest, *len));
            }
        }
        let files = match kind {
            EngineKind::Docker => docker(image, &name),
            EngineKind::Podman => oci(image),
        };
        Archive { layers, files }
    }

    /// Its length.
    pub(super) fn len(&self) -> u64 {
        let layers = self.layers.iter().map(|(_, _, len)| *len);
        let files = self.files.iter().map(|(_, bytes)| bytes.len() as u64);
        let whole = |len: u64| BLOCK.saturating_add(len.div_ceil(BLOCK).saturating_mul(BLOCK));
        layers.chain(files).map(whole).fold(2 * BLOCK, u64::saturating_add)
    }

    /// Writes it. Each layer is compared with its digest before what follows it is written.
    pub(super) fn write(&self, from: &mut dyn LayerSource, to: &mut dyn Write) -> Result<()> {
        for (name, digest, len) in &self.layers {
            to.write_all(&header(name, *len))?;
            copy(digest, *len, from, to)?;
            pad(*len, to)?;
        }
        for (name, bytes) in &self.files {
            to.write_all(&header(name, bytes.len() as u64))?;
            to.write_all(bytes)?;
            pad(bytes.len() as u64, to)?;
        }
        to.write_all(&[0; 2 * 512])
    }
}

fn docker(image: &ImageToLoad<'_>, name: &dyn Fn(&Digest) -> String) -> Vec<(String, Vec<u8>)> {
    let layers: Vec<String> = image.layers.iter().map(|(digest, _)| name(digest)).collect();
    let config = format!("{}.json", image.id);
    let manifest = json!([{ "Config": config, "RepoTags": [image.tag], "Layers": layers }]);
    vec![
        (config, image.config.to_vec()),
        ("manifest.json".to_owned(), manifest.to_string().into_bytes()),
    ]
}

fn oci(image: &ImageToLoad<'_>) -> Vec<(String, Vec<u8>)> {
    const OCI: &str = "application/vnd.oci.image";
    let blob = |kind: &str, digest: &Digest, len: u64| json!({ "mediaType": format!("{OCI}.{kind}"), "digest": format!("sha256:{digest}"), "size": len });
    let layers: Vec<_> =
        image.layers.iter().map(|(d, len)| blob("layer.v1.tar", d, *len)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format!("{OCI}.manifest.v1+json"),
        "config": blob("config.v1+json", &image.id, image.config.len() as u64),
        "layers": layers,
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let mut listed = blob("manifest.v1+json", &digest, manifest.len() as u64);
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": image.tag });
    let index = json!({ "schemaVersion": 2, "manifests": [listed] });
    vec![
        (format!("blobs/sha256/{}", image.id), image.config.to_vec()),
        (format!("blobs/sha256/{digest}"), manifest),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ]
}

fn copy(digest: &Digest, len: u64, from: &mut dyn LayerSource, to: &mut dyn Write) -> Result<()> {
    let wrong = |why: &str| {
        let short = digest.short();
        Error::other(Failure::new(ReasonCode::ContainerImage, format!("layer {short}: {why}")))
    };
    let mut layer = from.open(digest).map_err(Error::other)?;
    let (mut hash, mut left, mut buf) = (Sha256::new(), len, vec![0; 64 << 10]);
    loop {
        // A failure of ours keeps its code; any other is not one of the engine.
        let n = layer.read(&mut buf).map_err(|e| {
            match e.get_ref().is_some_and(|e| e.is::<Failure>()) {
                true => e,
                false => wrong(&e.to_string()),
            }
        })?;
        if n == 0 {
            break;
        }
        left = left.checked_sub(n as u64).ok_or_else(|| wrong("it is longer than it says"))?;
        hash.update(&buf[..n]);
        to.write_all(&buf[..n])?;
    }
    match (left, Digest(hash.finalize().into()) == *digest) {
        (0, true) => Ok(()),
        (0, false) => Err(wrong("its bytes are others than it says")),
        _ => Err(wrong("it is shorter than it says")),
    }
}

fn pad(len: u64, to: &mut dyn Write) -> Result<()> {
    let over = usize::try_from(len % BLOCK).unwrap_or(0);
    to.write_all(&[0; 512][..(512 - over) % 512])
}

/// The head of a file, as POSIX has it (ustar).
pub(super) fn header(name: &str, len: u64) -> [u8; 512] {
    let mut head = [0; 512];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    match len < 1 << 33 {
        true => put(124, format!("{len:011o}\0").as_bytes()),
        // In binary, as GNU tar began it and every reader knows it.
        false => {
            put(124, &[0x80]);
            put(128, &len.to_be_bytes());
        }
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0ustar\x0000");
    let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

//! `build --app`: from a Compose file and archives of images to a signed bundle.

use super::compose::{self, Composed};
use super::health;
use super::images::{ImageShelf, OfferedImage};
use super::layer::{self, LayerFact, PlainLayer};
use super::lint::{self, LintFinding};
use super::tree;
use super::yaml::MOST_BYTES;
use crate::artifact::write::{Image, Packed, Packing, pack};
use crate::artifact::{Cuts, PayloadKind};
use crate::bundle::{
    AppDocument, AppKind, CommandApp, ImageEntry, NativeApp, RunWhen, ServiceName,
};
use crate::forge::file;
use crate::forge::progress::Progress;
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked for.
pub(super) struct AppWish {
    pub(super) name: String,
    pub(super) compose: PathBuf,
    pub(super) images: Option<PathBuf>,
}

/// A bundle, complete but for its signed head.
pub(super) struct AppPacked {
    pub(super) document: AppDocument,
    pub(super) packed: Packed,
    pub(super) findings: Vec<LintFinding>,
    /// Uncompressed lengths of layers.
    pub(super) layers: BTreeMap<Digest, u64>,
}

/// Go's words for processors.
const ARCHITECTURES: [&str; 12] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64le",
    "riscv64", "s390x",
];

/// Reads all that belongs to the bundle, checks it, and packs it into `out`. Near `near` there is room for files.
pub(super) fn pack_app(
    wish: &AppWish,
    packing: Packing,
    near: &Path,
    out: &mut dyn Write,
) -> Result<AppPacked> {
    let name: ServiceName =
        wish.name.parse().map_err(|why: String| Failure::new(ReasonCode::Usage, why))?;
    let text = file::read_text(&wish.compose, MOST_BYTES, ReasonCode::ComposeInvalid)?;
    let at = |f: Failure| f.at(wish.compose.display());
    let mut composed = compose::parse(&text, &name).map_err(at)?;
    let mut contents = Contents::default();
    let mut findings = Vec::new();
    match composed.document.kind {
        AppKind::Containers => {
            let folder = wish.images.as_deref().ok_or_else(|| {
                Failure::new(
                    ReasonCode::Usage,
                    "--images is missing: the folder with the archives of the images",
                )
            })?;
            let shelf = ImageShelf::open(folder, near)?;
            contents.images(&mut composed, &shelf, near, &mut findings).map_err(at)?;
        }
        AppKind::Native | AppKind::Command => contents.tree(&mut composed, wish, near)?,
    }
    composed.document.check().map_err(at)?;
    if let Some((file, _)) = &contents.tree {
        let document = &composed.document;
        document.check_units(|unit| tree::read_one(document.files(), file, unit)).map_err(at)?;
    }
    let Contents { configs, layers, order, tree } = contents;
    let document = composed.document;
    let bytes = document.to_bytes();
    if bytes.len() as u64 > crate::bundle::MAX_DOCUMENT_LEN {
        let (len, most) = (bytes.len(), crate::bundle::MAX_DOCUMENT_LEN);
        let text = format!("what the file says has {len} bytes; {most} at most");
        return Err(at(Failure::new(ReasonCode::ComposeInvalid, text)));
    }
    let mut images = vec![payload(PayloadKind::App, Cursor::new(bytes))];
    images.extend(
        configs.into_values().map(|config| payload(PayloadKind::Image, Cursor::new(config))),
    );
    let mut total = 0;
    let mut lengths = BTreeMap::new();
    for id in order {
        let layer = &layers[&id];
        total += layer.len;
        lengths.insert(id, layer.len);
        let part = super::archive::FilePart::new(layer.file.clone(), 0, layer.len);
        images.push(payload(PayloadKind::Layer, part));
    }
    if let Some((file, len)) = tree {
        total += len;
        images.push(payload(
            PayloadKind::Tree,
            super::archive::FilePart::new(Arc::new(file), 0, len),
        ));
    }
    let progress = Progress::new("packing", total);
    let packed = pack(images, packing, out, &|done| progress.at(done))?;
    let held = packed.payloads.iter().map(|p| (p.kind.name(), &p.sha256, p.size));
    document.check_payloads(&wish.name, held)?;
    Ok(AppPacked { document, packed, findings, layers: lengths })
}

fn payload<'a>(kind: PayloadKind, input: impl Read + Send + 'a) -> Image<'a> {
    Image {
        input: Box::new(input),
        kind,
        part: None,
        hardware: Vec::new(),
        verity_root: None,
        cuts: Cuts::default(),
    }
}

/// What goes into the bundle beside the document.
#[derive(Default)]
struct Contents {
    configs: BTreeMap<Digest, Vec<u8>>,
    layers: BTreeMap<Digest, PlainLayer>,
    /// Each layer once, as it is met first.
    order: Vec<Digest>,
    tree: Option<(std::fs::File, u64)>,
}

impl Contents {
    /// Finds the image of each service, and reads what the bundle does not have yet.
    fn images(
        &mut self,
        composed: &mut Composed,
        shelf: &ImageShelf,
        near: &Path,
        findings: &mut Vec<LintFinding>,
    ) -> Result<()> {
        let mut users = BTreeMap::new();
        for (name, wanted) in &composed.wanted {
            let image = shelf.find(wanted)?;
            check_architecture(image, &composed.document)?;
            let service = composed.document.services.get_mut(name);
            let service = service.expect("because each service wants an image");
            service.image = image.id;
            if !wanted.health_said && service.run == RunWhen::Always {
                service.health = health::of_image(&image.about.config);
            }
            let user = image.about.config.get("User").and_then(serde_json::Value::as_str);
            users.insert(name.to_string(), user.unwrap_or_default().to_owned());
            if !self.configs.contains_key(&image.id) {
                let entry = self.image(shelf, image, &wanted.name, near, findings)?;
                composed.document.images.insert(image.id, entry);
                self.configs.insert(image.id, image.config.clone());
            }
        }
        lint::services(composed, &users, findings);
        Ok(())
    }

    fn image(
        &mut self,
        shelf: &ImageShelf,
        image: &OfferedImage,
        name: &str,
        near: &Path,
        findings: &mut Vec<LintFinding>,
    ) -> Result<ImageEntry> {
        let archive = &shelf.archives[image.archive];
        let ids = image.about.diff_ids().unwrap_or_default();
        let (mut below, mut size) = (BTreeMap::<String, LayerFact>::new(), 0u64);
        for (id, member) in ids.iter().zip(&image.layers) {
            let new = !self.layers.contains_key(id);
            if new {
                let part = archive.member(member)?.ok_or_else(|| {
                    super::archive::bad(&archive.path, format!("layer {member} is not in it"))
                })?;
                let plain = layer::unpack(part, id, &archive.path, near)?;
                self.layers.insert(*id, plain);
                self.order.push(*id);
            }
            let plain = &self.layers[id];
            size = size.saturating_add(plain.len);
            if new {
                lint::layer(&format!("image {name}"), plain, &below, findings);
            }
            layer::stack(plain, &mut below).map_err(|f| {
                f.at(format!("{}: layer {}", archive.path.display(), &id.to_string()[..12]))
            })?;
        }
        let about = &image.about;
        Ok(ImageEntry {
            name: name.to_owned(),
            architecture: about.architecture.clone(),
            variant: about.variant.clone(),
            layers: ids,
            size,
        })
    }

    fn tree(&mut self, composed: &mut Composed, wish: &AppWish, near: &Path) -> Result<()> {
        let folder = wish.compose.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        if let Some(tree) = &composed.tree {
            let (found, file, len) = tree::read(&folder.join(tree), near)?;
            files = found;
            self.tree = (len > 0).then_some((file, len));
        }
        let document = &mut composed.document;
        if let Some((program, timeout)) = &composed.command {
            let program = program.parse().map_err(|why: String| {
                Failure::new(ReasonCode::ComposeInvalid, format!("x-surefoot.program: {why}"))
            })?;
            document.command = Some(CommandApp { program, files, timeout: *timeout });
        } else {
            document.native = Some(NativeApp { files, units: composed.units.clone() });
        }
        Ok(())
    }
}

/// All images of a bundle are for one processor.
fn check_architecture(image: &OfferedImage, document: &AppDocument) -> Result<()> {
    let wrong = |why: String| Err(Failure::new(ReasonCode::WrongArchitecture, why));
    let own = &image.about.architecture;
    if !ARCHITECTURES.contains(&own.as_str()) {
        let shown = crate::model::printable(own, 40);
        return wrong(format!("image {} is for `{shown}`, which is no processor", image.id));
    }
    match document.images.values().find(|other| other.architecture != *own) {
        Some(other) => wrong(format!(
            "image {} is for `{own}`, and `{}` for `{}`: one bundle for each of them",
            image.id, other.name, other.architecture
        )),
        None => Ok(()),
    }
}

//! Slot a: the signed payload byte for byte, and the record that says what it is.

use super::boot::BoardParts;
use super::convert::Source;
use super::judge::{Seen, judge};
use super::own::{Own, Wanted};
use super::recipe::Recipe;
use super::tools::Scratch;
use super::tree::Tree;
use super::{ext4, folder, tar};
use crate::artifact::{PayloadKind, Release, Unverified, read_head};
use crate::forge::build::make_for_disk;
use crate::forge::delta::write_image;
use crate::forge::file::{self, Replacement};
use crate::forge::image::{self, For};
use crate::forge::key_words::KeyWords;
use crate::forge::order::order;
use crate::forge::progress::Progress;
use crate::forge::settings::Settings;
use crate::model::{Failure, Identifier, ReasonCode, Result, Version};
use crate::provision::{DiskId, MIB};
use crate::rootfs::Root;
use crate::slot::record::{PAYLOAD_MAX, RECORD_LEN};
use crate::trust::Trust;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What becomes slot a.
pub(super) struct SlotA {
    pub(super) image: File,
    pub(super) len: u64,
    /// For people: `ext4 from a tar archive`.
    pub(super) kind: String,
    /// The payload of the slot record; none of what nobody has signed.
    pub(super) record: Option<Vec<u8>>,
    pub(super) release: Option<Release>,
    /// The artifact that was made and is to be kept. It gets its name with the disk, or not at all.
    pub(super) artifact: Option<Replacement>,
    pub(super) own: Own,
    pub(super) warnings: Vec<String>,
}

/// What a slot is made with.
pub(super) struct Work<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) wanted: &'a Wanted,
    pub(super) board: &'a BoardParts,
    pub(super) id: DiskId,
    pub(super) scratch: &'a Scratch,
    /// How long the image may be, where the recipe says so.
    pub(super) room: Option<u64>,
}

const UNSIGNED: &str = "factory release unsigned: version unknown, no delta";

impl Work<'_> {
    pub(super) fn slot(&self) -> Result<SlotA> {
        let root = &self.recipe.values.root;
        if let Some(artifact) = &root.artifact {
            return match root.rootfs {
                Some(_) => {
                    Err(self.recipe.wrong("root.artifact", "say either `rootfs` or `artifact`"))
                }
                None => {
                    self.nothing_for_a_release(
                        "an artifact has its own release already: leave this out",
                    )?;
                    self.of_artifact(artifact)
                }
            };
        }
        self.release_words()?;
        let rootfs = self.recipe.need("root.rootfs", "--rootfs, --artifact", &root.rootfs)?;
        self.signed(self.of_rootfs(rootfs)?)
    }

    /// The root of a disk that is converted.
    pub(super) fn of_source(&self, source: Source) -> Result<SlotA> {
        self.release_words()?;
        let mut slot =
            self.of_tree(source.tree, "ext4 from a converted disk".to_owned(), epoch()?)?;
        slot.warnings.splice(0..0, source.warnings);
        self.signed(slot)
    }

    fn of_rootfs(&self, path: &Path) -> Result<SlotA> {
        let blame = self.recipe.blame("root.rootfs");
        let epoch = epoch()?;
        if std::fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            let tree = folder::read(path, epoch.unwrap_or(FIXED)).map_err(blame)?;
            return self.of_tree(tree, "ext4 from a folder".to_owned(), epoch);
        }
        let opened = image::open(path, For::Tree, self.scratch.path()).map_err(&blame)?;
        if opened.kind.starts_with(image::TAR) {
            let spool = self.scratch.path().join("files");
            std::fs::create_dir(&spool).map_err(|e| file::failure(&spool, &e))?;
            let mut input = BufReader::with_capacity(1 << 20, opened.file);
            let (tree, lost) = tar::read(&mut input, &spool).map_err(blame)?;
            let slot = self.of_tree(tree, format!("ext4 from {}", opened.kind), epoch);
            let slot = slot.map(|mut slot| {
                slot.warnings.extend(lost);
                slot
            });
            // It may be as long as the image.
            let _ = std::fs::remove_dir_all(&spool);
            return slot;
        }
        let root = self.opened(&opened.file, path)?;
        let (own, mut warnings) = self.wanted.read(&root, self.recipe, self.scratch)?;
        warnings.extend(judge(&Seen::Root(&root), &self.board.environment, self.recipe)?);
        let (image, len, kind) = (opened.file, opened.len, opened.kind);
        Ok(SlotA { image, len, kind, record: None, release: None, artifact: None, own, warnings })
    }

    fn opened(&self, file: &File, path: &Path) -> Result<Root> {
        let file = file.try_clone().map_err(|e| file::failure(path, &e))?;
        Root::of_file(file, path).map_err(self.recipe.blame("root.rootfs"))
    }

    fn of_tree(&self, mut tree: Tree, kind: String, epoch: Option<u64>) -> Result<SlotA> {
        let newest = tree.iter().map(|(_, item)| item.mtime).max().unwrap_or(FIXED);
        let mtime = epoch.unwrap_or(newest);
        tree.settle().map_err(self.recipe.blame("root.rootfs"))?;
        let own = self.wanted.put(&mut tree, self.recipe, self.scratch, mtime)?;
        let attributes = tree.only_known_attributes();
        let mut warnings = judge(&Seen::Tree(&tree), &self.board.environment, self.recipe)?;
        if attributes > 0 {
            warnings.push(format!("{attributes} extended attributes are of no kind that Linux knows (user, security, trusted, system.posix_acl_…) and are left out"));
        }
        if own.trust.is_none() {
            warnings.push("no trust file: say `[trust] file`, or put one into the root".to_owned());
        }
        let len = ext4::needed(&tree);
        let uuid = self.id.uuid("root filesystem").unwrap_or_default();
        let room = self.room.map_or(len, |room| room.min(len));
        let path = self.scratch.zeros("root.ext4", room)?;
        let made = ext4::make(&tree, &path, room, &uuid, self.scratch);
        let key =
            if self.room.is_some_and(|room| room < len) { "root.slot-size" } else { "root.rootfs" };
        made.map_err(|f| match f.code() {
            ReasonCode::TooBig | ReasonCode::NotAnImage => self.recipe.blame(key)(f),
            _ => f,
        })?;
        let image = file::open(&path)?;
        Ok(SlotA {
            image,
            len: room,
            kind,
            record: None,
            release: None,
            artifact: None,
            own,
            warnings,
        })
    }

    /// Before minutes are spent on the root: whether a release can be made as it was said.
    fn release_words(&self) -> Result<()> {
        let root = &self.recipe.values.root;
        if root.key.is_none() {
            return self.nothing_for_a_release(
                "it is of a signed release: `root.key` (or --key) is missing",
            );
        }
        let version = self.recipe.need("root.version", "--version", &root.version)?;
        if order(Some(version), root.release_counter).is_err() {
            let why = format!(
                "`{version}` is not MAJOR.MINOR.PATCH, three numbers of which the last two are below 1000: say `root.release-counter` (or --release-counter) too, a number that grows with each release"
            );
            return Err(self.recipe.wrong("root.version", why));
        }
        let parsed: std::result::Result<Version, String> = version.parse();
        parsed.map(|_| ()).map_err(|why| self.recipe.wrong("root.version", why))
    }

    /// What was said for a release that is made, where none is.
    fn nothing_for_a_release(&self, why: &str) -> Result<()> {
        let (root, recipe) = (&self.recipe.values.root, self.recipe);
        // An artifact that was typed takes the place of the release that the recipe makes; and a recipe may have
        // the version alone, for a disk whose release is signed elsewhere.
        let instead = recipe.is_typed("root.artifact");
        for (key, there) in [
            ("root.version", root.version.is_some()),
            ("root.release-counter", root.release_counter.is_some()),
            ("root.key", root.key.is_some()),
            ("root.pub", root.r#pub.is_some()),
            ("root.artifact-out", root.artifact_out.is_some()),
            ("root.config", root.config.is_some() && root.artifact.is_some()),
        ] {
            if there && (recipe.is_typed(key) || !instead && key != "root.version") {
                return Err(recipe.wrong(key, why));
            }
        }
        Ok(())
    }

    /// Builds and signs a release of it, where the recipe has a key.
    fn signed(&self, mut slot: SlotA) -> Result<SlotA> {
        let root = &self.recipe.values.root;
        let Some(key) = &root.key else {
            slot.warnings.push(UNSIGNED.to_owned());
            return Ok(slot);
        };
        let recipe = self.recipe;
        let version = recipe.need("root.version", "--version", &root.version)?;
        let product = self.identity("product", &slot.own.product, &self.wanted.product)?;
        let compatible =
            self.identity("compatible", &slot.own.compatible, &self.wanted.compatible)?;
        let image = format!("/proc/self/fd/{}", slot.image.as_raw_fd());
        let words = KeyWords {
            key: Some(key.clone()),
            r#pub: root.r#pub.clone(),
            trust: root.r#pub.is_none().then(|| recipe.values.trust.file.clone()).flatten(),
            trust_file_inside: None,
        };
        let mut settings = Settings {
            product: Some(product.to_string()),
            compatible: vec![compatible.to_string()],
            version: Some(version.clone()),
            counter: root.release_counter,
            rootfs: Some(PathBuf::from(image)),
            level: root.level,
            key: words.key,
            r#pub: words.r#pub,
            trust: words.trust,
            ..Settings::default()
        };
        let near = self.scratch.path().join("release.surefoot");
        let made = make_for_disk(&mut settings, root.artifact_out.as_deref(), &near);
        let (head, artifact) = made.map_err(|f| match f.code() {
            // What is about the room on this computer, and not about the key.
            ReasonCode::Io | ReasonCode::NoSpace | ReasonCode::NoMemory => f,
            _ => recipe.blame("root.key")(f),
        })?;
        let release = self.verified(&head, &slot.own, "root.key", &mut slot.warnings)?;
        self.record(&mut slot, release, 0)?;
        slot.artifact = artifact;
        Ok(slot)
    }

    fn identity(
        &self,
        key: &str,
        own: &Option<Identifier>,
        wanted: &Option<Identifier>,
    ) -> Result<Identifier> {
        let value = own.clone().or_else(|| wanted.clone());
        self.recipe.need(key, &format!("--{key}"), &value).cloned()
    }

    fn record(&self, slot: &mut SlotA, release: Release, payload: usize) -> Result<()> {
        slot.record = Some(release.record(&[payload], PAYLOAD_MAX)?);
        slot.release = Some(release);
        Ok(())
    }

    /// The release, if the device will accept it. Without a trust file nothing can be said.
    fn verified(
        &self,
        head: &Unverified,
        own: &Own,
        key: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Release> {
        let trust = own.trust.as_ref().or(self.wanted.trust.as_ref());
        let Some(text) = trust else {
            warnings.push("no trust file: the signature of the release is not verified".to_owned());
            return head.clone().parse_unverified();
        };
        let verified = head.clone().verify(&Trust::parse(text)?);
        let release = verified.map_err(self.recipe.blame(key))?;
        Ok((*release).clone())
    }

    fn of_artifact(&self, path: &Path) -> Result<SlotA> {
        let (recipe, key) = (self.recipe, "root.artifact");
        let blame = recipe.blame(key);
        let mut input = BufReader::with_capacity(1 << 20, file::open(path).map_err(&blame)?);
        let named = |f: Failure| blame(f.at(path.display()));
        let head = read_head(&mut input).map_err(named)?;
        let release = head.clone().parse_unverified().map_err(named)?;
        release.pass_pages(&mut input)?;
        let wanted = self.payload(&release)?;
        let mut image = None;
        for (n, payload) in release.manifest.payloads.iter().enumerate() {
            // The payloads follow one another: those before it are unpacked to get to it.
            let place = self.scratch.zeros(&format!("payload-{n}"), payload.size)?;
            let out = crate::sys::files::own_to_change(&place, 0o600)
                .map_err(|e| file::failure(&place, &e))?;
            let progress = Progress::new("unpacking", payload.size);
            let mut done = 0;
            let count = |n| {
                done += n;
                progress.at(done);
            };
            write_image(&out, release.chunks_of(payload), &mut input, count).map_err(&blame)?;
            if n == wanted {
                image = Some((out, payload.size));
                break;
            }
            let _ = std::fs::remove_file(&place);
        }
        let missing = || recipe.wrong(key, "it carries no root filesystem");
        let (image, len) = image.ok_or_else(missing)?;
        let root = self.opened(&image, path)?;
        let (own, mut warnings) = self.wanted.read(&root, recipe, self.scratch)?;
        warnings.extend(judge(&Seen::Root(&root), &self.board.environment, recipe)?);
        let release = self.verified(&head, &own, key, &mut warnings)?;
        self.belongs(&release, &own)?;
        let kind = format!("{} of an artifact", root.kind());
        let mut slot =
            SlotA { image, len, kind, record: None, release: None, artifact: None, own, warnings };
        self.record(&mut slot, release, wanted)?;
        Ok(slot)
    }

    /// The payload with the root filesystem for this hardware revision.
    fn payload(&self, release: &Release) -> Result<usize> {
        let (recipe, key) = (self.recipe, "root.artifact");
        let hardware = recipe.values.root.hardware.as_deref();
        let fits = |revisions: &[Identifier]| {
            revisions.is_empty() || revisions.iter().any(|r| Some(r.as_str()) == hardware)
        };
        let all = release.manifest.payloads.iter().enumerate().filter(|(_, p)| fits(&p.hardware));
        let mut found = Vec::new();
        for (n, payload) in all {
            match payload.kind {
                PayloadKind::Rootfs => found.push(n),
                _ => {
                    let part = payload.part().unwrap_or_else(|| payload.kind.name());
                    let why = format!(
                        "it carries the part `{part}`: this makes disks whose slots are one partition"
                    );
                    return Err(recipe.wrong(key, why));
                }
            }
        }
        match found[..] {
            [one] => Ok(one),
            [] => Err(recipe
                .wrong(key, "it carries no root filesystem for this hardware: say `hardware`")),
            _ => Err(recipe.wrong(key, "it carries several root filesystems: say `hardware`")),
        }
    }

    fn belongs(&self, release: &Release, own: &Own) -> Result<()> {
        let manifest = &release.manifest;
        let (recipe, wanted) = (self.recipe, self.wanted);
        if let Some(product) = own.product.as_ref().or(wanted.product.as_ref())
            && *product != manifest.product
        {
            let why = format!(
                "the product is `{product}`, and the artifact is for `{}`",
                manifest.product
            );
            return Err(recipe.wrong("root.artifact", why));
        }
        if let Some(compatible) = own.compatible.as_ref().or(wanted.compatible.as_ref())
            && !manifest.compatible.contains(compatible)
        {
            let names: Vec<_> = manifest.compatible.iter().map(Identifier::as_str).collect();
            let why = format!(
                "the device is `{compatible}`, and the artifact is for `{}`",
                names.join(", ")
            );
            return Err(recipe.wrong("root.artifact", why));
        }
        Ok(())
    }
}

/// The size of each slot where the recipe says none: room to grow, where the disk has it.
pub(super) fn usual_slot(image: u64, most: Option<u64>) -> u64 {
    const UNIT: u64 = 4 * MIB;
    let least = (image + RECORD_LEN).next_multiple_of(MIB);
    let wished = (2 * image).max(64 * MIB).next_multiple_of(UNIT);
    most.map_or(wished, |most| wished.min(most / UNIT * UNIT)).max(least)
}

/// Times of files from a folder: no clock of the build host gets into an image.
const FIXED: u64 = 1_577_836_800;

/// SOURCE_DATE_EPOCH (reproducible-builds.org/docs/source-date-epoch).
fn epoch() -> Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| {
            Failure::new(ReasonCode::Usage, "SOURCE_DATE_EPOCH is not a number of seconds")
        }),
    }
}

//! A signer, an artifact and a device's disk, each as small as the real rooms allow.

use ed25519_dalek::{Signer, SigningKey};
use std::io::Cursor;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use surefoot::artifact::write::{Draft as Head, Image, Packed, Packing, pack};
use surefoot::artifact::{Chunk, Codec, Decoder, PayloadKind, Provenance, Release, read_head};
use surefoot::disk::Disk;
use surefoot::event::{Nowhere, Sink};
use surefoot::install::{Job, Report, Reuse, Target, plan, write_slot};
use surefoot::model::{CopyClaim, Digest, EnvClaims, Identifier, Result, SlotId};
use surefoot::provision::{
    self, Card, Counter, DiskId, ENV_LEN, ENV_OFFSETS, Factory, Plan, boot_script_file, make,
};
use surefoot::slot::record::RECORD_LEN;
use surefoot::slot::{Inactive, Layout, OpenPart, Part, SlotNames, read_parts};
use surefoot::source::{ByteStream, Fetch, Sequential, Source};
use surefoot::trust::{PublicKey, Trust, Verified};

/// The slots of every test's device.
pub(crate) const SLOT_LEN: usize = 8 << 20;
/// The largest image they take.
pub(crate) const ROOM: usize = SLOT_LEN - RECORD_LEN as usize;

const ROOT: [u8; 32] = [1; 32];
const RELEASE: [u8; 32] = [2; 32];
const STRANGER: [u8; 32] = [3; 32];

pub(crate) fn nowhere() -> &'static dyn Sink {
    &Nowhere
}

fn public(seed: &[u8; 32]) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(seed).verifying_key().as_bytes()).unwrap()
}

fn trust_in(release: &[u8; 32]) -> Trust {
    let key = |seed, role| {
        let (id, hex) = (public(seed).id(), public(seed).to_hex());
        format!(
            "[[keys]]\nid = \"{id}\"\nrole = \"{role}\"\nalg = \"ed25519\"\npublic = \"{hex}\"\n"
        )
    };
    let head = "format = 1\nname = \"test\"\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n";
    Trust::parse(&format!("{head}{}{}", key(&ROOT, "root"), key(release, "release"))).unwrap()
}

/// Whom the device trusts.
pub(crate) fn trust() -> Trust {
    trust_in(&RELEASE)
}

/// A device of somebody else.
pub(crate) fn strange_trust() -> Trust {
    trust_in(&STRANGER)
}

fn name(text: &str) -> Identifier {
    text.parse().unwrap()
}

/// Bytes that look like a filesystem's: runs of text, of noise and of zeros.
pub(crate) fn image(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut image = Vec::with_capacity(len + (1 << 18));
    while image.len() < len {
        let run = 4096 * (1 + (word() >> 40) as usize % 48);
        match (word() >> 40) % 4 {
            0 => image.resize(image.len() + run, 0),
            1 => (0..run / 8).for_each(|_| image.extend(word().to_le_bytes())),
            _ => image.extend(word().to_le_bytes().repeat(run / 8)),
        }
    }
    image.truncate(len);
    image
}

/// An artifact to be.
pub(crate) struct Draft {
    version: &'static str,
    product: &'static str,
    compatible: &'static str,
    images: Vec<(Vec<u8>, Vec<Identifier>, Option<Identifier>)>,
}

impl Draft {
    pub(crate) fn new(version: &'static str) -> Draft {
        Draft { version, product: "test", compatible: "board", images: Vec::new() }
    }

    pub(crate) fn product(mut self, product: &'static str) -> Draft {
        self.product = product;
        self
    }

    pub(crate) fn compatible(mut self, compatible: &'static str) -> Draft {
        self.compatible = compatible;
        self
    }

    pub(crate) fn rootfs(self, image: &[u8]) -> Draft {
        self.rootfs_for(image, &[])
    }

    pub(crate) fn rootfs_for(mut self, image: &[u8], hardware: &[&str]) -> Draft {
        let hardware = hardware.iter().map(|h| name(h)).collect();
        self.images.push((image.to_vec(), hardware, None));
        self
    }

    pub(crate) fn part(mut self, part: &str, image: &[u8]) -> Draft {
        self.images.push((image.to_vec(), Vec::new(), Some(name(part))));
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with(|_, _| ())
    }

    /// The same where the last compressed chunk is stored in another form, and signed like that:
    /// `change` gets its plain bytes and its frame.
    pub(crate) fn build_storing(&self, change: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<u8> {
        self.build_with(|packed, payload| {
            let is_frame = |c: &Chunk| c.codec == Codec::Zstd;
            let index = packed.table.chunks.iter().rposition(is_frame).unwrap();
            let (before, from) = packed.table.chunks.split_at_mut(index);
            let at = before.iter().map(|c| c.stored_len as usize).sum::<usize>();
            let chunk = &mut from[0];
            let end = at + chunk.stored_len as usize;
            let mut frame = payload[at..end].to_vec();
            let mut plain = vec![0; chunk.plain_len as usize];
            Decoder::new().unwrap().decode(chunk, &[], &frame, &mut plain).unwrap();
            change(&plain, &mut frame);
            chunk.stored_len = frame.len() as u32;
            chunk.stored = Digest::of(&frame);
            payload.splice(at..end, frame);
            packed.payloads[0].stored_size = payload.len() as u64;
        })
    }

    fn build_with(&self, change: impl FnOnce(&mut Packed, &mut Vec<u8>)) -> Vec<u8> {
        let mut payload = Vec::new();
        let images = self.images.iter().map(|(image, hardware, part)| Image {
            kind: if part.is_some() { PayloadKind::Part } else { PayloadKind::Rootfs },
            hardware: hardware.clone(),
            part: part.clone(),
            ..Image::rootfs(Cursor::new(image.clone()))
        });
        let packing = Packing { level: 3, average: 32 << 10, context: 256 << 10, threads: 2 };
        let mut packed = pack(images.collect(), packing, &mut payload, &|_| ()).unwrap();
        change(&mut packed, &mut payload);
        let head = Head {
            product: name(self.product),
            compatible: vec![name(self.compatible)],
            version: self.version.parse().unwrap(),
            release_counter: 1,
            security_epoch: 0,
            app: None,
            notes: None,
            provenance: Provenance::default(),
            hints: Default::default(),
        };
        let mut head = head.head(packed).unwrap();
        let statement = head.statement().unwrap();
        let signature = SigningKey::from_bytes(&RELEASE).sign(statement.as_bytes());
        head.add_signature(&public(&RELEASE), signature.to_bytes()).unwrap();
        [head.to_bytes(), payload].concat()
    }
}

/// A file in memory.
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Fetch for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.copy_from_slice(&self.0[offset as usize..][..buf.len()]);
        Ok(())
    }
}

pub(crate) fn release_of(artifact: &[u8]) -> Verified<Release> {
    of_file(artifact).0
}

pub(crate) fn of_file(artifact: &[u8]) -> (Verified<Release>, Source) {
    let source = Arc::new(Memory(artifact.to_vec()));
    let head = read_head(&mut Sequential::new(&*source)).unwrap();
    (head.verify(&trust()).unwrap(), Source::Ranges(source))
}

pub(crate) fn of_stream(artifact: &[u8]) -> (Verified<Release>, Source) {
    let mut stream = Cursor::new(artifact.to_vec());
    let head = read_head(&mut stream).unwrap();
    (head.verify(&trust()).unwrap(), Source::Stream(ByteStream::new(stream)))
}

/// A device whose slot a runs: a disk image in a folder of its own.
pub(crate) struct Device {
    _folder: tempfile::TempDir,
    path: PathBuf,
    names: SlotNames,
    pub(crate) target: Target,
}

impl Device {
    pub(crate) fn new() -> Device {
        Device::made(None, SlotNames::default())
    }

    /// Its slots have a boot part, which carries the record.
    pub(crate) fn of_two_parts() -> Device {
        let slot = |letter| [format!("boot-{letter}"), format!("rootfs-{letter}")];
        Device::made(Some(3 << 20), SlotNames::parse(&slot('a'), &slot('b')).unwrap())
    }

    /// The same disk with other words in `[slots]`.
    pub(crate) fn named(&mut self, a: &[&str], b: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        self.names = SlotNames::parse(&owned(a), &owned(b)).unwrap();
    }

    fn made(boot_part: Option<u64>, names: SlotNames) -> Device {
        let folder = crate::common::scratch();
        let path = folder.path().join("disk.img");
        let layout = provision::Layout::new(&Plan { boot_part, ..Plan::small(SLOT_LEN as u64) });
        let counter = Counter::Uboot;
        let board = "fdt_addr_r=1\nkernel_addr_r=1\nramdisk_addr_r=1\nscriptaddr=1\n";
        let factory = Factory { board, counter, set: &[], by_number: false };
        let copies = factory.environment().unwrap().copies(ENV_LEN, 2).unwrap();
        let pieces: Vec<_> = ENV_OFFSETS.into_iter().zip(copies).collect();
        let (id, boot_files) = (DiskId::Random, [boot_script_file()]);
        let card = Card { id, pieces: &pieces, boot_files: &boot_files, images: &[], record: None };
        make(&path, &layout.unwrap(), &card).unwrap();
        let target = Target { product: name("test"), compatible: name("board"), hardware: None };
        Device { _folder: folder, path, names, target }
    }

    pub(crate) fn of_revision(revision: &str) -> Device {
        let mut device = Device::new();
        device.target.hardware = Some(name(revision));
        device
    }

    fn open(&self) -> (Disk, Layout) {
        let disk = Disk::open(&self.path).unwrap();
        let layout = Layout::find(&disk.table().unwrap(), &self.names).unwrap();
        (disk, layout)
    }

    /// The first part of slot b.
    pub(crate) fn part(&self) -> Part {
        self.open().1.parts(SlotId::B)[0].clone()
    }

    /// Slot b for reading.
    pub(crate) fn slot(&self) -> Vec<OpenPart> {
        let (disk, layout) = self.open();
        read_parts(&disk, &layout, SlotId::B).unwrap()
    }

    pub(crate) fn slot_range(&self) -> Range<usize> {
        let (_, layout) = self.open();
        let range = layout.first(SlotId::B).range();
        range.start as usize..range.end as usize
    }

    pub(crate) fn disk_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    pub(crate) fn slot_bytes(&self) -> Vec<u8> {
        self.disk_bytes()[self.slot_range()].to_vec()
    }

    /// Changes the first part of slot b behind everybody's back.
    pub(crate) fn tamper(&self, offset: usize, bytes: &[u8]) {
        self.tamper_with(0, offset, bytes);
    }

    /// The same of the `nth` part.
    pub(crate) fn tamper_with(&self, nth: usize, offset: usize, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        let at = self.open().1.parts(SlotId::B)[nth].partition.start + offset as u64;
        file.write_all_at(bytes, at).unwrap();
        file.sync_all().unwrap();
    }

    pub(crate) fn write(
        &self,
        release: &Verified<Release>,
        input: Source,
        reuse: Reuse,
    ) -> Result<Report> {
        self.write_to(release, input, reuse, nowhere())
    }

    pub(crate) fn write_to(
        &self,
        release: &Verified<Release>,
        input: Source,
        reuse: Reuse,
        sink: &dyn Sink,
    ) -> Result<Report> {
        self.with_job(release, input, reuse, sink, write_slot)
    }

    pub(crate) fn with_job<T>(
        &self,
        release: &Verified<Release>,
        input: Source,
        reuse: Reuse,
        sink: &dyn Sink,
        act: impl FnOnce(Job) -> Result<T>,
    ) -> Result<T> {
        let (disk, layout) = self.open();
        let settled = CopyClaim::Alive { slot: Some(SlotId::A), trial: false };
        let copies = vec![settled, settled];
        let target = Inactive::prove(&disk, &layout, SlotId::A, &EnvClaims { copies })?;
        let plan = plan(release, &self.target, layout.parts(SlotId::B))?;
        let plan = &plan;
        let other = None;
        act(Job { release, plan, source: input, target: &target, reuse, other, delta: None, sink })
    }
}

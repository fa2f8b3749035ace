//! Packs and installs without the rest of the program, to measure and tune the pipeline:
//!
//! ```text
//! cargo run --profile device --example install_slot -- pack IMAGE ARTIFACT [LEVEL]
//! cargo run --profile device --example install_slot -- install ARTIFACT DISK nothing|resume|shared
//! cargo run --profile device --example install_slot -- verify DISK
//! ```
//!
//! DISK is a disk image with GPT partitions `rootfs-a` and `rootfs-b`; slot b is written. The keys
//! are made from constants: they protect nothing.

use ed25519_dalek::{Signer, SigningKey};
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;
use std::time::Instant;
use surefoot::artifact::write::{Draft, Image, Packing, pack};
use surefoot::artifact::{Provenance, read_head};
use surefoot::disk::Disk;
use surefoot::event::Nowhere;
use surefoot::install::{
    Depth, Job, Reuse, Target, check_file, installed, plan, verify_slot, write_slot,
};
use surefoot::model::{CopyClaim, EnvClaims, Result, SlotId};
use surefoot::slot::{Inactive, Layout, SlotNames};
use surefoot::source::{LocalFile, Sequential, Source};
use surefoot::trust::{PublicKey, Trust};

const ROOT: [u8; 32] = [0x11; 32];
const RELEASE: [u8; 32] = [0x22; 32];

fn trust() -> Result<Trust> {
    let key = |seed: &[u8; 32], role: &str| {
        let public = PublicKey::from_bytes(SigningKey::from_bytes(seed).verifying_key().as_bytes());
        let public = public.expect("because the seeds are good");
        let (id, hex) = (public.id(), public.to_hex());
        format!(
            "[[keys]]\nid = \"{id}\"\nrole = \"{role}\"\nalg = \"ed25519\"\npublic = \"{hex}\"\n"
        )
    };
    let head = "format = 1\nname = \"bench\"\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n";
    Trust::parse(&format!("{head}{}{}", key(&ROOT, "root"), key(&RELEASE, "release")))
}

fn make(image: &Path, artifact: &Path, level: i32) -> Result<()> {
    let name = |text: &str| text.parse().expect("because it is in the alphabet");
    let payload = artifact.with_extension("payload");
    let mut out = BufWriter::new(File::create(&payload).expect("a payload file"));
    let input = Image::rootfs(File::open(image).expect("an image"));
    let packing = Packing { level, ..Packing::default() };
    let packed = pack(vec![input], packing, &mut out, &|_| ())?;
    drop(out);
    let draft = Draft {
        product: name("bench"),
        compatible: vec![name("bench")],
        version: "1".parse().expect("because it is in the alphabet"),
        release_counter: 1,
        security_epoch: 0,
        app: None,
        notes: None,
        provenance: Provenance::default(),
        hints: Default::default(),
    };
    let mut head = draft.head(packed)?;
    let key = SigningKey::from_bytes(&RELEASE);
    let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
    head.add_signature(&public, key.sign(head.statement()?.as_bytes()).to_bytes())?;
    let mut file = File::create(artifact).expect("an artifact file");
    file.write_all(&head.to_bytes()).expect("room for the head");
    let mut payload_file = File::open(&payload).expect("the payload");
    payload_file.rewind().expect("a file");
    std::io::copy(&mut payload_file, &mut file).expect("room for the payload");
    std::fs::remove_file(payload).expect("the payload");
    Ok(())
}

fn install(artifact: &Path, disk: &Path, how: &str) -> Result<()> {
    let trust = trust()?;
    let file = LocalFile::open(artifact)?;
    let release = read_head(&mut Sequential::new(&file))?.verify(&trust)?;
    let disk = Disk::open(disk)?;
    let layout = Layout::find(&disk.table()?, &SlotNames::default())?;
    let settled = CopyClaim::Alive { slot: Some(SlotId::A), trial: false };
    let claims = EnvClaims { copies: vec![settled, settled] };
    let target = Inactive::prove(&disk, &layout, SlotId::A, &claims)?;
    let device = Target {
        product: "bench".parse().expect("because it is in the alphabet"),
        compatible: "bench".parse().expect("because it is in the alphabet"),
        hardware: None,
    };
    let plan = plan(&release, &device, layout.parts(target.id()))?;
    let start = Instant::now();
    check_file(&file, &release, Depth::Stored, &Nowhere)?;
    println!("checked after {:?}", start.elapsed());
    let reuse = match how {
        "resume" => Reuse::Resume,
        "shared" => installed(target.parts(), &trust)?
            .map_or(Reuse::Nothing, |i| Reuse::SharedWith(Box::new(i))),
        _ => Reuse::Nothing,
    };
    let report = write_slot(Job {
        release: &release,
        plan: &plan,
        source: Source::Local(file),
        target: &target,
        reuse,
        other: None,
        delta: None,
        sink: &Nowhere,
    })?;
    println!("written after {:?}: {report:?}", start.elapsed());
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["pack", image, artifact] => make(image.as_ref(), artifact.as_ref(), 19),
        ["pack", image, artifact, level] => {
            make(image.as_ref(), artifact.as_ref(), level.parse().expect("a level"))
        }
        ["install", artifact, disk, how] => install(artifact.as_ref(), disk.as_ref(), how),
        ["verify", disk] => Disk::open(disk.as_ref()).and_then(|disk| {
            let layout = Layout::find(&disk.table()?, &SlotNames::default())?;
            let slot = surefoot::slot::read_parts(&disk, &layout, SlotId::B)?;
            println!("{:?}", verify_slot(&slot, &trust()?, &Nowhere)?);
            Ok(())
        }),
        _ => panic!("pack IMAGE ARTIFACT [LEVEL] | install ARTIFACT DISK HOW | verify DISK"),
    };
    if let Err(failure) = done {
        eprintln!("{failure}");
        std::process::exit(1);
    }
}

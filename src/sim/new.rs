//! Making the folder of a new device.

use super::device::{BOARD, Device, Soldered};
use super::image::{Found, copy, look};
use super::numbered;
use crate::model::{ByteLen, Failure, Identifier, ReasonCode, Result, SlotId, WithReason};
use crate::provision::{
    Card, Counter, DiskId, ENV_LEN, ENV_OFFSETS, Factory, Image, Layout, Misfit, Plan,
    boot_script_file, make,
};
use crate::sys::files;
use crate::trust::Trust;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What was asked for.
pub(super) struct Wish {
    pub(super) folder: PathBuf,
    pub(super) rootfs: Option<PathBuf>,
    pub(super) trust: Option<PathBuf>,
    pub(super) product: Identifier,
    pub(super) compatible: Identifier,
    pub(super) slot_size: ByteLen,
    pub(super) boot_part: Option<ByteLen>,
    pub(super) boot_image: Option<PathBuf>,
    pub(super) disk_size: Option<ByteLen>,
    pub(super) soldered: Soldered,
}

const HEALTH: &str = "#!/bin/sh
# The self-test of this simulated device: `surefoot-sim reboot DIR --fail` leaves the marker that
# it finds. Exit status 0 means good; what is printed is shown in `surefoot status`.
if [ -e run/unhealthy ]; then
    echo \"this boot is broken on purpose: $(cat run/unhealthy)\"
    exit 1
fi
echo \"all is well\"
";

/// Makes the folder, or finds it empty.
fn empty(folder: &Path) -> Result<()> {
    let io = |what: &str| format!("{what} {}", folder.display());
    std::fs::create_dir_all(folder).reason(ReasonCode::Io, io("making"))?;
    let mut entries = std::fs::read_dir(folder).reason(ReasonCode::Io, io("reading"))?;
    if entries.next().is_some() {
        let text =
            format!("{} is not empty; a device is made in a folder of its own", folder.display());
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    Ok(())
}

/// Makes a device of a finished disk; returns what to do next. It believes whom the disk says.
pub(super) fn new_from_image(folder: &Path, image: &Path) -> Result<String> {
    // Refused before anything is made.
    let found = look(image)?;
    let Some(offsets) = found.raw() else {
        let text = format!(
            "{}: the simulator plays boards whose environment has two copies on the disk itself; `surefoot-sim boot` boots the others too",
            image.display()
        );
        return Err(Failure::new(ReasonCode::Usage, text));
    };
    empty(folder)?;
    let device = Device { folder: folder.to_owned() };
    copy(image, &device.disk())?;
    let soldered = Soldered::Uboot { counts: found.counts };
    let slots = [SlotId::A, SlotId::B].map(|slot| {
        let parts = found.slots.of(slot).iter();
        parts.map(|name| format!("\"{}={}\"", name.part, name.partition)).collect::<Vec<_>>()
    });
    let len = found.places.first().map_or(ENV_LEN, |place| place.2);
    let slots = slots.map(|slot| slot.join(", "));
    let Found { product, compatible, trust, programs, .. } = found;
    // They are of the disk's system, which does not run here.
    let left = match programs.is_empty() {
        true => String::new(),
        false => format!(
            "\nNot taken over from the disk, for its system does not run here: {}.\nIts own self-test, health.sh, decides in their place.\n",
            programs.join(", ")
        ),
    };
    let config = configuration((&product, &compatible), &slots, soldered);
    let readme = format!(
        "A device without hardware, made by `surefoot-sim new --image` from {}.\n\n\
         disk.img         a copy of it\n\
         surefoot.toml    the updater's configuration; trust.toml: whom it believes, as the disk says\n",
        image.display()
    );
    furnish(&device, soldered, (trust, config, readme), &fw_env_config(&offsets, len))?;
    let folder = folder.display();
    Ok(format!(
        "{folder} is a device of {}: slot a runs.\n{left}\nnext:\n  export SUREFOOT_CONFIG={folder}/surefoot.toml\n  surefoot status\n  surefoot-sim reboot {folder}\n",
        image.display()
    ))
}

/// Everything of the folder but the disk.
fn furnish(
    device: &Device,
    soldered: Soldered,
    (trust, config, readme): (String, String, String),
    env_config: &str,
) -> Result<()> {
    let io = |what: &str| format!("{what} {}", device.folder.display());
    for name in ["state", "run"] {
        std::fs::create_dir(device.path(name)).reason(ReasonCode::Io, io("filling"))?;
    }
    match soldered {
        Soldered::Uboot { .. } => {
            std::fs::write(device.path("fw_env.config"), env_config)
                .reason(ReasonCode::Io, io("filling"))?;
        }
        Soldered::Numbered => numbered::factory(device)?,
    }
    let sim = format!(
        "# What is soldered on this board: its bootloader, and who counts the boots of a trial.\n{}",
        soldered.text()?
    );
    let files = [
        ("trust.toml", trust),
        ("surefoot.toml", config),
        ("sim.toml", sim),
        ("health.sh", HEALTH.to_owned()),
        ("run/booted", "a\n".to_owned()),
        ("README", readme),
    ];
    for (name, text) in files {
        std::fs::write(device.path(name), text).reason(ReasonCode::Io, io("filling"))?;
    }
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(device.path("health.sh"), executable)
        .reason(ReasonCode::Io, io("filling"))
}

/// Makes the device; returns what to do next.
pub(super) fn new(wish: &Wish) -> Result<String> {
    let folder = &wish.folder;
    empty(folder)?;
    // Refused before anything is made: the folder stays empty and the same command can be repeated.
    let trust = wish.trust.as_deref().map(read_trust).transpose()?;
    let device = Device { folder: folder.clone() };
    let plan = Plan {
        boot_part: wish.boot_part.map(|size| size.0),
        disk: wish.disk_size.map(|size| size.0),
        ..Plan::small(wish.slot_size.0)
    };
    let layout = Layout::new(&plan).map_err(Misfit::failure)?;
    let mut images = Vec::new();
    for place in layout.slot_a() {
        let image = if place.name == "rootfs-a" { &wish.rootfs } else { &wish.boot_image };
        if let Some(image) = image {
            images.push((place.name, Image::open(image)?));
        }
    }
    let (pieces, boot_files) = match wish.soldered {
        Soldered::Uboot { counts } => (factory(counts)?, vec![boot_script_file()]),
        Soldered::Numbered => (Vec::new(), Vec::new()),
    };
    let id = DiskId::Random;
    let card = Card { id, pieces: &pieces, boot_files: &boot_files, images: &images, record: None };
    make(&device.disk(), &layout, &card)?;
    for place in layout.slot_a().filter(|place| images.iter().all(|(name, _)| *name != place.name))
    {
        stand_in(&device.disk(), place.start)?;
    }
    let (trust, key) = match trust {
        Some(text) => (text, None),
        None => own_keys(&device.path("keys"), &wish.product)?,
    };
    let boot = |slot| wish.boot_part.map_or(String::new(), |_| format!("\"boot-{slot}\", "));
    let slots = ['a', 'b'].map(|slot| format!("{}\"rootfs-{slot}\"", boot(slot)));
    let config = configuration((&wish.product, &wish.compatible), &slots, wish.soldered);
    let texts = (trust, config, readme(wish));
    furnish(&device, wish.soldered, texts, &fw_env_config(&ENV_OFFSETS, ENV_LEN))?;
    Ok(next_steps(wish, key.as_deref()))
}

/// Both copies of the environment, and where they stand.
fn factory(counts: bool) -> Result<Vec<(u64, Vec<u8>)>> {
    let board: String = BOARD.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let counter = if counts { Counter::Uboot } else { Counter::Script };
    let factory = Factory { board: &board, counter, set: &[], by_number: false };
    let copies = factory.environment()?.copies(ENV_LEN, ENV_OFFSETS.len())?;
    Ok(ENV_OFFSETS.into_iter().zip(copies).collect())
}

fn read_trust(path: &Path) -> Result<String> {
    let limit = u64::try_from(crate::trust::MAX_TRUST_LEN).unwrap_or(u64::MAX);
    let text = files::foreign_text(path, limit).map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let code = if missing { ReasonCode::NoSuchFile } else { ReasonCode::TrustInvalid };
        Failure::new(code, format!("{}: {e}", path.display()))
    })?;
    Trust::parse(&text).map_err(|e| e.at(path.display()))?;
    Ok(text)
}

/// The superblock's magic of ext4 and nothing else: enough for U-Boot's rules, no file system.
fn stand_in(disk: &Path, start: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(disk);
    file.and_then(|f| f.write_all_at(&[0x53, 0xef], start + 1080))
        .reason(ReasonCode::Io, "marking slot a")
}

#[cfg(feature = "forge")]
fn own_keys(folder: &Path, product: &Identifier) -> Result<(String, Option<PathBuf>)> {
    crate::forge::make_keys(folder, product)?;
    let trust = read_trust(&folder.join("trust.toml"))?;
    Ok((trust, Some(folder.join("release.key"))))
}

#[cfg(not(feature = "forge"))]
fn own_keys(_: &Path, _: &Identifier) -> Result<(String, Option<PathBuf>)> {
    let text = "this build makes no keys: give a trust file with --trust";
    Err(Failure::new(ReasonCode::Usage, text))
}

fn fw_env_config(offsets: &[u64], len: u64) -> String {
    let mut text = String::from("# Device or file   Offset      Length\n");
    for offset in offsets {
        let _ = writeln!(text, "disk.img           {offset:#x}    {len:#x}");
    }
    text
}

fn configuration(
    (product, compatible): (&Identifier, &Identifier),
    [a, b]: &[String; 2],
    soldered: Soldered,
) -> String {
    let bootloader = match soldered {
        Soldered::Uboot { .. } => "fw_env_config = \"fw_env.config\"",
        Soldered::Numbered => "loader = \"numbered\"             # its files are in boot/",
    };
    format!(
        "# A simulated device. Relative paths start in this folder.\n\
         [device]\n\
         product = \"{product}\"\n\
         compatible = \"{compatible}\"\n\
         disk = \"disk.img\"\n\
         booted = \"run/booted\"        # written by `surefoot-sim reboot`\n\
         state = \"state\"\n\n\
         [slots]\n\
         a = [{a}]\n\
         b = [{b}]\n\n\
         [trust]\n\
         file = \"trust.toml\"\n\n\
         [boot]\n\
         {bootloader}\n\n\
         [[health.check]]\n\
         name = \"self-test\"\n\
         command = [\"./health.sh\"]\n\
         timeout = \"10s\"\n"
    )
}

fn readme(wish: &Wish) -> String {
    let system = match &wish.rootfs {
        Some(path) => format!("a copy of {}", path.display()),
        None => "a stand-in: a superblock's magic, no file system".to_owned(),
    };
    let boot_parts = wish.boot_part.map_or("", |_| "boot-a, boot-b, ");
    let (copies, memory) = match wish.soldered {
        Soldered::Uboot { .. } => (
            "two copies of U-Boot's environment, ",
            "fw_env.config    where the environment is; `fw_printenv -c fw_env.config` in this folder reads it",
        ),
        Soldered::Numbered => ("", "boot/            what its bootloader remembers, in two files"),
    };
    format!(
        "A device without hardware, made by `surefoot-sim new`.\n\n\
         disk.img         its disk: GPT, {copies}boot, {boot_parts}rootfs-a, rootfs-b, data.\n\
         \x20                slot a holds {system}.\n\
         {memory}\n\
         surefoot.toml    the updater's configuration; trust.toml: whom it believes\n\
         state/           the updater's memory\n\
         run/             what a running system would know: the slot, the last boot\n\
         health.sh        its self-test\n\
         sim.toml         what is soldered\n"
    )
}

fn next_steps(wish: &Wish, key: Option<&Path>) -> String {
    let folder = wish.folder.display();
    let part = wish.boot_part.map_or("", |_| " --part boot=BOOT.img");
    let key = key.map_or("KEYS/release.key".into(), |k| k.display().to_string());
    format!(
        "{folder} is a device: slot a runs, slot b is empty.\n\n\
         next:\n\
         \x20 export SUREFOOT_CONFIG={folder}/surefoot.toml\n\
         \x20 surefoot status\n\
         \x20 surefoot-forge build --rootfs IMG{part} --product {} --compatible {} --version 1.0.0 --key {key} -o one.surefoot\n\
         \x20 surefoot install one.surefoot\n\
         \x20 surefoot-sim reboot {folder}\n\
         \x20 surefoot commit\n",
        wish.product, wish.compatible
    )
}

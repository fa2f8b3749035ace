//! The words typed.

pub(super) use super::key_words::KeyWords;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Builds and signs artifacts for Surefoot devices.
#[derive(Debug, Parser)]
#[command(
    name = "surefoot-forge",
    version,
    max_term_width = 100,
    after_help = "A first artifact:\n  \
        surefoot-forge keygen --out KEYS\n  \
        surefoot-forge build --rootfs rootfs.ext4 --product demo \\\n      \
        --compatible demo-board --version 1.0.0 --key KEYS/release.key \\\n      \
        -o demo-1.0.0.surefoot\n  \
        surefoot-forge inspect demo-1.0.0.surefoot\n  \
        surefoot-forge verify demo-1.0.0.surefoot --trust KEYS/trust.toml"
)]
pub(super) struct Words {
    /// Say more on standard error; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented surefoot-forge.toml, so that flags are the exception
    Init(Init),
    /// Make root, release, next-release and channel keys, and the trust file that names them
    Keygen(Keygen),
    /// Build an artifact from the image of a root filesystem
    Build(Box<Build>),
    /// Make a finished disk from a recipe: partitions, environment, boot files, slot a, data
    Image(Box<super::disk::Words>),
    /// Make a disk with two slots out of one with a single root (Raspberry Pi OS, Armbian)
    Convert(Box<super::disk::Convert>),
    /// Make a delta: a small artifact that makes a release from the one that runs
    Delta(Box<Delta>),
    /// Say from which bundles deltas for devices are made best, by what the devices report
    Rank(Rank),
    /// Add a signature to an artifact or a delta
    Sign(Sign),
    /// Show what is in an artifact, verified or not
    Inspect(Inspect),
    /// Check an artifact to its last byte, as a device with this trust file would
    Verify(Verify),
    /// Write the slot record of an artifact: for build systems that lay out a disk themselves
    Record(Record),
    /// Bring an app from this machine to a device on the desk
    Apps(super::app::Apps),
    /// Publish which release is for which device, on any web server
    Channel(super::channel::Words),
    /// Say what one device takes at its first start: its name, its network, who may log in
    Configure(Box<super::configure::Words>),
    /// Write a disk image to a card, a stick or a device's storage, and read it back
    Flash(super::flash::Words),
    /// Write man pages, completions and the reference of the settings, for packages
    #[command(after_help = "Example:\n  surefoot-forge docs /usr/share\n\n\
        Below DIR: man/man1 and man/man5, bash-completion/completions,\n\
        zsh/site-functions, fish/vendor_completions.d, doc/surefoot.")]
    Docs {
        /// The folder; made if it is not there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  surefoot-forge init && $EDITOR surefoot-forge.toml")]
pub(super) struct Init {
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = "surefoot-forge.toml")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  surefoot-forge keygen --out KEYS --name acme\n  \
    surefoot-forge keygen --out KEYS --app shop\n  \
    surefoot-forge keygen --out KEYS --develop shop\n\n\
    Writes KEYS/{root,release,release-next,channel}.key (mode 0600), their .pub,\n\
    and KEYS/trust.toml, which goes onto the devices. Nothing is overwritten.")]
pub(super) struct Keygen {
    /// The folder for keys and trust file; made if it is not there
    #[arg(long, value_name = "KEYS")]
    pub(super) out: PathBuf,
    /// Make nothing but a key for development of this app: devices under hold, whose trust file names it, take
    /// what it has signed
    #[arg(long, value_name = "APP")]
    pub(super) develop: Option<String>,
    /// Make nothing but a release key for bundles of this app: it signs them and no system
    #[arg(long, value_name = "APP", conflicts_with_all = ["develop", "name"])]
    pub(super) app: Option<String>,
    /// Whose devices these are; a name in the trust file
    #[arg(long, default_value = "my-devices")]
    pub(super) name: String,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:\n  \
    surefoot-forge build --rootfs rootfs.ext4 --product demo \\\n      \
    --compatible demo-board --version 2.4.1 --key KEYS/release.key \\\n      \
    -o demo-2.4.1.surefoot\n  \
    surefoot-forge build --version 2.4.2 -o next.surefoot\n      \
    # the rest from surefoot-forge.toml\n  \
    surefoot-forge build --rootfs rootfs.ext4 --part boot=boot.vfat …\n  \
    surefoot-forge build … --key cmd:/usr/bin/token-sign --pub KEYS/token.pub\n  \
    surefoot-forge build … -o - | ssh store 'cat >next.surefoot'\n  \
    surefoot-forge build --app shop --compose compose.yaml --images IMAGES \\\n      \
    --product demo --compatible demo-board --version 1.2.0 \\\n      \
    --key KEYS/release.key -o shop-1.2.0.surefoot\n  \
    surefoot-forge build --rootfs rootfs.ext4 --with shop.surefoot …\n\n\
    The same image, settings and key give the same bytes. No clock gets into an\n\
    artifact unless SOURCE_DATE_EPOCH is set."
)]
pub(super) struct Build {
    /// Settings; flags win over them [default: surefoot-forge.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The image of the root filesystem: ext2/3/4, squashfs, erofs, btrfs, f2fs, xfs, cramfs or romfs.
    /// One in .gz, .xz, .zst or Android's sparse form is expanded; anything else is refused
    #[arg(long, value_name = "IMG")]
    pub(super) rootfs: Option<PathBuf>,
    /// The image of another part of the slot, as boot=boot.vfat; repeat for more. `boot` is FAT or a
    /// filesystem that U-Boot reads, packed or not; any other part is taken as it is
    #[arg(long, value_name = "PART=IMG")]
    pub(super) part: Vec<String>,
    /// Build a bundle of this app, from a Compose file and archives of its images
    #[arg(long, value_name = "NAME", requires = "compose", conflicts_with_all = ["rootfs", "part", "raw", "hardware", "verity_root", "with"])]
    pub(super) app: Option<String>,
    /// With --app: the Compose file; docs/apps.md lists what it may say
    #[arg(long, value_name = "FILE", requires = "app")]
    pub(super) compose: Option<PathBuf>,
    /// With --app: the folder with the archives of the images, as `docker save` or `podman save` write them
    #[arg(long, value_name = "DIR", requires = "app")]
    pub(super) images: Option<PathBuf>,
    /// With --app: whether what makes a bundle large or hard to run is told, ends the build, or is not
    /// looked for
    #[arg(long, value_name = "WHAT", requires = "app", default_value = "warn")]
    pub(super) lint: super::app::Lint,
    /// A bundle of an app that is installed together with the system; repeat for more. It keeps its own
    /// signature
    #[arg(long, value_name = "APP.surefoot")]
    pub(super) with: Vec<PathBuf>,
    /// Take the bytes of the images as they are: nothing is expanded, and nothing refused
    #[arg(long)]
    pub(super) raw: bool,
    /// The product it is for
    #[arg(long)]
    pub(super) product: Option<String>,
    /// A device it may run on; repeat for more
    #[arg(long)]
    pub(super) compatible: Vec<String>,
    /// The version people read
    #[arg(long)]
    pub(super) version: Option<String>,
    /// Orders releases [default: from MAJOR.MINOR.PATCH, MAJOR × 1000000 + MINOR × 1000 + PATCH]
    #[arg(long, visible_alias = "release-counter")]
    pub(super) counter: Option<u64>,
    /// The security epoch: raise it when older releases must never run again [default: 0]
    #[arg(long)]
    pub(super) epoch: Option<u32>,
    /// The form in which the system's container engine keeps images, `[apps] store_epoch` in its settings: devices
    /// with apps take it only where they can fill a new store
    #[arg(long, value_name = "N", conflicts_with = "app")]
    pub(super) store_epoch: Option<u32>,
    /// A hardware revision that its images are for; repeat for more [default: every revision]
    #[arg(long, value_name = "REVISION")]
    pub(super) hardware: Vec<String>,
    /// A text file: what people should know about this release
    #[arg(long, value_name = "FILE")]
    pub(super) notes: Option<PathBuf>,
    /// The revision of the sources
    #[arg(long, value_name = "TEXT")]
    pub(super) source_revision: Option<String>,
    /// The build's name in the build system
    #[arg(long, value_name = "TEXT")]
    pub(super) build_id: Option<String>,
    /// The dm-verity root hash of the image, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    pub(super) verity_root: Option<String>,
    #[command(flatten)]
    pub(super) key: KeyWords,
    /// The artifact to write; - is standard output, and the summary then goes to standard error
    #[arg(short, long, value_name = "X.surefoot")]
    pub(super) output: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// zstd level, 1 to 22 [default: 19]
    #[arg(long)]
    pub(super) level: Option<i32>,
    /// Average chunk length, 16K to 256K [default: 64K, or more where the chunk table of such an image
    /// would not fit the slot record]
    #[arg(long, value_name = "SIZE")]
    pub(super) chunk_size: Option<String>,
    /// How far a chunk may refer back to what comes before it, 0 to 4M [default: 1M; none at
    /// levels 1 to 4]
    #[arg(long, value_name = "SIZE")]
    pub(super) context: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot-forge delta --from 1.0.surefoot --to 1.1.surefoot \\\n      \
    --key KEYS/release.key -o 1.1.from-1.0.delta.surefoot\n  \
    surefoot-forge delta --from 1.0.surefoot --from 0.9.surefoot \\\n      \
    --to 1.1.surefoot --key KEYS/release.key -o FOLDER\n  \
    surefoot-forge delta --estimate 1.0.surefoot 1.1.surefoot\n  \
    surefoot-forge delta --from shop-1.surefoot --from web-3.surefoot \\\n      \
    --to shop-2.surefoot --key KEYS/release.key -o shop-2.delta.surefoot\n\n\
    The delta is applied and compared with the new release before it gets its\n\
    name. In a folder it is called NEW.from-VERSION.delta.surefoot: beside\n\
    NEW.surefoot, devices that run VERSION find it by that name. A delta of a\n\
    bundle reads files of the layers of all --from together, whose apps the\n\
    devices must have.")]
pub(super) struct Delta {
    /// The release that runs on the devices, or a bundle that they have; repeat for more
    #[arg(long, value_name = "OLD.surefoot", required_unless_present = "estimate")]
    pub(super) from: Vec<PathBuf>,
    /// The release to be made from it
    #[arg(long, value_name = "NEW.surefoot", required_unless_present = "estimate")]
    pub(super) to: Option<PathBuf>,
    /// The delta to write; a folder gets one for each --from
    #[arg(short, long, value_name = "D.surefoot|DIR", required_unless_present = "estimate")]
    pub(super) output: Option<PathBuf>,
    /// Say what a full artifact, an adaptive download and a delta would cost, and what makes the delta
    /// large: OLD.surefoot …, then NEW.surefoot
    #[arg(long, value_name = "X.surefoot", num_args = 2.., conflicts_with_all = ["from", "to", "output"])]
    pub(super) estimate: Vec<PathBuf>,
    /// Settings to take the key from [default: surefoot-forge.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) key: KeyWords,
    /// zstd level, 1 to 22 [default: 19]
    #[arg(long)]
    pub(super) level: Option<i32>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    surefoot-forge rank --device gate.json --device door.json \\\n      \
    --to shop-2.surefoot --from shop-1.surefoot --from web-3.surefoot\n\n\
    A report is what `surefoot apps status --json` prints, or any JSON that has it\n\
    inside: of each image its `layers`, the lowest first. A file may have a list\n\
    of devices. Devices with the same layers get the same delta.")]
pub(super) struct Rank {
    /// The report of a device, or a list of them; repeat for more
    #[arg(long, value_name = "REPORT.json", required = true)]
    pub(super) device: Vec<PathBuf>,
    /// The bundle that they are to get
    #[arg(long, value_name = "NEW.surefoot")]
    pub(super) to: PathBuf,
    /// A bundle that they may have; repeat for more
    #[arg(long, value_name = "OLD.surefoot")]
    pub(super) from: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  surefoot-forge sign demo.surefoot --key KEYS/release-2.key\n  \
    surefoot-forge sign - --key KEYS/release-2.key <a.surefoot >b.surefoot\n\n\
    The artifact is replaced in one step. A second signature by the same key is\n\
    refused."
)]
pub(super) struct Sign {
    /// The artifact; - reads it from standard input and writes the signed one to standard output,
    /// and the summary then goes to standard error
    #[arg(value_name = "X.surefoot")]
    pub(super) artifact: PathBuf,
    /// Settings to take key and trust file from [default: surefoot-forge.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) key: KeyWords,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  surefoot-forge inspect demo.surefoot\n  \
    surefoot-forge inspect demo.surefoot --json | jq .version\n\n\
    Without --trust nothing is verified: the signatures are listed, not checked.")]
pub(super) struct Inspect {
    /// The artifact; - is standard input
    #[arg(value_name = "X.surefoot")]
    pub(super) artifact: PathBuf,
    /// Name the signing keys by this trust file, and say whether it accepts the artifact
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  surefoot-forge record demo.surefoot -o slot-record.bin\n\n\
    1 MiB, for the end of the first partition of the slot that carries the payload\n\
    byte for byte. `surefoot-forge image` does it by itself.")]
pub(super) struct Record {
    /// The artifact
    #[arg(value_name = "X.surefoot")]
    pub(super) artifact: PathBuf,
    /// Where the record is written
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// The hardware revision, where the artifact has images for several
    #[arg(long, value_name = "REVISION")]
    pub(super) hardware: Option<String>,
    /// The trust file of the devices: nothing is written of what they would refuse
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  surefoot-forge verify demo.surefoot --trust KEYS/trust.toml\n\n\
    Exit status 0 only if the signatures suffice and every byte is as signed."
)]
pub(super) struct Verify {
    /// The artifact; - is standard input
    #[arg(value_name = "X.surefoot")]
    pub(super) artifact: PathBuf,
    /// The trust file of the devices
    #[arg(long, value_name = "FILE")]
    pub(super) trust: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

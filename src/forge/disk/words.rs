//! The words of `image` and `convert`.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:\n  \
    surefoot-forge image gateway.toml -o disk.img\n  \
    surefoot-forge image gateway.toml --size 8G --size 32G -o disk.img\n      \
    # disk-8G.img and disk-32G.img\n  \
    surefoot-forge image --rootfs rootfs.tar.zst --version 1.0.0 \\\n      \
    --key KEYS/release.key --uboot-env u-boot-initial-env --product acme \\\n      \
    --compatible acme-v2 --trust KEYS/trust.toml --size 8G -o disk.img\n  \
    surefoot-forge image --artifact acme-1.0.0.surefoot \\\n      \
    --uboot-env u-boot-initial-env --trust KEYS/trust.toml -o disk.img\n\n\
    Beside disk.img: disk.img.bmap for bmaptool, and surefoot.toml,\n\
    fw_env.config and trust.toml as they are on the device. The same recipe and\n\
    files give the same bytes.\n\
    docs/image.md explains every key of a recipe."
)]
pub(crate) struct Image {
    /// The recipe; what is typed wins over it
    pub(super) recipe: Option<PathBuf>,
    /// Where the disk is written
    #[arg(short, long, value_name = "DISK")]
    pub(super) output: PathBuf,
    /// The root filesystem: a folder, a tar archive, or an image of ext4, squashfs or erofs; in .gz, .xz
    /// or .zst too
    #[arg(long, value_name = "ROOT", conflicts_with = "artifact")]
    pub(super) rootfs: Option<PathBuf>,
    /// A signed artifact: what it carries becomes slot a
    #[arg(long, value_name = "FILE")]
    pub(super) artifact: Option<PathBuf>,
    /// The version of the root filesystem; with --key it becomes a signed release
    #[arg(long)]
    pub(super) version: Option<String>,
    /// Orders releases [default: from --version, if that is MAJOR.MINOR.PATCH]
    #[arg(long, value_name = "N")]
    pub(super) release_counter: Option<u64>,
    /// The key that signs it: a .key file, or cmd:PROGRAM
    #[arg(long, value_name = "FILE|cmd:PROGRAM")]
    pub(super) key: Option<String>,
    /// The public key that cmd:PROGRAM signs for [default: any release key of the trust file]
    #[arg(long, value_name = "FILE")]
    pub(super) r#pub: Option<PathBuf>,
    /// Where that release is written as an artifact [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub(super) artifact_out: Option<PathBuf>,
    /// The hardware revision, where the artifact has images for several
    #[arg(long, value_name = "REVISION")]
    pub(super) hardware: Option<String>,
    /// The `u-boot-initial-env` of the board's U-Boot: its load addresses and all that it has are kept
    #[arg(long, value_name = "FILE")]
    pub(super) uboot_env: Option<PathBuf>,
    /// Who counts the boots of a trial: script, or uboot (CONFIG_BOOTCOUNT_ENV) [default: script]
    #[arg(long)]
    pub(super) counter: Option<String>,
    /// The product
    #[arg(long)]
    pub(super) product: Option<String>,
    /// What an artifact must be compatible with
    #[arg(long)]
    pub(super) compatible: Option<String>,
    /// The trust file
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// A surefoot.toml for a folder or an archive that has none [default: one is made]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The size of the disk; repeat for several disks [default: what is needed]
    #[arg(long)]
    pub(super) size: Vec<String>,
    /// The partition table: gpt or mbr [default: gpt]
    #[arg(long)]
    pub(super) table: Option<String>,
    /// What the disk's identifiers are made from [default: what the recipe says]
    #[arg(long, value_name = "TEXT")]
    pub(super) id: Option<String>,
    /// production, or development: automatic updates are stopped [default: production]
    #[arg(long)]
    pub(super) variant: Option<String>,
    /// The disk as the device calls it [default: the one that the running root is on]
    #[arg(long, value_name = "NODE")]
    pub(super) device: Option<String>,
    /// The processor that /sbin/init must be for: aarch64, arm, x86_64, x86, riscv64 [default: what the
    /// environment of U-Boot says]
    #[arg(long)]
    pub(super) arch: Option<String>,
    /// The size of each slot [default: twice the root filesystem, at least 64M]
    #[arg(long, value_name = "SIZE")]
    pub(super) slot_size: Option<String>,
    /// The size of the boot partition [default: 64M]
    #[arg(long, value_name = "SIZE")]
    pub(super) boot_size: Option<String>,
    /// The least size of the data partition, which takes the rest [default: 128M]
    #[arg(long, value_name = "SIZE")]
    pub(super) data_size: Option<String>,
    /// A folder whose files go into the boot partition
    #[arg(long, value_name = "DIR")]
    pub(super) firmware: Option<PathBuf>,
    /// A signed artifact of any kind that is laid into `preload` on the data partition; repeat for more
    #[arg(long, value_name = "FILE")]
    pub(super) preload: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Example:\n  \
    surefoot-forge convert raspios.img.xz pi4.toml -o disk.img\n\n\
    The image has one partition with an ext4 root, and may have one with FAT, whose\n\
    files become firmware; those of the recipe win. The recipe names no root."
)]
pub(crate) struct Convert {
    /// The image of a disk with one root filesystem; in .gz, .xz or .zst too
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(crate) how: Image,
}

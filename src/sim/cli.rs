//! The words of `surefoot-sim`.

use super::device::{Device, Soldered};
use super::image::boot_image;
use super::judge;
use super::new::{Wish, new, new_from_image};
use super::powercut::{self, Powercut};
use super::reboot::reboot;
use super::told::{Fault, Told};
use super::unplug::{Plug, unplug};
use crate::model::{
    ByteLen, Class, Failure, Identifier, ReasonCode, Result, WithReason, printable_lines,
};
use crate::sys::narrate::{Shown, level};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use simplelog::{Config, WriteLogger};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A device without hardware: a disk image, U-Boot's rules, a power plug.
#[derive(Debug, Parser)]
#[command(
    name = "surefoot-sim",
    version,
    max_term_width = 100,
    after_help = "A first device:\n  \
        surefoot-sim new DIR\n  \
        surefoot --config DIR/surefoot.toml status\n  \
        surefoot-sim reboot DIR\n  \
        surefoot-sim unplug DIR --after 100 -- install X.surefoot\n  \
        surefoot-sim powercut DIR --artifact X.surefoot"
)]
struct Words {
    /// Say more on standard error; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a device in an empty folder
    New(New),
    /// Boot a finished disk once by the script's rules; nothing on it is changed
    Boot(BootImage),
    /// Switch it off and on: what U-Boot and the boot script do, on the image's own bytes
    Reboot(Reboot),
    /// Run a `surefoot` command and cut the power at a chosen write
    Unplug(Unplug),
    /// Cut the power of a whole update everywhere, and judge every disk that is left
    Powercut(Powercut),
    /// Compare with the real U-Boot: which of two copies is loaded, for each pair in a file
    #[command(hide = true)]
    Judge {
        /// 16384 + 16384 bytes for each pair
        pairs: PathBuf,
    },
    /// Compare with the real U-Boot: a whole boot for each pair in a file
    #[command(hide = true)]
    Boots {
        /// The device's folder
        dir: PathBuf,
        /// 16384 + 16384 bytes for each pair
        pairs: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Loads {
    /// U-Boot, with its environment on the disk and the boot script
    Uboot,
    /// A bootloader for tests, with two numbered files in DIR/boot
    Numbered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Counts {
    /// U-Boot itself (CONFIG_BOOTCOUNT_ENV)
    Uboot,
    /// The boot script, on a stock U-Boot
    Script,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  surefoot-sim new dev\n  \
    surefoot-sim new dev --rootfs r.ext4 --slot-size 512M --trust KEYS/trust.toml\n  \
    surefoot-sim new dev --boot-part    with slots of two partitions\n  \
    surefoot-sim new dev --image disk.img")]
struct New {
    /// The folder; made if it is not there
    dir: PathBuf,
    /// A disk of `surefoot-forge image`: product, compatible and trust are those of its root, and what that
    /// lacks those of the files beside it
    #[arg(long, value_name = "DISK", conflicts_with_all = ["rootfs", "trust", "compatible", "product",
        "slot_size", "boot_part", "boot_image", "disk_size", "bootloader", "counter"])]
    image: Option<PathBuf>,
    /// The image of the system in slot a [default: a stand-in that only looks bootable]
    #[arg(long, value_name = "IMG")]
    rootfs: Option<PathBuf>,
    /// Whom the device believes [default: new keys in DIR/keys]
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// What an artifact must be compatible with
    #[arg(long, default_value = "demo-board")]
    compatible: Identifier,
    /// The product
    #[arg(long, default_value = "demo")]
    product: Identifier,
    /// The size of each slot
    #[arg(long, value_name = "SIZE", default_value = "128M")]
    slot_size: ByteLen,
    /// Each slot has a boot part of this size beside its root filesystem
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, default_missing_value = "16M")]
    boot_part: Option<ByteLen>,
    /// The image of the boot part in slot a [default: a stand-in that only looks bootable]
    #[arg(long, value_name = "IMG", requires = "boot_part")]
    boot_image: Option<PathBuf>,
    /// The size of the disk [default: what is needed]
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<ByteLen>,
    /// Which bootloader the board has
    #[arg(long, default_value = "uboot")]
    bootloader: Loads,
    /// Who counts the boots of a trial on a board with U-Boot [default: uboot]
    #[arg(long)]
    counter: Option<Counts>,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

impl New {
    fn soldered(&self) -> Result<Soldered> {
        match (self.bootloader, self.counter) {
            (Loads::Uboot, counter) => {
                Ok(Soldered::Uboot { counts: counter != Some(Counts::Script) })
            }
            (Loads::Numbered, None) => Ok(Soldered::Numbered),
            (Loads::Numbered, Some(_)) => {
                Err(Failure::new(ReasonCode::Usage, "`--counter` is for boards with U-Boot"))
            }
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  surefoot-sim boot disk.img\n\n\
    Exit status 0: a slot was started. 74: neither could be.")]
struct BootImage {
    /// The disk
    image: PathBuf,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
    /// Do not show the bootloader's console
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  surefoot-sim reboot dev\n  \
    surefoot-sim reboot dev --fail          its health checks fail\n  \
    surefoot-sim reboot dev --fail=panic    its kernel panics")]
struct Reboot {
    /// The device's folder
    dir: PathBuf,
    /// What goes wrong in this boot
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "unhealthy")]
    fail: Option<Fault>,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
    /// Do not show the bootloader's console
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  surefoot-sim unplug dev --after 20 -- install next.surefoot\n  \
    surefoot-sim unplug dev --after 0 --torn 100 -- commit\n\n\
    Exit status 0: the power was cut. 3: the command succeeded before it could be;\n\
    else the command's own status."
)]
struct Unplug {
    /// The device's folder
    dir: PathBuf,
    /// How many writes still land
    #[arg(long, value_name = "N")]
    after: u64,
    /// How many bytes of the next one land too
    #[arg(long, value_name = "BYTES", default_value = "0")]
    torn: usize,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
    /// What runs: a `surefoot` command, or `reboot`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The whole grammar, for help and man pages.
pub fn command() -> clap::Command {
    Words::command()
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    crate::sys::defect::end_at_defects("surefoot-sim");
    crate::sys::signals::set_up();
    let words = match Words::try_parse() {
        Ok(words) => words,
        Err(error) => {
            let words = crate::model::printable_words(std::env::args_os());
            let error = words.and_then(|w| Words::try_parse_from(w).err()).unwrap_or(error);
            let _ = error.print();
            let status = if error.use_stderr() { Class::Usage.exit_status() } else { 0 };
            return ExitCode::from(status);
        }
    };
    let _ = WriteLogger::init(level(words.verbose), Config::default(), Shown);
    let json = match &words.command {
        Verb::Reboot(words) => words.json,
        Verb::Boot(words) => words.json,
        Verb::Powercut(words) => words.json,
        Verb::New(words) => words.json,
        Verb::Unplug(words) => words.json,
        _ => false,
    };
    match run(words.command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // Nobody may be listening on stderr; the exit status still speaks.
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "surefoot-sim: {failure}");
            let _ = writeln!(err, "next: {}", failure.next());
            drop(err);
            if json {
                let _ = say(&format!("{}\n", failure.document()));
            }
            ExitCode::from(failure.code().class().exit_status())
        }
    }
}

fn run(verb: Verb) -> Result<u8> {
    match verb {
        Verb::New(New { image: Some(image), dir, json, .. }) => {
            made(json, &dir, &new_from_image(&dir, &image)?)
        }
        Verb::New(words) => {
            let soldered = words.soldered()?;
            let (folder, json) = (words.dir.clone(), words.json);
            let next = new(&Wish {
                soldered,
                folder: words.dir,
                rootfs: words.rootfs,
                trust: words.trust,
                product: words.product,
                compatible: words.compatible,
                slot_size: words.slot_size,
                boot_part: words.boot_part,
                boot_image: words.boot_image,
                disk_size: words.disk_size,
            })?;
            made(json, &folder, &next)
        }
        Verb::Boot(words) => {
            let (told, console) = boot_image(&words.image)?;
            shown(&told, &console, "U-Boot", (words.quiet, words.json))
        }
        Verb::Reboot(words) => boot_once(&words),
        Verb::Unplug(words) => pull(&words),
        Verb::Powercut(words) => {
            let (text, status) = powercut::powercut(&words)?;
            say(&text)?;
            Ok(status)
        }
        Verb::Judge { pairs } => judge::judge(&pairs, &mut buffered()).map(|()| 0),
        Verb::Boots { dir, pairs } => {
            judge::boots(&Device::open(&dir)?, &pairs, &mut buffered()).map(|()| 0)
        }
    }
}

/// Says what was made; `next` is for a person.
fn made(json: bool, folder: &Path, next: &str) -> Result<u8> {
    if !json {
        return say(next).map(|()| 0);
    }
    let file = |name| folder.join(name);
    say_json(&serde_json::json!({
        "v": 1,
        "folder": folder,
        "config": file("surefoot.toml"),
        "disk": file("disk.img"),
    }))
    .map(|()| 0)
}

fn say_json(document: &serde_json::Value) -> Result<()> {
    say(&format!("{document}\n"))
}

fn boot_once(words: &Reboot) -> Result<u8> {
    let device = Device::open(&words.dir)?;
    let (told, console) = reboot(&device, words.fail)?;
    let who = match device.soldered()? {
        Soldered::Uboot { .. } => "U-Boot",
        Soldered::Numbered => "bootloader",
    };
    shown(&told, &console, who, (words.quiet, words.json))
}

fn shown(told: &Told, console: &[String], who: &str, (quiet, json): (bool, bool)) -> Result<u8> {
    if !quiet {
        let mut err = std::io::stderr().lock();
        for line in console {
            let _ = writeln!(err, "  {who}: {}", crate::model::printable(line, 200));
        }
    }
    if json {
        let json = serde_json::to_string(told).reason(ReasonCode::Internal, "JSON")?;
        say(&format!("{json}\n"))?;
    } else {
        say(&format!("{}\n", told.line()))?;
    }
    if told.slot.is_none() {
        return Ok(Class::Device.exit_status());
    }
    Ok(0)
}

fn pull(words: &Unplug) -> Result<u8> {
    let device = Device::open(&words.dir)?;
    match unplug(&device, words.after, words.torn, &words.command)? {
        Plug::Cut if words.json => {
            let (after, torn) = (words.after, words.torn);
            say_json(&serde_json::json!({ "v": 1, "cut": true, "after": after, "torn": torn }))?;
            Ok(0)
        }
        Plug::Cut => {
            let torn = match words.torn {
                0 => String::new(),
                bytes => format!(" and at most {bytes} bytes of the next"),
            };
            say(&format!(
                "power cut after {} writes{torn}\nnext: surefoot-sim reboot {}\n",
                words.after,
                words.dir.display()
            ))?;
            Ok(0)
        }
        Plug::EndedFirst(status) => {
            match words.json {
                true => say_json(&serde_json::json!({ "v": 1, "cut": false, "status": status }))?,
                false => {
                    say(&format!("no cut: the command ended first, with status {status}\n"))?;
                }
            }
            Ok(if status == 0 { Class::Nothing.exit_status() } else { status })
        }
    }
}

fn buffered() -> impl Write {
    std::io::BufWriter::new(std::io::stdout())
}

/// Results go to stdout; a closed stdout is an error, not a panic.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    // A boot script repeats what the environment says.
    let text = printable_lines(text, usize::MAX);
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Failure::new(ReasonCode::Io, format!("writing to standard output: {e}")))
}

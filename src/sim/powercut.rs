//! `surefoot-sim powercut`: the exhaustive run, on anybody's layout, script and artifact.

use super::boot::{End, boot};
use super::device::Device;
use super::unplug::program;
use crate::model::{ReasonCode, Result, WithReason};
use crate::powercut::{Booted, Order, Report, Rom, UbootSandbox, run};
use clap::Args;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    surefoot-sim new dev --rootfs rootfs.ext4 --slot-size 32M\n  \
    surefoot-forge build --rootfs rootfs.ext4 --product demo \\\n      \
    --compatible demo-board --version 1.0.0 --key dev/keys/release.key \\\n      \
    -o x.surefoot\n  \
    surefoot-sim powercut dev --artifact x.surefoot --images 500\n\n\
    Exit status 0: no violation. 1: a promise is broken; the devices that show\n\
    it are kept.")]
pub(super) struct Powercut {
    /// The device's folder; it is copied and stays as it is
    dir: PathBuf,
    /// The update whose power is cut
    #[arg(long, value_name = "X.surefoot")]
    artifact: PathBuf,
    /// The update that every device must take afterwards [default: the same again]
    #[arg(long, value_name = "Y.surefoot")]
    next: Option<PathBuf>,
    /// A release that no device may take once a newer one runs; repeat for more. Stories with a
    /// lost record and a lost state folder are then told too
    #[arg(long, value_name = "Z.surefoot")]
    older: Vec<PathBuf>,
    /// Bring the update from there too: its URL, a delta for what runs, or a delta's URL; repeat for
    /// more. The stories' names contain "brought"
    #[arg(long, value_name = "WORD")]
    also_from: Vec<String>,
    /// With --older: the trust file after a change of keys. It must accept the next and the older
    /// releases, and need not accept the artifact
    #[arg(long, value_name = "TRUST.toml")]
    trust: Option<PathBuf>,
    /// How many crash images at least
    #[arg(long, value_name = "N", default_value = "2000")]
    images: u64,
    /// How many at least in each phase of the update
    #[arg(long, value_name = "N", default_value = "20")]
    per_phase: u64,
    /// Another seed, other samples
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// How many are judged at a time
    #[arg(long, value_name = "N", default_value = "2")]
    jobs: usize,
    /// U-Boot's sandbox build (`tests/vm/setup -p uboot-sandbox`): it then boots each image first
    #[arg(long, value_name = "DIR")]
    uboot: Option<PathBuf>,
    /// With --uboot: it makes all boots of every N-th image
    #[arg(long, value_name = "N", default_value = "50")]
    wholly: u64,
    /// The program whose writes are cut [default: the one beside this one]
    #[arg(long, value_name = "SUREFOOT")]
    program: Option<PathBuf>,
    /// Only stories whose name contains this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Where devices that break a promise are kept
    #[arg(long, value_name = "DIR", default_value = "powercut-failures")]
    keep: PathBuf,
    /// End at the first violation
    #[arg(long)]
    stop_at_first: bool,
    /// Print one JSON object instead
    #[arg(long)]
    pub(super) json: bool,
}

/// The text to print, and the exit status.
pub(super) fn powercut(words: &Powercut) -> Result<(String, u8)> {
    let device = Device::open(&words.dir)?;
    let quick = Simulated { counts: device.counts()? };
    let real = words.uboot.as_deref().map(UbootSandbox::open).transpose()?;
    let program = words.program.clone().unwrap_or_else(|| program("surefoot"));
    let order = Order {
        device: &words.dir,
        artifact: &words.artifact,
        next: words.next.as_deref(),
        older: &words.older,
        ways: &words.also_from,
        trust: words.trust.as_deref(),
        program: &program,
        images: words.images,
        per_phase: words.per_phase,
        seed: words.seed,
        jobs: words.jobs.clamp(1, 64),
        keep: &words.keep,
        only: words.only.as_deref(),
        stop_at_first: words.stop_at_first,
        wholly_every: words.wholly.max(1),
        rom: real.as_ref().map_or(&quick as &dyn Rom, |real| real),
        quick: &quick,
    };
    let bar = Bar::new();
    let report = run(&order, &|done, total, bad| bar.at(done, total, bad))?;
    bar.end();
    let status = u8::from(!report.violations.is_empty());
    Ok((printed(&report, words.json)?, status))
}

fn printed(report: &Report, json: bool) -> Result<String> {
    match json {
        true => {
            let text = serde_json::to_string(report).reason(ReasonCode::Internal, "JSON")?;
            Ok(text + "\n")
        }
        false => Ok(report.text()),
    }
}

/// This simulator's own boot ROM: `tests/vm/agree.py` holds it to U-Boot.
struct Simulated {
    counts: bool,
}

impl Rom for Simulated {
    fn name(&self) -> String {
        "the simulator's boot ROM".to_owned()
    }

    fn boot(&self, folder: &Path) -> Result<Booted> {
        let mut disk = Device { folder: folder.to_owned() }.uboot_disk()?;
        let hardware = disk.hardware(self.counts, None)?;
        let slot = match boot(&hardware, &mut disk)?.end {
            End::Slot(slot) => Some(slot),
            End::Prompt(_) | End::Reset => None,
        };
        Ok(Booted { slot })
    }

    fn loads(&self, _: &Path, _: u32, _: &str) -> Option<Result<bool>> {
        None
    }
}

/// One line that moves on a terminal; elsewhere one line now and then.
struct Bar {
    began: Instant,
    drawn: Mutex<Cell<Option<Instant>>>,
    terminal: bool,
}

impl Bar {
    fn new() -> Bar {
        let terminal = std::io::stderr().is_terminal();
        Bar { began: Instant::now(), drawn: Mutex::default(), terminal }
    }

    fn at(&self, done: u64, total: u64, violations: usize) {
        let every = Duration::from_millis(if self.terminal { 200 } else { 15_000 });
        let Ok(drawn) = self.drawn.lock() else {
            return;
        };
        if drawn.get().unwrap_or(self.began).elapsed() < every {
            return;
        }
        drawn.set(Some(Instant::now()));
        let seconds = self.began.elapsed().as_secs();
        let percent = (done * 100).checked_div(total).unwrap_or(0).min(100);
        let line = format!(
            "cutting  {percent:>3} %  {done} of about {total} crash images, {violations} violations, {seconds} s"
        );
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{start}{line}{end}");
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

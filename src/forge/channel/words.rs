//! The words typed behind `channel`.

use crate::forge::key_words::KeyWords;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// A channel: one signed file on any web server that says which release is for which device.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    surefoot-forge channel init www --product demo --name stable \\\n      \
    --key KEYS/channel.key\n  \
    surefoot-forge channel add www demo-2.0.0.surefoot\n  \
    surefoot-forge channel phase www 2.0.0 --percent 5,25,100 --every 6h\n  \
    surefoot-forge channel publish www\n  \
    surefoot-forge channel status www\n\n\
    Serve the folder `www` with any web server. What is not published yet lies in\n\
    `www.work`, which stays on this host.")]
pub(in crate::forge) struct Words {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Begin a channel in a folder
    Init(Box<Init>),
    /// Add a release to the draft
    Add(Box<Add>),
    /// Say when how many devices take a release
    Phase(Phase),
    /// Offer a release to no device until it is resumed
    Pause(Change),
    /// Offer a paused release again; its phases go on where they stopped
    Resume(Change),
    /// Take a release back: devices where it only waits drop it
    Withdraw(Change),
    /// Give programs of all or some devices a value, or take it away
    Option(OptionWords),
    /// Sign the draft and put it into the folder: artifacts first, the channel last
    Publish(Publish),
    /// Show what is published, how far each phase is, and what devices have reported
    Status(Status),
}

/// Where it is, and who signs.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder that is served
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) signing: Signing,
}

/// Who signs. What is given once is remembered for the folder.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct Signing {
    /// A .key file, or cmd:PROGRAM as for `sign`; repeat for several signatures. Remembered
    #[arg(long, value_name = "FILE|cmd:PROGRAM")]
    pub(super) key: Vec<String>,
    /// The public key that cmd:PROGRAM signs for
    #[arg(long, value_name = "FILE")]
    pub(super) r#pub: Option<PathBuf>,
    /// The trust file of the devices: says which keys may sign, and checks what is added. Remembered
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
}

impl Signing {
    /// The words with which one of the keys signs.
    pub(super) fn words(&self, key: &str) -> KeyWords {
        KeyWords {
            key: Some(key.to_owned()),
            r#pub: self.r#pub.clone(),
            trust: self.trust.clone(),
            trust_file_inside: None,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  surefoot-forge channel init www --product demo --name stable \\\n      \
    --key KEYS/channel.key --report https://example.com/reports"
)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) place: Place,
    /// The product whose devices it is for
    #[arg(long, value_name = "P")]
    pub(super) product: String,
    /// What it is called; the file is NAME.channel
    #[arg(long)]
    pub(super) name: String,
    /// For how long it is fresh after each `publish`
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(super) valid_for: String,
    /// How often devices look, where their configuration says nothing
    #[arg(long, value_name = "TIME")]
    pub(super) poll: Option<String>,
    /// Where devices post what came of an update: http://… or https://…, or /PATH on the server
    /// of the channel
    #[arg(long, value_name = "URL")]
    pub(super) report: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = concat!("Examples:\n  surefoot-forge channel option www log debug --tag lab\n  \
    surefoot-forge channel option www log --tag lab\n\n\
    Devices show their values in ", env!("SUREFOOT_PATH_RUN"), "/options.json. A value for one device\n\
    counts before one for a tag, and that before one for all."))]
pub(super) struct OptionWords {
    #[command(flatten)]
    pub(super) place: Place,
    /// Its name
    #[arg(value_name = "KEY")]
    pub(super) option: String,
    /// The value, one line; without one it is taken away
    #[arg(value_name = "VALUE")]
    pub(super) value: Option<String>,
    /// Only for the device with this id
    #[arg(long, value_name = "ID", conflicts_with = "tag")]
    pub(super) device: Option<String>,
    /// Only for devices that carry this tag
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  surefoot-forge channel add www demo-2.0.0.surefoot\n  \
    surefoot-forge channel add www demo-2.0.0.surefoot --min-source 1.4.0 \\\n      \
    --tag lab --critical --notes NOTES\n  \
    surefoot-forge channel add www demo-2.0.0.surefoot --deltas-from 3 \\\n      \
    --delta-key KEYS/release.key\n\n\
    The artifact is read to its last byte and copied; nothing is served before\n\
    `publish`. The same file goes into several channels: beta first, then stable.\n\
    Given once more, a file that was lost from the folder is put back; with\n\
    --deltas-from it gets the deltas that are missing.")]
pub(super) struct Add {
    #[command(flatten)]
    pub(super) place: Place,
    /// The artifact
    #[arg(value_name = "X.surefoot")]
    pub(super) artifact: PathBuf,
    /// The oldest version from which it may be installed directly: of this channel, or
    /// MAJOR.MINOR.PATCH
    #[arg(long, value_name = "VERSION")]
    pub(super) min_source: Option<String>,
    /// Only for devices that carry this tag; repeat for more
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// It waits for no window of the device, and no data budget holds it back
    #[arg(long)]
    pub(super) critical: bool,
    /// A text file: what people should know; else the artifact's own notes
    #[arg(long, value_name = "FILE")]
    pub(super) notes: Option<PathBuf>,
    /// Make deltas from so many of the newest earlier releases, and name them
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true,
          value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(super) deltas_from: u8,
    /// The release key that signs deltas, or cmd:PROGRAM; repeat for more. Remembered; else the
    /// channel's own keys, where they are release keys
    #[arg(long, value_name = "FILE|cmd:PROGRAM")]
    pub(super) delta_key: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot-forge channel phase www 2.0.0 --percent 5,25,100 --every 6h\n  \
    surefoot-forge channel phase www 2.0.0 --percent 0 --first canary\n\n\
    The first percentage counts from `publish` on, each next one TIME later.\n\
    Devices that carry a tag of --first do not wait for a phase.")]
pub(super) struct Phase {
    #[command(flatten)]
    pub(super) place: Place,
    /// The release
    #[arg(value_name = "VERSION")]
    pub(super) version: String,
    /// Per cent of all devices, one after the other; 0 is none
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', required = true)]
    pub(super) percent: Vec<u8>,
    /// Between two of them
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(super) every: String,
    /// Devices with this tag wait for no phase; repeat for more
    #[arg(long, value_name = "TAG")]
    pub(super) first: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot-forge channel pause www 2.0.0 && surefoot-forge channel publish www\n  \
    surefoot-forge channel resume www 2.0.0\n  \
    surefoot-forge channel withdraw www 2.0.0")]
pub(super) struct Change {
    #[command(flatten)]
    pub(super) place: Place,
    /// The release
    #[arg(value_name = "VERSION")]
    pub(super) version: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  surefoot-forge channel publish www && rsync -a www/ server:/srv/www/\n\n\
    Run it again before the channel is stale, also where nothing has changed."
)]
pub(super) struct Publish {
    #[command(flatten)]
    pub(super) place: Place,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  surefoot-forge channel status www --reports reports --json\n\n\
    DIR of --reports has what devices have posted: one JSON document in a file, or\n\
    one a line."
)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) place: Place,
    /// A folder with the reports of devices
    #[arg(long, value_name = "DIR")]
    pub(super) reports: Option<PathBuf>,
    /// A device that has begun an update and says nothing for so long counts as silent
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(super) silent: String,
    /// Pause where more of a hundred devices have failed or are silent
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    pub(super) pause_above: u8,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

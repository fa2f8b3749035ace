//! The words typed.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot-forge configure disk.img --hostname gate-7 --ssh-key anna.pub\n  \
    surefoot-forge configure /dev/sdb --wifi Hall-3 --wifi-password - <secret\n  \
    surefoot-forge configure /dev/sdb --show\n\n\
    The device takes what is written here at its first start, and erases it then.\n\
    Each call replaces all that an earlier one has written. A disk that is not\n\
    Surefoot's, or that is mounted, is refused and stays as it is.")]
pub(in crate::forge) struct Words {
    /// The disk: an image file, or the device of a card or stick in this machine
    #[arg(value_name = "IMAGE|/dev/sdX")]
    pub(super) target: PathBuf,
    /// The name of the device in its network
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// What the device is told apart from others by
    #[arg(long)]
    pub(super) id: Option<String>,
    /// The name of the wireless network. SSID:PASSWORD is taken too, with a warning: every user of this
    /// machine can read what stands on a command line
    #[arg(long, value_name = "SSID")]
    pub(super) wifi: Option<String>,
    /// A file with the password of the wireless network; - is standard input [default: the variable
    /// SUREFOOT_WIFI_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "wifi")]
    pub(super) wifi_password: Option<PathBuf>,
    /// The wireless network has no password
    #[arg(long, requires = "wifi", conflicts_with = "wifi_password")]
    pub(super) wifi_open: bool,
    /// The country the wireless network is in, two letters: DE
    #[arg(long, value_name = "CC", requires = "wifi")]
    pub(super) country: Option<String>,
    /// The proxy for updates, http://[user:password@]host:port; - is the first line of standard input
    #[arg(long, value_name = "URL")]
    pub(super) proxy: Option<String>,
    /// A file with public keys that may log in over ssh; repeat for more
    #[arg(long, value_name = "FILE")]
    pub(super) ssh_key: Vec<PathBuf>,
    /// Show what is written there, without passwords, and change nothing
    #[arg(long, conflicts_with_all = ["clear", "hostname", "id", "wifi", "proxy", "ssh_key"])]
    pub(super) show: bool,
    /// Erase what an earlier call has written
    #[arg(long, conflicts_with_all = ["hostname", "id", "wifi", "proxy", "ssh_key"])]
    pub(super) clear: bool,
    /// One JSON object
    #[arg(long)]
    pub(in crate::forge) json: bool,
}

//! What can be typed.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "surefoot",
    version,
    max_term_width = 100,
    about = "A/B system updates that come back by themselves when they are bad",
    after_help = "\
Examples:
  surefoot install update.surefoot   verify, write to the other slot, arm
  surefoot status                    what runs, what is next, how it ended
  surefoot commit                    run the checks and keep the new system
  surefoot rollback                  go back to the other system
  surefoot doctor                    would a bad update come back?

Exit status: 0 done, 3 nothing new, 64 usage, 65 rejected, 66 no such file,
69 source unreachable, 70 bug, 74 device failed, 75 busy, 77 not allowed now,
78 configuration."
)]
pub(super) struct Cli {
    /// Read this configuration and no other
    #[arg(long, global = true, env = "SUREFOOT_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Say more on standard error; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// `--json`, on everything that answers.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Json {
    /// Answer as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Verify an artifact, write it to the slot that does not run, and arm it
    #[command(after_help = "\
Examples:
  surefoot install update.surefoot            then reboot to try it
  surefoot install update.surefoot --stage    arm it with `surefoot switch`
  curl -sf https://example.com/u | surefoot install -
  surefoot install update.surefoot --dry-run  print the plan, touch nothing

An interrupted installation goes on where it stopped: run the same command
again.")]
    Install(Install),
    /// Arm what is staged: what waits for a person's word, or was installed with --stage
    #[command(visible_alias = "confirm")]
    Switch {
        #[command(flatten)]
        json: Json,
    },
    /// Say what runs, what is next and how the last update ended
    Status {
        #[command(flatten)]
        json: Json,
    },
    /// Wait until the device is in this state
    #[command(after_help = "Example:\n  surefoot wait updated --timeout 10m")]
    Wait {
        /// idle, installing, staged, switching, trying, updated, rolled-back or failed
        #[arg(hide_possible_values = true, value_parser = [
            "idle", "installing", "staged", "switching", "trying", "updated", "rolled-back", "failed",
        ])]
        state: String,
        /// Give up after this long: 90s, 10m, 2h
        #[arg(long, default_value = "10m", value_name = "TIME")]
        timeout: String,
    },
    /// Run the health checks and keep the new system; if one fails, go back
    #[command(after_help = "\
Examples:
  surefoot commit
  surefoot commit --force --reason \"the check needs a network\"")]
    Commit {
        /// Keep it without running the checks; needs --reason
        #[arg(long, requires = "reason")]
        force: bool,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Stop an installation, whoever runs it, or disarm what is not tried yet
    #[command(after_help = "\
Examples:
  surefoot cancel                   within a second; what was written is kept
  surefoot cancel --reason \"no\"     for the record

Whoever installs is told 75 CANCELLED. A person may install the same artifact
again, and it goes on where it stopped; nothing else begins it again. Where
nothing runs this is told, and is no failure. `surefoot rollback` leaves a
trial.")]
    Cancel {
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "a person asked for it")]
        reason: String,
        #[command(flatten)]
        json: Json,
    },
    /// Abandon what is under way, leave a trial, or return to the other system
    #[command(after_help = "\
Examples:
  surefoot rollback
  surefoot rollback --reason \"the display stays dark\"")]
    Rollback {
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "a person asked for it")]
        reason: String,
        /// Also to a release that was tried here and rolled back
        #[arg(long)]
        retry_rolled_back: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Say before an orderly reboot that this boot of a trial has not failed
    #[command(after_help = "\
For the init system, as its last act while the state folder is still mounted;
docs/integrator.md has a unit for systemd. In a trial it keeps the time that
the trial has run and gives this boot's try back, at most 3 times in a trial.
Anywhere else it does nothing.")]
    Shutdown,
    /// Compare a slot with its manifest, or ask whether a file would be installed here
    #[command(
        after_help = "Examples:\n  surefoot verify                    the slot that runs\n  surefoot verify b\n  surefoot verify update.surefoot    would it be installed here?\n  curl -sf https://example.com/u | surefoot verify -"
    )]
    Verify {
        /// a, b, a file, or - for standard input; the slot that runs if nothing is said
        #[arg(value_hint = ValueHint::FilePath)]
        what: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Print what has happened since the daemon started
    #[command(after_help = "\
Examples:
  surefoot events --follow            as it happens, for people
  surefoot events --follow --json     one JSON document a line")]
    Events {
        /// Go on for as long as the daemon runs
        #[arg(short, long)]
        follow: bool,
        /// Only those with a higher number
        #[arg(long, value_name = "N", default_value = "0")]
        after: u64,
        #[command(flatten)]
        json: Json,
    },
    /// List every update that ended
    History {
        #[command(flatten)]
        json: Json,
    },
    /// Say whether a bad update would come back on this board, and what to do if not
    Doctor {
        #[command(flatten)]
        json: Json,
    },
    /// Collect everything that support asks for into one document
    #[command(after_help = "\
Examples:
  surefoot report                     for people
  surefoot report -o report.json      for programs, and for support

Passwords, tokens and keys in the configuration are left out. It works without
the daemon, and also where the disk, the environment or the configuration
cannot be read: then it says so.")]
    Report {
        /// Write it to a file; as JSON if its name ends in `.json`
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: Json,
    },
    /// Stop automatic updates on this device, also over reboots
    #[command(after_help = "\
Examples:
  surefoot hold --reason \"debugging the driver\"
  surefoot hold --until 2d

`[device] hold = true` in the configuration and the file `hold` in the
daemon's folder do the same. `surefoot install --hold-ok` still installs.
`surefoot release` ends it.")]
    Hold {
        /// End by itself after this long: 90m, 12h, 2d
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        json: Json,
    },
    /// Let automatic updates go again
    #[command(after_help = "\
Example:
  surefoot release            ends what `surefoot hold` began

What the configuration or the file `hold` stops stays stopped, and the answer
says so.")]
    Release {
        #[command(flatten)]
        json: Json,
    },
    /// Prove on this board that a bad system comes back
    #[command(after_help = "\
Examples:
  surefoot drill              the other slot's system fails its health check
  surefoot drill hang         it stands still, and the watchdog must reset it
  surefoot drill panic        its kernel panics

The other slot's verified system is armed, and its trial misbehaves on
purpose. The device reboots twice or more; what runs now is what runs
afterwards. `surefoot doctor` then shows the certificate.")]
    Drill {
        /// unhealthy, hang or panic
        #[arg(
            default_value = "unhealthy",
            hide_possible_values = true,
            value_parser = ["unhealthy", "hang", "panic"],
        )]
        kind: String,
        #[command(flatten)]
        json: Json,
    },
    /// Say what stands between now and the update
    #[command(after_help = "\
Examples:
  surefoot why            a hold, a time window, a person's word, a trial ...
  surefoot why --json     the same, with the seconds left where they are known")]
    Why {
        #[command(flatten)]
        json: Json,
    },
    /// Install a file on a device in the network, over ssh
    #[command(after_help = "\
Examples:
  surefoot push root@gateway update.surefoot      then reboot it to try it
  surefoot push gateway update.surefoot --reboot  and wait until it decides
  surefoot push gateway u.surefoot --remote \"sudo surefoot\" -- -p 2222 -i key

Runs `ssh HOST surefoot install -` with the file as its input. The exit status
is the device's own; 69 if it cannot be reached. After a lost connection run
the same command again: it goes on where it stopped.")]
    Push(Push),
    /// Look after this device: decide trials, answer the control socket; for the init system
    #[command(after_help = "\
Examples:
  systemctl enable --now surefoot             on a device
  surefoot --config dev/surefoot.toml daemon  on a device of surefoot-sim

It may be killed at any time. Every other command goes through it while it
runs; docs/control.md tells how other programs speak to it.")]
    Daemon,
    /// Look at a stick, install the newest artifact on it that fits, and leave a report there
    #[command(after_help = "\
Examples:
  surefoot stick /dev/sda        as surefoot-stick@sda does when it is put in
  surefoot stick stick.img       the same with an image file

docs/stick.md tells what is looked at and what is written.")]
    Stick {
        /// The whole stick, not a partition; an image file does too
        device: PathBuf,
        /// It was taken out: only tell the status file
        #[arg(long, hide = true)]
        gone: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Record what a system on trial says, for the one that it leaves behind
    #[command(hide = true)]
    Blackbox,
    /// Look at something over the network for the daemon, which has none
    #[command(hide = true)]
    Probe,
    /// Explain or check the configuration
    #[command(after_help = "\
Examples:
  surefoot config check                          every mistake, with its line
  surefoot --config new.toml config check        of a file for another machine
  surefoot config show --origin                  which file set each value")]
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Read everything and name every mistake: what is wrong, unknown or misplaced
    Check {
        #[command(flatten)]
        json: Json,
    },
    /// Print the merged configuration
    Show {
        /// Say which file set each value
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Install {
    /// The artifact; `-` reads standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) artifact: String,
    /// Write and verify, but do not arm
    #[arg(long, conflicts_with = "reboot")]
    pub(super) stage: bool,
    /// Reboot into it at once
    #[arg(long)]
    pub(super) reboot: bool,
    /// Print the plan and touch nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Accept a release older than the running one, down to the security epoch's floor
    #[arg(long)]
    pub(super) allow_older: bool,
    /// Write the release that runs already once more
    #[arg(long)]
    pub(super) reinstall: bool,
    /// Accept a release that was tried here and rolled back
    #[arg(long)]
    pub(super) retry_rolled_back: bool,
    /// Also on a device whose automatic updates are stopped
    #[arg(long)]
    pub(super) hold_ok: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
pub(super) struct Push {
    /// Where ssh connects to
    pub(super) host: String,
    /// The artifact
    pub(super) file: PathBuf,
    /// Write and verify, but do not arm
    #[arg(long, conflicts_with = "reboot")]
    pub(super) stage: bool,
    /// Reboot the device into it, wait until it has decided, and say how
    #[arg(long)]
    pub(super) reboot: bool,
    /// Also on a device whose automatic updates are stopped
    #[arg(long)]
    pub(super) hold_ok: bool,
    /// Accept a release older than the running one, down to the security epoch's floor
    #[arg(long)]
    pub(super) allow_older: bool,
    /// Write the release that runs already once more
    #[arg(long)]
    pub(super) reinstall: bool,
    /// Accept a release that was tried there and rolled back
    #[arg(long)]
    pub(super) retry_rolled_back: bool,
    /// Give up waiting after this long: 90s, 10m, 2h
    #[arg(long, default_value = "10m", value_name = "TIME")]
    pub(super) timeout: String,
    /// What connects
    #[arg(long, default_value = "ssh", value_name = "PROGRAM")]
    pub(super) ssh: String,
    /// The updater on the device
    #[arg(long, default_value = "surefoot", value_name = "PROGRAM")]
    pub(super) remote: String,
    /// Words for ssh itself
    #[arg(last = true, value_name = "SSH_ARGS")]
    pub(super) words: Vec<String>,
}

/// The whole grammar, for help and man pages.
pub fn command() -> clap::Command {
    Cli::command()
}

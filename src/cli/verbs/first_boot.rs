//! `surefoot first-boot` and `surefoot factory-reset`: in this process alone, before the daemon is there.

use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::{self, Json};
use crate::cli::render;
use crate::device::{self, World};
use crate::firstboot::{self, Became};
use crate::inspect;
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

/// Make this device its own: once, and show what is kept at every boot
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot first-boot            all of it, by hand
  surefoot first-boot --early    in a script of the init system

Grows the data partition, takes provision.toml, finds the id, keeps machine id
and ssh host keys. Each step is done once; what is kept of /etc is shown at its
place at every boot. For the init system: with --early before the daemon, when
the data partition is mounted; with --late at the end of the boot.
docs/first-boot.md")]
pub(in crate::cli) struct FirstBoot {
    /// Only what must be done before the system is up: no list of preloaded
    /// artifacts, no doctor
    #[arg(long)]
    early: bool,
    /// Only end a factory reset that was asked for: before the init system, when nothing of the data partition is in use
    #[arg(long, conflicts_with = "early")]
    reset: bool,
    /// Only the list of preloaded artifacts and the doctor
    #[arg(long, conflicts_with_all = ["early", "reset"])]
    late: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl FirstBoot {
    pub(super) fn run(self, context: &Context) -> Printed {
        let settings = context.settings()?;
        device::may_look(&settings)?;
        if self.reset {
            firstboot::end_reset(&settings, &context.sink)?;
            return Ok(String::new());
        }
        let mut found = match self.late {
            true => firstboot::preloads(&settings, &context.sink),
            false => firstboot::first_boot(&settings, &context.sink)?,
        };
        if !self.early && !self.late {
            found.steps.extend(firstboot::preloads(&settings, &context.sink).steps);
        }
        let doctor = (!self.early).then(|| inspect::doctor(settings, |_| (), &context.sink));
        let blocking = doctor.as_ref().and_then(inspect::Diagnosis::blocking);
        let mut out = String::new();
        if self.json.json {
            out = json::text(
                &serde_json::json!({ "v": 1, "steps": found.steps, "hidden": found.hidden, "doctor": doctor }),
            );
        } else {
            for step in &found.steps {
                let mark = match step.became {
                    Became::Done => "done  ",
                    Became::Before => "before",
                    Became::Left => "left  ",
                    Became::Failed => "FAILED",
                };
                let code = step.code.map_or_else(String::new, |code| format!(" [{code}]"));
                let _ = writeln!(out, "{mark}  {:<10} {}{code}", step.step, step.text);
            }
            out += &doctor.as_ref().map_or_else(String::new, render::finding::doctor);
        }
        refused(out, found.failure.or(blocking))
    }
}

/// Erase what this device has learned, at the next boot; keys, floors and identity stay
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot factory-reset --reboot
  surefoot factory-reset --keep-backup FOLDER
  surefoot factory-reset --cancel

Refused during a trial and while an update is under way; nothing is installed
before it is done. What stays is listed in docs/first-boot.md; a power cut
repeats it.")]
pub(in crate::cli) struct FactoryReset {
    /// A folder on the data partition that stays, too
    #[arg(long, value_name = "FOLDER")]
    keep_backup: Option<PathBuf>,
    /// Reboot at once
    #[arg(long)]
    reboot: bool,
    /// Withdraw what was asked for, and forget what an earlier reset has left
    #[arg(long, conflicts_with_all = ["keep_backup", "reboot"])]
    cancel: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl FactoryReset {
    pub(super) fn run(self, context: &Context) -> Printed {
        let world = World::open(context.settings()?)?;
        let text = match self.cancel {
            true => device::cancel_reset(&world)?,
            false => device::factory_reset(&world, self.keep_backup.as_deref())?,
        };
        if self.reboot {
            device::reboot(&world, &context.sink)?;
        }
        Ok(match self.json.json {
            true => {
                json::text(&serde_json::json!({ "v": 1, "text": text, "kept": firstboot::KEPT }))
            }
            false => format!("{text}\n"),
        })
    }
}

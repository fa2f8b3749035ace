//! What a run came to: counts, the worst case, and every violation with the image that shows it.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// The images of one phase.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Count {
    /// How many were judged, all different.
    pub images: u64,
    /// How many of each kind of cut.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// An image that breaks a promise.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// The story it is from.
    pub story: &'static str,
    /// Its phase.
    pub phase: &'static str,
    /// The deed that was cut.
    pub deed: String,
    /// What became of it.
    pub kind: &'static str,
    /// What is wrong.
    pub what: String,
    /// The folder in which the device is kept.
    pub kept: Option<PathBuf>,
}

impl Violation {
    pub(super) fn without_a_cut(story: &'static str, what: &str) -> Violation {
        let (phase, kind) = ("no cut", "told");
        Violation {
            story,
            phase,
            deed: "nothing".to_owned(),
            kind,
            what: what.to_owned(),
            kept: None,
        }
    }
}

/// A whole run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The version of this answer's shape.
    pub v: u32,
    /// Who booted.
    pub rom: String,
    /// Crash images judged; no two hold the same bytes.
    pub images: u64,
    /// Those among them that a cut inside U-Boot itself left.
    pub inside_uboot: u64,
    /// Those whose every boot was judged by that ROM.
    pub wholly: u64,
    /// Deeds that were cut.
    pub deeds: u64,
    /// By phase.
    pub phases: BTreeMap<&'static str, Count>,
    /// Where devices came to rest: in the old system, in the new one.
    pub rested: BTreeMap<&'static str, u64>,
    /// The most boots until rest.
    pub worst_boots: u32,
    /// The longest time until rest, milliseconds of this machine.
    pub worst_millis: u128,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// How long it took, seconds.
    pub seconds: u64,
}

impl Report {
    pub(super) fn rests(&mut self, boots: u32, time: Duration, system: &'static str) {
        self.worst_boots = self.worst_boots.max(boots);
        self.worst_millis = self.worst_millis.max(time.as_millis());
        *self.rested.entry(system).or_default() += 1;
    }

    pub(super) fn judged(&mut self, phase: &'static str, kind: &'static str) {
        self.images += 1;
        let count = self.phases.entry(phase).or_default();
        count.images += 1;
        *count.kinds.entry(kind).or_default() += 1;
    }

    /// The lines for a person.
    pub fn text(&self) -> String {
        let mut out = format!("{:<24} {:>7}  kinds\n", "phase", "images");
        for (phase, count) in &self.phases {
            let kinds: Vec<String> = count.kinds.iter().map(|(k, n)| format!("{n} {k}")).collect();
            let _ = writeln!(out, "{phase:<24} {:>7}  {}", count.images, kinds.join(", "));
        }
        let rested: Vec<String> =
            self.rested.iter().map(|(s, n)| format!("{n} in the {s}")).collect();
        let _ = writeln!(
            out,
            "\n{} crash images, no two alike, at {} deeds; {} from cuts inside U-Boot itself",
            self.images, self.deeds, self.inside_uboot
        );
        let _ = writeln!(out, "first boot of each by {}, all boots of {}", self.rom, self.wholly);
        let _ = writeln!(
            out,
            "at rest: {}; after {} boots and {} ms at worst; each took the next update",
            rested.join(", "),
            self.worst_boots,
            self.worst_millis
        );
        for violation in &self.violations {
            let Violation { story, phase, deed, kind, what, kept } = violation;
            let _ =
                writeln!(out, "VIOLATION in {story}, {phase}: {what}\n    cut at {deed}, {kind}");
            if let Some(kept) = kept {
                let _ = writeln!(out, "    kept in {}", kept.display());
            }
        }
        let _ = writeln!(out, "{} violations, {} s", self.violations.len(), self.seconds);
        out
    }
}

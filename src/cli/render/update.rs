//! What an installation does or would do, and what stands in a slot.

use super::finding::findings;
use crate::device::{Installed, Judgement, Offering};
use crate::event::{Forecast, Via};
use crate::install::{Plan, SlotVerdict};
use crate::model::{ByteLen, Identifier, SlotId};

pub(super) fn installed(installed: &Installed) -> String {
    match installed {
        Installed::Done(done) => format!("{}\n", done.text),
        #[cfg(feature = "apps")]
        Installed::Apps(answer) => super::apps::answer(answer),
        Installed::Plan { slot, plan, forecast: foreseen, findings: known, .. } => format!(
            "Would install {} (counter {}) into slot {slot}:\n{}  \
             {} to write and read back, {} of zeros to make sure of\n\
             {}Nothing was touched.\n{}",
            plan.version,
            plan.release_counter,
            read(plan, foreseen.is_some()),
            ByteLen(plan.carried),
            ByteLen(plan.image.saturating_sub(plan.carried)),
            foreseen.as_ref().map_or_else(String::new, forecast),
            findings(known),
        ),
    }
}

/// What is read of an artifact that is at hand; over a network the forecast says what comes.
fn read(plan: &Plan, network: bool) -> String {
    match network {
        true => String::new(),
        false => format!(
            "  {} to read from the artifact in {} chunks\n",
            ByteLen(plan.stored),
            plan.chunks
        ),
    }
}

/// Where the bytes of an installation over a network come from.
pub(super) fn forecast(forecast: &Forecast) -> String {
    let time = match (forecast.seconds, forecast.rate) {
        (Some(seconds), Some(rate)) => format!(
            "  about {}:{:02} at {}/s, as the first {} came\n",
            seconds / 60,
            seconds % 60,
            ByteLen(rate),
            ByteLen(forecast.fetched),
        ),
        _ => String::new(),
    };
    let copied = match forecast.via {
        Via::Adaptive => {
            format!("  {} are copied from the slot that runs\n", ByteLen(forecast.copied))
        }
        Via::Full | Via::Delta => String::new(),
    };
    let how = match forecast.via {
        Via::Adaptive => "are fetched (via adaptive)",
        Via::Full => "are fetched with the whole artifact (via full)",
        Via::Delta => "are made from the slot that runs (via delta)",
    };
    format!(
        "Bytes of the image:\n  \
         {} stand in the slot\n\
         {copied}  \
         {} are zeros\n  \
         {} {how}: {} over the network\n{time}",
        ByteLen(forecast.stands),
        ByteLen(forecast.zeros),
        ByteLen(forecast.fetch),
        ByteLen(forecast.to_fetch),
    )
}

pub(super) fn offering(offering: &Offering) -> String {
    let mut out = format!("{}\n", offering.text);
    if let Some(release) = &offering.offers {
        out += &format!(
            "  {} (counter {}), {}, {}{}\n",
            release.version,
            release.release_counter,
            ByteLen(release.size),
            release.url,
            if release.critical { ", critical" } else { "" }
        );
        for line in release.notes.lines() {
            out += &format!("  {line}\n");
        }
    }
    out + &findings(&offering.findings)
}

pub(super) fn judgement(judgement: &Judgement) -> String {
    if let Some(app) = &judgement.app {
        let (version, image) = (&judgement.plan.version, ByteLen(judgement.plan.image));
        return format!(
            "Sound, signed, and for this device: the app {app} {version} ({image}).\n{}",
            findings(&judgement.findings)
        );
    }
    format!(
        "Sound, signed, and for this device: {} would go into slot {} ({} of image; {} runs now).\n{}",
        judgement.plan.version,
        judgement.slot,
        ByteLen(judgement.plan.image),
        judgement.running,
        findings(&judgement.findings),
    )
}

pub(super) fn verdict(slot: SlotId, verdict: &SlotVerdict) -> String {
    let place = |part: &Option<Identifier>, at: &Option<u64>| match (part, at) {
        (None, None) => String::new(),
        (None, Some(at)) => format!(", first at byte {at}"),
        (Some(part), None) => format!(" in part {part}"),
        (Some(part), Some(at)) => format!(", first in part {part} at byte {at}"),
    };
    match verdict {
        SlotVerdict::Matches { version, bytes } => {
            format!(
                "Slot {slot} is exactly {version}: {} match its signed manifest.\n",
                ByteLen(*bytes)
            )
        }
        SlotVerdict::ModifiedSinceInstall { version, part, differs_at } => format!(
            "Slot {slot} was {version} and was mounted writable since it was installed{}. That is no failure of the device.\n",
            place(part, differs_at)
        ),
        SlotVerdict::Damaged { version, part, differs_at } => {
            format!(
                "Slot {slot} should be {version} and differs from it{}.\n",
                place(part, differs_at)
            )
        }
        SlotVerdict::Unknown { found } => {
            format!("Slot {slot} has {found}: there is nothing to compare it with.\n")
        }
    }
}

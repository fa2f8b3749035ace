//! One boot of the folder's device, by the bootloader that it has.

use super::boot::{Boot, End, boot};
use super::device::{Device, Soldered};
use super::environment::{Flash, Variables, load};
use super::numbered;
use super::told::{Fault, Told};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::sys::durable;

fn text(variables: &Variables, name: &str) -> Option<String> {
    variables.get(name.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned())
}

/// The slot that an environment names, as the boot script reads it: anything but `b` means a.
fn named(variables: &Variables) -> SlotId {
    match text(variables, "surefoot_slot").as_deref() {
        Some("b") => SlotId::B,
        _ => SlotId::A,
    }
}

/// Boots the device once and writes down what runs. Also returns the bootloader's console.
pub(super) fn reboot(device: &Device, fault: Option<Fault>) -> Result<(Told, Vec<String>)> {
    let (told, console) = match device.soldered()? {
        Soldered::Uboot { counts } => by_uboot(device, counts, fault)?,
        Soldered::Numbered => numbered::boot(device, fault)?,
    };
    let json = serde_json::to_vec_pretty(&told)
        .map_err(|e| Failure::new(ReasonCode::Internal, e.to_string()))?;
    durable::write(&device.path("run/boot.json"), &json)?;
    if let Some(kind) = fault.filter(|f| *f != Fault::Kernel) {
        durable::write(&device.path("run/unhealthy"), format!("{}\n", kind.word()).as_bytes())?;
    }
    if let Some(slot) = told.slot {
        durable::write(&device.path("run/booted"), format!("{slot}\n").as_bytes())?;
    }
    Ok((told, console))
}

fn by_uboot(device: &Device, counts: bool, fault: Option<Fault>) -> Result<(Told, Vec<String>)> {
    let mut disk = device.uboot_disk()?;
    let before = load(&disk.read()?).variables.unwrap_or_default();
    let broken = (fault == Some(Fault::Kernel)).then(|| named(&before));
    let hardware = disk.hardware(counts, broken)?;
    device.nothing_runs();
    let done = boot(&hardware, &mut disk)?;
    Ok((told(&before, &done, fault), done.console))
}

/// What a boot was, from an environment and what became of it.
pub(super) fn told(before: &Variables, done: &Boot, fault: Option<Fault>) -> Told {
    let (slot, stopped) = match &done.end {
        End::Slot(slot) => (Some(*slot), None),
        End::Prompt(step) => {
            let step = step.as_ref().map_or(String::new(), |step| format!(": {step}"));
            (None, Some(format!("U-Boot stopped at its prompt{step}")))
        }
        End::Reset => (None, Some("the script reset the board or switched it off".to_owned())),
    };
    let after = &done.variables;
    let pending =
        |variables: &Variables| text(variables, "upgrade_available").as_deref() == Some("1");
    let trial = pending(after) && slot == Some(named(after));
    let number = |name: &str| text(after, name).filter(|_| trial)?.parse().ok();
    Told {
        v: 1,
        slot,
        stopped,
        trial,
        boot: number("bootcount"),
        limit: number("bootlimit"),
        gave_up: text(after, "surefoot_fallback").filter(|_| pending(before) && !pending(after)),
        degraded: slot.is_some_and(|slot| slot != named(after)),
        default_environment: done.from_defaults,
        saves: done.saves,
        fail: fault.map(Fault::word),
        bootargs: done.arguments.clone(),
    }
}

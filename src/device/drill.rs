//! A board's own rollback, tried for real: the other slot's system is armed and misbehaves on
//! purpose; the device that comes home keeps a certificate.

use super::answer::Answer;
use super::certificate::Begun;
use super::hands::settle;
use super::verbs::go_back;
use super::world::World;
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::{durable, host};
use crate::update::{Drill, Order, Reboot, Target};

/// Arms the other slot's verified system for a trial that will misbehave. Reboot to begin; the
/// daemon does so by itself.
pub fn drill(world: &World, kind: Drill, by: &str, sink: &dyn Sink) -> Result<Answer> {
    let booted = world.booted()?;
    if kind == Drill::Hang && !world.disk.is_image() && !host::is_watched() {
        let text =
            "no hardware watchdog is fed by the init system: a device that hangs would stay so";
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    let _lock = world.lock("drill")?;
    let journal = settle(world, sink)?;
    if let Some(work) = journal.work() {
        let text = format!("{} in slot {} is under way", work.to, work.slot);
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    if let Some(refused) = world.refusal(booted.other()) {
        return Err(refused);
    }
    if !matches!(world.target_in(booted.other()), Target::Recorded(_)) {
        let text = format!("slot {} holds no release that was installed", booted.other());
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    let begun = Begun { at: world.now() };
    let text = serde_json::to_string(&begun).reason(ReasonCode::Internal, "drill")?;
    durable::write(&world.begun_file(), text.as_bytes())?;
    let by = by.to_owned();
    let order = Order { by, automatic: false, reboot: Reboot::Now, drill: Some(kind) };
    // It misbehaves whatever it is: one that came back before serves as well.
    let answer = go_back(world, journal, order, true, sink)?;
    let text = format!(
        "A drill: {} in slot {} will {}, and this device must come home by itself. {}",
        answer.version,
        answer.slot,
        match kind {
            Drill::Unhealthy => "fail its health check",
            Drill::Hang => "hang until the watchdog resets it",
            Drill::Panic => "panic",
        },
        "Then `surefoot doctor` shows how long it took."
    );
    Ok(Answer { text, ..answer })
}

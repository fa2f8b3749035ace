//! What bundles say of each other, of the system and of its hardware, for the whole set that a change would make.

use super::AppContext;
use super::member::Member;
use crate::model::{Failure, Identifier, ReasonCode, Result};

/// The first thing that stands against this set.
pub(super) fn check(ctx: &AppContext<'_>, members: &[Member]) -> Result<()> {
    let system = |name: &Identifier| ctx.settings.provides.contains(name);
    for member in members {
        let others = || members.iter().filter(|other| other.app != member.app);
        for need in &member.document.requires {
            let by_itself = member.document.provides.contains(need);
            if !by_itself && !system(need) && !others().any(|other| provides(other, need)) {
                let app = &member.app;
                let text = format!("{app} requires `{need}`, and nothing here provides it");
                return Err(Failure::new(ReasonCode::AppRequires, text));
            }
        }
        for against in &member.document.conflicts {
            if let Some(other) = others().find(|other| provides(other, against)) {
                let (app, other) = (&member.app, &other.app);
                let text = format!("{app} cannot be here together with {other}: `{against}`");
                return Err(Failure::new(ReasonCode::AppConflict, text));
            }
            if system(against) {
                let app = &member.app;
                let text = format!("{app} cannot be on a device that has `{against}`");
                return Err(Failure::new(ReasonCode::AppConflict, text));
            }
        }
        for claim in &member.document.claims {
            if let Some(other) = others().find(|other| other.document.claims.contains(claim)) {
                let (app, other) = (&member.app, &other.app);
                let text = format!("{app} and {other} both want `{claim}` for themselves");
                return Err(Failure::new(ReasonCode::AppConflict, text));
            }
        }
    }
    circle(members)
}

/// An app provides its own name, too.
fn provides(member: &Member, name: &Identifier) -> bool {
    member.document.provides.contains(name) || member.app.as_str() == name.as_str()
}

/// Bundles that require each other in a circle have no order of start. What the system provides makes no circle.
fn circle(members: &[Member]) -> Result<()> {
    let mut waiting: Vec<&Member> = members.iter().collect();
    loop {
        let needs_waiting = |member: &Member| {
            let from_waiting = |need: &Identifier| {
                !member.document.provides.contains(need)
                    && waiting.iter().any(|o| o.app != member.app && provides(o, need))
            };
            member.document.requires.iter().any(from_waiting)
        };
        let left: Vec<&Member> =
            waiting.iter().copied().filter(|member| needs_waiting(member)).collect();
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == waiting.len() {
            let names: Vec<&str> = left.iter().map(|member| member.app.as_str()).collect();
            let text = format!("these bundles require each other: {}", names.join(", "));
            return Err(Failure::new(ReasonCode::DependencyCycle, text));
        }
        waiting = left;
    }
}

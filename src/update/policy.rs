//! Which releases are wanted: pure, and no flag reaches below the floor.

use super::{Denied, Identity, Named};
use crate::model::{Digest, Failure, ReasonCode, Result, Txn};

/// What a person has allowed for this one installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// A lower release counter than the running one.
    pub older: bool,
    /// The release that runs already.
    pub reinstall: bool,
    /// A release that was tried and came back.
    pub retry_rolled_back: bool,
}

/// What the device says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The running release.
    pub running: &'a Named,
    /// Whether it is committed: only then does its epoch count.
    pub committed: bool,
    /// The stored floor.
    pub floor: u32,
    /// Releases that came back.
    pub denied: &'a [Denied],
    /// What the environment says was given up: denies also when the state folder was lost.
    pub given_up: Option<&'a Txn>,
}

/// Whether the release `offered` with manifest digest `digest` may be installed.
pub fn wanted(offered: &Named, digest: &Digest, on: &Standing<'_>, allowed: Allowed) -> Result<()> {
    let refuse = |code, text: String| Err(Failure::new(code, text));
    let own = if on.committed { on.running.security_epoch } else { 0 };
    let floor = on.floor.max(own);
    if offered.security_epoch < floor {
        let epoch = offered.security_epoch;
        return refuse(
            ReasonCode::BelowFloor,
            format!("security epoch {epoch} is below the floor {floor}"),
        );
    }
    if !allowed.retry_rolled_back {
        not_rolled_back(offered, digest, on.denied, on.given_up)?;
    }
    let (new, old) = (offered.release_counter, on.running.release_counter);
    // A system that no artifact has brought has no counter: anything is newer. Of an unknown one
    // nobody can say what is older, and the floor alone decides. A name that is not accepted any
    // more still counts.
    let known = match on.running.identity() {
        Identity::Known | Identity::NotAccepted => true,
        Identity::Factory | Identity::Unknown => false,
    };
    if known && new < old && !allowed.older {
        let text =
            format!("{offered} (counter {new}) is older than the running {} ({old})", on.running);
        return refuse(ReasonCode::VersionOlder, text);
    }
    if known && new == old && !allowed.reinstall {
        return refuse(ReasonCode::AlreadyInstalled, format!("{} is running already", on.running));
    }
    Ok(())
}

/// Refuses a release that came back from its trial: asked before it is installed, and before it is
/// armed again.
pub fn not_rolled_back(
    offered: &Named,
    digest: &Digest,
    denied: &[Denied],
    given_up: Option<&Txn>,
) -> Result<()> {
    let came_back = denied.iter().find(|d| d.digest == *digest);
    if came_back.is_none() && !given_up.is_some_and(|txn| txn.names(digest)) {
        return Ok(());
    }
    let why = came_back.map_or(ReasonCode::BootFailed, |d| d.reason);
    let text = format!("{offered} was tried here and rolled back ({why})");
    Err(Failure::new(ReasonCode::RolledBackBefore, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(counter: u64, epoch: u32) -> Named {
        Named {
            version: "1".parse().ok(),
            release_counter: counter,
            security_epoch: epoch,
            ..Named::default()
        }
    }

    #[test]
    fn the_table() {
        use ReasonCode::*;
        let digest = Digest::of(b"x");
        let denied = [Denied { digest, reason: HealthFailed }];
        let txn = Txn::new(&digest, 1);
        let (none, any) =
            (Allowed::default(), Allowed { older: true, reinstall: true, retry_rolled_back: true });
        let running = named(10, 2);
        let standing =
            Standing { running: &running, committed: true, floor: 1, denied: &[], given_up: None };
        let fallen = Standing { denied: &denied, ..standing };
        let forgot = Standing { given_up: Some(&txn), ..standing };
        let trial = Standing { committed: false, ..standing };
        let (not_accepted, unknown) = (named(10, 2).not_accepted(), Named::unknown());
        let refused = Standing { running: &not_accepted, ..standing };
        let nameless = Standing { running: &unknown, ..standing };
        let made = Named::default();
        let factory = Standing { running: &made, ..standing };
        for (offered, on, allowed, want) in [
            (named(11, 2), standing, none, None),
            (named(10, 2), standing, none, Some(AlreadyInstalled)),
            (named(10, 2), standing, any, None),
            (named(9, 2), standing, none, Some(VersionOlder)),
            (named(9, 2), standing, any, None),
            (named(99, 1), standing, any, Some(BelowFloor)),
            (named(99, 1), trial, none, None),
            (named(99, 0), trial, any, Some(BelowFloor)),
            (named(11, 2), fallen, none, Some(RolledBackBefore)),
            (named(11, 2), forgot, none, Some(RolledBackBefore)),
            (named(11, 2), fallen, any, None),
            (named(9, 2), refused, none, Some(VersionOlder)),
            (named(99, 1), refused, any, Some(BelowFloor)),
            (named(11, 2), refused, none, None),
            (named(1, 1), nameless, none, None),
            (named(1, 0), nameless, any, Some(BelowFloor)),
            (named(1, 1), factory, none, None),
        ] {
            let got = wanted(&offered, &digest, &on, allowed).err().map(|f| f.code());
            assert_eq!(got, want, "{offered:?} {on:?} {allowed:?}");
        }
    }
}

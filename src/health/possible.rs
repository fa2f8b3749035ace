//! Whether a check could ever say yes on this machine: looked at without running it.

use super::{Check, Kind};
use crate::sys::{host, program};
use std::io::ErrorKind;
use std::path::Path;

/// Why a check can never run here; `None` for one that may pass or fail. `folder` is where its
/// relative paths start.
pub fn impossible(check: &Check, folder: &Path) -> Option<String> {
    match &check.kind {
        Kind::Command(command) => program::can_start(command, folder).err(),
        Kind::Unit(_) | Kind::Steady(_) if !host::has_systemd() => {
            Some("it asks systemd for units, and systemd does not run this machine".to_owned())
        }
        Kind::Unit(_) | Kind::Steady(_) => {
            program::can_start(&["systemctl".to_owned()], Path::new("/")).err()
        }
        Kind::Space { path, .. } => match std::fs::metadata(folder.join(path)) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Some(format!("{}: {e}", path.display()))
            }
            _ => None,
        },
        Kind::Http(url) if cfg!(not(feature = "http")) && url.starts_with("https://") => {
            Some(format!("{url}: this program was built without the network"))
        }
        Kind::Http(_) | Kind::Tcp(_) | Kind::Reach(_) | Kind::File(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Need;
    use std::time::Duration;

    fn why(kind: Kind) -> Option<String> {
        let (need, timeout) = (Need::Required, Duration::from_secs(1));
        impossible(&Check { name: "x".into(), need, kind, timeout }, Path::new("/"))
    }

    #[test]
    fn only_what_can_never_pass_is_named() {
        let command = |program: &str| Kind::Command(vec![program.to_owned()]);
        let space = |path: &str| Kind::Space { path: path.into(), free: 1 << 62 };
        for kind in [
            command("false"),
            space("/"),
            Kind::Tcp("127.0.0.1:1".into()),
            Kind::Http("http://127.0.0.1:1/".into()),
            Kind::File("/nowhere/at/all".into()),
        ] {
            assert_eq!(why(kind.clone()), None, "{kind:?}");
        }
        assert!(why(command("/nowhere/at-all")).is_some());
        assert!(why(space("/nowhere/at-all")).is_some());
        let units = [Kind::Unit(vec!["a.service".into()]), Kind::Steady(vec!["*".into()])];
        for kind in units {
            assert_eq!(why(kind).is_some(), !host::has_systemd());
        }
    }
}

//! What a request about apps answers.

use crate::apps::{Admission, AppMove, Generation};
use crate::bundle::ServiceName;
use serde::{Deserialize, Serialize};

/// What came of a request about apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppsDid {
    /// The new generation runs, and stays.
    Updated,
    /// It is on the device, and waits for the word to switch.
    Staged,
    /// It goes into its trial with the system that it came with.
    Joint,
    /// The app is stopped.
    Stopped,
    /// The app runs again.
    Started,
    /// It would be done.
    Planned,
}

/// What is done to one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppChanged {
    /// The app.
    pub app: ServiceName,
    /// The version before; none where it is new.
    pub from: Option<String>,
    /// The version after; none where it goes.
    pub to: Option<String>,
}

/// The answer to a request about apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppsAnswer {
    /// The version of this answer's shape.
    pub v: u32,
    /// What came of it.
    pub did: AppsDid,
    /// The apps.
    pub apps: Vec<AppChanged>,
    /// Stored bytes of payloads that the device did not have.
    #[serde(default)]
    pub download: u64,
    /// Bytes of disk that it took, or takes.
    #[serde(default)]
    pub room: u64,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// One line for people.
    pub text: String,
}

impl AppChanged {
    pub(super) fn of(one: &AppMove) -> AppChanged {
        let version = |g: &Option<Generation>| g.as_ref().map(|g| g.version.to_string());
        AppChanged { app: one.app.clone(), from: version(&one.from), to: version(&one.to) }
    }
}

impl AppsAnswer {
    pub(super) fn of(did: AppsDid, admission: &Admission) -> AppsAnswer {
        let apps: Vec<_> = admission.moves.iter().map(AppChanged::of).collect();
        let text = apps.iter().map(|one| sentence(did, one)).collect::<Vec<_>>().join(" ");
        let (download, room) = (admission.download, admission.room);
        AppsAnswer { v: 1, did, apps, download, room, notes: admission.notes.clone(), text }
    }

    pub(super) fn about(did: AppsDid, app: &ServiceName, text: String) -> AppsAnswer {
        let apps = vec![AppChanged { app: app.clone(), from: None, to: None }];
        AppsAnswer { v: 1, did, apps, download: 0, room: 0, notes: Vec::new(), text }
    }
}

/// `NAME OLD -> NEW`, for events and for people.
pub(super) fn in_words(one: &AppMove) -> String {
    let AppChanged { app, from, to } = AppChanged::of(one);
    let said = |version: Option<String>| version.unwrap_or_else(|| "nothing".to_owned());
    format!("{app} {} -> {}", said(from), said(to))
}

fn sentence(did: AppsDid, AppChanged { app, from, to }: &AppChanged) -> String {
    let before = from.as_ref().map_or_else(String::new, |from| format!(" in place of {from}"));
    match (did, to) {
        (AppsDid::Planned, Some(to)) => format!("{app} {to} would run{before}."),
        (AppsDid::Planned, None) => format!("{app} would be removed."),
        (AppsDid::Staged, Some(to)) => {
            format!("{app} {to} is on the device. Switch to it with `surefoot apps switch`.")
        }
        (AppsDid::Joint, Some(to)) => format!("{app} {to} is tried with the system."),
        (_, Some(to)) => format!("{app} {to} runs{before}."),
        (_, None) => format!("{app} is removed."),
    }
}

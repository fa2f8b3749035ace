//! The table of requests. Nothing else says which paths and parameters there are, but
//! docs/control.md, and a test compares the two.

use super::query::{Query, Words};
use super::response::{Response, read};
use super::route::{Form, Route};
#[cfg(feature = "apps")]
use crate::bundle::ServiceName;
#[cfg(feature = "apps")]
use crate::model::Digest;
use crate::model::SlotId;
use crate::update::{Drill, Reboot};

/// `Name = form "path" { parameter: kind Type } -> Answer;`, where a kind is a pair of functions of
/// the same name in `query.rs`: one reads it from a query, one writes it there.
macro_rules! requests {
    ($(
        $(#[doc = $doc:literal])*
        $(#[cfg($when:meta)])?
        $name:ident = $form:ident $path:literal
            $({ $($(#[$about:meta])* $field:ident: $kind:ident $type:ty),+ $(,)? })?
            -> $answer:ident;
    )*) => {
        /// Something that can be asked of a device.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request {
            $($(#[doc = $doc])* $(#[cfg($when)])? $name $({ $($(#[$about])* $field: $type),+ })?,)*
        }

        #[allow(non_upper_case_globals, reason = "each is named like its request")]
        mod rows {
            use super::*;
            $($(#[cfg($when)])? pub(super) static $name: Route = Route {
                form: Form::$form,
                path: $path,
                own: &[$($(stringify!($field)),+)?],
                read: |_query: &Query<'_>| {
                    Ok(Request::$name { $($($field: _query.$kind(stringify!($field))?),+)? })
                },
                answer: |document| read(document).map(Response::$answer),
            };)*
        }

        /// Every request: its path, what it knows, and how it and its answer are read.
        pub static ROUTES: &[&Route] = &[$($(#[cfg($when)])? &rows::$name),*];

        impl Request {
            /// Its row, and its parameters as they are written.
            pub(super) fn write(&self) -> (&'static Route, Words) {
                let mut words = Words::default();
                let route = match self {
                    $($(#[cfg($when)])? Request::$name { $($($field),+)? } => {
                        $($(words.$kind(stringify!($field), $field);)+)?
                        &rows::$name
                    })*
                };
                (route, words)
            }
        }
    };
}

requests! {
    /// Which versions of the updater and of this table answer.
    Version = Question "/v1" -> Version;
    /// Where the device stands.
    Status = Question "/v1/status" -> Status;
    /// What stands between now and the update.
    Why = LongQuestion "/v1/why" -> Why;
    /// Every move that ended.
    History = Question "/v1/history" -> History;
    /// Whether a bad update would come back.
    Doctor = LongQuestion "/v1/doctor" -> Diagnosis;
    /// Everything that support asks for.
    Report = LongQuestion "/v1/report" -> Report;
    /// How a slot compares with its signed record.
    Verify = LongQuestion "/v1/verify" {
        /// The slot; the one that runs where none is said.
        slot: word Option<SlotId>,
    } -> Verified;
    /// What has happened since the daemon started: a line for each event.
    Events = LongQuestion "/v1/events" {
        /// Only those with a higher number.
        after: number Option<u64>,
        /// Go on for as long as the daemon runs.
        follow: flag bool,
    } -> Numbered;
    /// How the apps are.
    #[cfg(feature = "apps")]
    Apps = LongQuestion "/v1/apps" {
        /// One of them; all where none is said.
        app: word Option<ServiceName>,
    } -> AppsStatus;
    /// What services of an app have printed: a line for each of theirs.
    #[cfg(feature = "apps")]
    AppsLogs = LongQuestion "/v1/apps/logs" {
        /// The app.
        app: word Option<ServiceName>,
        /// One of its services; all where none is said.
        service: word Option<ServiceName>,
        /// So many last lines of each.
        last: number Option<u64>,
        /// Go on for as long as the service runs.
        follow: flag bool,
    } -> LogLine;
    /// Brings an app. A bundle goes with it.
    #[cfg(feature = "apps")]
    AppsInstall = Delivery "/v1/apps/install" {
        /// Do not switch to it.
        stage: flag bool,
        /// Also where a service holds its lock.
        force: flag bool,
        /// Say what would be done, and do nothing.
        dry_run: flag bool,
        /// Also where automatic updates are stopped.
        hold_ok: flag bool,
        /// Also a release older than the running one.
        allow_older: flag bool,
        /// Also the release that runs already.
        reinstall: flag bool,
        /// Also a release that was tried here and came back.
        retry_rolled_back: flag bool,
        /// Nobody asks for this very release: what holds automatic updates back holds it back.
        automatic: flag bool,
        /// Values of its configuration, one `KEY=VALUE` on each line.
        values: text Option<String>,
        /// Where the bundle is fetched from; none goes with the request then.
        url: text Option<String>,
        /// Try for as long as it takes where its server does not answer.
        wait: flag bool,
    } -> AppsAnswer;
    /// Switches to the change of apps that is staged.
    #[cfg(feature = "apps")]
    AppsSwitch = Order "/v1/apps/switch" {
        /// Also where a service holds its lock.
        force: flag bool,
    } -> AppsAnswer;
    /// Goes back to a generation of an app that is on the device.
    #[cfg(feature = "apps")]
    AppsRollback = Order "/v1/apps/rollback" {
        /// The app.
        app: word Option<ServiceName>,
        /// SHA-256 of the manifest of that generation; the one before where none is said.
        digest: word Option<Digest>,
        /// Also where a service holds its lock.
        force: flag bool,
        /// Also to a release that was tried here and came back.
        retry_rolled_back: flag bool,
    } -> AppsAnswer;
    /// Sets values of the configuration of an app.
    #[cfg(feature = "apps")]
    AppsConfigure = Order "/v1/apps/configure" {
        /// The app.
        app: word Option<ServiceName>,
        /// One `KEY=VALUE` on each line; an empty value takes one away.
        values: text Option<String>,
        /// Also where a service holds its lock.
        force: flag bool,
    } -> AppsAnswer;
    /// Stops an app until it is started, also over reboots.
    #[cfg(feature = "apps")]
    AppsStop = Order "/v1/apps/stop" {
        /// The app.
        app: word Option<ServiceName>,
    } -> AppsAnswer;
    /// Starts an app that was stopped.
    #[cfg(feature = "apps")]
    AppsStart = Order "/v1/apps/start" {
        /// The app.
        app: word Option<ServiceName>,
    } -> AppsAnswer;
    /// Takes an app away.
    #[cfg(feature = "apps")]
    AppsRemove = Order "/v1/apps/remove" {
        /// The app.
        app: word Option<ServiceName>,
        /// What it has written, too.
        data: flag bool,
        /// Also where a service holds its lock.
        force: flag bool,
    } -> AppsAnswer;
    /// Brings a release into the other slot. An artifact goes with it.
    Install = Delivery "/v1/install" {
        /// Do not arm it.
        stage: flag bool,
        /// When the device reboots into it.
        reboot: time Option<Reboot>,
        /// Say what would be done, and do nothing.
        dry_run: flag bool,
        /// Also where automatic updates are stopped.
        hold_ok: flag bool,
        /// Also a release older than the running one.
        allow_older: flag bool,
        /// Also the release that runs already.
        reinstall: flag bool,
        /// Also a release that was tried here and came back.
        retry_rolled_back: flag bool,
        /// Also, where nobody asks for this very update, what a person has cancelled.
        retry_cancelled: flag bool,
        /// Nobody asks for this very update: what holds automatic ones back holds it back.
        automatic: flag bool,
        /// Where the artifact is fetched from; none goes with the request then.
        url: text Option<String>,
        /// Try for as long as it takes where its server does not answer.
        wait: flag bool,
    } -> Installed;
    /// What the channel has for this device, now and later.
    CheckUpdate = Order "/v1/check-update" -> Offering;
    /// Installs what the channel has for this device now.
    Update = Order "/v1/update" {
        /// Say what would be done, and do nothing.
        dry_run: flag bool,
    } -> Updated;
    /// Whether an artifact would be installed here. It goes with the request.
    Judge = Delivery "/v1/judge" {
        /// Look only at its signed head and its length.
        head: flag bool,
    } -> Judgement;
    /// Arms what is staged.
    Switch = Order "/v1/switch" -> Answer;
    /// The same word for a release that waits for a person.
    Confirm = Order "/v1/confirm" -> Answer;
    /// Decides the trial.
    Commit = Order "/v1/commit" {
        /// Without running the checks; needs a reason.
        force: flag bool,
        /// Why, for the record.
        reason: text Option<String>,
    } -> Answer;
    /// Stops an installation, whoever runs it.
    Cancel = Order "/v1/cancel" {
        /// Why, for the record.
        reason: text Option<String>,
    } -> Cancellation;
    /// Goes back.
    Rollback = Order "/v1/rollback" {
        /// Why, for the record.
        reason: text Option<String>,
        /// Also to a system that was tried here and came back.
        retry_rolled_back: flag bool,
    } -> Answer;
    /// Stops automatic updates.
    Hold = Order "/v1/hold" {
        /// For so long; else until [`Request::Unhold`].
        seconds: number Option<u64>,
        /// Why, for the record.
        reason: text Option<String>,
    } -> Hold;
    /// Lets automatic updates go again.
    Unhold = Order "/v1/unhold" -> Said;
    /// Tries the board's own rollback for real.
    Drill = Order "/v1/drill" {
        /// How the system on trial misbehaves; `unhealthy` where it is not said.
        kind: word Option<Drill>,
    } -> Answer;
}

//! The table of requests. Nothing else says which paths and parameters there are, but
//! docs/control.md, and a test compares the two.

use super::query::{Query, Words};
use super::response::{Response, read};
use super::route::{Form, Route};
use crate::model::SlotId;
use crate::update::{Drill, Reboot};

/// `Name = form "path" { parameter: kind Type } -> Answer;`, where a kind is a pair of functions of
/// the same name in `query.rs`: one reads it from a query, one writes it there.
macro_rules! requests {
    ($(
        $(#[$doc:meta])*
        $name:ident = $form:ident $path:literal
            $({ $($(#[$about:meta])* $field:ident: $kind:ident $type:ty),+ $(,)? })?
            -> $answer:ident;
    )*) => {
        /// Something that can be asked of a device.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request {
            $($(#[$doc])* $name $({ $($(#[$about])* $field: $type),+ })?,)*
        }

        #[allow(non_upper_case_globals, reason = "each is named like its request")]
        mod rows {
            use super::*;
            $(pub(super) static $name: Route = Route {
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
        pub static ROUTES: &[&Route] = &[$(&rows::$name),*];

        impl Request {
            /// Its row, and its parameters as they are written.
            pub(super) fn write(&self) -> (&'static Route, Words) {
                let mut words = Words::default();
                let route = match self {
                    $(Request::$name { $($($field),+)? } => {
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

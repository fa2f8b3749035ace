//! Builds the world from the settings and answers requests on it. This room never parses words
//! and never prints: the command line asks it, later the control socket.

mod aftermath;
mod answer;
#[cfg(feature = "apps")]
mod apps;
mod beside;
mod cancel;
mod certificate;
mod checks;
mod departure;
mod drill;
mod from_delta;
mod from_url;
mod gate;
mod hands;
mod hold;
mod install;
mod installation;
mod look;
mod memory;
mod misbehave;
mod moments;
mod near;
mod offer;
mod offers;
mod postmortem;
mod readiness;
mod recorder;
mod reset;
mod rights;
mod unfinished;
mod verbs;
mod waits;
mod ways;
mod work;
mod world;

pub use aftermath::aftermath;
pub use answer::{Answer, Cost, Next, signed};
#[cfg(feature = "apps")]
pub use apps::{
    AppChanged, AppLogs, AppOrder, AppsAnswer, AppsDid, app_logs, apps_are_here, apps_status,
    apps_turn, configure_app, has_preloads, judge_preload, look_after, preload, remove_app,
    rollback_app, start_app, stop_app, switch_apps,
};
pub use cancel::{Cancellation, cancel};
pub use certificate::Certificate;
pub use departure::{Departure, Why, departure, why};
pub use drill::drill;
pub use from_url::{go_on, install_url};
pub use hold::{Hold, hold, unhold};
pub use install::install;
pub use installation::{AppsWords, Installation, Installed};
pub use look::{armed, is_undecided, on_trial};
pub use misbehave::on_purpose;
pub use moments::first_boot;
pub use offer::{Judgement, examine, glance, judge};
pub use offers::{
    ChannelSource, Document, Later, Offer, Offering, Offers, Pending, Polled, Released, Said,
    Unheard, Updated, Web, Word, automatic, check_update, goes_on_by_itself, has_words,
    signed_time, update,
};
pub use postmortem::{Postmortem, Summary, postmortem};
pub use recorder::black_box;
pub use reset::{Reset, cancel_reset, factory_reset, kept_folder};
pub use rights::may_look;
pub use unfinished::{Origin, Unfinished, unfinished};
pub use verbs::{
    before_reboot, come_to_rest, commit, decide, history, reboot, rollback, shutdown, switch,
    verify_slot,
};
pub use waits::Wait;
pub use work::{Running, Working, running};
pub use world::World;

// What tells about the device asks these too.
pub(crate) use answer::sentence;
pub(crate) use gate::{ROOM, enough_room, grade};
pub(crate) use look::{look, rested, standing};
pub(crate) use readiness::{Found, all as conditions};
pub(crate) use waits::time_left;
pub(crate) use world::find_booted;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

//! Apps on this device: what is asked of them, carried out under the device's one lock, and how they go along with the
//! slots. What is decided about them is in [`crate::apps`]; nothing here starts or stops a container by itself.

mod answer;
mod beside;
mod bring;
mod carry;
mod develop;
mod epoch;
mod gear;
mod hands;
mod health;
mod joint;
mod journal;
mod locks;
mod look;
mod made;
mod preload;
mod spool;
mod verbs;

pub use answer::{AppChanged, AppsAnswer, AppsDid};
pub use look::{apps_are_here, apps_status, apps_turn, look_after};
pub use preload::{has_preloads, judge_preload, preload};
pub use verbs::{
    AppLogs, AppOrder, app_logs, configure_app, remove_app, rollback_app, start_app, stop_app,
    switch_apps,
};

pub(super) use beside::{after_writing, before_writing, may_arm};
pub(super) use bring::bring;
pub(super) use carry::abandon;
pub(super) use develop::unhold;
pub(super) use epoch::may_change_store;
pub(super) use health::{bring_up, seen};
pub(super) use joint::joint;
pub(super) use made::made_by_delta;

//! Every verb once, by its file: what can be typed behind it, and what it does.

#[cfg(feature = "apps")]
mod apps;
mod commit;
mod config;
mod daemon;
mod doctor;
mod drill;
mod events;
mod first_boot;
mod hold;
mod install;
mod links;
mod local;
mod push;
mod report;
mod rollback;
mod status;
mod stick;
mod switch;
mod update;
mod verify;
mod wait;
mod why;

use super::context::Context;
use super::end::Printed;
use clap::Subcommand;

/// `Name(file)` for each, in the order of the help; behind it what `--json` is to it.
macro_rules! verbs {
    ($($(#[cfg($when:meta)])? $name:ident($file:ident) $json:ident;)*) => {
        #[derive(Debug, Subcommand)]
        pub(super) enum Verb {
            $($(#[cfg($when)])? $name($file::$name),)*
        }

        impl Verb {
            /// Whether it is to answer as JSON.
            pub(super) fn json(&self) -> bool {
                match self { $($(#[cfg($when)])? Verb::$name(_verb) => verbs!(@$json _verb),)* }
            }

            pub(super) fn run(self, context: &Context) -> Printed {
                match self { $($(#[cfg($when)])? Verb::$name(verb) => verb.run(context),)* }
            }
        }
    };
    (@answers $verb:ident) => { $verb.json.json };
    (@silent $verb:ident) => { false };
    (@below $verb:ident) => { $verb.json() };
}

verbs! {
    Install(install) answers;
    Update(update) answers;
    CheckUpdate(update) answers;
    Switch(switch) answers;
    Status(status) answers;
    Wait(wait) answers;
    Commit(commit) answers;
    Cancel(rollback) answers;
    Rollback(rollback) answers;
    Shutdown(local) silent;
    Verify(verify) answers;
    Events(events) answers;
    History(status) answers;
    Doctor(doctor) answers;
    Report(report) answers;
    #[cfg(feature = "apps")]
    Apps(apps) below;
    Hold(hold) answers;
    Unhold(hold) answers;
    Drill(drill) answers;
    Why(why) answers;
    Push(push) answers;
    Daemon(daemon) silent;
    Stick(stick) answers;
    Blackbox(local) silent;
    Probe(daemon) silent;
    FirstBoot(first_boot) answers;
    FactoryReset(first_boot) answers;
    Links(links) answers;
    Config(config) below;
}

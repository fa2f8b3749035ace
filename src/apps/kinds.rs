//! Apps without containers, as the executor and the supervisor see them: one thing for each app, that runs or does not.

use super::bytes::BundleBytes;
use super::plain::{PlainApp, PlainHealth};
use super::plan::AppPlan;
use super::spec::Ground;
use super::{AppContext, BundleHead, Generation};
use crate::artifact::PayloadKind;
use crate::bundle::AppDocument;
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::io::Read;

/// The app, with the generation on the other side of a change.
pub(super) fn plain<'a>(
    ctx: &'a AppContext<'a>,
    document: &'a AppDocument,
    generation: &'a Generation,
    previous: Option<Digest>,
) -> PlainApp<'a> {
    let none = BTreeMap::new();
    let ground = Ground::new(ctx, &document.app, generation, document, &none);
    let mut variables = ground.settings();
    let endpoints = document.external.values().map(|external| &external.variable);
    variables.extend(endpoints.filter_map(|name| Some((name.clone(), ground.variable(name)?))));
    let (data, run) = (ctx.data_of(&document.app), ctx.run_of(&document.app));
    PlainApp { ctx, document, generation, variables, previous, data, run }
}

fn of<'a>(ctx: &'a AppContext<'a>, plan: &'a AppPlan) -> PlainApp<'a> {
    plain(ctx, &plan.document, &plan.generation, plan.previous)
}

/// Whether it was started in this boot, to the end, and not stopped since.
pub(super) fn runs(ctx: &AppContext<'_>, plan: &AppPlan) -> bool {
    of(ctx, plan).begun() == super::begun::Begun::Whole
}

/// Whether a start of it was begun in this boot: then it is stopped before anything takes its place.
pub(super) fn is_begun(ctx: &AppContext<'_>, plan: &AppPlan) -> bool {
    of(ctx, plan).begun() != super::begun::Begun::No
}

/// Starts it, where it does not run.
pub(super) fn start(ctx: &AppContext<'_>, plan: &AppPlan) -> Result<()> {
    if runs(ctx, plan) {
        return Ok(());
    }
    of(ctx, plan).start().map_err(|f| f.at(&plan.app))
}

/// How it is.
pub(super) fn check(ctx: &AppContext<'_>, plan: &AppPlan, trial: bool) -> Result<PlainHealth> {
    of(ctx, plan).check(trial)
}

/// Stops it. Nothing happens where it was not begun.
pub(super) fn stop(ctx: &AppContext<'_>, plan: &AppPlan) -> Result<()> {
    of(ctx, plan).stop().map_err(|f| f.at(&plan.app))
}

/// The last word to it, before what it was given goes.
pub(super) fn remove(
    ctx: &AppContext<'_>,
    document: &AppDocument,
    generation: &Generation,
) -> Result<()> {
    plain(ctx, document, generation, None).remove()
}

/// Lays its files down and has it prepared. What runs goes on.
pub(super) fn stage(
    ctx: &AppContext<'_>,
    head: &BundleHead,
    generation: &Generation,
    previous: Option<Digest>,
    source: Option<&BundleBytes<'_>>,
) -> Result<()> {
    let payloads = &head.release().manifest.payloads;
    let payload = payloads.iter().find(|p| p.kind == PayloadKind::Tree);
    let app = plain(ctx, head.document(), generation, previous);
    match (payload, source) {
        (Some(payload), Some(source)) => app.stage(&mut *source.open(head.release(), payload)?),
        (Some(_), None) => app.stage(&mut Lost),
        (None, _) => app.stage(&mut std::io::empty()),
    }
}

/// Files that are not laid down already, and whose bundle is not at hand.
struct Lost;

impl Read for Lost {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        let text = "its files are lost, and its bundle is not here";
        Err(std::io::Error::other(Failure::new(ReasonCode::NoSuchApp, text)))
    }
}

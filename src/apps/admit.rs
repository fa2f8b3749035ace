//! Whether a change may be begun: everything that can be known is looked at before anything is downloaded.

use super::member::{Admission, Member};
use super::plan::{Documents, not_held};
use super::{
    AppContext, AppJournal, AppMove, BundleHead, Generation, grants, needs, relations, room,
};
use crate::artifact::PayloadKind;
use crate::bundle::{AppDocument, AppKind, ServiceName};
use crate::model::{Digest, Failure, ReasonCode, Result, printable};
use crate::update::Allowed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One thing that is asked for.
#[derive(Debug, Clone)]
pub enum AppAsk<'a> {
    /// Install this bundle; with these values of its configuration over those that the app has now.
    Install {
        /// The bundle.
        head: &'a BundleHead,
        /// What is set.
        config: BTreeMap<String, String>,
    },
    /// Run the generation that is on the device with these values over those that it has now.
    Configure {
        /// The app.
        app: ServiceName,
        /// What is set; an empty value takes the one away that was set.
        config: BTreeMap<String, String>,
    },
    /// Go back to a generation that is kept: the one before, or that with this digest.
    Return {
        /// The app.
        app: ServiceName,
        /// Which one.
        to: Option<Digest>,
    },
    /// Take the app away. Its volumes and its data folder stay.
    Remove {
        /// The app.
        app: ServiceName,
    },
}

/// Looks at everything that the asked changes need, together, and refuses with the code of the first thing that is
/// missing. Reads, and changes nothing. `TRIAL_PENDING` is not asked here: [`super::decide`] does.
pub fn admit(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    asks: &[AppAsk<'_>],
    allowed: Allowed,
) -> Result<Admission> {
    let base = journal.set_of(ctx.booted);
    let mut documents = Documents::default();
    let mut admission = Admission::default();
    let mut members: BTreeMap<ServiceName, Member> = BTreeMap::new();
    let mut heads = Vec::new();
    let mut asked = BTreeSet::new();
    for ask in asks {
        let app = ask.app();
        if !asked.insert(app.clone()) {
            let text = format!("{app} is named twice");
            return Err(Failure::new(ReasonCode::Usage, text));
        }
        let from = base.get(app);
        let member =
            wanted(ctx, journal, &mut documents, ask, from, allowed).map_err(|f| f.at(app))?;
        if let AppAsk::Install { head, .. } = ask {
            heads.push(*head);
        }
        let to = member.as_ref().map(|m| m.generation.clone());
        let one = AppMove { app: app.clone(), from: from.cloned(), to };
        match one.from == one.to {
            true => admission.same.push(one),
            false => admission.moves.push(one),
        }
        if let Some(member) = member {
            members.insert(app.clone(), member);
        }
    }
    for (app, generation) in base.iter().filter(|(app, _)| !asked.contains(*app)) {
        match documents.get(ctx, app, &generation.digest) {
            Ok(document) => {
                let (app, generation) = (app.clone(), generation.clone());
                members.insert(app.clone(), Member { app, generation, document, moved: false });
            }
            Err(failure) => admission.notes.push(format!("{app} was not asked: {failure}")),
        }
    }
    let members: Vec<Member> = members.into_values().collect();
    relations::check(ctx, &members)?;
    let moved = || members.iter().filter(|member| member.moved);
    for member in moved() {
        grants::check(ctx, &member.document).map_err(|f| f.at(&member.app))?;
        needs::check(ctx, member, &journal.ports).map_err(|f| f.at(&member.app))?;
    }
    needs::ports(ctx, journal, &base, &mut documents, &members)?;
    if moved().any(|member| member.document.kind == AppKind::Containers) {
        let info = ctx.engine()?.info()?;
        for member in moved() {
            needs::architecture(&member.document, &info).map_err(|f| f.at(&member.app))?;
        }
        needs::resources(ctx, &members, &info)?;
    }
    room::check(ctx, &mut documents, &heads, &mut admission)?;
    Ok(admission)
}

impl AppAsk<'_> {
    /// The app that it is about.
    pub fn app(&self) -> &ServiceName {
        match self {
            AppAsk::Install { head, .. } => head.app(),
            AppAsk::Configure { app, .. } | AppAsk::Return { app, .. } | AppAsk::Remove { app } => {
                app
            }
        }
    }
}

/// What shall run of an app; `None` where it goes.
fn wanted(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    documents: &mut Documents,
    ask: &AppAsk<'_>,
    from: Option<&Generation>,
    allowed: Allowed,
) -> Result<Option<Member>> {
    let app = ask.app().clone();
    let missing = || {
        let text = format!("there is no app {} on this device", ask.app());
        Failure::new(ReasonCode::NoSuchApp, text)
    };
    let (document, generation) = match ask {
        AppAsk::Remove { .. } => return from.map(|_| None).ok_or_else(missing),
        AppAsk::Install { head, config } => {
            may_come(ctx, journal, head, from, allowed)?;
            let kept = from.map(|g| g.config.clone()).unwrap_or_default();
            let config = configured(head.document(), kept, config)?;
            (Arc::new(head.document().clone()), head.generation(config))
        }
        AppAsk::Configure { config, .. } => {
            let from = from.ok_or_else(missing)?;
            let document = documents.get(ctx, &app, &from.digest)?;
            let config = configured(&document, from.config.clone(), config)?;
            (document, Generation { config, ..from.clone() })
        }
        AppAsk::Return { to, .. } => {
            let back = journal.back(&app, to.as_ref()).map_err(|code| {
                let text = format!("no release of {app} to return to is kept");
                Failure::new(code, text)
            })?;
            let to = back.to.ok_or_else(missing)?;
            (documents.get(ctx, &app, &to.digest)?, to)
        }
    };
    let moved = from != Some(&generation);
    Ok(Some(Member { app, generation, document, moved }))
}

/// Whether this release may be installed here at all.
fn may_come(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    head: &BundleHead,
    from: Option<&Generation>,
    allowed: Allowed,
) -> Result<()> {
    let refuse = |code, text: String| Err(Failure::new(code, text));
    let manifest = &head.release().manifest;
    if manifest.product != *ctx.product {
        let (found, own) = (&manifest.product, ctx.product);
        return refuse(
            ReasonCode::WrongProduct,
            format!("it is for `{found}`; this device is `{own}`"),
        );
    }
    if !manifest.compatible.contains(ctx.compatible) {
        let own = ctx.compatible;
        return refuse(ReasonCode::Incompatible, format!("it is not for devices of `{own}`"));
    }
    let unknown = manifest.payloads.iter().find_map(|payload| match &payload.kind {
        PayloadKind::Unknown(kind) if payload.required => Some(kind),
        _ => None,
    });
    if let Some(kind) = unknown {
        let text = format!("this updater cannot install a payload of kind `{kind}`");
        return refuse(ReasonCode::UpdaterTooOld, text);
    }
    if head.is_development() && !ctx.held {
        return Err(not_held(head.app()));
    }
    let digest = head.digest();
    let mut refused = journal.refused.iter();
    let came_back = refused.find(|r| r.app == *head.app() && r.digest == digest);
    if let Some(was) = came_back.filter(|_| !allowed.retry_rolled_back) {
        let (version, reason) = (&manifest.version, was.reason);
        let text = format!("{version} was tried here and rolled back ({reason})");
        return refuse(ReasonCode::RolledBackBefore, text);
    }
    // What a developer tries counts for itself: its counter says nothing about releases.
    let Some(runs) = from.filter(|from| !from.development && !head.is_development()) else {
        return Ok(());
    };
    let (new, old) = (manifest.release_counter, runs.release_counter);
    if new < old && !allowed.older {
        let (version, running) = (&manifest.version, &runs.version);
        let text = format!("{version} (counter {new}) is older than the running {running} ({old})");
        let next = "To install it all the same: `surefoot apps install FILE --allow-older`.";
        return Err(Failure::new(ReasonCode::VersionOlder, text).with_next(next));
    }
    Ok(())
}

/// The values of a configuration: those that were set and that this document still takes, and what is set now.
fn configured(
    document: &AppDocument,
    kept: BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let takes = |key: &String, value: &String| {
        document.config.get(key).is_some_and(|rule| rule.takes(value).is_ok())
    };
    let mut all: BTreeMap<String, String> =
        kept.into_iter().filter(|(key, value)| takes(key, value)).collect();
    for (key, value) in set {
        let rule = document.config.get(key).ok_or_else(|| {
            let text = format!("`{}` cannot be set", printable(key, 80));
            Failure::new(ReasonCode::SettingRefused, text)
        })?;
        if value.is_empty() {
            all.remove(key);
            continue;
        }
        rule.takes(value).map_err(|f| f.at(printable(key, 80)))?;
        all.insert(key.clone(), value.clone());
    }
    Ok(all)
}

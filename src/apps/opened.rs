//! Head and document of a bundle, whole or made by a delta.

use super::AppContext;
use super::bundles::{BundleHead, document_of, kept_bundle};
use super::bytes::BundleBytes;
use super::from_delta::{folders_of, open_delta};
use crate::artifact::{Format, FromBundle, read_head};
use crate::bundle::{MAX_DOCUMENT_LEN, ServiceName};
use crate::model::Result;
use crate::source::{Fetch, Sequential};

/// Reads head and document of a bundle, or of the bundle that a delta makes on this device: `DELTA_BASE` where what the
/// delta is made from is not here.
pub fn read_bundle_here(ctx: &AppContext<'_>, source: &dyn Fetch) -> Result<BundleHead> {
    open_bundle(ctx, source).map(|(head, _)| head)
}

/// The same, with what its payloads come from.
pub(super) fn open_bundle<'a>(
    ctx: &AppContext<'_>,
    source: &'a dyn Fetch,
) -> Result<(BundleHead, BundleBytes<'a>)> {
    let head = read_head(&mut Sequential::new(source))?;
    if head.format() != Format::BundleDelta {
        let bytes = BundleBytes::Whole(source);
        let head = BundleHead::verified(ctx.trust, head, |release, payload| {
            bytes.read(release, payload, MAX_DOCUMENT_LEN)
        })?;
        return Ok((head, bytes));
    }
    let mut find = |from: &FromBundle| {
        let app: ServiceName = from.app.as_str().parse().ok()?;
        let kept = kept_bundle(ctx, &app, &from.digest).ok()?;
        Some([kept.release().body_bytes(), kept.release().table_bytes()].concat())
    };
    let opened = Box::new(open_delta(ctx.trust, head, source, &mut find)?);
    let folders = folders_of(&ctx.engine.map_or(Ok(Vec::new()), |engine| engine.images())?);
    let release = opened.release().clone();
    let bytes = BundleBytes::Delta { opened, file: source, folders };
    let text = bytes.read(&release, document_of(&release)?, MAX_DOCUMENT_LEN)?;
    Ok((BundleHead::of(release, text)?, bytes))
}

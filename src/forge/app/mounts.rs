//! `volumes` and `tmpfs` of a service, in the short and the long form.

use super::fields::{Place, bytes};
use crate::bundle::{Mount, MountKind};
use crate::model::Result;

pub(super) fn parse(volumes: Option<Place<'_>>, tmpfs: Option<Place<'_>>) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    if let Some(volumes) = volumes {
        for item in volumes.items()? {
            mounts.push(if item.is_map() { long(&item)? } else { short(&item)? });
        }
    }
    if let Some(tmpfs) = tmpfs {
        let items = if tmpfs.is_list() { tmpfs.items()? } else { vec![tmpfs] };
        for item in items {
            let (target, options) = item.text()?.split_once(':').unwrap_or((item.text()?, ""));
            let mut size = None;
            for option in options.split(',').filter(|option| !option.is_empty()) {
                size = option.strip_prefix("size=").and_then(bytes);
                if size.is_none() {
                    return Err(item.failure("only `size=…` can be said of memory"));
                }
            }
            let what = MountKind::Tmpfs { size };
            mounts.push(Mount { what, target: target.to_owned(), read_only: false });
        }
    }
    Ok(mounts)
}

/// `SOURCE:TARGET[:ro]`
fn short(item: &Place<'_>) -> Result<Mount> {
    let parts: Vec<&str> = item.text()?.split(':').collect();
    let (source, target, how) = match parts[..] {
        [source, target] => (source, target, "rw"),
        [source, target, how] => (source, target, how),
        [_] => {
            let why = "a volume without a name is lost with its container: write `NAME:/FOLDER`";
            return Err(item.failure(why));
        }
        _ => return Err(item.failure("`NAME:/FOLDER`, or `/SOURCE:/TARGET:ro` is wanted")),
    };
    let read_only = match how {
        "ro" => true,
        "rw" => false,
        _ => return Err(item.failure("`ro` or `rw` is wanted")),
    };
    Ok(Mount { what: source_of(item, source)?, target: target.to_owned(), read_only })
}

/// A name is a volume, a path a bind.
fn source_of(item: &Place<'_>, source: &str) -> Result<MountKind> {
    if source.starts_with('/') {
        return Ok(MountKind::Bind { source: source.to_owned(), of: None });
    }
    if source.starts_with(['.', '~']) {
        return Err(item.failure(
            "a bind is of an absolute path of the device; there is no folder of the project there",
        ));
    }
    let volume = source.parse().map_err(|why: String| item.failure(why))?;
    Ok(MountKind::Volume { volume })
}

fn long(item: &Place<'_>) -> Result<Mount> {
    let mut fields = item.fields()?;
    let kind = fields.get("type").ok_or_else(|| item.failure("`type` is missing"))?;
    let source = fields.get("source");
    let named = || source.clone().ok_or_else(|| item.failure("`source` is missing"));
    let target = fields.get("target").ok_or_else(|| item.failure("`target` is missing"))?;
    let read_only = fields.get("read_only").map_or(Ok(false), |p| p.truth())?;
    let what = match kind.text()? {
        "volume" => MountKind::Volume { volume: named()?.parsed()? },
        "bind" => {
            if let Some(bind) = fields.get("bind") {
                let mut bind = bind.fields()?;
                if let Some(create) = bind.get("create_host_path")
                    && create.truth()?
                {
                    return Err(create.failure(
                        "nothing is made on the device: it is there, or the app is refused",
                    ));
                }
                bind.end()?;
            }
            let mut of = None;
            if let Some(own) = fields.get("x-surefoot") {
                let mut own = own.fields()?;
                of = own.get("type").map(|p| p.text().map(str::to_owned)).transpose()?;
                own.end()?;
            }
            MountKind::Bind { source: named()?.text()?.to_owned(), of }
        }
        "tmpfs" => {
            let mut size = None;
            if let Some(tmpfs) = fields.get("tmpfs") {
                let mut tmpfs = tmpfs.fields()?;
                size = tmpfs.get("size").map(|p| p.size()).transpose()?;
                tmpfs.end()?;
            }
            MountKind::Tmpfs { size }
        }
        _ => return Err(kind.failure("`volume`, `bind` or `tmpfs` is wanted")),
    };
    fields.end()?;
    Ok(Mount { what, target: target.text()?.to_owned(), read_only })
}

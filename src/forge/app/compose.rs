//! A Compose file: a strict subset of the Compose specification, and `x-surefoot`. What a bundle cannot carry is
//! refused with its line; nothing that is written is passed over.

use super::fields::{Place, YamlFields};
use super::service::{self, WantedImage};
use super::yaml::{YamlKey, YamlNode, read};
use crate::bundle::{AppDocument, AppKind, ConfigValueRule, External, Secret, ServiceName, Volume};
use crate::model::Result;
use std::collections::BTreeMap;

/// What a file says, without images and files, which it only names.
#[derive(Debug)]
pub(in crate::forge) struct Composed {
    /// Complete but for images, files and what follows from them.
    pub(in crate::forge) document: AppDocument,
    /// What each service takes its image from.
    pub(super) wanted: BTreeMap<ServiceName, WantedImage>,
    /// The folder of the files of a native or command app, as it is written.
    pub(super) tree: Option<String>,
    /// Units of a native app.
    pub(super) units: Vec<String>,
    /// Program and milliseconds of a command app.
    pub(super) command: Option<(String, u64)>,
    pub(super) warnings: Vec<String>,
}

/// Where nothing is said.
const DEADLINE: u64 = 120_000;
const SOAK: u64 = 60_000;
const RESTARTS: u32 = 2;
const KEEP: u32 = 1;

/// Reads the file of the app `name`.
pub(in crate::forge) fn parse(text: &str, name: &ServiceName) -> Result<Composed> {
    let root = read(text)?;
    let mut top = Place::root(&root).fields()?;
    let mut composed = Composed {
        document: empty(name),
        wanted: BTreeMap::new(),
        tree: None,
        units: Vec::new(),
        command: None,
        warnings: Vec::new(),
    };
    if top.get("version").is_some() {
        composed.warnings.push("`version` says nothing any more: take it out".to_owned());
    }
    if let Some(project) = top.get("name")
        && project.text()? != name.as_str()
    {
        return Err(project.failure(format!("the app is built as `{name}`")));
    }
    if let Some(own) = top.get("x-surefoot") {
        surefoot(&own, &mut composed)?;
    }
    for (key, volume) in pairs(&mut top, "volumes")? {
        composed.document.volumes.insert(named(key, &volume)?, volume_of(&volume)?);
    }
    for (key, secret) in pairs(&mut top, "secrets")? {
        composed.document.secrets.insert(named(key, &secret)?, secret_of(&secret)?);
    }
    for (key, network) in pairs(&mut top, "networks")? {
        if key.name != "default" || !network.pairs()?.is_empty() {
            let why = "an app has one network, `default`, and nothing of it can be set";
            return Err(network.failure(why));
        }
    }
    for (key, place) in pairs(&mut top, "services")? {
        let name: ServiceName = named(key, &place)?;
        let (service, wanted) = service::parse(&place)?;
        composed.document.services.insert(name.clone(), service);
        composed.wanted.insert(name, wanted);
    }
    top.finish(unknown)?;
    Ok(composed)
}

/// What no bundle carries, with the way out.
fn unknown(key: &YamlKey, node: &YamlNode) -> Option<String> {
    match key.name.as_str() {
        // A place for anchors, and only then.
        name if name.starts_with("x-") && node.anchored => None,
        name if name.starts_with("x-") => {
            Some("nothing reads this key, and no anchor is in it".to_owned())
        }
        "include" => Some("a bundle is one file: write the other one's services here".to_owned()),
        "configs" => Some(
            "put the file into the image, or set it with `x-surefoot: { config: … }`".to_owned(),
        ),
        "models" => Some("a bundle carries images and nothing else".to_owned()),
        _ => Some("this key is not known here".to_owned()),
    }
}

fn empty(name: &ServiceName) -> AppDocument {
    AppDocument {
        format: 1,
        app: name.clone(),
        kind: AppKind::Containers,
        services: BTreeMap::new(),
        images: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        config: BTreeMap::new(),
        external: BTreeMap::new(),
        provides: Vec::new(),
        requires: Vec::new(),
        conflicts: Vec::new(),
        claims: Vec::new(),
        permissions: Vec::new(),
        native: None,
        command: None,
        web: None,
        disk: 0,
        deadline: DEADLINE,
        soak: SOAK,
        max_restarts: RESTARTS,
        keep: KEEP,
    }
}

fn pairs<'n>(fields: &mut YamlFields<'n>, name: &str) -> Result<Vec<(&'n YamlKey, Place<'n>)>> {
    fields.get(name).map_or(Ok(Vec::new()), |place| place.pairs())
}

fn named<T: std::str::FromStr<Err = String>>(key: &YamlKey, place: &Place<'_>) -> Result<T> {
    key.name
        .parse()
        .map_err(|why: String| super::yaml::refuse(key.line, format!("{}: {why}", place.path)))
}

fn surefoot(place: &Place<'_>, composed: &mut Composed) -> Result<()> {
    let mut own = place.fields()?;
    let document = &mut composed.document;
    if let Some(kind) = own.get("kind") {
        document.kind = match kind.text()? {
            "containers" => AppKind::Containers,
            "native" => AppKind::Native,
            "command" => AppKind::Command,
            _ => return Err(kind.failure("`containers`, `native` or `command` is wanted")),
        };
    }
    for (name, value) in [("deadline", &mut document.deadline), ("soak", &mut document.soak)] {
        if let Some(place) = own.get(name) {
            *value = place.duration()?;
        }
    }
    for (name, value) in
        [("max_restarts", &mut document.max_restarts), ("keep", &mut document.keep)]
    {
        if let Some(place) = own.get(name) {
            *value = place.number()?;
        }
    }
    for (name, list) in [
        ("provides", &mut document.provides),
        ("requires", &mut document.requires),
        ("conflicts", &mut document.conflicts),
        ("claims", &mut document.claims),
        ("permissions", &mut document.permissions),
    ] {
        if let Some(place) = own.get(name) {
            *list = place.all_parsed()?;
        }
    }
    for (key, place) in pairs(&mut own, "external")? {
        let mut fields = place.fields()?;
        let usual = key.name.to_ascii_uppercase().replace('-', "_");
        let external = External {
            variable: fields.get("variable").map_or(Ok(usual), |p| p.text().map(str::to_owned))?,
            optional: fields.get("optional").map_or(Ok(false), |p| p.truth())?,
        };
        fields.end()?;
        document.external.insert(named(key, &place)?, external);
    }
    for (key, place) in pairs(&mut own, "config")? {
        document.config.insert(key.name.clone(), rule(&place)?);
    }
    if let Some(web) = own.get("web") {
        document.web = Some(web.text()?.to_owned());
    }
    if let Some(disk) = own.get("disk") {
        document.disk = disk.size()?;
    }
    if document.kind != AppKind::Containers
        && let Some(tree) = own.get("tree")
    {
        composed.tree = Some(tree.text()?.to_owned());
    }
    if document.kind == AppKind::Native
        && let Some(units) = own.get("units")
    {
        composed.units = units.texts()?;
    }
    if document.kind == AppKind::Command {
        let program = own.get("program").ok_or_else(|| place.failure("`program` is missing"))?;
        let timeout = own.get("timeout").map_or(Ok(DEADLINE), |p| p.duration())?;
        composed.command = Some((program.text()?.to_owned(), timeout));
    }
    own.end()
}

fn rule(place: &Place<'_>) -> Result<ConfigValueRule> {
    let mut fields = place.fields()?;
    let text = |p: Option<Place<'_>>| p.map(|p| p.text().map(str::to_owned)).transpose();
    let number = |p: Option<Place<'_>>| p.map(|p| p.number()).transpose();
    let rule = ConfigValueRule {
        of: text(fields.get("type"))?.unwrap_or_else(|| "string".to_owned()),
        default: text(fields.get("default"))?,
        one_of: fields.get("one_of").map_or(Ok(Vec::new()), |p| p.texts())?,
        least: number(fields.get("least"))?,
        most: number(fields.get("most"))?,
        about: text(fields.get("about"))?.unwrap_or_default(),
    };
    fields.end()?;
    Ok(rule)
}

fn volume_of(place: &Place<'_>) -> Result<Volume> {
    let mut fields = place.fields()?;
    if let Some(driver) = fields.get("driver")
        && driver.text()? != "local"
    {
        return Err(driver.failure("a volume is a folder on the device's data partition"));
    }
    let mut volume = Volume::default();
    if let Some(own) = fields.get("x-surefoot") {
        let mut own = own.fields()?;
        if let Some(schema) = own.get("schema") {
            volume.schema = schema.number()?;
            // Who does not say it is not believed to read newer data.
            volume.readable_by = volume.schema;
        }
        if let Some(by) = own.get("readable_by") {
            volume.readable_by = match by.text()?.strip_prefix(">=") {
                None => by.number()?,
                Some(number) => {
                    number.trim().parse().map_err(|_| by.failure("a number is wanted: `>=6`"))?
                }
            };
        }
        if let Some(owner) = own.get("owner") {
            let both = owner.text()?.split_once(':');
            let both = both.and_then(|(uid, gid)| Some([uid.parse().ok()?, gid.parse().ok()?]));
            volume.owner = Some(both.ok_or_else(|| owner.failure("`\"UID:GID\"` is wanted"))?);
        }
        volume.size = own.get("size").map(|size| size.size()).transpose()?;
        own.end()?;
    }
    fields.finish(|key, _| {
        Some(match key.name.as_str() {
            "external" | "name" => {
                "a volume is a folder of the app, and of this app alone".to_owned()
            }
            _ => "this key is not known here".to_owned(),
        })
    })?;
    Ok(volume)
}

fn secret_of(place: &Place<'_>) -> Result<Secret> {
    let mut fields = place.fields()?;
    let external = fields.get("external").map_or(Ok(false), |p| p.truth())?;
    let mut secret = Secret::default();
    if let Some(own) = fields.get("x-surefoot") {
        let mut own = own.fields()?;
        secret.optional = own.get("optional").map_or(Ok(false), |p| p.truth())?;
        own.end()?;
    }
    fields.finish(|key, _| {
        Some(match key.name.as_str() {
            "file" | "environment" => {
                "a bundle carries no secret: say `external: true`; the device has it".to_owned()
            }
            _ => "this key is not known here".to_owned(),
        })
    })?;
    match external {
        true => Ok(secret),
        false => {
            Err(place.failure("say `external: true`: the device has it, no bundle carries it"))
        }
    }
}

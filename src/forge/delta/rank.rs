//! `rank`: from which bundles the delta for each device is made best, by what devices report.

use super::super::file;
use super::super::say::{document, say};
use super::super::words::Rank as Words;
use super::archives::{Archives, LayerFile, OldLayer, files_of};
use super::bundle::images;
use super::image::{Image, Unpacked, unpack};
use crate::artifact::PayloadKind;
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result, from_json, printable};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::PathBuf;

/// A file of reports has at most this many bytes.
const LIMIT: usize = 64 << 20;
/// No report is nested deeper than this where it names layers.
const DEPTH: usize = 12;
/// What the name of an unchanged file costs, bytes.
const NAMED: u64 = 30;
/// What a changed file costs, in thousandths of its compressed length: measured on rebuilt programs of Debian.
const CHANGED: u64 = 120;
/// What is not smaller than so many thousandths of the whole bundle is sent whole.
const WORTH: u64 = 700;

/// A bundle that devices may have.
struct Candidate {
    path: PathBuf,
    unpacked: Unpacked,
    images: Vec<Vec<Digest>>,
}

/// Devices with the same layers, as far as any bundle here has them.
struct Group {
    devices: Vec<String>,
    /// The layers of each image.
    images: BTreeSet<Vec<Digest>>,
}

/// What one choice of bundles would cost.
struct Choice {
    from: Vec<usize>,
    bytes: u64,
}

pub(in super::super) fn rank(words: &Words) -> Result<()> {
    let near = std::env::temp_dir().join("surefoot-forge");
    let new = unpack(&words.to, &near)?;
    if new.release.manifest.app.is_none() {
        let detail = format!("{} is no bundle of an app", words.to.display());
        return Err(Failure::new(ReasonCode::Usage, detail));
    }
    let mut candidates = Vec::new();
    for path in &words.from {
        let unpacked = unpack(path, &near)?;
        let images = images(&unpacked).map_err(|f| f.at(path.display()))?;
        candidates.push(Candidate { path: path.clone(), unpacked, images });
    }
    let groups = groups(words, &candidates, &images(&new)?)?;
    let mut costs = Costs { sizes: HashMap::new(), new: &new };
    let mut ranked = Vec::new();
    for group in &groups {
        ranked.push(costs.choices(group, &candidates)?);
    }
    if words.json {
        return say(&document(&as_json(&new, &candidates, &groups, &ranked)));
    }
    say(&as_text(words, &new, &candidates, (&groups, &ranked)))
}

/// Reads every report and puts devices together that get the same delta.
fn groups(words: &Words, candidates: &[Candidate], new: &[Vec<Digest>]) -> Result<Vec<Group>> {
    let known = candidates.iter().flat_map(|c| &c.images).chain(new).flatten();
    let known: BTreeSet<Digest> = known.copied().collect();
    let mut groups: BTreeMap<BTreeSet<Vec<Digest>>, Vec<String>> = BTreeMap::new();
    for path in &words.device {
        let text = file::read_text(path, LIMIT, ReasonCode::FileDamaged)?;
        let said = from_json::<Value>(text.as_bytes());
        let said = said.map_err(|e| {
            let detail = format!("{}: {e}", path.display());
            let next = "Give the report as the device has printed it.";
            Failure::new(ReasonCode::FileDamaged, detail).with_next(next)
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let all = match said {
            Value::Array(all) => all,
            one => vec![one],
        };
        let several = all.len() > 1;
        for (n, device) in all.iter().enumerate() {
            let own = ["device", "id", "serial"].iter().find_map(|key| device.get(*key)?.as_str());
            let number = || if several { format!("{name}[{n}]") } else { name.clone() };
            let mut found = BTreeSet::new();
            layers_in(device, DEPTH, &mut found);
            found.retain(|image: &Vec<Digest>| image.iter().any(|layer| known.contains(layer)));
            groups.entry(found).or_default().push(own.map_or_else(number, ToOwned::to_owned));
        }
    }
    let group = |(images, devices)| Group { devices, images };
    let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.devices.len()));
    Ok(groups)
}

/// Every list with the name `layers`, wherever a report has it: that of one image, from the lowest.
fn layers_in(value: &Value, depth: usize, found: &mut BTreeSet<Vec<Digest>>) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let digest = |value: &Value| {
                    let text = value.as_str()?;
                    text.strip_prefix("sha256:").unwrap_or(text).parse().ok()
                };
                let list = || value.as_array()?.iter().map(digest).collect::<Option<Vec<Digest>>>();
                match if key == "layers" { list() } else { None } {
                    Some(layers) => drop(found.insert(layers)),
                    None => layers_in(value, depth - 1, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| layers_in(value, depth - 1, found)),
        _ => {}
    }
}

impl Group {
    /// Whether an image of a device begins with these layers.
    fn has(&self, layers: &[Digest]) -> bool {
        self.images.iter().any(|image| image.starts_with(layers))
    }

    /// SHA-256 over the sorted layers: who has the same gets the same delta.
    fn fingerprint(&self) -> Digest {
        let layers: BTreeSet<[u8; 32]> = self.images.iter().flatten().map(|l| l.0).collect();
        Digest::of(&layers.into_iter().flatten().collect::<Vec<u8>>())
    }
}

/// What files of the new bundle cost; asked once for each.
struct Costs<'a> {
    sizes: HashMap<[u8; 32], u64>,
    new: &'a Unpacked,
}

impl Costs<'_> {
    /// Each bundle that the devices have whole, and all of them together; the cheapest first.
    fn choices(&mut self, group: &Group, candidates: &[Candidate]) -> Result<Vec<Choice>> {
        let missing = self.missing(group)?;
        if missing.is_empty() {
            return Ok(vec![Choice { from: Vec::new(), bytes: 0 }]);
        }
        let whole = |c: &&Candidate| c.images.iter().all(|image| group.has(image));
        let have: Vec<usize> =
            candidates.iter().enumerate().filter_map(|(n, c)| whole(&c).then_some(n)).collect();
        let mut ways: Vec<Vec<usize>> = have.iter().map(|n| vec![*n]).collect();
        if have.len() > 1 {
            ways.push(have);
        }
        let mut choices = Vec::new();
        for from in ways {
            let mut archives = Archives::default();
            let mut known = BTreeSet::new();
            for candidate in from.iter().filter_map(|n| candidates.get(*n)) {
                let unpacked = &candidate.unpacked;
                for (payload, image) in
                    unpacked.release.manifest.payloads.iter().zip(&unpacked.images)
                {
                    if payload.kind == PayloadKind::Layer && known.insert(payload.sha256) {
                        archives.add(OldLayer::of(payload.sha256, image.clone())?);
                    }
                }
            }
            let mut bytes = 0;
            for image in &missing {
                bytes += self.estimate(image, &archives)?;
            }
            if bytes * 1000 < self.new.len * WORTH {
                choices.push(Choice { from, bytes });
            }
        }
        // Of two that cost about the same, the one that reads fewer bundles fits more devices.
        choices.sort_by_key(|choice| choice.bytes + choice.bytes / 20 * choice.from.len() as u64);
        Ok(choices)
    }

    /// The archives of the layers that are not in their places.
    fn missing(&self, group: &Group) -> Result<Vec<Image>> {
        let mut missing = BTreeSet::new();
        for layers in images(self.new)? {
            for n in (0..layers.len()).filter(|n| !group.has(&layers[..=*n])) {
                missing.insert(layers[n]);
            }
        }
        let payloads = self.new.release.manifest.payloads.iter().zip(&self.new.images);
        let wanted = payloads.filter(|(p, _)| missing.contains(&p.sha256));
        Ok(wanted.map(|(_, image)| image.clone()).collect())
    }

    fn estimate(&mut self, image: &Image, archives: &Archives) -> Result<u64> {
        let mut bytes = 0;
        for file in files_of(image)? {
            bytes += NAMED;
            bytes += match archives.like(&file) {
                Some((_, true)) => 0,
                Some((_, false)) => match self.packed(&file, image)? {
                    (packed, true) => packed,
                    (packed, false) => packed * CHANGED / 1000,
                },
                None => self.packed(&file, image)?.0,
            };
        }
        Ok(bytes)
    }

    /// The compressed length of a file, and whether it was compressed before: then a change is a change of all of it.
    fn packed(&mut self, file: &LayerFile, image: &Image) -> Result<(u64, bool)> {
        let len = file.run.len;
        let size = match self.sizes.get(&file.digest.0) {
            Some(size) => *size,
            None => {
                let bytes = image.bytes(&[file.run])?;
                let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
                let packed = zstd_safe::compress(&mut out, &bytes, 3).map_err(|code| {
                    let name = zstd_safe::get_error_name(code);
                    Failure::new(ReasonCode::Internal, format!("zstd: {name}"))
                })?;
                self.sizes.insert(file.digest.0, packed as u64);
                packed as u64
            }
        };
        Ok((size, size * 100 > len * 95))
    }
}

fn shown(choice: &Choice, candidates: &[Candidate]) -> Vec<String> {
    let names = choice.from.iter().filter_map(|n| candidates.get(*n));
    names.map(|candidate| candidate.path.display().to_string()).collect()
}

fn as_json(
    new: &Unpacked,
    candidates: &[Candidate],
    groups: &[Group],
    ranked: &[Vec<Choice>],
) -> Value {
    let group = |(group, choices): (&Group, &Vec<Choice>)| {
        let choice = |c: &Choice| json!({ "from": shown(c, candidates), "estimate": c.bytes });
        json!({
            "fingerprint": group.fingerprint(), "devices": group.devices,
            "nothing_missing": choices.first().is_some_and(|c| c.bytes == 0),
            "choices": choices.iter().map(choice).collect::<Vec<_>>(),
        })
    };
    json!({
        "v": 1, "app": new.release.manifest.app, "to": new.release.manifest.version,
        "digest": new.release.body_digest(), "full": new.len,
        "groups": groups.iter().zip(ranked).map(group).collect::<Vec<_>>(),
    })
}

fn as_text(
    words: &Words,
    new: &Unpacked,
    candidates: &[Candidate],
    (groups, ranked): (&[Group], &[Vec<Choice>]),
) -> String {
    let mut text = format!("{}: {} in full\n", super::image::named(new), ByteLen(new.len));
    for (group, choices) in groups.iter().zip(ranked) {
        let (count, name) = (group.devices.len(), group.fingerprint().to_string());
        let first = group.devices.first().map_or("", String::as_str);
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let first = printable(first, 80);
        let _ = writeln!(text, "{} {count} device(s): {first}{more}", &name[..12]);
        match choices.first() {
            Some(best) if best.bytes == 0 => {
                let _ = writeln!(text, "  every layer is there: the bundle's own head is enough");
            }
            Some(best) => {
                for choice in choices {
                    let from = shown(choice, candidates).join(" + ");
                    let _ = writeln!(text, "  about {} from {from}", ByteLen(choice.bytes));
                }
                let from: Vec<String> =
                    shown(best, candidates).iter().map(|from| format!("--from {from}")).collect();
                let to = words.to.display();
                let _ = writeln!(
                    text,
                    "  next: surefoot-forge delta {} --to {to} --key KEY -o D.surefoot",
                    from.join(" ")
                );
            }
            None => {
                let _ = writeln!(text, "  no delta is worth it: send the whole bundle");
            }
        }
    }
    text
}

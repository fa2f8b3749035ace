//! Which device this is: what `provision.toml` says, else the line for it in a list on the boot partition, else what the
//! configuration names, else the serial number of the board.

use super::boot::Boot;
use super::provision::Provision;
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result};
use crate::slot;
use crate::sys::files;
use std::path::PathBuf;

/// The list, in the root of the boot partition: `MATCH,ID,HOSTNAME`, one device a line.
const LIST: &str = "devices.csv";

/// What this step is called.
pub(super) const STEP: &str = "identity";

/// Some ten thousand devices.
const LIST_LIMIT: u64 = 1 << 20;

/// What boards say that have no serial number.
const NONE: [&str; 14] = [
    "none",
    "not specified",
    "default string",
    "system serial number",
    "to be filled by o.e.m.",
    "unknown",
    "n/a",
    "not applicable",
    "not available",
    "not defined",
    "invalid",
    "0123456789",
    "123456789",
    "1234567890",
];

pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    if let Some(id) = super::fragment::kept_id(work).or_else(|| work.settings.device.id.clone()) {
        return Ok(id);
    }
    let serials = serials(work);
    let list = match Boot::open(work)? {
        Some(boot) => boot.read(LIST, LIST_LIMIT)?,
        None => None,
    };
    let mut found = Provision::default();
    if let Some(list) = list {
        let text = String::from_utf8_lossy(&list).into_owned();
        match find(&text, &[serials.clone(), addresses()].concat())? {
            Some(line) => found = line,
            None => {
                work.warn(format!("{LIST} has no line for this device ({})", serials.join(", ")))
            }
        }
    }
    if found.id.is_none() {
        found.id = match &work.settings.first_boot.identity {
            Some(source) => {
                let variable = |name: &str| work.world().ok().and_then(|w| w.boot.variable(name));
                Some(slot::revision(source, &work.settings.folder, variable)?.to_string())
            }
            // It is known by its machine id.
            None if work.is_fielded(STEP) => None,
            None => serials.into_iter().next(),
        };
    }
    super::parts::keep_name(work, found.hostname.as_deref())?;
    let Some(id) = found.id.clone() else {
        let why = if work.is_fielded(STEP) {
            "this device was updated before its first boot: its id stays"
        } else {
            "no serial number is known: the id is"
        };
        return Ok(format!("{why} that of /etc/machine-id"));
    };
    // Whatever it was read from, it is one that a device may have.
    Provision::named(found.id, None).check()?;
    super::fragment::keep_fragment(work, Some(&id), None)?;
    Ok(id)
}

/// What the hardware says of itself, the best word first.
fn serials(work: &Work<'_>) -> Vec<String> {
    let mut places: Vec<PathBuf> = [
        "/proc/device-tree/serial-number",
        "/sys/class/dmi/id/product_serial",
        "/sys/class/dmi/id/board_serial",
    ]
    .map(PathBuf::from)
    .into();
    if let Ok(world) = work.world()
        && let Some(name) =
            std::fs::canonicalize(world.disk.path()).ok().as_deref().and_then(|p| p.file_name())
    {
        let device = PathBuf::from("/sys/block").join(name);
        places.extend([device.join("device/cid"), device.join("serial")]);
    }
    if !work.real {
        places = vec![work.at("serial-number")];
    }
    let text = |path: &PathBuf| files::kernel_text(path).ok();
    let texts = places.iter().filter_map(text);
    let words =
        texts.map(|text| text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned());
    let sound = |word: &String| {
        let plain = Provision::named(Some(word.clone()), None).check().is_ok();
        let empty = word.bytes().all(|b| b == b'0');
        let word = word.to_lowercase();
        let named = NONE.contains(&word.as_str()) || word.ends_with("serial number");
        plain && !empty && !named
    };
    words.filter(sound).collect()
}

/// The addresses of the network cards.
fn addresses() -> Vec<String> {
    let cards = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let texts = cards.filter_map(|card| files::kernel_text(card.path().join("address")).ok());
    texts
        .map(|text| text.trim().to_owned())
        .filter(|text| text.len() == 17 && text != "00:00:00:00:00:00")
        .collect()
}

/// The line of the list that begins with one of these words. `PROVISION_INVALID` names a line that is for this device and
/// wrong, or the second one for it.
fn find(list: &str, own: &[String]) -> Result<Option<Provision>> {
    let mut found = None;
    // Some programs begin a text with this mark, and put another sign between fields.
    let list = list.strip_prefix('\u{feff}').unwrap_or(list);
    for (number, line) in (1..).zip(list.lines()) {
        let fields: Vec<&str> = line.trim().split([',', ';']).map(str::trim).collect();
        let [word, rest @ ..] = fields.as_slice() else { continue };
        if word.starts_with('#') || !own.iter().any(|own| own.eq_ignore_ascii_case(word)) {
            continue;
        }
        let wrong = |why: &str| {
            Failure::new(ReasonCode::ProvisionInvalid, format!("{LIST}:{number}: {why}"))
        };
        if found.is_some() {
            return Err(wrong("a second line for this device"));
        }
        let field = |at: usize| rest.get(at).filter(|f| !f.is_empty()).map(|f| (*f).to_owned());
        let line = Provision::named(field(0), field(1));
        line.check().map_err(|failure| wrong(failure.detail()))?;
        found = Some(line);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_finds_its_line_by_any_word_of_its_hardware() {
        let list = "\u{feff}MATCH,ID,HOSTNAME\n# two\n10000000abcd, gate-1, north\n02:00:00:00:00:01;gate-2;south\nx,,only-name\n";
        let find = |word: &str| find(list, &[word.to_owned()]).unwrap();
        let line = find("10000000ABCD").unwrap();
        assert_eq!((line.id.as_deref(), line.hostname.as_deref()), (Some("gate-1"), Some("north")));
        assert_eq!(find("02:00:00:00:00:01").unwrap().id.as_deref(), Some("gate-2"));
        assert_eq!(find("x").unwrap().hostname.as_deref(), Some("only-name"));
        assert!(find("# two").is_none() && find("").is_none() && find("gate-1").is_none());
    }

    #[test]
    fn a_wrong_line_is_named_where_it_is_for_this_device() {
        let own = ["a".to_owned()];
        for (list, said) in [
            ("b,x y,z\na,x y,z\n", "devices.csv:2: `id`"),
            ("a,x,-z\n", "`hostname`"),
            ("a,x\nA,y\n", ":2: a second"),
        ] {
            let failure = find(list, &own).unwrap_err();
            assert!(failure.detail().contains(said), "{failure}");
        }
        assert!(find("b,x y,z\n", &own).unwrap().is_none());
    }
}

//! Whether the supply will last: `/sys/class/power_supply` and the alarms of `/sys/class/hwmon`
//! (kernel: Documentation/ABI/testing/sysfs-class-power, hwmon/sysfs-interface, hwmon/raspberrypi-hwmon).

use super::sysfs::{entries, line, number};
use std::path::Path;

/// A supply as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Supply {
    /// From outside; whether it delivers, if that is known.
    Outside(Option<bool>),
    /// A battery of the device itself.
    Battery {
        /// Per cent, if known.
        level: Option<u64>,
        /// The kernel says that it is being emptied.
        empties: bool,
    },
}

/// Why the supply is too weak, one line for each reason.
pub(super) fn weak(sys: &Path, battery_min: u8) -> Vec<String> {
    let supplies: Vec<Supply> =
        entries(&sys.join("class/power_supply")).iter().filter_map(|(_, at)| read(at)).collect();
    let battery = low(&supplies, u64::from(battery_min));
    battery.into_iter().chain(alarms(&sys.join("class/hwmon"))).collect()
}

fn read(at: &Path) -> Option<Supply> {
    let kind = line(&at.join("type"))?;
    let text = |name: &str| line(&at.join(name));
    match kind.as_str() {
        "Battery" | "UPS" => {
            // That of a mouse, or an empty bay.
            if text("scope").as_deref() == Some("Device") || text("present").as_deref() == Some("0")
            {
                return None;
            }
            let coarse = match text("capacity_level").as_deref() {
                Some("Critical" | "Low") => Some(0),
                _ => None,
            };
            let level = number(&at.join("capacity")).filter(|level| *level <= 100).or(coarse);
            Some(Supply::Battery {
                level,
                empties: text("status").as_deref() == Some("Discharging"),
            })
        }
        // USB, USB_C, USB_PD and so on; 1 is online, 2 online with a voltage that was agreed on.
        kind if kind == "Mains" || kind == "Wireless" || kind.starts_with("USB") => {
            Some(Supply::Outside(number(&at.join("online")).map(|online| online > 0)))
        }
        _ => None,
    }
}

/// Whether the device runs on batteries that are low. What is not known is not low.
fn low(supplies: &[Supply], least: u64) -> Option<String> {
    let outside = supplies.iter().filter_map(|s| match s {
        Supply::Outside(online) => *online,
        Supply::Battery { .. } => None,
    });
    let batteries = supplies.iter().filter_map(|s| match s {
        Supply::Battery { level, empties } => Some((*level, *empties)),
        Supply::Outside(_) => None,
    });
    // Any plug that delivers will do; without a plug that is known of the battery itself says.
    let on_battery = match outside.reduce(|a, b| a || b) {
        Some(delivers) => !delivers,
        None => batteries.clone().any(|(_, empties)| empties),
    };
    let level = batteries.filter_map(|(level, _)| level).max()?;
    let text = || format!("on battery with {level} %; updates wait for {least} % or a supply");
    (on_battery && level < least).then(text)
}

/// `in0_lcrit_alarm` is 1: a voltage is critically low. On a Raspberry Pi it is the supply's.
fn alarms(hwmon: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (chip, at) in entries(hwmon) {
        for (name, file) in entries(&at) {
            let input = name.strip_prefix("in").and_then(|n| n.strip_suffix("_lcrit_alarm"));
            let is_input =
                input.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if is_input && number(&file) == Some(1) {
                let named = line(&at.join("name")).unwrap_or_else(|| chip.clone());
                found.push(format!("the supply's voltage is too low ({named}: {name})"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn battery(level: u64) -> Supply {
        Supply::Battery { level: Some(level), empties: false }
    }

    #[test]
    fn only_a_device_on_batteries_that_are_low_waits() {
        let (on, off, silent) =
            (Supply::Outside(Some(true)), Supply::Outside(Some(false)), Supply::Outside(None));
        let empties = Supply::Battery { level: Some(10), empties: true };
        let unknown = Supply::Battery { level: None, empties: true };
        for (supplies, waits) in [
            (vec![], false),
            (vec![off.clone()], false),
            (vec![battery(10)], false),
            (vec![empties.clone()], true),
            (vec![unknown.clone()], false),
            (vec![off.clone(), unknown], false),
            (vec![off.clone(), battery(10)], true),
            (vec![off.clone(), battery(30)], false),
            (vec![off.clone(), battery(29)], true),
            (vec![on.clone(), empties.clone()], false),
            (vec![off.clone(), on, battery(10)], false),
            (vec![off, battery(10), battery(90)], false),
            (vec![silent.clone(), battery(10)], false),
            (vec![silent, empties], true),
        ] {
            assert_eq!(low(&supplies, 30).is_some(), waits, "{supplies:?}");
        }
    }
}

//! The id and the tags by which a source tells devices apart.

use crate::device::World;
use crate::model::{Failure, ReasonCode, Result, printable};
use crate::sys::files;

/// A longer id is none.
const MAX: usize = 256;

impl World {
    /// The device's id: `[device] id`, or the first line of `[device] id_file`. `NO_DEVICE_ID` where neither
    /// says one.
    pub(in crate::device) fn device_id(&self) -> Result<String> {
        let settings = &self.settings.device;
        let (text, place) = match &settings.id {
            Some(id) => (id.clone(), "`[device] id`".to_owned()),
            None => {
                let place = settings.id_file.display().to_string();
                let text = files::foreign_text(&settings.id_file, files::SMALL)
                    .map_err(|e| Failure::new(ReasonCode::NoDeviceId, format!("{place}: {e}")))?;
                (text, place)
            }
        };
        let id = text.lines().next().unwrap_or_default().trim().to_owned();
        let good = !id.is_empty() && id.len() <= MAX && id.chars().all(|c| !c.is_control());
        // systemd writes this word into an image that has not booted yet: every device would have one id.
        match good && id != "uninitialized" {
            true => Ok(id),
            false => {
                let text = format!("{place} has no id: `{}`", printable(&id, 80));
                Err(Failure::new(ReasonCode::NoDeviceId, text))
            }
        }
    }
}

//! `channel option`: values for the programs of devices.

use super::change::{changed, parse, usage};
use super::draft::Open;
use super::words::OptionWords;
use crate::model::{Identifier, Result};
use crate::source::channel::{Audience, OptionValue};

pub(super) fn option(words: &OptionWords) -> Result<()> {
    let key: Identifier = parse(&words.option)?;
    let tag = words.tag.as_deref().map(parse).transpose()?;
    let whose = Audience { device: words.device.clone(), tag };
    let mut open = Open::of(&words.place)?;
    let is_it = |known: &OptionValue| known.key == key && known.whose == whose;
    let known = open.draft.options.iter().any(is_it);
    open.draft.options.retain(|known| !is_it(known));
    let text = match &words.value {
        Some(value) => {
            let value = value.clone();
            open.draft.options.push(OptionValue { whose, key: key.clone(), value });
            format!("Option {key} is in the draft.")
        }
        None if known => format!("Option {key} is taken away in the draft."),
        None => return Err(usage(format!("the draft has no such option `{key}`"))),
    };
    changed(&open, &text)
}

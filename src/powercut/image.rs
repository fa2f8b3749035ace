//! The device that a cut leaves: a disk and a state folder, told apart from all others.

use super::choice::Choice;
use super::deed::{Deed, Stage};
use super::files;
use super::folder::Files;
use super::history::History;
use super::landing::Landing;
use super::pages::{Mark, Pages};
use super::phase::Map;

/// What was certain at a moment, and from which deed on it was not: the common part of all images
/// of one cut.
#[derive(Debug, Clone)]
pub(super) struct Certain {
    pages: Pages,
    upto: usize,
    moment: usize,
}

impl Certain {
    pub(super) fn new(pages: Pages) -> Certain {
        Certain { pages, upto: 0, moment: 0 }
    }

    /// Goes on to a later moment.
    pub(super) fn go_on(&mut self, history: &History, moment: usize) {
        self.moment = moment;
        while let Some(op) = history.ops.get(self.upto) {
            if op.at(moment) != Stage::Certain {
                break;
            }
            if let Deed::Disk { at, bytes } = &op.deed {
                self.pages.write(*at, bytes);
            }
            self.upto += 1;
        }
    }

    /// The image that `choice` makes of it.
    pub(super) fn image(&self, history: &History, map: &Map, choice: &Choice) -> Left {
        let mut disk = self.pages.clone();
        let open = history.ops.iter().enumerate().skip(self.upto);
        for (number, op) in open.take_while(|(_, op)| op.begin < self.moment) {
            let Deed::Disk { at, bytes } = &op.deed else {
                continue;
            };
            let landing = choice.of(number, op.at(self.moment));
            match landing {
                Landing::Nothing => continue,
                Landing::Whole => disk.write(*at, bytes),
                _ => {
                    let mut old = vec![0; bytes.len()];
                    disk.read(*at, &mut old);
                    disk.write(*at, &landing.applied(*at, &old, bytes));
                }
            }
            if let (Landing::Unit { seed }, Some(unit)) = (landing, map.unit(*at)) {
                let mut whole = vec![0; super::small(unit.end - unit.start)];
                disk.read(unit.start, &mut whole);
                Landing::garble(seed, &mut whole);
                disk.write(unit.start, &whole);
            }
        }
        Left { disk, files: files::after(history, self.moment, choice) }
    }
}

/// What is left.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) disk: Pages,
    pub(super) files: Files,
}

impl Left {
    /// Two images with one mark hold the same bytes.
    pub(super) fn mark(&self) -> Mark {
        self.disk.mark().and(files::mark(&self.files))
    }
}

//! Values by number, so that a world is a handful of bytes.

use std::collections::HashMap;
use std::hash::Hash;

/// More journals than any scenario meets where nothing is wrong; there is room above it for one
/// step more.
const NUMBERS_MAX: usize = 20_000;

/// Values by number, and back.
pub(crate) struct Numbered<T> {
    all: Vec<T>,
    numbers: HashMap<T, u16>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub(crate) fn new() -> Numbered<T> {
        Numbered { all: Vec::new(), numbers: HashMap::new() }
    }

    pub(crate) fn number(&mut self, value: T) -> u16 {
        let next = u16::try_from(self.all.len()).expect("room for one more");
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.all.push(value.clone());
            next
        })
    }

    /// So many that something is counted for ever.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() > NUMBERS_MAX
    }

    pub(crate) fn get(&self, number: u16) -> &T {
        &self.all[usize::from(number)]
    }
}

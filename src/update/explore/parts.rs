//! The order in which a slot is written, part by part, and what a cut finds in it after each step.

use super::mistakes::Mistake;
use super::world::Content;

/// Parts that a slot has at most here: one with the kernel, one with the root filesystem.
const PARTS: usize = 2;

/// Which system something is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Stood,
    Comes,
}

/// A slot between two steps; the part with the kernel first, as `[slots]` names them.
#[derive(Clone, Copy)]
struct Slot {
    record: Option<Of>,
    heads: [Option<Of>; PARTS],
    /// What is behind the heads; `None` while it is written.
    bodies: [Option<Of>; PARTS],
}

/// What a cut leaves of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) content: Content,
    /// Whether it is without a record.
    pub(super) blank: bool,
    /// A part begins with a file system and goes on with another one, or with half of one.
    pub(super) torn_part: bool,
    /// The record describes another system than stands, or one that is not whole.
    pub(super) claims: bool,
}

impl Slot {
    fn left(&self, parts: usize, stood: Content, comes: Content) -> Left {
        let part = |n: usize| (self.heads[n], self.bodies[n]);
        let torn_part = (0..parts).map(part).any(|(head, body)| head.is_some() && head != body);
        let whole = |of: Of| (0..parts).all(|n| part(n) == (Some(of), Some(of)));
        let content = match self.heads[0] {
            None => Content::Torn,
            Some(Of::Stood) if whole(Of::Stood) => stood,
            Some(Of::Comes) if whole(Of::Comes) => comes,
            Some(_) => Content::TornBootable,
        };
        let claims = self.record.is_some_and(|of| !whole(of));
        Left { content, blank: self.record.is_none(), torn_part, claims }
    }
}

/// Every state of a slot of `parts` parts that a cut can find while `comes` is written over `stood`,
/// in order: the mirror of `install`'s `carry_out`.
pub(super) fn writing(
    parts: usize,
    stood: Content,
    comes: Content,
    mistake: Option<Mistake>,
) -> Vec<Left> {
    use Of::{Comes, Stood};
    let had = |is: bool| is.then_some(Stood);
    let whole = had(stood.is_whole());
    let mut now = Slot { record: whole, heads: [whole; PARTS], bodies: [whole; PARTS] };
    let mut found = Vec::new();
    let mut step = |change: &dyn Fn(&mut Slot)| {
        change(&mut now);
        found.push(now.left(parts, stood, comes));
    };
    if mistake != Some(Mistake::RecordLeft) {
        step(&|slot| slot.record = None);
    }
    for n in 0..parts {
        let stays = match mistake {
            Some(Mistake::SuperblockLeft) => n == 0,
            Some(Mistake::OtherHeadLeft) => n > 0,
            _ => false,
        };
        step(&|slot| slot.heads[n] = slot.heads[n].filter(|_| stays));
    }
    for body in [None, Some(Comes)] {
        (0..parts).for_each(|n| step(&|slot| slot.bodies[n] = body));
    }
    if mistake == Some(Mistake::RecordBeforeHeads) {
        step(&|slot| slot.record = Some(Comes));
    }
    let mut order: Vec<usize> = (0..parts).rev().collect();
    if mistake == Some(Mistake::KernelHeadFirst) {
        order.reverse();
    }
    for n in order {
        step(&|slot| slot.heads[n] = Some(Comes));
    }
    step(&|slot| slot.record = Some(Comes));
    found
}

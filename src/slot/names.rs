//! What the configuration calls the partitions of the slots. Pure: no disk is looked at.

use crate::model::{Identifier, PART_ROOTFS, SlotId};

/// One partition of a slot, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartName {
    /// What a release calls it.
    pub part: Identifier,
    /// The partition: a GPT name, `partuuid:UUID`, or `mbr:SIGNATURE-NUMBER`.
    pub partition: String,
}

/// The parts of both slots, first the one whose partition carries the slot record. Both slots have
/// the same parts in the same order, and exactly one of them is the `rootfs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNames {
    a: Vec<PartName>,
    b: Vec<PartName>,
}

impl Default for SlotNames {
    /// One partition each: `rootfs-a` and `rootfs-b`.
    fn default() -> Self {
        let part = |partition: &str| PartName { part: rootfs(), partition: partition.to_owned() };
        SlotNames { a: vec![part("rootfs-a")], b: vec![part("rootfs-b")] }
    }
}

impl SlotNames {
    /// Reads the two lists of `[slots]`. An entry is `PART=PARTITION` or only the partition. Then
    /// the part is called by the partition's name without the `-a` or `-b` at its end; the one
    /// partition of a slot that has no other is the `rootfs`, whatever it is called.
    ///
    /// The error is one sentence that names `slots.a` or `slots.b`.
    pub fn parse(a: &[String], b: &[String]) -> Result<SlotNames, String> {
        if a.is_empty() || a.len() != b.len() {
            let (a, b) = (a.len(), b.len());
            return Err(format!(
                "`slots.a` names {a} partitions and `slots.b` {b}: both must name equally many, at least one"
            ));
        }
        let (a, b) = (list(a, "slots.a")?, list(b, "slots.b")?);
        let differ = |(first, second): &(&PartName, &PartName)| first.part != second.part;
        if let Some((first, second)) = a.iter().zip(&b).find(differ) {
            return Err(format!(
                "`{}` of `slots.a` is the part `{}`, and `{}` of `slots.b` the part `{}`: both slots must have the same parts in the same order",
                first.partition, first.part, second.partition, second.part
            ));
        }
        for (index, name) in a.iter().enumerate() {
            if a[..index].iter().any(|other| other.part == name.part) {
                return Err(format!("`slots.a` has the part `{}` twice", name.part));
            }
        }
        if !a.iter().any(|name| name.part.as_str() == PART_ROOTFS) {
            let text = format!(
                "no partition in `slots.a` is the part `{PART_ROOTFS}`; say which, as `{PART_ROOTFS}=PARTITION`"
            );
            return Err(text);
        }
        Ok(SlotNames { a, b })
    }

    /// The partitions of a slot, at least one.
    pub fn of(&self, slot: SlotId) -> &[PartName] {
        match slot {
            SlotId::A => &self.a,
            SlotId::B => &self.b,
        }
    }
}

fn rootfs() -> Identifier {
    PART_ROOTFS.parse().expect("because it is in the alphabet")
}

fn list(entries: &[String], key: &str) -> Result<Vec<PartName>, String> {
    let alone = entries.len() == 1;
    let one = |entry: &String| {
        let (part, partition) = match entry.split_once('=') {
            Some((part, partition)) => (part.parse(), partition),
            None if alone => (Ok(rootfs()), entry.as_str()),
            None if entry.starts_with("partuuid:") || entry.starts_with("mbr:") => {
                return Err(format!(
                    "`{key}`: say which part `{entry}` is, as `boot={entry}` or `{PART_ROOTFS}={entry}`"
                ));
            }
            None => (without_letter(entry).parse(), entry.as_str()),
        };
        let part = part.map_err(|why| format!("`{key}`: the part of `{entry}`: {why}"))?;
        Ok(PartName { part, partition: partition.to_owned() })
    };
    entries.iter().map(one).collect()
}

fn without_letter(name: &str) -> &str {
    let letter = |end| name.strip_suffix(end);
    letter("-a").or_else(|| letter("-b")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(a: &[&str], b: &[&str]) -> Result<SlotNames, String> {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        SlotNames::parse(&owned(a), &owned(b))
    }

    fn parts(a: &[&str], b: &[&str]) -> Vec<String> {
        let names = parse(a, b).unwrap();
        let told = |slot| {
            let one = |n: &PartName| format!("{}:{}", n.part, n.partition);
            names.of(slot).iter().map(one).collect::<Vec<_>>()
        };
        [told(SlotId::A), told(SlotId::B)].concat()
    }

    #[test]
    fn a_part_is_called_by_its_partition_or_by_what_is_said() {
        assert_eq!(
            parts(&["boot-a", "rootfs-a"], &["boot-b", "rootfs-b"]),
            ["boot:boot-a", "rootfs:rootfs-a", "boot:boot-b", "rootfs:rootfs-b"]
        );
        // The only partition of a slot is its root filesystem, whatever it is called.
        for name in ["rootfs-a", "system_1", "APP", "partuuid:1-2", "mbr:1a2b3c4d-1"] {
            assert_eq!(parts(&[name], &["x-b"])[0], format!("rootfs:{name}"));
        }
        assert_eq!(
            parts(&["boot=partuuid:1", "rootfs=x=y-a"], &["boot=mbr:1-2", "rootfs-b"]),
            ["boot:partuuid:1", "rootfs:x=y-a", "boot:mbr:1-2", "rootfs:rootfs-b"]
        );
        assert_eq!(parse(&["rootfs-a"], &["rootfs-b"]).unwrap(), SlotNames::default());
    }

    #[test]
    fn parts_that_make_no_slot_are_refused_by_name() {
        for (a, b, told) in [
            (&[][..], &[][..], "at least one"),
            (&["rootfs-a"], &[], "equally many"),
            (&["boot-a", "rootfs-a"], &["rootfs-b"], "equally many"),
            (&["boot-a", "rootfs-a"], &["rootfs-b", "boot-b"], "same parts in the same order"),
            (&["boot-a", "rootfs-a"], &["boot-b", "system-b"], "same parts"),
            (&["rootfs-a", "rootfs=x"], &["rootfs-b", "rootfs=y"], "`rootfs` twice"),
            (&["boot-a", "system-a"], &["boot-b", "system-b"], "no partition in `slots.a`"),
            (&["boot=x"], &["boot=y"], "no partition in `slots.a`"),
            (&["boot-a", "partuuid:1"], &["boot-b", "rootfs-b"], "say which part `partuuid:1`"),
            (&["boot a", "rootfs-a"], &["boot-b", "rootfs-b"], "`slots.a`: the part of `boot a`"),
            (&["=x", "rootfs-a"], &["boot-b", "rootfs-b"], "`slots.a`"),
        ] {
            let why = parse(a, b).unwrap_err();
            assert!(why.contains(told), "{a:?} {b:?}: {why}");
        }
    }
}

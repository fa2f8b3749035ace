//! The room table, read from ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

/// Floor H stands above every numbered floor.
const HOST: u32 = 99;

#[derive(Debug)]
struct Row {
    floor: u32,
    uses: BTreeSet<String>,
}

/// Which room may use which.
#[derive(Debug)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
}

impl Table {
    /// Reads the table under the heading row `| Floor | Room |`.
    pub(crate) fn parse(text: &str) -> Result<Table, String> {
        let mut lines = text.lines().skip_while(|l| !l.starts_with("| Floor | Room |"));
        lines.next().ok_or("no room table")?;
        let mut cells = Vec::new();
        for line in lines.skip(1).take_while(|l| l.starts_with('|')) {
            let row: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [floor, room, _, uses] = row[..] else {
                return Err(format!("not four cells: {line}"));
            };
            let floor = match floor {
                "H" => HOST,
                number => number.parse().map_err(|_| format!("no floor: {line}"))?,
            };
            cells.push((floor, room.trim_matches('`').to_owned(), uses.to_owned()));
        }
        let floors: BTreeMap<String, u32> =
            cells.iter().map(|(floor, room, _)| (room.clone(), *floor)).collect();
        if floors.len() != cells.len() {
            return Err("a room has two rows".into());
        }
        let mut rows = BTreeMap::new();
        for (floor, room, words) in cells {
            let uses = allowed(&floors, floor, &words).map_err(|e| format!("{room}: {e}"))?;
            rows.insert(room, Row { floor, uses });
        }
        let table = Table { rows };
        table.check_floors()?;
        Ok(table)
    }

    fn check_floors(&self) -> Result<(), String> {
        for (room, row) in &self.rows {
            for other in &row.uses {
                if self.rows[other].floor > row.floor {
                    return Err(format!("`{room}` names `{other}`, which is above it"));
                }
            }
        }
        Ok(())
    }

    /// Every room.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = String> + '_ {
        self.rows.keys().cloned()
    }

    /// Whether `room` may use `other`.
    pub(crate) fn allows(&self, room: &str, other: &str) -> bool {
        self.rows.get(room).is_some_and(|row| row.uses.contains(other))
    }

    /// A room that can reach itself, if there is one.
    pub(crate) fn cycle(&self) -> Option<String> {
        self.rows
            .keys()
            .find(|room| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![room.as_str()]);
                while let Some(at) = next.pop() {
                    for other in &self.rows[at].uses {
                        if seen.insert(other.as_str()) {
                            next.push(other);
                        }
                    }
                }
                seen.contains(room.as_str())
            })
            .cloned()
    }
}

/// The cell's words: room names, `all below`, `all below N`, a dash for none.
fn allowed(
    floors: &BTreeMap<String, u32>,
    floor: u32,
    cell: &str,
) -> Result<BTreeSet<String>, String> {
    let mut out = BTreeSet::new();
    let words: Vec<&str> = cell.split([' ', ',']).filter(|w| !w.is_empty() && *w != "–").collect();
    let mut rest = &words[..];
    while let Some((word, tail)) = rest.split_first() {
        rest = tail;
        if *word == "all" && tail.first() == Some(&"below") {
            let limit = tail.get(1).and_then(|n| n.parse().ok());
            rest = &tail[if limit.is_some() { 2 } else { 1 }..];
            let limit = limit.unwrap_or(floor);
            out.extend(floors.iter().filter(|(_, f)| **f < limit).map(|(room, _)| room.clone()));
        } else if floors.contains_key(*word) {
            out.insert((*word).to_owned());
        } else {
            return Err(format!("`{word}` is no room"));
        }
    }
    Ok(out)
}

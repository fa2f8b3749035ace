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
            let uses = allowed(&floors, &words).map_err(|e| format!("{room}: {e}"))?;
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

    /// What the row of `room` names.
    pub(crate) fn named(&self, room: &str) -> &BTreeSet<String> {
        &self.rows[room].uses
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

/// The cell's words: room names, a dash for none.
fn allowed(floors: &BTreeMap<String, u32>, cell: &str) -> Result<BTreeSet<String>, String> {
    let words = cell.split([' ', ',']).filter(|w| !w.is_empty() && *w != "–");
    words
        .map(|word| match floors.contains_key(word) {
            true => Ok(word.to_owned()),
            false => Err(format!("`{word}` is no room")),
        })
        .collect()
}

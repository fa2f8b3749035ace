//! Measures chunk sizes: `cargo run --release --example measure_chunks -- V1 V2 LEVEL AVERAGE…`
//! prints the table of docs/chunk-size.md.

use std::collections::HashSet;
use std::fs::File;
use surefoot::artifact::write::{Image, Packed, Packing, pack};

fn packed(path: &str, level: i32, average: u32) -> Packed {
    let image = Image::rootfs(File::open(path).expect("the image opens"));
    let packing = Packing { level, average, ..Packing::default() };
    pack(vec![image], packing, &mut std::io::sink(), &|_| ()).expect("the image packs")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [v1, v2, level, averages @ ..] = words.as_slice() else {
        panic!("V1 V2 LEVEL AVERAGE…");
    };
    let level = level.parse().expect("a level");
    println!("average KiB | chunks | stored | table | artifact | to fetch from v1 | longest chunk");
    for average in averages {
        let average: u32 = average.parse().expect("a number of KiB");
        // Of v1 only the plain hashes matter.
        let (old, new) = (packed(v1, 1, average * 1024), packed(v2, level, average * 1024));
        let have: HashSet<_> = old.table.chunks.iter().map(|c| c.plain).collect();
        let (mut stored, mut fetch, mut longest) = (0u64, 0u64, 0);
        for chunk in new.table.chunks.iter().filter(|c| !c.is_zero()) {
            stored += u64::from(chunk.stored_len);
            longest = longest.max(chunk.plain_len);
            if !have.contains(&chunk.plain) {
                fetch += u64::from(chunk.stored_len);
            }
        }
        let count = new.table.chunks.len();
        let table = 80 * count as u64;
        println!(
            "{average} | {count} | {stored} | {table} | {} | {} | {longest}",
            stored + table,
            fetch + table
        );
    }
}

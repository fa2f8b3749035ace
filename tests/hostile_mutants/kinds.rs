//! What is mutated: each kind of file and request that a device reads.

use super::run::{Tried, document, on_cpu, shown, tried};
use super::{USUAL, each};
use crate::artifact::stranger::{self, Parts};
use crate::common::{self, Bench};
use crate::corpus::{Random, mutated};
use crate::kept::{self, Kept};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// As a string of JSON and TOML can carry them: what raw bytes would only make unreadable.
const WORDS: [&str; 16] = [
    "\\u001b]0;owned\\u0007",
    "\\nRunning fine",
    "\\u202e",
    "\\u009b31m",
    "\\u200b",
    "\\ud800",
    "18446744073709551615",
    "9223372036854775807",
    "4294967295",
    "-1",
    "1e300",
    "null",
    "{}",
    "[]",
    "true",
    "\"\"",
];

/// A mutation, in half of the cases of text only what a parser still reads: a number or a string
/// replaced by another one.
fn mutant(seed: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    match (std::str::from_utf8(seed), random.below(2)) {
        (Ok(text), 0) => replaced(text, random).into_bytes(),
        _ => mutated(seed, others, random),
    }
}

/// `text` with one of its values, or the inside of a string, replaced.
fn replaced(text: &str, random: &mut Random) -> String {
    let word = WORDS[random.below(WORDS.len())];
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let mut spans: Vec<(usize, usize)> = Vec::new();
    let mut begun = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (begun, is_part(c)) {
            (None, true) => begun = Some(at),
            (Some(start), false) => {
                spans.push((start, at));
                begun = None;
            }
            _ => {}
        }
    }
    let Some((start, end)) = spans.get(random.below(spans.len())).copied() else {
        return word.to_owned();
    };
    let long = if random.below(8) == 0 { word.repeat(3_000) } else { word.to_owned() };
    format!("{}{long}{}", &text[..start], &text[end..])
}

/// With the checksum of its first line made right, where it has one.
fn summed(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(bytes.clone()) else { return bytes };
    let Some((head, body)) = text.split_once('\n') else { return bytes };
    let mut words: Vec<&str> = head.split(' ').collect();
    let summed = match name.split_once('.').map_or(name, |(name, _)| name) {
        "journal" | "committed" if words.len() == 4 => format!("{}\n{body}", words[2]),
        "floor" if words.len() == 4 => format!("floor {}", words[2]),
        _ => return bytes,
    };
    let sum = format!("{:08x}", crc32fast::hash(summed.as_bytes()));
    words[3] = &sum;
    format!("{}\n{body}", words.join(" ")).into_bytes()
}

/// The files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// A good release, of the epoch that makes a floor.
fn release(bench: &Bench, version: &str) -> String {
    let seed = u64::from(version.as_bytes()[0]);
    bench.artifact(&format!("v{version}"), seed, 64 << 10, &["--version", version, "--epoch", "1"])
}

fn still_updates(bench: &Bench, version: &str) {
    bench.surefoot(&["install", &release(bench, version), "--hold-ok"]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
}

/// A device with a history: every file that the state folder can have.
fn lived() -> Bench {
    let bench = Bench::new();
    kept::configure(
        &bench,
        "[[hook]]\nname = \"told\"\nat = \"after-install\"\ncommand = [\"/bin/echo\", \"heard\"]\n",
    );
    still_updates(&bench, "2.0.0");
    bench.surefoot(&["install", &release(&bench, "3.0.0")]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["rollback", "--reason", "because"]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["hold", "--reason", "because"]).ok();
    // Both slots hold this epoch once 2.0.0 is the older one; here that is put down at once.
    surefoot::update::FloorStore::new(bench.path("DEV/state").as_ref()).raise(1).unwrap();
    bench
}

fn asks(bench: &Bench, words: &[&str]) -> Tried {
    let config = bench.path("DEV/surefoot.toml");
    let mut all = vec!["--config", &config];
    all.extend(words);
    tried(env!("CARGO_BIN_EXE_surefoot"), &all)
}

/// One of the questions, the cheap ones more often.
fn asked(bench: &Bench, random: &mut Random) -> Tried {
    const ASKED: [&[&str]; 14] = [
        &["status"],
        &["status", "--json"],
        &["status"],
        &["status"],
        &["history"],
        &["history", "--json"],
        &["history"],
        &["history"],
        &["why"],
        &["why", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["report"],
        &["unhold", "--json"],
    ];
    asks(bench, ASKED[random.below(ASKED.len())])
}

fn state(bench: &Bench) {
    let folder = bench.path("DEV/state");
    let good = files(Path::new(&folder));
    let is_read = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.starts_with("reserve") && name != "lock"
    };
    let read: Vec<&PathBuf> = good.keys().filter(|path| is_read(path)).collect();
    let named = |name: &str| read.iter().any(|path| path.ends_with(name));
    for name in [
        "journal.0",
        "committed.0",
        "floor.0",
        "hold.json",
        "history.jsonl",
        "hooks.json",
        "postmortem.json",
    ] {
        assert!(named(name), "{name} is not among {read:?}");
    }
    let seeds: Vec<Vec<u8>> = read.iter().map(|path| good[*path].clone()).collect();
    each("state", 2 * USUAL, |round, random| {
        let which = round % read.len();
        let path = read[which];
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut bytes = mutant(&seeds[which], &seeds, random);
        if random.below(4) > 0 {
            bytes = summed(name, bytes);
        }
        // The other generation would speak for a damaged one.
        let twin = match name.strip_suffix(".0") {
            Some(stem) => path.with_file_name(format!("{stem}.1")),
            None => path.with_extension(name.strip_suffix(".1").map_or("none", |_| "0")),
        };
        if random.below(2) == 0 {
            let _ = std::fs::remove_file(&twin);
        }
        std::fs::write(path, &bytes).unwrap();
        let told = asked(bench, random);
        for (path, bytes) in &good {
            if std::fs::read(path).ok().as_ref() != Some(bytes) {
                std::fs::write(path, bytes).unwrap();
            }
        }
        (bytes, vec![told])
    });
    still_updates(bench, "4.0.0");
}

fn trust_file(bench: &Bench) {
    let artifact = release(bench, "5.0.0");
    let path = bench.path("DEV/trust.toml");
    let good = common::read(&path);
    let others = [good.clone()];
    let before = bench.firm_ground();
    let questions: [&[&str]; 4] =
        [&["status"], &["verify", &artifact], &["install", "--dry-run", &artifact], &["doctor"]];
    each("trust", USUAL, |_, random| {
        let bytes = mutant(&good, &others, random);
        std::fs::write(&path, &bytes).unwrap();
        let verb = questions[random.below(questions.len())];
        (bytes, vec![asks(bench, verb)])
    });
    assert!(bench.firm_ground() == before);
    std::fs::write(&path, &good).unwrap();
}

fn configuration(bench: &Bench) {
    let questions: [&[&str]; 4] =
        [&["config", "check"], &["config", "check", "--json"], &["config", "show"], &["why"]];
    for (name, usual) in [("surefoot.toml", USUAL / 2), ("fw_env.config", USUAL / 2)] {
        let path = bench.path(&format!("DEV/{name}"));
        let good = common::read(&path);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
        let others: Vec<Vec<u8>> = files(&folder).into_values().chain([good.clone()]).collect();
        each(name, usual, |_, random| {
            let bytes = mutant(&good, &others, random);
            std::fs::write(&path, &bytes).unwrap();
            let verb = match name {
                "surefoot.toml" => questions[random.below(questions.len())],
                _ => &["status"],
            };
            (bytes, vec![asks(bench, verb)])
        });
        std::fs::write(&path, &good).unwrap();
    }
    bench.surefoot(&["status"]).ok();
}

/// Where the simulator keeps the copies, and their length.
const COPIES: [usize; 2] = [4 << 20, 8 << 20];
const COPY: usize = 0x4000;

fn environment(bench: &Bench) {
    let good = COPIES.map(|at| bench.disk_bytes(at as u64, COPY));
    each("environment", USUAL, |_, random| {
        let which = random.below(2);
        let variables = {
            let text = &good[which][5..];
            let end = text.windows(2).position(|two| two == [0, 0]).unwrap();
            text[..end].to_vec()
        };
        let others = [variables.clone(), b"surefoot_txn=\x1b[31m\0bootcount=99999999999".to_vec()];
        let mut changed = mutant(&variables, &others, random);
        changed.truncate(COPY - 7);
        let mut copy = vec![0; COPY];
        copy[4] = good[which][4];
        copy[5..5 + changed.len()].copy_from_slice(&changed);
        if random.below(8) == 0 {
            copy = mutated(&copy, &others, random);
            copy.resize(COPY, 0);
        }
        if random.below(8) > 0 {
            let sum = crc32fast::hash(&copy[5..]);
            copy[..4].copy_from_slice(&sum.to_le_bytes());
        }
        // One of them, which may be the stale one, or the only one that can be read.
        bench.patch_disk(COPIES[which], &copy);
        let other = match random.below(3) {
            0 => good[1 - which].clone(),
            1 => vec![0xff; COPY],
            _ => copy.clone(),
        };
        bench.patch_disk(COPIES[1 - which], &other);
        let told = asked(bench, random);
        (copy, vec![told])
    });
    for (at, copy) in COPIES.iter().zip(&good) {
        bench.patch_disk(*at, copy);
    }
    bench.surefoot(&["status"]).ok();
}

#[test]
fn no_mutation_of_a_file_of_the_device_ends_a_program_or_reaches_a_terminal() {
    let bench = lived();
    state(&bench);
    trust_file(&bench);
    configuration(&bench);
    environment(&bench);
    still_updates(&bench, "5.0.0");
}

/// A small release of the stranger's, good where its keys are trusted, with every field that a manifest can have.
fn released() -> Parts {
    let mut image = common::image(9, 64 << 10);
    image.truncate(16 << 10);
    let mut parts = stranger::with(vec![stranger::raw(&image)]);
    parts.body = parts.body.replace("version = '1.0.0'", "version = '9.0.0'");
    parts.body = parts.body.replace("security_epoch = 0", "security_epoch = 1");
    parts.body = parts.body.replace("release_counter = 5", "release_counter = 9000000");
    parts.body = parts.body.replacen("[requires]", "notes = \"what is new\"\n[requires]", 1);
    parts.body = parts.body.replace('\'', "\"");
    parts.body = parts.body.replacen(
        "[[payloads]]",
        "[provenance]\nsource_revision = \"abc\"\nbuild_id = \"nightly\"\nbuilt_at = 1800000000\n[hints]\nx = \"y\"\n[[payloads]]",
        1,
    );
    parts
}

fn manifest(bench: &Bench) {
    let good = released();
    let path = bench.path("mutant.surefoot");
    let trust = bench.path("DEV/trust.toml");
    std::fs::write(&path, good.bytes()).unwrap();
    let accepted = bench.surefoot(&["verify", &path]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    let others = [good.body.clone().into_bytes()];
    let before = bench.firm_ground();
    each("manifest", USUAL, |_, random| {
        let mut parts = good.clone();
        let body = mutant(good.body.as_bytes(), &others, random);
        // The format's own bytes are mutated too; they carry no more than the signature allows.
        parts.body = String::from_utf8_lossy(&body).into_owned();
        let mut bytes = parts.bytes();
        if random.below(8) == 0 {
            bytes = mutated(&bytes, &others, random);
        }
        std::fs::write(&path, &bytes).unwrap();
        let told = match random.below(4) {
            0 => asks(bench, &["verify", &path]),
            1 => asks(bench, &["install", "--dry-run", &path]),
            2 => tried(env!("CARGO_BIN_EXE_surefoot-forge"), &["inspect", &path]),
            _ => tried(env!("CARGO_BIN_EXE_surefoot-forge"), &["verify", &path, "--trust", &trust]),
        };
        (bytes, vec![told])
    });
    assert!(bench.firm_ground() == before);
}

fn record(bench: &Bench) {
    let good = released();
    let others = [good.body.clone().into_bytes()];
    each("record", USUAL / 2, |round, random| {
        let mut parts = good.clone();
        if round > 0 {
            let body = mutant(good.body.as_bytes(), &others, random);
            parts.body = String::from_utf8_lossy(&body).into_owned();
        }
        let table = parts.table();
        let signed = stranger::record(2, &parts.statement());
        let mut payload = stranger::head(parts.body.as_bytes(), &table, &[signed]);
        payload.truncate(payload.len() - table.len());
        payload.extend(<sha2::Sha256 as sha2::Digest>::digest(&table));
        payload.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        if round > 0 && random.below(4) == 0 {
            payload = mutated(&payload, &others, random);
        }
        payload.truncate(surefoot::slot::record::PAYLOAD_MAX);
        let record = surefoot::slot::record::encode_record(&payload).unwrap();
        for slot in ["a", "b"] {
            let end = bench.slot_offset(slot) + common::SLOT - record.len();
            bench.patch_disk(end, &record);
        }
        let told = match round {
            0 => asks(bench, &["status"]),
            _ => asked(bench, random),
        };
        assert!(round > 0 || told.out.contains("9.0.0"), "it is not believed: {}", told.out);
        (payload, vec![told])
    });
}

#[test]
fn no_mutation_of_a_release_or_a_request_ends_a_program_or_reaches_a_terminal() {
    let bench = lived();
    requests(&bench);
    let keys = [(1, "root", ""), (2, "release", "")];
    std::fs::write(bench.path("DEV/trust.toml"), stranger::trust_text(1, &keys, "")).unwrap();
    manifest(&bench);
    record(&bench);
}

fn requests(bench: &Bench) {
    let mut daemon = Kept::start(bench);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for route in surefoot::request::ROUTES {
        let values =
            ["1", "0", "because", "7", "a", "%1b%5d0;owned%07%0aRunning%20fine", "%e2%80%ae"];
        let query: Vec<String> = route
            .parameters()
            .zip(values.iter().cycle().skip(route.path.len()))
            .filter(|(name, _)| *name != "follow")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let head = format!(
            "{} {}?{} HTTP/1.1\r\nHost: x\r\n",
            route.methods()[0],
            route.path,
            query.join("&")
        );
        seeds.push(format!("{head}\r\n").into_bytes());
        seeds.push(format!("{head}Content-Length: 5\r\n\r\nhello").into_bytes());
        seeds.push(
            format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").into_bytes(),
        );
    }
    let mut answered = 0;
    let mut log = 0;
    each("request", 4 * USUAL, |round, random| {
        let seed = &seeds[round % seeds.len()];
        let bytes = mutated(seed, &seeds, random);
        let before = on_cpu(daemon.pid());
        let answer = daemon.raw_and_end("control.sock", &bytes);
        assert!(daemon.runs(), "round {round}: it ended: {}", daemon.log());
        let cpu = on_cpu(daemon.pid()) - before;
        let text = daemon.log();
        let told = text.get(log..).unwrap_or(&text).to_owned();
        log = text.len();
        answered += usize::from(answer.starts_with("HTTP/1.1 200"));
        let mut wrong = shown(&told).err();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        for line in body.lines() {
            let parsed = serde_json::from_str(line);
            wrong = wrong.or(parsed.ok().and_then(|value| document(&value).err()));
        }
        wrong = wrong.or(shown(&answer.replace("\r\n", "\n")).err());
        wrong = wrong.or(told.contains("panicked at").then(|| format!("a panic: {told}")));
        wrong = wrong.or(answer.contains("\"INTERNAL\"").then(|| format!("a defect: {answer}")));
        wrong = wrong.or((cpu > 2_000).then(|| format!("{cpu} ms of processor time")));
        if let Some(wrong) = wrong {
            let kept = std::env::temp_dir().join(format!("surefoot-mutant-request-{round}"));
            std::fs::write(&kept, &bytes).unwrap();
            panic!("request, round {round}, kept as {}: {wrong}", kept.display());
        }
        (bytes, Vec::new())
    });
    assert!(answered > 0, "no request was ever answered");
    drop(daemon);
    for words in
        [&["status", "--json"][..], &["history", "--json"], &["history"], &["why"], &["report"]]
    {
        asks(bench, words).judge().unwrap();
    }
}

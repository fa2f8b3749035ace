//! Hostile deltas on a device: each is refused with its code, and whatever way it comes, the slot that is written
//! holds no byte that the new release has not in that place.

use super::stranger::{Draft, larger, number, signed};
use crate::artifact::stranger::trust_text;
use crate::common::{Bench, Said, run};
use crate::net::server::{File, Server};
use sha2::{Digest, Sha256};
use surefoot::model::ReasonCode::{self, ChunkCorrupt, DeltaBase, DeltaInvalid};
use surefoot::model::ReasonCode::{HeaderInvalid, SignatureInvalid};

/// What a device may take of address space, KiB: a stream below decodes to more.
const MEMORY: usize = 192 << 10;
/// The bytes of a slot that are destroyed first and written last.
const FIRST: usize = 128 << 10;

/// A device that runs the old release of a draft.
struct Target {
    bench: Bench,
    draft: Draft,
    /// The slot that is written, as it was.
    before: Vec<u8>,
}

impl Target {
    fn new() -> Target {
        let (bench, draft) = (Bench::new(), larger());
        let keys = [(1, "root", ""), (2, "release", "")];
        std::fs::write(bench.path("DEV/trust.toml"), trust_text(1, &keys, "")).unwrap();
        std::fs::write(bench.path("from.surefoot"), draft.from.bytes()).unwrap();
        bench.surefoot(&["install", &bench.path("from.surefoot")]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["commit"]).ok();
        let before = bench.slot_bytes("a");
        Target { bench, draft, before }
    }

    fn file(&self, bytes: &[u8]) -> String {
        let path = self.bench.path("d.surefoot");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `surefoot install` with a bounded memory.
    fn install(&self, word: &str, input: &[u8]) -> Said {
        let limit = format!("ulimit -v {MEMORY} && exec \"$@\"");
        let config = self.bench.path("DEV/surefoot.toml");
        let program = env!("CARGO_BIN_EXE_surefoot");
        run("sh", &["-c", &limit, "sh", program, "--config", &config, "install", word], &[], input)
    }

    /// As a file it is refused before a byte is written; as a stream and from a server, before a wrong one is.
    fn refuses(&self, what: &str, bytes: &[u8], code: ReasonCode) {
        let firm = self.bench.firm_ground();
        let look = |said: Said, way: &str| {
            assert_eq!(said.reason(), Some(code.as_str()), "{what}, {way}: {}", said.err);
            assert_eq!(said.code, 65, "{what}, {way}: {}", said.err);
            // A stream is disarmed for, as it cannot be checked before: the environment may change.
            let kept = if way == "as a file" { 0 } else { 2 };
            let now = self.bench.firm_ground();
            assert!(now[kept..] == firm[kept..], "{what}, {way}: firm ground has changed");
        };
        look(self.install(&self.file(bytes), b""), "as a file");
        assert!(self.bench.slot_bytes("a") == self.before, "{what}: something was written");
        look(self.install("-", bytes), "as a stream");
        self.is_right_so_far(what);
        let file = File::new(bytes);
        let server = Server::new(move |asked, line| match asked.target.as_str() {
            "/d.surefoot" => file.give(asked, line),
            _ => line
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .map(|()| true),
        });
        look(self.install(&server.url("/d.surefoot"), b""), "from a server");
        self.is_right_so_far(what);
        self.bench.patch_disk(self.bench.slot_offset("a"), &self.before);
    }

    /// Each byte of the slot is as it was, destroyed, or as the new release has it; what boots is as it was, or destroyed.
    fn is_right_so_far(&self, what: &str) {
        let (new, slot) = (self.draft.new_image(), self.bench.slot_bytes("a"));
        let begin = &slot[..FIRST];
        let destroyed = begin.iter().all(|byte| *byte == 0);
        assert!(destroyed || *begin == self.before[..FIRST], "{what}: it offers something");
        // The slot's record is the last mebibyte; without one, nothing is said of what stands there.
        let record = slot.len() - (1 << 20);
        for (at, byte) in slot.iter().enumerate().take(record).skip(FIRST) {
            let wanted = new.get(at).copied().unwrap_or(0);
            let right = [wanted, self.before[at], 0].contains(byte);
            assert!(right, "{what}: the byte at {at} is of neither");
        }
        let said = &slot[record..];
        assert!(*said == self.before[record..] || said.iter().all(|b| *b == 0), "{what}: a record");
    }
}

fn changed(target: &Target, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = target.draft.clone();
    change(&mut draft);
    draft.bytes()
}

#[test]
fn ops_outside_old_or_new_reach_no_slot() {
    let target = Target::new();
    let refuses = |what, change: fn(&mut Draft)| {
        target.refuses(what, &changed(&target, change), DeltaInvalid)
    };
    refuses("more than the image has", |d| d.streams.zero(1));
    refuses("a seek past the end of old", |d| {
        d.last_from(|s, len| s.copy(len as u64, i64::from(u32::MAX)));
    });
    // The length of old is what its manifest says, whatever the delta does.
    refuses("a seek past the end of old, which is called longer", |d| {
        d.body = vec![("from_size = 800000".to_owned(), format!("from_size = {}", i64::MAX))];
        d.last_from(|s, len| s.copy(len as u64, i64::from(u32::MAX)));
    });
    refuses("a seek before the begin of old", |d| {
        d.last_from(|s, len| s.copy(len as u64, i64::MIN))
    });
    refuses("a length near 2^64", |d| number(&mut d.streams.lengths, u64::MAX));
    // Output has no place of its own, so that it overlaps only as output that is too long.
    refuses("what was made once is made again", |d| {
        let again = d.streams.lengths.clone();
        d.streams.lengths.extend(again);
    });
}

#[test]
fn endless_streams_and_huge_windows_take_no_memory() {
    let target = Target::new();
    let endless = changed(&target, |d| d.streams.extra.extend(vec![0; 512 << 20]));
    assert!(endless.len() < 2 << 20, "{}", endless.len());
    target.refuses("an endless stream", &endless, DeltaInvalid);
    let window = changed(&target, |d| {
        d.body = vec![("[20, 20, 21, 23]".to_owned(), "[10, 10, 10, 10]".to_owned())];
        d.frames = [10, 10, 10, 27];
    });
    target.refuses("a window that the body does not allow", &window, DeltaInvalid);
    let said = changed(&target, |d| {
        d.body = vec![("[20, 20, 21, 23]".to_owned(), "[20, 20, 21, 30]".to_owned())];
    });
    target.refuses("a window that no body may allow", &said, DeltaInvalid);
    let batch = changed(&target, |d| {
        d.streams.lengths.pop();
        d.behind = vec![0xff; 16];
    });
    target.refuses("an endless batch", &batch, DeltaInvalid);
}

#[test]
fn wrong_bytes_and_a_wrong_base_reach_no_slot() {
    let target = Target::new();
    let bytes = changed(&target, |d| *d.streams.extra.last_mut().unwrap() ^= 1);
    // Its signers have made it wrong, and no op says so: each chunk is held against its hash.
    let firm = target.bench.firm_ground();
    for (word, input) in [(target.file(&bytes), &b""[..]), ("-".to_owned(), &bytes)] {
        let said = target.install(&word, input);
        assert_eq!(said.reason(), Some(DeltaBase.as_str()), "{}", said.err);
        target.is_right_so_far("other new bytes");
        assert!(target.bench.firm_ground()[2..] == firm[2..]);
    }
    target.bench.patch_disk(target.bench.slot_offset("a"), &target.before);
    let other = changed(&target, |d| d.from.body = d.from.body.replace("1.0.0", "1.0.9"));
    target.refuses("for another base", &other, DeltaBase);
    let mut flipped = target.draft.bytes();
    *flipped.last_mut().unwrap() ^= 1;
    target.refuses("a byte that was changed on its way", &flipped, ChunkCorrupt);
    let purpose = changed(&target, |d| d.purpose = 2);
    target.refuses("signed for something else", &purpose, SignatureInvalid);
    let (stored, head, table) = target.draft.stored();
    let body = target.draft.body_of((stored.len(), head, table));
    let list = Sha256::digest(&stored);
    let short = signed(&body, &list[..31], &stored, 4);
    target.refuses("half a hash", &short, HeaderInvalid);
    // And a good one is installed in this memory.
    target.install(&target.file(&target.draft.bytes()), b"").ok();
    let new = target.draft.new_image();
    assert!(target.bench.slot_bytes("a")[..new.len()] == new);
}

//! A second writer of deltas, made from docs/delta-format.md alone; it can write what the one under test
//! refuses to.

use crate::artifact::stranger::{self, Parts, raw, zeros};
use sha2::{Digest, Sha256};
use surefoot::artifact::{Delta, read_head};
use surefoot::delta::{check_blocks, nothing_follows, rebuild, release_head, same_release};
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::trust::{Trust, Verified};
use zstd_safe::{CCtx, CParameter};

/// The four streams of one batch, before compression.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    pub(crate) lengths: Vec<u8>,
    pub(crate) seeks: Vec<u8>,
    pub(crate) differences: Vec<u8>,
    pub(crate) extra: Vec<u8>,
}

/// A delta in its parts; the tests break one of them at a time.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) old: Vec<u8>,
    pub(crate) from: Parts,
    pub(crate) to: Parts,
    pub(crate) streams: Streams,
    /// Windows of the frames, as powers of two.
    pub(crate) frames: [u32; 4],
    /// What is replaced in the body: this, by that.
    pub(crate) body: Vec<(String, String)>,
    /// Behind the batch.
    pub(crate) behind: Vec<u8>,
    pub(crate) purpose: u32,
}

pub(crate) fn number(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let byte = (n & 127) as u8;
        n >>= 7;
        if n == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 128);
    }
}

impl Streams {
    pub(crate) fn zero(&mut self, len: u64) {
        number(&mut self.lengths, len << 2);
    }

    pub(crate) fn copy(&mut self, len: u64, seek: i64) {
        number(&mut self.lengths, len << 2 | 1);
        self.seek(seek);
    }

    pub(crate) fn add(&mut self, differences: &[u8], seek: i64) {
        number(&mut self.lengths, (differences.len() as u64) << 2 | 2);
        self.seek(seek);
        self.differences.extend_from_slice(differences);
    }

    pub(crate) fn extra(&mut self, bytes: &[u8]) {
        number(&mut self.lengths, (bytes.len() as u64) << 2 | 3);
        self.extra.extend_from_slice(bytes);
    }

    fn seek(&mut self, seek: i64) {
        number(&mut self.seeks, ((seek << 1) ^ (seek >> 63)).cast_unsigned());
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Old: 40,000 bytes. New: some of them, zeros, some with differences, and 5,000 of its own.
pub(crate) fn draft() -> Draft {
    draft_of(1)
}

/// The same with images that are longer than what a slot offers a bootloader first.
pub(crate) fn larger() -> Draft {
    draft_of(20)
}

fn draft_of(times: usize) -> Draft {
    let (mut old, own) = (noise(1, 40_000 * times), noise(2, 5_000 * times));
    let (begin, end, kept) = (10_000 * times, 30_000 * times, 5_000 * times);
    // Both images begin as a filesystem does.
    for at in [1_080, begin + 1_080] {
        old[at..at + 2].copy_from_slice(&[0x53, 0xef]);
    }
    let mut differences = vec![0; 9_000 * times];
    differences[700] = 3;
    differences[8_000] = 250;
    let far = |at: usize| i64::try_from(at).unwrap();
    let mut streams = Streams::default();
    streams.copy((end - begin) as u64, far(begin));
    streams.zero(4_096);
    streams.add(&differences, far(kept) - far(end));
    streams.extra(&own);
    let added = old[kept..].iter().zip(&differences).map(|(a, b)| a.wrapping_add(*b));
    let new = [raw(&old[begin..end]), zeros(4_096), raw(&added.collect::<Vec<u8>>()), raw(&own)];
    let mut to = stranger::with(new.to_vec());
    to.body = to.body.replace("version = '1.0.0'", "version = '2.0.0'");
    to.body = to.body.replace("release_counter = 5", "release_counter = 6");
    let from = stranger::with(old.chunks(9_999).map(raw).collect());
    Draft {
        old,
        from,
        to,
        streams,
        frames: [20, 20, 21, 23],
        body: Vec::new(),
        behind: Vec::new(),
        purpose: 4,
    }
}

/// One frame.
pub(crate) fn frame(bytes: &[u8], window: u32, prefix: &[u8]) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::WindowLog(window)).unwrap();
    context.set_parameter(CParameter::ContentSizeFlag(!prefix.is_empty())).unwrap();
    context.ref_prefix(prefix).unwrap();
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut out, bytes).unwrap();
    out
}

impl Draft {
    /// The image that it makes.
    pub(crate) fn new_image(&self) -> Vec<u8> {
        let plain = |piece: &stranger::Piece| match piece.codec {
            2 => vec![0; piece.plain_len as usize],
            _ => piece.stored.clone(),
        };
        self.to.pieces.iter().flat_map(plain).collect()
    }

    /// Another op in the place of the last one, which makes as many bytes.
    pub(crate) fn last_from(&mut self, op: impl FnOnce(&mut Streams, usize)) {
        let extra = std::mem::take(&mut self.streams.extra);
        let mut last = Streams::default();
        last.extra(&extra);
        let kept = self.streams.lengths.len() - last.lengths.len();
        self.streams.lengths.truncate(kept);
        op(&mut self.streams, extra.len());
    }

    /// The stored bytes.
    pub(crate) fn stored(&self) -> (Vec<u8>, usize, usize) {
        let statement = self.to.statement();
        let records: Vec<Vec<u8>> =
            self.to.signers.iter().map(|s| stranger::record(*s, &statement)).collect();
        let head = stranger::head(self.to.body.as_bytes(), &self.to.table(), &records);
        let head = &head[..head.len() - self.to.table().len()];
        let table = frame(&self.to.table(), 20, &self.from.table());
        let s = &self.streams;
        let raw = [&s.lengths, &s.seeks, &s.differences, &s.extra];
        let parts: Vec<Vec<u8>> =
            raw.iter().zip(self.frames).map(|(raw, window)| frame(raw, window, &[])).collect();
        let lens: Vec<u8> = parts
            .iter()
            .flat_map(|part| u32::try_from(part.len()).unwrap().to_le_bytes())
            .collect();
        let stored = [head, &table, &lens, &parts.concat(), &self.behind].concat();
        (stored, head.len(), table.len())
    }

    pub(crate) fn body_of(&self, (stored, head, table): (usize, usize, usize)) -> String {
        let end = |parts: &Parts, version: &str, counter: u64| {
            let digest = stranger::hex(&Sha256::digest(parts.body.as_bytes()));
            format!("version = '{version}'\nrelease_counter = {counter}\ndigest = '{digest}'\n")
        };
        let size = self.to.pieces.iter().map(|p| u64::from(p.plain_len)).sum::<u64>();
        let mut body = format!(
            "format = 2\nproduct = 'demo'\nsecurity_epoch = 0\nstored = {stored}\nhead = {head}\ntable = {table}\n\
             table_prefix = true\nwindows = [20, 20, 21, 23]\n[requires]\nupdater = '0.3.0'\n[from]\n{}[to]\n{}\
             [[payloads]]\nkind = 'rootfs'\nsize = {size}\nfrom = 0\nfrom_size = {}\n",
            end(&self.from, "1.0.0", 5),
            end(&self.to, "2.0.0", 6),
            self.old.len(),
        );
        for (this, that) in &self.body {
            assert!(body.contains(this), "{this}");
            body = body.replace(this, that);
        }
        body
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (stored, head, table) = self.stored();
        self.bytes_of(&stored, head, table)
    }

    /// With these stored bytes, signed.
    pub(crate) fn bytes_of(&self, stored: &[u8], head: usize, table: usize) -> Vec<u8> {
        let body = self.body_of((stored.len(), head, table));
        let list: Vec<u8> =
            stored.chunks(131_072).flat_map(|b| Sha256::digest(b).to_vec()).collect();
        signed(&body, &list, stored, self.purpose)
    }
}

pub(crate) fn signed(body: &str, list: &[u8], stored: &[u8], purpose: u32) -> Vec<u8> {
    let statement = stranger::statement(purpose, body.as_bytes(), list);
    let mut head = stranger::head(body.as_bytes(), list, &[stranger::record(2, &statement)]);
    head[8] = 2;
    [&head, stored].concat()
}

/// What a device does with a delta before it writes a byte, and then with what it makes.
pub(crate) fn judge(bytes: &[u8], draft: &Draft, trust: &Trust) -> Result<()> {
    let mut input = bytes;
    let delta: Verified<Delta> = read_head(&mut input)?.verify_delta(trust)?;
    let (table, stored) = (draft.from.table(), input);
    let (head, blocks) = release_head(&delta, &mut input, Some(&table))?;
    let release = head.verify(trust)?;
    same_release(&delta, &release)?;
    check_blocks(&delta, blocks, &mut input, &mut |_| Ok(()))?;
    nothing_follows(&mut input)?;
    let mut input = stored;
    let (_, blocks) = release_head(&delta, &mut input, Some(&table))?;
    let mut read = |_: usize, at: u64, buf: &mut [u8]| {
        let at = usize::try_from(at).unwrap();
        let some = draft.old.get(at..at + buf.len());
        let short = || Failure::new(ReasonCode::Io, "read behind the old image");
        buf.copy_from_slice(some.ok_or_else(short)?);
        Ok(())
    };
    rebuild(&delta, &release, blocks, &mut input, &mut read, &mut |_| Ok(()))
}

#[test]
fn what_a_stranger_wrote_is_applied() {
    let draft = draft();
    judge(&draft.bytes(), &draft, &stranger::trust(1)).unwrap();
}

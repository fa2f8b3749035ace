//! A head by pages: what is read of a source over a network where older tables are at hand. Of the table
//! only those pages are fetched that no older table has; the signed page hashes say which. Nothing is
//! believed of them: the table that comes out must have the signed digest, or the whole table is read.

use super::head::{Format, Head, Header, read_header};
use super::input::truncated;
use super::pages::{PAGE, Page, page_hashes, pages_in, records_to_bytes};
use super::{Installed, Manifest, Pages, RECORD_LEN, Unverified};

use crate::model::{Digest, Identifier, Result};
use crate::trust::{Claims, Purpose, SignatureRecord, Statement, Trust, vouch};
use std::collections::HashMap;
use std::ops::Range;

/// Bytes of the first read: header, signatures and an ordinary manifest lie in it.
const FIRST: u64 = 2048;

/// A table of at most so many bytes is read whole: another question takes longer than its bytes.
const SMALL: u64 = 16 << 10;

/// Fills a buffer with the bytes of ranges of an artifact, one after the other.
pub type ReadRanges<'a> = &'a dyn Fn(&[Range<u64>], &mut [u8]) -> Result<()>;

/// Reads the head of an artifact of `len` bytes, like [`super::read_head`], with the tables of what is
/// `known` at hand. What comes out is to be verified as any other. Reads at most the head, the page hashes,
/// and the pages a second time in the whole table, where they are not what was signed. `TRUNCATED`,
/// `NOT_AN_ARTIFACT`, `HEADER_INVALID`, and what `read` says.
pub fn read_head_by_pages(
    len: u64,
    read: ReadRanges,
    trust: &Trust,
    known: &[&Installed],
) -> Result<Unverified> {
    let mut input = Input { len, read, first: Vec::new() };
    input.first = input.get(0..len.min(FIRST), "header")?;
    let (header, fields, records) = read_header(&mut input.first.as_slice())?;
    let start = header.len() as u64;
    let body = start..start + u64::from(fields.body_len);
    let body = input.get(body, "manifest")?;
    let front = Front { header, fields, records, body };
    let table = match front.table_from_pages(&input, trust, known)? {
        Some(table) => table,
        None => input.get(front.table(), "chunk table")?,
    };
    let Front { header, fields, records, body } = front;
    Ok(Unverified::of(Head { format: fields.format, header, records, body, table }))
}

/// An artifact far away; its first bytes are here.
struct Input<'a> {
    len: u64,
    read: ReadRanges<'a>,
    first: Vec<u8>,
}

impl Input<'_> {
    fn get(&self, range: Range<u64>, what: &str) -> Result<Vec<u8>> {
        self.get_all(std::slice::from_ref(&range), what)
    }

    /// The bytes of `ranges`, in one question. `TRUNCATED` where the artifact ends before.
    fn get_all(&self, ranges: &[Range<u64>], what: &str) -> Result<Vec<u8>> {
        let here = self.first.len() as u64;
        let (mut bytes, mut asked, mut missing) = (Vec::new(), Vec::new(), 0);
        for range in ranges {
            if range.end > self.len {
                return Err(truncated(what));
            }
            // Only the first range of all can begin among the first bytes.
            let (start, end) = (range.start.min(here), range.end.min(here));
            bytes.extend_from_slice(&self.first[place(start)..place(end)]);
            if range.end > here {
                let rest = range.start.max(here)..range.end;
                missing += place(rest.end - rest.start);
                asked.push(rest);
            }
        }
        let had = bytes.len();
        bytes.resize(had + missing, 0);
        if missing > 0 {
            (self.read)(&asked, &mut bytes[had..])?;
        }
        Ok(bytes)
    }
}

/// A length or offset of something that is in memory, or will be.
fn place(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// What stands before the table, as shipped.
struct Front {
    header: Vec<u8>,
    fields: Header,
    records: Vec<SignatureRecord>,
    body: Vec<u8>,
}

impl Front {
    /// Where the table lies.
    fn table(&self) -> Range<u64> {
        let start = (self.header.len() + self.body.len()) as u64;
        start..start + u64::from(self.fields.table_len)
    }

    /// The table, made of what is known and of the pages that are not; `None` where it has to be read whole.
    fn table_from_pages(
        &self,
        input: &Input,
        trust: &Trust,
        known: &[&Installed],
    ) -> Result<Option<Vec<u8>>> {
        let len = u64::from(self.fields.table_len);
        let known: Vec<Vec<u8>> = known.iter().flat_map(|installed| tables(installed)).collect();
        // A delta has a list of hashes there, and no pages.
        let whole = self.fields.format != Format::Release;
        if whole || len <= SMALL || known.is_empty() {
            return Ok(None);
        }
        let Some((digest, block, manifest)) = self.page_block(input, trust)? else {
            return Ok(None);
        };
        let records = place(len / u64::from(RECORD_LEN));
        let Some(pages) = pages_in(&block, &manifest.payloads, records) else {
            return Ok(None);
        };
        let mut at_hand = HashMap::new();
        for table in &known {
            let mut rest = &table[..];
            for name in page_hashes(table).chunks_exact(PAGE) {
                let (page, after) = rest.split_at(usize::from(name[0]) * RECORD_LEN as usize);
                at_hand.insert(name.to_vec(), page);
                rest = after;
            }
        }
        let missing = |page: &&Page| !at_hand.contains_key(page.name);
        let mut wanted: Vec<Range<usize>> = Vec::new();
        for page in pages.iter().filter(missing) {
            match wanted.last_mut() {
                Some(last) if last.end == page.bytes.start => last.end = page.bytes.end,
                _ => wanted.push(page.bytes.clone()),
            }
        }
        let start = self.table().start;
        let ranges = wanted.iter().map(|r| start + r.start as u64..start + r.end as u64);
        let ranges: Vec<Range<u64>> = ranges.collect();
        let fetched = input.get_all(&ranges, "chunk table")?;
        let (mut table, mut rest) = (vec![0; place(len)], &fetched[..]);
        for page in &pages {
            if let Some(here) = at_hand.get(page.name) {
                table[page.bytes.clone()].copy_from_slice(here);
            }
        }
        for range in wanted {
            let (mine, after) = rest.split_at(range.len());
            table[range].copy_from_slice(mine);
            rest = after;
        }
        Ok((Digest::of(&table) == digest).then_some(table))
    }

    /// The digest of the table, the block of page hashes and the manifest, where all three are signed. Until
    /// the signatures verify, nothing is parsed: the digest behind the table is 32 bytes at a known place.
    fn page_block(
        &self,
        input: &Input,
        trust: &Trust,
    ) -> Result<Option<(Digest, Vec<u8>, Manifest)>> {
        let records = u64::from(self.fields.table_len / RECORD_LEN);
        let (begin, most) = (self.table().end, 32 + records * PAGE as u64);
        // A page has about 30 records, so most blocks come with the digest.
        let guess = (32 + (records / 29 + 4) * PAGE as u64).min(most);
        let end = (begin + guess).min(input.len);
        if end < begin + 32 {
            return Ok(None);
        }
        let mut block = input.get(begin..end, "page hashes")?;
        let Some((digest, _)) = block.split_first_chunk::<32>() else { return Ok(None) };
        let digest = Digest(*digest);
        let (len, purpose) = (self.fields.table_len, Purpose::Release);
        let statement = Statement::with_table_digest(purpose, &self.body, len, &digest)?;
        let parse = || Manifest::parse(&self.body).map(Signed);
        let Ok(signed) = vouch(trust, &statement, &self.records, parse) else { return Ok(None) };
        let Some(said) = signed.0.pages.filter(|pages| (32..=most).contains(&pages.size)) else {
            return Ok(None);
        };
        let size = place(said.size);
        if size > block.len() {
            block.extend(input.get(end..begin + said.size, "page hashes")?);
        }
        block.truncate(size);
        Ok((Pages::of(&block) == said).then(|| (digest, block, signed.0.clone())))
    }
}

/// The tables of the payloads that stand in a slot, as shipped.
fn tables(installed: &Installed) -> Vec<Vec<u8>> {
    let chunks = installed.payloads.iter().filter_map(|payload| installed.chunks_of(*payload));
    chunks.map(records_to_bytes).collect()
}

/// A manifest that is signed, of a table that is not here yet.
struct Signed(Manifest);

impl Claims for Signed {
    fn product(&self) -> &Identifier {
        &self.0.product
    }
    fn payload_kinds(&self) -> Vec<Identifier> {
        self.0.payloads.iter().map(|p| p.kind.name()).collect()
    }
    fn app(&self) -> Option<&Identifier> {
        self.0.app.as_ref()
    }
    fn security_epoch(&self) -> u32 {
        self.0.security_epoch
    }
}

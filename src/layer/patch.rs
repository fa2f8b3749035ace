//! A bundle out of its delta: its head, and each payload made and held against its SHA-256.

use super::list::FileList;
use super::old::{OldBytes, OldFiles};
use crate::artifact::{
    BundleDelta, DELTA_BLOCK_LEN, FromBundle, PayloadPatch, Release, Unverified, read_head,
};
use crate::delta::{Blocks, Piece, Player, Shape, WINDOW, carry_out};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::sys::{spare, stop};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::ops::Range;
use zstd_safe::DCtx;

/// What a zstd dictionary begins with: a decoder would not take it as plain bytes.
const DICTIONARY: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
/// The manifests and tables that a head is compressed with have so many bytes together, at the most.
pub const MAX_PREFIX: usize = 8 << 20;
/// Bytes of a layer that are made at once.
const SPAN: u64 = 1 << 20;

fn invalid(why: impl Into<String>) -> Failure {
    Failure::new(ReasonCode::DeltaInvalid, why.into())
}

/// Gives the manifest and behind it the chunk table of a bundle that is here, both as shipped.
pub type FindHead<'a> = &'a mut dyn FnMut(&FromBundle) -> Option<Vec<u8>>;

/// Reads the head of the bundle from the first stored blocks: `input` stands at the first one. It is what the delta's
/// signers have signed; that the bundle's own signers have signed it is not known yet. `DELTA_BASE` where a bundle is
/// not here whose head is needed.
pub fn bundle_head(
    delta: &BundleDelta,
    input: &mut dyn Read,
    find: FindHead<'_>,
) -> Result<Unverified> {
    let said = &delta.manifest;
    let mut prefix = Vec::new();
    for from in said.from.iter().filter(|_| said.head_prefix) {
        let head = find(from).filter(|head| prefix.len() + head.len() <= MAX_PREFIX);
        let head = head.ok_or_else(|| {
            let detail = format!("the head of {} {} is not here", from.app, from.version);
            Failure::new(ReasonCode::DeltaBase, detail).with_next("Install the whole bundle.")
        })?;
        prefix.extend_from_slice(&head);
    }
    let mut blocks = Blocks::part(0..u64::from(said.head));
    let bytes = unpack(delta, &mut blocks, input, (said.head, said.head_len), &prefix)?;
    if Digest::of(&bytes) != said.head_sha256 {
        let detail = "the head of the bundle does not come out as signed";
        return Err(Failure::new(ReasonCode::DeltaBase, detail));
    }
    let mut rest = &bytes[..];
    let head = read_head(&mut rest)?;
    match rest.is_empty() {
        true => Ok(head),
        false => Err(invalid("there are bytes behind the head of the bundle")),
    }
}

/// One frame with its content size, decoded in one call.
fn unpack(
    delta: &BundleDelta,
    blocks: &mut Blocks,
    input: &mut dyn Read,
    (stored_len, len): (u32, u32),
    prefix: &[u8],
) -> Result<Vec<u8>> {
    let (mut stored, mut plain) = (Vec::new(), Vec::new());
    spare::resize(&mut stored, stored_len as usize)?;
    blocks.read(&delta.blocks, input, &mut stored)?;
    spare::resize(&mut plain, len as usize)?;
    if prefix.starts_with(&DICTIONARY) {
        return Err(invalid("a prefix that begins as a dictionary does"));
    }
    let memory = || Failure::new(ReasonCode::NoMemory, "a list needs a decoder");
    let mut context = DCtx::try_create().ok_or_else(memory)?;
    let made = context.decompress_using_dict(&mut plain[..], &stored, prefix);
    let made =
        made.map_err(|code| invalid(format!("zstd: {}", zstd_safe::get_error_name(code))))?;
    match made == plain.len() {
        true => Ok(plain),
        false => Err(invalid("a head or a list has another length than is signed")),
    }
}

/// Whether a bundle is the one that the delta makes. `DELTA_INVALID` where it is not.
pub fn same_bundle(delta: &BundleDelta, release: &Release) -> Result<()> {
    let (said, found) = (&delta.manifest, &release.manifest);
    let payloads = said.payloads.iter().map(|p| (&p.kind, p.size, &p.sha256));
    let same = release.body_digest() == said.to.digest
        && found.product == said.product
        && found.app.as_ref() == Some(&said.app)
        && found.version == said.to.version
        && found.release_counter == said.to.release_counter
        && found.security_epoch == said.security_epoch
        && payloads.eq(found.payloads.iter().map(|p| (&p.kind, p.size, &p.sha256)));
    if same { Ok(()) } else { Err(invalid("it carries another bundle than it names")) }
}

/// Where in the file reading has to begin for payload `index`: the block that has its first stored byte.
pub fn patch_offset(delta: &BundleDelta, index: usize) -> u64 {
    delta.stored_offset() + Blocks::part(delta.stored_of(index)).taken(&delta.blocks)
}

/// All bytes of the file that are read for payload `index`: whole blocks.
pub fn patch_range(delta: &BundleDelta, index: usize) -> Range<u64> {
    let start = patch_offset(delta, index);
    let end = delta.stored_of(index).end.next_multiple_of(u64::from(DELTA_BLOCK_LEN));
    start..delta.stored_offset() + end.min(delta.blocks.len)
}

/// A payload that is being made: a reader of its bytes, whose last ones come only when all of them are known to be
/// right. Errors of the reader carry their [`Failure`].
pub struct Making<'a> {
    delta: &'a BundleDelta,
    input: Box<dyn Read + 'a>,
    player: Player,
    old: Option<OldBytes<'a>>,
    /// The payload's length and SHA-256.
    size: u64,
    want: Digest,
    hash: Sha256,
    /// Bytes that were made, and those that are at hand: which of them was handed out.
    made: u64,
    span: Vec<u8>,
    at: usize,
    pieces: Vec<Piece>,
    window: Vec<u8>,
    failed: Option<Failure>,
}

impl<'a> Making<'a> {
    /// Begins payload `index`. Every old file is read and hashed before this returns, so that `DELTA_BASE` comes here
    /// and not in the middle of a layer. `input` stands at [`patch_offset`]. `DELTA_BASE` also where the delta does not
    /// carry it, as the device should have it.
    pub fn begin(
        delta: &'a BundleDelta,
        index: usize,
        mut input: Box<dyn Read + 'a>,
        from: &'a dyn OldFiles,
    ) -> Result<Making<'a>> {
        let none = || Failure::new(ReasonCode::Internal, "a payload behind the last one");
        let plan = delta.manifest.payloads.get(index).ok_or_else(none)?;
        let patch = plan.patch.as_ref().ok_or_else(|| {
            let detail = format!(
                "layer {} is not in the delta, and not here",
                &plan.sha256.to_string()[..12]
            );
            Failure::new(ReasonCode::DeltaBase, detail).with_next("Install the whole bundle.")
        })?;
        let mut blocks = Blocks::part(delta.stored_of(index));
        let old = old_bytes(delta, patch, &mut blocks, &mut input, from)?;
        let files = old.as_ref().map_or(Vec::new(), |old| old.ends().to_vec());
        let images = vec![(plan.size, patch.from_size)];
        let player = Player::of(Shape { windows: delta.manifest.windows, images, files }, blocks)?;
        let mut window = Vec::new();
        spare::resize(&mut window, WINDOW)?;
        Ok(Making {
            delta,
            input,
            player,
            old,
            size: plan.size,
            want: plan.sha256,
            hash: Sha256::new(),
            made: 0,
            span: Vec::new(),
            at: 0,
            pieces: Vec::new(),
            window,
            failed: None,
        })
    }

    /// All of a payload that is small.
    pub fn to_end(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(span) = self.next_span()? {
            bytes.try_reserve(span.len()).map_err(|_| no_memory())?;
            bytes.extend_from_slice(span);
        }
        Ok(bytes)
    }

    /// Makes the next bytes; `None` behind the last ones.
    fn next_span(&mut self) -> Result<Option<&[u8]>> {
        if self.made == self.size {
            return Ok(None);
        }
        stop::look()?;
        let step = (self.size - self.made).min(SPAN);
        // At most 1 MiB, so it fits.
        let len = usize::try_from(step).unwrap_or(0);
        spare::resize(&mut self.span, len)?;
        self.span.truncate(len);
        let (stored, place) = (&self.delta.blocks, (0, self.made));
        self.player.bring(stored, &mut *self.input, place, &mut self.span, &mut self.pieces)?;
        let old_len = self.old.as_ref().and_then(|old| old.ends().last().copied()).unwrap_or(0);
        let mut read = |at: u64, buf: &mut [u8]| match &mut self.old {
            Some(old) => old.read(at, buf),
            None => Err(invalid("old bytes where there are none")),
        };
        carry_out(&mut self.pieces, &mut self.span, (old_len, 1), &mut self.window, &mut read)?;
        self.hash.update(&self.span);
        self.made += step;
        if self.made == self.size {
            self.player.finish(stored, &mut *self.input)?;
            let found = Digest(self.hash.finalize_reset().into());
            if found != self.want {
                let want = &self.want.to_string()[..12];
                let detail = format!("payload {want} does not come out as signed");
                return Err(Failure::new(ReasonCode::DeltaBase, detail));
            }
        }
        Ok(Some(&self.span))
    }
}

fn no_memory() -> Failure {
    Failure::new(ReasonCode::NoMemory, "a payload of a bundle")
}

fn old_bytes<'a>(
    delta: &BundleDelta,
    patch: &'a PayloadPatch,
    blocks: &mut Blocks,
    input: &mut dyn Read,
    from: &'a dyn OldFiles,
) -> Result<Option<OldBytes<'a>>> {
    if patch.list == 0 {
        return Ok(None);
    }
    let list = unpack(delta, blocks, input, (patch.list, patch.list_len), &[])?;
    let list = FileList::parse(&list, patch.sources.len())?;
    OldBytes::check(list, &patch.sources, from, patch.from_size).map(Some)
}

impl Read for Making<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if let Some(failure) = &self.failed {
            return Err(std::io::Error::other(failure.clone()));
        }
        if self.at == self.span.len() && !buf.is_empty() {
            self.at = 0;
            match self.next_span() {
                Ok(Some(_)) => {}
                Ok(None) => self.span.clear(),
                Err(failure) => {
                    self.span.clear();
                    self.failed = Some(failure.clone());
                    return Err(std::io::Error::other(failure));
                }
            }
        }
        let some = (self.span.len() - self.at).min(buf.len());
        buf[..some].copy_from_slice(&self.span[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}

/// Makes payload `index` and writes it to `out`. `input` stands at [`patch_offset`].
pub fn apply(
    delta: &BundleDelta,
    index: usize,
    input: &mut dyn Read,
    from: &dyn OldFiles,
    out: &mut dyn Write,
) -> Result<()> {
    let mut making = Making::begin(delta, index, Box::new(input), from)?;
    while let Some(span) = making.next_span()? {
        let written = out.write_all(span);
        written.map_err(|e| Failure::new(ReasonCode::Io, format!("writing a payload: {e}")))?;
    }
    Ok(())
}

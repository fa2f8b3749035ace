//! The new release's head, out of a delta; and the delta's own bytes checked to the end.

use super::blocks::read_exactly;
use super::stream::invalid;
use super::{Blocks, Player, WINDOW, carry_out};
use crate::artifact::{
    Delta, MAX_CHUNK_LEN, Release, StoredBlocks, Unverified, announced_table, join_head,
};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::sys::spare;
use std::io::Read;
use zstd_safe::DCtx;

/// What a zstd dictionary begins with: a decoder would not take it as plain bytes.
const DICTIONARY: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// Reads the new release's head from the first stored blocks. `old_table` is the old release's chunk
/// table as shipped, if it is at hand. Nothing of it is verified yet but that it is what the delta's
/// signers have signed.
pub fn release_head(
    delta: &Delta,
    input: &mut dyn Read,
    old_table: Option<&[u8]>,
) -> Result<(Unverified, Blocks)> {
    let (manifest, mut blocks) = (&delta.manifest, Blocks::default());
    let (mut begin, mut stored) = (Vec::new(), Vec::new());
    spare::resize(&mut begin, manifest.head as usize)?;
    blocks.read(&delta.blocks, input, &mut begin)?;
    spare::resize(&mut stored, manifest.table as usize)?;
    blocks.read(&delta.blocks, input, &mut stored)?;
    let prefix = match (manifest.table_prefix, old_table) {
        (false, _) => &[][..],
        (true, Some(table)) => table,
        (true, None) => {
            let detail = "the chunk table of the running release is not at hand";
            return Err(Failure::new(ReasonCode::DeltaBase, detail));
        }
    };
    if prefix.starts_with(&DICTIONARY) {
        return Err(invalid("a table that begins as a dictionary does"));
    }
    let mut table = Vec::new();
    spare::resize(&mut table, announced_table(&begin)?)?;
    let memory = || Failure::new(ReasonCode::NoMemory, "a table needs a decoder");
    let mut context = DCtx::try_create().ok_or_else(memory)?;
    let made = context.decompress_using_dict(&mut table[..], &stored, prefix);
    let made = made.map_err(|code| {
        invalid(format!("the new table: zstd: {}", zstd_safe::get_error_name(code)))
    })?;
    if made != table.len() {
        return Err(invalid("the new table has another length"));
    }
    Ok((join_head(&begin, table)?, blocks))
}

/// Whether a release is the one that the delta makes. `DELTA_INVALID` where it is not.
pub fn same_release(delta: &Delta, release: &Release) -> Result<()> {
    let (said, found) = (&delta.manifest, &release.manifest);
    let payloads = said.payloads.iter().map(|p| (&p.kind, p.size));
    let same = release.body_digest() == said.to.digest
        && found.product == said.product
        && found.version == said.to.version
        && found.release_counter == said.to.release_counter
        && found.security_epoch == said.security_epoch
        && payloads.eq(found.payloads.iter().map(|p| (&p.kind, p.size)));
    if same { Ok(()) } else { Err(invalid("it carries another release than it names")) }
}

/// Reads all stored blocks and compares their hashes, and checks that nothing follows: `input` stands at the
/// first one. `CHUNK_CORRUPT`, `TRUNCATED`, `TRAILING_BYTES`.
pub fn stored_only(stored: &StoredBlocks, input: &mut dyn Read) -> Result<()> {
    let (mut blocks, mut bytes) = (Blocks::default(), Vec::new());
    for index in 0..stored.hashes.len() {
        spare::resize(&mut bytes, stored.block_len(index))?;
        bytes.truncate(stored.block_len(index));
        blocks.read(stored, input, &mut bytes)?;
    }
    nothing_follows(input)
}

/// `TRAILING_BYTES` unless `input` has come to its end.
pub fn nothing_follows(input: &mut dyn Read) -> Result<()> {
    match read_exactly(input, &mut [0]) {
        Err(end) if end.code() == ReasonCode::Truncated => Ok(()),
        Err(failure) => Err(failure),
        Ok(()) => {
            let detail = "there are bytes after the last stored block";
            Err(Failure::new(ReasonCode::TrailingBytes, detail))
        }
    }
}

/// Reads all stored blocks behind the new release's head, decodes every op and drops what it makes: a
/// delta that is damaged, or that its signers have made wrong, is found before anything is written.
/// `input` stands where `blocks` has read to. `done` hears of the image bytes that are passed.
pub fn check_blocks(
    delta: &Delta,
    blocks: Blocks,
    input: &mut dyn Read,
    done: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    const STEP: u64 = 8 << 20;
    let mut player = Player::new(delta, blocks)?;
    let mut nothing = Vec::new();
    for (index, payload) in delta.manifest.payloads.iter().enumerate() {
        let mut at = 0;
        while at < payload.size {
            let step = (payload.size - at).min(STEP);
            at += step;
            player.bring(&delta.blocks, input, (index, at), &mut [], &mut nothing)?;
            done(step)?;
        }
    }
    player.finish(&delta.blocks, input)
}

/// Fills a buffer with old bytes: of which payload of the new release, and from where in the old image.
pub type ReadOld<'a> = &'a mut dyn FnMut(usize, u64, &mut [u8]) -> Result<()>;

/// Makes every byte of the new release and holds each chunk against its signed hash; nothing is kept.
/// `DELTA_BASE` where what comes out is not what was signed, and what the others say.
pub fn rebuild(
    delta: &Delta,
    release: &Release,
    blocks: Blocks,
    input: &mut dyn Read,
    read_old: ReadOld<'_>,
    done: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut player = Player::new(delta, blocks)?;
    let (mut plain, mut pieces, mut window) = (Vec::new(), Vec::new(), Vec::new());
    spare::resize(&mut window, WINDOW)?;
    for (index, payload) in release.manifest.payloads.iter().enumerate() {
        let old_len = delta.manifest.payloads[index].from_size;
        let mut at = 0;
        for (number, chunk) in release.chunks_of(payload).iter().enumerate() {
            let end = at + u64::from(chunk.plain_len);
            while at < end {
                let step = (end - at).min(u64::from(MAX_CHUNK_LEN));
                // At most 1 MiB, so it fits.
                spare::resize(&mut plain, usize::try_from(step).unwrap_or(0))?;
                plain.truncate(usize::try_from(step).unwrap_or(0));
                player.bring(&delta.blocks, input, (index, at), &mut plain, &mut pieces)?;
                let mut read = |at: u64, buf: &mut [u8]| read_old(index, at, buf);
                carry_out(&mut pieces, &mut plain, (old_len, 1), &mut window, &mut read)?;
                let same = match chunk.is_zero() {
                    true => plain.iter().all(|byte| *byte == 0),
                    false => Digest::of(&plain) == chunk.plain,
                };
                if !same {
                    let detail =
                        format!("payload {index}, chunk {number} does not come out as signed");
                    return Err(Failure::new(ReasonCode::DeltaBase, detail));
                }
                at += step;
                done(step)?;
            }
        }
    }
    player.finish(&delta.blocks, input)
}

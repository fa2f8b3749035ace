//! Context: the plain bytes before a chunk that its frame refers to. They are those of the data chunks
//! before it, back to back; runs of zeros between them do not count.

use super::{Chunk, Codec, MAX_CONTEXT_LEN};
use crate::model::{Failure, ReasonCode, Result};
use std::collections::VecDeque;

/// For each of a payload's chunks, the first chunk of its context: its own index where it has none.
/// A context that begins before the payload is cut there; no table that was parsed has one.
pub fn context_starts(chunks: &[Chunk]) -> Vec<usize> {
    let mut data: Vec<usize> = Vec::new();
    let mut starts = Vec::with_capacity(chunks.len());
    for (index, chunk) in chunks.iter().enumerate() {
        starts.push(match chunk.codec {
            Codec::Context { chunks } => {
                let first = data.len().saturating_sub(usize::from(chunks));
                data.get(first).copied().unwrap_or(index)
            }
            _ => index,
        });
        if !chunk.is_zero() {
            data.push(index);
        }
    }
    starts
}

/// What is wrong with the contexts of a payload's chunks, with the chunk's index in it.
pub(super) fn check_contexts(chunks: &[Chunk]) -> std::result::Result<(), (usize, &'static str)> {
    // Plain bytes of the data chunks before each data chunk, and of all.
    let mut sums = vec![0u64];
    for (index, chunk) in chunks.iter().enumerate() {
        let (before, all) = (sums.len() - 1, sums[sums.len() - 1]);
        if let Codec::Context { chunks } = chunk.codec {
            let Some(first) = before.checked_sub(usize::from(chunks)) else {
                return Err((index, "a context that begins before its payload"));
            };
            if all - sums[first] > u64::from(MAX_CONTEXT_LEN) {
                return Err((index, "a context of more than 4 MiB"));
            }
        }
        if !chunk.is_zero() {
            sums.push(all + u64::from(chunk.plain_len));
        }
    }
    Ok(())
}

/// The plain bytes of the last data chunks, for who decodes a payload from its first chunk on. Holds
/// what the longest context of the payload needs, 4 MiB at the most.
pub struct History {
    bytes: Vec<u8>,
    lens: VecDeque<usize>,
    /// The sum of `lens`.
    held: usize,
    most: usize,
}

impl History {
    /// Empty, for these chunks of one payload.
    pub fn of(chunks: &[Chunk]) -> History {
        // Plain bytes of the data chunks before each: one look at a table of any contexts.
        let mut sums = vec![0];
        for chunk in chunks {
            let len = if chunk.is_zero() { 0 } else { chunk.plain_len as usize };
            sums.push(sums[sums.len() - 1] + len);
        }
        let starts = context_starts(chunks);
        let most = starts.iter().enumerate().map(|(index, start)| sums[index] - sums[*start]);
        let most = most.max().unwrap_or(0);
        History { bytes: Vec::new(), lens: VecDeque::new(), held: 0, most }
    }

    /// The context of `chunk`, the next one. `TABLE_INVALID` where it begins before the first.
    pub fn context(&self, chunk: &Chunk) -> Result<&[u8]> {
        let Codec::Context { chunks } = chunk.codec else { return Ok(&[]) };
        let count = usize::from(chunks);
        if count > self.lens.len() {
            let detail = "a context that begins before its payload";
            return Err(Failure::new(ReasonCode::TableInvalid, detail));
        }
        let len: usize = self.lens.iter().rev().take(count).sum();
        Ok(&self.bytes[self.bytes.len() - len..])
    }

    /// The next data chunk, decoded and checked.
    pub fn push(&mut self, plain: &[u8]) -> Result<()> {
        if self.most == 0 {
            return Ok(());
        }
        let failed = |_| Failure::new(ReasonCode::NoMemory, "a context needs up to 8 MiB");
        self.bytes.try_reserve(plain.len()).map_err(failed)?;
        self.bytes.extend_from_slice(plain);
        self.lens.push_back(plain.len());
        self.held += plain.len();
        while self.held > self.most {
            self.held -= self.lens.pop_front().unwrap_or(self.held);
        }
        // Moved once for each length of a context, not once for each chunk.
        if self.bytes.len() > 2 * self.most {
            self.bytes.drain(..self.bytes.len() - self.held);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn chunk(plain_len: u32, codec: Codec) -> Chunk {
        Chunk { plain_len, stored_len: 1, codec, plain: Digest([1; 32]), stored: Digest([2; 32]) }
    }

    fn back(plain_len: u32, chunks: u16) -> Chunk {
        chunk(plain_len, Codec::Context { chunks })
    }

    #[test]
    fn zeros_are_passed_when_chunks_are_counted_back() {
        let chunks = [
            chunk(5, Codec::Raw),
            chunk(9, Codec::Zero),
            back(6, 1),
            chunk(9, Codec::Zero),
            back(7, 2),
            back(8, 1),
            chunk(1, Codec::Zstd),
        ];
        assert_eq!(context_starts(&chunks), [0, 1, 0, 3, 0, 4, 6]);
        assert_eq!(check_contexts(&chunks), Ok(()));
        let mut history = History::of(&chunks);
        let mut contexts = Vec::new();
        for c in chunks.iter().filter(|c| !c.is_zero()) {
            contexts.push(history.context(c).unwrap().to_vec());
            let plain = vec![u8::try_from(c.plain_len).unwrap(); c.plain_len as usize];
            history.push(&plain).unwrap();
        }
        let (five, six, seven) = (vec![5; 5], vec![6; 6], vec![7; 7]);
        assert_eq!(contexts, [vec![], five.clone(), [five, six].concat(), seven, vec![]]);
    }

    #[test]
    fn a_context_stays_in_its_payload_and_below_its_limit() {
        let mib = 1 << 20;
        let early = [chunk(5, Codec::Raw), chunk(5, Codec::Zero), back(5, 2)];
        assert_eq!(check_contexts(&early).unwrap_err().0, 2);
        assert!(History::of(&early).context(&early[2]).is_err());
        let mut long = vec![chunk(mib, Codec::Raw); 5];
        long.push(back(5, 4));
        assert_eq!(check_contexts(&long), Ok(()));
        long.push(back(5, 5));
        assert_eq!(check_contexts(&long).unwrap_err().0, 6);
        // An endless context: what is held stays bounded.
        let mut chunks = vec![chunk(mib, Codec::Raw); 4];
        chunks.extend(vec![back(mib, 4); 40]);
        let mut history = History::of(&chunks);
        for c in &chunks {
            assert_eq!(history.context(c).unwrap().len() % mib as usize, 0);
            history.push(&vec![0; mib as usize]).unwrap();
            assert!(history.bytes.len() <= 8 << 20);
        }
    }
}

//! The stream of what a container prints: frames with a head of eight bytes, the stream's number and the length.

/// Takes bytes as they come, and gives those of the frames.
#[derive(Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    left: u64,
}

impl Frames {
    /// Gives `sink` what the frames in `bytes` hold; `false` from it ends this. An error where they are no frames.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool, &'static str> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let most = usize::try_from(self.left).map_or(bytes.len(), |n| n.min(bytes.len()));
                let (now, rest) = bytes.split_at(most);
                (self.left, bytes) = (self.left - now.len() as u64, rest);
                if !sink(now) {
                    return Ok(false);
                }
                continue;
            }
            let (now, rest) = bytes.split_at((8 - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(now);
            bytes = rest;
            if let [stream, a, b, c, len @ ..] = self.head.as_slice()
                && let Ok(len) = <[u8; 4]>::try_from(len)
            {
                if *stream > 2 || [*a, *b, *c] != [0; 3] {
                    return Err("its stream has a frame of no known kind");
                }
                self.left = u32::from_be_bytes(len).into();
                self.head.clear();
            }
        }
        Ok(true)
    }

    /// Whether the stream may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.head.is_empty() && self.left == 0
    }
}

/// The longest line that is kept as one; a longer one becomes several.
const LINE_MAX: usize = 16 << 10;

/// Makes lines of pieces.
#[derive(Default)]
pub(super) struct LinesOf(Vec<u8>);

impl LinesOf {
    /// Gives each line with its line feed.
    pub(super) fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            for piece in piece.chunks(LINE_MAX) {
                self.0.extend_from_slice(piece);
                if (self.0.ends_with(b"\n") || self.0.len() >= LINE_MAX) && !self.end(line) {
                    return false;
                }
            }
        }
        true
    }

    /// What is left, as the last line.
    pub(super) fn end(&mut self, line: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let last = std::mem::take(&mut self.0);
        last.is_empty() || line(&last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut out = vec![stream, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(text);
        out
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_come() {
        let all = [frame(1, b"one\ntw"), frame(2, b""), frame(2, b"o\nlast")].concat();
        for size in 1..=all.len() {
            let (mut frames, mut lines, mut got) =
                (Frames::default(), LinesOf::default(), Vec::new());
            let mut line = |l: &[u8]| {
                got.push(l.to_vec());
                true
            };
            for piece in all.chunks(size) {
                assert_eq!(frames.feed(piece, &mut |b| lines.feed(b, &mut line)), Ok(true));
            }
            assert!(frames.is_whole() && lines.end(&mut line));
            assert_eq!(got, [b"one\n".to_vec(), b"two\n".to_vec(), b"last".to_vec()], "{size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error_and_a_cut_one_is_not_whole() {
        assert!(Frames::default().feed(b"plain text", &mut |_| true).is_err());
        let all = frame(1, b"text");
        for len in 1..all.len() {
            let mut frames = Frames::default();
            frames.feed(&all[..len], &mut |_| true).unwrap();
            assert!(!frames.is_whole(), "{len}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_in_pieces() {
        let (mut lines, mut longest, mut sum) = (LinesOf::default(), 0, 0);
        let mut line = |l: &[u8]| {
            (longest, sum) = (longest.max(l.len()), sum + l.len());
            true
        };
        for _ in 0..100 {
            assert!(lines.feed(&[b'x'; 10_000], &mut line));
        }
        assert!(lines.end(&mut line));
        assert!(longest < 2 * LINE_MAX && sum == 1_000_000, "{longest} {sum}");
    }
}

//! Where the writer cuts is frozen: a cut that moves costs every device one full download.

use super::cuts;
use crate::artifact::{Codec, Cutter, Decoder, History, Piece, read_head};
use crate::model::Digest;
use crate::trust::Trust;
use std::io::{Cursor, Read};

const GOLDEN: &[u8] = include_bytes!("../../artifacts/format-1/golden.surefoot");
const TRUST: &str = include_str!("../../artifacts/test-keys/trust.toml");

#[test]
fn the_images_of_the_golden_artifact_are_cut_where_they_were() {
    let mut input = GOLDEN;
    let release = read_head(&mut input).unwrap().verify(&Trust::parse(TRUST).unwrap()).unwrap();
    release.pass_pages(&mut input).unwrap();
    let average = release.manifest.provenance.chunk_size.unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut files = 0;
    for payload in &release.manifest.payloads {
        let chunks = release.chunks_of(payload);
        let (mut image, mut history) = (Vec::new(), History::of(chunks));
        for chunk in chunks {
            let mut plain = vec![0; chunk.plain_len as usize];
            if chunk.codec != Codec::Zero {
                let mut stored = vec![0; chunk.stored_len as usize];
                input.read_exact(&mut stored).unwrap();
                let context = history.context(chunk).unwrap();
                decoder.decode(chunk, context, &stored, &mut plain).unwrap();
                history.push(&plain).unwrap();
            }
            image.extend(plain);
        }
        let cuts = cuts::cuts(&mut Cursor::new(&image), image.len() as u64);
        files += cuts.len();
        let mut cutter = Cutter::new(&image[..], average).at(cuts);
        let pieces = std::iter::from_fn(|| cutter.next_piece().unwrap()).map(|piece| match piece {
            Piece::Zeros(len) => (u64::from(len), Digest([0; 32])),
            Piece::Data(bytes) => (bytes.len() as u64, Digest::of(&bytes)),
        });
        let was: Vec<_> = chunks.iter().map(|c| (u64::from(c.plain_len), c.plain)).collect();
        assert_eq!(pieces.collect::<Vec<_>>(), was);
    }
    assert!(files >= 3, "the larger files of the root filesystem are cut out: {files}");
}

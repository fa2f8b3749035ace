//! Properties of artifacts for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::write::{Draft, Image, Packing, pack as pack_images};
use super::{
    Chunk, ChunkTable, Codec, Cuts, Decoder, History, MAX_BODY_LEN, MAX_CHUNK_LEN, Manifest, Pages,
    Provenance, RECORD_LEN, Unverified, check_payload, image_digest, page_block, read_head,
    read_record,
};
use crate::model::Digest;
use crate::trust::{PublicKey, Trust};
use ed25519_dalek::{Signer, SigningKey};
use std::cell::RefCell;
use std::sync::LazyLock;

static TRUST: LazyLock<Trust> =
    LazyLock::new(|| Trust::parse(include_str!("../../artifacts/test-keys/trust.toml")).unwrap());
static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let text = include_str!("../../artifacts/test-keys/release.key");
    let hex = text.split(|c: char| !c.is_ascii_hexdigit()).find(|w| w.len() == 64).expect("a key");
    SigningKey::from_bytes(&hex.parse::<Digest>().unwrap().0)
});

fn use_it(head: Unverified, mut rest: &[u8]) {
    let _ = head.statement();
    let off = usize::try_from(head.rest_offset()).unwrap();
    let _ = head.clone().verify(&TRUST).map(|_| ());
    let bytes = head.to_bytes();
    // What follows are the page hashes, of a head that was made here.
    assert_eq!(read_head(&mut &bytes[..]).expect("reads back").to_bytes(), bytes[..off]);
    let Ok(release) = head.parse_unverified() else { return };
    let _ = release.artifact_len();
    for (n, p) in release.manifest.payloads.iter().enumerate() {
        let _ = (release.chunks_of(p).len(), release.stored_offset_of(p));
        if let Ok(r) = release.record(&[n], 1024 * 1024 - 20) {
            let _ = read_record(&r, &TRUST);
        }
    }
    let _ = release.manifest.select(None);
    let plain: u64 = release.manifest.payloads.iter().map(|p| p.size).sum();
    if plain < 8 << 20 {
        let _ = check_payload(&release, &mut rest, &|_| ());
    }
}

/// A head that anybody has made, and one behind a good signature: what is read prints and reads back.
pub fn artifact(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if mode & 1 == 0 {
        let mut rest = data;
        if let Ok(head) = read_head(&mut rest) {
            use_it(head, rest);
        }
        let _ = read_record(data, &TRUST);
        return;
    }
    // Behind the signature: [body length u16][records u8][body][table][payload], signed here.
    if data.len() < 3 {
        return;
    }
    let len = usize::from(u16::from_le_bytes([data[0], data[1]])).min(MAX_BODY_LEN as usize);
    let n = usize::from(data[2]);
    let data = &data[3..];
    if data.len() < len + n * RECORD_LEN as usize {
        return;
    }
    let (body, rest) = data.split_at(len);
    let (table, payload) = rest.split_at(n * RECORD_LEN as usize);
    let mut body = body.to_vec();
    if mode & 2 != 0
        && let (Ok(mut m), Ok(t)) = (Manifest::parse(&body), ChunkTable::parse(table))
    {
        let mut next = 0usize;
        for p in &mut m.payloads {
            let c = (p.chunks as usize).clamp(1, t.chunks.len().saturating_sub(next).max(1));
            let Some(chunks) = t.chunks.get(next..next + c) else { return };
            (p.first_chunk, p.chunks) = (next as u32, c as u32);
            p.size = chunks.iter().map(|c| u64::from(c.plain_len)).sum();
            p.stored_size = chunks.iter().map(|c| u64::from(c.stored_len)).sum();
            p.digest = image_digest(chunks.iter().map(|c| (c.plain_len, c.plain)));
            next += c;
        }
        if mode & 4 != 0 {
            m.pages = Some(Pages::of(&page_block(&t.to_bytes(), &m.payloads)));
        }
        if let Ok(text) = toml::to_string(&m) {
            body = text.into_bytes();
        }
    }
    let Ok(mut head) = Unverified::from_parts(body, table.to_vec()) else { return };
    let sig = KEY.sign(head.statement().unwrap().as_bytes()).to_bytes();
    head.add_signature(&PublicKey::from_bytes(KEY.verifying_key().as_bytes()).unwrap(), sig)
        .unwrap();
    if let Ok(v) = head.clone().verify(&TRUST) {
        let all: Vec<usize> = (0..v.manifest.payloads.len()).collect();
        for n in 0..all.len() {
            if let Ok(r) = v.record(&all[n..], 1024 * 1024 - 20) {
                let installed =
                    read_record(&r, &TRUST).expect("the record of a verified release reads back");
                assert!(format!("{:?}", installed.manifest) == format!("{:?}", v.manifest));
            }
        }
    }
    use_it(head, payload);
}

/// A manifest or a trust file: what is read can be written and means the same.
pub fn manifest(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if mode & 1 == 1 {
        if let Ok(t) =
            std::str::from_utf8(data).map_err(|_| ()).and_then(|t| Trust::parse(t).map_err(|_| ()))
        {
            for k in t.keys() {
                let _ = (t.key(&k.id), t.is_revoked(&k.id));
            }
        }
        return;
    }
    if let Ok(m) = Manifest::parse(data) {
        let text = toml::to_string(&m).expect("a manifest that was read can be written");
        let n = Manifest::parse(text.as_bytes())
            .unwrap_or_else(|e| panic!("written manifest is refused: {e}\n{text}"));
        // NaN in hints is not equal to itself.
        if format!("{m:?}") != format!("{n:?}") {
            panic!("differ\n{m:?}\n{n:?}");
        }
        let _ = m.select(None);
    }
}

thread_local!(static DEC: RefCell<Decoder> = RefCell::new(Decoder::new().unwrap()));
/// A stored chunk or a table: what decodes here decodes elsewhere to the same.
pub fn chunk(data: &[u8]) {
    if data.len() < 5 {
        return;
    }
    let mode = data[0];
    if mode & 0x80 != 0 {
        if let Ok(t) = ChunkTable::parse(&data[1..]) {
            assert_eq!(t.to_bytes(), &data[1..], "one spelling of a table");
        }
        return;
    }
    let mut len = u32::from_le_bytes([data[1], data[2], data[3], 0]);
    let (context, stored) = match mode & 4 {
        0 => (&[][..], &data[4..]),
        // [context length / 8 u8][context][stored]
        _ => data[5..].split_at((usize::from(data[4]) * 8).min(data.len() - 5)),
    };
    if mode & 1 != 0
        && let Ok(Some(n)) = zstd_safe::get_frame_content_size(stored)
    {
        len = u32::try_from(n).unwrap_or(u32::MAX);
    }
    let len = len.min(MAX_CHUNK_LEN);
    let codec = match mode & 6 {
        0 => Codec::Zstd,
        4 => Codec::Context { chunks: 1 },
        _ => Codec::Raw,
    };
    // Elsewhere: a decoder that was never used, told that the context is plain bytes.
    let mut other = vec![0u8; len as usize + 4096];
    let mut elsewhere = zstd_safe::DCtx::create();
    elsewhere.ref_prefix(context).unwrap();
    let n = elsewhere.decompress(&mut other[..], stored);
    let plain = n.map_or(Digest([1; 32]), |n| Digest::of(&other[..n]));
    let stored_len = stored.len() as u32;
    let stored_hash = Digest::of(stored);
    let chunk = Chunk { plain_len: len, stored_len, codec, plain, stored: stored_hash };
    let mut out = vec![0x5au8; len as usize];
    if codec == Codec::Raw && stored.len() != len as usize {
        return;
    }
    let r = DEC.with(|d| d.borrow_mut().decode(&chunk, context, stored, &mut out));
    if r.is_ok() && codec != Codec::Raw {
        let n = n.expect("decodes elsewhere");
        assert!(n == len as usize && other[..n] == out[..]);
        let mut again = vec![0u8; len as usize];
        Decoder::new().unwrap().decode(&chunk, context, stored, &mut again).unwrap();
        assert!(again == out);
    }
}

/// An image that is packed, read and decoded is the same image.
pub fn pack(data: &[u8]) {
    if data.len() < 4 {
        return;
    }
    let average = 1u32 << (12 + u32::from(data[0] % 10));
    let level = 1 + i32::from(data[1] % 4);
    let context = [0, 16, 200, 4096][usize::from(data[1] >> 2) % 4] << 10;
    let mut image = Vec::new();
    for op in data[3..].chunks(4) {
        let n = usize::from(*op.get(1).unwrap_or(&1)) * if op[0] & 4 != 0 { 256 } else { 1 };
        match op[0] & 3 {
            0 => image.extend(std::iter::repeat_n(0u8, n * 64)),
            1 => image.extend_from_slice(&op[1..]),
            2 => image.extend(std::iter::repeat_n(*op.get(2).unwrap_or(&1), n)),
            _ => {
                let mut s = u64::from(*op.get(3).unwrap_or(&7)) + 1;
                image.extend((0..n).map(|_| {
                    s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (s >> 56) as u8
                }))
            }
        }
        if image.len() > 1 << 20 {
            break;
        }
    }
    let mut out = Vec::new();
    let packed = match pack_images(
        vec![Image {
            cuts: Cuts::Besides((0..20).map(|n| n * 4096 * (1 + u64::from(data[2] % 8))).collect()),
            ..Image::rootfs(&image[..])
        }],
        Packing { level, average, context, threads: 1 },
        &mut out,
        &|_| (),
    ) {
        Ok(p) => p,
        Err(e) => {
            assert!(image.is_empty(), "{e}");
            return;
        }
    };
    if image.is_empty() {
        return;
    }
    let mut hints = toml::Table::new();
    hints.insert("x".into(), toml::Value::Integer(data[2].into()));
    let draft = Draft {
        product: "demo".parse().unwrap(),
        compatible: vec!["demo".parse().unwrap()],
        version: "1.0".parse().unwrap(),
        release_counter: 1,
        security_epoch: 0,
        app: None,
        notes: None,
        provenance: Provenance::default(),
        hints,
    };
    let mut bytes = draft.head(packed).expect("head").to_bytes();
    bytes.extend_from_slice(&out);
    let mut input = &bytes[..];
    let release = read_head(&mut input).unwrap().parse_unverified().unwrap();
    let checked = check_payload(&release, &mut input, &|_| ()).expect("checks");
    assert_eq!((checked.artifact_len, checked.plain_len), (bytes.len() as u64, image.len() as u64));
    let (mut at, mut plain, mut d) = (0usize, Vec::new(), Decoder::new().unwrap());
    let mut history = History::of(&release.table.chunks);
    for c in &release.table.chunks {
        let mut buf = vec![0; c.plain_len as usize];
        let mine = &out[at..at + c.stored_len as usize];
        d.decode(c, history.context(c).unwrap(), mine, &mut buf).unwrap();
        if !c.is_zero() {
            history.push(&buf).unwrap();
        }
        at += c.stored_len as usize;
        plain.extend_from_slice(&buf);
    }
    assert!(plain == image);
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_read_of_an_artifact_reads_back() {
        crate::model::corpus::run("artifact", super::artifact);
    }

    #[test]
    fn a_manifest_and_a_trust_file_that_are_read_can_be_written() {
        crate::model::corpus::run("manifest", super::manifest);
    }

    #[test]
    fn what_decodes_here_decodes_elsewhere() {
        crate::model::corpus::run("chunk", super::chunk);
    }

    #[test]
    fn what_is_packed_unpacks() {
        crate::model::corpus::run_some("pack", super::pack, 20);
    }
}

//! A second writer of the format, made from its description alone: it shares no code with the
//! one under test, and can write what that one refuses to.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256, Sha512};
use surefoot::artifact::{check_payload, read_head};
use surefoot::model::{ReasonCode, Result};
use surefoot::trust::Trust;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn key_id(public: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"SUREFOOT-KEY-v1");
    hash.update(public);
    hash.finalize().into()
}

/// Seeds of the keys; every role as `(seed, role, extra lines)`.
pub(crate) fn trust_text(release_threshold: u32, keys: &[(u8, &str, &str)], top: &str) -> String {
    let mut text = format!(
        "format = 1\nname = 'test'\nversion = 1\n{top}\n[thresholds]\nroot = 1\nrelease = {release_threshold}\n"
    );
    for (seed, role, extra) in keys {
        let public = secret(*seed).verifying_key().to_bytes();
        text += &format!(
            "[[keys]]\nid = '{}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{}'\n{extra}\n",
            hex(&key_id(&public)),
            hex(&public)
        );
    }
    text
}

/// Root key 1, release keys 2, 3 and 4.
pub(crate) fn trust(release_threshold: u32) -> Trust {
    let keys = [(1, "root", ""), (2, "release", ""), (3, "release", ""), (4, "release", "")];
    Trust::parse(&trust_text(release_threshold, &keys, "")).unwrap()
}

pub(crate) fn statement(purpose: u32, body: &[u8], table: &[u8]) -> [u8; 128] {
    let mut bytes = [0u8; 128];
    bytes[..15].copy_from_slice(b"SUREFOOT-SIG-v1");
    bytes[16..20].copy_from_slice(&purpose.to_le_bytes());
    bytes[20] = 1;
    bytes[24..28].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes[28..32].copy_from_slice(&(table.len() as u32).to_le_bytes());
    bytes[32..96].copy_from_slice(&Sha512::digest(body));
    bytes[96..].copy_from_slice(&Sha256::digest(table));
    bytes
}

pub(crate) fn record(seed: u8, message: &[u8]) -> Vec<u8> {
    let key = secret(seed);
    raw_record(&key_id(&key.verifying_key().to_bytes()), &key.sign(message).to_bytes())
}

pub(crate) fn raw_record(id: &[u8; 32], signature: &[u8; 64]) -> Vec<u8> {
    [&id[..], &[1, 0, 0, 0, 0, 0, 0, 0], signature].concat()
}

/// A chunk as the table has it, with its stored bytes.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) plain_len: u32,
    pub(crate) codec: u8,
    /// Of codec 3: how many data chunks before it are its context.
    pub(crate) back: u16,
    pub(crate) plain: [u8; 32],
    pub(crate) stored: Vec<u8>,
    pub(crate) stored_hash: [u8; 32],
}

pub(crate) fn raw(bytes: &[u8]) -> Piece {
    let hash = Sha256::digest(bytes).into();
    Piece {
        plain_len: bytes.len() as u32,
        codec: 0,
        back: 0,
        plain: hash,
        stored: bytes.to_vec(),
        stored_hash: hash,
    }
}

pub(crate) fn zeros(len: u32) -> Piece {
    Piece {
        plain_len: len,
        codec: 2,
        back: 0,
        plain: [0; 32],
        stored: Vec::new(),
        stored_hash: [0; 32],
    }
}

/// `stored` may be anything that claims to decode to `plain`.
pub(crate) fn zstd_as(plain: &[u8], stored: Vec<u8>) -> Piece {
    Piece {
        plain_len: plain.len() as u32,
        codec: 1,
        back: 0,
        plain: Sha256::digest(plain).into(),
        stored_hash: Sha256::digest(&stored).into(),
        stored,
    }
}

pub(crate) fn frame(plain: &[u8]) -> Vec<u8> {
    let mut context = zstd_safe::CCtx::create();
    let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress(&mut bytes, plain, 3).unwrap();
    bytes
}

pub(crate) fn zstd(plain: &[u8]) -> Piece {
    zstd_as(plain, frame(plain))
}

/// A chunk whose frame refers to the `back` data chunks before it, which are `context`.
pub(crate) fn after(context: &[u8], back: u16, plain: &[u8]) -> Piece {
    let mut compressor = zstd_safe::CCtx::create();
    compressor.set_parameter(zstd_safe::CParameter::WindowLog(23)).unwrap();
    compressor.ref_prefix(context).unwrap();
    let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    compressor.compress2(&mut bytes, plain).unwrap();
    Piece { codec: 3, back, ..zstd_as(plain, bytes) }
}

/// An artifact in its parts; the tests break one of them at a time.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) body: String,
    pub(crate) signers: Vec<u8>,
}

pub(crate) const TOP: &str = "format = 1\nproduct = 'demo'\ncompatible = ['demo-board']\n\
    version = '1.0.0'\nrelease_counter = 5\nsecurity_epoch = 0\n[requires]\nupdater = '0.1.0'\n";

pub(crate) fn payload_text(pieces: &[Piece], first: usize, extra: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"SUREFOOT-IMG-v1\0");
    let mut image = Sha256::new();
    let mut decoder = zstd_safe::DCtx::create();
    let mut data: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        digest.update(piece.plain_len.to_le_bytes());
        digest.update(piece.plain);
        let mut plain = vec![0u8; piece.plain_len.min(1 << 21) as usize];
        match piece.codec {
            0 => plain.copy_from_slice(&piece.stored),
            1 => drop(decoder.decompress(&mut plain[..], &piece.stored)),
            3 => {
                let first = data.len().saturating_sub(usize::from(piece.back));
                let context = data[first..].concat();
                let _ = decoder.decompress_using_dict(&mut plain[..], &piece.stored, &context);
            }
            _ => {}
        }
        image.update(&plain);
        if piece.codec != 2 {
            data.push(plain);
        }
    }
    let size: u64 = pieces.iter().map(|p| u64::from(p.plain_len)).sum();
    let stored: usize = pieces.iter().map(|p| p.stored.len()).sum();
    format!(
        "[[payloads]]\nkind = 'rootfs'\nrequired = true\nsize = {size}\nstored_size = {stored}\n\
         first_chunk = {first}\nchunks = {}\ndigest = '{}'\nsha256 = '{}'\n{extra}",
        pieces.len(),
        hex(&digest.finalize()),
        hex(&image.finalize())
    )
}

pub(crate) fn parts() -> Parts {
    let text = b"a chunk of text, a chunk of text, a chunk of text, a chunk of text, a chunk";
    let context = [&b"0123456789 noise"[..], text].concat();
    let again = after(&context, 2, &context);
    let pieces = vec![raw(b"0123456789 noise"), zstd(text), zeros(4096), again, raw(b"the end")];
    with(pieces)
}

pub(crate) fn with(pieces: Vec<Piece>) -> Parts {
    let payload = payload_text(&pieces, 0, "");
    let mut parts = Parts { body: "[pages]".to_owned(), pieces, signers: vec![2] };
    let block = parts.pages();
    let pages = format!("size = {}\nsha256 = '{}'\n", block.len(), hex(&Sha256::digest(&block)));
    parts.body = format!("{TOP}[pages]\n{pages}{payload}");
    parts
}

impl Parts {
    pub(crate) fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for piece in &self.pieces {
            table.extend_from_slice(&piece.plain_len.to_le_bytes());
            table.extend_from_slice(&(piece.stored.len() as u32).to_le_bytes());
            table.extend_from_slice(&[piece.codec, 0]);
            table.extend_from_slice(&piece.back.to_le_bytes());
            table.extend_from_slice(&[0; 4]);
            table.extend_from_slice(&piece.plain);
            table.extend_from_slice(&piece.stored_hash);
        }
        table
    }

    /// The block of page hashes of one payload, where the manifest speaks of them.
    pub(crate) fn pages(&self) -> Vec<u8> {
        let table = self.table();
        let (mut block, mut page) = (Sha256::digest(&table).to_vec(), Vec::new());
        for (n, record) in table.chunks(80).enumerate() {
            page.extend_from_slice(record);
            let count = page.len() / 80;
            let ends = count >= 16 && record[16] % 16 == 15;
            if ends || count == 128 || (n + 1) * 80 == table.len() {
                block.push(count as u8);
                block.extend_from_slice(&Sha256::digest(&page)[..15]);
                page.clear();
            }
        }
        if self.body.contains("[pages]") { block } else { Vec::new() }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|p| p.stored.clone()).collect()
    }

    pub(crate) fn statement(&self) -> [u8; 128] {
        statement(2, self.body.as_bytes(), &self.table())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let statement = self.statement();
        let records: Vec<Vec<u8>> = self.signers.iter().map(|s| record(*s, &statement)).collect();
        self.bytes_signed(&records)
    }

    pub(crate) fn bytes_signed(&self, records: &[Vec<u8>]) -> Vec<u8> {
        let head = head(self.body.as_bytes(), &self.table(), records);
        [head, self.pages(), self.payload()].concat()
    }
}

pub(crate) fn head(body: &[u8], table: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"\x89SFT\r\n\x1a\n\x01\x00".to_vec();
    bytes.extend_from_slice(&(32 + 104 * records.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(table.len() as u32).to_le_bytes());
    bytes.push(records.len() as u8);
    bytes.extend_from_slice(&[0; 11]);
    bytes.extend(records.concat());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(table);
    bytes
}

/// What a device concludes after the last byte.
pub(crate) fn judge(bytes: &[u8], trust: &Trust) -> Result<()> {
    let mut input = bytes;
    let release = read_head(&mut input)?.verify(trust)?;
    check_payload(&release, &mut input, &|_| ()).map(drop)
}

#[track_caller]
pub(crate) fn refused(bytes: &[u8], trust: &Trust, code: ReasonCode) {
    match judge(bytes, trust) {
        Ok(()) => panic!("accepted; expected {code}"),
        Err(failure) => assert_eq!(failure.code(), code, "{failure}"),
    }
}

#[test]
fn what_a_stranger_wrote_is_read() {
    judge(&parts().bytes(), &trust(1)).unwrap();
    let mut two = parts();
    two.signers = vec![3, 2];
    judge(&two.bytes(), &trust(2)).unwrap();
}

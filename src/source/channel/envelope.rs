//! The file: a header of fixed layout, signature records, and a body of which nothing is parsed before
//! the verdict (docs/channel-format.md).

use super::Body;
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result};
use crate::trust::{Purpose, SignatureRecord, Statement, Trust, Verified, vouch_channel};

/// The first eight bytes; the reasons for their form are those of an artifact's.
const MAGIC: [u8; 8] = *b"\x89SFC\r\n\x1a\n";
const FIXED: usize = 32;
const MAX_SIGNATURES: usize = 8;

/// A body is at most this long, in bytes.
pub const MAX_BODY_LEN: usize = 256 * 1024;
/// A channel is at most this long, in bytes: what a reader asks a server for.
pub const MAX_CHANNEL_LEN: usize = FIXED + MAX_SIGNATURES * SignatureRecord::LEN + MAX_BODY_LEN;

/// A channel of which nothing is known yet but lengths.
#[derive(Debug, Clone)]
pub struct Unread {
    records: Vec<SignatureRecord>,
    body: Vec<u8>,
}

/// A channel that enough trusted keys have signed.
#[derive(Debug, Clone)]
pub struct Channel {
    /// What it says.
    pub body: Body,
    /// SHA-256 of the body as shipped: tells two channels of one serial apart.
    pub digest: Digest,
}

impl Unread {
    /// Takes the bytes of a whole file. `NOT_A_CHANNEL` if it begins as no channel does, `TRUNCATED` and
    /// `TRAILING_BYTES` if it is not as long as it says, `UPDATER_TOO_OLD` for a higher format,
    /// `HEADER_INVALID` for anything else in the header.
    pub fn parse(bytes: &[u8]) -> Result<Unread> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::HeaderInvalid, why));
        if !MAGIC.starts_with(&bytes[..bytes.len().min(8)]) || bytes.is_empty() {
            let text = "the first eight bytes are not those of a Surefoot channel";
            return Err(Failure::new(ReasonCode::NotAChannel, text));
        }
        let Some(head) = bytes.get(..FIXED) else { return Err(cut("header")) };
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        match u16::from_le_bytes([head[8], head[9]]) {
            1 => {}
            0 => return invalid("channel format 0 does not exist".into()),
            n => {
                let text = format!("channel format {n}; this updater reads format 1");
                return Err(Failure::new(ReasonCode::UpdaterTooOld, text));
            }
        }
        let count = usize::from(head[20]);
        let signed = FIXED + SignatureRecord::LEN * count;
        if count > MAX_SIGNATURES {
            return invalid(format!("{count} signatures; at most {MAX_SIGNATURES}"));
        }
        if usize::from(u16::from_le_bytes([head[10], head[11]])) != signed {
            return invalid(format!("the header's length does not fit {count} signatures"));
        }
        let body_len = usize::try_from(number(12)).unwrap_or(usize::MAX);
        if body_len == 0 || body_len > MAX_BODY_LEN {
            return invalid(format!("a body of {body_len} bytes; 1 to {MAX_BODY_LEN}"));
        }
        if number(16) != 0 || head[21..] != [0; 11] {
            return invalid("reserved bytes of the header are not zero".into());
        }
        let mut records = Vec::<SignatureRecord>::with_capacity(count);
        for at in (FIXED..signed).step_by(SignatureRecord::LEN) {
            let record = bytes.get(at..at + SignatureRecord::LEN);
            let Some(Ok(record)) = record.map(TryInto::try_into) else { return Err(cut("header")) };
            let record = SignatureRecord::parse(record)?;
            if records.iter().any(|r| r.key_id == record.key_id) {
                return invalid(format!("key {} signs twice", record.key_id));
            }
            records.push(record);
        }
        let rest = bytes.get(signed..).unwrap_or_default();
        match rest.len() {
            n if n < body_len => Err(cut("body")),
            n if n > body_len => {
                let text = format!("{} bytes after the end of the channel", n - body_len);
                Err(Failure::new(ReasonCode::TrailingBytes, text))
            }
            _ => Ok(Unread { records, body: rest.to_vec() }),
        }
    }

    /// What nobody has vouched for, for the one who has published it; never for a device.
    #[cfg(feature = "forge")]
    pub fn parse_unverified(&self) -> Result<Body> {
        Body::parse(&self.body)
    }

    /// Checks the signatures for a device of `product`, and only then parses. Fails as
    /// [`vouch_channel`] does; `CHANNEL_INVALID` for a body that breaks its rules, `WRONG_PRODUCT` for one
    /// of another product.
    pub fn verify(&self, trust: &Trust, product: &Identifier) -> Result<Verified<Channel>> {
        let statement = Statement::new(Purpose::Channel, &self.body, b"")?;
        let parse = || {
            let body = Body::parse(&self.body)?;
            if body.product != *product {
                let text =
                    format!("the channel is for product `{}`, this is `{product}`", body.product);
                return Err(Failure::new(ReasonCode::WrongProduct, text)
                    .with_next("Point `[source] channel` at a channel of this device's product."));
            }
            Ok(Channel { body, digest: Digest::of(&self.body) })
        };
        vouch_channel(trust, product, &statement, &self.records, parse).map_err(advise)
    }
}

/// The next step of a failure, where that of its code speaks of artifacts.
fn advise(failure: Failure) -> Failure {
    let next = match failure.code() {
        ReasonCode::SignatureMissing
        | ReasonCode::SignatureUntrusted
        | ReasonCode::SignatureThreshold
        | ReasonCode::KeyRole
        | ReasonCode::KeyScope
        | ReasonCode::KeyRevoked => {
            "Have the channel published again with a channel key of this device's trust file: `surefoot-forge channel publish DIR --key KEY`."
        }
        ReasonCode::SignatureInvalid => {
            "Fetch it again; if that does not help, have the channel published again."
        }
        _ => return failure,
    };
    failure.with_next(next)
}

fn cut(what: &str) -> Failure {
    Failure::new(ReasonCode::Truncated, format!("the channel ends within its {what}"))
        .with_next("Fetch it again; then compare its length with what was published.")
}

/// The bytes of a channel. `CHANNEL_INVALID` if no device would read this body.
#[cfg(feature = "forge")]
pub fn write_channel(body: &[u8], records: &[SignatureRecord]) -> Result<Vec<u8>> {
    Body::parse(body)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(1u16.to_le_bytes());
    let head = u16::try_from(FIXED + SignatureRecord::LEN * records.len()).unwrap_or(u16::MAX);
    bytes.extend(head.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.push(u8::try_from(records.len()).unwrap_or(u8::MAX));
    bytes.extend([0; 11]);
    records.iter().for_each(|record| bytes.extend(record.to_bytes()));
    bytes.extend(body);
    // A writer holds itself to the reader's bounds.
    Unread::parse(&bytes)?;
    Ok(bytes)
}

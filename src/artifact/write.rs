//! Writing artifacts: a draft and what was packed become a head that waits for signatures.

use super::head::{Format, Head, Header};
pub use super::pack::{DEFAULT_CONTEXT, Image, Packed, Packing, pack, pack_for_head};
use super::{
    APP_UPDATER, BundleDelta, BundleDeltaManifest, Delta, DeltaManifest, Manifest, Pages, Payload,
    PayloadKind, Provenance, Release, Requires, UPDATER, Unverified, page_block,
};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, Version, WithReason};
use crate::trust::{PublicKey, SignatureRecord};

/// What a person decides about a release.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The product it is for.
    pub product: Identifier,
    /// The devices it may run on.
    pub compatible: Vec<Identifier>,
    /// The version people read.
    pub version: Version,
    /// Orders releases.
    pub release_counter: u64,
    /// The anti-rollback floor.
    pub security_epoch: u32,
    /// The app that it is a bundle of.
    pub app: Option<Identifier>,
    /// What people should know.
    pub notes: Option<String>,
    /// Where it came from.
    pub provenance: Provenance,
    /// What old updaters may ignore.
    pub hints: toml::Table,
}

impl Draft {
    /// The head of the artifact with this draft's words and that payload, without signatures.
    pub fn head(self, packed: Packed) -> Result<Unverified> {
        let table = packed.table.to_bytes();
        let block = page_block(&table, &packed.payloads);
        let beside = |payload: &Payload| payload.kind == PayloadKind::Bundle;
        let with_apps = self.app.is_some() || packed.payloads.iter().any(beside);
        let updater = if with_apps { APP_UPDATER } else { UPDATER };
        let manifest = Manifest {
            format: 1,
            product: self.product,
            compatible: self.compatible,
            version: self.version,
            release_counter: self.release_counter,
            security_epoch: self.security_epoch,
            app: self.app,
            notes: self.notes,
            requires: Requires { updater: updater.to_owned() },
            provenance: self.provenance,
            hints: self.hints,
            pages: Some(Pages::of(&block)),
            payloads: packed.payloads,
        };
        let body = toml::to_string(&manifest).reason(ReasonCode::ManifestInvalid, "manifest")?;
        Unverified::from_parts(body.into_bytes(), table)
    }
}

impl Unverified {
    /// A head of these bytes, without signatures. What a device would refuse is refused here.
    pub fn from_parts(body: Vec<u8>, table: Vec<u8>) -> Result<Unverified> {
        let mut head = Head::unsigned(Format::Release, body, table);
        head.write_header()?;
        let pages = Release::parse(head.clone())?.pages().to_vec();
        Ok(Unverified { head, pages })
    }

    /// The head of a delta: its manifest and the hashes of its stored blocks, without signatures. What a
    /// device would refuse is refused here.
    pub fn of_delta(manifest: &DeltaManifest, hashes: &[Digest]) -> Result<Unverified> {
        let body = toml::to_string(manifest).reason(ReasonCode::ManifestInvalid, "delta")?;
        let table = hashes.iter().flat_map(|hash| hash.0).collect();
        let mut head = Head::unsigned(Format::Delta, body.into_bytes(), table);
        head.write_header()?;
        Delta::parse(head.clone())?;
        Ok(Unverified { head, pages: Vec::new() })
    }

    /// The same for a delta of a bundle.
    pub fn of_bundle_delta(
        manifest: &BundleDeltaManifest,
        hashes: &[Digest],
    ) -> Result<Unverified> {
        let body = toml::to_string(manifest).reason(ReasonCode::ManifestInvalid, "delta")?;
        let table = hashes.iter().flat_map(|hash| hash.0).collect();
        let mut head = Head::unsigned(Format::BundleDelta, body.into_bytes(), table);
        head.write_header()?;
        BundleDelta::parse(head.clone())?;
        Ok(Unverified { head, pages: Vec::new() })
    }

    /// Adds a signature over [`Unverified::statement`], after checking that it is one: a token
    /// may have signed with another key or another scheme.
    pub fn add_signature(&mut self, key: &PublicKey, signature: [u8; 64]) -> Result<()> {
        let key_id = key.id();
        if self.signatures().iter().any(|r| r.key_id == key_id) {
            let detail = format!("key {key_id} has signed already");
            let next = "Nothing to do with this key; another one adds its own signature.";
            return Err(Failure::new(ReasonCode::Usage, detail).with_next(next));
        }
        if !key.verifies(self.statement()?.as_bytes(), &signature) {
            let detail = format!("what the signer returned is no signature by key {key_id}");
            return Err(Failure::new(ReasonCode::SignatureInvalid, detail));
        }
        self.head.records.push(SignatureRecord { key_id, signature });
        self.head.write_header().inspect_err(|_| {
            self.head.records.pop();
        })
    }

    /// The head as shipped: header, signatures, manifest, table; and the page hashes, where this
    /// program has made it. The rest of the artifact follows.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.head.header[..], &self.head.body, &self.head.table, &self.pages].concat()
    }
}

impl Head {
    fn unsigned(format: Format, body: Vec<u8>, table: Vec<u8>) -> Head {
        Head { format, header: Vec::new(), records: Vec::new(), body, table }
    }

    fn write_header(&mut self) -> Result<()> {
        let too_long = |_| Failure::new(ReasonCode::HeaderInvalid, "manifest or table is too long");
        let header = Header {
            format: self.format,
            body_len: u32::try_from(self.body.len()).map_err(too_long)?,
            table_len: u32::try_from(self.table.len()).map_err(too_long)?,
            signatures: u8::try_from(self.records.len()).unwrap_or(u8::MAX),
        };
        let mut bytes = header.to_bytes()?.to_vec();
        for record in &self.records {
            bytes.extend_from_slice(&record.to_bytes());
        }
        self.header = bytes;
        Ok(())
    }
}

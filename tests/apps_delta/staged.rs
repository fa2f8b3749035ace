//! What an engine is given: layers out of a delta, and out of the whole bundle where one cannot be made.

use super::shop::{Layer, Shop, folders};
use std::collections::BTreeMap;
use std::io::Read;
use surefoot::apps::{folders_of, open_delta};
use surefoot::artifact::{FromBundle, PayloadKind, read_head};
use surefoot::engine::{LayerBytes, LayerSource, StoredImage};
use surefoot::layer::LayerFolders;
use surefoot::model::{Digest, Failure, ReasonCode, Result};
use surefoot::source::Fetch;

struct Bytes(Vec<u8>);

impl Fetch for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        let some = self.0.get(at..at + buf.len());
        buf.copy_from_slice(some.ok_or_else(|| Failure::new(ReasonCode::Truncated, "the end"))?);
        Ok(())
    }
}

/// The layers of a whole bundle, and which of them were asked for.
#[derive(Default)]
struct Whole {
    layers: BTreeMap<String, Vec<u8>>,
    asked: Vec<Digest>,
}

impl Whole {
    fn of(layers: &[&Layer]) -> Whole {
        let layers = layers.iter().map(|l| (l.digest().to_string(), l.tar.clone())).collect();
        Whole { layers, asked: Vec::new() }
    }
}

impl LayerSource for Whole {
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
        self.asked.push(*layer);
        Ok(Box::new(&self.layers[&layer.to_string()][..]))
    }
}

fn all(source: &mut dyn LayerSource, layer: &Layer) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.open(&layer.digest())?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[test]
fn a_layer_whose_old_files_are_damaged_comes_out_of_the_whole_bundle_and_the_others_do_not() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let (app1, app2) = (shop.app("shop", 1), shop.app("shop", 2));
    let old = shop.bundle("shop", 1, &[vec![base1.clone(), app1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![base2.clone(), app2.clone()]]);
    let (bytes, _) = shop.delta(&[&old], &new);
    let (bytes, known) = (Bytes(bytes), shop.release(&old));
    let mut find = |from: &FromBundle| {
        let is_it = from.digest == known.body_digest();
        is_it.then(|| [known.body_bytes(), known.table_bytes()].concat())
    };
    let trust = shop.trust();
    let head = || read_head(&mut &bytes.0[..]).unwrap();
    let opened = open_delta(&trust, head(), &bytes, &mut find).unwrap();
    assert_eq!(opened.release().body_digest(), shop.release(&new).body_digest());
    let document = opened.payload(&bytes, 0).unwrap();
    assert_eq!(opened.release().manifest.payloads[0].kind, PayloadKind::App);
    assert!(String::from_utf8(document).unwrap().contains("\"shop\""));

    let from = folders(&[&base1, &app1]);
    let mut whole = Whole::of(&[&base2, &app2]);
    let mut layers = opened.layers(&bytes, &from, Some(&mut whole));
    assert!(all(&mut layers, &base2).unwrap() == base2.tar);
    assert!(all(&mut layers, &app2).unwrap() == app2.tar);
    assert!(layers.fell_back().is_empty());
    assert!(whole.asked.is_empty());

    std::fs::remove_file(base1.folder.join("bin/other-name")).unwrap();
    let mut layers = opened.layers(&bytes, &from, Some(&mut whole));
    assert!(all(&mut layers, &base2).unwrap() == base2.tar);
    assert!(all(&mut layers, &app2).unwrap() == app2.tar);
    let why: Vec<_> = layers.fell_back().iter().map(|(layer, f)| (*layer, f.code())).collect();
    assert_eq!(why, [(base2.digest(), ReasonCode::DeltaBase)]);
    assert_eq!(whole.asked, [base2.digest()]);
    let mut alone = opened.layers(&bytes, &from, None);
    assert_eq!(all(&mut alone, &base2).unwrap_err().code(), ReasonCode::DeltaBase);
    // An engine that asks for what is in no bundle.
    assert_eq!(all(&mut alone, &base1).unwrap_err().code(), ReasonCode::EngineAnswer);
}

#[test]
fn a_delta_is_opened_only_where_it_is_whole_signed_and_its_bundles_are_here() {
    let shop = Shop::new();
    let (app1, app2) = (shop.app("shop", 1), shop.app("shop", 2));
    let old = shop.bundle("shop", 1, &[vec![app1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![app2.clone()]]);
    let (mut bytes, _) = shop.delta(&[&old], &new);
    let (trust, other) = (shop.trust(), Shop::new().trust());
    let code = |trust, bytes: &[u8]| {
        let (bytes, head) = (Bytes(bytes.to_vec()), read_head(&mut { bytes }).unwrap());
        open_delta(trust, head, &bytes, &mut |_| None).err().map(|f| f.code())
    };
    assert_eq!(code(&trust, &bytes), Some(ReasonCode::DeltaBase));
    assert_eq!(code(&other, &bytes), Some(ReasonCode::SignatureUntrusted));
    assert_eq!(code(&trust, &bytes[..bytes.len() - 1]), Some(ReasonCode::Truncated));
    bytes.push(0);
    assert_eq!(code(&trust, &bytes), Some(ReasonCode::TrailingBytes));
}

#[test]
fn an_engine_that_does_not_say_which_folder_is_which_gives_none() {
    let shop = Shop::new();
    let (base, app) = (shop.base(1), shop.app("shop", 1));
    let image = |folders: &[&Layer]| StoredImage {
        id: Digest([1; 32]),
        layers: vec![base.digest(), app.digest()],
        architecture: "amd64".to_owned(),
        variant: String::new(),
        tags: Vec::new(),
        folders: folders.iter().map(|layer| layer.folder.clone()).collect(),
    };
    use surefoot::layer::OldFiles;
    let open = |folders: &LayerFolders| folders.open(&app.digest(), b"app/main").is_ok();
    assert!(open(&folders_of(&[image(&[&base, &app])])));
    assert!(!open(&folders_of(&[image(&[&app])])));
    assert!(!open(&folders_of(&[])));
}

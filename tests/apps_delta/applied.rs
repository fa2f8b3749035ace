//! What a device makes of a delta.

use super::shop::{Layer, Shop, folders};
use crate::common::forge;
use std::io::Read;
use std::os::unix::fs::symlink;
use surefoot::artifact::{BundleDelta, FromBundle, PayloadKind};
use surefoot::layer::{LayerFolders, Making, apply, bundle_head, patch_offset, same_bundle};
use surefoot::model::{Failure, ReasonCode, Result};

/// Payload `index` of a delta, as a device makes it.
fn made(
    (bytes, delta): (&[u8], &BundleDelta),
    index: usize,
    from: &LayerFolders,
) -> Result<Vec<u8>> {
    let at = usize::try_from(patch_offset(delta, index)).unwrap();
    let mut out = Vec::new();
    apply(delta, index, &mut &bytes[at..], from, &mut out)?;
    Ok(out)
}

fn layer_of(delta: &BundleDelta, layer: &Layer) -> usize {
    let plans = &delta.manifest.payloads;
    plans.iter().position(|plan| plan.sha256 == layer.digest()).unwrap()
}

#[test]
fn a_layer_comes_out_bit_for_bit_of_the_files_of_another() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let (app1, app2) = (shop.app("shop", 1), shop.app("shop", 2));
    let old = shop.bundle("shop", 1, &[vec![base1.clone(), app1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![base2.clone(), app2.clone()]]);
    let (bytes, delta) = shop.delta(&[&old], &new);
    let full = std::fs::metadata(&new).unwrap().len();
    assert!((bytes.len() as u64) < full / 20, "{} of {full}", bytes.len());

    // The head comes out as its own signers have shipped it.
    let offset = usize::try_from(delta.stored_offset()).unwrap();
    let known = shop.release(&old);
    let mut find = |from: &FromBundle| {
        assert_eq!(from.digest, known.body_digest());
        Some([known.body_bytes(), known.table_bytes()].concat())
    };
    let head = bundle_head(&delta, &mut &bytes[offset..], &mut find).unwrap();
    let release = head.verify(&shop.trust()).unwrap();
    same_bundle(&delta, &release).unwrap();
    assert_eq!(release.head_bytes(), shop.release(&new).head_bytes());

    let from = folders(&[&base1, &app1]);
    for layer in [&base2, &app2] {
        let index = layer_of(&delta, layer);
        assert!(made((&bytes, &delta), index, &from).unwrap() == layer.tar);
    }
    // The document and the image's configuration need nothing old.
    let mut small = 0;
    for (index, payload) in release.manifest.payloads.iter().enumerate() {
        if matches!(payload.kind, PayloadKind::App | PayloadKind::Image) {
            let at = usize::try_from(patch_offset(&delta, index)).unwrap();
            let nothing = LayerFolders::default();
            let making = Making::begin(&delta, index, Box::new(&bytes[at..]), &nothing).unwrap();
            assert_eq!(making.to_end().unwrap().len() as u64, payload.size);
            small += 1;
        }
    }
    assert_eq!(small, 2);
    forge(&["verify", &shop.path("made.delta.surefoot"), "--trust", &shop.path("KEYS/trust.toml")])
        .ok();
    let said = forge(&["inspect", &shop.path("made.delta.surefoot"), "--json"]).ok().json();
    assert_eq!((&said["app"], &said["from"][0]["app"]), (&"shop".into(), &"shop".into()), "{said}");
}

#[test]
fn a_layer_that_the_engine_has_in_its_place_is_not_in_the_delta_and_in_another_place_it_is() {
    let shop = Shop::new();
    let (base, app1, app2) = (shop.base(1), shop.app("shop", 1), shop.app("shop", 2));
    let old = shop.bundle("shop", 1, &[vec![base.clone(), app1.clone()]]);
    let same = shop.bundle("shop", 2, &[vec![base.clone(), app2.clone()]]);
    let (_, delta) = shop.delta(&[&old], &same);
    assert_eq!(delta.manifest.payloads[layer_of(&delta, &base)].patch, None);
    // A second image has the layers the other way round: an engine asks for both of them again.
    let turned = [vec![base.clone(), app1.clone()], vec![app1.clone(), base.clone()]];
    let turned = shop.bundle("shop", 3, &turned);
    let (bytes, delta) = shop.delta(&[&old], &turned);
    let from = folders(&[&base, &app1]);
    for layer in [&base, &app1] {
        let index = layer_of(&delta, layer);
        assert!(made((&bytes, &delta), index, &from).unwrap() == layer.tar);
    }
}

#[test]
fn a_new_app_is_made_of_the_layers_of_two_others() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let (shop1, web1, door) = (shop.app("shop", 1), shop.app("web", 1), shop.app("door", 3));
    let one = shop.bundle("shop", 1, &[vec![base1.clone(), shop1.clone()]]);
    let two = shop.bundle("web", 1, &[vec![base2.clone(), web1.clone()]]);
    let new = shop.bundle("door", 3, &[vec![base2.clone(), door.clone()]]);
    let (bytes, delta) = shop.delta(&[&one, &two], &new);
    assert_eq!(delta.manifest.from.len(), 2);
    let from = folders(&[&base1, &base2, &shop1, &web1]);
    assert_eq!(delta.manifest.payloads[layer_of(&delta, &base2)].patch, None);
    assert!(made((&bytes, &delta), layer_of(&delta, &door), &from).unwrap() == door.tar);
    // In a folder each bundle gets a delta of its own, under the name that is looked for.
    let folder = shop.path("deltas");
    std::fs::create_dir(&folder).unwrap();
    let key = shop.path("KEYS/release.key");
    let words = ["delta", "--from", &one, "--from", &two, "--to", &new, "--key", &key];
    forge(&[&words[..], &["-o", &folder]].concat()).ok();
    assert!(std::fs::exists(format!("{folder}/door-3.from-1.0.0.delta.surefoot")).unwrap());
    let said = forge(&["delta", "--estimate", &one, &new, "--json"]).ok().json();
    let [delta, full] = [&said["from"][0]["delta"], &said["full"]].map(|n| n.as_u64().unwrap());
    assert!(delta < full, "{said}");
}

#[test]
fn what_is_damaged_or_gone_is_told_before_a_byte_is_made() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let old = shop.bundle("shop", 1, &[vec![base1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![base2.clone()]]);
    let (bytes, delta) = shop.delta(&[&old], &new);
    let index = layer_of(&delta, &base2);
    let at = usize::try_from(patch_offset(&delta, index)).unwrap();
    let begin = |from: &LayerFolders| -> Option<Failure> {
        Making::begin(&delta, index, Box::new(&bytes[at..]), from).err()
    };
    let from = folders(&[&base1]);
    assert!(begin(&from).is_none());
    // The archive has the bytes under this name, and the other one as a link to it.
    let victim = base1.folder.join("bin/other-name");
    let good = std::fs::read(&victim).unwrap();
    let base = |from: &LayerFolders, why: &str| {
        let failure = begin(from).expect(why);
        assert_eq!(failure.code(), ReasonCode::DeltaBase, "{why}: {failure}");
        assert!(failure.detail().contains(&base1.digest().to_string()[..12]), "{failure}");
    };
    base(&LayerFolders::default(), "no such layer");
    let mut flipped = good.clone();
    flipped[399_000] ^= 1;
    for (bytes, why) in
        [(&flipped[..], "flipped"), (&good[..9], "short"), (&[], "empty"), (&[7; 800_000], "long")]
    {
        std::fs::write(&victim, bytes).unwrap();
        base(&from, why);
    }
    std::fs::remove_file(&victim).unwrap();
    base(&from, "gone");
    // A link leads out of the layer, whatever it leads to; a FIFO would never end.
    std::fs::write(shop.path("elsewhere"), &good).unwrap();
    symlink(shop.path("elsewhere"), &victim).unwrap();
    base(&from, "a link");
    std::fs::remove_file(&victim).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&victim).status().unwrap().success());
    base(&from, "a FIFO");
    std::fs::remove_file(&victim).unwrap();
    std::fs::rename(base1.folder.join("bin"), shop.path("bin")).unwrap();
    std::fs::write(shop.path("bin/other-name"), &good).unwrap();
    symlink(shop.path("bin"), base1.folder.join("bin")).unwrap();
    base(&from, "a folder that is a link");
    std::fs::remove_file(base1.folder.join("bin")).unwrap();
    std::fs::rename(shop.path("bin"), base1.folder.join("bin")).unwrap();
    assert!(begin(&from).is_none(), "it is whole again");
}

#[test]
fn the_last_bytes_do_not_come_where_a_file_changes_meanwhile() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let old = shop.bundle("shop", 1, &[vec![base1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![base2.clone()]]);
    let (bytes, delta) = shop.delta(&[&old], &new);
    let index = layer_of(&delta, &base2);
    let at = usize::try_from(patch_offset(&delta, index)).unwrap();
    let from = folders(&[&base1]);
    let mut making = Making::begin(&delta, index, Box::new(&bytes[at..]), &from).unwrap();
    let victim = base1.folder.join("usr/lib/library.so.1.1");
    let mut library = std::fs::read(&victim).unwrap();
    library[299_000] ^= 1;
    std::fs::write(&victim, library).unwrap();
    let mut out = Vec::new();
    let error = making.read_to_end(&mut out).unwrap_err();
    let failure = error.get_ref().unwrap().downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.code(), ReasonCode::DeltaBase);
    assert!(out.len() < base2.tar.len());
    assert!(making.read(&mut [0; 9]).is_err(), "it stays failed");
}

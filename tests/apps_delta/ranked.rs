//! `surefoot-forge rank`: which delta for which device.

use super::shop::{Layer, Shop};
use crate::common::forge;
use serde_json::json;

#[test]
fn devices_with_the_same_layers_are_one_group_and_get_the_bundles_that_make_the_shortest_delta() {
    let shop = Shop::new();
    let (base1, base2) = (shop.base(1), shop.base(2));
    let (app1, app2, web1) = (shop.app("shop", 1), shop.app("shop", 2), shop.app("web", 1));
    let old = shop.bundle("shop", 1, &[vec![base1.clone(), app1.clone()]]);
    let web = shop.bundle("web", 1, &[vec![web1.clone()]]);
    let new = shop.bundle("shop", 2, &[vec![base2.clone(), app2.clone()]]);
    let image = |layers: &[&Layer]| {
        let layers: Vec<_> = layers.iter().map(|layer| layer.digest().to_string()).collect();
        json!({ "id": "00".repeat(32), "layers": layers })
    };
    let status =
        |images: Vec<serde_json::Value>| json!({ "v": 1, "engine": "x", "images": images });
    let report = |name: &str, value: serde_json::Value| {
        let path = shop.path(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let both = status(vec![image(&[&base1, &app1]), image(&[&web1])]);
    // What another program has in the engine makes no difference.
    let other = json!({ "layers": [format!("sha256:{}", "ab".repeat(32))] });
    let gate = report("gate.json", json!({ "id": "gate", "apps": both, "other": other }));
    let fleet = json!([
        { "serial": "door", "apps": both },
        { "serial": "hall", "apps": status(vec![image(&[&web1])]) },
        { "serial": "done", "apps": status(vec![image(&[&base2, &app2])]) },
        { "serial": "bare" },
        // Half of an image of the old bundle, and as an upper layer: an engine has it elsewhere.
        { "serial": "half", "apps": status(vec![image(&[&app1])]) },
    ]);
    let fleet = report("fleet.json", fleet);
    let words = [
        "rank", "--device", &gate, "--device", &fleet, "--to", &new, "--from", &old, "--from", &web,
    ];
    let said = forge(&[&words[..], &["--json"]].concat()).ok().json();
    let group = |device: &str| {
        let groups = said["groups"].as_array().unwrap();
        let of = |g: &&serde_json::Value| g["devices"].as_array().unwrap().contains(&device.into());
        groups.iter().find(of).unwrap().clone()
    };
    let pair = group("gate");
    assert_eq!(pair["devices"], json!(["gate", "door"]), "{said}");
    // The second bundle adds next to nothing, and fewer devices have both.
    assert_eq!(pair["choices"][0]["from"], json!([old]));
    assert_eq!(pair["choices"].as_array().unwrap().len(), 2, "{pair}");
    let estimate = pair["choices"][0]["estimate"].as_u64().unwrap();
    assert!(estimate > 0 && estimate < said["full"].as_u64().unwrap() / 2, "{said}");
    assert_eq!(group("done")["nothing_missing"], true);
    for device in ["bare", "hall", "half"] {
        assert_eq!(group(device)["choices"], json!([]), "{device}: {said}");
    }
    let told = forge(&words).ok().out;
    assert!(told.contains("2 device(s): gate and 1 more") && told.contains("--from"), "{told}");
    assert!(told.contains("send the whole bundle") && told.contains("every layer is there"));
    let bad = report("bad.json", json!(3));
    std::fs::write(&bad, "{").unwrap();
    let said = forge(&["rank", "--device", &bad, "--to", &new]);
    assert_eq!(said.code, 65);
    assert!(said.err.contains("bad.json") && said.err.contains("FILE_DAMAGED"), "{}", said.err);
}

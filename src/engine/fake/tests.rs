use super::*;
use crate::engine::types::{ContainerSpec, ImageToLoad};
use crate::engine::{Engine, LayerBytes, LayerSource, labels};
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::time::Duration;

struct Bytes(BTreeMap<Digest, Vec<u8>>);

impl LayerSource for Bytes {
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
        match self.0.get(layer) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(Failure::new(ReasonCode::Io, "not here")),
        }
    }
}

fn load(engine: &FakeEngine, layers: &[&[u8]], given: &[&[u8]]) -> (Digest, Result<()>) {
    let diffs: Vec<(Digest, u64)> =
        layers.iter().map(|l| (Digest::of(l), l.len() as u64)).collect();
    let ids: Vec<String> = diffs.iter().map(|(d, _)| format!("sha256:{d}")).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = config.to_string().into_bytes();
    let id = Digest::of(&config);
    let tag = format!("surefoot.local/shop:{}-1", id.short());
    let image = ImageToLoad { id, config: &config, layers: &diffs, tag };
    let mut source = Bytes(given.iter().map(|l| (Digest::of(l), l.to_vec())).collect());
    (id, engine.load(&image, &mut source))
}

fn spec(image: &Digest, name: &str) -> ContainerSpec {
    let labels = [(labels::APP, "shop"), (labels::SPEC, "1"), (labels::SERVICE, "web")];
    ContainerSpec {
        name: name.to_owned(),
        image: image.to_string(),
        labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        network: "none".to_owned(),
        ..ContainerSpec::default()
    }
}

fn code<T: std::fmt::Debug>(done: Result<T>) -> ReasonCode {
    done.unwrap_err().code()
}

#[test]
fn what_was_not_synced_is_lost_or_torn_at_a_cut() {
    let engine = FakeEngine::default();
    let (first, done) = load(&engine, &[b"base"], &[b"base"]);
    done.unwrap();
    engine.sync().unwrap();
    let (second, done) = load(&engine, &[b"base", b"top"], &[b"top"]);
    done.unwrap();
    engine.create(&spec(&second, "sf-a")).unwrap();
    engine.start("sf-a").unwrap();
    let before = engine.world();
    engine.power_cut();
    let ids = |engine: &FakeEngine| -> Vec<Digest> {
        engine.images().unwrap().iter().map(|i| i.id).collect()
    };
    assert_eq!((ids(&engine), engine.containers().unwrap()), (vec![first], vec![]));
    engine.set_world(before);
    engine.plan(|plan| plan.loss = FakeLoss::Torn);
    engine.power_cut();
    assert_eq!(ids(&engine).len(), 2);
    assert_eq!(engine.scrub(&first), Ok(()));
    assert_eq!(code(engine.scrub(&second)), ReasonCode::LayerDamaged);
    assert!(engine.running().is_empty());
    assert_eq!(code(engine.start("sf-a")), ReasonCode::EngineFailed);
    engine.remove("sf-a").unwrap();
    engine.remove_image(&second).unwrap();
    load(&engine, &[b"base", b"top"], &[b"top"]).1.unwrap();
    assert_eq!(engine.scrub(&second), Ok(()));
    assert_eq!(engine.complaints(), Vec::<String>::new());
}

#[test]
fn layers_that_are_in_place_are_not_asked_for_and_others_are_compared() {
    let engine = FakeEngine::default();
    load(&engine, &[b"base"], &[b"base"]).1.unwrap();
    assert_eq!(code(load(&engine, &[b"top", b"base"], &[b"top"]).1), ReasonCode::Io);
    let (id, done) = load(&engine, &[b"base", b"top"], &[b"top"]);
    done.unwrap();
    engine.plan(|plan| plan.room = Some(8));
    assert_eq!(code(load(&engine, &[b"large one"], &[b"large one"]).1), ReasonCode::EngineFailed);
    assert_eq!(engine.images().unwrap().len(), 2);
    assert_eq!(engine.world().now.images[&id].tags.len(), 1);
}

#[test]
fn each_call_can_fail_or_be_the_last() {
    let engine = FakeEngine::default();
    let (id, done) = load(&engine, &[b"base"], &[b"base"]);
    done.unwrap();
    let calls = engine.calls();
    engine.plan(|plan| plan.fail_at = Some(calls + 1));
    assert_eq!(code(engine.create(&spec(&id, "sf-a"))), ReasonCode::EngineFailed);
    engine.create(&spec(&id, "sf-a")).unwrap();
    engine.sync().unwrap();
    for after in [false, true] {
        let next = engine.calls() + 1;
        engine.plan(|plan| (plan.cut_at, plan.cut_after) = (Some(next), after));
        assert_eq!(code(engine.create(&spec(&id, "sf-b"))), ReasonCode::EngineMissing);
        assert_eq!(code(engine.sync()), ReasonCode::EngineMissing);
        assert_eq!(engine.world().now.containers.contains_key("sf-b"), after);
        engine.power_cut();
        assert_eq!(engine.containers().unwrap().len(), 1, "it was not synced");
    }
}

#[test]
fn what_no_caller_should_do_is_remembered() {
    let engine = FakeEngine::default();
    let (id, done) = load(&engine, &[b"base"], &[b"base"]);
    done.unwrap();
    engine.foreign("sf-theirs");
    for done in [
        engine.start("sf-theirs"),
        engine.remove("sf-theirs"),
        engine.create(&spec(&id, "sf-theirs")),
    ] {
        assert_eq!(code(done), ReasonCode::EngineFailed);
    }
    assert!(engine.complaints().is_empty() && engine.containers().unwrap().is_empty());
    engine.start("sf-a").unwrap_err();
    engine.create(&spec(&id, "sf-a")).unwrap();
    engine.start("sf-a").unwrap();
    engine.remove("sf-a").unwrap_err();
    engine.create(&spec(&Digest::of(b"other"), "sf-b")).unwrap_err();
    assert_eq!(engine.complaints().len(), 3, "{:?}", engine.complaints());
    engine.stop("sf-a", Duration::ZERO).unwrap();
    engine.remove("sf-a").unwrap();
    engine.remove("sf-a").unwrap();
}

#[test]
fn services_end_and_are_not_well_as_it_is_told() {
    let engine = FakeEngine::default();
    let (id, done) = load(&engine, &[b"base"], &[b"base"]);
    done.unwrap();
    engine.create(&spec(&id, "sf-a")).unwrap();
    assert_eq!(code(engine.exec("sf-a", &[], Duration::ZERO)), ReasonCode::EngineFailed);
    engine.start("sf-a").unwrap();
    let probe = || engine.exec("sf-a", &[], Duration::ZERO).unwrap().status;
    assert_eq!(probe(), Some(0));
    engine.probes("web", Execution { status: None, output: String::new() });
    assert_eq!((probe(), probe()), (None, None));
    assert!(engine.end("sf-a", 9, true) && !engine.end("sf-a", 9, true));
    let state = engine.containers().unwrap()[0].state;
    assert_eq!(state, ContainerState::Ended { status: 9, out_of_memory: true });
}

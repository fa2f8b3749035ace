//! What is admitted, and what is refused.

#![allow(clippy::unwrap_used)]

use super::admit::{AppAsk, admit};
use super::fixture::{App, Bench, Memory, app, name};
use super::member::Admission;
use super::*;
use super::{Generation, RefusedApp, read_bundle};
use crate::bundle::AppDocument;
use crate::engine::fake::{FakeEngine, FakeWorld};
use crate::model::SlotId;
use crate::model::{Failure, ReasonCode, Result};
use crate::update::Allowed;
use std::collections::BTreeMap;

/// What admitting these apps beside what is here comes to.
fn asked(bench: &Bench, journal: &AppJournal, apps: &[&App]) -> Result<Admission> {
    with(bench, journal, apps, &FakeEngine::default(), Allowed::default())
}

fn with(
    bench: &Bench,
    journal: &AppJournal,
    apps: &[&App],
    engine: &FakeEngine,
    allowed: Allowed,
) -> Result<Admission> {
    let heads: Vec<BundleHead> = apps
        .iter()
        .map(|app| read_bundle(&bench.trust, &Memory::new(bench.bundle(app, 5))).unwrap())
        .collect();
    let asks: Vec<AppAsk<'_>> =
        heads.iter().map(|head| AppAsk::Install { head, config: BTreeMap::new() }).collect();
    admit(&bench.ctx_with(Some(engine)), journal, &asks, allowed)
}

fn code(bench: &Bench, app: &App) -> (ReasonCode, String) {
    let failure = asked(bench, &AppJournal::default(), &[app]).expect_err("it was admitted");
    (failure.code(), failure.detail().to_owned())
}

/// A journal in which these apps run, kept on the bench.
fn running(bench: &Bench, apps: &[(&App, u64)]) -> AppJournal {
    let mut set = BTreeMap::new();
    for (app, counter) in apps {
        let source = Memory::new(bench.bundle(app, *counter));
        let head = read_bundle(&bench.trust, &source).unwrap();
        let bytes = super::bytes::BundleBytes::Whole(&source);
        super::bundles::keep_bundle(&bench.ctx(), &head, &bytes).unwrap();
        set.insert(head.app().clone(), head.generation(BTreeMap::new()));
    }
    AppJournal { sets: [Some(set.clone()), None], live: set, ..AppJournal::default() }
}

fn web(more: &str) -> App {
    app("shop").with("web", "one", more)
}

fn sized(text: &str) -> FakeEngine {
    let mut world = FakeWorld::default();
    (world.info.architecture, world.info.variant) = match text.split_once('/') {
        Some((architecture, variant)) => (architecture.to_owned(), variant.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    FakeEngine::from(world)
}

#[test]
fn an_app_that_wants_nothing_is_admitted_with_its_numbers() {
    let bench = Bench::new();
    let admission = asked(&bench, &AppJournal::default(), &[&app("shop")]).unwrap();
    assert_eq!(admission.moves.len(), 1);
    assert!(admission.download > 0 && admission.room > 0, "{admission:?}");
    let journal = running(&bench, &[(&app("shop"), 5)]);
    let again = asked(&bench, &journal, &[&app("shop")]).unwrap();
    assert_eq!((again.moves.len(), again.same.len()), (0, 1));
}

#[test]
fn what_is_for_another_device_is_refused_with_the_names_of_both() {
    let (bench, mut other) = (Bench::new(), Bench::new());
    other.product = "lamp".parse().unwrap();
    let head = read_bundle(&bench.trust, &Memory::new(bench.bundle(&app("shop"), 1))).unwrap();
    let ask = [AppAsk::Install { head: &head, config: BTreeMap::new() }];
    let failure =
        admit(&other.ctx(), &AppJournal::default(), &ask, Allowed::default()).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::WrongProduct);
    assert!(failure.detail().contains("`demo`") && failure.detail().contains("`lamp`"));
}

#[test]
fn older_and_returned_releases_want_a_word() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let mut journal = running(&bench, &[(&app("shop"), 9)]);
    let older = asked(&bench, &journal, &[&app("shop")]).unwrap_err();
    assert_eq!(older.code(), ReasonCode::VersionOlder);
    let allowed = Allowed { older: true, ..Allowed::default() };
    assert!(with(&bench, &journal, &[&app("shop")], &engine, allowed).is_ok());
    let head = read_bundle(&bench.trust, &Memory::new(bench.bundle(&app("shop"), 5))).unwrap();
    let (app_name, digest) = (name("shop"), head.digest());
    let reason = ReasonCode::ServiceUnhealthy;
    journal.refused = vec![RefusedApp { app: app_name, digest, reason }];
    let back = with(&bench, &journal, &[&app("shop")], &engine, allowed).unwrap_err();
    assert_eq!(back.code(), ReasonCode::RolledBackBefore);
    let allowed = Allowed { retry_rolled_back: true, ..allowed };
    assert!(with(&bench, &journal, &[&app("shop")], &engine, allowed).is_ok());
}

#[test]
fn a_development_key_counts_only_under_a_hold() {
    let mut bench = Bench::new();
    let bundle = Memory::new(bench.develop_bundle(&app("shop"), 1));
    let head = read_bundle(&bench.trust, &bundle).unwrap();
    let ask = [AppAsk::Install { head: &head, config: BTreeMap::new() }];
    let engine = FakeEngine::default();
    let code = |bench: &Bench| {
        let ctx = bench.ctx_with(Some(&engine));
        admit(&ctx, &AppJournal::default(), &ask, Allowed::default()).map_err(|f| f.code())
    };
    assert_eq!(code(&bench).unwrap_err(), ReasonCode::NotHeld);
    bench.held = true;
    assert!(code(&bench).unwrap().moves[0].to.as_ref().unwrap().development);
}

#[test]
fn an_image_for_another_processor_is_refused() {
    let bench = Bench::new();
    let of = |architecture: &str, variant: &str| {
        app("shop").but(|document| {
            let image = document.images.values_mut().next().unwrap();
            (image.architecture, image.variant) = (architecture.to_owned(), variant.to_owned());
        })
    };
    for (image, device, good) in [
        (("amd64", ""), "amd64", true),
        (("arm64", "v8"), "arm64/v8", true),
        (("arm64", ""), "arm64", true),
        (("arm", "v6"), "arm/v7", true),
        (("arm", "v7"), "arm/v6", false),
        (("arm", "v7"), "arm64/v8", false),
        (("arm64", "v8"), "amd64", false),
        (("amd64", "v3"), "amd64", false),
    ] {
        let app = of(image.0, image.1);
        let done = needs::architecture(&app.document, &{
            let engine = sized(device);
            crate::engine::Engine::info(&engine).unwrap()
        });
        assert_eq!(done.is_ok(), good, "{image:?} on {device}");
    }
    let failure =
        with(&bench, &AppJournal::default(), &[&app("shop")], &sized("arm64"), Allowed::default());
    assert_eq!(failure.unwrap_err().code(), ReasonCode::WrongArchitecture);
}

#[test]
fn nothing_of_the_device_is_had_that_its_settings_do_not_grant() {
    let mut bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("open/sub")).unwrap();
    std::fs::create_dir(at("closed")).unwrap();
    std::os::unix::fs::symlink(at("closed"), at("open/way-out")).unwrap();
    std::fs::write(at("open/file"), "").unwrap();
    let bind = |path: &str, of: &str| {
        let source = at(path).display().to_string();
        web(&format!(
            r#"{{"mounts":[{{"what":{{"kind":"bind","source":"{source}"{of}}},"target":"/x"}}]}}"#
        ))
    };
    let refused = |bench: &Bench, app: &App| code(bench, app).0;
    use ReasonCode::{AppRequires, NotPermitted};
    let wishes = [
        web(r#"{"privileged":true}"#),
        web(r#"{"network":"host"}"#),
        web(r#"{"cap_add":["NET_ADMIN"]}"#),
        web(r#"{"devices":[{"source":"/dev/null","target":"/dev/null","rights":"rw"}]}"#),
        bind("open/sub", ""),
        app("shop").but(|document| document.permissions.push("camera".parse().unwrap())),
    ];
    for wish in &wishes {
        assert_eq!(refused(&bench, wish), NotPermitted, "{:?}", wish.document);
    }
    bench.settings.binds = vec![at("open")];
    bench.settings.devices = vec!["/dev/null".into()];
    bench.settings.capabilities = vec!["cap_net_admin".to_owned()];
    (bench.settings.privileged, bench.settings.host_network) = (true, true);
    bench.settings.permissions = vec!["camera".parse().unwrap()];
    for wish in &wishes {
        asked(&bench, &AppJournal::default(), &[wish]).unwrap();
    }
    for (path, of, want) in [
        ("open/way-out", "", NotPermitted),
        ("open/../closed", "", ReasonCode::AppInvalid),
        ("closed", "", NotPermitted),
        ("opener", "", NotPermitted),
        ("open/none", "", AppRequires),
        ("open/file", r#","of":"dir""#, AppRequires),
        ("open/sub", r#","of":"socket""#, AppRequires),
    ] {
        let app = bind(path, of);
        let found = crate::bundle::parse_document(&serde_json::to_vec(&app.document).unwrap())
            .map_err(|f| f.code())
            .and_then(|_| asked(&bench, &AppJournal::default(), &[&app]).map_err(|f| f.code()));
        assert_eq!(found.unwrap_err(), want, "{path} {of}");
    }
}

#[test]
fn a_port_has_one_service_or_another_program() {
    let bench = Bench::new();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = socket.local_addr().unwrap().port();
    let of = |named: &str, host: u16| {
        app(named).with("web", "one", &format!(r#"{{"ports":[{{"host":{host},"container":80}}]}}"#))
    };
    let failure = asked(&bench, &AppJournal::default(), &[&of("shop", taken)]).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::PortTaken);
    assert!(failure.detail().contains(&taken.to_string()), "{failure}");
    // Our own service waits there: that is no other program.
    let journal = running(&bench, &[(&of("shop", taken), 1)]);
    asked(&bench, &journal, &[&of("shop", taken)]).unwrap();
    drop(socket);
    let both = [&of("shop", 4_711), &of("mill", 4_711)];
    let failure = asked(&bench, &AppJournal::default(), &both).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::PortTaken);
    assert!(failure.detail().contains("mill/web") && failure.detail().contains("shop/web"));
}

#[test]
fn what_apps_say_of_each_other_holds_for_the_whole_set() {
    let bench = Bench::new();
    let with = |named: &str, change: fn(&mut AppDocument)| app(named).but(change);
    let name_of = |text: &str| text.parse().unwrap();
    let _ = name_of as fn(&str) -> crate::model::Identifier;
    let mill = with("mill", |d| d.requires.push("flour".parse().unwrap()));
    let farm = with("farm", |d| d.provides.push("flour".parse().unwrap()));
    let back = with("farm", |d| {
        d.provides.push("flour".parse().unwrap());
        d.requires.push("mill".parse().unwrap());
    });
    let rival = with("rival", |d| d.conflicts.push("flour".parse().unwrap()));
    let claims = ["one", "two"].map(|n| app(n).but(|d| d.claims.push("screen".parse().unwrap())));
    let none = AppJournal::default();
    let code = |journal: &AppJournal, apps: &[&App]| {
        asked(&bench, journal, apps).map(drop).map_err(|f| f.code())
    };
    assert_eq!(code(&none, &[&mill]), Err(ReasonCode::AppRequires));
    assert_eq!(code(&none, &[&mill, &farm]), Ok(()));
    assert_eq!(code(&none, &[&mill, &back]), Err(ReasonCode::DependencyCycle));
    assert_eq!(code(&none, &[&rival, &farm]), Err(ReasonCode::AppConflict));
    assert_eq!(code(&none, &[&claims[0], &claims[1]]), Err(ReasonCode::AppConflict));
    let journal = running(&bench, &[(&mill, 1), (&farm, 1)]);
    assert_eq!(code(&journal, &[&rival]), Err(ReasonCode::AppConflict));
    let remove = [AppAsk::Remove { app: name("farm") }];
    let ctx = bench.ctx();
    let failure = admit(&ctx, &journal, &remove, Allowed::default()).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::AppRequires);
    let both = [AppAsk::Remove { app: name("farm") }, AppAsk::Remove { app: name("mill") }];
    assert_eq!(admit(&ctx, &journal, &both, Allowed::default()).unwrap().moves.len(), 2);
    let gone = [AppAsk::Remove { app: name("none") }];
    let failure = admit(&ctx, &journal, &gone, Allowed::default()).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::NoSuchApp);
}

#[test]
fn reservations_of_the_whole_set_fit_the_device() {
    let mut bench = Bench::new();
    let of = |named: &str, cpu: u64, memory: u64| {
        let more = format!(
            r#"{{"replicas":2,"resources":{{"reserved_cpu":{cpu},"reserved_memory":{memory}}}}}"#
        );
        app(named).with("web", "one", &more)
    };
    // Two processors and 1 GiB.
    let journal = running(&bench, &[(&of("mill", 500, 256 << 20), 1)]);
    let asked_of = |bench: &Bench, cpu, memory| {
        asked(bench, &journal, &[&of("shop", cpu, memory)]).map(drop).map_err(|f| f.code())
    };
    assert_eq!(asked_of(&bench, 500, 256 << 20), Ok(()));
    assert_eq!(asked_of(&bench, 501, 0), Err(ReasonCode::ResourcesMissing));
    assert_eq!(asked_of(&bench, 0, 257 << 20), Err(ReasonCode::ResourcesMissing));
    bench.settings.reserved_memory = 1;
    assert_eq!(asked_of(&bench, 500, 256 << 20), Err(ReasonCode::ResourcesMissing));
}

#[test]
fn what_the_device_must_say_is_said() {
    let mut bench = Bench::new();
    let document = app("shop").but(|d| {
        d.external
            .insert(name("cloud"), crate::model::from_json(br#"{"variable":"API"}"#).unwrap());
        d.secrets.insert(name("pass"), crate::bundle::Secret { optional: false });
    });
    let document =
        document.with("web", "one", r#"{"variables":["API","SITE"],"secrets":["pass"]}"#);
    let missing = |bench: &Bench, what: &str| {
        let (found, text) = code(bench, &document);
        assert_eq!(found, ReasonCode::VariableMissing);
        assert!(text.contains(&format!("`{what}`")), "{text}");
    };
    missing(&bench, "cloud");
    bench.settings.external.insert("cloud".to_owned(), "https://x".to_owned());
    missing(&bench, "pass");
    let secrets = bench.settings.secrets.clone().unwrap();
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("pass"), "word").unwrap();
    missing(&bench, "SITE");
    bench.settings.variables.insert("SITE".to_owned(), "hall".to_owned());
    asked(&bench, &AppJournal::default(), &[&document]).unwrap();
}

#[test]
fn a_configuration_takes_what_its_rules_take_and_goes_on_with_the_next_release() {
    let bench = Bench::new();
    let rule = |d: &mut AppDocument| {
        let rule = r#"{"type":"integer","least":1,"most":9}"#;
        d.config.insert("level".to_owned(), crate::model::from_json(rule.as_bytes()).unwrap());
    };
    let mut journal = running(&bench, &[(&app("shop").but(rule), 1)]);
    let ctx = bench.ctx_with(None);
    let engine = FakeEngine::default();
    let set = |journal: &AppJournal, key: &str, value: &str| {
        let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let ask = [AppAsk::Configure { app: name("shop"), config }];
        let ctx = bench.ctx_with(Some(&engine));
        let admission = admit(&ctx, journal, &ask, Allowed::default())?;
        Ok::<_, Failure>(admission.moves[0].to.clone().unwrap())
    };
    let _ = ctx;
    for (key, value) in [("level", "10"), ("level", "x"), ("other", "1")] {
        let code = set(&journal, key, value).unwrap_err().code();
        assert_eq!(code, ReasonCode::SettingRefused, "{key} {value}");
    }
    let with_level: Generation = set(&journal, "level", "4").unwrap();
    assert_eq!(with_level.config["level"], "4");
    journal.sets[0].as_mut().unwrap().insert(name("shop"), with_level.clone());
    let next = asked(&bench, &journal, &[&app("shop").but(rule)]).unwrap();
    assert_eq!(next.moves[0].to.as_ref().unwrap().config["level"], "4");
    assert_eq!(set(&journal, "level", "").unwrap().config.len(), 0);
    assert_eq!(journal.set_of(SlotId::A).len(), 1);
}

#[test]
fn a_full_disk_and_data_that_cannot_be_taken_back_are_told_before_the_download() {
    let bench = Bench::new();
    let huge = app("shop").but(|d| d.disk = 1 << 49);
    let (found, text) = code(&bench, &huge);
    assert_eq!(found, ReasonCode::NoSpace);
    assert!(text.contains("GiB") && text.contains("free"), "{text}");
    let with = |schema: u32, readable_by: u32| {
        app("shop").but(|d| {
            let volume = crate::bundle::Volume { schema, readable_by, ..Default::default() };
            d.volumes.insert(name("rows"), volume);
        })
    };
    let journal = running(&bench, &[(&with(3, 3), 1)]);
    let failure = asked(&bench, &journal, &[&with(2, 2)]).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::SchemaOneWay);
    assert!(failure.detail().contains("volume rows"), "{failure}");
    asked(&bench, &journal, &[&with(4, 4)]).unwrap();
}

//! Apps on a simulated device, with an engine in memory: one word installs systems and bundles, one lock covers both.

use super::compose::Shop;
use crate::common::{Bench, forge, image};
use std::path::PathBuf;
use std::sync::Arc;
use surefoot::config::{Where, load};
use surefoot::device::{
    self, AppLogs, AppOrder, AppsDid, AppsWords, Installation, Installed, World,
};
use surefoot::engine::fake::{FakeEngine, FakeStart};
use surefoot::event::Nowhere;
use surefoot::model::{ReasonCode, Result};
use surefoot::source::{ByteStream, Source};
use surefoot::update::{Allowed, Order, Then};

const WEB: &str =
    "x-surefoot: { deadline: 5s, soak: 1s }\nservices: { web: { image: shop-web:1 } }\n";
const OTHER: &str = "x-surefoot: { deadline: 5s, soak: 1s }\nservices: { web: { image: shop-web:1, command: [x] } }\n";

struct Life {
    bench: Bench,
    shop: Shop,
    engine: FakeEngine,
}

impl Life {
    fn new() -> Life {
        Life { bench: Bench::new(), shop: Shop::new(), engine: FakeEngine::default() }
    }

    fn world(&self) -> World {
        let place = Where::File(PathBuf::from(self.bench.path("DEV/surefoot.toml")));
        let mut world = World::open(load(&place).unwrap().settings).unwrap();
        world.engine = Some(Arc::new(self.engine.clone()));
        world
    }

    /// A bundle that this device's key has signed, too.
    fn bundle(&self, compose: &str, version: &str) -> String {
        let key = self.bench.path("KEYS/release.key");
        let name = format!("{version}.surefoot");
        let counter = version.split('.').next().unwrap();
        std::fs::write(self.shop.path("compose.yaml"), compose).unwrap();
        let (file, images, out) =
            (self.shop.path("compose.yaml"), self.shop.path("images"), self.shop.path(&name));
        let words = [
            ["build", "--app"],
            ["shop", "--compose"],
            [&file, "--images"],
            [&images, "--product"],
            ["demo", "--compatible"],
            ["demo-board", "--version"],
            [version, "--counter"],
            [counter, "--key"],
            [&key, "-o"],
        ];
        forge(&[&words.concat()[..], &[&out]].concat()).ok();
        out
    }

    fn bring(&self, source: Source, apps: Option<AppsWords>) -> Result<Installed> {
        let ask = Installation {
            then: Then::Switch,
            allowed: Allowed::default(),
            order: Order::default(),
            hold_ok: false,
            anew: false,
            url: None,
            full: None,
            only: None,
            expected: None,
            dry_run: false,
            apps,
        };
        device::install(&self.world(), source, ask, &Nowhere)
    }

    fn install(&self, file: &str) -> Result<Installed> {
        self.bring(Source::open(file.as_ref()).unwrap(), None)
    }

    fn version(&self) -> Option<String> {
        let status = device::apps_status(&self.world()).unwrap();
        status.apps.first().map(|app| app.version.to_string())
    }

    fn runs(&self, what: &str) -> bool {
        let world = self.engine.world();
        world.now.containers.values().any(|c| {
            let command = c.spec.command.clone().unwrap_or_default().concat();
            c.state == surefoot::engine::ContainerState::Running && command == what
        })
    }
}

#[test]
fn a_bundle_is_installed_by_the_word_for_a_system_and_a_bad_one_comes_back() {
    let life = Life::new();
    let Installed::Apps(done) = life.install(&life.bundle(WEB, "1.0.0")).unwrap() else { panic!() };
    assert_eq!((done.did, done.text.as_str()), (AppsDid::Updated, "shop 1.0.0 runs."));
    assert!(life.runs("") && life.version().as_deref() == Some("1.0.0"));
    // The system is untouched.
    assert_eq!(life.bench.status()["state"], "idle");
    life.engine.plan(|plan| {
        plan.starts.insert("web".to_owned(), FakeStart::Ends(3));
    });
    let failure = life.install(&life.bundle(OTHER, "2.0.0")).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::ServiceEnded, "{failure}");
    life.engine.plan(|plan| plan.starts.clear());
    assert_eq!(life.version().as_deref(), Some("1.0.0"));
    // It is not tried again by itself.
    let again = life.install(&life.bundle(OTHER, "2.0.0")).unwrap_err();
    assert_eq!(again.code(), ReasonCode::RolledBackBefore, "{again}");
    assert_eq!(life.engine.complaints(), Vec::<String>::new());
}

#[test]
fn what_comes_once_is_laid_down_and_taken_away_again() {
    let life = Life::new();
    let bytes = std::fs::read(life.bundle(WEB, "1.0.0")).unwrap();
    let stream = || Source::Stream(ByteStream::new(std::io::Cursor::new(bytes.clone())));
    life.bring(stream(), None).unwrap();
    assert_eq!(life.version().as_deref(), Some("1.0.0"));
    let incoming = life.world().settings.device.state.join("bundles/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
    let short =
        Source::Stream(ByteStream::new(std::io::Cursor::new(bytes[..bytes.len() - 9].to_vec())));
    assert_eq!(life.bring(short, None).unwrap_err().code(), ReasonCode::SourceLost);
}

#[test]
fn an_app_goes_back_stops_starts_and_goes_without_a_file() {
    let life = Life::new();
    life.install(&life.bundle(WEB, "1.0.0")).unwrap();
    life.install(&life.bundle(OTHER, "2.0.0")).unwrap();
    assert!(life.runs("x") && !life.runs(""));
    let (app, order) = (|| "shop".parse().unwrap(), AppOrder::default());
    device::rollback_app(&life.world(), app(), None, &order, &Nowhere).unwrap();
    assert_eq!(life.version().as_deref(), Some("1.0.0"));
    device::stop_app(&life.world(), &app(), "me", &Nowhere).unwrap();
    assert!(!life.runs(""));
    // Stopped is stopped, also for who looks after services.
    device::look_after(&life.world(), &Nowhere).unwrap();
    assert!(!life.runs(""));
    device::start_app(&life.world(), &app(), "me", &Nowhere).unwrap();
    assert!(life.runs(""));
    let name = life.engine.world().now.containers.keys().next().unwrap().clone();
    life.engine.print(&name, "hello\n");
    let mut lines = Vec::new();
    let want = AppLogs { app: app(), service: None, last: None, follow: false };
    device::app_logs(&life.world(), &want, &mut |service, text| {
        lines.push(format!("{service}: {text}"));
        true
    })
    .unwrap();
    assert_eq!(lines, ["web: hello"]);
    device::remove_app(&life.world(), app(), true, &order, &Nowhere).unwrap();
    assert_eq!(life.version(), None);
    let gone = device::stop_app(&life.world(), &app(), "me", &Nowhere).unwrap_err();
    assert_eq!(gone.code(), ReasonCode::NoSuchApp);
}

#[test]
fn a_held_device_and_one_with_an_armed_system_take_no_app() {
    let life = Life::new();
    let bundle = life.bundle(WEB, "1.0.0");
    life.bench.surefoot(&["hold"]).ok();
    assert_eq!(life.install(&bundle).unwrap_err().code(), ReasonCode::Held);
    life.bench.surefoot(&["unhold"]).ok();
    life.bench.surefoot(&["install", &life.bench.release("2.0.0")]).ok();
    assert_eq!(life.install(&bundle).unwrap_err().code(), ReasonCode::TrialPending);
    assert_eq!(life.version(), None);
}

#[test]
fn a_joint_release_is_on_the_device_before_its_slot_is_armed_and_goes_with_it() {
    let life = Life::new();
    life.install(&life.bundle(WEB, "1.0.0")).unwrap();
    let (rootfs, joint) = (life.shop.path("rootfs"), life.shop.path("joint.surefoot"));
    std::fs::write(&rootfs, image(3, 1 << 20)).unwrap();
    let (key, bundle) = (life.bench.path("KEYS/release.key"), life.bundle(OTHER, "2.0.0"));
    let words = [
        ["build", "--raw"],
        ["--rootfs", &rootfs],
        ["--product", "demo"],
        ["--compatible", "demo-board"],
        ["--version", "2.0.0"],
        ["--key", &key],
        ["--with", &bundle],
        ["-o", &joint],
    ];
    forge(&words.concat()).ok();
    life.install(&joint).unwrap();
    let journal = life.world().apps_journal_document();
    assert_eq!(journal["sets"][0]["shop"]["version"], "1.0.0");
    assert_eq!(journal["sets"][1]["shop"]["version"], "2.0.0");
    // What runs goes on until the system is tried.
    assert!(life.runs("") && !life.runs("x"));
    assert_eq!(life.bench.status()["state"], "switching");
}

#[test]
fn the_words_for_apps_refuse_a_system_and_say_what_is_missing() {
    let life = Life::new();
    let system = life.bench.release("2.0.0");
    life.bench.surefoot(&["apps", "install", &system]).refused(65, "APP_INVALID");
    let bundle = life.bundle(WEB, "1.0.0");
    life.bench.surefoot(&["apps", "install", &bundle]).refused(78, "ENGINE_MISSING");
    let judged = life.bench.surefoot(&["verify", &bundle]).ok();
    assert!(judged.out.contains("for this device: the app shop 1.0.0"), "{}", judged.out);
    life.bench.surefoot(&["apps", "status", "shop"]).refused(66, "NO_SUCH_APP");
    let status = life.bench.surefoot(&["apps", "status", "--json"]).ok().json();
    assert_eq!((&status["v"], status["apps"].as_array().map(Vec::len)), (&1.into(), Some(0)));
    assert_eq!(life.bench.status()["state"], "idle");
}

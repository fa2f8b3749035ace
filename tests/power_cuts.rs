//! The power goes at every single write of a real installation, arming, commit and rollback on a
//! real disk image, whole or torn: the device boots a complete system and the next command goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::bootloaders::{On, scenes};
use crate::common::{self, Bench};

scenes! {
    install,
    install_over_an_older_system,
    commit,
    rollback_of_a_trial,
    rollback_after_a_commit,
    an_orderly_reboot_of_a_trial,
    an_orderly_reboot_when_the_time_is_over,
    a_drill,
    letting_updates_go_again,
    a_commit_with_programs_at_its_moments,
}

/// Writes after which no verb of this file is still writing.
const WRITES_MAX: usize = 200;

/// What is cut, from which state, and what the device may run after it.
struct Scene<'a> {
    verb: &'a [&'a str],
    may_run: &'a [&'a str],
}

/// Cuts the power at write after write of `scene` on copies of the device, until one run ends by
/// itself. Each copy must boot a complete system and then still take an update.
fn cut_everywhere(bench: &Bench, scene: &Scene, systems: &[Vec<u8>; 2]) -> usize {
    copy(&bench.path("DEV"), &bench.path("KEPT"));
    for cut in 0..WRITES_MAX {
        let mut ended = false;
        // Torn and not torn by turns; both at each write in the long run, and in tests/vm/crash-images.py.
        let both = ["0", "700"];
        let torn = if common::rounds(1) > 1 { &both[..] } else { &both[cut % 2..][..1] };
        for torn in torn {
            let plug = format!("{cut}:{torn}");
            let said = bench.surefoot_with(scene.verb, &[("SUREFOOT_SIM_CUT", &plug)], b"");
            ended = said.code != 99;
            assert!(said.code == 0 || !ended, "{:?}: {}", scene.verb, said.err);
            if !ended {
                let slot = bench.reboot(&[]);
                let place =
                    format!("{:?} cut at write {cut}, {torn} bytes of it landed", scene.verb);
                assert!(scene.may_run.contains(&slot.as_str()), "{place}: slot {slot} runs");
                let system = &systems[usize::from(slot == "b")];
                assert!(
                    bench.slot_bytes(&slot)[..system.len()] == system[..],
                    "{place}: slot {slot} is torn"
                );
                after(bench, &place);
            }
            std::fs::remove_dir_all(bench.path("DEV")).unwrap();
            copy(&bench.path("KEPT"), &bench.path("DEV"));
        }
        if ended {
            return cut;
        }
    }
    panic!("{:?} writes for ever", scene.verb)
}

/// Whatever happened, the device comes to rest and takes the next update.
fn after(bench: &Bench, place: &str) {
    let state = bench.status()["state"].as_str().unwrap_or("").to_owned();
    match state.as_str() {
        "trying" => {
            let said = bench.surefoot(&["commit"]);
            if said.code != 0 {
                // A drill: it was told to fail.
                said.refused(77, "HEALTH_FAILED");
                bench.reboot(&[]);
            }
        }
        // It was to be left, or to be armed, and the flip was cut: a person decides.
        "switching" => {
            bench.surefoot(&["rollback"]).ok();
            bench.reboot(&[]);
        }
        _ => {}
    }
    let next = bench.path("v9.0.0.surefoot");
    let said = bench.surefoot(&["install", &next]);
    assert_eq!(said.code, 0, "{place}: the next update: {}", said.err);
    bench.reboot(&[]);
    let said = bench.surefoot(&["commit"]);
    assert_eq!(said.code, 0, "{place}: {}", said.err);
    assert_eq!(bench.status()["state"], "updated", "{place}");
}

fn copy(from: &str, to: &str) {
    let done = std::process::Command::new("cp").args(["-a", "--sparse=always", from, to]).status();
    assert!(done.unwrap().success());
}

fn bench(on: On) -> Bench {
    let bench = on.bench();
    bench.release("9.0.0");
    bench.release("2.0.0");
    bench
}

fn image(bench: &Bench, name: &str) -> Vec<u8> {
    common::read(&bench.path(&format!("{name}.img")))
}

fn install(on: On) {
    let bench = bench(on);
    let systems = [image(&bench, "v1"), image(&bench, "v2.0.0")];
    let artifact = bench.path("v2.0.0.surefoot");
    let scene = Scene { verb: &["install", &artifact], may_run: &["a", "b"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 15, "an installation has more than {writes} writes");
}

fn install_over_an_older_system(on: On) {
    let bench = bench(on);
    bench.update_to("2.0.0");
    bench.update_to("2.1.0");
    let systems = [image(&bench, "v2.1.0"), common::image(77, 1 << 20)];
    let artifact = bench.artifact("over", 77, 1 << 20, &["--version", "2.2.0"]);
    let scene = Scene { verb: &["install", &artifact], may_run: &["a", "b"] };
    cut_everywhere(&bench, &scene, &systems);
}

fn commit(on: On) {
    let bench = bench(on);
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
    bench.reboot(&[]);
    let systems = [Vec::new(), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["commit"], may_run: &["b"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 3, "a commit has more than {writes} writes");
}

fn rollback_of_a_trial(on: On) {
    let bench = bench(on);
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
    bench.reboot(&[]);
    let systems = [image(&bench, "v1"), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["rollback"], may_run: &["a", "b"] };
    cut_everywhere(&bench, &scene, &systems);
}

fn rollback_after_a_commit(on: On) {
    let bench = bench(on);
    bench.update_to("2.0.0");
    let systems = [image(&bench, "v1"), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["rollback"], may_run: &["a", "b"] };
    cut_everywhere(&bench, &scene, &systems);
}

fn an_orderly_reboot_of_a_trial(on: On) {
    let bench = bench(on);
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
    bench.reboot(&[]);
    let systems = [Vec::new(), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["shutdown"], may_run: &["b"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 3, "keeping the time and giving back are more than {writes} writes");
}

fn an_orderly_reboot_when_the_time_is_over(on: On) {
    let bench = bench(on);
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
    bench.reboot(&[]);
    std::fs::write(bench.path("DEV/run/uptime"), "100000\n").unwrap();
    let systems = [image(&bench, "v1"), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["shutdown"], may_run: &["a", "b"] };
    cut_everywhere(&bench, &scene, &systems);
}

fn a_drill(on: On) {
    let bench = bench(on);
    bench.update_to("2.0.0");
    bench.update_to("2.1.0");
    let systems = [image(&bench, "v2.1.0"), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["drill"], may_run: &["a", "b"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 4, "a drill is announced and armed with more than {writes} writes");
}

fn letting_updates_go_again(on: On) {
    let bench = bench(on);
    let systems = [image(&bench, "v1"), Vec::new()];
    // Cut anywhere, nothing holds the next update back.
    bench.surefoot(&["hold", "--reason", "to see"]).ok();
    bench.surefoot(&["unhold"]).ok();
    let scene = Scene { verb: &["unhold"], may_run: &["a"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 1, "{writes}");
}

fn a_commit_with_programs_at_its_moments(on: On) {
    let bench = bench(on);
    let config = bench.path("DEV/surefoot.toml");
    let mut text = String::from_utf8(common::read(&config)).unwrap();
    for at in ["first-boot", "before-commit", "after-commit", "after-rollback"] {
        let hook =
            format!("\n[[hook]]\nname = \"{at}\"\nat = \"{at}\"\ncommand = [\"/bin/true\"]\n");
        text.push_str(&hook);
    }
    std::fs::write(&config, text).unwrap();
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
    bench.reboot(&[]);
    let systems = [Vec::new(), image(&bench, "v2.0.0")];
    let scene = Scene { verb: &["commit"], may_run: &["b"] };
    let writes = cut_everywhere(&bench, &scene, &systems);
    assert!(writes >= 12, "each program's words are kept: more than {writes} writes");
}

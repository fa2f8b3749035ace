#!/usr/bin/env python3
"""Whole updates on an arm64 machine: the real U-Boot, a real kernel, the binary that ships, a disk that keeps what was written.

    tests/vm/scenarios.py [NAME...]       NAME: a test method or a part of its name; without one all but SLOW below
    SUREFOOT_FULL=1       all of them
    SUREFOOT_FORGE=PATH   the surefoot-forge to build artifacts with; otherwise cargo builds it
    SUREFOOT_ARM64=PATH   the device binary; otherwise tests/vm/cargo-arm64 builds it
    SUREFOOT_LOGS=DIR     where the consoles are kept

Each test gives the guest a script that runs on every boot (SLOT, VERSION, BOOT say where it is; exit 10 reboots, 0 switches
off, anything else is a failure) and reads what it printed.  A boot takes 10 s on an idle core.
"""
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402

SLOT_MIB = 64
BOOT_PART_MIB = 49          # a megabyte more than its image: the slot record
BOOT_SECONDS = 900          # for one boot: it ends a hang, and no busy machine
# Only with SUREFOOT_FULL=1 or by name: what they promise is tried each time by a test without QEMU, too, in this file of tests/. And by one
# with it: the late panic in wks.py, the failing check in device.py, the cut of an installation in slots of two parts below.
SLOW = {
    "test_a_cut_plug_while_installing_goes_on_at_the_next_boot": ("resume.rs", "a_kill_at_any_moment_costs_only_what_was_missing"),
    "test_a_failing_health_check_comes_back_and_says_which_check": ("life.rs", "an_unhealthy_update_flips_back_at_once_and_is_not_tried_again"),
    "test_a_system_that_panics_late_comes_back_after_three_tries": ("life.rs", "a_system_that_never_comes_up_is_given_up_after_its_tries"),
    "test_a_second_update_goes_from_b_to_a": ("life.rs", "a_good_update_is_committed_and_the_next_goes_the_other_way"),
    "test_a_kernel_that_is_none_comes_back_at_once": ("life.rs", "a_kernel_that_does_not_load_gives_way_without_spending_tries"),
    "test_a_system_without_init_comes_back_after_three_panics": ("life.rs", "a_system_that_never_comes_up_is_given_up_after_its_tries"),
}
work = Path()
made = {}
boots = 0


def rootfs(version, variant="good", kind="ext4", parts=False):
    """The images of a system: the root filesystem, and with `parts` the boot part."""
    key = ("rootfs", version, variant, kind, parts)
    if key not in made:
        out = work / f"rootfs-{version}-{variant}-{kind}-{parts}"
        boot = [out.with_name(out.name + ".boot")] if parts else []
        bench.run(HERE / "rootfs", "-o", out, "--version", version, "--variant", variant, "--kind", kind, "--binary", made["binary"],
                  "--trust", work / "keys/trust.toml", *(word for image in boot for word in ("--boot", image)))
        made[key] = [out, *boot]
    return made[key]


def artifact(version, variant="good", kind="ext4", parts=False):
    key = ("artifact", version, variant, kind, parts)
    if key not in made:
        out = work / f"{version}-{variant}-{kind}-{parts}.surefoot"
        root, *boot = rootfs(version, variant, kind, parts)
        bench.run(made["forge"], "build", "--rootfs", root, *(word for image in boot for word in ("--part", f"boot={image}")),
                  "--product", "surefoot-bench", "--compatible", "qemu-arm64", "--version", version, "--key", work / "keys/release.key",
                  "--level", 3, "--context", "1M", "-o", out)
        made[key] = out
    return made[key]


def factory_disk(parts=False):
    key = ("disk", parts)
    if key not in made:
        board = bench.target("uboot-arm64") / "default.env"
        text = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "--board", board, "surefoot_counter=uboot",
                               f"surefoot_args={bench.ARGS}", "surefoot_panic=1"], stdout=subprocess.PIPE, text=True, check=True).stdout
        variables = bench.env_text_to_dict(text)
        variables.pop("surefoot_env")
        made[key] = work / f"factory-{parts}.img"
        root, *boot = rootfs("1.0.0", parts=parts)
        bench.disk_image(made[key], SLOT_MIB, root, data=empty_folder(), data_mib=32, total_mib=512 if parts else 256,
                         boot_files=[("boot.scr", bench.boot_scr())], env=variables, boot_parts=[*boot, None] if parts else None,
                         boot_part_mib=BOOT_PART_MIB)
    return made[key]


def empty_folder():
    folder = work / "empty"
    folder.mkdir(exist_ok=True)
    return folder


class Device:
    """A machine with its own disk, and the console of all its boots."""

    def __init__(self, test, script, artifacts, parts):
        self.name = test.id().rsplit(".", 1)[1]
        self.disk = work / f"{self.name}.img"
        bench.run("cp", "--sparse=always", factory_disk(parts), self.disk)
        folder = work / f"{self.name}.media"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "scenario").write_text("#!/bin/sh\n" + script)
        (folder / "scenario").chmod(0o755)
        for name, path in artifacts.items():
            os.link(path, folder / name)
        size = sum(p.stat().st_size for p in folder.iterdir()) * 11 // 10 // bench.MIB + 16
        self.media = bench.filesystem(work / f"{self.name}.disk2", folder, "ext4", size, "media")
        self.lines = []

    def run(self, limit, until=None):
        """Until the guest switches off (or `until` is seen, which is a cut plug). `limit` is the number of boots it may take."""
        logs = os.environ.get("SUREFOOT_LOGS")
        log = open(Path(logs, f"{self.name}.log"), "a") if logs else None

        def show(seconds, line):
            self.lines.append(line)
            if log:
                print(f"{seconds:8.2f} {line}", file=log, flush=True)

        machine = bench.Machine(self.disk, self.media)
        return machine.until(until and re.compile(until), limit * BOOT_SECONDS, show)

    def said(self, word):
        """What followed `BENCH word` in order."""
        return [l.split(f"BENCH {word} ", 1)[1] for l in self.lines if f"BENCH {word} " in l]

    def statuses(self):
        return [json.loads(text) for text in self.said("status")]

    def boots(self):
        return [re.match(r"slot=(.) version=(\S+) boot=(\d+)", text).groups()[:2] for text in self.said("up")]

    def stored(self):
        return bench.env_current(bench.env_read(self.disk))

    def console(self):
        return "\n".join(self.lines[-80:])


# The guest: report first, then act by where it is.
REPORT = """\
say() { echo "BENCH $*"; }
report() { say status "$(surefoot status --json | tr -d '\\n')"; }
step() { say "$1" "$("$@" 2>&1 | tr '\\n' '|')"; }
install() { surefoot install "$1" >/run/out 2>&1; say install $? "$(tail -n 3 /run/out | tr '\\n' '|')"; }
commit() { surefoot commit >/run/out 2>&1; say commit $? "$(tail -n 3 /run/out | tr '\\n' '|')"; }
report
"""


class Scenarios(unittest.TestCase):
    maxDiff = None

    def device(self, script, parts=False, **artifacts):
        return Device(self, REPORT + script, {f"{n}.surefoot": p for n, p in artifacts.items()}, parts)

    def finished(self, device, limit, **keywords):
        global boots
        end = device.run(limit, **keywords)
        boots += len(device.said("up"))
        self.assertEqual(end, "seen" if keywords else "ended", device.console())
        self.assertNotIn("BENCH scenario failed", device.console())

    def test_a_good_update_is_tried_committed_and_stays(self):
        device = self.device("""\
case $BOOT in
    1) install /media/v2.surefoot; report; exit 10;;
    2) commit; report; exit 10;;
    *) exit 0;;
esac
""", v2=artifact("2.0.0"))
        self.finished(device, 3)
        self.assertEqual(device.boots(), [("a", "1.0.0"), ("b", "2.0.0"), ("b", "2.0.0")], device.console())
        self.assertEqual([s["state"] for s in device.statuses()], ["idle", "switching", "trying", "updated", "updated"])
        self.assertEqual([device.stored()[n] for n in ("surefoot_slot", "upgrade_available")], ["b", "0"])

    def test_a_second_update_goes_from_b_to_a(self):
        device = self.device("""\
case $BOOT in
    1) install /media/v2.surefoot; exit 10;;
    2) commit; install /media/v3.surefoot; report; exit 10;;
    3) commit; report; exit 10;;
    *) exit 0;;
esac
""", v2=artifact("2.0.0"), v3=artifact("3.0.0"))
        self.finished(device, 4)
        self.assertEqual(device.boots(), [("a", "1.0.0"), ("b", "2.0.0"), ("a", "3.0.0"), ("a", "3.0.0")], device.console())
        self.assertEqual(device.statuses()[-1]["state"], "updated")
        self.assertEqual(device.stored()["surefoot_slot"], "a")

    def bad(self, variant, boots_of_b, limit):
        device = self.device("""\
case $SLOT$BOOT in
    a1) install /media/bad.surefoot; exit 10;;
    b*) commit; exit 10;;
    *) report; exit 0;;
esac
""", bad=artifact("2.0.0", variant))
        self.finished(device, limit)
        self.assertEqual(device.boots(), [("a", "1.0.0")] + [("b", "2.0.0")] * boots_of_b + [("a", "1.0.0")], device.console())
        self.assertEqual([device.stored()[n] for n in ("surefoot_slot", "upgrade_available", "bootcount")], ["a", "0", "0"])
        self.assertTrue(device.stored()["surefoot_fallback"])
        status = device.statuses()[-1]
        self.assertEqual((status["state"], status["last"]["to"], status["last"]["slot"]), ("rolled-back", "2.0.0", "b"), status)
        return device, status["last"]

    def test_a_kernel_that_is_none_comes_back_at_once(self):
        device, last = self.bad("bad-kernel", 0, 2)
        self.assertEqual(sum("starting slot b" in l for l in device.lines), 1, device.console())
        self.assertEqual(last["reason"], "BOOT_FAILED")

    def test_a_system_without_init_comes_back_after_three_panics(self):
        device, last = self.bad("bad-init", 0, 5)
        self.assertEqual(last["reason"], "BOOT_FAILED")
        self.assertEqual(sum("starting slot b" in l for l in device.lines), 3, device.console())
        self.assertEqual(sum("Kernel panic" in l for l in device.lines), 3, device.console())

    def test_a_system_that_panics_late_comes_back_after_three_tries(self):
        device, last = self.bad("panic", 3, 5)
        self.assertEqual(last["reason"], "BOOT_FAILED")
        self.assertEqual(sum("starting slot b" in l for l in device.lines), 3, device.console())

    def test_a_failing_health_check_comes_back_and_says_which_check(self):
        device, last = self.bad("bad-health", 1, 3)
        self.assertEqual([c.split()[0] for c in device.said("commit")], ["77"])
        self.assertEqual(last["reason"], "HEALTH_FAILED")
        self.assertIn("radio: exit status 1: the radio does not answer: version 2.0.0", last["detail"])

    def test_a_cut_plug_in_a_trial_costs_one_try_and_no_more(self):
        device = self.device("""\
case $SLOT$BOOT in
    a1) install /media/v2.surefoot; exit 10;;
    b2) say cut-me now; while true; do sleep 1; done;;
    b3) commit; report; exit 0;;
esac
""", v2=artifact("2.0.0"))
        self.finished(device, 3, until="BENCH cut-me")
        self.assertEqual(device.stored()["bootcount"], "1")
        self.finished(device, 2)
        self.assertEqual(device.boots(), [("a", "1.0.0"), ("b", "2.0.0"), ("b", "2.0.0")], device.console())
        self.assertEqual(device.statuses()[-1]["state"], "updated")

    def test_a_cut_plug_while_installing_goes_on_at_the_next_boot(self):
        device = self.device("""\
case $SLOT$BOOT in
    a1) (sleep 3; say cut-me now) & install /media/v2.surefoot; while true; do sleep 1; done;;
    a*) install /media/v2.surefoot; report; exit 10;;
    b*) commit; report; exit 0;;
esac
""", v2=artifact("2.0.0"))
        self.finished(device, 2, until="BENCH cut-me")
        self.finished(device, 3)
        self.assertEqual([slot for slot, _ in device.boots()][-1], "b", device.console())
        self.assertEqual(device.statuses()[-1]["state"], "updated")

    def test_slots_of_two_parts_are_updated_through_a_cut_plug(self):
        """The kernel and its initramfs come from a FAT of their own, and go with their root filesystem."""
        device = self.device("""\
case $SLOT$BOOT in
    a1) (sleep 3; say cut-me now) & install /media/v2.surefoot; while true; do sleep 1; done;;
    a*) install /media/v2.surefoot; report; exit 10;;
    b*) commit; report; step surefoot verify b; exit 0;;
esac
""", parts=True, v2=artifact("2.0.0", parts=True))
        self.finished(device, 2, until="BENCH cut-me")
        self.finished(device, 3)
        self.assertEqual([slot for slot, _ in device.boots()][-1], "b", device.console())
        status = device.statuses()[-1]
        self.assertEqual(status["state"], "updated")
        self.assertEqual([(p["part"], p["partition"]) for p in status["slots"]["b"]["parts"]], [("boot", "boot-b"), ("rootfs", "rootfs-b")])
        self.assertIn("exactly 2.0.0", device.said("surefoot")[-1])

    def test_a_squashfs_and_an_erofs_system_update_too(self):
        device = self.device("""\
case $BOOT in
    1) install /media/v2.surefoot; exit 10;;
    2) commit; install /media/v3.surefoot; exit 10;;
    3) commit; report; exit 0;;
esac
""", v2=artifact("2.0.0", kind="squashfs"), v3=artifact("3.0.0", kind="erofs"))
        self.finished(device, 3)
        self.assertEqual(device.boots(), [("a", "1.0.0"), ("b", "2.0.0"), ("a", "3.0.0")], device.console())


def patient(test):
    """The test, from the start once more where this host was too slow."""
    return functools.wraps(test)(lambda self: bench.unless_slow(lambda: test(self)))


for name in [n for n in vars(Scenarios) if n.startswith("test_")]:
    setattr(Scenarios, name, patient(getattr(Scenarios, name)))


def main():
    global work
    started = time.monotonic()
    made["binary"] = os.environ.get("SUREFOOT_ARM64") or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    made["forge"] = os.environ.get("SUREFOOT_FORGE")
    if not made["forge"]:
        subprocess.run(["cargo", "build", "--quiet", "--bin", "surefoot-forge"], cwd=bench.TOP, check=True)
        made["forge"] = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug/surefoot-forge"
    with bench.scratch("surefoot-scenarios-") as folder:
        work = Path(folder)
        bench.run(made["forge"], "keygen", "--out", work / "keys")
        chosen = bench.chosen_tests(Scenarios, SLOW, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"scenarios: {result.testsRun} tests, {boots} boots to userspace, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("scenarios: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A device that looks after itself: Debian with its real systemd in the slots, under the real U-Boot.

    tests/vm/device.py [NAME...]          NAME: a test method or a part of its name; without one all but SLOW below
    SUREFOOT_FULL=1                       all of them
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_LOGS: as for scenarios.py; SUREFOOT_HOST: a surefoot for this machine
    SUREFOOT_WORK=DIR                     keep disks and releases there, and use what is there

Nobody is logged in: the daemon alone tries, commits and goes back. The console tells what it does (debian/usr/lib/bench/watch).
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
from board import Board, Device, rootfs, stick  # noqa: E402

board = None
boots = 0

# Only with SUREFOOT_FULL=1 or by name: what they promise is tried each time by a test without QEMU, too, in this file of tests/.
SLOW = {
    "test_a_release_that_hangs_before_there_is_a_watchdog_needs_the_plug_each_time": ("postmortem.rs", "a_trial_without_a_trace_is_told_as_a_pulled_plug"),
    "test_a_daemon_that_is_killed_ten_times_in_1970_still_commits": ("daemon/kills.rs", "killed_at_thirty_moments_it_comes_to_the_same_end"),
    "test_a_drill_hangs_the_board_on_purpose_and_leaves_a_certificate": ("comes_home.rs", "a_drill_that_never_comes_up_is_certified_by_the_counter"),
    "test_a_release_that_ends_in_emergency_mode_comes_back": ("postmortem.rs", "a_boot_that_ends_without_a_word_is_told_with_its_last_line"),
    "test_a_release_that_panics_comes_back": ("postmortem.rs", "a_panic_of_a_boot_of_the_trial_is_found_by_the_next_one"),
    "test_a_release_whose_service_restarts_for_ever_comes_back": ("daemon/decides.rs", "an_unhealthy_one_is_left_at_its_deadline_and_the_old_one_says_why"),
    "test_a_stick_brings_an_update_and_takes_the_report": ("stick/daemon.rs", "the_daemon_installs_what_a_child_reads"),
    "test_a_release_that_fills_the_data_partition_comes_back": ("comes_home.rs", "a_full_data_partition_sends_the_new_system_home_and_is_named"),
    "test_a_daemon_with_nothing_to_do_is_small_and_never_wakes": ("daemon/idle.rs", "nothing_wakes_it_and_it_stays_small"),
    "test_a_daemon_without_a_data_partition_stays_and_says_so":
        ("daemon/trouble.rs", "a_state_folder_that_cannot_be_written_stops_updates_and_not_the_daemon"),
    "test_a_daemon_without_its_second_slot_stays_and_says_so": ("daemon/trouble.rs", "a_slot_that_is_missing_is_named"),
}

# The device's own script: asks again while somebody else is at work.
INSTALL = """\
#!/bin/sh
install() { until surefoot install "$@" >/run/out 2>&1; do [ $? = 75 ] || break; sleep 1; done; cat /run/out; }
"""
# What makes a release bad: files in the place of good ones.
LOOPS = [("/usr/lib/bench/app", "#!/bin/sh\nsleep 1\necho the database is of a newer version >&2\nexit 1\n", 0o755)]
ELSEWHERE = [("/etc/bench-address", "198.51.100.1/24\n", 0o644)]
HANGS = [("/usr/sbin/init", "#!/bin/sh\necho BENCH init hangs >/dev/console\nexec sleep infinity\n", 0o755)]
PANICS = [("/usr/sbin/init", "#!/bin/sh\nexit 1\n", 0o755)]
FILLS = [("/usr/lib/bench/release", """\
#!/bin/sh
fallocate -l "$(busybox df -k /data | busybox awk 'END { print $4 - 256 }')KiB" /data/full
busybox dd if=/dev/zero bs=1k of=/data/rest 2>/dev/null
busybox df -k /data
""", 0o755)]
MISSES = [("/etc/fstab", (HERE / "debian/etc/fstab").read_text() + "PARTLABEL=nowhere /srv ext4 x-systemd.device-timeout=2s 0 2\n", 0o644)]
CONFIGURATION = (HERE / "debian/etc/surefoot/surefoot.toml").read_text()
# The integrator's programs: asked, and told; a good one, one that is not ready yet, and two that nobody would write.
PROGRAMS = [("asked", "before-install", "10s"), ("later", "before-commit", "10s"), ("floods", "after-commit", "2s"), ("hangs", "after-commit", "2s")]
HOOKS = [("/etc/surefoot/surefoot.toml", CONFIGURATION + "".join(f"""
[[hook]]
name = "{name}"
at = "{moment}"
command = ["/usr/lib/bench/hook", "{name}"]
timeout = "{timeout}"
""" for name, moment, timeout in PROGRAMS) + """
[[health.check]]
name = "program"
command = ["/usr/lib/bench/hook", "check"]
""", 0o644)]
COMMITTED = re.search(r"## committed.*?MESSAGE_ID=(\w+)", (bench.TOP / "docs/events.md").read_text(), re.S)[1]
# What docs/integrator.md tells to check, on a board that takes so long to start that a stick is seen meanwhile.
STARTED = [("/usr/lib/bench/lan", "#!/bin/sh\nsleep 10\n" + (HERE / "debian/usr/lib/bench/lan").read_text(), 0o755), ("/etc/surefoot/surefoot.toml", CONFIGURATION + """
[[health.check]]
name = "services"
command = ["/usr/bin/systemctl", "is-system-running", "--wait"]
timeout = "2m"
""", 0o644)]
# First the slots have other names than the disk says, and then nobody can read the configuration at all. Nobody looks on.
LOST = [("/usr/lib/bench/release", """\
#!/bin/sh
mkdir -p /run/surefoot
[ ! -e /data/once ] || echo "this is no configuration" >/run/surefoot/lost.toml
[ -e /data/once ] || printf '[slots]\na = ["system-a"]\nb = ["system-b"]\n' >/run/surefoot/lost.toml
touch /data/once
echo "BENCH lost $(busybox head -n 1 /run/surefoot/lost.toml)"
""", 0o755), ("/usr/lib/bench/watch", "#!/bin/sh\nexec sleep infinity\n", 0o755)]
# Ten kills at odd moments from the start on, and the clock of a board whose battery is empty.
KILLS_AND_1970 = [("/usr/lib/bench/release", """\
#!/bin/sh
date -s @60 >/dev/null
(for pause in 0.1 0.3 1.7 0.6 2.9 0.2 4.1 0.5 3.3 1.1; do
    until pkill -9 -x surefoot; do sleep 0.05; done
    echo "BENCH killed at $(date +%Y)"
    sleep $pause
done) &
""", 0o755), ("/etc/surefoot/surefoot.toml", CONFIGURATION.replace('steady = "*"', 'steady = ["app.service", "lan.service"]'), 0o644)]

# The other end of the wire is a web server: busybox, which knows files, ranges and programs. It serves what is in the data partition.
CHANNEL = "http://192.0.2.2/stable.channel"
FOLLOWS = [("/etc/surefoot/surefoot.toml", CONFIGURATION.replace("[device]\n", '[device]\nid = "bench-7"\n') + f"""
[source]
channel = "{CHANNEL}"
poll = "1m"
""", 0o644), ("/usr/lib/bench/lan", (HERE / "debian/usr/lib/bench/lan").read_text()
            .replace("-h /etc", "-h /data/www").replace("sh -e\n", "sh -e\nuntil mountpoint -q /data; do sleep 0.1; done\n"), 0o755)]
REPORT = """\
#!/bin/sh
# Writes on the console what is posted, and which release has posted it.
echo "BENCH report by=$(cat /etc/version) $(busybox head -c "$CONTENT_LENGTH")" >/dev/console
printf 'Content-Type: text/plain\\r\\n\\r\\n'
"""


class Alone(unittest.TestCase):
    maxDiff = None

    def device(self, disk, **keywords):
        device = Device(board, self.id().rsplit(".", 1)[1], disk, **keywords)
        self.addCleanup(device.off)
        self.addCleanup(count, device)
        return device

    def disk(self, **keywords):
        return board.disk(self.id().rsplit(".", 1)[1], **keywords)

    def home(self, device, version, tries=1):
        """The trial of `version` in slot b ended, and slot a runs again and knows it: returns its status."""
        device.until(r"BENCH up version=1.0.0")
        device.until(r"BENCH STATUS")
        device.until(r"BENCH END")
        device.off()
        status = device.status()
        print(f"\n{status}")
        self.assertEqual(device.tries("b"), tries)
        self.assertRegex(status, "(?m)^state +rolled-back$")
        self.assertIn(version, status)
        return status

    def test_a_good_release_stays_and_one_that_loses_its_network_comes_back(self):
        script = INSTALL + """\
meanwhile() {
    until surefoot status --json | grep -q '"phase": *"write"'; do sleep 0.1; done
    for asked in doctor why "install /data/deaf"; do
        surefoot $asked --json >/run/meanwhile 2>&1
        echo "meanwhile $? $(grep -o 'BUSY\\|SLOT_MOUNTED' /run/meanwhile | sort -u)"
    done
}
case $(cat /etc/version) in
    1.0.0) meanwhile & install /data/good --reboot;;
    2.0.0) if [ -e /data/tried ]; then cat /data/asked; else
        surefoot wait updated --timeout 5m; /usr/lib/bench/looks COMMITTED
        touch /data/tried; install /data/deaf --reboot; fi;;
esac
""".replace("COMMITTED", COMMITTED)
        files = [("script", script, 0o755), ("good", board.artifact("2.0.0", HOOKS), 0o644), ("deaf", board.artifact("2.2.0", ELSEWHERE), 0o644)]
        device = self.device(self.disk(files=files), clock="2040-01-01T00:00:00")
        # The kernel gives a slot to one writer alone: a request that finds it so waits, and is not told of a mount.
        for status in 0, 0, 75:
            device.until(f"BENCH meanwhile {status} BUSY$")
        device.until("BENCH up version=2.0.0 surefoot.slot=b clock=2040-01-01")
        device.until("state updated")
        device.until("BENCH END")
        self.assertRegex(device.status(), r"(?m)^slot b +runs +2.0.0")
        self.programs_were_run(device)
        self.answers(device)
        said, = device.said("cost itself=")
        print(f"\n{said}")
        spent = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", said)}
        # On this machine a millisecond is a million instructions, a third of a millisecond on a desktop. What the checks of the integrator
        # run (systemctl, systemd-run, the eyes on the network) is told and not counted: that is as many as there are checks.
        self.assertLess(spent["itself"] + spent["blackbox"] - spent["cage"], 600)
        device.until("BENCH up version=2.2.0 surefoot.slot=a")
        device.until("BENCH up version=2.0.0 surefoot.slot=b")
        device.until("BENCH END")
        status = device.status()
        print(f"\n{status}")
        self.assertRegex(status, "(?m)^state +rolled-back$")
        self.assertRegex(status, "HEALTH_FAILED: lan: 192.0.2.2:80")
        self.assertEqual([v for _, v in device.boots()], ["1.0.0", "2.0.0", "2.2.0", "2.0.0"])
        environment, told = device.said("BENCH asked")[0].split(" ", 1)[1].split("{", 1)
        told = json.loads("{" + told)
        self.assertLessEqual({"moment": "before-install", "hook": "asked", "slot": "a", "booted": "b", "version": "2.2.0",
                              "from_version": "2.0.0", "state_folder": "/data/surefoot", "timeout": 10}.items(), told.items())
        for name, key in (("MOMENT", "moment"), ("SLOT", "slot"), ("VERSION", "version"), ("DIGEST", "digest"), ("STATE_FOLDER", "state_folder")):
            self.assertIn(f"SUREFOOT_{name}={told[key]}", environment.split())

    def programs_were_run(self, device):
        """The programs of HOOKS, by what the device has kept of them: each in a unit of its own, and ended with all that it started."""
        runs = json.loads(device.said("BENCH hooks")[0].split(" ", 1)[1])["runs"]
        self.assertEqual([(r["name"], r["answer"], r["ended"]) for r in runs],
                         [("later", "later", "exit status 75"), ("later", "go", "exit status 0"), ("floods", "veto", "not finished after 2 s"),
                          ("hangs", "veto", "not finished after 2 s")])
        self.assertIn("the line still runs", runs[0]["output"])
        self.assertLessEqual(len(runs[2]["output"]), 16 * 1024 + 1)
        self.assertIn(" bytes are left out]", runs[2]["output"])
        self.assertEqual(device.said("BENCH left"), ["left"])
        self.assertRegex(device.said("BENCH cgroup")[0], r"system.slice/surefoot-run-\d+-\d+\.service")

    def answers(self, device):
        """What debian/usr/lib/bench/looks has asked."""
        findings = json.loads(device.said("BENCH doctor")[0].split(" ", 1)[1])["findings"]
        print("\n" + "\n".join(f"{f['level']}: {f['topic']}: {f['text']}" for f in findings if f["level"] != "good"))
        self.assertEqual([f["level"] for f in findings if f["topic"] == "systemd"], ["good"])
        self.assertNotIn("blocking", [f["level"] for f in findings])
        self.assertEqual(len(device.said("BENCH report")[0].split()), 13)
        self.assertEqual(device.said("BENCH refused"), ["refused"])
        self.assertEqual(device.said("BENCH journal"), ["journal slot b stays"])
        self.assertRegex(device.said("BENCH why")[0], "the line runs")

    def test_a_release_of_the_channel_is_fetched_tried_kept_and_reported(self):
        """Nothing but a web server and units: one look, ranges of the artifact, a trial, and the end posted after the commit."""
        old, new = board.artifact("2.8.5", FOLLOWS), board.artifact("3.1.0", FOLLOWS)
        script = """\
#!/bin/sh
[ "$(cat /etc/version)" = 2.8.5 ] || exit 0
for _ in $(seq 150); do ! pid=$(pgrep -n -f 'surefoot fetch') || break; sleep 1; done
[ -n "$pid" ] || { journalctl -b -q -o short-monotonic -u 'surefoot*' -u lan.service; surefoot status; surefoot check-update; }
echo "fetcher $(busybox awk '/^(Uid|CapEff|NoNewPrivs)/ { printf "%s%s ", $1, $2 }' /proc/$pid/status) $(cat /proc/$pid/cgroup)"
"""
        site = board.channel([new], f"{CHANNEL.rsplit('/', 1)[0]}/cgi-bin/report")
        files = [("script", script, 0o755), ("www/cgi-bin/report", REPORT, 0o755)]
        files += [(f"www/{path.name}", path, 0o644) for path in site]
        device = self.device(self.disk(files=files, past=[old]))
        device.until("BENCH up version=2.8.5 surefoot.slot=b")
        fetcher = device.until(r"BENCH fetcher Uid:(\d+) CapEff:0+ NoNewPrivs:1 .*system-surefoot.*fetch.slice/surefoot-fetch@")
        self.assertTrue(61184 <= int(fetcher[1]) <= 65519, fetcher[0])
        device.until("BENCH up version=3.1.0 surefoot.slot=a")
        device.until("BENCH .* state updated")
        device.until('BENCH report by=3.1.0 .*"end":"updated"')
        reports = [(text.split(" ", 2)[1], json.loads(text.split(" ", 2)[2])) for text in device.said("BENCH report")]
        print(f"\n{reports}")
        self.assertEqual([(by, r["device"], r["version"], r["end"]) for by, r in reports],
                         [("by=2.8.5", "bench-7", "3.1.0", None), ("by=3.1.0", "bench-7", "3.1.0", "updated")])

    def test_a_release_whose_service_restarts_for_ever_comes_back(self):
        device = self.device(self.disk(trial=board.artifact("2.1.0", LOOPS)))
        status = self.home(device, "2.1.0")
        self.assertRegex(status, "app.service is activating|restarted")
        self.assertIn("the database is of a newer version", status)

    def test_a_release_that_hangs_is_reset_by_the_watchdog_that_its_initramfs_started(self):
        device = self.device(self.disk(trial=board.artifact("2.3.0", HANGS), tries=2))
        status = self.home(device, "2.3.0", tries=2)
        self.assertIn("BOOT_FAILED", status)
        self.assertRegex(status, r"(?m)^cause +it hung before its black box was there; the watchdog \(i6300ESB timer\) reset it, and nothing was written")
        self.assertEqual(len(device.said("init hangs")), 2)

    def test_a_release_that_hangs_before_there_is_a_watchdog_needs_the_plug_each_time(self):
        initramfs = rootfs.initramfs("ext4", init="#!/bin/busybox sh\necho BENCH nobody watches\nexec /bin/busybox sleep 1000000\n")
        device = self.device(self.disk(trial=board.artifact("2.6.0", [("/boot/initrd.img", initramfs, 0o644)]), tries=2))
        for _ in range(2):
            device.until("BENCH nobody watches")
            self.assertRaisesRegex(AssertionError, "no line", device.until, "U-Boot 20", 5)
            device.pull_the_plug("the kernel hangs, and nothing feeds or starts a watchdog")
        status = self.home(device, "2.6.0", tries=2)
        self.assertIn("BOOT_FAILED", status)
        self.assertRegex(status, "(?m)^cause .*like a pulled plug")

    def test_a_release_that_panics_comes_back(self):
        device = self.device(self.disk(trial=board.artifact("2.4.0", PANICS), tries=2))
        status = self.home(device, "2.4.0", tries=2)
        self.assertIn("BOOT_FAILED", status)
        self.assertRegex(status, "cause .*Kernel panic - not syncing: Attempted to kill init")
        self.assertEqual(sum(line.startswith("[") and "Kernel panic" in line and "end" not in line for line in device.lines), 2)

    def test_a_release_that_ends_in_emergency_mode_comes_back(self):
        device = self.device(self.disk(trial=board.artifact("2.11.0", MISSES), tries=2))
        status = self.home(device, "2.11.0", tries=2)
        self.assertIn("BOOT_FAILED", status)
        self.assertRegex(status, r'(?m)^cause +it ended in emergency mode, last in boot 2 of 2: ".*Dependency failed for srv.mount - /srv."$')
        self.assertEqual(device.said("up version=2.11.0"), [])

    def test_a_release_that_cannot_read_its_own_configuration_comes_back(self):
        device = self.device(self.disk(trial=board.artifact("2.12.0", LOST), tries=2))
        self.assertIn("BOOT_FAILED", self.home(device, "2.12.0", tries=2))
        self.assertEqual(device.said("lost "), ["lost [slots]", "lost this is no configuration"])

    def test_a_release_that_fills_the_data_partition_comes_back(self):
        # Installed on the device itself: its daemon has set a little room aside for this day.
        script = INSTALL + "[ $(cat /etc/version) != 1.0.0 ] || [ -e /data/full ] || install /data/filler --reboot\n"
        device = self.device(self.disk(files=[("script", script, 0o755), ("filler", board.artifact("2.5.0", FILLS), 0o644)]))
        device.until("BENCH up version=2.5.0")
        self.assertIn("HEALTH_FAILED: can-update-again", self.home(device, "2.5.0"))

    def test_a_daemon_that_is_killed_ten_times_in_1970_still_commits(self):
        device = self.device(self.disk(trial=board.artifact("2.7.0", KILLS_AND_1970)), clock="1970-01-01T00:00:00")
        device.until("state updated")
        device.until("BENCH END")
        self.assertRegex(device.status(), r"(?m)^slot b +runs +2.7.0")
        self.assertEqual(len(device.said("killed at 1970")), 10)

    def test_a_drill_hangs_the_board_on_purpose_and_leaves_a_certificate(self):
        script = INSTALL + """\
[ $(cat /etc/version) != 2.9.0 ] || [ -e /data/drilled ] || { sleep 3; touch /data/drilled; sync; surefoot drill hang; }
"""
        past = [board.artifact("2.8.0"), board.artifact("2.9.0")]
        device = self.device(self.disk(files=[("script", script, 0o755)], past=past, tries=2))
        device.until("BENCH up version=2.9.0 surefoot.slot=a")
        device.until("BENCH up version=2.8.0 surefoot.slot=b")
        device.until("BENCH up version=2.9.0 surefoot.slot=a")
        device.until("BENCH STATUS")
        device.until("BENCH drill .*rollback proven on this board, hang: [0-9]+ s")
        device.until("BENCH END")
        self.assertIn("a drill came home from 2.8.0", device.status())
        self.assertEqual(device.tries("b"), 2)

    def measured(self, device):
        """The two looks of debian/usr/lib/bench/measure."""
        found = [device.until(rf"measure {n} state=(\S+) restarts=(\d+) rss=(\d+) switches=(\d+) usec=(\d+) text=(.*)") for n in ("first", "second")]
        return [(f[1], *map(int, f.group(2, 3, 4, 5)), f[6]) for f in found]

    def test_a_daemon_with_nothing_to_do_is_small_and_never_wakes(self):
        device = self.device(self.disk(files=[("script", "#!/bin/sh\n/usr/lib/bench/measure\n", 0o755)]))
        (state, restarts, rss, before, spent, _), (_, _, _, after, later, _) = self.measured(device)
        print(f"\nrss {rss} KiB, {after - before} switches and {later - spent} us in an idle minute")
        self.assertEqual((state, restarts), ("active", 0))
        self.assertLess(rss, 6 * 1024)
        # The one that may come is the word to the watchdog, every 90 s.
        self.assertLessEqual(after - before, 2)

    def test_a_daemon_without_a_data_partition_stays_and_says_so(self):
        device = self.device(self.disk(data=False))
        self.suffers(device, "STATE_NOT_DURABLE")

    def test_a_daemon_without_its_second_slot_stays_and_says_so(self):
        disk = self.disk(files=[("script", "#!/bin/sh\n/usr/lib/bench/measure 130\n", 0o755)])
        bench.run("sgdisk", "-c", "3:elsewhere", disk)
        self.suffers(self.device(disk), "SLOT_MISSING")

    def suffers(self, device, code):
        (state, restarts, _, _, spent, text), (_, again, _, _, later, _) = self.measured(device)
        print(f"\n{later - spent} us in a minute; status text: {text}")
        self.assertEqual((state, restarts, again), ("active", 0, 0))
        self.assertIn(code, text)
        # It looks again now and then, and does not spin: a looking costs some milliseconds.
        self.assertLess(later - spent, 100_000)

    def test_a_stick_brings_an_update_and_takes_the_report(self):
        image = stick(board.work / "stick.img", [("V3.surefoot", board.artifact("3.0.0", STARTED))], 80)
        device = self.device(self.disk(), stick=image)
        device.until("BENCH .* state idle")
        device.plug_stick()
        # Pulled in the middle of the writing, and put in again.
        device.until("BENCH .* writing [3-6]. %")
        device.pull_stick()
        device.until("BENCH .*SOURCE_LOST")
        device.plug_stick()
        device.until("BENCH up version=3.0.0 surefoot.slot=b")
        device.until("BENCH .* state updated")
        for _ in range(30):
            device.rest(2)
            report = subprocess.run(["mtype", "-i", image, "::surefoot-report-*.txt"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            if "updated" in report:
                break
        print(f"\n{report}")
        self.assertIn("updated", report)
        self.assertIn("3.0.0", report)


def count(device):
    global boots
    boots += len(device.said("up version="))


def main():
    global board
    started = time.monotonic()
    target = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug"
    arm64, forge, host = (os.environ.get(n) for n in ("SUREFOOT_ARM64", "SUREFOOT_FORGE", "SUREFOOT_HOST"))
    arm64 = arm64 or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if not forge or not host:
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--bins"], cwd=bench.TOP, check=True)
    try:
        bench.target("debian-arm64")
    except subprocess.CalledProcessError as error:
        if error.returncode != 3:
            raise
        count = unittest.TestLoader().loadTestsFromTestCase(Alone).countTestCases()
        print(f"device: {count} tests, none of them run: no Debian to put into the slots; 0 failures, {count} skipped")
        return
    # A Debian is large: on the disk, not in memory.
    with tempfile.TemporaryDirectory(prefix="surefoot-device-") as folder:
        board = Board(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        chosen = bench.chosen_tests(Alone, SLOW, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"device: {result.testsRun} tests, {boots} boots to userspace, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("device: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

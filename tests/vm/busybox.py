#!/usr/bin/env python3
"""A device without systemd: BusyBox's init, rcS and rcK, and packaging/init, under the real U-Boot.

    tests/vm/busybox.py [NAME...]          as tests/vm/device.py, with the same variables

Nobody is logged in: the daemon, which a script has started, tries, commits and goes back.
"""
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
import board as boards  # noqa: E402
from board import Board, Device, rootfs  # noqa: E402

board = None
SLOW = {
    "test_a_trial_that_nobody_looks_after_ends": ("daemon/decides.rs", "an_unhealthy_one_is_left_at_its_deadline_and_the_old_one_says_why"),
    "test_a_trial_that_hangs_before_its_scripts_ends": ("daemon/decides.rs", "an_unhealthy_one_is_left_at_its_deadline_and_the_old_one_says_why"),
    "test_init_itself_supervises_the_daemon": ("daemon/kills.rs", "killed_at_thirty_moments_it_comes_to_the_same_end"),
}
APPLETS = "init setsid logger syslogd mountpoint swapoff watchdog readlink pidof wc sort cut tr stat id".split()
FILES = {
    "etc/inittab": """\
::sysinit:/etc/init.d/rcS
::respawn:/bin/watchdog -F -t 10 /dev/watchdog
::shutdown:/etc/init.d/rcK
::shutdown:/bin/umount -a -r
""",
    "etc/init.d/rcS": """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkdir -p /run/lock /run/tmp
syslogd -O /run/messages
for script in /etc/init.d/S??*; do "$script" start; done
""",
    "etc/init.d/rcK": """\
#!/bin/sh
for script in $(ls -r /etc/init.d/S??*); do "$script" stop; done
""",
    # One that reads what the first boot shows.
    "etc/init.d/S40network": """\
#!/bin/sh
[ "$1" = start ] || exit 0
echo "BENCH network: $(grep -o ' DATA [^ ]*' /proc/mounts) first-boot: $(cd RUN && echo first-boot*) $(cat /proc/sys/kernel/hostname)" >/dev/console
""",
    # What the bench waits for, on the console, and the script of the scenario.
    "etc/init.d/S99bench": """\
#!/bin/sh
[ "$1" = start ] || exit 0
exec >/dev/console 2>&1
echo "BENCH up version=$(cat /etc/version) $(grep -o 'surefoot.slot=.' /proc/cmdline) $(grep -o ' DATA [^ ]* [^ ]*' /proc/mounts)"
[ ! -x DATA/script ] || setsid sh -c "DATA/script 2>&1 | sed 's/^/BENCH /'" </dev/null &
setsid sh -c 'while :; do surefoot events --follow 2>&1 | while read -r line; do echo "BENCH $line"
    case $line in *" state "*) { echo STATUS; surefoot status; echo END; } | sed "s/^/BENCH /";; esac; done; sleep 1; done' </dev/null &
""",
    "etc/surefoot/surefoot.toml": """\
[device]
product = "surefoot-bench"
compatible = "qemu-arm64"
disk = "auto"

[update]
reboot = "now"

[trial]
deadline = "4m"

[health]
stable = "10s"
deadline = "60s"

[[health.check]]
name = "radio"
command = ["/usr/libexec/health"]
timeout = "30s"
""",
}
SICK = [("/etc/bench-unhealthy", "the antenna is off\n", 0o644)]
# Something that has the name of the daemon and is none; it does all else that is asked of it.
DEAF = [("/usr/bin/surefoot", "#!/bin/sh\n[ \"$1\" = daemon ] || exit 0\nexec sleep 1000000\n", 0o755)]
RESPAWNED = [
    ("/etc/inittab", FILES["etc/inittab"] + "::respawn:LIB/surefoot-init supervise\n", 0o644),
    # Stopped after the daemon, and slow.
    ("/etc/init.d/S50slow", """\
#!/bin/sh
[ "$1" = stop ] || exit 0
sleep 60
for one in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null <$one/cmdline; echo; done | grep -c '^BIN daemon $' | sed 's/^/BENCH slow: daemons /' >/dev/console
""", 0o755),
]
# The line of the guard comes first, as packaging/init/install puts it there. What hangs here comes before the scripts, and something
# feeds the hardware watchdog.
HANGS = [("/etc/inittab", """\
::sysinit:LIB/surefoot-init guard
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/watchdog -t 10 /dev/watchdog
::sysinit:/bin/sh -c "echo BENCH it hangs; sleep 1000000"
""", 0o644)]
INSTALL = """\
#!/bin/sh
install() { until surefoot install "$@" >/run/out 2>&1; do [ $? = 75 ] || break; sleep 1; done; cat /run/out; }
daemon() { for one in /proc/[0-9]*; do [ "$(tr '\\0' ' ' 2>/dev/null <$one/cmdline)" != "BIN daemon " ] || echo ${one#/proc/}; done; }
"""


def path(name):
    return subprocess.run([bench.TOP / "packaging/expand", "--get", name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def place(text):
    for name in ("DATA", "LIB", "BIN", "STATE", "LINKS", "RUN"):
        text = re.sub(rf"\b{name}\b", path(name), text)
    return text


def placed(changes):
    return [(name, place(content), mode) for name, content, mode in changes]


class Small(Board):
    """Releases of BusyBox in the place of Debian."""
    modules = ["i6300esb"]

    def base(self):
        out = self.work / "base.ext4"
        if out.exists():
            return out
        root = self.work / "root"
        rootfs.tree(root, "ext4", "0", "good", self.binary, self.work / "keys/trust.toml", [])
        for applet in APPLETS:
            if not (root / "bin" / applet).is_symlink():
                os.symlink("busybox", root / "bin" / applet)
        (root / "sbin/init").unlink()
        os.symlink("/bin/busybox", root / "sbin/init")
        (root / "etc/fw_env.config").write_text("".join(f"{path('LINKS')}/disk {at:#x} {bench.ENV_SIZE:#x}\n" for at in bench.ENV_OFFSETS))
        for name, content in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(place(content))
            (root / name).chmod(0o755 if "init.d" in name else 0o644)
        bench.run(bench.TOP / "packaging/init/install", root, "busybox")
        (root / "boot/Image").write_bytes(gzip.compress((bench.target("kernel-arm64") / "Image").read_bytes(), 6, mtime=0))
        (root / "boot/initrd.img").write_bytes(rootfs.initramfs("ext4", self.modules))
        bench.filesystem(self.work / "base.tmp", root, "ext4", boards.SLOT_MIB - 8)
        shutil.rmtree(root)
        os.rename(self.work / "base.tmp", out)
        return out


class Story(unittest.TestCase):
    def device(self, **keywords):
        name = self.id().rsplit(".", 1)[1]
        device = Device(board, name, board.disk(name, **keywords))
        self.addCleanup(device.off)
        return device


class WithoutSystemd(Story):
    def test_a_good_release_stays_and_a_bad_one_comes_back(self):
        """With one try for a trial: an orderly reboot in it is no failed boot, for rcK has the daemon stopped and says so last."""
        script = place(INSTALL + """\
case $(cat /etc/version) in
    1.0.0) until surefoot status >/dev/null; do sleep 1; done
        echo "links $(readlink LINKS/data) $(readlink LINKS/rootfs-a)"
        until before=$(daemon); [ -n "$before" ]; do sleep 1; done
        kill -9 $before; sleep 5; after=$(daemon)
        [ -n "$after" ] && [ "$before" != "$after" ] && echo "it is back"
        /etc/init.d/S60surefoot restart; sleep 3; echo "restarted $(surefoot status >/dev/null; echo $?) $(daemon | wc -l)"
        install DATA/preload/good.surefoot --reboot;;
    2.0.0) if [ ! -e DATA/once ]; then touch DATA/once; sync; echo "an orderly reboot"; reboot
        elif [ ! -e DATA/twice ]; then surefoot wait updated --timeout 5m; touch DATA/twice; sync; install DATA/sick --reboot
        else surefoot wait rolled-back --timeout 5m; echo STATUS; surefoot status; echo END; echo "over"; fi;;
esac
""")
        files = [("script", script, 0o755), ("preload/good.surefoot", board.artifact("2.0.0"), 0o644), ("sick", board.artifact("2.1.0", SICK), 0o644)]
        device = self.device(files=files, tries=1)
        device.until(rf"BENCH network:  {path('DATA')} ext4 first-boot: first-boot ")
        device.until(rf"BENCH up version=1.0.0 surefoot.slot=a +{path('DATA')} ext4 rw.*noatime")
        device.until(r"BENCH links \S*mmcblk0p4 \S*mmcblk0p2$")
        device.until("BENCH it is back$")
        device.until("BENCH restarted 0 1$")
        device.until("BENCH up version=2.0.0 surefoot.slot=b")
        device.until("BENCH an orderly reboot")
        device.until("BENCH up version=2.0.0 surefoot.slot=b")
        device.until("BENCH .*state updated")
        device.until("BENCH up version=2.1.0 surefoot.slot=a")
        device.until("BENCH up version=2.0.0 surefoot.slot=b")
        device.until("BENCH over")
        self.assertTrue(any("good.surefoot can be installed" in line for line in device.lines), "what is preloaded is listed at the end of the first boot")
        status = device.status()
        print(f"\n{status}")
        self.assertRegex(status, "(?m)^state +rolled-back$")
        self.assertRegex(status, "HEALTH_FAILED: radio")

    def test_a_trial_that_nobody_looks_after_ends(self):
        device = self.device(trial=board.artifact("2.2.0", DEAF), tries=1)
        device.until("BENCH up version=2.2.0 surefoot.slot=b")
        device.until("BENCH up version=1.0.0 surefoot.slot=a")
        device.until("BENCH .*state rolled-back")

    def test_a_trial_that_hangs_before_its_scripts_ends(self):
        """Without a hardware watchdog: it is fed."""
        device = self.device(trial=board.artifact("2.4.0", placed(HANGS)), tries=1)
        device.until("BENCH it hangs")
        device.until("BENCH up version=1.0.0 surefoot.slot=a", 1800)
        device.until("BENCH .*state rolled-back")

    def test_init_itself_supervises_the_daemon(self):
        """In a trial of one try, with an orderly reboot in it that takes its time after the daemon was stopped."""
        script = place(INSTALL + """\
[ "$(cat /etc/version)" != 1.0.0 ] || exit 0
if [ ! -e DATA/once ]; then touch DATA/once; sync; echo "an orderly reboot"; exec reboot; fi
surefoot wait updated --timeout 5m
for _ in 1 2 3; do one=$(daemon); kill -9 $one $(pidof -o $$ surefoot-init); sleep 5; [ "$one" = "$(daemon)" ] || echo "another"; done
echo "daemons $(daemon | wc -l)"
one=$(daemon); kill -9 $(pidof -o $$ surefoot-init); sleep 10; echo "still $(daemon | wc -l)"
one=$(daemon); kill -STOP $one; until two=$(daemon); [ -n "$two" ] && [ "$two" != "$one" ]; do sleep 30; done; echo "it hangs no more"
""")
        release = board.artifact("2.3.0", placed(RESPAWNED))
        device = self.device(files=[("script", script, 0o755)], trial=release, tries=1)
        device.until("BENCH up version=2.3.0 surefoot.slot=b")
        device.until("BENCH an orderly reboot")
        device.until("BENCH slow: daemons 0$")
        device.until("BENCH up version=2.3.0 surefoot.slot=b")
        for _ in range(3):
            device.until("BENCH another")
        device.until("BENCH daemons 1$")
        device.until("BENCH still 1$")
        device.until("BENCH it hangs no more$")


def main(case, kind, slow):
    global board
    name = Path(sys.argv[0]).stem
    started = time.monotonic()
    target = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug"
    arm64, forge, host = (os.environ.get(n) for n in ("SUREFOOT_ARM64", "SUREFOOT_FORGE", "SUREFOOT_HOST"))
    arm64 = arm64 or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if not forge or not host:
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--bins"], cwd=bench.TOP, check=True)
    with tempfile.TemporaryDirectory(prefix=f"surefoot-{name}-") as folder:
        board = kind(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        chosen = bench.chosen_tests(case, slow, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"{name}: {result.testsRun} tests, {len(result.failures) + len(result.errors)} failures, {len(result.skipped)} skipped, "
          f"{time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit(f"{name}: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main(WithoutSystemd, Small, SLOW)

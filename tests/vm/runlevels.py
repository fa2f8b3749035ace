#!/usr/bin/env python3
"""A device without systemd whose services are OpenRC's: BusyBox's init starts it, as Alpine Linux does, under the real U-Boot.

    SUREFOOT_FULL=1 tests/vm/runlevels.py [NAME...]       as tests/vm/device.py, with the same variables; without SUREFOOT_FULL nothing is tried
"""
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
import busybox  # noqa: E402
from board import Board  # noqa: E402
from busybox import FILES, INSTALL, Story, path, place  # noqa: E402

# The runlevel stands behind the name.
SERVICES = {
    "bench-mounts boot": """\
start() {
    mount -t sysfs sys /sys
    mkdir -p /run/lock /run/tmp
    busybox syslogd -O /run/messages
}
""",
    "bench-watchdog boot": """\
command=/bin/busybox
command_args="watchdog -F -t 10 /dev/watchdog"
command_background=yes
pidfile=/run/watchdog.pid
""",
    # Something feeds the hardware watchdog while it hangs.
    "bench-hangs sysinit": """\
start() {
    [ -e /etc/bench-hangs ] || return 0
    busybox watchdog -t 10 /dev/watchdog
    echo "BENCH it hangs" >/dev/console
    sleep 1000000
}
""",
    # One that reads what the first boot shows.
    "a-network boot": """\
depend() { provide net; }
start() {
    echo "BENCH network: $(grep -o ' DATA [^ ]*' /proc/mounts)" >/dev/console
}
""",
    "bench default": """\
depend() { after surefoot; }
start() { /usr/libexec/bench start; }
""",
}
INITTAB = """\
::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default
::shutdown:/sbin/openrc shutdown
::shutdown:/bin/busybox umount -a -r
"""


class Services(Board):
    """Releases of Debian with OpenRC in the place of systemd."""

    def finish(self, root):
        shutil.copytree(bench.target("openrc-arm64") / "etc", root / "etc", dirs_exist_ok=True, symlinks=True)
        for folder in ("bin", "sbin", "lib", "usr"):
            there = bench.target("openrc-arm64") / folder
            shutil.copytree(there, root / ("usr" if folder == "usr" else f"usr/{folder}"), dirs_exist_ok=True, symlinks=True)
        for program in ("init", "reboot"):
            (root / "usr/sbin" / program).unlink(missing_ok=True)
            os.symlink("/bin/busybox", root / "usr/sbin" / program)
        shutil.rmtree(root / "usr/lib/systemd")
        shutil.rmtree(root / "etc/systemd")
        bench.run("rm", "-rf", root / "var/lock")
        os.symlink("/run/lock", root / "var/lock")
        put(root, "etc/inittab", INITTAB)
        put(root, "etc/fstab", "")
        put(root, "etc/insserv.conf", "")
        put(root, "etc/fw_env.config", "".join(f"{path('LINKS')}/disk {at:#x} {bench.ENV_SIZE:#x}\n" for at in bench.ENV_OFFSETS))
        put(root, "etc/surefoot/surefoot.toml", FILES["etc/surefoot/surefoot.toml"])
        put(root, "usr/libexec/health", (HERE / "guest/health").read_text(), 0o755)
        put(root, "usr/libexec/bench", FILES["etc/init.d/S99bench"], 0o755)
        for words, content in SERVICES.items():
            name, runlevel = words.split()
            put(root, f"etc/init.d/{name}", "#!/sbin/openrc-run\n" + content, 0o755)
            os.symlink(f"/etc/init.d/{name}", root / f"etc/runlevels/{runlevel}/{name}")
        bench.run(bench.TOP / "packaging/init/install", root, "openrc")


def put(root, name, content, mode=0o644):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(place(content))
    (root / name).chmod(mode)


class OpenRC(Story):
    def test_an_orderly_reboot_in_a_trial_of_one_try_and_a_daemon_that_hangs(self):
        script = place(INSTALL + """\
[ "$(cat /etc/version)" != 1.0.0 ] || exit 0
if [ ! -e DATA/once ]; then touch DATA/once; sync; echo "an orderly reboot"; exec reboot; fi
surefoot wait updated --timeout 5m
one=$(daemon); kill -STOP $one; until two=$(daemon); [ -n "$two" ] && [ "$two" != "$one" ]; do sleep 30; done; echo "it hangs no more"
""")
        device = self.device(files=[("script", script, 0o755)], trial=busybox.board.artifact("3.0.0"), tries=1)
        device.until(rf"BENCH network:  {path('DATA')} ext4")
        device.until("BENCH up version=3.0.0 surefoot.slot=b")
        device.until("BENCH an orderly reboot")
        device.until("BENCH up version=3.0.0 surefoot.slot=b")
        device.until("BENCH .*state updated")
        device.until("BENCH it hangs no more$")

    def test_a_trial_that_hangs_before_its_services_ends(self):
        """Without a hardware watchdog: it is fed."""
        device = self.device(trial=busybox.board.artifact("3.1.0", [("/etc/bench-hangs", "", 0o644)]), tries=1)
        device.until("BENCH it hangs")
        device.until("BENCH up version=1.0.0 surefoot.slot=a", 1800)
        device.until("BENCH .*state rolled-back")


if __name__ == "__main__":
    if os.environ.get("SUREFOOT_FULL"):
        busybox.main(OpenRC, Services, {})
    else:
        print(f"runlevels: 0 passed, 0 failed, {sum(name.startswith('test_') for name in dir(OpenRC))} skipped (only with SUREFOOT_FULL=1)")

#!/usr/bin/env python3
"""System and apps in one transaction: Debian with its real systemd and podman under the real U-Boot.

    SUREFOOT_FULL=1 tests/vm/apps.py [NAME...]       NAME: a test method or a part of its name; without SUREFOOT_FULL nothing is tried
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_HOST, SUREFOOT_LOGS, SUREFOOT_WORK: as for device.py

What tests/apps/story tries on engines of this machine is tried there in all its ways; this is one life of a whole board: a stick brings a system
with a container app and a native one, and the next one is lost in its trial.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "apps")]
import bench  # noqa: E402
import board as boards  # noqa: E402
import images  # noqa: E402
from board import Board, Device, enable, stick  # noqa: E402

board = None
# The kernel of a release, its podman and two joint releases in the data partition: more room than other boards need.
boards.SLOT_MIB, boards.DATA_MIB, boards.DISK_MIB = 160, 320, 1024
boards.MODULES = [*boards.MODULES, "overlay"]
CONFIGURATION = (HERE / "debian/etc/surefoot/surefoot.toml").read_text() + """
[apps]
engine = "/run/podman/podman.sock"
host_network = true
"""
CHANGES = [
    ("/etc/surefoot/surefoot.toml", CONFIGURATION, 0o644),
    # Asks both apps for as long as this boot lasts, and tells each answer once.
    ("/usr/lib/bench/release", """\
#!/bin/sh
mkdir -p /data/containers /data/tmp
(
    last=
    while sleep 1; do
        now="apps shop=$(busybox wget -T 5 -q -O - http://127.0.0.1:8090/version) agent=$(cat /run/agent) unit=$(systemctl is-active agent.service)"
        [ "$now" = "$last" ] || echo "BENCH $now data=$(busybox md5sum </data/apps/shop/volumes/notes/first)"
        last=$now
    done
) 2>/dev/null &
# The second transaction, once the first has ended.
(
    until grep -q '^1.1.0' /etc/version && surefoot status | grep -q 'state *updated'; do sleep 2; done
    [ ! -e /data/second ] || exit
    touch /data/second
    until surefoot install /data/next.surefoot; do sleep 2; done
    surefoot status | sed 's/^/BENCH second /'
) 2>&1 &
""", 0o755),
]
COMPOSE = """\
services:
  web:
    image: shop-web
    command: [/app/web, "{version}"]
    network_mode: host
    volumes: ["notes:/notes"]
    healthcheck: {{ test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8090/version"], interval: 2s, timeout: 20s, retries: 30 }}
volumes:
  notes: {{}}
x-surefoot: {{ deadline: 120s, soak: 2s }}
"""
WEB = b"""#!/bin/sh
trap 'kill $!; exit 0' TERM
[ -e /notes/first ] || echo "$1 $$" >/notes/first
mkdir -p /tmp/www && echo "$1" >/tmp/www/version
httpd -f -p 127.0.0.1:8090 -h /tmp/www & wait $!
"""
NATIVE = 'x-surefoot: { kind: native, tree: tree-VERSION, units: [agent.service], deadline: 60s, soak: 2s }\n'
UNIT = """\
[Unit]
Description=The agent of this device
[Service]
ExecStart=@ROOT@/bin/agent
"""
AGENT = "#!/bin/sh\necho VERSION >/run/agent\nexec sleep infinity\n"


class Apps(Board):
    def finish(self, root):
        shutil.copytree(bench.target("podman-arm64"), root, dirs_exist_ok=True, symlinks=True)
        (root / "etc/containers/storage.conf").write_text('[storage]\ndriver = "overlay"\ngraphroot = "/data/containers"\nrunroot = "/run/containers"\n')
        (root / "etc/containers/containers.conf").write_text('[engine]\nimage_copy_tmp_dir = "/data/tmp"\nevents_logger = "file"\n')
        drop = root / "etc/systemd/system/podman.service.d"
        drop.mkdir(parents=True)
        (drop / "bench.conf").write_text("[Unit]\nRequiresMountsFor=/data\n[Service]\nEnvironment=TMPDIR=/data/tmp\n")
        enable(root, "podman.socket", "/usr/lib/systemd/system", "sockets.target")

    def bundle(self, app, version):
        """A signed bundle for the board."""
        folder = self.work / f"{app}-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "images").mkdir(parents=True)
        if app == "shop":
            busybox = (bench.target("busybox-arm64") / "busybox").read_bytes()
            files = {"bin/busybox": busybox, "app/web": WEB, **{f"bin/{tool}": "busybox" for tool in images.TOOLS}}
            images.Image("shop-web:latest", [images.layer(files)], "arm64").oci_archive(folder / "images/web.tar")
            (folder / "compose.yaml").write_text(COMPOSE.format(version=version))
        else:
            (folder / "compose.yaml").write_text(NATIVE.replace("VERSION", version))
            tree = folder / f"tree-{version}"
            (tree / "bin").mkdir(parents=True)
            (tree / "agent.service").write_text(UNIT)
            (tree / "bin/agent").write_text(AGENT.replace("VERSION", version))
            (tree / "bin/agent").chmod(0o755)
        out = self.work / f"{app}-{version}.surefoot"
        bench.run(self.forge, "build", "--app", app, "--compose", folder / "compose.yaml", "--images", folder / "images", "--product", "surefoot-bench",
                  "--compatible", "qemu-arm64", "--version", version, "--key", self.work / "keys/release.key", "--level", 1, "-o", out)
        return out

    def joint(self, version, bundles, changes=()):
        system, out = self.system(version, [*CHANGES, *changes]), self.work / f"joint-{version}.surefoot"
        more = [word for bundle in bundles for word in ("--with", bundle)]
        bench.run(self.forge, "build", "--rootfs", system, *more, "--product", "surefoot-bench", "--compatible", "qemu-arm64", "--version", version,
                  "--key", self.work / "keys/release.key", "--level", 1, "--context", "1M", "-o", out)
        system.unlink()
        return out


class Together(unittest.TestCase):
    maxDiff = None

    def test_a_stick_brings_system_and_apps_and_a_lost_trial_brings_both_back(self):
        first = board.joint("1.1.0", [board.bundle("shop", "1.0.0"), board.bundle("agent", "1.0.0")])
        # A system that never gets well, with apps that would.
        loops = [("/usr/lib/bench/app", "#!/bin/sh\nsleep 1\nexit 1\n", 0o755)]
        second = board.joint("1.2.0", [board.bundle("shop", "2.0.0"), board.bundle("agent", "2.0.0")], loops)
        image = stick(board.work / "stick.img", [("BOTH.surefoot", first)], 160)
        device = Device(board, "apps", board.disk("apps", files=[("next.surefoot", second, 0o644)]), stick=image)
        self.addCleanup(device.off)
        device.until("BENCH .* state idle", 3600)
        device.plug_stick()
        device.until("BENCH up version=1.1.0 surefoot.slot=b", 3600)
        data = device.until(r"BENCH apps shop=1.0.0 agent=1.0.0 unit=active data=(\w+)", 3600)[1]
        device.until("BENCH .* state updated", 3600)
        device.pull_stick()
        device.until("BENCH up version=1.2.0 surefoot.slot=a", 3600)
        # Both of the new set run while the system is on trial.
        device.until("BENCH apps shop=2.0.0 agent=2.0.0 unit=active", 3600)
        device.until("BENCH up version=1.1.0 surefoot.slot=b", 3600)
        back = device.until(r"BENCH apps shop=1.0.0 agent=1.0.0 unit=active data=(\w+)", 3600)
        self.assertEqual(back[1], data, "the notes of the app are those of before")
        device.until("BENCH .* state rolled-back|BENCH .*1.2.0 was rolled back", 3600)


def main():
    global board
    cases = unittest.TestLoader().loadTestsFromTestCase(Together).countTestCases()
    if not os.environ.get("SUREFOOT_FULL"):
        print(f"apps: 0 passed, 0 failed, {cases} skipped (only with SUREFOOT_FULL=1)")
        return
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
        print(f"apps: {cases} tests, none of them run: no Debian to put into the slots; 0 failures, {cases} skipped")
        return
    with tempfile.TemporaryDirectory(prefix="surefoot-apps-") as folder:
        board = Apps(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        board.system("1.0.0", CHANGES)
        chosen = bench.chosen_tests(Together, {}, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"apps: {result.testsRun} tests, {len(result.failures) + len(result.errors)} failures, {len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A disk of `surefoot-forge image` under the real U-Boot: it boots, takes an update from a stick, loses its power in the
middle, keeps a good release and comes back from a bad one.

    tests/vm/image.py
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_HOST, SUREFOOT_WORK, SUREFOOT_LOGS: as for device.py

What other programs say of such disks, and that the same recipe gives the same bytes, is tried in tests/disks, without QEMU.
"""
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
from board import Board, DISK_MIB, SLOT_MIB, Device, stick  # noqa: E402

BAD = [("/usr/lib/bench/app", "#!/bin/sh\necho the database is of a newer version >&2\nexit 1\n", 0o755)]
# A board whose units of a stick are there before the stick is.
SLOWLY = [("/usr/lib/bench/lan", "#!/bin/sh\nsleep 10\n" + (HERE / "debian/usr/lib/bench/lan").read_text(), 0o755)]
RECIPE = """\
product = "surefoot-bench"
compatible = "qemu-arm64"
[disk]
size = "{disk}M"
device = "/dev/mmcblk0"
[root]
rootfs = "{root}"
version = "1.0.0"
key = "keys/release.key"
level = 1
slot-size = "{slot}M"
[boot]
uboot-env = "{env}"
counter = "uboot"
size = "8M"
[boot.set]
surefoot_args = "{args} systemd.volatile=state systemd.show_status=0 mem=448M"
surefoot_panic = "1"
kernel_comp_addr_r = "0x50000000"
[data]
size = "64M"
preload = ["{preload}"]
[trust]
file = "keys/trust.toml"
"""


class Made(unittest.TestCase):
    def device(self, name, disk, **keywords):
        device = Device(board, name, disk, **keywords)
        self.addCleanup(device.off)
        return device

    def test_a_made_disk_boots_takes_updates_from_sticks_loses_its_power_and_comes_back(self):
        good, bad = board.artifact("2.0.0", SLOWLY), board.artifact("3.0.0", [*SLOWLY, *BAD])
        work = board.work
        recipe = work / "recipe.toml"
        # A delta of any kind may be preloaded; it is verified, and stays where it is.
        recipe.write_text(RECIPE.format(disk=DISK_MIB, slot=SLOT_MIB, root=board.system("1.0.0"),
                                        env=bench.target("uboot-arm64") / "default.env", preload=good, args=bench.ARGS))
        disk = work / "made.img"
        bench.run(board.forge, "image", recipe, "-o", disk)

        first = self.device("first", disk, stick=stick(work / "good.img", [("V2.surefoot", good)], 80))
        first.until("BENCH up version=1.0.0 surefoot.slot=a")
        first.until("BENCH END")
        # The slot record of the factory: the updater knows what runs.
        self.assertRegex(first.status(), r"(?m)^slot a +runs +1\.0\.0")
        first.plug_stick()
        first.until("BENCH .* writing [3-6]. %")
        first.pull_the_plug("in the middle of the writing")
        first.until("BENCH up version=1.0.0 surefoot.slot=a")
        first.plug_stick()
        first.until("BENCH up version=2.0.0 surefoot.slot=b")
        first.until("BENCH .* state updated")
        first.until("BENCH END")
        self.assertRegex(first.status(), r"(?m)^slot b +runs +2\.0\.0")
        first.off()

        second = self.device("second", disk, stick=stick(work / "bad.img", [("V3.surefoot", bad)], 80))
        second.until("BENCH up version=2.0.0 surefoot.slot=b")
        second.until("BENCH .* state (idle|updated)")
        second.plug_stick()
        second.until("BENCH up version=3.0.0 surefoot.slot=a")
        second.until("BENCH up version=2.0.0 surefoot.slot=b")
        second.until("BENCH STATUS")
        second.until("BENCH END")
        second.off()
        self.assertIn("HEALTH_FAILED", second.status())
        self.assertRegex(second.status(), r"(?m)^slot b +runs +2\.0\.0")


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
        print("image: 1 test, not run: no Debian to put into the slots; 0 failures, 1 skipped")
        return
    # A Debian is large: on the disk, not in memory.
    with tempfile.TemporaryDirectory(prefix="surefoot-image-") as folder:
        board = Board(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestLoader().loadTestsFromTestCase(Made))
    print(f"image: {result.testsRun} test, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

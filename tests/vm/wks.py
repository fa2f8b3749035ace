#!/usr/bin/env python3
"""The disk layout of the Yocto layer under real U-Boots: tests/yocto/layout.py makes a disk from the layer's .wks.in, and it is booted.

    tests/vm/wks.py [NAME...]       NAME: a test method or a part of its name
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_LOGS as in scenarios.py

The configuration on the disk (surefoot.toml, fw_env.config), U-Boot's configuration, its environment and the artifacts' words are the
layer's own; the root filesystem is the bench's, because nothing here builds an image with BitBake.
"""
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
sys.path[:0] = [str(HERE), str(HERE.parent / "yocto")]
import bench  # noqa: E402
import layout  # noqa: E402
from variables import LAYER, Variables, surefoot  # noqa: E402

BOOT_SECONDS = 900          # for one boot: it ends a hang, and no busy machine
STOCK = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")       # Debian's package u-boot-qemu
work = Path()
made = {}
boots = 0

# A product's own settings, as SUREFOOT_CONFIG brings them: they win over the layer's, entry by entry.
PRODUCT = """\
[[health.check]]
name = "services"
command = ["/usr/libexec/health"]
timeout = "30s"
"""

SCENARIO = """\
#!/bin/sh
say() { echo "BENCH $*"; }
say status "$(surefoot status --json | tr -d '\\n')"
install() { surefoot install "$1" >/run/out 2>&1; say install $? "$(tail -n 3 /run/out | tr '\\n' '|')"; }
case $VERSION$BOOT in
    1.0.0*) install /media/v2.surefoot; exit 10;;
    2.0.02) surefoot commit >/run/out 2>&1; say commit $? "$(tail -n 3 /run/out | tr '\\n' '|')"
            install /media/v3.surefoot; exit 10;;
    *) exit 0;;
esac
"""


def variables(**more):
    return Variables(SUREFOOT_SLOT_SIZE="64", SUREFOOT_BOOT_SIZE="34", SUREFOOT_DATA_SIZE="32", SUREFOOT_ARGS=bench.ARGS,
                     SUREFOOT_ENV_SET="surefoot_panic=1", SUREFOOT_KEYS=str(work / "keys"), SUREFOOT_LEVEL="3",
                     IMGDEPLOYDIR=str(work), WORKDIR=str(work), **more)


def rootfs(version, variant, disk):
    """The bench's system with the layer's configuration for that disk."""
    out = work / f"{version}-{Path(disk).name}.ext4"
    if not out.exists():
        d = variables(SUREFOOT_DISK=disk)
        pairs = []
        for name, text in (("surefoot/surefoot.toml", surefoot.configuration(d)), ("surefoot/z-product.toml", PRODUCT), ("fw_env.config", surefoot.fw_env_config(d))):
            file = work / f"{Path(disk).name}-{Path(name).name}"
            file.write_text(text)
            pairs += ["--add", f"{file}:/etc/{name}"]
        bench.run(HERE / "rootfs", "-o", out, "--version", version, "--variant", variant, "--binary", made["binary"], "--trust", work / "keys/trust.toml", *pairs)
    return out


def artifact(version, variant):
    out = work / f"{version}.surefoot"
    d = variables(SUREFOOT_VERSION=version)
    bench.run(made["forge"], "build", *surefoot.build(d), "--rootfs", rootfs(version, variant, "/dev/mmcblk0"), "-o", out)
    return out


def disk_of(name, root, script):
    """A disk by the layer's layout, on a card that is larger than the image, as cards are."""
    d = variables(IMAGE_LINK_NAME=root.stem)
    board = bench.target("uboot-layer") / "u-boot-initial-env"
    text = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "--board", board, *surefoot.environment(d)],
                          stdout=subprocess.PIPE, check=True).stdout
    (work / "env.txt").write_bytes(text)
    bench.run("mkenvimage", "-r", "-s", d.getVar("SUREFOOT_ENV_SIZE"), "-o", work / "surefoot-env.bin", work / "env.txt")
    folder = work / name
    folder.mkdir(exist_ok=True)
    for file, content in script.items():
        (folder / file).write_bytes(content)
    (work / "empty").mkdir(exist_ok=True)
    bench.filesystem(work / "surefoot-data.ext4", work / "empty", "ext4", 32, "data")
    out = work / f"{name}.img"
    layout.build(d.expand((LAYER / "files/wic/surefoot-uboot.wks.in").read_text()), out, work, sorted(folder.iterdir()))
    os.truncate(out, 256 * bench.MIB)
    return out


class Layout(unittest.TestCase):
    maxDiff = None

    def console(self, until=None, **machine):
        """The lines of a machine until it switches itself off, or until something is said."""
        global boots
        lines = []
        logs = os.environ.get("SUREFOOT_LOGS")
        log = open(Path(logs, f"wks-{self.id().rsplit('.', 1)[1]}.log"), "a") if logs else None

        def show(seconds, line):
            lines.append(line)
            if log:
                print(f"{seconds:8.2f} {line}", file=log, flush=True)

        end = bench.Machine(**machine).until(until and re.compile(until), 8 * BOOT_SECONDS, show)
        boots += sum("BENCH up " in line for line in lines)
        self.assertEqual(end, "seen" if until else "ended", "\n".join(lines[-60:]))
        return lines

    def test_it_boots_slot_a_with_debians_u_boot_which_can_store_nothing_there(self):
        disk = disk_of("stock", rootfs("1.0.0", "good", "/dev/vda"), {"boot.scr": bench.boot_scr()})
        lines = self.console(disk=disk, uboot=STOCK, card=["virtio-blk-pci,drive=card"])
        self.assertEqual([line for line in lines if "BENCH up " in line][0].split()[-4:-1], ["slot=a", "version=1.0.0", "boot=1"], "\n".join(lines))

    def test_a_trial_that_cannot_be_counted_is_refused(self):
        # The environment of a trial, as a stored one would bring it; then the script as it is.
        before = ("setenv surefoot_counter script; setenv upgrade_available 1; setenv bootcount 0; setenv bootlimit 3\n"
                  "setenv surefoot_slot b; setenv surefoot_good a\n"
                  "load ${devtype} ${devnum}:${distro_bootpart} ${loadaddr} real.scr && source ${loadaddr}\n")
        (work / "before.cmd").write_text(before)
        bench.run("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", work / "before.cmd", work / "before.scr")
        disk = disk_of("refused", rootfs("1.0.0", "good", "/dev/vda"), {"boot.scr": (work / "before.scr").read_bytes(), "real.scr": bench.boot_scr()})
        lines = self.console(disk=disk, uboot=STOCK, card=["virtio-blk-pci,drive=card"])
        self.assertTrue(any("the count cannot be stored, so the trial is refused" in line for line in lines), "\n".join(lines))
        self.assertEqual([line.split()[-4] for line in lines if "BENCH up " in line], ["slot=a"], "\n".join(lines))

    def test_the_whole_cycle_with_the_layers_own_u_boot(self):
        disk = disk_of("layer", rootfs("1.0.0", "good", "/dev/mmcblk0"), {"boot.scr": bench.boot_scr()})
        media = work / "media"
        shutil.rmtree(media, ignore_errors=True)
        media.mkdir()
        (media / "scenario").write_text(SCENARIO)
        (media / "scenario").chmod(0o755)
        for name, version, variant in (("v2", "2.0.0", "good"), ("v3", "3.0.0", "panic")):
            os.link(artifact(version, variant), media / f"{name}.surefoot")
        second = bench.filesystem(work / "media.ext4", media, "ext4", 96, "media")
        lines = self.console(disk=disk, media=second, uboot=bench.target("uboot-layer") / "u-boot.bin")
        everything = "\n".join(lines)
        up = [re.search(r"slot=(.) version=(\S+)", line).groups() for line in lines if "BENCH up " in line]
        self.assertEqual(up, [("a", "1.0.0"), ("b", "2.0.0")] + [("a", "3.0.0")] * 3 + [("b", "2.0.0")], everything[-6000:])
        self.assertIn("Loading Environment from MMC... ", everything)
        self.assertNotIn("bad CRC", everything)
        self.assertEqual([line.split("BENCH commit ", 1)[1].split()[0] for line in lines if "BENCH commit " in line], ["0"])
        states = [json.loads(line.split("BENCH status ", 1)[1]) for line in lines if "BENCH status " in line]
        self.assertEqual([s["state"] for s in states], ["idle", "trying", "rolled-back"])
        self.assertEqual((states[-1]["last"]["to"], states[-1]["last"]["slot"], states[-1]["last"]["reason"]), ("3.0.0", "a", "BOOT_FAILED"))
        stored = bench.env_current(bench.env_read(disk))
        self.assertEqual([stored[n] for n in ("surefoot_slot", "upgrade_available", "bootcount")], ["b", "0", "0"])
        self.assertTrue(stored["surefoot_fallback"])
        # Nothing of this has moved a partition.
        self.assertEqual([re.search(r"name: '(.*)'", bench.run("sgdisk", "-i", n, disk).stdout.decode())[1] for n in range(1, 5)], list(surefoot.PARTITIONS))


for name in [n for n in vars(Layout) if n.startswith("test_")]:
    setattr(Layout, name, (lambda test: lambda self: bench.unless_slow(lambda: test(self)))(getattr(Layout, name)))


def main():
    global work
    started = time.monotonic()
    bench.run(bench.TOP / "tests/packages", "u-boot-qemu")
    made["binary"] = os.environ.get("SUREFOOT_ARM64") or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    made["forge"] = os.environ.get("SUREFOOT_FORGE")
    if not made["forge"]:
        subprocess.run(["cargo", "build", "--quiet", "--bin", "surefoot-forge"], cwd=bench.TOP, check=True)
        made["forge"] = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug/surefoot-forge"
    with bench.scratch("surefoot-wks-") as folder:
        work = Path(folder)
        bench.run(made["forge"], "keygen", "--out", work / "keys")
        chosen = bench.chosen_tests(Layout, {}, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"wks: {result.testsRun} tests, {boots} boots to userspace, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("wks: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

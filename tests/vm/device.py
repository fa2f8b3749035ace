#!/usr/bin/env python3
"""A device that looks after itself: Debian with its real systemd in the slots, under the real U-Boot.

    tests/vm/device.py [NAME...]          NAME: a test method or a part of its name
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_LOGS: as for scenarios.py

Nobody is logged in: the daemon alone installs, tries, commits and goes back. The console tells what it does (debian/usr/lib/bench/watch).
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402

loader = SourceFileLoader("rootfs", str(HERE / "rootfs"))
rootfs = module_from_spec(spec_from_loader("rootfs", loader))
loader.exec_module(rootfs)

SLOT_MIB = 288
DISK_MIB = 1024
DATA_MIB = 128
work = Path()
made = {}
MODULES = ["xhci_pci", "usb_storage", "sd_mod", "i6300esb", "veth", "nls_ascii", "vfat"]
UNITS = ["surefoot.service", "surefoot-shutdown.service", "surefoot-status.socket", "surefoot-control.socket", "surefoot-probe.socket"]


def base():
    """The root file system that all releases share, as a folder."""
    if "base" in made:
        return made["base"]
    root = work / "root"
    bench.run("cp", "-a", "--reflink=auto", bench.target("debian-arm64") / "root", root)
    kernel = bench.target("kernel-arm64")
    version = (kernel / "version").read_text().strip()
    folder = root / "usr/lib/modules" / version
    folder.mkdir(parents=True)
    for name, content in rootfs.modules(kernel / "lib/modules" / version, MODULES):
        (folder / name).write_bytes(content)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(kernel / "lib/modules" / version / name, folder)
    bench.run("depmod", "-b", root, version)
    shutil.copytree(HERE / "debian", root, dirs_exist_ok=True, symlinks=True)
    (root / "boot").mkdir(exist_ok=True)
    shutil.copy(kernel / "Image", root / "boot/Image")
    (root / "boot/initrd.img").write_bytes(rootfs.initramfs("ext4"))
    (root / "data").mkdir()
    (root / "etc/machine-id").write_text("")
    units = root / "usr/lib/systemd/system"
    for path in (bench.TOP / "systemd").iterdir():
        if path.suffix in (".service", ".socket"):
            shutil.copy(path, units)
        elif path.suffix == ".rules":
            shutil.copy(path, root / "usr/lib/udev/rules.d")
        elif path.suffix == ".sysusers":
            shutil.copy(path, root / "usr/lib/sysusers.d/surefoot.conf")
    bench.run("systemd-sysusers", f"--root={root}")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    sockets = root / "etc/systemd/system/sockets.target.wants"
    sockets.mkdir(parents=True, exist_ok=True)
    for unit in UNITS:
        os.symlink(f"/usr/lib/systemd/system/{unit}", (sockets if unit.endswith("socket") else wants) / unit)
    for unit in ("app.service", "lan.service", "bench.service"):
        os.symlink(f"/etc/systemd/system/{unit}", wants / unit)
    shutil.copy(made["binary"], root / "usr/bin/surefoot")
    (root / "usr/share/surefoot").mkdir(parents=True, exist_ok=True)
    shutil.copy(work / "keys/trust.toml", root / "usr/share/surefoot/trust.toml")
    made["base"] = bench.filesystem(work / "base.ext4", root, "ext4", SLOT_MIB - 8)
    return made["base"]


def system(version, changes=()):
    """A release's root file system: the base, and these files (name, content, mode)."""
    out = work / f"system-{version}.ext4"
    bench.run("cp", "--sparse=always", base(), out)
    commands = []
    for number, (name, content, mode) in enumerate([("/etc/version", f"{version}\n".encode(), 0o644), *changes]):
        path = work / f"change-{version}-{number}"
        path.write_bytes(content)
        commands += [f"rm {name}", f"write {path} {name}", f"sif {name} mode 0{0o100000 | mode:o}", f"sif {name} uid 0", f"sif {name} gid 0"]
    done = subprocess.run(["debugfs", "-w", "-f", "-", out], input="\n".join(commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return out


def artifact(version, changes=()):
    out = work / f"{version}.surefoot"
    if not out.exists():
        bench.run(made["forge"], "build", "--rootfs", system(version, changes), "--product", "surefoot-bench", "--compatible", "qemu-arm64",
                  "--version", version, "--key", work / "keys/release.key", "--level", 3, "-o", out)
    return out


def factory_disk(data):
    board = bench.target("uboot-arm64") / "default.env"
    text = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "--board", board, "surefoot_counter=uboot",
                           "surefoot_args=console=ttyAMA0 quiet systemd.volatile=state systemd.show_status=0", "surefoot_panic=1"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    variables = bench.env_text_to_dict(text)
    variables.pop("surefoot_env")
    out = work / "factory.img"
    if "factory" not in made:
        made["factory"] = system("1.0.0")
    bench.disk_image(out, SLOT_MIB, made["factory"], data=data, data_mib=DATA_MIB, total_mib=DISK_MIB,
                     boot_files=[("boot.scr", bench.boot_scr())], env=variables)
    return out


class Alone(unittest.TestCase):
    maxDiff = None

    def test_the_daemon_commits_alone(self):
        data = work / "data"
        data.mkdir()
        (data / "surefoot").mkdir()
        shutil.copy(artifact("2.0.0"), data / "v2.surefoot")
        (data / "script").write_text("#!/bin/sh\n[ $(cat /etc/version) != 1.0.0 ] || surefoot install /data/v2.surefoot --reboot\n")
        (data / "script").chmod(0o755)
        disk = factory_disk(data)
        machine = bench.Machine(disk)
        show = lambda s, line: print(f"{s:8.2f} {line}", flush=True)
        end = machine.until(re.compile("state updated"), 200, show)
        self.assertEqual(end, "seen")


def main():
    global work
    made["binary"] = os.environ.get("SUREFOOT_ARM64") or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    made["forge"] = os.environ.get("SUREFOOT_FORGE")
    if not made["forge"]:
        subprocess.run(["cargo", "build", "--quiet", "--bin", "surefoot-forge"], cwd=bench.TOP, check=True)
        made["forge"] = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug/surefoot-forge"
    # A Debian is large: on the disk, not in memory.
    with tempfile.TemporaryDirectory(prefix="surefoot-device-") as folder:
        work = Path(folder)
        bench.run(made["forge"], "keygen", "--out", work / "keys")
        unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])


if __name__ == "__main__":
    main()

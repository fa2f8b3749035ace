"""A board with Debian in its slots, made without being root: the root file systems of its releases, its factory disk, a trial
that is about to begin, and the machine itself. device.py tells what happens to it.

The machine counts instructions, one a nanosecond (QEMU's -icount): what it measures does not depend on how busy the host is,
and time in which it idles passes at once. Deadlines of minutes cost nothing, and none is missed on a slow host.
"""
import gzip
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import bench

HERE = Path(__file__).resolve().parent
numbers = itertools.count()
loader = SourceFileLoader("rootfs", str(HERE / "rootfs"))
rootfs = module_from_spec(spec_from_loader("rootfs", loader))
loader.exec_module(rootfs)

SLOT_MIB = 112
DATA_MIB = 160
DISK_MIB = 512              # a power of two, above 24 + 2 slots + data
MODULES = ["autofs4", "xhci_pci", "usb_storage", "sd_mod", "i6300esb", "veth", "nls_ascii", "vfat"]
WATCHDOGS = ["i6300esb"]
# Memory that the kernel is told nothing of (mem=448M of 512) and that U-Boot leaves alone: what a dying kernel writes there is
# found by the next one.
RAMOOPS = "ramoops mem_address=0x5c000000 mem_size=0x100000 record_size=0x20000"

# What no board of this kind ships. The slots get smaller by half, and each boot shorter.
UNSHIPPED = ["usr/bin/perl*", "usr/bin/apt*", "usr/bin/dpkg*", "usr/lib/apt", "usr/lib/dpkg", "usr/lib/udev/hwdb*", "usr/lib/*/perl*",
             "usr/lib/*/libperl*", "usr/lib/*/libapt*", "usr/lib/*/libgnutls*", "usr/lib/*/libstdc++*", "usr/lib/*/libunistring*",
             "usr/lib/*/libdb-*", "usr/share/*", "usr/lib/systemd/systemd-networkd", "usr/lib/systemd/boot", "var/lib/dpkg", "var/cache/*",
             "var/log/*", "usr/lib/udev/rules.d/*-drm.rules", "usr/lib/udev/rules.d/*-sensor.rules", "usr/lib/udev/rules.d/*-camera.rules",
             "usr/lib/udev/rules.d/*-joystick.rules", "usr/lib/udev/rules.d/*alsa*", "usr/lib/udev/rules.d/*sound*",
             "etc/systemd/system/timers.target.wants/*"]
KEPT = ["dbus-1", "systemd"]          # below usr/share
MASKED = ["getty.target", "serial-getty@ttyAMA0.service", "e2scrub_reap.service", "systemd-hwdb-update.service", "ldconfig.service",
          "systemd-journal-catalog-update.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
          "systemd-user-sessions.service", "systemd-random-seed.service", "dev-hugepages.mount", "dev-mqueue.mount",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "modprobe@.service",
          "systemd-ask-password-wall.path", "systemd-ask-password-console.path", "systemd-initctl.socket", "systemd-fsckd.socket",
          "systemd-tmpfiles-clean.timer", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service"]


class Board:
    """Everything that the scenarios share, in one folder."""

    def __init__(self, work, binary, forge, host):
        """`binary` is for the board, `forge` and `host` (surefoot) are for this machine."""
        self.work, self.binary, self.forge, self.host = Path(work), Path(binary), Path(forge), Path(host)
        self.work.mkdir(exist_ok=True)
        if not (self.work / "keys").exists():
            bench.run(forge, "keygen", "--out", self.work / "keys")

    # ---- releases ----------------------------------------------------------------------------------------------------

    def base(self):
        """The root file system that all releases share."""
        out = self.work / "base.ext4"
        if out.exists():
            return out
        root = self.work / "root"
        shutil.rmtree(root, ignore_errors=True)
        bench.run("cp", "-a", "--reflink=auto", bench.target("debian-arm64") / "root", root)
        self.strip(root)
        kernel = bench.target(bench.KERNEL)
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
        # QEMU's card is slow: a third of the kernel is read, and U-Boot unpacks it where kernel_comp_addr_r says.
        (root / "boot/Image").write_bytes(gzip.compress((kernel / "Image").read_bytes(), 6, mtime=0))
        (root / "boot/initrd.img").write_bytes(rootfs.initramfs("ext4", [*WATCHDOGS, RAMOOPS]))
        (root / "data").mkdir()
        (root / "etc/machine-id").write_text("")
        install_units(root)
        for unit in ("app.service", "lan.service", "release.service", "bench.service"):
            enable(root, unit, "/etc/systemd/system")
        for unit in MASKED:
            link = root / "etc/systemd/system" / unit
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        shutil.copy(self.binary, root / "usr/bin/surefoot")
        (root / "usr/share/surefoot").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.work / "keys/trust.toml", root / "usr/share/surefoot/trust.toml")
        self.finish(root)
        bench.filesystem(self.work / "base.tmp", root, "ext4", SLOT_MIB - 8)
        shutil.rmtree(root)
        os.rename(self.work / "base.tmp", out)
        return out

    def finish(self, root):
        """What a suite of its own puts into the root file system of all its releases."""

    @staticmethod
    def strip(root):
        for pattern in UNSHIPPED:
            for path in root.glob(pattern):
                if path.parent == root / "usr/share" and path.name in KEPT:
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def system(self, version, changes=()):
        """A release's root file system: the base with these files in the place of its own, as (name, content, mode)."""
        out = self.work / f"system-{version}.ext4"
        if not out.exists():
            bench.run("cp", "--sparse=always", self.base(), out)
            edit(out, [("/etc/version", f"{version}\n", 0o644), *changes])
        return out

    def artifact(self, version, changes=()):
        out = self.work / f"{version}.surefoot"
        if not out.exists():
            system = self.system(version, changes)
            bench.run(self.forge, "build", "--rootfs", system, "--product", "surefoot-bench", "--compatible", "qemu-arm64",
                      "--version", version, "--key", self.work / "keys/release.key", "--level", 1, "--context", "1M", "-o", out)
            system.unlink()
        return out

    def channel(self, artifacts, report):
        """The files of a channel that offers these to every device, its own file last; devices post to `report`."""
        site = self.work / "www"
        shutil.rmtree(site, ignore_errors=True)
        shutil.rmtree(f"{site}.work", ignore_errors=True)
        keys = self.work / "keys"
        bench.run(self.forge, "channel", "init", site, "--product", "surefoot-bench", "--name", "stable", "--key", keys / "channel.key",
                  "--trust", keys / "trust.toml", "--report", report)
        for artifact in artifacts:
            bench.run(self.forge, "channel", "add", site, artifact)
        bench.run(self.forge, "channel", "publish", site)
        return sorted(site.iterdir(), key=lambda path: path.suffix == ".channel")

    # ---- disks -------------------------------------------------------------------------------------------------------

    def factory(self):
        """The disk as the factory leaves it, with an empty data partition."""
        out = self.work / "factory.img"
        if not out.exists():
            board = bench.target("uboot-arm64") / "default.env"
            text = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "--board", board, "surefoot_counter=uboot",
                                   f"surefoot_args={bench.ARGS} systemd.volatile=state systemd.show_status=0 mem=448M", "surefoot_panic=1", "kernel_comp_addr_r=0x50000000"],
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            variables = bench.env_text_to_dict(text)
            variables.pop("surefoot_env")
            bench.disk_image(out, SLOT_MIB, self.system("1.0.0"), data_mib=DATA_MIB, total_mib=DISK_MIB,
                             boot_files=[("boot.scr", bench.boot_scr())], env=variables)
        return out

    def disk(self, name, trial=None, files=(), data=True, past=(), tries=None):
        """A disk of its own: the factory's, with these files in its data partition, and the artifacts of `past` installed and kept
        one after the other, and that of `trial` installed and armed. A trial has three tries, or `tries`.

        The trial is installed by the same program, on the image: what the board would do in a minute takes a second.
        """
        out = self.work / f"{name}.img"
        bench.run("cp", "--sparse=always", self.factory(), out)
        if tries:
            copies = map(bench.env_unpack, bench.env_read(out))
            bench.env_write(out, [bench.env_pack({**variables, "bootlimit": tries}, serial) for serial, variables in copies])
        folder = self.work / f"{name}.data"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "surefoot").mkdir(parents=True)
        for file, content, mode in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                os.link(content, folder / file)
            else:
                (folder / file).write_text(content)
                (folder / file).chmod(mode)
        running = "a"
        for release in past:
            # It was installed, booted and kept before this story begins.
            self.arm(out, release, folder / "surefoot", running)
            running = "b" if running == "a" else "a"
            self.keep(out, folder / "surefoot", running)
        if trial:
            self.arm(out, trial, folder / "surefoot", running)
        if data:
            at = (bench.BOOT_OFFSET // bench.MIB) + 8 + 2 * SLOT_MIB
            image = bench.filesystem(self.work / f"{name}.ext4", folder, "ext4", DATA_MIB, "data")
            bench.run("dd", f"if={image}", f"of={out}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")
            image.unlink()
        shutil.rmtree(folder)
        return out

    def keep(self, disk, state, booted):
        place = self.device(disk, state, booted)
        bench.run("fw_setenv", "-c", place / "fw_env.config", "bootcount", "1")
        bench.run(self.host, "--config", place / "surefoot.toml", "commit", "--force", "--reason", "it was good")

    def arm(self, disk, trial, state, booted):
        place = self.device(disk, state, booted)
        bench.run(self.host, "--config", place / "surefoot.toml", "install", trial)

    def device(self, disk, state, booted):
        """The board as seen from this machine: a folder with its configuration."""
        place = self.work / "arm"
        place.mkdir(exist_ok=True)
        (place / "booted").write_text(f"{booted}\n")
        (place / "fw_env.config").write_text("".join(f"{disk} {offset:#x} {bench.ENV_SIZE:#x}\n" for offset in bench.ENV_OFFSETS))
        (place / "surefoot.toml").write_text(f'''
[device]
product = "surefoot-bench"
compatible = "qemu-arm64"
disk = "{disk}"
booted = "{place}/booted"
state = "{state}"
[trust]
file = "{self.work}/keys/trust.toml"
[boot]
fw_env_config = "{place}/fw_env.config"
[daemon]
folder = "{place}/run"
''')
        return place


def edit(image, files):
    """Puts files (name, content, mode) into an ext4 image that nobody has mounted."""
    commands, scraps = [], []
    for number, (name, content, mode) in enumerate(files):
        path = Path(f"{image}.{number}")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        scraps.append(path)
        commands += [f"rm {name}", f"write {path} {name}", f"sif {name} mode 0{0o100000 | mode:o}", f"sif {name} uid 0", f"sif {name} gid 0"]
    done = subprocess.run(["debugfs", "-w", "-f", "-", image], input="\n".join(commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    for path, (name, _, _) in zip(scraps, files):
        there = subprocess.run(["debugfs", "-R", f"cat {name}", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        assert there == path.read_bytes(), f"{image}: {name} was not written\n{done.stdout}"
        path.unlink()


def install_units(root):
    """Surefoot's units as a package would install them."""
    bench.run(bench.TOP / "systemd/install", root)
    bench.run("systemd-sysusers", f"--root={root}")
    for unit in sorted((bench.TOP / "systemd").glob("*.*")):
        for wanted in re.findall(r"^WantedBy=(\S+)", unit.read_text(), re.M):
            enable(root, unit.name, "/usr/lib/systemd/system", wanted)


def enable(root, unit, place, wanted="multi-user.target"):
    wants = root / "etc/systemd/system" / f"{wanted}.wants"
    wants.mkdir(parents=True, exist_ok=True)
    os.symlink(f"{place}/{unit}", wants / unit)


def stick(out, files, mib):
    """A stick without a partition table, FAT32, with these files (name, path)."""
    with open(out, "wb") as image:
        image.truncate(mib * bench.MIB)
    bench.run("mformat", "-i", out, "-F", "-v", "STICK", "::")
    for name, path in files:
        bench.run("mcopy", "-i", out, path, f"::{name}")
    return out


# ---- the machine ------------------------------------------------------------------------------------------------------

class Device:
    """One machine and the console of all its boots."""

    def __init__(self, board, name, disk, stick=None, clock=None, kernel=None):
        """`kernel`: its image, its initramfs and its command line, where no U-Boot is to start it; the disk is /dev/vda then."""
        self.name, self.disk, self.lines, self.looked, self.kernel, self.parts = name, disk, [], 0, kernel, {}
        logs = os.environ.get("SUREFOOT_LOGS")
        self.log = open(Path(logs, f"{name}.log"), "w") if logs else None
        # A socket's path has at most 107 bytes.
        self.socket = board.work / f"{next(numbers)}.qmp"
        self.extra = ["-icount", "shift=0,sleep=off", "-device", "i6300esb", "-action", "watchdog=reset", "-rtc",
                      f"base={clock or '2026-06-01T12:00:00'},clock=vm", "-device", "qemu-xhci,id=usb",
                      "-qmp", f"unix:{self.socket},server=on,wait=off"]
        if stick:
            # Not -drive: its image would go with the first pull.
            self.extra += ["-blockdev", f"driver=raw,node-name=stick,file.driver=file,file.filename={stick}"]
        self.machine = None

    def until(self, pattern, timeout=600):
        """Goes on until a line of the console is like `pattern`, and returns its match. The machine goes on meanwhile."""
        if self.machine is None:
            self.machine = bench.Machine(self.disk, kernel=self.kernel, extra=self.extra, **self.parts)
        deadline = time.monotonic() + timeout
        while True:
            while self.looked < len(self.lines):
                found = re.search(pattern, self.lines[self.looked])
                self.looked += 1
                if found:
                    return found
            new = self.machine.read(deadline)
            if new is None or not new and time.monotonic() >= deadline:
                end = "the machine ended" if new is None else f"none in {timeout} s"
                raise AssertionError(f"{self.name}: no line like {pattern!r}: {end}\n" + "\n".join(self.lines[-60:]))
            self.lines += [line for _, line in new]
            if self.log:
                self.log.writelines(f"{seconds:8.2f} {line}\n" for seconds, line in new)
                self.log.flush()

    def rest(self, seconds):
        """So long nobody waits for anything."""
        try:
            self.until("(?!)", seconds)
        except AssertionError:
            if self.machine.process.poll() is not None:
                raise

    def pull_the_plug(self, why):
        """Power off and on, by the bench: told, so that nobody takes it for something that the device did."""
        self.machine.cut()
        self.machine = None
        told = f"(the bench pulls the plug: {why})"
        self.lines.append(told)
        print(f"\n{told}", end="")
        if self.log:
            print(f"{0:8.2f} {told}", file=self.log)

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            lines = connection.makefile("rw")
            lines.readline()
            for one in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(one) + "\n")
                lines.flush()
                while "event" in (answer := json.loads(lines.readline())):
                    pass
                assert "error" not in answer, answer

    def plug_stick(self):
        self.qmp("device_add", driver="usb-storage", id="stick", drive="stick", removable=True)

    def pull_stick(self):
        self.qmp("device_del", id="stick")

    def off(self):
        if self.machine:
            self.machine.cut()
            self.machine = None

    def said(self, pattern):
        """All lines of the bench's own that are like this."""
        return [l.split("BENCH ", 1)[1] for l in self.lines if "BENCH " in l and re.search(pattern, l)]

    def boots(self):
        """(slot, version) of every boot that came as far as the bench's unit."""
        return [re.search(r"version=(\S+) surefoot.slot=(.)", l).group(2, 1) for l in self.said("up version=")]

    def tries(self, slot):
        return sum(f"starting slot {slot}" in l for l in self.lines)

    def status(self):
        """The last whole status on the console."""
        text = "\n".join(l.split("BENCH", 1)[1].strip() for l in self.lines if "BENCH" in l)
        whole = re.findall(r"^STATUS$\n(.*?)^END$", text, re.M | re.S)
        return whole[-1] if whole else ""

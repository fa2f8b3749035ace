"""The parts of the bench that its programs share: disk images, environment copies, and U-Boot's sandbox build.

Everything works on ordinary files; no root, no mount, no loop device.
"""
import functools
import hashlib
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
CACHE = Path(os.environ.get("SUREFOOT_CACHE") or Path.home() / ".cache/surefoot")
MIB = 1 << 20
# Where the boot scripts are taken from; boot-script.py --mistakes puts spoilt ones in their place.
SCRIPTS = Path(os.environ.get("SUREFOOT_UBOOT_SCRIPTS") or TOP / "uboot-scripts")

# The target of tests/vm/setup whose kernel is put into root file systems, and the modules with which it finds its disk.
KERNEL = "kernel-arm64"
DISK_MODULES = ["sdhci_pci", "virtio_pci", "virtio_blk"]
# What every kernel here is told. The emulator drops what it knows of addresses whenever the address space is another, and a kernel at a
# random place makes that at each system call (KPTI); code at another address in each process is translated anew. A third of a boot goes there.
ARGS = "console=ttyAMA0 quiet nokaslr norandmaps"

# The factory layout of docs/uboot-environment.md.
ENV_SIZE = 0x4000
ENV_OFFSETS = (4 * MIB, 8 * MIB)
BOOT_OFFSET = 16 * MIB


@functools.cache
def target(name):
    """The folder of a target of tests/vm/setup, made if it is not there."""
    done = subprocess.run([HERE / "setup", "-p", name], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def program(name):
    """One of the project's programs for this machine; the one of SUREFOOT_BIN, or cargo builds it."""
    if folder := os.environ.get("SUREFOOT_BIN"):
        return Path(folder, name)
    run("cargo", "build", "--quiet", "--locked", "--bin", name, cwd=TOP)
    return Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"), "debug", name)


def content(folder, *more):
    """A name for all files of a folder, and for what else they are made with."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode() + path.read_bytes())
    for other in more:
        whole.update(other)
    return whole.hexdigest()[:16]


def keep(made, place):
    """Puts a file into the cache, in one step; of its kind only the newest few stay."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.copy(made, new)
    os.rename(new, place)
    for old in sorted(place.parent.iterdir(), key=lambda p: -p.stat().st_mtime)[3:]:
        old.unlink()


def chosen_tests(case, slow, words):
    """The tests of a class whose names have one of the words in them; without words all that are to be run. `slow`: those of the
    long run alone, with the file of tests/ and the test that tries the same each time."""
    every = list(unittest.TestLoader().loadTestsFromTestCase(case))
    names = {t.id().rsplit(".", 1)[1] for t in every}
    for name, (file, other) in slow.items():
        assert name in names, f"no test {name}"
        assert f"fn {other}(" in (TOP / "tests" / file).read_text(), f"tests/{file}: no test {other}; {name} is run only with SUREFOOT_FULL=1"
    if words:
        return [t for t in every if any(part in t.id() for part in words)]
    full = bool(os.environ.get("SUREFOOT_FULL"))
    chosen = [t for t in every if full or t.id().rsplit(".", 1)[1] not in slow]
    print(f"note: {len(chosen)} of {len(every)} scenarios" + ("" if full else ", the others with --full"))
    return chosen


def boot_scr(out=None):
    done = subprocess.run([SCRIPTS / "make", "boot.scr"], stdout=subprocess.PIPE, check=True)
    if out is not None:
        Path(out).write_bytes(done.stdout)
    return done.stdout


def scratch(prefix):
    """A temporary folder, in memory where that is possible: sgdisk and friends sync, and a busy disk makes that a second."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


# ---- environment copies ---------------------------------------------------------------------------------------------
# Deliberately not the project's own codec: the bench must not agree with a mistake of the thing it judges.

def env_text_to_dict(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def env_pack(variables, serial, size=ENV_SIZE):
    """One redundant copy, as bytes. `variables` may be a dict or the data bytes themselves."""
    if isinstance(variables, dict):
        data = b"".join(b"%s=%s\0" % (k.encode(), str(v).encode()) for k, v in variables.items()) + b"\0"
    else:
        data = variables
    data = data.ljust(size - 5, b"\0")
    assert len(data) == size - 5, "environment too large"
    return struct.pack("<IB", zlib.crc32(data), serial) + data


def env_unpack(copy):
    """(serial, variables) of one redundant copy, or None if its checksum is wrong."""
    crc, serial = struct.unpack_from("<IB", copy)
    if crc != zlib.crc32(copy[5:]):
        return None
    body = copy[5:]
    end = body.find(b"\0\0")
    body = body[:end] if end >= 0 else body
    return serial, dict(x.decode("utf-8", "surrogateescape").split("=", 1) for x in body.split(b"\0") if b"=" in x)


def env_current(copies):
    """The variables that count, by the rule in env/common.c, or None if both copies are dead."""
    first, second = (env_unpack(c) for c in copies)
    if first is None or second is None:
        return (first or second or (None, None))[1]
    if (first[0], second[0]) == (255, 0):
        return second[1]
    if (first[0], second[0]) == (0, 255):
        return first[1]
    return second[1] if second[0] > first[0] else first[1]


def env_read(image):
    with open(image, "rb") as disk:
        copies = []
        for offset in ENV_OFFSETS:
            disk.seek(offset)
            copies.append(disk.read(ENV_SIZE))
    return copies


def env_write(image, copies):
    with open(image, "r+b") as disk:
        for offset, copy in zip(ENV_OFFSETS, copies):
            disk.seek(offset)
            disk.write(copy)


# ---- disk images ----------------------------------------------------------------------------------------------------

def run(*command, **keywords):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **keywords)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}\n{done.stdout.decode('utf-8', 'replace')[-2000:]}")
    return done


def filesystem(out, folder, kind, size_mib, label="rootfs"):
    """An image file of `folder`, owned by root inside, without being root."""
    out = Path(out)
    out.unlink(missing_ok=True)
    if kind == "ext4":
        # U-Boot's ext4 reads the newer features too, but the updater's users are told to ship this set.
        run("mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum,^64bit,^orphan_file", "-E", "root_owner=0:0", "-m", 0, "-L", label,
            "-d", folder, "-F", out, f"{size_mib}M")
    elif kind == "squashfs":
        run("mksquashfs", folder, out, "-all-root", "-noappend", "-comp", "zstd", "-quiet", "-no-progress")
    elif kind == "erofs":
        run("mkfs.erofs", "-zlz4", "--all-root", out, folder)
    elif kind == "fat":
        with open(out, "wb") as f:
            f.truncate(size_mib * MIB)
        run("mformat", "-i", out, "-v", label.upper(), "::")
        for path in sorted(Path(folder).iterdir()):
            run("mcopy", "-s", "-i", out, path, "::")
    else:
        raise ValueError(kind)
    assert out.stat().st_size <= size_mib * MIB, f"{kind} image larger than {size_mib} MiB"
    return out


def disk_image(out, slot_mib, slot_a=None, slot_b=None, data=None, boot_files=(), boot_mib=8, data_mib=8, env=None, total_mib=None,
               boot_parts=None, boot_part_mib=2):
    """A disk in the factory layout. Slots are image files, `data` a folder, `boot_files` (name, bytes), `env` a dict. `boot_parts`: the
    image files of `boot-a` and `boot-b`, where slots have a boot part."""
    sizes = {"boot": boot_mib}
    if boot_parts:
        sizes.update({"boot-a": boot_part_mib, "boot-b": boot_part_mib})
    sizes.update({"rootfs-a": slot_mib, "rootfs-b": slot_mib, "data": data_mib})
    starts, end = {}, BOOT_OFFSET // MIB
    for name, size in sizes.items():
        starts[name], end = end, end + size
    total = total_mib or end + 1
    out = Path(out)
    out.unlink(missing_ok=True)
    with open(out, "wb") as disk:
        disk.truncate(total * MIB)
    command = ["sgdisk", "-a", "2048"]
    for number, name in enumerate(starts, 1):
        command += ["-n", f"{number}:{starts[name]}M:+{sizes[name]}M", "-c", f"{number}:{name}",
                    "-t", f"{number}:{'0700' if name == 'boot' else '8300'}"]
    run(*command, "-A", "1:set:2", out)          # attribute 2: legacy bootable, which is how standard boot finds boot.scr
    with scratch("surefoot-disk-") as folder:
        fat = Path(folder, "fat")
        with open(fat, "wb") as f:
            f.truncate(boot_mib * MIB)
        run("mformat", "-i", fat, "-v", "BOOT", "::")
        for name, content in boot_files:
            Path(folder, name).write_bytes(content)
            run("mcopy", "-i", fat, Path(folder, name), f"::{name}")
        pieces = {"boot": fat, "rootfs-a": slot_a, "rootfs-b": slot_b}
        pieces.update(zip(("boot-a", "boot-b"), boot_parts or ()))
        if data is not None:
            pieces["data"] = filesystem(Path(folder, "data"), data, "ext4", data_mib, "data")
        for name, piece in pieces.items():
            if piece is not None:
                assert Path(piece).stat().st_size <= sizes[name] * MIB, f"{piece} is larger than {name}"
                run("dd", f"if={piece}", f"of={out}", "bs=1M", f"seek={starts[name]}", "conv=notrunc,sparse")
    if env is not None:
        env_write(out, [env_pack(env, 1), env_pack(env, 0)])       # both copies: a factory that writes one may lose both
    return starts


def factory_env(counter, **values):
    """The shipped factory environment for one of the bench's boards."""
    board = target("uboot-sandbox") / "default.env"
    done = subprocess.run([SCRIPTS / "make", "factory-env.txt", "--board", board, f"surefoot_counter={counter}",
                           *(f"{k}={v}" for k, v in values.items())], stdout=subprocess.PIPE, text=True, check=True)
    made = env_text_to_dict(done.stdout)
    made.pop("surefoot_env")                    # marks the compiled-in environment, so that a test sees when it was used
    return made


# ---- U-Boot's sandbox build -----------------------------------------------------------------------------------------

class Boot:
    """What one run of the sandbox did. `end`: booted | cut | prompt | off | hung."""

    def __init__(self, end, output, seconds):
        self.end, self.output, self.seconds = end, output, seconds
        self.slot = self.sha256 = self.args = self.initrd = self.fdt = None
        self.size = self.watchdog = None
        found = re.search(r"^SUREFOOT-BOOT size=(\d+) sha256=(\w+) initrd=(\S+) fdt=(\S+) watchdog=(\d+) args=(.*?)\r?$", output, re.M)
        if found:
            self.size, self.sha256 = int(found[1]), found[2]
            self.initrd, self.fdt, self.watchdog, self.args = found[3], found[4], int(found[5]), found[6]
            slot = re.search(r"(?:^| )surefoot\.slot=(\S*)", self.args)
            self.slot = slot[1] if slot else None

    @property
    def trial(self):
        return bool(self.args) and "watchdog.open_timeout=180" in self.args

    def record(self):
        return {"end": self.end, "slot": self.slot, "size": self.size, "sha256": self.sha256, "trial": self.trial, "args": self.args,
                "initrd": self.initrd, "fdt": self.fdt, "watchdog": self.watchdog,
                "altbootcmd": "Using altbootcmd" in self.output or "given up" in self.output,
                "saves": self.output.count("Saving Environment to"),
                "default_environment": "using default environment" in self.output}


def sandbox(image, commands=None, stock=False, modern=False, cut=None, torn=None, fail=None, timeout=30, folder=None, twin=None):
    """One run: a whole boot, or `commands` after the environment is loaded (no autoboot then, and nothing is counted).

    `image` is changed as a real boot would change it; `twin` is the card in the second place. If the script falls to the prompt the run ends there.
    """
    build = target("uboot-sandbox-stock" if stock else "uboot-sandbox")
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    for name, value in (("UB_CUT", cut), ("UB_TORN", torn), ("UB_FAIL", fail), ("UB_MODERN", 1 if modern else None)):
        if value is not None:
            environment[name] = str(value)
    made = None
    if folder is None:
        made = scratch("surefoot-sandbox-")
        folder = made.name
        os.symlink(Path(image).resolve(), Path(folder, "disk.img"))
        if twin:
            os.symlink(Path(twin).resolve(), Path(folder, "twin.img"))
    command = [build / "u-boot", "-d", build / "bench.dtb"]
    if commands is not None:
        command += ["-c", commands]
    started = time.monotonic()
    output, end = b"", None
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        while True:
            left = started + timeout - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                end = "hung"
                break
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            output += piece
            if output.endswith(b"=> ") or b"=> =>" in output[-80:]:      # with nothing on stdin the prompt spins for ever
                end = "prompt"
                break
    finally:
        if end is not None:
            process.kill()
        process.stdout.close()
        status = process.wait()
        if made:
            made.cleanup()
    text = output.decode("utf-8", "replace").replace("\r\n", "\n")
    if end is None:
        end = "cut" if status == 99 else "booted" if "SUREFOOT-BOOT" in text else "off"
    return Boot(end, text, time.monotonic() - started)


# ---- the arm64 machine ----------------------------------------------------------------------------------------------

class HostTooSlow(RuntimeError):
    """U-Boot waits by the clock for its card, and this host was too busy to be one: the run shows nothing of the product."""


def unless_slow(act, told=lambda text: print(f"note: {text}", flush=True), tries=3):
    """What `act` returns; from the start once more where the host was too slow, and said each time."""
    for left in reversed(range(tries)):
        try:
            return act()
        except HostTooSlow as slow:
            if not left:
                raise
            told(f"{slow}: once more from the start, up to {left} times")


class Machine:
    """QEMU with the arm64 U-Boot and a disk image as its SD card. Killing it is a cut plug: what was issued stays.

    With `kernel` (Image, initramfs, command line) that kernel starts at once and the disk is virtio-blk, /dev/vda: our U-Boot
    has its environment on the card, but only virtio-blk has a cache that loses what was not flushed.
    """

    def __init__(self, disk, media=None, once=False, write_log=None, kernel=None, extra=(), uboot=None, card=("sdhci-pci", "sd-card,drive=card")):
        size = os.path.getsize(disk)
        assert size & (size - 1) == 0, f"{disk}: QEMU's SD card wants a power of two, not {size} bytes"
        command = ["qemu-system-aarch64", "-M", "virt,gic-version=2", "-cpu", "cortex-a53", "-smp", "1", "-m", "512", "-accel", "tcg",
                   "-nographic", "-net", "none"]
        if kernel:
            command += ["-kernel", kernel[0], "-initrd", kernel[1], "-append", kernel[2], "-device", "virtio-blk-pci,drive=card"]
        else:
            command += ["-bios", uboot or target("uboot-arm64") / "u-boot.bin", *(word for device in card for word in ("-device", device))]
        if write_log:
            open(write_log, "wb").close()
            command += ["-blockdev", f"driver=file,filename={disk},node-name=f", "-blockdev", "driver=raw,file=f,node-name=r",
                        "-blockdev", f"driver=file,filename={write_log},node-name=l",
                        "-blockdev", "driver=blklogwrites,file=r,log=l,log-sector-size=512,node-name=card"]
        else:
            command += ["-drive", f"if=none,id=card,node-name=disk,format=raw,file={disk}"]
        if media:
            command += ["-drive", f"if=none,id=media,format=raw,readonly=on,file={media}", "-device", "virtio-blk-pci,drive=media"]
        if once:
            command += ["-no-reboot"]
        command += extra
        self.started = time.monotonic()
        self.lines = []
        self.partial = b""
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def seconds(self):
        return time.monotonic() - self.started

    def read(self, deadline):
        """More lines as [(seconds, text)], or None at the end, or [] when the deadline is over."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
            return []
        piece = os.read(self.process.stdout.fileno(), 65536)
        if not piece:
            return None
        *whole, self.partial = (self.partial + piece).split(b"\n")
        new = [(self.seconds(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", l.decode("utf-8", "replace")).rstrip()) for l in whole]
        self.lines += new
        return new

    def until(self, pattern, timeout, show=lambda seconds, line: None, kill=True):
        """seen | timeout | ended, or HostTooSlow. The machine is gone afterwards unless `kill` is off and the pattern was seen."""
        deadline = time.monotonic() + timeout
        end = None
        while end is None:
            new = self.read(deadline)
            if new is None:
                end = "ended"
            elif not new and time.monotonic() >= deadline:
                end = "timeout"
            for seconds, line in new or []:
                show(seconds, line)
                if "Timeout for status update" in line:
                    self.cut()
                    raise HostTooSlow("this host was too slow for U-Boot's card")
                if end is None and pattern is not None and pattern.search(line):
                    end = "seen"
        if kill or end != "seen":
            self.cut()
        return end

    def cut(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

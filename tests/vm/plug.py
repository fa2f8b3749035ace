#!/usr/bin/env python3
"""The plug is pulled on an arm64 machine: at its writes, as QEMU has logged them, and at random moments of its life.

    tests/vm/plug.py [--kills N] [--scale X] [--seed S] [PART...]      PART: sd, virtio, kills, judge; all of them if none is named
    SUREFOOT_FORGE=PATH, SUREFOOT_ARM64=PATH, SUREFOOT_BIN=DIR   programs that are there already; otherwise cargo builds them
    SUREFOOT_FULL=1       200 kills and about ten times the crash images
    SUREFOOT_LOGS=DIR     where the consoles are kept

sd      An update that stays and one that U-Boot gives up after three boots, on a machine with an SD card, all writes logged,
        U-Boot's own included. Each crash image is a prefix of the log, the next sector whole or torn.
virtio  An update that stays and one that fails its check, on a virtio disk, where a write is safe only once it is flushed. Each
        crash image lacks some of the writes since the last flush: every subset of up to six, then samples. Between the
        systems the same disk boots as the card of the arm64 U-Boot, whose writes are in the log too.
kills   QEMU is killed again and again on one disk, while U-Boot stores its count, while an update is written, armed, tried,
        committed, and at any time; the next boot goes on with what the cut left.
judge   Disks with a planted mistake: the judge must see each.

The judge boots a disk in U-Boot's sandbox build, with the disk's own boot.scr: the slot that it starts must hold every byte of a
release. On a sample it then starts surefoot on the host, with the disk's environment, slots and state: that must come to rest,
in a complete system, and the next update must install, boot and be committed.
A disk with a violation is kept; the output names its folder.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import functools
import gzip
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
import wlog  # noqa: E402

FULL = bool(os.environ.get("SUREFOOT_FULL"))
JOBS = max(2, os.cpu_count() or 1)
SLOT_MIB, IMAGE_MIB, DATA_MIB, DISK_MIB = 26, 25, 8, 128
BOOT_SECONDS = 900          # for one boot: it ends a hang, and no busy machine
FIRST, RECORD = 128 * 1024, 1024 * 1024
PRODUCT, COMPATIBLE = "surefoot-bench", "qemu-arm64"
ENV_RANGES = [(offset, bench.ENV_SIZE) for offset in bench.ENV_OFFSETS]

work = Path()
started = time.monotonic()
print_lock = threading.Lock()


def say(text):
    with print_lock:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)


class Violation(Exception):
    """What must never be seen."""


# ---- what is installed ----------------------------------------------------------------------------------------------

class Release:
    """One root file system, as an image and as an artifact."""

    def __init__(self, version, image, artifact):
        self.version, self.artifact, self.bytes = version, artifact, content_of(image)
        kernel = Path(f"{image}.kernel")
        if not kernel.exists():
            bench.run("debugfs", "-R", f"dump /boot/Image {kernel}", image)
        self.kernel = hashlib.sha256(content_of(kernel)).hexdigest()


@functools.cache
def content_of(path):
    """Read once: many releases share one image."""
    return path.read_bytes()


class Releases:
    """Makes and knows the releases. Three packings of one kernel, so that no system holds the blocks of another."""

    def __init__(self, programs):
        self.programs, self.all, self.lock = programs, {}, threading.Lock()
        bench.run(programs.forge, "keygen", "--out", work / "keys")
        kernel = (bench.target("kernel-arm64") / "Image").read_bytes()
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for level, packed in enumerate(pool.map(lambda level: gzip.compress(kernel, level, mtime=0), (1, 2, 3)), 1):
                (work / f"Image.{level}").write_bytes(packed)

    def image(self, packing, variant="good"):
        out = work / f"system-{packing}-{variant}"
        with self.lock:
            if not out.exists():
                bench.run(HERE / "rootfs", "-o", out, "--size", IMAGE_MIB, "--version", f"packing {packing}", "--variant", variant,
                          "--binary", self.programs.arm64, "--trust", work / "keys/trust.toml",
                          "--add", f"{work}/Image.{packing}:/boot/Image")
        return out

    def small(self):
        """What the judge installs at the end: a system for U-Boot, not for a machine."""
        out = work / "small"
        if not out.exists():
            root = work / "small.root"
            (root / "boot").mkdir(parents=True)
            (root / "boot/Image").write_bytes(random.Random(9).randbytes(60000))
            bench.filesystem(out, root, "ext4", 2)
        return out

    def release(self, version, image):
        with self.lock:
            if version not in self.all:
                artifact = work / f"{version}.surefoot"
                bench.run(self.programs.forge, "build", "--rootfs", image, "--product", PRODUCT, "--compatible", COMPATIBLE,
                          "--version", version, "--key", work / "keys/release.key", "--level", 1, "--context", "1M", "-o", artifact)
                self.all[version] = Release(version, image, artifact)
            return self.all[version]

    def in_slot(self, content):
        """The releases whose image these bytes begin with; several versions may share one image."""
        same = {}
        for release in list(self.all.values()):
            if id(release.bytes) not in same:
                same[id(release.bytes)] = content.startswith(release.bytes)
        return [r for r in list(self.all.values()) if same.get(id(r.bytes))]


class Programs:
    def __init__(self):
        self.arm64 = os.environ.get("SUREFOOT_ARM64") or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True,
                                                                         check=True).stdout.strip()
        folder = os.environ.get("SUREFOOT_BIN")
        if not folder:
            subprocess.run(["cargo", "build", "--quiet", "--bin", "surefoot", "--bin", "surefoot-forge"], cwd=bench.TOP, check=True)
            folder = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug"
        self.native = Path(folder, "surefoot")
        self.forge = os.environ.get("SUREFOOT_FORGE") or Path(folder, "surefoot-forge")


# ---- the disk -------------------------------------------------------------------------------------------------------

def addresses(board):
    text = (bench.target(board) / "default.env").read_text()
    return {n: v for n, v in bench.env_text_to_dict(text).items() if n.endswith("_addr_r") or n == "scriptaddr"}


def factory_disk(out, releases):
    """A disk that boots on both boards: only the load addresses differ, so bootcmd sets them, in variables of the shell, which
    nothing ever saves. U-Boot's sandbox build is the one that sees the host's files."""
    made = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "surefoot_counter=uboot",
                           f"surefoot_args={bench.ARGS}", "surefoot_panic=1", "kernel_comp_addr_r=0x50000000"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    variables = bench.env_text_to_dict(made)
    there, here = ("; ".join(f"{n}={v}" for n, v in addresses(board).items()) for board in ("uboot-arm64", "uboot-sandbox"))
    variables["bootcmd"] = f"{there}; if test -e hostfs - disk.img; then {here}; fi; run surefoot_boot"
    empty = work / "empty"
    empty.mkdir(exist_ok=True)
    bench.disk_image(out, SLOT_MIB, releases.image(1), data=empty, data_mib=DATA_MIB, total_mib=DISK_MIB,
                     boot_files=[("boot.scr", bench.boot_scr())], env=variables)
    return out


class Layout:
    """Where the partitions of a disk are, by name: (offset, length, unique GUID)."""

    def __init__(self, disk):
        self.parts = {}
        with open(disk, "rb") as file:
            file.seek(1024)
            table = file.read(128 * 128)
        for at in range(0, len(table), 128):
            first, last = struct.unpack_from("<QQ", table, at + 32)
            if last:
                name = table[at + 56:at + 128].decode("utf-16-le").rstrip("\0")
                self.parts[name] = (first * 512, (last + 1 - first) * 512, uuid.UUID(bytes_le=table[at + 16:at + 32]))

    def place(self, offset):
        for start, length in ENV_RANGES:
            if start <= offset < start + length:
                return "environment"
        for name, (start, length, _) in self.parts.items():
            if start <= offset < start + length:
                if name in ("boot", "data"):
                    return name
                if offset - start < FIRST:
                    return "first 128 KiB"
                return "slot record" if offset - start >= length - RECORD else "slot body"
        return "table"

    def read(self, disk, name):
        start, length, _ = self.parts[name]
        with open(disk, "rb") as file:
            file.seek(start)
            return file.read(length)


# ---- the judge ------------------------------------------------------------------------------------------------------

class Judge:
    """Boots a disk in U-Boot's sandbox build, and starts surefoot on it."""

    def __init__(self, releases, layout):
        self.releases, self.layout = releases, layout
        self.next = releases.release("9.0.0", releases.small())

    def boot(self, disk, folder=None):
        """One boot, as U-Boot makes it; what it starts must be complete."""
        done = bench.sandbox(disk, folder=folder, timeout=120)
        if done.end != "booted":
            raise Violation(f"U-Boot boots nothing ({done.end}): {done.output[-600:]}")
        if "using default environment" in done.output:
            raise Violation("both copies of the environment are dead")
        if done.slot not in ("a", "b"):
            raise Violation(f"the command line names no slot: {done.args}")
        found = self.releases.in_slot(self.layout.read(disk, f"rootfs-{done.slot}"))
        if not found:
            raise Violation(f"slot {done.slot} is started and holds no complete release")
        if done.sha256 not in {r.kernel for r in found}:
            raise Violation(f"the kernel that is started is not that of {found[0].version}")
        return done.slot, found

    def start(self, disk, slot, random_=None):
        """What surefoot makes of the disk once slot `slot` runs. The disk is changed."""
        with Host(self, disk, slot) as host:
            host.rest()
            host.update()


REST = ("idle", "updated", "rolled-back", "failed")


class Host:
    """The device of a disk image, with surefoot running on the host in its place."""

    def __init__(self, judge, disk, slot):
        self.judge, self.disk, self.booted = judge, disk, slot
        self.scratch = bench.scratch("surefoot-plug-host-")
        self.folder = Path(self.scratch.name)
        try:
            self.set_up()
        except BaseException:
            self.scratch.cleanup()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.scratch.cleanup()

    def set_up(self):
        data = self.folder / "data.img"
        data.write_bytes(self.judge.layout.read(self.disk, "data"))
        done = subprocess.run(["e2fsck", "-fy", data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode > 1:
            raise Violation(f"the data partition is lost: e2fsck ended with {done.returncode}: {done.stdout[-600:]}")
        subprocess.run(["debugfs", "-R", f"rdump /surefoot {self.folder}", data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        data.unlink()
        state = self.folder / "surefoot"
        state.mkdir(exist_ok=True)
        os.symlink(Path(self.disk).resolve(), self.folder / "disk.img")
        (self.folder / "trust.toml").write_bytes((work / "keys/trust.toml").read_bytes())
        (self.folder / "fw_env.config").write_text("".join(f"disk.img {o:#x} {n:#x}\n" for o, n in ENV_RANGES))
        (self.folder / "booted").write_text(f"{self.booted}\n")
        (self.folder / "surefoot.toml").write_text(
            f'[device]\nproduct = "{PRODUCT}"\ncompatible = "{COMPATIBLE}"\ndisk = "disk.img"\nbooted = "booted"\nstate = "surefoot"\n'
            '[slots]\na = ["rootfs-a"]\nb = ["rootfs-b"]\n[trust]\nfile = "trust.toml"\n[boot]\nfw_env_config = "fw_env.config"\n'
            '[[health.check]]\nname = "true"\ncommand = ["/bin/true"]\ntimeout = "30s"\n')

    def surefoot(self, *words, allowed=(0,)):
        done = subprocess.run([self.judge.releases.programs.native, "--config", self.folder / "surefoot.toml", *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        if done.returncode not in allowed:
            raise Violation(f"surefoot {' '.join(map(str, words))} ended with {done.returncode}: {done.stderr[-600:]} {done.stdout[-300:]}")
        return done

    def status(self):
        try:
            return json.loads(self.surefoot("status", "--json").stdout)
        except json.JSONDecodeError as e:
            raise Violation(f"surefoot status --json is no JSON: {e}") from e

    def reboot(self):
        self.booted, found = self.judge.boot(self.disk)
        (self.folder / "booted").write_text(f"{self.booted}\n")
        return found

    def rest(self):
        """Does what a person would, until nothing is left to do."""
        states = []
        for _ in range(8):
            status = self.status()
            state, action = status["state"], status["next"]["action"]
            states.append(state)
            if state in REST:
                return status
            if state == "installing":
                version = re.search(r"installation of (\S+) did not finish", status["next"]["text"])
                if not version or version[1] not in self.judge.releases.all:
                    raise Violation(f"status does not say which installation is unfinished: {status['next']}")
                self.surefoot("install", self.judge.releases.all[version[1]].artifact)
            elif state == "staged" or action == "switch":
                self.surefoot("switch")
            elif state == "trying":
                self.surefoot("commit")
                continue
            elif action == "decide":
                self.surefoot("rollback")
            self.reboot()
        raise Violation(f"it does not come to rest: {', '.join(states)}")

    def update(self):
        before = self.booted
        self.surefoot("install", self.judge.next.artifact)
        found = self.reboot()
        if self.booted == before or self.judge.next not in found:
            raise Violation(f"the next update is installed, and {found[0].version} is started in slot {self.booted}")
        self.surefoot("commit")
        state = self.status()["state"]
        if state != "updated":
            raise Violation(f"the next update is committed, and the state is {state}")


class Keeper:
    """Counts, and keeps the disks that nobody should ever see."""

    LIMIT = 20

    def __init__(self):
        self.lock, self.folder, self.violations = threading.Lock(), None, []
        self.images, self.starts = collections.Counter(), collections.Counter()

    def violated(self, part, what, why, disk):
        with self.lock:
            self.violations.append(part)
            number = len(self.violations)
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="surefoot-plug-kept-"))
        if number <= self.LIMIT:
            kept = self.folder / f"{number}.img"
            bench.run("cp", "--sparse=always", disk, kept)
            kept.with_suffix(".txt").write_text(f"{part}\n{what}\n{why}\n")
            say(f"VIOLATION {part}: {what}: {why}\n          kept as {kept}")


# ---- QEMU -----------------------------------------------------------------------------------------------------------

GUEST = """\
#!/bin/sh
say() { echo "BENCH $*"; }
if ! [ -e /dev/mmcblk0 ]; then
    sed 's,/dev/mmcblk0,/dev/vda,; s,/etc/fw_env.config,/run/fw_env.config,' /etc/surefoot/surefoot.toml >/run/surefoot.toml
    sed 's,/dev/mmcblk0,/dev/vda,' /etc/fw_env.config >/run/fw_env.config
    export SUREFOOT_CONFIG=/run/surefoot.toml
fi
do_it() { say "$1 begins"; surefoot "$@" >/run/out 2>&1; code=$?; say "$1 ended $code $(tail -n 3 /run/out | tr '\\n' '|')"; return $code; }
STATUS=$(surefoot status --json | tr -d '\\n')
STATE=$(echo "$STATUS" | sed -n 's/.*"state": *"\\([a-z-]*\\)".*/\\1/p')
say "state $STATE"
"""


def media(name, script, releases):
    folder = work / f"{name}.media"
    folder.mkdir(exist_ok=True)
    (folder / "scenario").write_text(GUEST + script)
    (folder / "scenario").chmod(0o755)
    for release in releases:
        with contextlib.suppress(FileExistsError):
            os.link(release.artifact, folder / release.artifact.name)
    size = sum(p.stat().st_size for p in folder.iterdir()) * 11 // 10 // bench.MIB + 8
    return bench.filesystem(work / f"{name}.disk2", folder, "ext4", size, "media")


class Console:
    """What a machine says, in memory and on request in a file."""

    def __init__(self, name):
        self.lines = []
        logs = os.environ.get("SUREFOOT_LOGS")
        self.log = open(Path(logs, f"plug-{name}.log"), "a") if logs else None

    def __call__(self, seconds, line):
        self.lines.append(line)
        if self.log:
            print(f"{seconds:8.2f} {line}", file=self.log, flush=True)

    def tail(self):
        return "\n".join(self.lines[-40:])


class Logged:
    """A disk whose writes are logged over several runs."""

    def __init__(self, name, disk):
        self.name, self.disk, self.base = name, disk, work / f"{name}.base"
        self.entries, self.console, self.logs = [], Console(name), 0
        bench.run("cp", "--sparse=always", disk, self.base)

    def run(self, until=None, limit=BOOT_SECONDS, **machine):
        """Until the guest switches off, or is cut when it says `until`. What a run wrote is safe when the next one begins."""
        self.logs += 1
        log = work / f"{self.name}.{self.logs}.wlog"
        end = bench.Machine(self.disk, write_log=log, **machine).until(until and re.compile(until), limit, self.console)
        if end != ("seen" if until else "ended"):
            raise RuntimeError(f"{self.name}: the machine did not get there ({end})\n{self.console.tail()}")
        self.entries += [*wlog.read(log), wlog.BARRIER]


def sd_cycle(releases, disk):
    """One update that stays, then one that U-Boot gives up because its boots are used up."""
    good, other = (releases.release(*r) for r in (("2.0.0", releases.image(2)), ("3.0.0", releases.image(3))))
    script = """\
case $STATE in
    idle) do_it install /media/2.0.0.surefoot && exit 10;;
    trying) do_it commit && do_it install /media/3.0.0.surefoot && exit 10;;
    rolled-back) exit 0;;
esac
exit 1
"""
    logged = Logged("sd", disk)
    there = media("sd", script, [good, other])
    # The first boot is of slot a too: cut at the boot that tries slot a.
    logged.run(until="trial of slot a, boot 1", limit=3 * BOOT_SECONDS, media=there)
    for boot in (2, 3):
        logged.run(until=f"trial of slot a, boot {boot}", media=there)
    logged.run(media=there)
    return checked(logged, "b", "rolled-back")


def virtio_cycle(releases, disk, layout):
    """One update that stays, then one whose check fails; between the systems the arm64 U-Boot boots the disk as its card."""
    good, bad = (releases.release(*r) for r in (("2.0.0", releases.image(2)), ("2.5.0", releases.image(3, "bad-health"))))
    script = """\
case $STATE in
    idle) do_it install /media/2.0.0.surefoot && exit 0;;
    trying) do_it commit
        case $?$SLOT in 0b) do_it install /media/2.5.0.surefoot && exit 0;; 77a) exit 0;; esac;;
    rolled-back) exit 0;;
esac
exit 1
"""
    logged = Logged("virtio", disk)
    there = media("virtio", script, [good, bad])
    initrd = work / "initrd"
    bench.run("debugfs", "-R", f"dump /boot/initrd.img {initrd}", releases.image(1))
    for slot, following in (("a", "b"), ("b", "a"), ("a", "b")):
        line = f"root=PARTUUID={layout.parts[f'rootfs-{slot}'][2]} ro rootwait surefoot.slot={slot} {bench.ARGS}"
        logged.run(media=there, kernel=(bench.target("kernel-arm64") / "Image", initrd, line))
        logged.run(until=f"surefoot: starting slot {following}")
    return checked(logged, "b", None)


def checked(logged, slot, state):
    """A cycle that did not do what it was made for proves nothing."""
    stored = bench.env_current(bench.env_read(logged.disk))
    states = [l.split()[-1] for l in logged.console.lines if "BENCH state" in l]
    if "BENCH scenario failed" in logged.console.tail() or stored["surefoot_slot"] != slot or stored["upgrade_available"] != "0" \
            or not stored.get("surefoot_fallback") or (state and states[-1] != state):
        raise RuntimeError(f"{logged.name}: not the cycle that was wanted: {stored}, {states}\n{logged.console.tail()}")
    return logged


# ---- kills ----------------------------------------------------------------------------------------------------------

# What is waited for, and how many seconds later at most the plug is pulled. Two decks: with a trial pending, and without.
TRIAL = ["commit", "save", "install", "switch", "kernel", "commit", "any", "save", "commit", "install"]
NO_TRIAL = ["install", "switch", "save", "install", "boot", "switch", "any"]
TARGETS = {
    "boot": ("U-Boot 20", 2.5),
    "save": ("Saving Environment to", 0.03),
    "kernel": ("Starting kernel", 4.0),
    "install": ("BENCH install begins", None),      # as long as the last one took
    "switch": ("BENCH switch begins", 0.5),
    "commit": ("BENCH commit begins", 0.7),
    "any": (None, 20.0),
}


class Kills:
    """One machine, one disk, and a plug that is pulled again and again."""

    def __init__(self, disk, judge, keeper, pool, seed):
        self.disk, self.judge, self.keeper, self.pool = disk, judge, keeper, pool
        self.random = random.Random(f"{seed} kills")
        self.console = Console("kills")
        self.landed, self.ends, self.futures = collections.Counter(), collections.Counter(), []
        self.too_slow = 0
        self.number, self.installing, self.turn, self.runs = 1, 4.0, collections.Counter(), 0

    def release(self, number):
        """Rising versions; each differs from both slots' content, and every fourth does not pass its check."""
        releases, packing = self.judge.releases, 1 + number % 3
        return releases.release(f"3.{number}.0", releases.image(packing, "bad-health" if number % 4 == 3 else "good"))

    def run(self, count):
        trial = False
        while sum(self.landed.values()) < count:
            deck = TRIAL if trial else NO_TRIAL
            target = deck[self.turn[trial] % len(deck)]
            self.turn[trial] += 1
            self.runs += 1
            if self.runs > 3 * count + 10:
                raise RuntimeError("the machine ends by itself again and again")
            where = self.once(target)
            if where:
                self.landed[where] += 1
            trial = self.look(f"kill {sum(self.landed.values())}, {where or 'ended by itself'}")
        for future in self.futures:
            future.result()

    def once(self, target):
        """One run of the machine; where the cut landed, or None if it ended before the moment that was drawn."""
        there = [self.release(self.number + n) for n in range(3)]
        script = """\
case $STATE in
    trying) do_it commit || exit 10;;
    switching) do_it switch; exit 10;;
esac
for version in %s; do
    do_it install /media/$version.surefoot --stage && do_it switch && exit 10
done
exit 0
""" % " ".join(r.version for r in there)
        trigger, longest = TARGETS[target]
        delay = self.random.uniform(0, longest or self.installing)
        seen = None if trigger else 0.0
        first, began = len(self.console.lines), None
        machine = bench.Machine(self.disk, media("kills", script, there))
        deadline = time.monotonic() + 4 * BOOT_SECONDS
        try:
            while seen is None or machine.seconds() < seen + delay:
                new = machine.read(deadline if seen is None else machine.started + seen + delay)
                if new is None:
                    return None
                for seconds, line in new:
                    self.console(seconds, line)
                    if "Timeout for status update" in line:
                        # U-Boot waits by the clock for a card that this host was too busy to be. That is no kill at a random
                        # moment, but what stands on the card is judged all the same.
                        self.too_slow += 1
                        return None
                    if "BENCH install begins" in line:
                        began = seconds
                    elif "BENCH install ended 0" in line and began:
                        self.installing = max(1.0, seconds - began)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the machine does not get to {target}\n{self.console.tail()}")
                if seen is None and any(trigger in l for l in [*(l for _, l in new), machine.partial.decode("utf-8", "replace")]):
                    seen = machine.seconds()
        finally:
            machine.cut()
        return self.where(self.console.lines[first:] + [machine.partial.decode("utf-8", "replace")])

    @staticmethod
    def where(lines):
        """What the machine was doing when it last spoke."""
        place = "U-Boot"
        for line in lines:
            if "U-Boot 20" in line:
                place = "U-Boot"
            elif "Saving Environment to" in line:
                place = "U-Boot" if "OK" in line else "saveenv"
            elif "surefoot: starting slot" in line or "Starting kernel" in line:
                place = "kernel start"
            elif "surefoot: slot=" in line:
                place = "U-Boot"
            elif "BENCH up" in line or " ended " in line:
                place = "between commands"
            elif found := re.search(r"BENCH (install|switch|commit) begins", line):
                place = {"install": "installing", "switch": "arming", "commit": "commit"}[found[1]]
            elif "BENCH scenario ended" in line:
                place = "shutting down"
        return place

    def look(self, what):
        """Judges the disk as the cut left it, on a copy; returns whether a trial is pending."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(bench.scratch("surefoot-plug-kill-"))
            disk = Path(folder, "disk.img")
            bench.run("cp", "--sparse=always", self.disk, disk)
            try:
                slot, _ = self.judge.boot(disk, folder)
                host = stack.enter_context(Host(self.judge, disk, slot))
                status = host.status()
            except Violation as e:
                self.keeper.violated("kills", what, str(e), self.disk)
                return False
            # A run may see more than one of the releases at hand end; what has ended is not offered again.
            ended = re.fullmatch(r"3\.(\d+)\.0", status["last"]["to"] or "")
            if status["state"] in REST and ended and int(ended[1]) >= self.number:
                self.ends[status["state"]] += 1
                self.number = int(ended[1]) + 1
            pristine = Path(folder, "pristine.img")
            bench.run("cp", "--sparse=always", self.disk, pristine)
            kept = stack.pop_all()

        def follow():
            with kept:
                try:
                    host.rest()
                    host.update()
                except Violation as e:
                    self.keeper.violated("kills", what, str(e), pristine)

        self.futures.append(self.pool.submit(follow))
        return status["trial"] is not None


# ---- planted mistakes -----------------------------------------------------------------------------------------------

def disk_at(logged, folder, which):
    """The disk after these entries of the log."""
    disk = Path(folder, "disk.img")
    bench.run("cp", "--sparse=always", logged.base, disk)
    with open(disk, "r+b") as file:
        for entry in (logged.entries[i] for i in which):
            if not entry.flush:
                file.seek(entry.offset)
                file.write(entry.data)
    return disk


def planted(logged, layout, judge):
    """(name, whether the judge saw it) of disks that a wrong updater or a lying disk would leave. Made from the virtio log: its
    first armed update."""
    arm = next(i for i, name in named(logged).items() if name == "surefoot arms")
    arm = max(i for i, name in named(logged).items() if name == "surefoot arms" and i - arm < 200)
    places = [None if e.flush else layout.place(e.offset) for e in logged.entries]
    with bench.scratch("surefoot-plug-planted-") as folder:
        armed = bench.env_current(bench.env_read(disk_at(logged, folder, range(arm + 1))))["surefoot_slot"]
    other = "ab"[armed == "a"]
    offset, length, _ = layout.parts[f"rootfs-{armed}"]
    mine = lambda entry: offset <= entry.offset < offset + length       # noqa: E731
    body = [i for i in range(arm) if places[i] == "slot body" and mine(logged.entries[i])]

    def disk_without(folder, dropped=(), until=arm + 1):
        return disk_at(logged, folder, (i for i in range(until) if i not in dropped))

    def poke(disk, at, data):
        with open(disk, "r+b") as file:
            file.seek(at)
            file.write(data)

    def flip(disk, at):
        with open(disk, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))

    def environment(disk, change):
        copies = bench.env_read(disk)
        bench.env_write(disk, [change(copies, n) for n in (0, 1)])

    def without_counter(copies, _):
        variables = dict(bench.env_current(copies))
        del variables["surefoot_counter"]
        return bench.env_pack(variables | {"upgrade_available": "0", "surefoot_slot": "a"}, 9)

    def nothing(disk):
        pass

    middle = logged.entries[body[len(body) // 2]].offset
    mistakes = [
        ("the disk as it is", False, {}, nothing),
        # Harmless, for there is no kernel in it: the boot script starts the other slot.
        ("a flush that flushes nothing: the armed slot has no body", False, {"dropped": set(body)}, nothing),
        ("armed before all of it was written, first block first: half a body", True, {"dropped": set(body[len(body) // 2:])}, nothing),
        ("one bit of the armed slot", True, {}, lambda disk: flip(disk, middle)),
        ("the slot to fall back to was written, and the trial is given up", True, {},
         lambda disk: (flip(disk, layout.parts[f"rootfs-{other}"][0] + 2 * bench.MIB), poke(disk, offset, bytes(FIRST)))),
        ("both slots lose their first block", True, {},
         lambda disk: (poke(disk, layout.parts[f"rootfs-{other}"][0], bytes(FIRST)), poke(disk, offset, bytes(FIRST)))),
        ("both copies of the environment are written at once, and torn", True, {},
         lambda disk: environment(disk, lambda copies, n: copies[n][:200] + bytes(bench.ENV_SIZE - 200))),
        ("an environment that no update can be armed in", True, {}, lambda disk: environment(disk, without_counter)),
        ("the data partition is lost", True, {}, lambda disk: poke(disk, layout.parts["data"][0], bytes(DATA_MIB * bench.MIB))),
    ]
    for name, wrong, which, spoil in mistakes:
        with bench.scratch("surefoot-plug-planted-") as folder:
            disk = disk_without(folder, **which)
            spoil(disk)
            try:
                slot, _ = judge.boot(disk, folder)
                judge.start(disk, slot)
                found = None
            except Violation as e:
                found = str(e)
        yield name, (found is not None) == wrong, found

    # And by the way that the images are made: with the flushes taken out of the log, samples must show what they prevent.
    first = body[0]
    window = [e for e in logged.entries[first:arm + 1] if not e.flush]
    random_, caught, tried = random.Random(5), 0, 8
    for _ in range(tried):
        with bench.scratch("surefoot-plug-planted-") as folder:
            lost = {id(e) for e in window[:-1] if random_.random() < 0.2}
            disk = disk_without(folder, dropped={i for i, e in enumerate(logged.entries) if id(e) in lost})
            try:
                judge.boot(disk, folder)
            except Violation:
                caught += 1
    yield "a log without its flushes", caught > 0, f"{caught} of {tried} samples"


# ---- replay ---------------------------------------------------------------------------------------------------------

def named(logged):
    """{index of an entry: what its write to the environment is for}, by what the whole write says and the one before did not."""
    names, group = {}, []
    with open(logged.base, "rb") as file:
        start = bench.ENV_OFFSETS[0]
        file.seek(start)
        room = bytearray(file.read(bench.ENV_OFFSETS[1] + bench.ENV_SIZE - start))

    def current():
        return bench.env_current([bytes(room[o - start:o - start + bench.ENV_SIZE]) for o in bench.ENV_OFFSETS])

    def close():
        nonlocal before
        after = current() or {}
        for i in group:
            names[i] = meaning(before or {}, after)
        before, group[:] = after, []

    before, copy = current(), None
    for i, entry in enumerate(logged.entries):
        here = None if entry.flush else next((o for o in bench.ENV_OFFSETS if o <= entry.offset < o + bench.ENV_SIZE), None)
        if group and (here != copy or (here == entry.offset and entry.data is not None)):
            close()
        copy = here
        if here is not None:
            group.append(i)
            room[entry.offset - start:entry.offset - start + len(entry.data)] = entry.data
    if group:
        close()
    return names


def meaning(before, after):
    was, now = before.get("upgrade_available") == "1", after.get("upgrade_available") == "1"
    if now and before.get("surefoot_txn") != after.get("surefoot_txn"):
        return "surefoot arms"
    if was and now:
        return f"U-Boot counts {after.get('bootcount')}"
    if was and before.get("surefoot_slot") == after.get("surefoot_slot"):
        return "surefoot commits"
    if was:
        # U-Boot counts before it looks: only a boot beyond the limit finds a count above it.
        return "altbootcmd" if int(before.get("bootcount", 0)) > int(before.get("bootlimit", 0)) else "surefoot falls back"
    return "environment"


def replay(part, logged, crashes, begin, judge, keeper, pool):
    """Judges the crash images; of those in `begin` surefoot is started as well. Returns the futures."""
    crashes = sorted(crashes, key=lambda c: c.at)
    pieces = min(4 * JOBS, max(1, len(crashes) // 8))
    bounds = [len(crashes) * n // pieces for n in range(pieces + 1)]

    def one(low, high):
        with bench.scratch("surefoot-plug-") as folder:
            disk = Path(folder, "disk.img")
            bench.run("cp", "--sparse=always", logged.base, disk)
            replayed = wlog.Replay(disk, logged.entries)
            for crash in crashes[low:high]:
                with replayed.crashed(crash, ENV_RANGES):
                    look(part, crash, disk, crash.key in begin, judge, keeper, folder)
            replayed.close()

    return [pool.submit(one, low, high) for low, high in zip(bounds, bounds[1:]) if low < high]


def look(part, crash, disk, begin, judge, keeper, folder):
    pristine = bench.env_read(disk)
    keeper.images[part, crash.place] += 1
    try:
        slot, _ = judge.boot(disk, folder)
        if begin:
            keeper.starts[part, crash.place] += 1
            there = Path(folder, "started.img")
            bench.run("cp", "--sparse=always", disk, there)
            judge.start(there, slot)
    except Violation as e:
        bench.env_write(disk, pristine)
        keeper.violated(f"{part}, {crash.place}", str(crash), str(e), disk)


# How many images of each place are judged, and of how many surefoot is started, in the default run.
# A place that is not named is a write to the environment. U-Boot cannot see data, so there surefoot is started on each.
BUDGETS = {"first 128 KiB": (120, 4), "slot record": (60, 4), "slot body": (60, 3), "data": (20, 20)}
ENVIRONMENT = (40, 2)
TEARS = {"sd": {"first 128 KiB": 2, "slot record": 8, "slot body": 1, "data": 2}, "virtio": {"slot body": 2, "data": 4}}


def plan(part, logged, layout, seed, scale):
    """(crash images to judge, keys of those to start surefoot on, how many there are of each place)."""
    random_ = random.Random(f"{seed} {part}")
    walk, names = wlog.Walk(logged.base, logged.entries), named(logged)

    def place(i):
        return names.get(i) or layout.place(logged.entries[i].offset)

    def budget(place, which):
        return int(BUDGETS.get(place, ENVIRONMENT)[which] * scale)

    def tears(place):
        return int(TEARS[part].get(place, 60) * (scale if place in names.values() else 1))

    if part == "sd":
        made = walk.ordered(place, random_, tears)
    else:
        made = walk.loose(place, random_, tears, samples=4, wanted=lambda p: p != "slot body" or random_.random() < 0.1 * scale)
    by_place, chosen, begin = collections.defaultdict(list), [], set()
    for crash in made:
        by_place[crash.place].append(crash)
    for name, found in by_place.items():
        judged = random_.sample(found, min(len(found), budget(name, 0)))
        chosen += judged
        begin |= {c.key for c in random_.sample(judged, min(len(judged), budget(name, 1)))}
    there = {name: len(found) for name, found in by_place.items()}
    return chosen, begin, there


# ---- main -----------------------------------------------------------------------------------------------------------

def main():
    global work
    if len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--kills", type=int, default=200 if FULL else 10)
    arguments.add_argument("--scale", type=float, default=10 if FULL else 0.6)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("parts", nargs="*", metavar="PART")
    asked = arguments.parse_args()
    parts = asked.parts or ["sd", "virtio", "kills", "judge"]
    keeper, passed, failed = Keeper(), 0, 0
    programs = Programs()
    with bench.scratch("surefoot-plug-work-") as folder, concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        work = Path(folder)
        releases = Releases(programs)
        factory = factory_disk(work / "factory.img", releases)
        layout = Layout(factory)
        releases.release("1.0.0", releases.image(1))
        judge = Judge(releases, layout)
        say("the factory disk is made")

        def result(name, good, text):
            nonlocal passed, failed
            passed, failed = passed + bool(good), failed + (not good)
            say(f"{'ok  ' if good else 'FAIL'} {name}: {text}")

        def disk(name):
            bench.run("cp", "--sparse=always", factory, work / f"{name}.img")
            return work / f"{name}.img"

        cycles = {"sd": lambda: sd_cycle(releases, disk("sd")), "virtio": lambda: virtio_cycle(releases, disk("virtio"), layout)}
        wanted = [p for p in cycles if p in parts or (p == "virtio" and "judge" in parts)]
        logs, replays, kills = {}, {}, Kills(disk("kills"), judge, keeper, pool, asked.seed)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as machines:
            running = {machines.submit(bench.unless_slow, cycles[part], say): part for part in wanted}
            for future in concurrent.futures.as_completed(running):
                part = running[future]
                logs[part] = logged = future.result()
                writes = sum(not e.flush for e in logged.entries)
                say(f"{part}: {writes} writes and {len(logged.entries) - writes} flushes are logged")
            killing = machines.submit(kills.run, asked.kills) if "kills" in parts else None
            for part in [p for p in logs if p in parts]:
                chosen, begin, there = plan(part, logs[part], layout, asked.seed, asked.scale)
                say(f"{part}: {sum(there.values())} different crash images, {len(chosen)} to judge, surefoot to start on {len(begin)}")
                replays[part] = there, replay(part, logs[part], chosen, begin, judge, keeper, pool)
            for part, (there, futures) in replays.items():
                for future in futures:
                    future.result()
                for place in sorted(there):
                    key = part, place
                    bad = keeper.violations.count(f"{part}, {place}")
                    result(f"{part}, {place}", not bad, f"{keeper.images[key]} of {there[place]} crash images judged, "
                           f"surefoot started on {keeper.starts[key]}, {bad} violations")
            if "judge" in parts:
                for name, seen, found in planted(logs["virtio"], layout, judge):
                    result(f"judge, {name}", seen, str(found).splitlines()[0][:150] if found else "nothing found")
            if killing:
                killing.result()
                bad = keeper.violations.count("kills")
                slow = f"; {kills.too_slow} more runs ended by a host too slow for its card" if kills.too_slow else ""
                # Kills that miss surefoot at work prove little.
                at_work = sum(kills.landed[place] for place in ("installing", "arming", "commit"))
                result("kills", not bad and at_work >= asked.kills // 10,
                       f"{landed(kills.landed)}; updates that ended: {landed(kills.ends)}; {bad} violations{slow}")
    total = {part: sum(n for (p, _), n in keeper.images.items() if p == part) for part in cycles}
    print(f"note: {sum(total.values())} crash images from QEMU's write log (SD {total['sd']}, virtio {total['virtio']}), "
          f"surefoot started on {sum(keeper.starts.values())}, {sum(kills.landed.values())} kills ({landed(kills.landed)}), "
          f"{len(keeper.violations)} violations")
    print(f"plug: {passed} passed, {failed} failed")
    sys.exit(0 if passed and not failed else 1)


def landed(counter):
    return ", ".join(f"{name} {n}" for name, n in sorted(counter.items())) or "none"


if __name__ == "__main__":
    main()

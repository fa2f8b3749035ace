#!/usr/bin/env python3
"""The simulator and the real U-Boot agree on what boots.

    tests/vm/agree.py [--pairs N] [--seed S]

  - Which of two copies counts: all 256 x 256 pairs of serials, and torn, odd and dead copies. Judged by U-Boot's `env load`
    (tests/vm/sandbox judge) and by `surefoot-sim judge`: the same copy, the same variables.
  - What boots: N generated pairs of environments (missing, empty, wrong and torn ones among them) on one disk, for a U-Boot
    that counts and for a stock one. Judged by a whole boot of U-Boot's sandbox build and of `surefoot-sim boots`: the same end,
    slot, trial, number of writes.
surefoot-sim is taken from SUREFOOT_BIN, or else built.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench  # noqa: E402

FULL = bool(os.environ.get("SUREFOOT_FULL"))
BIN = Path(os.environ.get("SUREFOOT_BIN") or Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug")
SIM = BIN / "surefoot-sim"
SANDBOX = bench.HERE / "sandbox"

VALUES = {
    "surefoot_slot": ["a", "b", "c", "A", ""],
    "surefoot_good": ["a", "b", "x", ""],
    "upgrade_available": ["0", "1", "2", "01", "x", "-1", ""],
    "bootcount": ["0", "1", "2", "3", "4", "9", "10", "03", "-1", "2x", "3 ", "+1", "99999999999", "x", ""],
    "bootlimit": ["3", "1", "9", "0", "10", "03", "3x", "3 ", " 3", "+3", "4294967299", "x", ""],
    "surefoot_counter": ["uboot", "script", "both", ""],
    "surefoot_txn": ["0123456789ab-1", ""],
    "bootdelay": ["0", "-1", "-2", "x"],
    "altbootcmd": [""],
    "bootcmd": [""],
    "surefoot_boot": [""],
    "surefoot_args": ["quiet", "a=b c"],
    "surefoot_panic": ["30"],
    "kernel_addr_r": ["", "x", "1000000", "0X1000000", "1000000x"],
    "scriptaddr": ["", "x", "0x1000z"],
}


def lines(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def serial_pairs(path, first):
    """All pairs whose first serial is `first`."""
    with open(path, "wb") as out:
        for second in range(256):
            out.write(bench.env_pack({"who": "copy 0"}, first) + bench.env_pack({"who": "copy 1"}, second))
    return 256


def odd_pairs(path, random_):
    """Copies that are torn, dead, or whole and strange."""
    strange = [b"", b"a=1", b"a=1\0\0b=2\0\0", b"=x\0\0", b"a\0b=2\0\0", b"a=\0b=2\0\0", b"a=1\0a=2\0\0", b"#a=1\0b=2\0\0", b"  a=1\0\0",
               b"a=b=c\0\0", b"a=1\\2\\\\3\0\0", b"a=1\0a\0\0", b"a=1\0a=\0\0", b"\xff\xfe=1\0\0", b"a= x \0\0"]
    whole = bench.env_pack({"name": "value", "other": "x" * 300}, 9)
    older = bench.env_pack({"name": "older"}, 8)
    copies = [bench.env_pack(data, 9) for data in strange] + [b"\0" * 0x4000, b"\xff" * 0x4000]
    copies += [whole[:n] + older[n:] for n in (1, 4, 5, 6, 20, 100, 200, 512, 4096)]
    for _ in range(40):
        torn = bytearray(whole)
        torn[random_.randrange(400)] ^= 1 << random_.randrange(8)
        copies.append(bytes(torn))
    pairs = [(c, older) for c in copies] + [(older, c) for c in copies] + [(c, c) for c in copies]
    Path(path).write_bytes(b"".join(a + b for a, b in pairs))
    return len(pairs)


def said_of_serials(path):
    """What U-Boot says of all pairs of serials, by the first one. One build says the same of the same pairs: it is asked once, and each time
    with SUREFOOT_FULL."""
    made_by = b"".join(Path(file).read_bytes() for file in (__file__, SANDBOX, bench.__file__))
    place = bench.CACHE / "serial-pairs" / bench.content(bench.target("uboot-sandbox"), made_by)
    if FULL or not place.exists():
        said = [lines(SANDBOX, "judge", path, "--digest") for first in range(256) if serial_pairs(path, first)]
        path.write_text(json.dumps(said))
        bench.keep(path, place)
    return json.loads(place.read_text())


def judge_agrees(path, real=None):
    """How many pairs, and over how many of them the two differ. `real`: what U-Boot has said of them."""
    real, ours = real or lines(SANDBOX, "judge", path, "--digest"), lines(SIM, "judge", path)
    assert len(real) == len(ours) > 0
    # What is compiled in differs by board; that it is used must not.
    differ = [(r, o) for r, o in zip(real, ours)
              if r["from"] != o["from"] or (r["from"] != "default" and r["sha256"] != o["sha256"])]
    for r, o in differ[:5]:
        print(f"  pair {r['i']}: U-Boot {r}, simulator {o}")
    return len(real), len(differ)


def environment(random_, base):
    variables = dict(base)
    if random_.random() < 0.75:
        variables |= {"upgrade_available": "1", "surefoot_slot": random_.choice("ab"), "surefoot_good": random_.choice("ab"),
                      "bootcount": random_.choice("01234"), "surefoot_txn": "0123456789ab-1"}
    for name in random_.sample(sorted(VALUES), random_.choice([0, 0, 1, 1, 2, 3])):
        if random_.random() < 0.3:
            variables.pop(name, None)
        else:
            variables[name] = random_.choice(VALUES[name])
    return variables


def boot_pairs(path, random_, base, count):
    with open(path, "wb") as out:
        for _ in range(2 * count):
            copy = bytearray(bench.env_pack(environment(random_, base), random_.choice([0, 1, 2, 127, 254, 255])))
            chance = random_.random()
            if chance < 0.15:
                copy[random_.randrange(2000)] ^= 1 << random_.randrange(8)
            elif chance < 0.20:
                copy[random_.randrange(1, 2000):] = b"\xff"
                copy = copy.ljust(bench.ENV_SIZE, b"\xff")
            out.write(copy)


def boots_agree(device, path, stock):
    real = lines(SANDBOX, "boots", device / "disk.img", path, *(["--stock"] if stock else []))
    ours = lines(SIM, "boots", device, path)
    assert len(real) == len(ours) > 0
    keys = ("end", "slot", "trial", "saves", "altbootcmd", "default_environment")
    differ = [(r, o) for r, o in zip(real, ours) if any(r[k] != o[k] for k in keys)]
    for r, o in differ[:5]:
        print(f"  pair {r['i']}: " + ", ".join(f"{k}: U-Boot {r[k]}, simulator {o[k]}" for k in keys if r[k] != o[k]))
    seen = {(r["end"], r["slot"], r["trial"]) for r in real}
    # A set over which both say one thing proves nothing.
    assert len(seen) >= 4, seen
    return len(real), len(differ)


def device(folder, counter):
    """A simulated device with a real file system in both slots."""
    root = folder / "root" / "boot"
    root.mkdir(parents=True, exist_ok=True)
    (root / "Image").write_bytes(b"a kernel for nobody" * 1000)
    image = bench.filesystem(folder / "root.ext4", folder / "root", "ext4", 4)
    subprocess.run([SIM, "new", folder / counter, "--rootfs", image, "--slot-size", "8M", "--counter", counter], stdout=subprocess.PIPE, check=True)
    with open(folder / counter / "disk.img", "r+b") as disk:
        disk.seek((48 + 8) * bench.MIB)
        disk.write(image.read_bytes())
    return folder / counter


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--pairs", type=int, default=2000 if FULL else 300)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    random_ = random.Random(arguments.seed)
    if not os.environ.get("SUREFOOT_BIN"):
        subprocess.run(["cargo", "build", "--quiet", "--bin", "surefoot-sim"], cwd=bench.TOP, check=True)
    started, passed, failed = time.monotonic(), 0, 0
    with bench.scratch("surefoot-agree-") as folder:
        folder = Path(folder)

        def count(what, total, differ):
            nonlocal passed, failed
            passed, failed = passed + (not differ), failed + bool(differ)
            print(f"{what}: {total - differ} of {total} agree ({time.monotonic() - started:.0f} s)", flush=True)

        said = said_of_serials(folder / "pairs")
        totals = [judge_agrees(folder / "pairs", said[first]) for first in range(256) if serial_pairs(folder / "pairs", first)]
        count("serial pairs", *map(sum, zip(*totals)))
        odd_pairs(folder / "pairs", random_)
        count("odd copies", *judge_agrees(folder / "pairs"))
        for counter in ("uboot", "script"):
            there = device(folder, counter)
            base = bench.env_current(bench.env_read(there / "disk.img"))
            boot_pairs(folder / "pairs", random_, base, arguments.pairs)
            count(f"boots, counter {counter}", *boots_agree(there, folder / "pairs", counter == "script"))
    print(f"agree: {passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()

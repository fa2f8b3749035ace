#!/usr/bin/env python3
"""Two cards that were written from one image, in one machine: BusyBox's init under the U-Boot of the Yocto layer.

    tests/vm/twins.py [NAME...]          as tests/vm/device.py, with the same variables; an update and a rollback only with SUREFOOT_FULL=1

Both cards carry the same GUIDs, file systems and bytes. What tells them apart is the place of their hosts on PCI, and one word that
the bench puts into the environment of the second one: so the kernel's command line says which environment U-Boot has read.
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
from board import DISK_MIB, SLOT_MIB, Device, stick  # noqa: E402
from busybox import SICK, Small, place  # noqa: E402

board = None
boots = 0
SLOW = {name: ("../src/slot/twin.rs", "only_what_names_a_device_tells_two_alike_apart")
        for name in ("test_an_update_reaches_the_card_that_u_boot_started_from_and_no_other",
                     "test_a_rollback_touches_the_card_that_u_boot_started_from_and_no_other")}
CARD_MIB = 2 * DISK_MIB
DATA_AT = bench.BOOT_OFFSET + (8 + 2 * SLOT_MIB) * bench.MIB
# Where the host of each card is on PCI.
PLACES = ("10", "11")
# What a boot finds, on the console, and then each stick that is put in is looked at.
CHANGES = [("/etc/init.d/S99bench", place("""\
#!/bin/sh
[ "$1" = start ] || exit 0
exec >/dev/console 2>&1
host() { readlink -f "/sys/dev/block/$(awk -v at="$1" '$5 == at { print $3 }' /proc/self/mountinfo)" | sed 's|.*/0000:00:\\(..\\)[.]0/.*/block/\\(mmcblk.\\)/.*|\\1 \\2|'; }
until surefoot status >/dev/null; do sleep 1; done
{
    echo "up version=$(cat /etc/version) $(grep -o 'surefoot.slot=.' /proc/cmdline)"
    echo "root $(host /)"
    echo "data $(host DATA)"
    echo "links $(readlink LINKS/disk) $(readlink LINKS/data)"
    echo "line $(grep -o -E '(root|bench.card|surefoot.disk)=[^ ]*' /proc/cmdline | tr '\\n' ' ')"
    surefoot first-boot 2>&1 | sed 's/^/step /'
    [ -e /sys/firmware/devicetree/base/aliases/mmc0 ] || surefoot doctor | sed 's/^/doctor /'
    surefoot status | sed 's/^/status /'
    sync
    echo looked
} 2>&1 | sed 's/^/BENCH /'
setsid sh -c 'while :; do surefoot events --follow 2>&1 | while read -r line; do echo "BENCH $line"; done; sleep 1; done' </dev/null &
setsid sh -c 'while sleep 1; do for disk in /dev/sd?; do
    [ ! -b "$disk" ] || [ -e "/run/seen${disk##*/}" ] || { touch "/run/seen${disk##*/}"; surefoot stick "$disk" 2>&1 | sed "s/^/BENCH stick /"; }
done; done' </dev/null &
"""), 0o755)]
RECIPE = """\
product = "surefoot-bench"
compatible = "qemu-arm64"
[disk]
size = "{disk}M"
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
surefoot_args = "console=ttyAMA0 quiet mem=448M bench.card=one"
surefoot_panic = "1"
kernel_comp_addr_r = "0x50000000"
fdt_addr_r = "0x4f000000"
[data]
size = "64M"
[trust]
file = "keys/trust.toml"
"""


class Cards(Small):
    modules = [*Small.modules, "xhci_pci", "usb_storage", "sd_mod"]

    def release(self, version, changes=()):
        """A stick that brings it."""
        artifact = self.artifact(version, [*CHANGES, *changes])
        return stick(self.work / f"v{version}.img", [("V.surefoot", artifact)], 80)


def device_tree(order):
    """QEMU's own, with aliases for the hosts of the cards: `order` has for each its number, or there are none."""
    out = board.work / f"aliases{order}.dtb"
    # Of the machine with firmware: without, it has one device more.
    bench.run("qemu-system-aarch64", "-M", f"virt,gic-version=2,dumpdtb={out}", "-cpu", "cortex-a53", "-smp", 1, "-m", 512, "-net", "none",
              "-display", "none", "-bios", bench.target("uboot-layer") / "u-boot.bin")
    for host, number in zip(PLACES, order):
        node = f"/pcie@10000000/mmc@{host},0"
        bench.run("fdtput", "-c", out, node)
        bench.run("fdtput", "-t", "x", out, node, "reg", f"{int(host, 16) << 11:x}", 0, 0, 0, 0)
        bench.run("fdtput", "-p", "-t", "s", out, "/aliases", f"mmc{number}", node)
    return out


class Pair(Device):
    """A machine with both cards."""

    def __init__(self, name, cards, order="", sticks=()):
        super().__init__(board, name, cards[0])
        self.parts = {"uboot": bench.target("uboot-layer") / "u-boot.bin",
                      "card": [word for host, card in zip(PLACES, ("card", "twin")) for word in (f"sdhci-pci,addr=0x{host}", f"sd-card,drive={card}")]}
        self.extra += ["-drive", f"if=none,id=twin,format=raw,file={cards[1]}", "-dtb", device_tree(order)]
        for file in sticks:
            self.extra += ["-blockdev", f"driver=raw,node-name={file.stem},file.driver=file,file.filename={file}"]

    def plug(self, file):
        self.qmp("device_add", driver="usb-storage", id=f"usb-{file.stem}", drive=file.stem, removable=True)

    def pull(self, file):
        self.qmp("device_del", id=f"usb-{file.stem}")


class Twins(unittest.TestCase):
    maxDiff = None

    def pair(self, cards, **keywords):
        self.devices = getattr(self, "devices", 0) + 1
        device = Pair(f"{self.id().rsplit('.', 1)[1]}-{self.devices}", cards, **keywords)
        self.addCleanup(device.off)
        self.addCleanup(count, device)
        return device

    def cards(self):
        """Two of them from one image, and larger than it."""
        made, name = board.work / "made.img", self.id().rsplit(".", 1)[1]
        if not made.exists():
            recipe = board.work / "recipe.toml"
            env = bench.target("uboot-layer") / "u-boot-initial-env"
            recipe.write_text(RECIPE.format(disk=DISK_MIB, slot=SLOT_MIB, root=board.system("1.0.0", CHANGES), env=env))
            bench.run(board.forge, "image", recipe, "-o", made)
        out = []
        for card in ("one", "two"):
            out.append(board.work / f"{name}-{card}.img")
            bench.run("cp", "--sparse=always", made, out[-1])
            os.truncate(out[-1], CARD_MIB * bench.MIB)
        copies = map(bench.env_unpack, bench.env_read(out[1]))
        bench.env_write(out[1], [bench.env_pack({**variables, "surefoot_args": variables["surefoot_args"].replace("=one", "=two")}, serial)
                                 for serial, variables in copies])
        return out

    def looked(self, device):
        """What a boot has found, by its words."""
        before = device.looked
        device.until("BENCH looked")
        lines = [line.split("BENCH ", 1)[1] for line in device.lines[before:] if "BENCH " in line]
        print("\n    " + "\n    ".join(lines), end="", flush=True)
        return {line.split(" ", 1)[0]: line.split(" ", 1)[-1] for line in lines} | {"said": "\n".join(lines)}

    def runs_on(self, device, version, slot, host, card):
        """`/`, the data, the links and the environment are those of the card in this place, which U-Boot calls mmc 0."""
        found = self.looked(device)
        self.assertEqual(found["up"], f"version={version} surefoot.slot={slot}")
        self.assertEqual((found["root"], found["data"]), (f"{host} mmcblk0",) * 2)
        self.assertRegex(found["links"], "^[^ ]*mmcblk0 [^ ]*mmcblk0p4$")
        self.assertIn(f"bench.card={card}", found["line"])
        self.assertIn("surefoot.disk=mmc:0", found["line"])
        self.assertRegex(found["said"], f"(?m)^status Running {re.escape(version)} ")
        return found

    def test_an_update_reaches_the_card_that_u_boot_started_from_and_no_other(self):
        """The one in the second place, which U-Boot and the kernel both call the first."""
        one, two = cards = self.cards()
        before = digest(one)
        good = board.release("2.0.0")
        device = self.pair(cards, order="10", sticks=[good])
        self.runs_on(device, "1.0.0", "a", "11", "two")
        self.assertGreater(length_of_data(two), DISK_MIB)
        device.plug(good)
        self.runs_on(device, "2.0.0", "b", "11", "two")
        device.until("BENCH .*state updated")
        device.off()
        self.assertEqual(digest(one), before, "first boot, installation, trial and commit")
        self.assertEqual([bench.env_current(bench.env_read(card))["surefoot_slot"] for card in cards], ["a", "b"])

    def test_a_rollback_touches_the_card_that_u_boot_started_from_and_no_other(self):
        one, two = cards = self.cards()
        before = digest(two)
        bad = board.release("3.0.0", SICK)
        device = self.pair(cards, order="01", sticks=[bad])
        self.runs_on(device, "1.0.0", "a", "10", "one")
        device.plug(bad)
        self.runs_on(device, "3.0.0", "b", "10", "one")
        found = self.runs_on(device, "1.0.0", "a", "10", "one")
        self.assertIn("HEALTH_FAILED: radio", found["said"])
        device.off()
        self.assertEqual(digest(two), before, "first boot, installation, trial and rollback")
        stored = bench.env_current(bench.env_read(one))
        self.assertEqual([stored[name] for name in ("surefoot_slot", "upgrade_available")], ["a", "0"])
        self.assertTrue(stored["surefoot_fallback"])

    def test_where_it_is_not_known_from_which_card_u_boot_started_nothing_is_changed(self):
        cards = self.cards()
        good = board.release("2.0.0")
        before, fixed = [digest(card) for card in cards], [digest(card, but_data=True) for card in cards]
        device = self.pair(cards, sticks=[good])
        found = self.looked(device)
        self.assertIn("DISK_TWIN", found["said"])
        self.assertEqual(found["root"], found["data"])
        device.plug(good)
        device.until("BENCH stick .*DISK_TWIN")
        device.off()
        self.assertEqual([digest(card, but_data=True) for card in cards], fixed, "the tables, the environments and the slots of both")
        other = 1 - PLACES.index(found["root"].split()[0])
        self.assertEqual(digest(cards[other]), before[other])


def count(device):
    global boots
    boots += len(device.said("up version="))


def digest(path, but_data=False):
    """Of a whole card, or of all but its data partition as the image has it."""
    whole = hashlib.sha256()
    with open(path, "rb") as card:
        while piece := card.read(bench.MIB):
            if not (but_data and DATA_AT <= card.tell() - len(piece) < (DISK_MIB - 1) * bench.MIB):
                whole.update(piece)
    return whole.hexdigest()


def length_of_data(card):
    said = bench.run("sgdisk", "-i", 4, card).stdout.decode()
    return int(re.search(r"Partition size: (\d+) sectors", said)[1]) * 512 // bench.MIB


def main():
    global board
    started = time.monotonic()
    subprocess.run([bench.TOP / "tests/packages", "device-tree-compiler"], check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug"
    arm64, forge, host = (os.environ.get(n) for n in ("SUREFOOT_ARM64", "SUREFOOT_FORGE", "SUREFOOT_HOST"))
    arm64 = arm64 or subprocess.run([HERE / "cargo-arm64"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if not forge or not host:
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--bins"], cwd=bench.TOP, check=True)
    with tempfile.TemporaryDirectory(prefix="surefoot-twins-") as folder:
        board = Cards(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        chosen = bench.chosen_tests(Twins, SLOW, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"twins: {result.testsRun} tests, {boots} boots to userspace, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("twins: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

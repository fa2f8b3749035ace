#!/usr/bin/env python3
"""The encrypted data partition (packaging/crypt): Debian with its real systemd under the real U-Boot, and swtpm as the TPM of the board.

    SUREFOOT_FULL=1 tests/vm/luks.py [NAME...]       NAME: a test method or a part of its name; without SUREFOOT_FULL nothing is tried
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_HOST, SUREFOOT_LOGS, SUREFOOT_WORK: as for device.py

The one kernel of Debian that has a driver for this TPM has none for cards: U-Boot has the disk as its card, and the kernel has the same
disk by virtio. A TPM answers in its own time, so this machine goes by the clock and does not count instructions.
"""
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
import board as boards  # noqa: E402
from board import Board, Device, DATA_MIB, DISK_MIB, SLOT_MIB  # noqa: E402

board = None
MARK = b"surefoot: data not made yet"
DATA_AT = bench.BOOT_OFFSET + (8 + 2 * SLOT_MIB) * bench.MIB
CARD_MIB = 2 * DISK_MIB
bench.KERNEL, bench.DISK_MODULES, boards.WATCHDOGS = "kernel-arm64-cloud", ["virtio_pci", "virtio_blk"], []
boards.MODULES = ["autofs4", "veth", "overlay", "tpm_tis", "dm_mod", "dm_crypt", "xts", "aes_neon_bs", "af_alg", "algif_skcipher"]
# Nothing here ends because the host is slow.
CONFIGURATION = (HERE / "debian/etc/surefoot/surefoot.toml").read_text().replace('disk = "/dev/mmcblk0"\n', "")
CONFIGURATION = re.sub("deadline = .*", 'deadline = "15m"', re.sub("timeout = .*", 'timeout = "2m"', CONFIGURATION))
# The second medium brings the next release, and holds the key of the variant with a file.
CHANGES = [
    ("/etc/fstab", "LABEL=medium /medium ext4 ro,nofail,x-systemd.device-timeout=60s 0 0\n", 0o644),
    ("/etc/fw_env.config", "/dev/surefoot/disk 0x400000 0x4000\n/dev/surefoot/disk 0x800000 0x4000\n", 0o644),
    ("/etc/surefoot/surefoot.toml", CONFIGURATION, 0o644),
    ("/etc/modules-load.d/bench.conf", "veth\ntpm_tis\n", 0o644),
    # What a boot finds, on the console; and what is to be kept, once.
    ("/usr/lib/bench/watch", """\
#!/bin/sh
say() { sed 's/^/BENCH /'; }
{
    echo "up version=$(cat /etc/version) $(grep -o 'surefoot.slot=.' /proc/cmdline)"
    echo "mount $(grep ' /data ' /proc/mounts)"
    echo "under $(cat /sys/block/dm-0/dm/uuid)"
    echo "size $(df -m --output=size /data | tail -n 1)"
    echo "kept $(cat /data/kept)"
    surefoot first-boot | sed 's/^/step /'
    echo "result $(systemctl is-active surefoot-crypt.service) $(systemctl is-active surefoot.service)"
    ! mountpoint -q /data || [ -e /data/kept ] || cat /proc/sys/kernel/random/uuid >/data/kept
    mountpoint -q /data || surefoot doctor | grep -E 'STATE_NOT_DURABLE|BLOCK'
    sync
    echo looked
    if [ ! -e /data/kept.second ]; then
        ! mountpoint -q /data || touch /data/kept.second
    elif [ "$(cat /etc/version)" = 1.0.0 ] && [ -e /medium/next ]; then
        until surefoot install /medium/next --reboot; do sleep 1; done
    fi
    sync
} 2>&1 | say
while :; do
    surefoot events --follow 2>&1 | say
    sleep 1
done
""", 0o755),
]


class Crypted(Board):
    key = "tpm"

    def finish(self, root):
        shutil.copytree(bench.target("crypt-arm64"), root, dirs_exist_ok=True, symlinks=True)
        (root / "medium").mkdir()
        bench.run(bench.TOP / "packaging/crypt/install", root, self.key)

    def new(self, name):
        """A card that is twice as large as the image on it; its data partition was never made."""
        out = self.disk(name, data=False)
        os.truncate(out, CARD_MIB * bench.MIB)
        with open(out, "r+b") as disk:
            disk.seek(DATA_AT)
            disk.write(MARK)
        return out

    def medium(self, files):
        folder = self.work / "medium"
        folder.mkdir(exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)
        out = bench.filesystem(self.work / "medium.img", folder, "ext4", SLOT_MIB, "medium")
        shutil.rmtree(folder)
        return out


class Encrypted(Device):
    """A device with a TPM, whose state is a folder."""

    def __init__(self, name, disk, tpm=None, medium=None):
        super().__init__(board, name, disk)
        self.tpm, self.chip = tpm, None
        self.extra = ["-device", "virtio-blk-pci,drive=disk,share-rw=on"]
        if medium:
            self.extra += ["-drive", f"if=none,id=medium,format=raw,readonly=on,file={medium}", "-device", "virtio-blk-pci,drive=medium"]
        if tpm:
            if not tpm.exists():
                new_tpm(tpm)
            self.extra += ["-chardev", f"socket,id=chip,path={tpm}/socket", "-tpmdev", "emulator,id=tpm,chardev=chip", "-device", "tpm-tis-device,tpmdev=tpm"]

    def until(self, pattern, timeout=1200):
        if self.machine is None and self.tpm:
            if self.chip:
                self.chip.wait(60)
            (self.tpm / "socket").unlink(missing_ok=True)
            self.chip = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.tpm}", "--ctrl", f"type=unixio,path={self.tpm}/socket",
                                          "--terminate", "--flags", "startup-clear"])
            while not (self.tpm / "socket").exists():
                assert self.chip.poll() is None, "swtpm ended"
                time.sleep(0.05)
        return super().until(pattern, timeout)

    def off(self):
        super().off()
        if self.chip and self.chip.poll() is None:
            try:
                self.chip.wait(10)
            except subprocess.TimeoutExpired:
                self.chip.kill()
                self.chip.wait()


def new_tpm(folder):
    """swtpm takes three failed tries, and this systemd's key counts each power cut as one. A chip on a board takes 32, say."""
    folder.mkdir()
    chip = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--server", f"type=unixio,path={folder}/new",
                             "--ctrl", f"type=unixio,path={folder}/new.ctrl", "--flags", "not-need-init,startup-clear"])
    try:
        while not (folder / "new.ctrl").exists():
            assert chip.poll() is None, "swtpm ended"
            time.sleep(0.05)
        tcti = ["-T", f"swtpm:path={folder}/new"]
        bench.run("tpm2_dictionarylockout", *tcti, "--setup-parameters", "--max-tries=32", "--recovery-time=600", "--lockout-recovery-time=600")
        bench.run("tpm2_shutdown", *tcti, "-c")
    finally:
        chip.kill()
        chip.wait()


class Luks(unittest.TestCase):
    maxDiff = None

    def device(self, disk, **keywords):
        self.devices = getattr(self, "devices", 0) + 1
        device = Encrypted(f"{self.id().rsplit('.', 1)[1]}-{self.devices}", disk, **keywords)
        self.addCleanup(device.off)
        return device

    def looked(self, device):
        """What a boot has found, by its words."""
        before = device.looked
        device.until("BENCH looked")
        lines = [line.split("BENCH ", 1)[1] for line in device.lines[before:] if "BENCH " in line]
        print("\n    " + "\n    ".join(lines), end="", flush=True)
        return {line.split(" ", 1)[0]: line.split(" ", 1)[-1] for line in lines if not line.startswith("step ")}, [line for line in lines if line.startswith("step ")]

    def is_open(self, found):
        self.assertRegex(found["mount"], "^/dev/mapper/surefoot-data /data ext4 .*noatime")
        self.assertRegex(found["under"], "^CRYPT-LUKS2-")
        self.assertEqual(found["result"], "active active")

    def is_absent(self, found):
        self.assertEqual(found["mount"], "mount")
        self.assertRegex(found["result"], "^(failed|inactive) active$", "the daemon runs all the same")

    def test_the_key_of_the_tpm_opens_it_over_a_cut_a_growth_an_update_and_on_no_other_board(self):
        disk, tpm = board.new("tpm"), board.work / "tpm"
        release = board.artifact("2.0.0", CHANGES)
        device = self.device(disk, tpm=tpm, medium=board.medium([("next", release.read_bytes())]))
        for moment in ("encrypting it", "its file system is made", "its header is written"):
            device.until(f"data partition: {moment}")
            device.pull_the_plug(moment)
        found, steps = self.looked(device)
        self.is_open(found)
        # It stays to be done: the table is longer, and the mapping is not yet.
        self.assertTrue(any("done    grow" in step for step in steps), steps)
        small = int(found["size"])
        device.until("BENCH .* state idle")
        device.pull_the_plug("the second boot")
        found, steps = self.looked(device)
        self.is_open(found)
        self.assertRegex(found["kept"], "^[0-9a-f-]{36}$")
        kept = found["kept"]
        device.until("BENCH up version=2.0.0 surefoot.slot=b")
        found, _ = self.looked(device)
        self.is_open(found)
        self.assertEqual(found["kept"], kept)
        # The mapping had its new length when it was opened anew, and the file system followed.
        self.assertLess(small, DATA_MIB)
        self.assertGreater(int(found["size"]), CARD_MIB - 24 - 2 * SLOT_MIB - 80)
        device.until("BENCH .* state updated")
        device.off()
        head = header(disk)
        other = self.device(disk, tpm=board.work / "other-tpm")
        found, _ = self.looked(other)
        self.is_absent(found)
        self.assertTrue(any("data partition: no key opens it" in line for line in other.lines))
        self.assertTrue(any("STATE_NOT_DURABLE" in line for line in other.lines))
        other.off()
        self.assertEqual(header(disk), head)
        again = self.device(disk, tpm=tpm)
        found, _ = self.looked(again)
        self.is_open(found)
        self.assertEqual(found["kept"], kept)
        self.assertIn("version=2.0.0", found["up"])
        again.off()
        # Nothing of it can be read on the disk.
        with open(disk, "rb") as image, mmap.mmap(image.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            self.assertEqual(whole.find(kept.encode(), DATA_AT), -1)

    def test_a_key_file_on_another_medium_opens_it_and_without_the_medium_the_device_starts(self):
        disk = board.new("file")
        # The same system with another word in its unit.
        root = board.work / "units"
        bench.run(bench.TOP / "systemd/install", root)
        bench.run(bench.TOP / "packaging/crypt/install", root, "/medium/key")
        unit = "/usr/lib/systemd/system/surefoot-crypt.service"
        system = board.work / "system-file.ext4"
        bench.run("cp", "--sparse=always", board.system("1.0.0", CHANGES), system)
        boards.edit(system, [(unit, Path(f"{root}{unit}").read_text(), 0o644)])
        bench.run("dd", f"if={system}", f"of={disk}", "bs=1M", f"seek={bench.BOOT_OFFSET // bench.MIB + 8}", "conv=notrunc")
        device = self.device(disk, medium=board.medium([("key", os.urandom(64))]))
        found, _ = self.looked(device)
        self.is_open(found)
        device.pull_the_plug("the second boot")
        found, _ = self.looked(device)
        self.is_open(found)
        kept = found["kept"]
        self.assertRegex(kept, "^[0-9a-f-]{36}$")
        device.off()
        head = header(disk)
        without = self.device(disk)
        found, _ = self.looked(without)
        self.is_absent(found)
        without.off()
        self.assertEqual(header(disk), head)


def header(disk):
    with open(disk, "rb") as image:
        image.seek(DATA_AT)
        return image.read(16 * bench.MIB)


def main():
    global board
    cases = unittest.TestLoader().loadTestsFromTestCase(Luks).countTestCases()
    if not os.environ.get("SUREFOOT_FULL"):
        print(f"luks: 0 passed, 0 failed, {cases} skipped (only with SUREFOOT_FULL=1)")
        return
    started = time.monotonic()
    subprocess.run([bench.TOP / "tests/packages", "swtpm", "tpm2-tools"], check=True)
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
        print(f"luks: {cases} tests, none of them run: no Debian to put into the slots; 0 failures, {cases} skipped")
        return
    with tempfile.TemporaryDirectory(prefix="surefoot-luks-") as folder:
        board = Crypted(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        board.system("1.0.0", CHANGES)
        chosen = bench.chosen_tests(Luks, {}, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"luks: {result.testsRun} tests, {len(result.failures) + len(result.errors)} failures, {len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("luks: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

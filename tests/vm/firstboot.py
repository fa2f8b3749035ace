#!/usr/bin/env python3
"""The first boot of a device: Debian with its real systemd under the real U-Boot, on a card that is larger than the image.

    tests/vm/firstboot.py [NAME...]       NAME: a test method or a part of its name
    SUREFOOT_FORGE, SUREFOOT_ARM64, SUREFOOT_HOST, SUREFOOT_LOGS, SUREFOOT_WORK: as for device.py

Nothing on the device names its disk: [device] disk is auto, the environment and the data partition are found by the links in
/dev/surefoot. A second disk that was written from the same image is never touched.
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
import board as boards  # noqa: E402
from board import Board, Device, DISK_MIB, SLOT_MIB  # noqa: E402

board = None
boots = 0
CARD_MIB = 2 * DISK_MIB
boards.MODULES = [*boards.MODULES, "overlay"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@desk"
PROXY = "http://me:s3cret@192.0.2.9:3128"
# A board's ssh-keygen, as far as the first boot knows it: two files of random bytes.
KEYGEN = """\
#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" != -f ] || file=$2; shift; done
head -c 32 /dev/urandom | busybox hexdump -v -e '1/1 "%02x"' >"$file"
echo "public of $(cat "$file")" >"$file.pub"
"""
CONFIGURATION = (HERE / "debian/etc/surefoot/surefoot.toml").read_text().replace('disk = "/dev/mmcblk0"\n', "")
# The check of docs/integrator.md, which ends when the boot has.
CONFIGURATION += '\n[[health.check]]\nname = "services"\ncommand = ["/usr/bin/systemctl", "is-system-running", "--wait"]\ntimeout = "2m"\n'
# A folder of the data partition that is shown elsewhere, and a mount point below the data partition.
FSTAB = "/data/pool /srv none bind,nofail 0 0\n/data/script /data/script none bind,nofail 0 0\n"
CHANGES = [
    ("/etc/systemd/journald.conf", "[Journal]\nStorage=persistent\n", 0o644),
    ("/etc/fstab", FSTAB, 0o644),
    ("/etc/fw_env.config", "/dev/surefoot/disk 0x400000 0x4000\n/dev/surefoot/disk 0x800000 0x4000\n", 0o644),
    ("/etc/surefoot/surefoot.toml", CONFIGURATION, 0o644),
    ("/usr/bin/ssh-keygen", KEYGEN, 0o755),
]
# What a boot finds, on the console.
LOOKS = """\
#!/bin/sh
for name in disk boot rootfs-a data; do echo "link $name $(readlink -f /dev/surefoot/$name)"; done
echo "mount $(grep ' /data ' /proc/mounts)"
echo "root $(grep ' / ' /proc/mounts | head -n 1)"
echo "id $(cat /etc/machine-id) $(busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer GetMachineId)"
echo "host $(cat /proc/sys/kernel/hostname) $(cat /etc/hostname)"
echo "size $(busybox df -m /data | busybox awk 'END { print $2 }')"
echo "key $(cat /etc/ssh/ssh_host_ed25519_key)"
echo "login $(cat /root/.ssh/authorized_keys)"
echo "settings $(surefoot config show | grep -E '^(id|proxy)' | tr '\\n' ' ')"
surefoot first-boot --early | sed 's/^/step /'
echo "journals $(ls /var/log/journal | tr '\\n' ' ')"
echo "entries $(journalctl -b -q -o cat -u surefoot.service | busybox wc -l)"
doctor() { systemctl show -P "$1" surefoot-first-boot-doctor.service | tr -d 0; }
until [ "$(systemctl is-active multi-user.target)" = active ] && [ -z "$(doctor Job)" ] && case $(doctor ActiveState) in inactive|failed) ;; *) false ;; esac; do sleep 1; done
systemctl is-failed surefoot-first-boot.service surefoot.service data.mount | tr '\\n' ' '; echo
journalctl -b -u surefoot-first-boot-doctor.service -o cat | sed 's/^/doctor /' | head -n 40
surefoot doctor | sed 's/^/now /' | grep -E 'TWIN|disk|booted|STOP'
"""


# Asks for a factory reset, and starts once more after it.
RESET = """\
#!/bin/sh
echo "mounted $(grep -c -E ' /(srv|data/script) ' /proc/mounts)"
echo "files $(ls /data /srv | tr '\\n' ' ')"
echo "id $(cat /etc/machine-id)"
surefoot status | grep '^reset' | sed 's/^/said /'
if [ -e /data/loose ]; then until surefoot factory-reset --reboot; do sleep 1; done; exit; fi
if [ ! -e /data/again ]; then touch /data/again; sync; systemctl reboot; exit; fi
echo looked
"""


class FirstBoot(unittest.TestCase):
    maxDiff = None

    def device(self, disk, twin=None):
        device = Device(board, self.id().rsplit(".", 1)[1], disk)
        if twin:
            device.extra += ["-drive", f"if=none,id=twin,format=raw,file={twin}", "-device", "virtio-blk-pci,drive=twin"]
        self.addCleanup(device.off)
        self.addCleanup(count, device)
        return device

    def disk(self, script, files=()):
        """A card that is twice as large as the image on it, told who it is by a technician."""
        name = self.id().rsplit(".", 1)[1]
        files = [("script", script, 0o755), ("pool/x", "x", 0o644), ("preload/other.surefoot", "no artifact", 0o644), *files]
        disk = board.disk(name, files=files)
        os.truncate(disk, CARD_MIB * bench.MIB)
        key = board.work / "key.pub"
        key.write_text(KEY + "\n")
        bench.run(board.forge, "configure", disk, "--hostname", "gate-7", "--id", "SN-7", "--proxy", PROXY, "--ssh-key", key)
        return disk

    def found(self, device, word):
        return [line.split(" ", 1)[1] for line in device.said(f"BENCH {word} ")]

    def test_a_card_that_is_larger_than_the_image_becomes_a_device_of_its_own(self):
        script = LOOKS + "echo looked\n[ -e /data/twice ] || { [ ! -e /data/once ] || touch /data/twice; touch /data/once; sync; systemctl reboot; }\n"
        disk = self.disk(script)
        before = kept(disk)
        self.assertTrue(b"s3cret" in boot_partition(disk))
        device = self.device(disk)
        for _ in range(3):
            device.until("BENCH looked")
        device.off()
        self.assertEqual(len(self.found(device, "id")), 3)
        for what in ("journals", "entries", "link", "id", "host", "size", "key", "login", "settings", "step", "doctor", "now"):
            print(f"\n{what}: " + "\n    ".join(self.found(device, what)), end="")
        self.assertEqual(self.found(device, "link")[:4], ["disk /dev/mmcblk0", "boot /dev/mmcblk0p1", "rootfs-a /dev/mmcblk0p2", "data /dev/mmcblk0p4"])
        for mount in self.found(device, "mount"):
            self.assertRegex(mount, "^/dev/mmcblk0p4 /data ext4 .*noatime")
        first, second, third = self.found(device, "id")
        self.assertEqual(len({line.split()[0] for line in (first, second, third)}), 1, "the machine id of all boots")
        # In each boot journald opens the folder of the kept id in /var/log/journal, and no other one.
        self.assertEqual([folders.split() for folders in self.found(device, "journals")], [[first.split()[0]]] * 3)
        self.assertTrue(all(int(count) > 0 for count in self.found(device, "entries")))
        self.assertRegex(first, "^[0-9a-f]{32} ")
        first, *others = self.found(device, "key")
        self.assertEqual(others, [first] * 2)
        self.assertEqual(len(first), 64)
        self.assertEqual(self.found(device, "host"), ["gate-7 gate-7"] * 3)
        self.assertEqual(self.found(device, "login"), [KEY] * 3)
        for settings in self.found(device, "settings"):
            self.assertIn('id = "SN-7"', settings)
            self.assertIn(PROXY, settings)
        for size in self.found(device, "size"):
            self.assertGreater(int(size), CARD_MIB - 24 - 2 * SLOT_MIB - 60)
        self.assertTrue(any("done" not in s and "before" in s and "grow" in s for s in self.found(device, "step")))
        self.assertTrue(any("booted" in line and "slot a runs" in line for line in self.found(device, "doctor")), "the doctor's answer of the first boot")
        told = "\n".join(self.found(device, "doctor"))
        self.assertIn("other.surefoot stays", told)
        self.assertNotIn("check services", told, "the check of docs/integrator.md")
        self.assertEqual(kept(disk), before)
        self.assertNotIn(b"s3cret", boot_partition(disk))
        data = partition(disk, "data", board.work / "data.ext4")
        # It was not unmounted in the end: the journal is replayed first.
        self.assertIn(subprocess.run(["e2fsck", "-p", data], stdout=subprocess.DEVNULL).returncode, (0, 1))
        bench.run("e2fsck", "-fn", data)
        data.unlink()
        self.assertIn("No problems found", bench.run("sgdisk", "-v", disk).stdout.decode())

    def test_a_factory_reset_leaves_what_is_mounted_and_the_device_starts_again(self):
        disk = self.disk(RESET, [("loose", "x", 0o644)])
        device = self.device(disk)
        device.until("BENCH looked")
        device.off()
        for what in ("mounted", "files", "id", "said"):
            print(f"\n{what}: " + "\n    ".join(self.found(device, what)), end="")
        self.assertEqual(self.found(device, "mounted"), ["2"] * 3)
        before, now, later = (set(files.split()) for files in self.found(device, "files"))
        self.assertLessEqual({"loose", "pool", "script", "x"}, before)
        self.assertLessEqual({"pool", "script", "etc"}, now)
        self.assertFalse({"loose", "x"} & now, now)
        self.assertIn("again", later - now, "what was written since then stays")
        self.assertEqual(len(set(self.found(device, "id"))), 1, "the machine id of all boots")
        self.assertTrue(any("/data/script" in said for said in self.found(device, "said")), "what is left is named")

    def test_beside_a_twin_that_no_script_tells_apart_nothing_is_updated(self):
        disk = self.disk(LOOKS + "surefoot install /data/none.surefoot 2>&1\nsurefoot switch 2>&1\necho looked\n")
        twin = board.work / "twin.img"
        bench.run("cp", "--sparse=always", disk, twin)
        before, own = digest(twin), kept(disk)
        device = self.device(disk, twin)
        device.until("BENCH looked")
        device.off()
        root = self.found(device, "root")[0].split()[0]
        print("\n    ".join([f"root {root}", *self.found(device, "link"), *self.found(device, "mount"), *self.found(device, "step"), *self.found(device, "now")]))
        self.assertTrue(any("DISK_TWIN" in line for line in device.lines), "the twin is named")
        links = dict(line.split() for line in self.found(device, "link"))
        data = self.found(device, "mount")[0].split()[0]
        self.assertTrue(root.startswith(links["disk"]) and data.startswith(links["disk"]), (root, links, data))
        # The disk that the kernel has not taken for its root has no byte changed, and the table of the other is left alone.
        other = twin if links["disk"] == "/dev/mmcblk0" else disk
        if other == twin:
            self.assertEqual(digest(twin), before)
        self.assertEqual(kept(disk), own)
        self.assertEqual(kept(twin), own)
        twin.unlink()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table(disk):
    said = bench.run("sgdisk", "-p", disk).stdout.decode()
    rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) .*?([\w-]+)$", said, re.M)
    return {name: (int(number), int(first), int(last)) for number, first, last, name in rows}


def partition(disk, name, out):
    _, first, last = table(disk)[name]
    bench.run("dd", f"if={disk}", f"of={out}", "bs=64k", "iflag=skip_bytes,count_bytes", f"skip={first * 512}", f"count={(last + 1 - first) * 512}", "conv=sparse")
    return out


def boot_partition(disk):
    out = partition(disk, "boot", board.work / "boot.fat")
    content = out.read_bytes()
    out.unlink()
    return content


def kept(disk):
    """What a first boot leaves alone: both slots, the environment, and the partitions with their ids but for the end of the last one."""
    ids = [re.findall(r"unique GUID: (\S+)", bench.run("sgdisk", "-i", str(n), disk).stdout.decode()) for n in range(1, 5)]
    rows = {name: (number, first, last if name != "data" else 0) for name, (number, first, last) in table(disk).items()}
    slots = []
    for name in ("rootfs-a", "rootfs-b"):
        out = partition(disk, name, board.work / "slot.img")
        slots.append(digest(out))
        out.unlink()
    return ids, rows, slots, bench.env_read(disk)


def count(device):
    global boots
    boots += len(device.said("up version="))


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
        skipped = unittest.TestLoader().loadTestsFromTestCase(FirstBoot).countTestCases()
        print(f"firstboot: {skipped} tests, none of them run: no Debian to put into the slots; 0 failures, {skipped} skipped")
        return
    with tempfile.TemporaryDirectory(prefix="surefoot-firstboot-") as folder:
        board = Board(os.environ.get("SUREFOOT_WORK") or folder, arm64, forge or target / "surefoot-forge", host or target / "surefoot")
        base = board.base()
        for made in ("mkdir /srv", "mkdir /etc/ssh", "mkdir /root/.ssh", "rmdir /root/.ssh"):
            subprocess.run(["debugfs", "-w", "-R", made, base], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        board.system("1.0.0", CHANGES)
        chosen = bench.chosen_tests(FirstBoot, {}, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"firstboot: {result.testsRun} tests, {boots} boots to userspace, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("firstboot: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

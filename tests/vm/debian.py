#!/usr/bin/env python3
"""The Debian package for arm64, in a fresh Debian: judged by lintian, installed by its own dpkg, and updated, removed and purged there. What
can be tried without a machine is in tests/deb.

    SUREFOOT_FULL=1 tests/vm/debian.py        SUREFOOT_ARM64, SUREFOOT_LOGS, SUREFOOT_WORK: as for device.py

Three boots of one disk. In the first two QEMU starts the kernel, as any computer would, and there is no data partition: the package is
installed, and waits, for nothing is configured; the next start takes no longer for it, and then it is configured. The third is a device's,
by U-Boot and the boot script, with a data partition: the daemon runs and is healthy, without a hand.
"""
import gzip
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
from board import MASKED, MODULES, Device, enable, rootfs  # noqa: E402

SLOT_MIB = 160
# Without a watchdog: this Debian has nothing that feeds it.
INITRAMFS = rootfs.initramfs("ext4")
CONFIGURATION = """\
[device]
product = "surefoot-bench"
compatible = "qemu-arm64"
disk = "auto"

[health]
stable = "1s"

[[health.check]]
name = "units"
command = ["/usr/bin/systemctl", "is-active", "dbus.service"]
"""
# What a person would type, and what it says, on the console.
STARTED = """\
systemctl is-system-running --wait >/dev/null
say "took $(systemd-analyze time | sed -n 's/^Startup finished in //p')"
mount -o remount,rw /
"""
FIRST = STARTED + """\
SECONDS=0
dpkg -i /root/surefoot.deb >/root/out 2>&1; say "dpkg $? $(dpkg-query -W -f '${db:Status-Status}' surefoot) in $SECONDS s"
grep -i warning /root/out | grep -v 'files list' | say
say "waits $(systemctl is-active surefoot.service) $(systemctl is-enabled surefoot.service) $(systemctl show -P ConditionResult surefoot.service)"
surefoot status 2>&1 | say; say "asked ${PIPESTATUS[0]}"
sleep 5
say "failed$(failed) restarts $(systemctl show -P NRestarts surefoot.service) sockets $(systemctl is-active surefoot-status.socket)"
say "groups $(getent group surefoot-status surefoot-control | cut -d: -f1 | tr '\\n' ' ')"
say installed
systemctl poweroff
"""
SECOND = STARTED + """\
say "waited $(journalctl -b --no-pager | grep -c "Timed out waiting for device")"
say "waits $(systemctl is-active surefoot.service) failed$(failed) mounted $(findmnt -n DATA)"
cp /root/surefoot.toml ETC/surefoot.toml
mkdir -p "$(dirname TRUST)" DATA
cp /root/trust.toml TRUST
systemctl enable data.mount 2>&1 | say
say configured
systemctl poweroff
"""
THIRD = """\
until systemctl is-active --quiet surefoot.service && [ -S RUN/status.sock ]; do sleep 1; done
say "active $(systemctl is-active surefoot surefoot-shutdown surefoot-status.socket | tr '\\n' ' ')"
say "data $(findmnt -n -o TARGET,SOURCE,OPTIONS DATA) $(readlink -f LINKS/data)"
surefoot status | say
surefoot doctor --json >/run/doctor 2>/run/err || say "doctor $?"
say "DOCTOR $(tr -d '\\n' </run/doctor)"
say "failed$(failed)"
mount -o remount,rw /
pid=$(systemctl show -P MainPID surefoot.service)
systemctl disable --quiet surefoot-fetch.socket
dpkg -i /root/surefoot.deb >/root/out 2>&1; say "again $?"
say "upgraded $(systemctl is-active surefoot.service) $([ "$pid" != "$(systemctl show -P MainPID surefoot.service)" ] && echo restarted)"
say "kept $(systemctl is-enabled surefoot-fetch.socket)"
dpkg -r surefoot >/root/out 2>&1; say "removed $? $(systemctl is-active surefoot.service) $([ -e ETC/surefoot.toml ] && echo configuration)"
dpkg -P surefoot >/root/out 2>&1; say "purged $? $([ -d STATE ] && echo state) $(ls /etc/systemd/system/*.wants | grep -c surefoot)"
"""
UNIT = """\
[Service]
Type=exec
ExecStart=/root/script
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
"""
made = None


def took(text):
    """Seconds, of `1.2s (kernel) + 1min 3.4s (userspace) = 1min 4.6s`."""
    minutes, seconds = re.fullmatch(r".* = (?:(\d+)min )?([\d.]+)s.*", text).groups()
    return int(minutes or 0) * 60 + float(seconds)


def path(name):
    return subprocess.run([bench.TOP / "packaging/expand", "--get", name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def script(text):
    for name in ("DATA", "STATE", "RUN", "BIN", "ETC", "TRUST", "LINKS"):
        text = re.sub(rf"\b{name}\b", path(name), text)
    return "#!/bin/bash\nfailed() { systemctl --failed --no-legend --plain | cut -d' ' -f1 | sed 's/^/ /' | tr -d '\\n'; }\nsay() { if [ $# -gt 0 ]; then echo \"BENCH $*\"; else sed 's/^/BENCH /'; fi; }\n" + text


class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = made
        program = os.environ.get("SUREFOOT_ARM64")
        build = {**os.environ, **({"SUREFOOT_PROGRAM": program} if program else {})}
        done = subprocess.run([bench.TOP / "packaging/deb/build", "arm64"], env=build, stdout=subprocess.PIPE, text=True, check=True)
        cls.deb = Path(done.stdout.strip())

    def test_lintian_finds_no_error(self):
        subprocess.run([bench.TOP / "tests/packages", "lintian"], check=True)
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", self.deb], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        print(f"\n{done.stdout}")
        self.assertEqual((done.returncode, re.findall(r"^E: .*", done.stdout, re.M)), (0, []))

    def disk(self):
        """A board's disk whose slot a has a Debian without Surefoot, and its package."""
        root = self.work / "root"
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
        shutil.rmtree(root / "usr/lib/udev/hwdb.d", ignore_errors=True)
        (root / "boot").mkdir(exist_ok=True)
        (root / "boot/Image").write_bytes(gzip.compress((kernel / "Image").read_bytes(), 6, mtime=0))
        (root / "boot/initrd.img").write_bytes(INITRAMFS)
        (root / "etc/machine-id").write_text("")
        # As the script of base-files makes it, which was not run.
        shutil.rmtree(root / "var/lock")
        (root / "var/lock").symlink_to("/run/lock")
        (root / "etc/fstab").write_text("")
        (root / "etc/fw_env.config").write_text("".join(f"{path('LINKS')}/disk {at:#x} {bench.ENV_SIZE:#x}\n" for at in bench.ENV_OFFSETS))
        bench.run("cp", self.deb, root / "root/surefoot.deb")
        target = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target") / "debug"
        bench.run(os.environ.get("SUREFOOT_FORGE") or target / "surefoot-forge", "keygen", "--out", self.work / "keys")
        bench.run("cp", self.work / "keys/trust.toml", root / "root/trust.toml")
        (root / "root/surefoot.toml").write_text(CONFIGURATION)
        (root / "root/script").write_text(script(
            f"if [ ! -e BIN ]; then\n{FIRST}elif [ ! -e ETC/surefoot.toml ]; then\n{SECOND}else\n{THIRD}fi\n"))
        (root / "root/script").chmod(0o755)
        (root / "etc/systemd/system/bench.service").write_text(UNIT)
        enable(root, "bench.service", "/etc/systemd/system")
        # Its state folder lies on a root that is read-only, and nothing here has a seat.
        for unit in [*MASKED, "systemd-logind.service"]:
            link = root / "etc/systemd/system" / unit
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        image = bench.filesystem(self.work / "slot", root, "ext4", SLOT_MIB - 8)
        shutil.rmtree(root)
        board = bench.target("uboot-arm64") / "default.env"
        text = subprocess.run([bench.TOP / "uboot-scripts/make", "factory-env.txt", "--board", board, "surefoot_counter=uboot",
                               "surefoot_args=console=ttyAMA0 quiet systemd.show_status=0", "surefoot_panic=1", "kernel_comp_addr_r=0x50000000"],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        variables = bench.env_text_to_dict(text)
        variables.pop("surefoot_env")
        out = self.work / "disk.img"
        data = self.work / "data"
        (data / "surefoot").mkdir(parents=True)
        bench.disk_image(out, SLOT_MIB, image, data=data, data_mib=64, total_mib=512, boot_files=[("boot.scr", bench.boot_scr())], env=variables)
        return out

    def start(self, disk, kernel=None):
        device = Device(self, self.id().rsplit(".", 1)[1], disk, kernel=kernel)
        self.addCleanup(device.off)
        return device

    def test_in_a_fresh_debian_it_waits_for_its_configuration_and_then_runs(self):
        disk = self.disk()
        uuid = re.search(r"unique GUID: (\S+)", subprocess.run(["sgdisk", "-i", "2", disk], stdout=subprocess.PIPE, text=True).stdout)[1]
        initrd = self.work / "initrd"
        initrd.write_bytes(INITRAMFS)
        line = f"root=PARTUUID={uuid.lower()} ro console=ttyAMA0 quiet systemd.show_status=0"
        # A busy host takes its time: dpkg runs some dozen programs in Perl.
        said = lambda pattern: device.until(pattern, 3600)  # noqa: E731
        kernel = (bench.target("kernel-arm64") / "Image", initrd, line)
        # Without the data partition: nothing may wait for it.
        bench.run("sgdisk", "-b", self.work / "table", disk)
        bench.run("sgdisk", "-d", 4, disk)
        device = self.start(disk, kernel=kernel)
        without = took(said(r"BENCH took (.*)")[1])
        said(r"BENCH dpkg 0 installed in \d+ s$")
        said(r"BENCH waits inactive enabled no$")
        said(r"BENCH .*CONFIG_MISSING")
        said(r"BENCH asked 78$")
        self.assertEqual(said(r"BENCH failed(.*) restarts 0 sockets active$")[1], "")
        said(r"BENCH groups surefoot-status surefoot-control$")
        said(r"BENCH installed$")
        device.until(r"reboot: Power down")
        device.off()
        device = self.start(disk, kernel=kernel)
        with_it = took(said(r"BENCH took (.*)")[1])
        print(f"\nnote: a start takes {without:.1f} s without the package, {with_it:.1f} s with it", flush=True)
        # The clock of this machine goes on while the host writes: what was waited for is asked of systemd.
        said(r"BENCH waited 0$")
        self.assertEqual(said(r"BENCH waits inactive failed(.*) mounted$")[1], "")
        said(r"BENCH configured$")
        device.until(r"reboot: Power down")
        device.off()
        bench.run("sgdisk", "-l", self.work / "table", disk)
        device = self.start(disk)
        said(r"BENCH active active active active$")
        said(rf"BENCH data {path('DATA')} +/dev/mmcblk0p4 .*noatime.* /dev/mmcblk0p4$")
        said(r"BENCH state +idle$")
        found = said(r"BENCH DOCTOR (.*)")[1]
        self.assertNotIn('"blocking"', found)
        self.assertIn('"good"', found)
        self.assertEqual(said(r"BENCH failed(.*)$")[1], "")
        said(r"BENCH again 0$")
        said(r"BENCH upgraded active restarted$")
        said(r"BENCH kept disabled$")
        said(r"BENCH removed 0 inactive configuration$")
        said(r"BENCH purged 0 state 0$")
        self.assertFalse(device.said("doctor [1-9]"))


def main():
    global made
    started = time.monotonic()
    if not os.environ.get("SUREFOOT_FULL") and not sys.argv[1:]:
        print("debian: 0 passed, 0 failed, 1 skipped (only with SUREFOOT_FULL=1, or by name: lintian and maintainer scripts under emulation take long)")
        return
    try:
        bench.target("debian-arm64")
    except subprocess.CalledProcessError as error:
        if error.returncode != 3:
            raise
        count = unittest.TestLoader().loadTestsFromTestCase(Debian).countTestCases()
        print(f"debian: {count} tests, none of them run: no Debian to install it into; 0 failures, {count} skipped")
        return
    with tempfile.TemporaryDirectory(prefix="surefoot-debian-") as folder:
        made = Path(os.environ.get("SUREFOOT_WORK") or folder)
        made.mkdir(exist_ok=True)
        chosen = bench.chosen_tests(Debian, {}, sys.argv[1:])
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    print(f"debian: {result.testsRun} tests, {len(result.failures) + len(result.errors)} failures, {len(result.skipped)} skipped, "
          f"{time.monotonic() - started:.0f} s")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The recipe of the Raspberry Pi with its one environment in a FAT file, on QEMU's raspi3b: Debian's U-Boot for the Pi, as it is, reads it, starts
the boot script from an MBR disk that `surefoot-forge image` made, and the kernel of slot a.

    SUREFOOT_FULL=1 tests/vm/raspi3b.py       two minutes; without it nothing is tried
"""
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
rootfs = module_from_spec(spec_from_loader("rootfs", loader := SourceFileLoader("rootfs", str(HERE / "rootfs"))))
loader.exec_module(rootfs)


def compiled_in(uboot):
    """The environment that stands in a U-Boot, as `make u-boot-initial-env` prints it."""
    block = max((b for b in uboot.read_bytes().split(b"\0\0") if b"kernel_addr_r=" in b), key=len)
    pairs = [text.decode() for text in block.split(b"\0") if re.fullmatch(rb"[\w.-]{3,}=[\x20-\x7e]*", text)]
    return "".join(f"{pair}\n" for pair in sorted(pairs))


def disk(work):
    kernel, uboot = bench.target("kernel-arm64"), bench.target("uboot-rpi") / "usr/lib/u-boot/rpi_3/u-boot.bin"
    tree = work / "root"
    rootfs.tree(tree, "ext4", "1.0.0", "good", None, None, [])
    # Those of another board; the forge puts in what the recipe says.
    for name in ("surefoot/surefoot.toml", "fw_env.config"):
        (tree / "etc" / name).unlink()
    (tree / "boot/initrd.img").write_bytes(rootfs.initramfs("ext4", ["bcm2835", "sdhci_iproc"]))
    dtb = next(kernel.glob("usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb"))
    (work / "u-boot-initial-env").write_text(compiled_in(uboot))
    # What the firmware would read; QEMU is the firmware here.
    (work / "firmware").mkdir()
    (work / "firmware/config.txt").write_text("arm_64bit=1\nkernel=u-boot.bin\n")
    shutil.copy(uboot, work / "firmware")
    forge = os.environ.get("SUREFOOT_FORGE") or bench.program("surefoot-forge")
    bench.run(forge, "keygen", "--out", work / "KEYS")
    recipe = (bench.TOP / "docs/boards/raspberrypi4.toml").read_text()
    for size, smaller in (('"8G"', '"512M"'), ('"2G"', '"128M"'), ('"512M"\n\n[trust]', '"64M"\n\n[trust]')):
        assert recipe.count(size) == 1, size
        recipe = recipe.replace(size, smaller)
    (work / "board.toml").write_text(recipe.replace('size = "128M"\nfirmware', 'size = "64M"\nfirmware'))
    bench.run(forge, "image", work / "board.toml", "--rootfs", tree, "--version", "1.0.0", "--key", work / "KEYS/release.key", "-o", work / "pi.img")
    return uboot, dtb, work / "pi.img"


def main():
    if not os.environ.get("SUREFOOT_FULL"):
        print("raspi3b: 0 passed, 0 failed, 1 skipped (only with SUREFOOT_FULL=1)")
        return
    started = time.monotonic()
    with bench.scratch("surefoot-raspi-") as folder:
        uboot, dtb, image = disk(Path(folder))
        command = ["qemu-system-aarch64", "-M", "raspi3b", "-kernel", uboot, "-dtb", dtb, "-drive", f"if=sd,format=raw,file={image}", "-display", "none",
                   "-serial", "null", "-serial", "stdio", "-no-reboot"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        seen, wanted = b"", [rb"Loading Environment from FAT\.\.\. OK", rb"surefoot: slot=a", rb"surefoot: starting slot a", rb"BENCH up slot=a version=1\.0\.0"]
        try:
            os.set_blocking(process.stdout.fileno(), False)
            while wanted and time.monotonic() < started + 1200:
                seen += process.stdout.read() or b""
                while wanted and re.search(wanted[0], seen):
                    print(f"{time.monotonic() - started:6.1f} s  {wanted.pop(0).decode()}", flush=True)
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
        assert not wanted, f"never seen: {wanted[0]!r}\n{seen[-3000:].decode('utf-8', 'replace')}"
    print(f"raspi3b: 1 passed, 0 failed\nnote: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

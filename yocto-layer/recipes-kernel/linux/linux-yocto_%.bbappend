# The disk of qemuarm64 is an SD card on PCI: the kernel finds its root there without an initramfs. Nothing changes anywhere else.
# nooelint: oelint.file.requirenotfound - which file, if any, is computed
require ${@surefoot.for_uboot(d, "linux-surefoot.inc") if d.getVar("MACHINE") == "qemuarm64" else ""}

# Without the feature, or with another bootloader, nothing of U-Boot changes.
# nooelint: oelint.file.requirenotfound - which file, if any, is computed
require ${@surefoot.for_uboot(d, "u-boot-surefoot.inc")}

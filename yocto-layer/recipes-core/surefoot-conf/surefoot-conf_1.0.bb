SUMMARY = "Configuration of Surefoot for this machine"
DESCRIPTION = "surefoot.toml and fw_env.config, made from the same variables as the disk image and U-Boot's configuration."
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit surefoot_check

PACKAGE_ARCH = "${MACHINE_ARCH}"

SRC_URI = ""
S = "${UNPACKDIR}"
B = "${WORKDIR}/build"
INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"

python do_compile () {
    if not d.getVar("SUREFOOT_PRODUCT"):
        bb.fatal("SUREFOOT_PRODUCT is not set: it names the product that artifacts are for, and no device changes it later")
    for name, text in (("surefoot.toml", surefoot.configuration(d)), ("fw_env.config", surefoot.fw_env_config(d))):
        with open(os.path.join(d.getVar("B"), name), "w", encoding="utf-8") as file:
            file.write(text)
}
do_compile[vardeps] += "SUREFOOT_PRODUCT SUREFOOT_COMPATIBLE SUREFOOT_DISK SUREFOOT_DISK_ID SUREFOOT_DATA SUREFOOT_TABLE \
    SUREFOOT_ENV_OFFSET SUREFOOT_ENV_OFFSET_REDUND SUREFOOT_ENV_SIZE"

do_install () {
    install -D -m 0644 "${B}/surefoot.toml" "${D}${@surefoot.path(d, 'ETC')}/surefoot.toml"
    install -D -m 0644 "${B}/fw_env.config" "${D}${@surefoot.path(d, 'FW_ENV_CONFIG')}"
    # Read after surefoot.toml, by its name.
    if [ -n "${SUREFOOT_CONFIG}" ]; then
        install -m 0644 "${SUREFOOT_CONFIG}" "${D}${@surefoot.path(d, 'ETC')}/z-product.toml"
    fi
}
do_install[file-checksums] += "${@d.getVar('SUREFOOT_CONFIG') + ':True' if d.getVar('SUREFOOT_CONFIG') else ''}"

FILES:${PN} = "${sysconfdir}"
# A board's U-Boot recipe may ship a fw_env.config of its own in this package.
RCONFLICTS:${PN} = "u-boot-env"

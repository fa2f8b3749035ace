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

ETC_AT := "${@surefoot.path(d, 'ETC')}"
FW_ENV_AT := "${@surefoot.path(d, 'FW_ENV_CONFIG')}"

# Two texts; their signature is what they say.
SETTINGS = "${@surefoot.configuration(d)}"
SETTINGS[vardepvalue] = "${SETTINGS}"
ENV_PLACES = "${@surefoot.fw_env_config(d)}"
ENV_PLACES[vardepvalue] = "${ENV_PLACES}"

python do_compile () {
    if not d.getVar("SUREFOOT_PRODUCT"):
        bb.fatal("SUREFOOT_PRODUCT is not set: it names the product that artifacts are for, and no device changes it later")
    for name, text in (("surefoot.toml", d.getVar("SETTINGS")), ("fw_env.config", d.getVar("ENV_PLACES"))):
        with open(os.path.join(d.getVar("B"), name), "w", encoding="utf-8") as file:
            file.write(text)
}

do_install () {
    install -D -m 0644 "${B}/surefoot.toml" "${D}${ETC_AT}/surefoot.toml"
    install -D -m 0644 "${B}/fw_env.config" "${D}${FW_ENV_AT}"
    # Read after surefoot.toml, by its name.
    if [ -n "${SUREFOOT_CONFIG}" ]; then
        install -m 0644 "${SUREFOOT_CONFIG}" "${D}${ETC_AT}/z-product.toml"
    fi
}
do_install[file-checksums] += "${@surefoot.checksums(d, 'SUREFOOT_CONFIG')}"

FILES:${PN} = "${ETC_AT} ${FW_ENV_AT}"
# A board's U-Boot recipe may ship a fw_env.config of its own in this package.
RCONFLICTS:${PN} = "u-boot-env"

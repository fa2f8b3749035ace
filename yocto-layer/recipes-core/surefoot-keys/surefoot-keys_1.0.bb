SUMMARY = "The keys that this device believes"
DESCRIPTION = "The trust file of a product. There is none in this layer: surefoot-forge keygen makes one."
LICENSE = "CC0-1.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/CC0-1.0;md5=0ceb3372c9595f0a8067e55da801e4a1"

inherit allarch surefoot_check

SRC_URI = ""
S = "${UNPACKDIR}"
INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

TRUST_AT := "${@surefoot.path(d, 'TRUST')}"

do_install () {
    if [ -z "${SUREFOOT_TRUST}" ]; then
        bbfatal "no trust file: set SUREFOOT_KEYS to a folder that 'surefoot-forge keygen --out' has made, or SUREFOOT_TRUST to the file"
    fi
    install -D -m 0644 "${SUREFOOT_TRUST}" "${D}${TRUST_AT}"
}
do_install[file-checksums] += "${@surefoot.checksums(d, 'SUREFOOT_TRUST')}"

FILES:${PN} = "${TRUST_AT}"

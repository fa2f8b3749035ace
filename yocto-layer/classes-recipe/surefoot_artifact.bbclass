# An artifact of an image that is built by another recipe: its root filesystem, further parts, and deltas from earlier releases.
#
#   inherit surefoot_artifact
#   SUREFOOT_IMAGE = "acme-image"                      the image's recipe
#   SUREFOOT_PARTS = "boot=acme-boot.vfat:acme-boot"   further parts: a file in DEPLOY_DIR_IMAGE and the recipe that deploys it, or a whole path
#   SUREFOOT_DELTA_FROM = "/releases/1.4.0.surefoot"   a delta is made from each

inherit surefoot_check deploy nopackages

LICENSE ?= "MIT"
LIC_FILES_CHKSUM ?= "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

S = "${UNPACKDIR}"
B = "${WORKDIR}/build"
INHIBIT_DEFAULT_DEPS = "1"
DEPENDS += "surefoot-forge-native"
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_install[noexec] = "1"

python () {
    if d.getVar("SUREFOOT_BOOT") != "uboot":
        raise bb.parse.SkipRecipe("SUREFOOT_BOOT = \"%s\": no updates until the bootloader is supported, so no artifacts" % d.getVar("SUREFOOT_BOOT"))
    d.appendVarFlag("do_compile", "depends", " %s:do_image_complete" % d.getVar("SUREFOOT_IMAGE"))
    try:
        parts = surefoot.parts(d)
    except ValueError as error:
        bb.fatal("%s: %s" % (d.getVar("PN"), error))
    for _, file, task in parts:
        if task:
            d.appendVarFlag("do_compile", "depends", " " + task)
        else:
            d.appendVarFlag("do_compile", "file-checksums", " %s:True" % file)
    if (d.getVar("SUREFOOT_KEY") or "").startswith("cmd:"):
        d.setVarFlag("do_compile", "network", "1")
}

python surefoot_artifact_ready () {
    missing = surefoot.missing(d)
    if missing:
        bb.fatal("\n".join(missing))
    if surefoot.default_version(d):
        bb.warn(surefoot.default_version(d))
    over = surefoot.unfit(d.expand("${DEPLOY_DIR_IMAGE}/${SUREFOOT_IMAGE}-${MACHINE}.rootfs.${SUREFOOT_FSTYPE}"), d)
    if over:
        bb.fatal(over)
}
surefoot_artifact_ready[vardeps] += "SUREFOOT_SLOT_SIZE"
do_compile[prefuncs] += "surefoot_artifact_ready"
do_compile[file-checksums] += "${@surefoot.checksums(d, 'SUREFOOT_KEY', 'SUREFOOT_KEY_PUB', 'SUREFOOT_TRUST', 'SUREFOOT_DELTA_FROM')}"

# Words for the shell; their signature has no folder in it.
ARTIFACT_WORDS = "${@surefoot.quoted_words(surefoot.complete(d, surefoot.build))}"
ARTIFACT_WORDS[vardepvalue] = "${@surefoot.without_folders(surefoot.complete(d, surefoot.build))}"
PART_WORDS = "${@surefoot.quoted_words(w for part, file, _ in surefoot.parts(d) for w in ('--part', part + '=' + file))}"
PART_WORDS[vardepvalue] = "${@surefoot.without_folders(part + '=' + file for part, file, _ in surefoot.parts(d))}"
SIGNER_WORDS = "${@surefoot.quoted_words(surefoot.complete(d, surefoot.signer))}"
SIGNER_WORDS[vardepvalue] = "${@surefoot.without_folders(surefoot.complete(d, surefoot.signer))}"

do_compile () {
    surefoot-forge build ${ARTIFACT_WORDS} ${PART_WORDS} \
        --rootfs "${DEPLOY_DIR_IMAGE}/${SUREFOOT_IMAGE}-${MACHINE}.rootfs.${SUREFOOT_FSTYPE}" \
        -o "${B}/${PN}-${SUREFOOT_VERSION}.surefoot"
    rm -rf "${B}/deltas"
    mkdir "${B}/deltas"
    set --
    for old in ${SUREFOOT_DELTA_FROM}; do
        set -- "$@" --from "$old"
    done
    if [ $# -gt 0 ]; then
        surefoot-forge delta "$@" --to "${B}/${PN}-${SUREFOOT_VERSION}.surefoot" --level ${SUREFOOT_LEVEL} \
            ${SIGNER_WORDS} -o "${B}/deltas"
    fi
}

do_deploy () {
    install -m 0644 "${B}/${PN}-${SUREFOOT_VERSION}.surefoot" "${DEPLOYDIR}/"
    for delta in "${B}"/deltas/*; do
        [ ! -e "$delta" ] || install -m 0644 "$delta" "${DEPLOYDIR}/"
    done
}
addtask deploy after do_compile before do_build

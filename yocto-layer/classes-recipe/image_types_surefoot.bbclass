# IMAGE_FSTYPES += "surefoot": the signed artifact of an image, made from the very file that the disk image's slot a gets.

IMAGE_TYPES += "surefoot"
IMAGE_TYPEDEP:surefoot = "${SUREFOOT_FSTYPE}"
do_image_surefoot[depends] += "surefoot-forge-native:do_populate_sysroot"
do_image_surefoot[file-checksums] += "${@surefoot.checksums(d, 'SUREFOOT_KEY', 'SUREFOOT_KEY_PUB', 'SUREFOOT_TRUST')}"

ARTIFACT_WORDS = "${@surefoot.quoted_words(surefoot.complete(d, surefoot.build))}"
ARTIFACT_WORDS[vardepvalue] = "${@surefoot.without_folders(surefoot.complete(d, surefoot.build))}"

# A function of its own: the text of IMAGE_CMD gets into the signature with all values in it, the folder of the keys too.
surefoot_pack () {
    surefoot-forge build ${ARTIFACT_WORDS} \
        --rootfs "${@surefoot.made(d)}" \
        -o "${IMGDEPLOYDIR}/${IMAGE_NAME}.surefoot"
}
IMAGE_CMD:surefoot = "surefoot_pack"

python surefoot_image_ready () {
    missing = surefoot.missing(d)
    if missing:
        bb.fatal("\n".join(missing))
    if surefoot.default_version(d):
        bb.warn(surefoot.default_version(d))
    if d.getVar("SUREFOOT_FSTYPE").startswith("ext") and not bb.utils.contains("IMAGE_FEATURES", "read-only-rootfs", True, False, d):
        bb.warn("IMAGE_FEATURES has no read-only-rootfs: a device that writes to its root is no longer what the artifact is, and takes no delta")
    over = surefoot.unfit(surefoot.made(d), d)
    if over:
        bb.fatal(over)
}
surefoot_image_ready[vardeps] += "SUREFOOT_SLOT_SIZE"

python () {
    if "surefoot" not in [word.split(".")[0] for word in (d.getVar("IMAGE_FSTYPES") or "").split()]:
        return
    boot = d.getVar("SUREFOOT_BOOT")
    if boot != "uboot":
        raise bb.parse.SkipRecipe("IMAGE_FSTYPES has surefoot and SUREFOOT_BOOT is \"%s\": no updates until the bootloader is supported, "
                                  "so no artifacts" % boot)
    wrong = surefoot.layout_mistakes(d)
    if wrong:
        bb.fatal("%s: %s" % (d.getVar("PN"), "\n".join(wrong)))
    d.appendVarFlag("do_image_surefoot", "prefuncs", " surefoot_image_ready")
    if (d.getVar("SUREFOOT_KEY") or "").startswith("cmd:"):
        # A signer that asks a token or a server.
        d.setVarFlag("do_image_surefoot", "network", "1")
}

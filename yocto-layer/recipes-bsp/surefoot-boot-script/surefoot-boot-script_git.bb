SUMMARY = "The boot script of Surefoot, and the environment that it expects"
DESCRIPTION = "boot.scr for the boot partition, and the environment of a new device with the board's own variables in it."
LICENSE = "${@surefoot.either(d, 'MIT', 'Apache-2.0')}"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=ecb8c9aab9cd72caaba5a39dac746384 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

INHIBIT_DEFAULT_DEPS = "1"
DEPENDS = "u-boot-tools-native"
PROVIDES = "u-boot-default-script"

PV = "${@surefoot.package(d, 'version')}"
FILESEXTRAPATHS:prepend := "${@surefoot.source_tree(d)}:"
SRC_URI = "file://uboot-scripts;subdir=${BP} file://LICENSE-MIT;subdir=${BP} file://LICENSE-APACHE;subdir=${BP}"
S = "${UNPACKDIR}/${BP}"
B = "${WORKDIR}/build"

inherit deploy nopackages surefoot_check

PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_install[noexec] = "1"
do_compile[cleandirs] = "${B}"

python () {
    if d.getVar("SUREFOOT_BOOT") != "uboot":
        raise bb.parse.SkipRecipe("SUREFOOT_BOOT = \"%s\" has no boot script" % d.getVar("SUREFOOT_BOOT"))
    try:
        surefoot.environment(d)
    except ValueError as error:
        raise bb.parse.SkipRecipe(str(error))
}

do_compile () {
    python3 "${S}/uboot-scripts/make" boot.scr -o boot.scr
}

FACTORY_ENV = "${@surefoot.quoted_words(surefoot.environment(d))}"
FACTORY_ENV[vardepvalue] = "${FACTORY_ENV}"

# In the deploy step, because the board's variables come from U-Boot's: a recipe of U-Boot may itself need this one's script.
do_deploy () {
    board="${DEPLOY_DIR_IMAGE}/u-boot-initial-env"
    # With several configurations (UBOOT_CONFIG) each has a file of its own; the first one's is taken.
    for type in ${@d.getVar('UBOOT_CONFIG') or ''}; do
        [ -e "$board" ] || board="${DEPLOY_DIR_IMAGE}/u-boot-initial-env-$type"
        [ -e "$board" ] || board="${DEPLOY_DIR_IMAGE}/u-boot-initial-env"
    done
    [ -e "$board" ] || bbfatal "$board is missing: the recipe of U-Boot must deploy its initial environment (UBOOT_INITIAL_ENV), as the \
stored environment replaces the compiled-in one, load addresses and all"
    python3 "${S}/uboot-scripts/make" factory-env.txt --board "$board" ${FACTORY_ENV} -o env.txt
    for name in kernel_addr_r ramdisk_addr_r scriptaddr; do
        grep -q "^$name=." env.txt || bbfatal "neither U-Boot's initial environment nor SUREFOOT_ENV_SET has $name: this board could load nothing"
    done
    mkenvimage -r -s ${SUREFOOT_ENV_SIZE} -o surefoot-env.bin env.txt
    install -m 0644 boot.scr "${DEPLOYDIR}/boot.scr"
    install -m 0644 env.txt "${DEPLOYDIR}/surefoot-env.txt"
    install -m 0644 surefoot-env.bin "${DEPLOYDIR}/surefoot-env.bin"
}
do_deploy[depends] += "virtual/bootloader:do_deploy"
do_deploy[dirs] = "${DEPLOYDIR} ${B}"
addtask deploy after do_compile before do_build

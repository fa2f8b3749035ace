# A disk image with two slots, and the artifact that updates it: `inherit surefoot_image` in the recipe of an image.

# The check first: where the layer is not switched on, nothing of an image is looked at.
inherit surefoot_check core-image

IMAGE_FEATURES += "read-only-rootfs"

# OpenEmbedded starts the sshd of a read-only root with keys in /run, which each boot makes anew. `surefoot first-boot` keeps those of /etc/ssh.
# One of a type that it does not make goes: a root that is read-only takes none. The keys of dropbear are kept where the configuration says so.
KEPT_IN := "${@surefoot.path(d, 'ETC')}"
surefoot_host_keys () {
    ssh="${IMAGE_ROOTFS}/etc/ssh"
    if [ -f "$ssh/sshd_config_readonly" ]; then
        sed -i -E 's!^HostKey /(var/)?run/ssh/(ssh_host_(ed25519|ecdsa)_key)$!HostKey /etc/ssh/\2!; /^HostKey \/(var\/)?run\/ssh\//d' "$ssh/sshd_config_readonly"
    fi
    if [ -d "$ssh" ]; then
        # The last line of its options counts, as in a shell.
        config="$(sed -n 's/^SSHD_OPTS=//p' "${IMAGE_ROOTFS}/etc/default/ssh" 2>/dev/null | tail -n 1 | sed -nE "s/.*-f *([^ '\"]+).*/\1/p")"
        [ -n "$config" ] || config=/etc/ssh/sshd_config
        if grep -qsiE '^[[:space:]]*HostKey[[:space:]=]+"?/(var/)?run/ssh/' "${IMAGE_ROOTFS}$config"; then
            bbfatal "$config has a HostKey in /run/ssh: each boot makes it anew, and no program reads the host keys that are kept in /etc/ssh"
        fi
    fi
    if grep -qrs '"/etc/dropbear"' "${IMAGE_ROOTFS}${KEPT_IN}" && [ -f "${IMAGE_ROOTFS}/etc/default/dropbear" ]; then
        sed -i 's!^DROPBEAR_RSAKEY_DIR=/var/lib/dropbear$!DROPBEAR_RSAKEY_DIR=/etc/dropbear!' "${IMAGE_ROOTFS}/etc/default/dropbear"
    fi
}
# After all that OpenEmbedded adds, whatever the order of classes.
ROOTFS_POSTPROCESS_COMMAND:append = " surefoot_host_keys"

IMAGE_INSTALL += "\
    surefoot surefoot-conf surefoot-keys \
    kernel-image ${@'kernel-devicetree' if d.getVar('KERNEL_DEVICETREE') else ''} \
"

IMAGE_FSTYPES:append = " wic wic.bmap${@' surefoot' if d.getVar('SUREFOOT_BOOT') == 'uboot' else ''}"
WKS_FILE = "surefoot-${SUREFOOT_BOOT}${@'-mbr' if (d.getVar('SUREFOOT_BOOT'), d.getVar('SUREFOOT_TABLE')) == ('uboot', 'mbr') else ''}.wks.in"
# Newer releases look into files/wic of a layer, older ones into wic, and refuse a layer that has both.
WKS_SEARCH_PATH:prepend = "${SUREFOOT_LAYERDIR}/files/wic:"

# Slot a of the disk is the file that the artifact is made from, byte for byte, and its record is the artifact's head: both must be there first.
IMAGE_TYPEDEP:wic:append = " ${@d.getVar('SUREFOOT_FSTYPE') or ''}${@' surefoot' if d.getVar('SUREFOOT_BOOT') == 'uboot' else ''}"

# The environment and the script lie beside the slots; the kernel lies in them.
IMAGE_BOOT_FILES:append = "${@' boot.scr' if d.getVar('SUREFOOT_BOOT') == 'uboot' else ''}"

# The least that BitBake makes is 64 MiB: a smaller slot takes no such file.
IMAGE_ROOTFS_SIZE ?= "${@min(65536, surefoot.room_kib(d) or 65536)}"
IMAGE_ROOTFS_SIZE[vardepvalue] = "${IMAGE_ROOTFS_SIZE}"

# For the signatures: what the layout and the data partition compute.
DISK_VALUES = "${@surefoot.layout_values(d)}"
DISK_VALUES[vardepvalue] = "${DISK_VALUES}"
do_write_wks_template[vardeps] += "DISK_VALUES"
surefoot_data[vardeps] += "DISK_VALUES"

# Blocks of 4 KiB: with the small ones of a small file system it could not grow to a whole disk at the first boot.
surefoot_data () {
    rm -rf "${WORKDIR}/surefoot-data"
    mkdir -p "${WORKDIR}/surefoot-data/preload"
    for file in ${SUREFOOT_PRELOAD}; do
        sum=$(sha256sum "$file" | cut -c 1-16)
        install -m 0644 "$file" "${WORKDIR}/surefoot-data/preload/$sum-$(basename "$file" .surefoot).surefoot"
    done
    [ -n "${SUREFOOT_PRELOAD}" ] || rmdir "${WORKDIR}/surefoot-data/preload"
    find "${WORKDIR}/surefoot-data" -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +
    rm -f "${WORKDIR}/surefoot-data.ext4"
    E2FSPROGS_FAKE_TIME=${SOURCE_DATE_EPOCH} mkfs.ext4 -q -F -b 4096 -L data -U ${@surefoot.identity(d, 'data')} \
        -E root_owner=0:0,hash_seed=${@surefoot.identity(d, 'hash')} \
        -d "${WORKDIR}/surefoot-data" "${WORKDIR}/surefoot-data.ext4" ${SUREFOOT_DATA_SIZE}M
    # Before e2fsprogs 1.47.1 (scarthgap) the time of a file's last change is the build host's, and no option says otherwise.
    (cd "${WORKDIR}/surefoot-data" && find . -printf 'sif "/%P" ctime @${SOURCE_DATE_EPOCH}\n') >"${WORKDIR}/surefoot-data.times"
    E2FSPROGS_FAKE_TIME=${SOURCE_DATE_EPOCH} debugfs -w -f "${WORKDIR}/surefoot-data.times" "${WORKDIR}/surefoot-data.ext4" >/dev/null
}

python surefoot_disk_ready () {
    if d.getVar("SUREFOOT_BOOT") != "efi":
        over = surefoot.unfit(surefoot.made(d), d)
        if over:
            bb.fatal(over)
}
do_image_wic[prefuncs] += "surefoot_disk_ready surefoot_data"
do_image_wic[file-checksums] += "${@surefoot.checksums(d, 'SUREFOOT_PRELOAD')}"
do_image_wic[depends] += "e2fsprogs-native:do_populate_sysroot"

# No release of wic can be told the identifier of an MBR disk, and the updater finds the slots by it. The slot record says which release
# stands in slot a, so that a new device knows its version and takes a delta. A layout of another name has its slots elsewhere.
IMAGE_CMD:wic:append () {
    case ${WKS_FILE} in
        surefoot-uboot.wks.in | surefoot-uboot-mbr.wks.in)
            surefoot-forge record "${@surefoot.made(d, 'surefoot')}" -o "${WORKDIR}/surefoot-record"
            dd if="${WORKDIR}/surefoot-record" of="$out.wic" bs=1M seek=${@surefoot.record_mib(d)} conv=notrunc
            ;;
    esac
    if [ "${SUREFOOT_BOOT}${SUREFOOT_TABLE}" = ubootmbr ]; then
        printf '${@surefoot.disk_id_printf(d)}' | dd of="$out.wic" bs=1 seek=440 conv=notrunc
    fi
}

python () {
    if d.getVar("SUREFOOT_BOOT") == "uboot":
        d.appendVarFlag("do_image_wic", "depends", " surefoot-boot-script:do_deploy virtual/bootloader:do_deploy surefoot-forge-native:do_populate_sysroot")
        # The kernel lies in the slots, under whichever name the board's list has it.
        types = "%s %s" % (d.getVar("KERNEL_IMAGETYPE"), d.getVar("KERNEL_IMAGETYPES") or "")
        d.setVar("IMAGE_BOOT_FILES", surefoot.boot_files(d.getVar("IMAGE_BOOT_FILES") or "", types))
}

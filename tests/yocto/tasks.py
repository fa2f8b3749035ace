"""The layer's tasks, run by BitBake itself, without what they would need built first: a root filesystem of four files stands for the real
one, the tools come from this machine, and surefoot-forge is the one that was built here. Used by tests/yocto/parse.
"""
import hashlib
import shutil
import subprocess

TOOLS = "surefoot-forge mkimage mkenvimage mkfs.ext4 fsck.ext4 debugfs mke2fs parted sgdisk sfdisk mcopy mmd mdir mkdosfs mkfs.vfat du dd df bmaptool".split()
PACKAGES = "u-boot-tools e2fsprogs parted gdisk fdisk mtools dosfstools bmap-tools".split()
MIB = 1024 * 1024

# No pseudo is built, so no task runs under it; files belong to the user of the test.
CLASS = '''
def bench_rootfs(d):
    root = d.getVar("IMAGE_ROOTFS")
    for folder in ("etc", "boot", "sbin", d.expand("${RECIPE_SYSROOT_NATIVE}/usr/bin")):
        bb.utils.mkdirhier(os.path.join(root, folder))
    for name, size in (("etc/issue", 1), ("sbin/init", 1), ("boot/Image", int(d.getVar("BENCH_MIB")) * 1024 * 1024)):
        with open(os.path.join(root, name), "wb") as file:
            file.write(b"x" * size)
    # What packages of OpenEmbedded bring for ssh.
    texts = {"ssh/sshd_config_readonly": d.getVar("BENCH_SSHD").replace("|", chr(10)), "default/dropbear": "DROPBEAR_EXTRA_ARGS=-w" + chr(10), "dropbear/empty": "",
             "surefoot/z-product.toml": d.getVar("BENCH_PRODUCT")}
    for name, text in texts.items():
        bb.utils.mkdirhier(os.path.join(root, "etc", os.path.dirname(name)))
        with open(os.path.join(root, "etc", name), "w") as file:
            file.write(text)
    with open(os.path.join(root, "etc/default/ssh"), "w"):
        pass
    for name in d.getVar("ROOTFS_POSTPROCESS_COMMAND").replace(";", " ").split():
        if name in ("read_only_rootfs_hook", "surefoot_host_keys"):
            bb.build.exec_func(name, d)

python () {
    if d.getVar("PN") == "surefoot-image-minimal":
        d.setVar("do_rootfs", "    bench_rootfs(d)\\n")
}
addhandler bench_tasks
bench_tasks[eventmask] = "bb.event.RecipeTaskPreProcess"
python bench_tasks () {
    for task in [name for name in e.data.keys() if name.startswith("do_") and e.data.getVarFlag(name, "fakeroot")]:
        e.data.delVarFlag(task, "fakeroot")
}
'''
SETTINGS = '''
HOSTTOOLS += "{tools}"
INHERIT += "bench"
FAKEROOTCMD = "/usr/bin/env"
TMPDIR:forcevariable = "${{TOPDIR}}/tmp"
do_flush_pseudodb[noexec] = "1"
IMAGE_QA_COMMANDS = ""
INHERIT_DISTRO:remove = "create-spdx"
IMAGE_FSTYPES:remove = "tar.bz2 tar.zst"
BENCH_MIB ?= "3"
BENCH_SSHD ?= "UsePAM yes|HostKey /var/run/ssh/ssh_host_rsa_key|HostKey /var/run/ssh/ssh_host_ecdsa_key|HostKey /var/run/ssh/ssh_host_ed25519_key|"
BENCH_PRODUCT ?= "first_boot.keep = []"
SUREFOOT_SLOT_SIZE = "48"
SUREFOOT_DATA_SIZE = "16"
SUREFOOT_LEVEL = "3"
SUREFOOT_KEYS = ""
'''
BOARD = "bootcmd=bootflow scan\nkernel_addr_r=0x40400000\nramdisk_addr_r=0x44000000\nscriptaddr=0x40200000\nfdt_addr_r=0x40000000\n"


def tried(build, binaries, series, verdict):
    layer = build.folder / "bench"
    for folder in (layer / "conf", layer / "classes", build.folder / "tools"):
        folder.mkdir(parents=True)
    (layer / "conf/layer.conf").write_text('BBPATH .= ":${LAYERDIR}"\nBBFILE_COLLECTIONS += "bench"\nBBFILE_PATTERN_bench = ""\n'
                                           f'LAYERSERIES_COMPAT_bench = "{series}"\n')
    (layer / "classes/bench.bbclass").write_text(CLASS)
    layers, conf = (build.folder / f"conf/{name}.conf" for name in ("bblayers", "local"))
    layers.write_text(layers.read_text() + f'BBLAYERS += "{layer}"\n')
    conf.write_text(conf.read_text() + SETTINGS.format(tools=" ".join(TOOLS)))
    keys, deploy = build.folder / "keys", build.folder / "tmp/deploy/images/qemuarm64"
    forge = binaries / "surefoot-forge"
    shutil.copy(forge, build.folder / "tools/surefoot-forge")
    subprocess.run([forge, "keygen", "--out", keys], check=True, stdout=subprocess.DEVNULL)
    deploy.mkdir(parents=True)
    (deploy / "u-boot-initial-env").write_text(BOARD)
    build.own()

    def says(words):
        with conf.open("a") as file:
            file.write(words + "\n")

    def task(recipe, name, wanted, what):
        file = next(build.layer.glob(f"recipes-*/*/{recipe}_*.bb"), None) or next(build.layer.glob(f"recipes-*/*/{recipe}.bb"))
        status, said = build.run("bitbake", "-b", file, "-c", name)
        good = status == 0 if wanted is None else status != 0 and wanted in said
        return verdict(good, f"{series}: {recipe}, do_{name}: {what}", said)

    if not task("surefoot-boot-script", "deploy", None, "boot.scr and the environment"):
        return
    task("surefoot-conf", "install", None, "the settings are in their places")
    task("surefoot-keys", "install", "no trust file: set SUREFOOT_KEYS", "without a trust file that is said")
    whole = (build.core / "scripts/wic").exists()       # a part of OpenEmbedded-Core until scarthgap's successors
    last = "image_complete" if whole else "image_surefoot"
    task("surefoot-image-minimal", last, "There is no default key", "without a key that is said")
    kept = 'first_boot.keep = ["/etc/dropbear"]'

    def etc(file):
        return [one.read_text() for one in (build.folder / "tmp/work").glob(f"*/surefoot-image-minimal/*/rootfs/etc/{file}")]

    verdict(etc("ssh/sshd_config_readonly") == ["UsePAM yes\nHostKey /etc/ssh/ssh_host_ecdsa_key\nHostKey /etc/ssh/ssh_host_ed25519_key\n"]
            and "-f /etc/ssh/sshd_config_readonly" in "".join(etc("default/ssh")),
            f"{series}: sshd starts with the host keys that are kept", str(etc("ssh/sshd_config_readonly")))
    verdict("DROPBEAR_RSAKEY_DIR=/var/lib/dropbear\n" in "".join(etc("default/dropbear")), f"{series}: dropbear's keys are where they were unless they are kept")
    says(f"SUREFOOT_KEYS = \"{keys}\"\nSUREFOOT_VERSION = \"1.0.0\"\nBENCH_PRODUCT = '{kept}'\nBENCH_SSHD = \"hostkey /run/ssh/one\"")
    task("surefoot-image-minimal", "rootfs", "has a HostKey in /run/ssh", "an sshd with keys of one boot is refused")
    says('BENCH_SSHD = ""')
    task("surefoot-keys", "install", None, "the trust file is in its place")
    if not task("surefoot-image-minimal", last, None, "after that error the next run goes on, to the end"):
        return
    verdict("DROPBEAR_RSAKEY_DIR=/etc/dropbear\n" in "".join(etc("default/dropbear")), f"{series}: dropbear's keys are in /etc/dropbear where that is kept")
    if not whole:
        return
    name = "surefoot-image-minimal-qemuarm64.rootfs"
    image = {kind: (deploy / f"{name}.{kind}").resolve() for kind in ("wic", "ext4", "surefoot")}
    checked = subprocess.run([forge, "verify", image["surefoot"], "--trust", keys / "trust.toml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    verdict(checked.returncode == 0 and "acme-gateway 1.0.0" in checked.stdout, f"{series}: the artifact is signed by that key", checked.stdout)
    disk, root = image["wic"].read_bytes(), image["ext4"].read_bytes()
    env = (deploy / "surefoot-env.bin").read_bytes()
    at = (16 + 64) * MIB
    verdict(hashlib.sha256(disk[at:at + len(root)]).digest() == hashlib.sha256(root).digest(), f"{series}: slot a of the disk is the artifact's payload")
    verdict(any(disk[at + 47 * MIB:at + 48 * MIB]), f"{series}: its record stands at the slot's end")
    verdict(disk[4 * MIB:4 * MIB + len(env)] == env == disk[8 * MIB:8 * MIB + len(env)], f"{series}: both copies of the environment are there")
    old = build.folder / "old.surefoot"
    shutil.copy(image["surefoot"], old)
    says(f'SUREFOOT_VERSION = "1.1.0"\nSUREFOOT_DELTA_FROM = "{old}"')
    build.own()
    task("surefoot-artifact-minimal", "deploy", None, "an artifact and a delta")
    deltas = list(deploy.glob("surefoot-artifact-minimal-1.1.0.from-1.0.0*"))
    verdict(len(deltas) == 1, f"{series}: the delta is named by both versions", str(list(deploy.iterdir())))
    says('BENCH_MIB = "60"')
    task("surefoot-image-minimal", "image_surefoot", "MiB too much. Slots cannot grow in the field", "an image that is too big is told by how much")

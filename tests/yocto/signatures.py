"""signatures.py CASES: the signatures of tasks, as BitBake's own parser computes them. Run in a build directory with its library in PYTHONPATH.

CASES is a file of JSON: {"recipes": {name: [file, append...]}, "configuration": FILE}. FILE is read after local.conf. Prints {name: {task: hash}}
as JSON: the hash covers the task's text, what it reads of variables, and the content of the files that it names. What a task inherits from the
tasks before it is not in it, so that each case shows the tasks that a change reaches directly. tests/yocto/parse holds them against REACHED.
"""
import hashlib
import json
import os
import re
import sys

ARTIFACT, PACK, DISK, LAYOUT = "artifact-minimal:do_compile", "image-minimal:do_image_surefoot", "image-minimal:do_image_wic", "image-minimal:do_write_wks_template"
SETTINGS, ENVIRONMENT, KEYS = "conf:do_compile", "boot-script:do_deploy", "keys:do_install"
FRAGMENTS = "u-boot:do_configure"

# What a change of a variable reaches, and nothing else may: NAME=VALUE, and tasks without `surefoot-`. Files are in FOLDER.
VARIABLES = {
    "PRODUCT=other": f"{ARTIFACT} {PACK} {DISK} {LAYOUT} {SETTINGS}",
    "COMPATIBLE=x y": f"{ARTIFACT} {PACK} {SETTINGS}",
    "VERSION=9.9.9": f"{ARTIFACT} artifact-minimal:do_deploy {PACK}",
    "KEY=cmd:/bin/sign": f"{ARTIFACT} {PACK}",
    "KEY_PUB=FOLDER/other.pub": f"{ARTIFACT} {PACK}",
    "TRUST=FOLDER/other.toml": f"{ARTIFACT} {PACK} {KEYS}",
    "KEYS=FOLDER/same": "",
    "TABLE=mbr": f"{ENVIRONMENT} {SETTINGS} {DISK} {LAYOUT}",
    "DISK=/dev/mmcblk0": SETTINGS,
    "DISK_ID=12345678": DISK,
    "BOOT_SIZE=80": f"{DISK} {LAYOUT}",
    "SLOT_SIZE=2000": f"{ARTIFACT} {PACK} {DISK} {LAYOUT}",
    "DATA_SIZE=99": f"{DISK} {LAYOUT}",
    "DATA=/mnt/x": f"{SETTINGS} forge:do_compile surefoot:do_compile surefoot:do_install surefoot:do_package",
    "FSTYPE=squashfs": f"{ARTIFACT} {PACK} {DISK} {LAYOUT} image-minimal:do_image {FRAGMENTS} u-boot:do_fetch u-boot:do_unpack",
    "PRELOAD=": DISK,
    "ENV_OFFSET=0x300000": f"{SETTINGS} {DISK} {LAYOUT} {FRAGMENTS}",
    "ENV_OFFSET_REDUND=0x700000": f"{SETTINGS} {DISK} {LAYOUT} {FRAGMENTS}",
    "ENV_SIZE=0x8000": f"{ENVIRONMENT} {SETTINGS} {FRAGMENTS}",
    "ENV_MMC=1": f"{ENVIRONMENT} {FRAGMENTS}",
    "ENV_SET=surefoot_wdt=15": f"{ENVIRONMENT} {FRAGMENTS} u-boot:do_fetch u-boot:do_unpack",
    "COUNTER=script": f"{ENVIRONMENT} {FRAGMENTS} u-boot:do_fetch u-boot:do_unpack",
    "ARGS=quiet": ENVIRONMENT,
    "CONFIG=": "conf:do_install",
    "LEVEL=3": f"{ARTIFACT} {PACK}",
    "BUILD_ARGS=--epoch 3": f"{ARTIFACT} {PACK}",
    "IMAGE=other-image": ARTIFACT,
    "PARTS=boot=x.vfat:acme-boot": ARTIFACT,
    "DELTA_FROM=": ARTIFACT,
}
# The same for the content of a file in FOLDER. `lone.key` is a key without its public half beside it.
CONTENT = {"app.surefoot": DISK, "boot.vfat": ARTIFACT, "old.surefoot": ARTIFACT, "product.toml": "conf:do_install", "release.key": "",
           "release.pub": f"{ARTIFACT} {PACK}", "trust.toml": f"{ARTIFACT} {PACK} {KEYS}", "lone.key": ""}
# The same for the tree around the layer: a file, a text in it, another one. SOURCES: the programs are built anew.
SOURCES = "surefoot:do_fetch forge:do_fetch"
TREE = [
    ("packaging/paths", "TRUST=/usr/share/surefoot", "TRUST=/usr/share/other", f"{SETTINGS} {KEYS} keys:do_package {SOURCES}"),
    ("packaging/paths", "ETC=/etc/surefoot", "ETC=/etc/other", f"conf:do_install conf:do_package image-minimal:do_rootfs {SOURCES}"),
    ("packaging/paths", "LINKS=/dev/surefoot", "LINKS=/dev/other", f"{SETTINGS} {SOURCES}"),
    ("packaging/paths", "DATA=/data\n", "DATA=/mnt\n", f"{SETTINGS} {SOURCES} forge:do_compile surefoot:do_compile surefoot:do_install surefoot:do_package"),
    ("yocto-layer/lib/surefoot/__init__.py", "# Made by meta-surefoot", "# Made by the layer", SETTINGS),
    ("yocto-layer/lib/surefoot/__init__.py", 'values["devnum"]', 'values["devno"]', ENVIRONMENT),
    ("yocto-layer/lib/surefoot/__init__.py", '"--level"', '"--lvl"', f"{ARTIFACT} {PACK}"),
    ("yocto-layer/recipes-bsp/u-boot/files/surefoot.cfg", "CONFIG_CMD_PART=y", "CONFIG_CMD_PART=n", f"{FRAGMENTS} u-boot:do_fetch"),
    ("uboot-scripts/make", "import", "#\nimport", f"boot-script:do_fetch {SOURCES}"),
]
# Tasks that make nothing of a device, one that reads in one release what it does not in another, and one of OpenEmbedded's that has BBLAYERS in
# its signature, the folders of the layers.
ASIDE = re.compile(r"_setscene$|spdx|:do_(rootfs_wicenv|image_ext4|checkuri|clean\w*|recipe_qa|populate_lic)$")


def reached(before, after):
    """`recipe:task` of all that differ, as in the tables."""
    found = {f"{recipe.removeprefix('surefoot-')}:{task}" for recipe, tasks in before.items() for task in tasks
             if after.get(recipe, {}).get(task) != tasks[task]}
    return {task for task in found if not ASIDE.search(task)}


def main():
    import bb.codeparser
    import bb.cookerdata
    import bb.fetch2
    import bb.parse
    cases = json.load(open(sys.argv[1], encoding="utf-8"))
    wanted = bb.cookerdata.CookerConfiguration()
    wanted.env = dict(os.environ)
    wanted.postfile = [cases["configuration"]]
    for name in ("tracking", "skip_fragments"):
        if not hasattr(wanted, name):
            setattr(wanted, name, False)
    builder = bb.cookerdata.CookerDataBuilder(wanted, worker=False)
    builder.parseBaseConfiguration()
    out = {}
    for name, (file, *appends) in cases["recipes"].items():
        d = parsed(builder, file, appends)
        out[name] = {}
        for task, base in d.getVar("__siggen_basehashes", False).items():
            text = base
            for path, sum_ in bb.fetch2.get_file_checksums(d.getVarFlag(task, "file-checksums") or "", name, []):
                text += sum_ or ""
            out[name][task] = hashlib.sha256(text.encode()).hexdigest()
    json.dump(out, sys.stdout)


def parsed(builder, file, appends):
    """The variables of a recipe. Releases differ in where this function is."""
    if hasattr(builder, "parseRecipe"):
        return builder.parseRecipe(file, appends, "")
    import bb.cache
    return bb.cache.NoCache(builder).loadDataFull(file, appends, "")


if __name__ == "__main__":
    main()

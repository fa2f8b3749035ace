"""What the layer computes: values in, values out.

Functions that take `d` read BitBake's variables through `d.getVar` and nothing else, so that a test can hand them any object with
that method. No function here writes a file.
"""
import difflib
import glob
import hashlib
import os
import re
import uuid

# BitBake could follow these functions to the variables that they name, but not to names that are put together and not to files. So the
# recipes put what a function gives into a signature, and not how it comes about ([vardepvalue], or `:=`).
BBIMPORTS = []

# Every variable of the layer. docs/yocto.md has them in a table; a test compares the two, and both with what the layer uses.
NAMES = """
SUREFOOT_ARGS SUREFOOT_BOOT SUREFOOT_BOOT_SIZE SUREFOOT_BUILD_ARGS SUREFOOT_COMPATIBLE SUREFOOT_CONFIG SUREFOOT_COUNTER SUREFOOT_DATA
SUREFOOT_DATA_SIZE SUREFOOT_DELTA_FROM SUREFOOT_DISK SUREFOOT_DISK_ID SUREFOOT_ENV_MMC SUREFOOT_ENV_OFFSET SUREFOOT_ENV_OFFSET_REDUND
SUREFOOT_ENV_SET SUREFOOT_ENV_SIZE SUREFOOT_FSTYPE SUREFOOT_IMAGE SUREFOOT_KEY SUREFOOT_KEYS SUREFOOT_KEY_PUB SUREFOOT_LAYERDIR
SUREFOOT_LEVEL SUREFOOT_PARTS SUREFOOT_PATHS SUREFOOT_PRELOAD SUREFOOT_PRODUCT SUREFOOT_SLOT_SIZE SUREFOOT_TABLE SUREFOOT_TRUST SUREFOOT_VERSION
""".split()

MIB = 1024 * 1024
BOOT_AT = 16 * MIB              # where the first partition begins: the environment lies below it
RECORD = MIB                    # the end of each slot belongs to the updater
PARTITIONS = ("boot", "rootfs-a", "rootfs-b", "data")


def misspelt(names):
    """Sentences about those of `names` (variables, with or without overrides) that begin with SUREFOOT_ and are none of the layer's."""
    wrong = {name.split(":")[0] for name in names if name.startswith("SUREFOOT_")} - set(NAMES)
    out = []
    for name in sorted(wrong):
        near = difflib.get_close_matches(name, NAMES, 1)
        out.append(f"{name} is no variable of meta-surefoot" + (f"; did you mean {near[0]}?" if near else ""))
    return out


# ---- the source tree and its manifest -------------------------------------------------------------------------------

def source_tree(d):
    """The folder of the source tree that this layer is a part of."""
    return os.path.dirname(os.path.realpath(d.getVar("SUREFOOT_LAYERDIR")))


def sources(d):
    """SRC_URI entries of all that a build of the programs reads."""
    wanted = ["Cargo.toml", "Cargo.lock", "build.rs", "LICENSE-MIT", "LICENSE-APACHE", "src", "systemd", "uboot-scripts", "packaging"]
    tree = source_tree(d)
    return " ".join(f"file://{name};subdir={d.getVar('BP')}" for name in wanted if os.path.exists(os.path.join(tree, name)))


def tree_digest(d):
    """SHA-256, in hexadecimal digits, of all files that recipes are read with beside the recipes themselves. As a value in layer.conf it is
    a part of BitBake's configuration: when one of the files changes, recipes are parsed anew."""
    layer, out = d.getVar("SUREFOOT_LAYERDIR"), hashlib.sha256()
    tree = source_tree(d)
    for pattern in ("Cargo.toml", "packaging/paths", "systemd/*.*", f"{layer}/lib/surefoot/*.py", f"{layer}/recipes-bsp/u-boot/files/*.cfg"):
        for name in sorted(glob.glob(os.path.join(tree, pattern))):
            with open(name, "rb") as file:
                out.update(os.path.basename(name).encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return out.hexdigest()


def path(d, name):
    """A path of packaging/paths, the one place for those of a device."""
    with open(os.path.join(source_tree(d), "packaging", "paths"), encoding="utf-8") as file:
        return re.search(rf"^{name}=(.+)$", file.read(), re.M)[1]


def manifest(text, key):
    """A value of Cargo.toml's `[package]`: `version` or `rust-version`."""
    found = re.search(rf'^{key} = "([^"]+)"', text, re.M)
    if not found:
        raise ValueError(f"Cargo.toml has no {key}")
    return found[1]


def package(d, key):
    """The same of the tree that this layer is a part of."""
    with open(os.path.join(source_tree(d), "Cargo.toml"), encoding="utf-8") as file:
        return manifest(file.read(), key)


def either(d, one, other):
    """LICENSE of what may be used under one of two licenses: releases after wrynose want SPDX's word, earlier ones do not know it."""
    word = "OR" if "blacksail" in (d.getVar("LAYERSERIES_CORENAMES") or "") else "|"
    return f"{one} {word} {other}"


def too_old(have, need):
    """Whether a compiler of version `have` (as in RUSTVERSION: `1.75%`) is older than `need`. One that names no version is not."""
    numbers = [int(n) for n in re.findall(r"\d+", have or "")]
    return bool(numbers) and numbers[:2] < [int(n) for n in re.findall(r"\d+", need)][:2]


def units(d, installed=r"^(WantedBy|RequiredBy)="):
    """The units of systemd/ that an image enables: those with an [Install] section that says for what."""
    folder = os.path.join(source_tree(d), "systemd")
    out = []
    for name in sorted(os.listdir(folder)):
        if name.rsplit(".", 1)[-1] in ("service", "socket", "timer", "mount", "path", "target"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                if re.search(installed, file.read(), re.M) and "@." not in name:
                    out.append(mount_unit(d.getVar("SUREFOOT_DATA") or path(d, "DATA")) if name == "data.mount" else name)
    return " ".join(out)


def mount_unit(folder):
    """The name of the mount unit of a folder, as `systemd-escape --path --suffix=mount` gives it."""
    return folder.strip("/").replace("-", "\\x2d").replace("/", "-") + ".mount"


# ---- the disk -------------------------------------------------------------------------------------------------------

def number(d, name):
    """The value of a variable as a number, decimal or 0x…"""
    text = (d.getVar(name) or "").strip()
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'{name} = "{text}" is no number') from None


def identity(d, what):
    """A UUID that is the same in each build of this product for this machine, and another one in every other."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"surefoot:{d.getVar('SUREFOOT_PRODUCT')}:{d.getVar('MACHINE')}:{what}")


def boot_of(d):
    """SUREFOOT_BOOT unless it is set."""
    return "efi" if d.getVar("TARGET_ARCH") in ("x86_64", "i686", "i586") else "uboot"


def table_of(d):
    """SUREFOOT_TABLE unless it is set. Firmware of a Raspberry Pi finds its files on an MBR disk in every version."""
    return "mbr" if "rpi" in (d.getVar("MACHINEOVERRIDES") or "").split(":") else "gpt"


def disk_id(d):
    """The identifier of an MBR disk: eight hexadecimal digits, never all zero."""
    return f"{identity(d, 'disk').int % 0xfffffffe + 1:08x}"


def disk_id_printf(d):
    """The same as printf(1) wants the four bytes at 440: octal, little endian."""
    return "".join(f"\\{byte:03o}" for byte in int(d.getVar("SUREFOOT_DISK_ID") or "0", 16).to_bytes(4, "little"))


def sectors(d, name):
    """A place on the disk as `wic` takes it: sectors of 512 bytes."""
    value = number(d, name)
    if value % 512:
        raise ValueError(f"{name} is no multiple of 512")
    return f"{value // 512}s"


def layout_mistakes(d):
    """What is wrong with the layout that the variables describe, each in a sentence."""
    out = []
    boot, table = d.getVar("SUREFOOT_BOOT"), d.getVar("SUREFOOT_TABLE")
    if boot not in ("uboot", "efi", "tryboot"):
        return [f'SUREFOOT_BOOT = "{boot}": it is "uboot", "efi" or "tryboot"']
    if table not in ("gpt", "mbr"):
        return [f'SUREFOOT_TABLE = "{table}": it is "gpt" or "mbr"']
    for name in FILES:
        out += [f'{name} = "{word}": a file is named by its whole path, from / on' for word in files_of(d, name) if not word.startswith("/")]
    for name in ("SUREFOOT_KEYS", "SUREFOOT_KEY"):
        inside = [layer for layer in (d.getVar("BBLAYERS") or "").split() for file in files_of(d, name) if f"{file}/".startswith(f"{layer}/")]
        out += [f"{name} lies in the layer {inside[0]}: a private key has no place in a repository"] if inside else []
    if not (d.getVar("SUREFOOT_COMPATIBLE") or "").split():
        out.append("SUREFOOT_COMPATIBLE is empty: it names what an artifact fits")
    data, disk, kind = (d.getVar(f"SUREFOOT_{name}") or "" for name in ("DATA", "DISK", "FSTYPE"))
    if not re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", data):
        out.append(f'SUREFOOT_DATA = "{data}": it is a folder as /mnt/keep, without a / at the end')
    if disk != "auto" and not disk.startswith("/dev/"):
        out.append(f'SUREFOOT_DISK = "{disk}": it is "auto" or a path below /dev')
    if boot == "uboot" and not re.fullmatch(r"ext[234]|(squashfs|erofs)(-[a-z0-9]+)*", kind):
        out.append(f'SUREFOOT_FSTYPE = "{kind}": it is ext4, squashfs or erofs, as U-Boot reads the kernel from it, and not compressed as a whole')
    if d.getVar("SUREFOOT_COUNTER") not in ("uboot", "script"):
        out.append(f'SUREFOOT_COUNTER = "{d.getVar("SUREFOOT_COUNTER")}": it is "uboot" or "script"')
    settings = d.getVar("SUREFOOT_ENV_SET") or ""
    left = ASSIGNED.sub("", settings).split()
    if left:
        out.append(f'SUREFOOT_ENV_SET: "{left[0]}" is no NAME=VALUE, nor NAME="A VALUE"')
    if re.search(r"(^|\s)surefoot_counter=", settings):
        out.append("SUREFOOT_ENV_SET sets surefoot_counter: SUREFOOT_COUNTER does, and U-Boot's configuration follows from it")
    if "'" in (d.getVar("SUREFOOT_ARGS") or "") or "\\" in (d.getVar("SUREFOOT_ARGS") or ""):
        out.append("SUREFOOT_ARGS has a ' or a \\, which U-Boot's shell drops")
    if not re.fullmatch("[1-9]|1[0-9]|2[0-2]", d.getVar("SUREFOOT_LEVEL") or ""):
        out.append(f'SUREFOOT_LEVEL = "{d.getVar("SUREFOOT_LEVEL")}": it is a level of zstd, 1 to 22')
    if not re.fullmatch("[0-9]", d.getVar("SUREFOOT_ENV_MMC") or ""):
        out.append(f'SUREFOOT_ENV_MMC = "{d.getVar("SUREFOOT_ENV_MMC")}": it is U-Boot\'s number of the device, as 0 or 1')
    try:
        first, second, size = (number(d, f"SUREFOOT_ENV_{n}") for n in ("OFFSET", "OFFSET_REDUND", "SIZE"))
        for name in ("BOOT", "SLOT", "DATA"):
            if number(d, f"SUREFOOT_{name}_SIZE") < (16 if name != "SLOT" else 32):
                out.append(f"SUREFOOT_{name}_SIZE is smaller than {16 if name != 'SLOT' else 32} MiB")
    except ValueError as error:
        return out + [str(error)]
    if table == "mbr" and not re.fullmatch(r"[0-9a-f]{8}", d.getVar("SUREFOOT_DISK_ID")):
        out.append("SUREFOOT_DISK_ID is not eight hexadecimal digits in lower case")
    for name, at in (("SUREFOOT_ENV_OFFSET", first), ("SUREFOOT_ENV_OFFSET_REDUND", second)):
        if at < 34 * 512 or at + size > BOOT_AT or at % 512:
            out.append(f"{name}: a copy of the environment lies in whole sectors behind the partition table and ends below 16 MiB")
    if abs(first - second) < size:
        out.append("the two copies of the environment overlap")
    if size % 512 or not 0x1000 <= size <= 0x100000:
        out.append("SUREFOOT_ENV_SIZE is a multiple of 512 from 0x1000 to 0x100000")
    return out


def room_kib(d):
    """The most that a root filesystem may have; nothing where the layer is not switched on."""
    return (number(d, "SUREFOOT_SLOT_SIZE") * MIB - RECORD) // 1024 if d.getVar("SUREFOOT_SLOT_SIZE") else ""


def too_big(image, d):
    """A sentence if an image of so many bytes does not fit a slot beside the slot record, else None."""
    room = number(d, "SUREFOOT_SLOT_SIZE") * MIB - RECORD
    if image <= room:
        return None
    over = -(-(image - room) // MIB)
    return (f"the root filesystem has {-(-image // MIB)} MiB and a slot takes {room // MIB} MiB beside its record: {over} MiB too much. "
            f"Slots cannot grow in the field: choose SUREFOOT_SLOT_SIZE with room for the coming years. Of an ext4 a part is room that a read-only "
            f"root never uses (IMAGE_OVERHEAD_FACTOR, IMAGE_ROOTFS_EXTRA_SPACE)")


def made(d, kind=None):
    """A file that an earlier task of the image has made: its root filesystem, or that of another type. By the name without a time, because after
    a failure the next run of BitBake has another time in IMAGE_NAME and makes nothing again that it has."""
    return f"{d.getVar('IMGDEPLOYDIR')}/{d.getVar('IMAGE_LINK_NAME') or d.getVar('IMAGE_NAME')}.{kind or d.getVar('SUREFOOT_FSTYPE')}"


def unfit(file, d):
    """The same of a file, or that it is not there; else None."""
    if not os.path.exists(file):
        return (f"{file} is missing: the image has no file system of the type that SUREFOOT_FSTYPE names ({d.getVar('SUREFOOT_FSTYPE')}). Is it in "
                f"its IMAGE_FSTYPES, and has the image its usual name?")
    return too_big(os.path.getsize(file), d)


def layout_values(d):
    """What a .wks.in computes, for the signature of the tasks that make a disk."""
    return " ".join([d.getVar("SUREFOOT_FSTYPE") or "", sectors(d, "SUREFOOT_ENV_OFFSET"), sectors(d, "SUREFOOT_ENV_OFFSET_REDUND"), str(identity(d, "boot"))])


def boot_files(entries, types):
    """IMAGE_BOOT_FILES without the kernels: entries `FILE` or `FILE;NAME` whose FILE is one of `types` or begins with it (`Image-board.bin`)."""
    kernel = re.compile("|".join(rf"{re.escape(t)}([-.*].*)?" for t in types.split()) or "(?!)")
    return " ".join(entry for entry in entries.split() if not kernel.fullmatch(entry.split(";")[0]))


def record_mib(d):
    """Where the slot record of slot a begins on a disk of the layer's own layouts, in MiB: at the slot's end."""
    return 16 + number(d, "SUREFOOT_BOOT_SIZE") + number(d, "SUREFOOT_SLOT_SIZE") - RECORD // MIB


# ---- the boot script's environment ----------------------------------------------------------------------------------

def consoles(serial):
    """`console=` for each of SERIAL_CONSOLES (`115200;ttyS0 …`); the first is the last on the line, where the kernel looks for its own."""
    words = []
    for entry in serial.split():
        rate, _, name = entry.partition(";")
        words.append(f"console={name},{rate}" if name else f"console={rate}")
    return " ".join(reversed(words))


# NAME=VALUE or NAME="A VALUE", as SUREFOOT_ENV_SET has them.
ASSIGNED = re.compile(r"""(?<!\S)\w+=(?:"[^"]*"|[^\s"]*)(?!\S)""")


def starts(kernel):
    """Variables of the environment by which the boot script starts a kernel of this type."""
    out = {"Image": {}, "zImage": {"surefoot_go": "bootz ${kernel_addr_r} ${sf_initrd} ${sf_fdt}"},
           "uImage": {"surefoot_go": "bootm ${kernel_addr_r} ${sf_initrd} ${sf_fdt}"},
           "fitImage": {"surefoot_go": "bootm ${kernel_addr_r}"}}.get(kernel)
    if out is None:
        raise ValueError(f"KERNEL_IMAGETYPE {kernel} is none that the boot script starts: Image, zImage, uImage or fitImage")
    return out if kernel == "Image" else {"surefoot_kernel": f"/boot/{kernel}", **out}


def environment(d):
    """NAME=VALUE words for `uboot-scripts/make factory-env.txt`."""
    values = {"surefoot_counter": d.getVar("SUREFOOT_COUNTER"), "surefoot_args": d.getVar("SUREFOOT_ARGS") or ""}
    values.update(starts(d.getVar("KERNEL_IMAGETYPE") or "Image"))
    values["devnum"] = d.getVar("SUREFOOT_ENV_MMC")
    if d.getVar("SUREFOOT_TABLE") == "mbr":
        values.update(surefoot_part_boot="1", surefoot_part_a="2", surefoot_part_b="3")     # no names there; U-Boot counts in hexadecimal
    for word in ASSIGNED.findall(d.getVar("SUREFOOT_ENV_SET") or ""):
        name, _, value = word.partition("=")
        values[name] = value.strip('"')
    return [f"{name}={value}" for name, value in values.items() if value]


def for_uboot(d, file):
    """`file` where the layer is switched on and U-Boot is the bootloader, else nothing."""
    return file if "surefoot" in (d.getVar("DISTRO_FEATURES") or "").split() and d.getVar("SUREFOOT_BOOT") == "uboot" else ""


# ---- U-Boot's configuration -----------------------------------------------------------------------------------------

def fragment_files(d):
    """The files of recipes-bsp/u-boot/files that U-Boot's configuration gets."""
    kind = d.getVar("SUREFOOT_FSTYPE").split("-")[0]
    watched = re.search(r"(^|\s)surefoot_wdt=", d.getVar("SUREFOOT_ENV_SET") or "")
    boards = (d.getVar("MACHINEOVERRIDES") or "").split(":")
    wanted = {
        "surefoot": True,
        "surefoot-count": d.getVar("SUREFOOT_COUNTER") == "uboot",
        f"surefoot-{kind}": not kind.startswith("ext"),
        "surefoot-wdt": watched,
        "surefoot-wdt-rpi": watched and "rpi" in boards,
        "surefoot-fit": d.getVar("KERNEL_IMAGETYPE") == "fitImage",
    }
    if "qemuarm64" in boards:
        wanted["surefoot-qemuarm64"] = True
        wanted["surefoot-qemuarm64-" + ("pio" if (d.getVar("PV") or "").startswith("2024") else "adma")] = True
    return " ".join(f"{name}.cfg" for name, yes in wanted.items() if yes)


def fragment(text, d):
    """A fragment with the places of the environment in it, and with the command that starts this kernel."""
    go = {"zImage": "BOOTZ", "uImage": "BOOTM", "fitImage": "BOOTM"}.get(d.getVar("KERNEL_IMAGETYPE"), "BOOTI")
    for name in ("OFFSET", "OFFSET_REDUND", "SIZE", "MMC"):
        text = text.replace(f"@{name}@", d.getVar(f"SUREFOOT_ENV_{name}"))
    return text.replace("@GO@", go)


def same(one, other):
    """Whether two values of a configuration are one: numbers in any notation."""
    try:
        return int(one, 0) == int(other, 0)
    except ValueError:
        return one == other


def lost(fragments, config):
    """What a finished .config does not have of the fragments, each with the reason that stands above it there: Kconfig drops without a word what
    it cannot grant. Of a symbol with two names (`# Newer name of OLD: NEW`) one is enough. buildroot/board/granted does the same in a shell."""
    have = dict(line.split("=", 1) for line in config.splitlines() if line.startswith("CONFIG_") and "=" in line)
    out, newer, why, talking = {}, {}, "", False
    for line in fragments.splitlines():
        off = re.fullmatch(r"# (CONFIG_\w+) is not set", line)
        on = re.fullmatch(r"(CONFIG_\w+)=(.*)", line)
        both = re.fullmatch(r"# Newer name of (CONFIG_\w+): (CONFIG_\w+)", line)
        if off and off[1] in have:
            out[f"{off[1]} is still set"] = why
        if on:
            names = next(([old, new] for old, new in newer.items() if on[1] in (old, new)), [on[1]])
            if not any(name in have and same(have[name], on[2]) for name in names):
                out[f"{' or '.join(names)}={on[2]} was dropped"] = why
        if both:
            newer[both[1]] = both[2]
        elif line.startswith("# ") and not off:
            why, talking = (f"{why} {line[2:]}" if talking else line[2:]), True
        if on or off:
            talking = False
    return [f"{what}: {why}" for what, why in sorted(out.items())]


# ---- the configuration of the updater -------------------------------------------------------------------------------

def quoted(text):
    """A TOML string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def configuration(d):
    """surefoot.toml"""
    if d.getVar("SUREFOOT_TABLE") == "mbr":
        slots = {s: f"rootfs=partuuid:{d.getVar('SUREFOOT_DISK_ID')}-{n:02}" for s, n in (("a", 2), ("b", 3))}
    else:
        slots = {s: f"rootfs-{s}" for s in "ab"}
    return f"""\
# Made by meta-surefoot. A product's own settings lie beside this file (SUREFOOT_CONFIG), and win over it.
[device]
product = {quoted(d.getVar("SUREFOOT_PRODUCT"))}
compatible = {quoted(d.getVar("SUREFOOT_COMPATIBLE").split()[0])}
disk = {quoted(d.getVar("SUREFOOT_DISK"))}
state = {quoted(d.getVar("SUREFOOT_DATA") + "/surefoot")}

[slots]
a = [{quoted(slots["a"])}]
b = [{quoted(slots["b"])}]

[trust]
file = {quoted(path(d, "TRUST"))}

[[health.check]]
name = "services"
command = ["/usr/bin/systemctl", "is-system-running", "--wait"]
timeout = "2m"
"""


def fw_env_config(d):
    """fw_env.config"""
    disk = d.getVar("SUREFOOT_DISK")
    disk = path(d, "LINKS") + "/disk" if disk == "auto" else disk
    return "".join(f"{disk} {d.getVar(f'SUREFOOT_ENV_{name}')} {d.getVar('SUREFOOT_ENV_SIZE')}\n" for name in ("OFFSET", "OFFSET_REDUND"))


# ---- keys and artifacts ---------------------------------------------------------------------------------------------

def in_keys(d, name):
    """A file of the folder SUREFOOT_KEYS, or nothing."""
    folder = d.getVar("SUREFOOT_KEYS")
    return os.path.join(folder, name) if folder else ""


# Variables that name files of the integrator's. Their content is in the signatures of the tasks that read them, and their folders are not.
FILES = ("SUREFOOT_KEYS", "SUREFOOT_KEY", "SUREFOOT_KEY_PUB", "SUREFOOT_TRUST", "SUREFOOT_CONFIG", "SUREFOOT_PRELOAD", "SUREFOOT_DELTA_FROM")


def files_of(d, name):
    """The paths in a variable. A key that is a command has none."""
    value = d.getVar(name) or ""
    return [] if value.startswith("cmd:") else value.split()


def without_folders(words):
    """Words, of which those that are whole paths (also behind `PART=`) have their last component alone."""
    return [re.sub(r"^([\w-]+=)?/.*/", r"\1", word) for word in words]


def shown(d, name):
    """What a signature has of a variable that names files."""
    return d.getVar(name) if (d.getVar(name) or "").startswith("cmd:") else " ".join(without_folders(files_of(d, name)))


def checksums(d, *names):
    """[file-checksums] of the files in these variables. Of a key it is the public half, X.pub beside X.key: nothing that depends on a
    secret gets into a signature, which is published with a shared-state cache. Only where there is none is it the key file itself."""
    files = [file for name in names for file in files_of(d, name)]
    if "SUREFOOT_KEY" in names:
        files = [public_half(file) if file == d.getVar("SUREFOOT_KEY") else file for file in files]
    return " ".join(f"{file}:True" for file in files)


def public_half(key):
    """X.pub beside X.key, if it is there."""
    public = re.sub(r"\.key$", "", key) + ".pub"
    return public if os.path.exists(public) else key


def parts(d):
    """SUREFOOT_PARTS as [(part, file, task that makes it)]: `PART=/FILE` has no task, `PART=FILE:RECIPE` and `PART=FILE:RECIPE:TASK` are files in
    DEPLOY_DIR_IMAGE. ValueError with a sentence for anything else."""
    out = []
    for word in (d.getVar("SUREFOOT_PARTS") or "").split():
        found = re.fullmatch(r"([\w-]+)=(?:(/.+)|([^/:][^:]*):([^:]+?)(?::(do_\w+))?)", word)
        if not found:
            raise ValueError(f'SUREFOOT_PARTS: "{word}" is neither PART=/FILE nor PART=FILE:RECIPE. The recipe that deploys the file is named so '
                             f"that it is built first")
        part, file, deployed, recipe, task = found.groups()
        out.append((part, file or f"{d.getVar('DEPLOY_DIR_IMAGE')}/{deployed}", recipe and f"{recipe}:{task or 'do_deploy'}"))
    return out


def default_version(d):
    """A sentence if nothing says which release this is, else None."""
    return ("SUREFOOT_VERSION is not set: this release is 0.1.0, and a device that runs 0.1.0 finds nothing new in it"
            if d.getVar("SUREFOOT_VERSION") == "0.1.0" else None)


def missing(d):
    """What an artifact cannot be made without, each in a sentence."""
    out = []
    if not d.getVar("SUREFOOT_PRODUCT"):
        out.append("SUREFOOT_PRODUCT is not set: it names the product that an artifact is for, and no device changes it later")
    key = d.getVar("SUREFOOT_KEY") or ""
    if not key:
        out.append("no key: set SUREFOOT_KEYS to a folder that `surefoot-forge keygen --out` has made, or SUREFOOT_KEY to a file or to "
                   "cmd:PROGRAM. There is no default key")
    if key.startswith("cmd:") and not d.getVar("SUREFOOT_KEY_PUB") and not d.getVar("SUREFOOT_TRUST"):
        out.append("SUREFOOT_KEY is a command: set SUREFOOT_KEY_PUB, or SUREFOOT_TRUST, so that its signature can be checked")
    return out


def signer(d):
    """Arguments of `surefoot-forge build` and `delta` that name the key."""
    words = ["--key", d.getVar("SUREFOOT_KEY")]
    if d.getVar("SUREFOOT_KEY").startswith("cmd:"):
        words += ["--pub", d.getVar("SUREFOOT_KEY_PUB")] if d.getVar("SUREFOOT_KEY_PUB") else ["--trust", d.getVar("SUREFOOT_TRUST")]
    return words


def complete(d, words):
    """`words(d)`: the arguments of `build` or of `signer`. Nothing where they are not complete: what is missing is told when the task starts."""
    return [] if missing(d) else words(d)


def build(d):
    """Arguments of `surefoot-forge build` that every artifact of this product has."""
    words = ["--product", d.getVar("SUREFOOT_PRODUCT"), "--version", d.getVar("SUREFOOT_VERSION"), "--level", d.getVar("SUREFOOT_LEVEL")]
    for compatible in d.getVar("SUREFOOT_COMPATIBLE").split():
        words += ["--compatible", compatible]
    if d.getVar("SUREFOOT_TRUST"):
        words += ["--trust-file-inside", d.getVar("SUREFOOT_TRUST")]
    return words + (d.getVar("SUREFOOT_BUILD_ARGS") or "").split() + signer(d)


def quoted_words(words):
    """The same for a shell."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)

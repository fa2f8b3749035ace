"""A reader of the layer's .wks.in files that needs no BitBake and no wic: an expanded file becomes a disk image, with sgdisk or sfdisk,
mtools and mke2fs. It knows the few words that these files use and refuses every other, so that a file cannot say more than is tried here.
"""
import argparse
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SECTOR = 512
MIB = 1024 * 1024


class Mistake(Exception):
    """The file cannot become a disk."""


class Words(argparse.ArgumentParser):
    def error(self, message):
        raise Mistake(message)


def sized(text):
    """wic's sizes: a number of MiB, or with K, M or G. For a place also `s`, sectors."""
    found = re.fullmatch(r"(\d+)([KMGs]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"no size: {text}")
    return int(found[1]) * {"K": 1024, "M": MIB, "": MIB, "G": 1024 * MIB, "s": SECTOR}[found[2]]


def parse(text):
    """(table, parts) of an expanded file: `gpt` or `msdos`, and a namespace for each line `part`."""
    loader = Words(add_help=False)
    loader.add_argument("--ptable", choices=["gpt", "msdos"], required=True)
    loader.add_argument("--timeout", type=int)
    loader.add_argument("--append")
    part = Words(add_help=False)
    part.add_argument("mountpoint", nargs="?")
    for word in ("--source", "--sourceparams", "--label", "--part-name", "--part-type", "--uuid"):
        part.add_argument(word)
    part.add_argument("--fstype", choices=["vfat", "ext4", "none"], required=True)
    for word in ("--active", "--no-table", "--use-uuid", "--no-fstab-update"):
        part.add_argument(word, action="store_true")
    part.add_argument("--offset", type=sized)
    part.add_argument("--fixed-size", type=sized)
    part.add_argument("--align", type=int)
    table, parts = None, []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if "${" in line:
            raise Mistake(f"line {number}: not expanded: {line}")
        word, *words = shlex.split(line)
        try:
            if word == "bootloader":
                table = loader.parse_args(words).ptable
            elif word == "part":
                parts.append(part.parse_args(words))
            else:
                raise Mistake(f"unknown word {word}")
        except Mistake as error:
            raise Mistake(f"line {number}: {error}") from None
    if not table or not parts:
        raise Mistake("no bootloader line or no part")
    return table, parts


def run(*command, **keywords):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **keywords)
    if done.returncode:
        raise Mistake(f"{command[0]} ended with {done.returncode}: {done.stdout.decode('utf-8', 'replace')[-800:]}")


def content(part, deploy, boot_files, work):
    """The file with this part's bytes, or None for an empty one."""
    out = work / f"piece-{id(part)}"
    if part.source == "rawcopy":
        named = dict(p.split("=", 1) for p in part.sourceparams.split(","))
        return Path(deploy, named["file"])          # a path of its own wins
    if part.source in ("bootimg-partition", "bootimg-efi"):
        with open(out, "wb") as file:
            file.truncate(part.fixed_size)
        run("mformat", "-i", out, "-v", part.label, "::")
        for file in boot_files:
            run("mcopy", "-i", out, file, f"::{Path(file).name}")
        return out
    if part.source is None:
        return None
    raise Mistake(f"unknown source {part.source}")


def build(text, out, deploy, boot_files=(), rootfs=None, room=0):
    """Makes the disk `out` and says where each part lies: [(part, start, size)] in bytes. `rootfs`: the file for a `--source rootfs`.
    `room`: bytes that stay free behind the last part."""
    table, parts = parse(text)
    placed, at = [], (34 if table == "gpt" else 1) * SECTOR
    with tempfile.TemporaryDirectory(prefix="surefoot-wks-") as folder:
        work = Path(folder)
        for part in parts:
            piece = Path(rootfs) if part.source == "rootfs" else content(part, deploy, boot_files, work)
            size = part.fixed_size or (piece.stat().st_size if piece else 0)
            if piece and piece.stat().st_size > size:
                raise Mistake(f"{piece} is larger than its part")
            if not size or size % SECTOR:
                raise Mistake(f"a part of {size} bytes")
            if part.align:
                at = -(-at // (part.align * 1024)) * part.align * 1024
            if part.offset is not None:
                if part.offset < at:
                    raise Mistake(f"{part.offset:#x} lies in the part before it, which ends at {at:#x}")
                at = part.offset
            placed.append((part, at, size, piece))
            at += size
        with open(out, "wb") as disk:
            disk.truncate(at + (34 * SECTOR if table == "gpt" else 0) + room)
        listed = [(p, s, n) for p, s, n, _ in placed if not p.no_table]
        if table == "gpt":
            command = ["sgdisk", "-a", "1", "-o"]
            for number, (part, start, size) in enumerate(listed, 1):
                command += ["-n", f"{number}:{start // SECTOR}:{(start + size) // SECTOR - 1}", "-c", f"{number}:{part.part_name}",
                            "-t", f"{number}:{part.part_type}", *(["-u", f"{number}:{part.uuid}"] if part.uuid else []),
                            *(["-A", f"{number}:set:2"] if part.active else [])]
            run(*command, out)
        else:
            script = "label: dos\n" + "".join(
                f"start={start // SECTOR}, size={size // SECTOR}, type={'c' if part.fstype == 'vfat' else '83'}{', bootable' if part.active else ''}\n"
                for part, start, size in listed)
            run("sfdisk", "-q", out, input=script.encode())
        with open(out, "r+b") as disk:
            for _, start, _, piece in placed:
                if piece:
                    with open(piece, "rb") as source:
                        disk.seek(start)
                        shutil.copyfileobj(source, disk, MIB)
    return [(part, start, size) for part, start, size, _ in placed]

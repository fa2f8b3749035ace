#!/usr/bin/env python3
"""The boot script in the real U-Boot: every promise of docs/uboot-environment.md, on a GPT image with two slots.

    tests/vm/boot-script.py [NAME...]        NAME: a test method or a part of its name
    tests/vm/boot-script.py --mistakes [N...] tests the tests: each mistake of the list below is put into the scripts, and a
                                             test must fail

Each test starts from a factory environment, changes what it needs, boots, and looks at what would have been started and at
what is stored afterwards.  Unless it says otherwise a test runs four times: counter uboot and script, old and modern shell.
Those marked `both_layouts` run twice more, on slots that have a boot part beside their root filesystem.
"""
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench  # noqa: E402

SLOT_MIB = 2
ARGS = "console=ttyS0,115200 quiet"
# Variables that U-Boot itself adds to what it saves.
U_BOOTS_OWN = {"fdtcontroladdr"}
TOLD = {"surefoot_slot", "surefoot_txn", "upgrade_available", "bootcount", "bootlimit", "altbootcmd", "surefoot_good",
        "surefoot_fallback", "surefoot_counter", "surefoot_clean"}

KERNEL = {"a": b"kernel of slot a" * 1000, "b": b"kernel of slot b, another length" * 900}
INITRD = {"a": b"initramfs of a" * 99, "b": b"initramfs of b" * 98}

work = Path()
slot_images = {}
boot_images = {}
disks = {}
boots = 0


def slot_image(slot, kind="ext4", kernel="good", initrd=True, fdt=False, extra=()):
    """An image file of one slot; made once for each kind."""
    key = (slot, kind, kernel, initrd, fdt, tuple(extra))
    if key not in slot_images:
        folder = work / "tree"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "boot").mkdir(parents=True)
        content = {"good": KERNEL[slot], "refused": b"NOSTART" + KERNEL[slot], "missing": None}[kernel]
        if content is not None:
            (folder / "boot/Image").write_bytes(content)
        if initrd:
            (folder / "boot/initrd.img").write_bytes(INITRD[slot])
        if fdt:
            (folder / "boot/board.dtb").write_bytes(b"device tree of " + slot.encode())
        for name, text in extra:
            (folder / name).write_bytes(text)
        image = bench.filesystem(work / f"slot-{len(slot_images)}", folder, kind, SLOT_MIB)
        slot_images[key] = image
        boot_images[image] = bench.filesystem(work / f"boot-{len(slot_images)}", folder / "boot", "ext4" if fdt else "fat", SLOT_MIB, "boot")
    return slot_images[key]


def other_root(slot):
    """A root filesystem whose kernel is not the slot's: none of it may be loaded where there is a boot part."""
    image = slot_image(slot, extra=[("boot/Image", b"kernel in the root of " + slot.encode()), ("boot/initrd.img", b"initramfs there"),
                                    ("Image", b"kernel at the root of " + slot.encode())])
    return image


@functools.cache
def factory_env(counter):
    return bench.factory_env(counter, surefoot_args=ARGS)


@functools.cache
def surefoot_env():
    return subprocess.run([bench.SCRIPTS / "make", "surefoot.env"], stdout=subprocess.PIPE, text=True, check=True).stdout


class Device:
    """A disk image with one of the two counters and one of the two shells."""

    def __init__(self, counter="uboot", shell="old", a=None, b=None, in_environment=False, parts=False, **values):
        self.counter, self.shell = counter, shell
        self.image = work / "disk.img"
        variables = dict(factory_env(counter))
        if in_environment:
            text = bench.env_text_to_dict(surefoot_env())
            variables.update(text)
        self.factory = dict(variables)
        slots, boot_parts = (a or slot_image("a"), b or slot_image("b")), None
        if parts:
            boot_parts = [boot_images.get(image, image) for image in slots]
            slots = (other_root("a"), other_root("b"))
        self.kernels, self.folder = ("boot-", "") if parts else ("rootfs-", "/boot")
        key = (*slots, *(boot_parts or ()))
        if key not in disks:
            made = work / f"disk-{len(disks)}"
            disks[key] = made, bench.disk_image(made, SLOT_MIB, *slots, boot_mib=1, data_mib=1, boot_files=[("boot.scr", bench.boot_scr())],
                                                boot_parts=boot_parts, boot_part_mib=SLOT_MIB)
        made, self.starts = disks[key]
        bench.run("cp", "--sparse=always", made, self.image)
        bench.env_write(self.image, [bench.env_pack(variables, 1), bench.env_pack(variables, 0)])
        self.set(**values)

    def set(self, **values):
        """Change the environment as the updater does; None removes. Both copies, so that a test sees later writes."""
        variables = self.stored()
        for name, value in values.items():
            variables.pop(name, None)
            if value is not None:
                variables[name] = value
                self.factory.setdefault(name, value)
        bench.env_write(self.image, [bench.env_pack(variables, 1), bench.env_pack(variables, 0)])
        self.before = bench.env_read(self.image)

    def arm(self, slot="b", **values):
        good = "a" if slot == "b" else "b"
        self.set(**{"surefoot_slot": slot, "surefoot_txn": "0123456789ab-1", "upgrade_available": "1", "bootcount": "0",
                    "surefoot_good": good, "surefoot_fallback": None, **values})
        return self

    def stored(self):
        return bench.env_current(bench.env_read(self.image))

    def untouched(self):
        return bench.env_read(self.image) == self.before

    def boot(self, commands=None, **faults):
        global boots
        boots += 1
        self.before = bench.env_read(self.image)
        return bench.sandbox(self.image, commands, stock=self.counter == "script", modern=self.shell == "modern", **faults)

    def replace(self, slot, image):
        bench.run("dd", f"if={image}", f"of={self.image}", "bs=1M", f"seek={self.starts['rootfs-' + slot]}", "conv=notrunc")


def each(*counters, both_layouts=False):
    """Runs a test for each counter and shell, as a subtest."""
    def wrap(test):
        def run(self):
            for counter in counters or ("uboot", "script"):
                for shell in ("old", "modern"):
                    with self.subTest(counter=counter, shell=shell):
                        test(self, lambda **k: Device(counter, shell, **k))
            for counter, shell in (("uboot", "old"), ("script", "modern")) if both_layouts else ():
                with self.subTest(counter=counter, shell=shell, parts=True):
                    test(self, lambda **k: Device(counter, shell, parts=True, **k))
        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run
    return wrap


class BootScript(unittest.TestCase):
    def boots(self, boot, slot, trial=False):
        self.assertEqual((boot.end, boot.slot, boot.trial), ("booted", slot, trial), boot.output)
        self.assertEqual((boot.size, boot.sha256), (len(KERNEL[slot]), hashlib.sha256(KERNEL[slot]).hexdigest()), boot.output)

    def gave_up(self, device, slot="a", txn="0123456789ab-1"):
        stored = device.stored()
        self.assertEqual([stored.get(n) for n in ("surefoot_slot", "upgrade_available", "bootcount", "surefoot_fallback")],
                         [slot, "0", "0", txn])
        self.no_leavings(device)

    def no_leavings(self, device):
        """No variable of the script may be in what was saved."""
        self.assertEqual(set(device.stored()) - set(device.factory) - TOLD - U_BOOTS_OWN, set())

    # ---- outside a trial --------------------------------------------------------------------------------------------

    @each(both_layouts=True)
    def test_a_healthy_boot_starts_the_named_slot_and_writes_nothing(self, device):
        for slot in "ab":
            d = device(surefoot_slot=slot)
            for _ in range(3):
                self.boots(d.boot(), slot)
                self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_root_is_the_partition_of_the_slot_by_partuuid(self, device):
        for slot in "ab":
            d = device(surefoot_slot=slot)
            number = 1 + list(d.starts).index(f"rootfs-{slot}")
            info = subprocess.run(["sgdisk", "-i", str(number), d.image], stdout=subprocess.PIPE, text=True, check=True).stdout
            uuid = next(l.split()[-1] for l in info.splitlines() if "unique GUID" in l).lower()
            self.assertEqual(d.boot().args, f"root=PARTUUID={uuid} ro rootwait surefoot.slot={slot} surefoot.script=1 {ARGS}")

    @each()
    def test_partitions_are_found_by_name_and_not_by_number(self, device):
        d = device(surefoot_slot="a")
        bench.run("sgdisk", "-c", "2:rootfs-b", "-c", "3:rootfs-a", d.image)
        boot = d.boot()
        self.assertEqual((boot.slot, boot.sha256), ("a", hashlib.sha256(KERNEL["b"]).hexdigest()), boot.output)

    @each()
    def test_a_second_card_with_the_same_partitions_is_told_and_root_is_named_by_its_place(self, device):
        for slot, number in (("a", 2), ("b", 3)):
            d = device(surefoot_slot=slot)
            twin = work / "twin.img"
            bench.run("cp", "--sparse=always", d.image, twin)
            boot = d.boot(twin=twin)
            self.boots(boot, slot)
            self.assertEqual(boot.args, f"root=/dev/mmcblk0p{number} ro rootwait surefoot.slot={slot} surefoot.script=1 {ARGS} surefoot.disk=mmc:0")
            self.assertIn("mmc 1 has the same partitions as mmc 0", boot.output)
            self.assertTrue(d.untouched())
            # A card that was written from another image is no twin.
            bench.run("sgdisk", "-G", twin)
            self.assertTrue(d.boot(twin=twin).args.startswith("root=PARTUUID="))

    @each()
    def test_a_disk_without_names_is_booted_by_the_numbers_of_the_environment(self, device):
        for slot, number in (("a", "02"), ("b", "03")):
            d = device(surefoot_slot=slot, surefoot_part_boot="1", surefoot_part_a="2", surefoot_part_b="3")
            bench.run("sgdisk", "-m", "1:2:3:4", d.image)
            with open(d.image, "r+b") as disk:
                disk.seek(440)
                disk.write(bytes.fromhex("efbeadde"))
            bench.env_write(d.image, [bench.env_pack({**d.factory, "surefoot_slot": slot}, s) for s in (1, 0)])
            boot = d.boot()
            self.boots(boot, slot)
            self.assertEqual(boot.args, f"root=PARTUUID=deadbeef-{number} ro rootwait surefoot.slot={slot} surefoot.script=1 {ARGS}")
            d.arm("b" if slot == "a" else "a", bootlimit="1")
            self.boots(d.boot(), "b" if slot == "a" else "a", trial=True)
            self.boots(d.boot(), slot)
            self.gave_up(d, slot)

    @each("script")
    def test_a_device_of_another_updater_is_adopted_by_its_environment(self, device):
        """docs/from-mender.md and docs/from-rauc.md: partitions without names of ours, a bootcmd and variables of another updater."""
        for slot, file in (("a", None), ("b", None), ("b", "surefoot.scr")):
            d = device()
            bench.run("sgdisk", "-c", "1:primary", "-c", "2:primary", "-c", "3:primary", d.image)
            theirs = {k: v for k, v in d.factory.items() if not k.startswith("surefoot_") and k not in ("altbootcmd", "bootlimit")}
            theirs.update(bootcmd="run mender_setup; run distro_bootcmd", mender_boot_part="2", BOOT_ORDER="A B", BOOT_A_LEFT="3", upgrade_available="0")
            bench.env_write(d.image, [bench.env_pack(theirs, 1), bench.env_pack(theirs, 0)])
            top = work / "field"
            shutil.rmtree(top, ignore_errors=True)
            number = {"a": 2, "b": 3}[slot]
            for name, text in (("etc/fw_env.config", "".join(f"{d.image} {offset:#x} {bench.ENV_SIZE:#x}\n" for offset in bench.ENV_OFFSETS)),
                               ("proc/self/mountinfo", f"22 1 179:{number} / / ro - ext4 /dev/root ro\n"), (f"sys/dev/block/179:{number}/partition", f"{number}\n")):
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                (top / name).write_text(text)
            more = []
            if file:
                more = ["surefoot_part_boot=1"]
                (work / file).write_bytes(bench.boot_scr())
                bench.run("mcopy", "-i", f"{d.image}@@{d.starts['boot']}M", work / file, "::")
            bench.run(bench.SCRIPTS / "make", "script", "-o", top / "script.txt", *(["--file", file] if file else []))
            bench.run(bench.SCRIPTS / "make", "adopt.txt", "surefoot_part_a=2", "surefoot_part_b=3", f"surefoot_args={ARGS}", *more, "-o", top / "adopt.txt")
            bench.run(bench.SCRIPTS / "adopt", top, env={**os.environ, "SUREFOOT_ADOPT_ROOT": str(top)})
            d.factory = {**theirs, **bench.env_text_to_dict((top / "adopt.txt").read_text()), "surefoot_boot": (top / "script.txt").read_text(),
                         "surefoot_slot": slot, "surefoot_good": slot}
            self.boots(d.boot(), slot)
            other = "b" if slot == "a" else "a"
            d.arm(other, bootlimit="1")
            self.boots(d.boot(), other, trial=True)
            self.boots(d.boot(), slot)
            self.gave_up(d, slot)

    @each()
    def test_names_win_over_the_numbers_of_the_environment(self, device):
        d = device(surefoot_slot="b", surefoot_part_boot="4", surefoot_part_a="3", surefoot_part_b="2")
        self.boots(d.boot(), "b")

    @each()
    def test_a_missing_or_garbage_slot_means_a_then_b(self, device):
        for value in (None, "", "c", "A", "ab", "-n", "b ", "a b", '"', "$", "0"):
            with self.subTest(value=value):
                d = device(surefoot_slot=value)
                self.boots(d.boot(), "a")
                self.assertTrue(d.untouched())
                d = device(surefoot_slot=value, a=slot_image("a", kernel="missing"))
                self.boots(d.boot(), "b")
                self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_a_slot_without_a_kernel_gives_way_without_a_write(self, device):
        for kernel in ("missing", "refused"):
            for slot, other in ("ab", "ba"):
                d = device(surefoot_slot=slot, **{slot: slot_image(slot, kernel=kernel)})
                for _ in range(2):
                    self.boots(d.boot(), other)
                    self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_a_slot_that_is_no_file_system_gives_way(self, device):
        noise = work / "noise"
        noise.write_bytes(os.urandom(SLOT_MIB << 20))
        d = device(surefoot_slot="b", b=noise)
        self.boots(d.boot(), "a")
        self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_a_slot_with_its_first_128_kib_destroyed_gives_way(self, device):
        d = device(surefoot_slot="b")
        with open(d.image, "r+b") as disk:
            disk.seek(d.starts[d.kernels + "b"] << 20)
            disk.write(bytes(128 << 10))
        self.boots(d.boot(), "a")

    @each(both_layouts=True)
    def test_two_empty_slots_end_at_the_prompt_and_write_nothing(self, device):
        d = device(a=slot_image("a", kernel="missing"), b=slot_image("b", kernel="missing"))
        boot = d.boot()
        self.assertEqual(boot.end, "prompt", boot.output)
        self.assertEqual(boot.output.count("cannot be started"), 2, boot.output)
        self.assertTrue(d.untouched())

    @each()
    def test_rescue_runs_when_neither_slot_starts(self, device):
        d = device(a=slot_image("a", kernel="missing"), b=slot_image("b", kernel="refused"), surefoot_rescue="echo RESCUED; poweroff")
        boot = d.boot()
        self.assertEqual((boot.end, boot.output.count("RESCUED")), ("off", 1), boot.output)

    @each()
    def test_a_count_above_the_limit_outside_a_trial_flips_nothing(self, device):
        for count in ("4", "9", "99", "x"):
            d = device(surefoot_slot="b", bootcount=count)
            self.boots(d.boot(), "b")
            self.assertTrue(d.untouched())

    @each()
    def test_upgrade_available_other_than_1_is_no_trial(self, device):
        for value in ("0", None, "", "x", "-n", "01"):
            d = device(surefoot_slot="b", surefoot_good="a", upgrade_available=value, bootcount="0")
            boot = d.boot()
            self.boots(boot, "b")
            self.assertEqual(d.stored()["surefoot_slot"], "b")

    @each()
    def test_both_copies_dead_still_boots(self, device):
        d = device()
        bench.env_write(d.image, [bytes(bench.ENV_SIZE)] * 2)
        boot = d.boot()
        self.assertIn("using default environment", boot.output)
        self.assertEqual((boot.end, boot.slot), ("booted", "a"), boot.output)

    # ---- a trial ----------------------------------------------------------------------------------------------------

    @each(both_layouts=True)
    def test_three_tries_then_back_and_it_stays_there(self, device):
        for limit in (1, 2, 3, 9):
            d = device().arm("b", bootlimit=str(limit))
            for number in range(1, limit + 1):
                self.boots(d.boot(), "b", trial=True)
                self.assertEqual(d.stored()["bootcount"], str(number))
                self.assertEqual(d.stored()["surefoot_slot"], "b")
                self.no_leavings(d)
            self.boots(d.boot(), "a")
            self.gave_up(d)
            for _ in range(2):
                self.boots(d.boot(), "a")
                self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_a_trial_from_b_to_a_works_the_same(self, device):
        d = device(surefoot_slot="b").arm("a", bootlimit="1")
        self.boots(d.boot(), "a", trial=True)
        self.boots(d.boot(), "b")
        self.gave_up(d, "b")

    @each()
    def test_a_commit_ends_the_trial_for_good(self, device):
        d = device().arm("b")
        self.boots(d.boot(), "b", trial=True)
        d.set(upgrade_available="0", bootcount="0")
        for _ in range(4):
            self.boots(d.boot(), "b")
            self.assertTrue(d.untouched())

    @each()
    def test_the_decision_is_one_save(self, device):
        d = device().arm("b", bootcount="3", bootlimit="3")
        boot = d.boot()
        # U-Boot's counter, where there is one, has saved its own number before.
        self.assertEqual(boot.record()["saves"], 2 if d.counter == "uboot" else 1, boot.output)
        self.gave_up(d)

    @each(both_layouts=True)
    def test_a_trial_whose_kernel_cannot_be_loaded_falls_back_at_once(self, device):
        for kernel in ("missing", "refused"):
            d = device(b=slot_image("b", kernel=kernel)).arm("b")
            self.boots(d.boot(), "a")
            self.gave_up(d)
            self.boots(d.boot(), "a")
            self.assertTrue(d.untouched())

    @each(both_layouts=True)
    def test_a_trial_whose_kernel_and_good_slot_are_both_bad_ends_without_looping(self, device):
        for count in ("0", "3"):
            d = device(a=slot_image("a", kernel="missing"), b=slot_image("b", kernel="refused")).arm("b", bootcount=count)
            boot = d.boot()
            self.assertEqual(boot.end, "prompt", boot.output)
            self.gave_up(d)
            # Said once: altbootcmd comes back to the script that ran it and does not start another one inside. Where U-Boot
            # itself runs altbootcmd there is one script as well.
            self.assertEqual(boot.output.count("neither slot can be started"), 1, boot.output)

    @each(both_layouts=True)
    def test_after_the_last_try_a_bad_good_slot_gives_way_to_the_tried_one(self, device):
        d = device(a=slot_image("a", kernel="missing")).arm("b", bootcount="3")
        self.boots(d.boot(), "b")
        self.gave_up(d)

    @each()
    def test_a_missing_or_garbage_good_slot_means_the_other_one(self, device):
        for good in (None, "", "c", "-n", "ab"):
            for slot, other in ("ab", "ba"):
                d = device().arm(slot, surefoot_good=good, bootcount="3")
                self.boots(d.boot(), other)
                self.gave_up(d, other)

    @each()
    def test_a_good_slot_that_is_the_tried_one_is_obeyed(self, device):
        """Nobody arms that; it must not loop, and it must not be a trial afterwards."""
        d = device().arm("b", surefoot_good="b", bootcount="3")
        self.boots(d.boot(), "b")
        self.gave_up(d, "b")

    @each()
    def test_a_trial_of_a_garbage_slot_falls_back(self, device):
        d = device().arm("b", surefoot_slot="x", surefoot_good="b", bootcount="3")
        self.boots(d.boot(), "b")
        self.gave_up(d, "b")

    @each()
    def test_garbage_limits_end_the_trial(self, device):
        for limit in (None, "", "0", "10", "x", "-1", "0x3", "03", "-n", "3 3", "1000000"):
            with self.subTest(bootlimit=limit):
                d = device().arm("b", bootlimit=limit)
                self.boots(d.boot(), "a")
                self.gave_up(d)

    @each("script")
    def test_garbage_counts_end_the_trial(self, device):
        for count in (None, "", "x", "-1", "00", "4", "9", "10", "99999999999", "-n", "1 1", '"'):
            with self.subTest(bootcount=count):
                d = device().arm("b", bootcount=count)
                self.boots(d.boot(), "a")
                self.gave_up(d)

    @each("uboot")
    def test_garbage_counts_are_counted_by_uboot_and_end(self, device):
        for count in (None, "", "x", "-1", "4", "99", "99999999999999999999"):
            with self.subTest(bootcount=count):
                d = device().arm("b", bootcount=count)
                for _ in range(5):
                    boot = d.boot()
                    if boot.slot == "a":
                        break
                self.boots(boot, "a")
                self.gave_up(d)

    @each()
    def test_no_named_counter_means_no_trial(self, device):
        for counter in (None, "", "both", "-n"):
            d = device().arm("b", surefoot_counter=counter)
            self.boots(d.boot(), "a")
            self.gave_up(d)

    def test_a_counter_that_does_not_count_ends_the_trial(self):
        """surefoot_counter=uboot on a U-Boot that cannot count: nobody would ever end the trial."""
        for shell in ("old", "modern"):
            d = Device("script", shell).arm("b", surefoot_counter="uboot")
            self.boots(d.boot(), "a")
            self.gave_up(d)

    @each("script")
    def test_a_count_that_cannot_be_stored_refuses_the_trial(self, device):
        for good in ("a", None):
            d = device().arm("b", surefoot_good=good)
            for _ in range(5):
                boot = d.boot(fail=0)
                self.boots(boot, "a")
                self.assertIn("the trial is refused", boot.output)
                self.assertTrue(d.untouched())
            # The card is well again: the trial goes on.
            self.boots(d.boot(), "b", trial=True)

    @each()
    def test_a_fallback_that_cannot_be_stored_still_boots_the_good_slot(self, device):
        d = device().arm("b", bootcount="3")
        for _ in range(3):
            self.boots(d.boot(fail=0), "a")
            self.assertTrue(d.untouched())
        self.boots(d.boot(), "a")
        self.gave_up(d)

    @each("script")
    def test_without_altbootcmd_an_exhausted_trial_still_boots_the_good_slot(self, device):
        d = device().arm("b", bootcount="3", altbootcmd=None)
        for _ in range(2):
            self.boots(d.boot(), "a")
        # The trial is over for this boot, also if the tried slot is all there is.
        d = device(a=slot_image("a", kernel="missing")).arm("b", bootcount="3", altbootcmd=None)
        self.boots(d.boot(), "b")
        d = device(b=slot_image("b", kernel="missing")).arm("b", altbootcmd=None)
        for _ in range(5):
            self.boots(d.boot(), "a")

    @each()
    def test_altbootcmd_twice_is_altbootcmd_once(self, device):
        d = device().arm("b", bootcount="1")
        self.boots(d.boot("run altbootcmd"), "a")
        first = bench.env_read(d.image)
        self.gave_up(d)
        self.boots(d.boot("run altbootcmd"), "a")
        self.assertEqual(bench.env_read(d.image), first)

    @each()
    def test_altbootcmd_outside_a_trial_flips_nothing(self, device):
        d = device(surefoot_slot="b", surefoot_good="a")
        self.boots(d.boot("run altbootcmd"), "b")
        self.assertTrue(d.untouched())

    @each()
    def test_a_cut_anywhere_in_the_last_boot_of_a_trial_leaves_a_bootable_device(self, device):
        d = device().arm("b", bootcount="3")
        armed = bench.env_read(d.image)
        for cut, torn in ((0, 0), (0, 4), (1, 0), (20, 300), (31, 511), (32, 0), (32, 5), (33, 0), (63, 100), (64, 0)):
            bench.env_write(d.image, armed)
            d.boot(cut=cut, torn=torn)
            self.assertIsNotNone(d.stored(), f"cut {cut}: both copies lost")
            self.boots(d.boot(), "a")
            self.gave_up(d)

    # ---- what is started --------------------------------------------------------------------------------------------

    @each()
    def test_a_trial_adds_panic_and_open_timeout_last(self, device):
        boot = device(surefoot_args="panic=0 quiet").arm("b").boot()
        self.assertTrue(boot.args.endswith(" panic=0 quiet panic=10 watchdog.open_timeout=180"), boot.args)
        boot = device(surefoot_panic="3").arm("b").boot()
        self.assertTrue(boot.args.endswith(f"{ARGS} panic=3 watchdog.open_timeout=180"), boot.args)

    @each()
    def test_the_watchdog_starts_only_in_a_trial_and_only_if_asked_for(self, device):
        name = "watchdog"
        boot = device().arm("b").boot()
        self.assertEqual(boot.watchdog, 0)
        self.assertNotIn("use 'wdt dev' first", boot.output)       # nor was it tried
        self.assertEqual(device(surefoot_wdt="15", surefoot_wdt_dev=name).boot().watchdog, 0)
        boot = device(surefoot_wdt="15", surefoot_wdt_dev=name).arm("b").boot()
        self.assertEqual(boot.watchdog, 15000, boot.output)
        # A trial kernel that is refused must not leave it running under the good slot.
        d = device(surefoot_wdt="15", surefoot_wdt_dev=name, b=slot_image("b", kernel="refused")).arm("b")
        boot = d.boot()
        self.boots(boot, "a")
        self.assertEqual(boot.watchdog, 0, boot.output)
        # A watchdog that is not there is no reason not to boot.
        self.boots(device(surefoot_wdt="15", surefoot_wdt_dev="nosuch").arm("b").boot(), "b", trial=True)

    @each(both_layouts=True)
    def test_the_initramfs_of_the_slot_is_handed_over(self, device):
        for slot in "ab":
            self.assertEqual(device(surefoot_slot=slot).boot().initrd, f"0x4000000:{len(INITRD[slot]):x}")

    @each(both_layouts=True)
    def test_a_slot_without_initramfs_boots_without(self, device):
        boot = device(a=slot_image("a", initrd=False)).boot()
        self.boots(boot, "a")
        self.assertEqual(boot.initrd, "-")

    @each(both_layouts=True)
    def test_a_named_initramfs_must_be_there(self, device):
        folder = device().folder
        self.boots(device(surefoot_initrd=f"{folder}/board.dtb", b=slot_image("b", fdt=True)).boot(), "b")

    @each(both_layouts=True)
    def test_the_device_tree_is_uboots_own_or_the_slots(self, device):
        boot = device().boot()
        self.assertRegex(boot.fdt, "^[0-9a-f]{6,}$")
        boot = device(surefoot_fdt=f"{device().folder}/board.dtb", b=slot_image("b", fdt=True)).boot()
        self.boots(boot, "b")
        self.assertEqual(boot.fdt, "0x300000")

    @each()
    def test_only_a_boot_part_of_the_same_slot_counts(self, device):
        """One slot of the disk has a boot part, the other has none: each is started from where its kernel is."""
        d = device(parts=True, surefoot_slot="a")
        bench.run("sgdisk", "-c", "3:spare", d.image)
        self.boots(d.boot(), "a")
        d.set(surefoot_slot="b")
        boot = d.boot()
        self.assertEqual((boot.slot, boot.size), ("b", len(b"kernel in the root of b")), boot.output)

    @each()
    def test_the_boot_part_is_what_a_start_command_is_told(self, device):
        d = device(parts=True, surefoot_go="echo GO ${sf_part} ${sf_rootfs}; poweroff")
        self.assertRegex(d.boot().output, r"(?m)^GO (0x)?2 (0x)?4$")

    @each()
    def test_the_kernel_can_have_another_name(self, device):
        boot = device(surefoot_kernel="/vmlinuz", a=slot_image("a", kernel="missing", extra=[("vmlinuz", KERNEL["a"])])).boot()
        self.boots(boot, "a")

    @each()
    def test_the_start_command_can_be_replaced(self, device):
        go = "echo GO ${sf_slot} ${sf_initrd} ${sf_fdt} ${kernel_comp_size}; poweroff"
        boot = device(surefoot_go=go).arm("b").boot()
        self.assertRegex(boot.output, rf"(?m)^GO b 0x4000000:{len(INITRD['b']):x} [0-9a-f]+ {len(KERNEL['b']):x}$")
        # One that comes back is a kernel that did not start.
        d = device(surefoot_go="echo WENT ${sf_slot}").arm("b")
        boot = d.boot()
        self.assertEqual([l for l in boot.output.splitlines() if l.startswith("WENT")][:2], ["WENT b", "WENT a"], boot.output)
        self.gave_up(d)

    @each()
    def test_arguments_with_quotes_and_shell_signs_arrive_as_written(self, device):
        args = """dyndbg="file mmc.c +p" c=1;d $e && #"""          # no single quote and no backslash: the shell drops them
        boot = device(surefoot_args=args).boot()
        self.assertTrue(boot.args.endswith(" surefoot.slot=a surefoot.script=1 " + args), boot.args)

    @each()
    def test_the_transaction_is_copied_as_written(self, device):
        d = device().arm("b", bootcount="3", surefoot_txn="ffeeddccbbaa-12")
        self.boots(d.boot(), "a")
        self.gave_up(d, txn="ffeeddccbbaa-12")
        d = device().arm("b", bootcount="3", surefoot_txn=None)
        self.boots(d.boot(), "a")
        self.gave_up(d, txn=None)

    @each()
    def test_squashfs_and_erofs_slots_boot(self, device):
        for kind in ("squashfs", "erofs"):
            d = device(a=slot_image("a", kind), b=slot_image("b", kind))
            self.boots(d.boot(), "a")
            d.arm("b")
            self.boots(d.boot(), "b", trial=True)

    @each()
    def test_squashfs_and_erofs_slots_without_kernel_or_initramfs(self, device):
        for kind in ("squashfs", "erofs"):
            d = device(a=slot_image("a", kind, kernel="missing"), b=slot_image("b", kind, initrd=False))
            boot = d.boot()
            self.boots(boot, "b")
            self.assertEqual(boot.initrd, "-")

    @each(both_layouts=True)
    def test_the_script_as_a_variable_does_the_same(self, device):
        d = device(in_environment=True).arm("b", bootlimit="2")
        self.boots(d.boot(), "b", trial=True)
        self.assertNotIn("Executing script", d.boot().output)
        self.boots(d.boot(), "a")
        self.gave_up(d)
        d = device(in_environment=True, b=slot_image("b", kernel="missing")).arm("b")
        self.boots(d.boot(), "a")
        self.gave_up(d)
        self.boots(device(in_environment=True, a=slot_image("a", kernel="missing")).boot(), "b")

    @each(both_layouts=True)
    def test_what_a_stray_saveenv_left_behind_does_no_harm(self, device):
        """Somebody saved at the prompt after a boot: leftovers of the script are then in the environment."""
        left = dict(surefoot_tmp="7", filesize="1234", fileaddr="1000", kernel_comp_size="5", bootargs="root=/dev/sda1 surefoot.slot=x")
        d = device(**left).arm("b", bootlimit="2")
        self.boots(d.boot(), "b", trial=True)


class Text(unittest.TestCase):
    """What uboot-scripts/make writes."""
    make = bench.SCRIPTS / "make"

    def test_the_tracked_files_are_what_the_sources_say(self):
        self.assertEqual(subprocess.run([self.make, "--check"]).returncode, 0)

    def test_boot_scr_is_what_mkimage_writes(self):
        ours = bench.boot_scr()
        script = work / "script"
        script.write_bytes(ours[72:])
        theirs = work / "theirs"
        bench.run("mkimage", "-A", "arm", "-O", "linux", "-T", "script", "-C", "none", "-n", "surefoot", "-d", script, theirs,
                  env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
        self.assertEqual(ours, theirs.read_bytes())

    def test_the_counter_must_be_named(self):
        for values in ([], ["surefoot_counter=both"], ["surefoot_counter="]):
            done = subprocess.run([self.make, "factory-env.txt", *values], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (1, b""))

    def test_mkenvimage_takes_the_factory_text(self):
        text, image = work / "factory.txt", work / "factory.bin"
        text.write_bytes(subprocess.run([self.make, "factory-env.txt", "surefoot_counter=uboot"], stdout=subprocess.PIPE, check=True).stdout)
        bench.run("mkenvimage", "-r", "-s", "0x4000", "-o", image, text)
        self.assertEqual(bench.env_unpack(image.read_bytes())[1], bench.env_text_to_dict(text.read_text()))

    def test_uboots_own_build_takes_the_env_text(self):
        """The same preprocessor and awk script that a board's .env file goes through."""
        source = bench.target("uboot-source") / "src"
        cpp = subprocess.run(["cpp", "-P", "-undef", "-x", "assembler-with-cpp", bench.SCRIPTS / "surefoot.env"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        made = subprocess.run(["awk", "-f", source / "scripts/env2string.awk"], input=cpp.stdout, stdout=subprocess.PIPE, check=True).stdout.decode()
        wanted = bench.env_text_to_dict(surefoot_env())
        quoted = made.split(' "', 1)[1].rsplit('"', 1)[0].replace('\\"', '"')
        self.assertEqual(dict(x.split("=", 1) for x in quoted.split("\\0") if x), wanted)

    def test_the_largest_environment_leaves_half_of_16_kib_to_the_board(self):
        variables = bench.factory_env("script", **bench.env_text_to_dict(surefoot_env()))
        size = sum(len(k) + len(v) + 2 for k, v in variables.items())
        self.assertLess(size, bench.ENV_SIZE // 2)

    def test_every_variable_of_the_scripts_is_documented(self):
        import re
        text = "".join((bench.SCRIPTS / n).read_text() for n in ("boot.cmd", "altboot.cmd", "load.cmd"))
        text = "\n".join(l for l in text.splitlines() if not l.lstrip().startswith("#"))
        doc = (bench.TOP / "docs/uboot-environment.md").read_text()
        names = {n for n in re.findall(r"\$\{(\w+)\}", text) if not n.startswith("sf_")} | set(re.findall(r"setenv (\w+)", text))
        self.assertGreater(len(names), 15)
        self.assertEqual({n for n in names if f"`{n}`" not in doc}, set())


# (file, what it says, what it says instead): each is a way to lose a device that somebody could write.
MISTAKES = [
    ("boot.cmd", 'test "x${upgrade_available}" = "x1"; then\n    sf_good', 'test "x${upgrade_available}" != "x0"; then\n    sf_good'),
    ("boot.cmd", "sf_named=a\nsf_other=b\nif", "sf_named=b\nsf_other=a\nif"),
    ("boot.cmd", 'if saveenv; then', 'if saveenv || test 1 = 1; then'),
    ("boot.cmd", "sf_verdict=refuse", "sf_verdict=try"),
    ("boot.cmd", "sf_before=0\n", "sf_before=1\n"),
    ("boot.cmd", "for sf_i in 1 2 3 4 5 6 7 8 9;", "for sf_i in 1 2 3 4 5 6 7 8;"),
    ("boot.cmd", '= "xuboot" && test "x${bootcount}" = "x${sf_i}"', '= "xuboot"'),
    ("boot.cmd", '&& test -n "${sf_number}"; then', '; then'),
    ("boot.cmd", "sf_verdict=give-up\n", "sf_verdict=try\n"),
    ("boot.cmd", "rootfs-${sf_slot} surefoot_tmp", "rootfs-${sf_named} surefoot_tmp"),
    ("boot.cmd", "    setenv filesize\n    setenv fileaddr\n", "    setenv fileaddr\n"),
    ("boot.cmd", "boot-${sf_slot} surefoot_tmp", "boot-${sf_named} surefoot_tmp"),
    ("boot.cmd", "            sf_part=${surefoot_tmp}\n            sf_boot=\n", "            sf_boot=\n"),
    ("boot.cmd", "            sf_boot=\n", ""),
    ("boot.cmd", "part uuid ${sf_type} ${sf_disk}:${sf_rootfs}", "part uuid ${sf_type} ${sf_disk}:${sf_part}"),
    ("boot.cmd", "load ${sf_type} ${sf_disk}:${sf_part} ${ramdisk_addr_r}", "load ${sf_type} ${sf_disk}:${sf_rootfs} ${ramdisk_addr_r}"),
    ("boot.cmd", "load ${sf_type} ${sf_disk}:${sf_part} ${fdt_addr_r}", "load ${sf_type} ${sf_disk}:${sf_rootfs} ${fdt_addr_r}"),
    ("boot.cmd", "test -e ${sf_type} ${sf_disk}:${sf_part}", "test -e ${sf_type} ${sf_disk}:${sf_rootfs}"),
    ("boot.cmd", "    setenv bootargs\n", ""),
    ("boot.cmd", "        setenv surefoot_tmp ${sf_given}\n", "        setenv surefoot_tmp ${surefoot_part_a}\n"),
    ("boot.cmd", "        sf_given=\n", ""),
    ("boot.cmd", 'if test "x${surefoot_tmp}" = "x${sf_uuid}"; then', 'if test -n "${sf_uuid}"; then'),
    ("boot.cmd", "                        sf_root=/dev/mmcblk${sf_disk}p${sf_i}\n", ""),
    ("boot.cmd", "    setenv kernel_comp_size\n", ""),
    ("boot.cmd", "setenv surefoot_tmp\nsetenv filesize\n", "setenv surefoot_tmp\n"),
    ("boot.cmd", "        if test -n \"${sf_trial}\" && test -n \"${surefoot_wdt}\"; then\n            wdt stop", "        if test -n \"\"; then\n            wdt stop"),
    ("boot.cmd", "            if test -n \"${surefoot_wdt}\"; then\n                if", "            if test -z \"\"; then\n                if"),
    ("boot.cmd", "    if test -n \"${sf_trial}\"; then\n        # At once", "    if test -z \"${sf_named}\"; then\n        # At once"),
    ("boot.cmd", "        sf_nested=1\n        run altbootcmd\n        sf_nested=\n        #", "        run altbootcmd\n        #"),
    ("boot.cmd", "        sf_first=${sf_good}\n", ""),
    ("boot.cmd", "surefoot.slot=${sf_slot}", "surefoot.slot=${sf_named}"),
    ("boot.cmd", "            sf_initrd=-\n", ""),
    ("boot.cmd", "                else\n                    sf_ready=\n                fi\n            fi\n            sf_fdt", "                fi\n            fi\n            sf_fdt"),
    ("boot.cmd", "${surefoot_args}\"", "\""),
    ("boot.cmd", "        # Only matters where altbootcmd is missing: the trial is over for this boot at least.\n        setenv upgrade_available 0\n", ""),
    ("altboot.cmd", 'test "x${upgrade_available}" = "x1"', 'test "x1" = "x1"'),
    ("altboot.cmd", "    setenv bootcount 0\n", ""),
    ("altboot.cmd", "    setenv upgrade_available 0\n", ""),
    ("altboot.cmd", "    setenv surefoot_fallback ${surefoot_txn}\n", ""),
    ("altboot.cmd", '|| test "x${surefoot_good}" = "xb"', ""),
    ("altboot.cmd", "    sf_back=b\n    if", "    sf_back=a\n    if"),
    ("altboot.cmd", "    saveenv\n", "    saveenv\n    saveenv\n"),
    ("altboot.cmd", 'if test -z "${sf_nested}"; then', 'if test -z ""; then'),
    ("altboot.cmd", "    setenv bootcount 0\n", "    saveenv\n    setenv bootcount 0\n"),
]


def mistakes(names):
    missed = []
    for number, (name, right, wrong) in enumerate(MISTAKES, 1):
        if names and str(number) not in names:
            continue
        with bench.scratch("surefoot-mistake-") as folder:
            scripts = Path(folder, "uboot-scripts")
            shutil.copytree(bench.SCRIPTS, scripts)
            text = (scripts / name).read_text()
            if text.count(right) != 1:
                sys.exit(f"boot-script: mistake {number}: {right!r} is {text.count(right)} times in {name}")
            (scripts / name).write_text(text.replace(right, wrong))
            done = subprocess.run([sys.executable, __file__, "--first", "BootScript"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  env={**os.environ, "SUREFOOT_UBOOT_SCRIPTS": str(scripts)})
        caught = [l.split()[1] for l in done.stdout.splitlines() if l.startswith("FAIL: ")]
        print(f"{number:3} {name}: {' '.join(wrong.split())[:60]!r}: {'caught by ' + caught[0] if caught else 'NOT CAUGHT'}", flush=True)
        if not caught:
            missed.append(number)
    print(f"boot-script: {len(names or MISTAKES)} mistakes, {len(missed)} not caught")
    sys.exit(1 if missed else 0)


def main():
    global work
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--mistakes" in sys.argv:
        mistakes(names)
    first = "--first" in sys.argv
    started = time.monotonic()
    for name in ("uboot-sandbox", "uboot-sandbox-stock"):
        bench.target(name)
    with bench.scratch("surefoot-boot-script-") as folder:
        work = Path(folder)
        loader = unittest.TestLoader()
        chosen = [t for s in (BootScript, Text) for t in loader.loadTestsFromTestCase(s)]
        if names:
            chosen = [t for t in chosen if any(part in t.id() for part in names)]
        result = unittest.TextTestRunner(verbosity=1, failfast=first).run(unittest.TestSuite(chosen))
    print(f"boot-script: {result.testsRun} tests, {boots} boots of the real U-Boot, {len(result.failures) + len(result.errors)} failures, "
          f"{len(result.skipped)} skipped, {time.monotonic() - started:.0f} s")
    if not chosen:
        sys.exit("boot-script: no test of that name")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()

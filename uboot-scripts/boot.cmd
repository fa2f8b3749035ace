# boot.cmd: which slot to boot, whether a trial may have another try, and what to do when a slot does not start.
# It never loops, never flips outside a trial, and writes the environment only to count (surefoot_counter=script) and,
# through altbootcmd, to give a trial up.  docs/uboot-environment.md explains every variable.
#
# House rules of this file.  U-Boot's shell is small and comes in two generations; what is written here runs in both.
#  - One command on a line; a line ends in `then`, `do` or `else`, or it is a whole command.  `make` joins the lines.
#  - Values are compared as "x${name}": an unset variable leaves a word, and a value such as -n is no operator.
#  - sf_* are variables of the shell, which no saveenv ever sees.  Commands can only set environment variables, so
#    surefoot_tmp, filesize, fileaddr, kernel_comp_size and bootargs are emptied before anything can be saved.
#  - No arithmetic (setexpr counts in hex and is often left out), no `exit`, no `break` (the old shell has none).

echo "surefoot: slot=${surefoot_slot} upgrade_available=${upgrade_available} bootcount=${bootcount} bootlimit=${bootlimit} txn=${surefoot_txn}"
setenv surefoot_tmp
setenv filesize
setenv fileaddr

# The disk: what standard boot or distro boot found this script on, or else the first MMC.
sf_type=mmc
sf_disk=0
if test -n "${devtype}"; then
    sf_type=${devtype}
fi
if test -n "${devnum}"; then
    sf_disk=${devnum}
fi

# The named slot and the other one.  Anything but b means a.
sf_named=a
sf_other=b
if test "x${surefoot_slot}" = "xb"; then
    sf_named=b
    sf_other=a
fi
sf_first=${sf_named}
sf_second=${sf_other}

# A trial.  sf_verdict: try, give-up (altbootcmd), or refuse (boot the good slot and write nothing).
sf_verdict=none
if test "x${upgrade_available}" = "x1"; then
    sf_good=${sf_other}
    sf_bad=${sf_named}
    if test "x${surefoot_good}" = "xa"; then
        sf_good=a
        sf_bad=b
    fi
    if test "x${surefoot_good}" = "xb"; then
        sf_good=b
        sf_bad=a
    fi
    # A try is left if the limit is 1 to 9 and this boot's number is not above it.  Where the script counts, this boot's
    # number is the stored one plus one; where U-Boot counts, it has already added it, so a 0 means that nobody counts.
    # Every other value, missing or garbage, has no number here and ends the trial.
    sf_verdict=give-up
    sf_before=0
    sf_number=
    for sf_i in 1 2 3 4 5 6 7 8 9; do
        if test "x${surefoot_counter}" = "xscript" && test "x${bootcount}" = "x${sf_before}"; then
            sf_number=${sf_i}
        fi
        if test "x${surefoot_counter}" = "xuboot" && test "x${bootcount}" = "x${sf_i}"; then
            sf_number=${sf_i}
        fi
        if test "x${bootlimit}" = "x${sf_i}" && test -n "${sf_number}"; then
            sf_verdict=try
        fi
        sf_before=${sf_i}
    done
    if test "x${sf_verdict}" = "xtry" && test "x${surefoot_counter}" = "xscript"; then
        setenv bootcount ${sf_number}
        if saveenv; then
            echo "surefoot: counted"
        else
            echo "surefoot: the count cannot be stored, so the trial is refused"
            sf_verdict=refuse
        fi
    fi
    if test "x${sf_verdict}" = "xtry"; then
        echo "surefoot: trial of slot ${sf_named}, boot ${sf_number} of ${bootlimit}"
    else
        sf_first=${sf_good}
        sf_second=${sf_bad}
    fi
    if test "x${sf_verdict}" = "xgive-up"; then
        echo "surefoot: no try left, giving the trial up"
        # altbootcmd ends in `run bootcmd` for U-Boot; from here it must come back instead.
        sf_nested=1
        run altbootcmd
        sf_nested=
        # Only matters where altbootcmd is missing: the trial is over for this boot at least.
        setenv upgrade_available 0
    fi
fi

for sf_slot in ${sf_first} ${sf_second}; do
    sf_ready=
    sf_trial=
    sf_twin=
    sf_place=
    if test "x${upgrade_available}" = "x1" && test "x${sf_slot}" = "x${sf_named}"; then
        sf_trial=1
    fi
    # By name; where the table has no names (MBR), by the number that the environment has.
    sf_given=${surefoot_part_a}
    if test "x${sf_slot}" = "xb"; then
        sf_given=${surefoot_part_b}
    fi
    setenv surefoot_tmp
    if part number ${sf_type} ${sf_disk} rootfs-${sf_slot} surefoot_tmp; then
        sf_given=
    fi
    if test -n "${sf_given}"; then
        setenv surefoot_tmp ${sf_given}
    fi
    if test -n "${surefoot_tmp}"; then
        sf_rootfs=${surefoot_tmp}
        # The kernel and what belongs to it come from the slot's boot part if it has one; such a part is mounted on /boot.
        sf_part=${surefoot_tmp}
        sf_boot=/boot
        if part number ${sf_type} ${sf_disk} boot-${sf_slot} surefoot_tmp; then
            sf_part=${surefoot_tmp}
            sf_boot=
        fi
        sf_kernel=${sf_boot}/Image
        if test -n "${surefoot_kernel}"; then
            sf_kernel=${surefoot_kernel}
        fi
        if load ${sf_type} ${sf_disk}:${sf_part} ${kernel_addr_r} ${sf_kernel}; then
            sf_ready=1
            setenv kernel_comp_size ${filesize}
            # An initramfs may be there; one that is named must be.
            sf_initrd=-
            sf_file=
            if test -n "${surefoot_initrd}"; then
                sf_file=${surefoot_initrd}
            else
                if test -e ${sf_type} ${sf_disk}:${sf_part} ${sf_boot}/initrd.img; then
                    sf_file=${sf_boot}/initrd.img
                fi
            fi
            if test -n "${sf_file}"; then
                if load ${sf_type} ${sf_disk}:${sf_part} ${ramdisk_addr_r} ${sf_file}; then
                    sf_initrd=${ramdisk_addr_r}:${filesize}
                else
                    sf_ready=
                fi
            fi
            sf_fdt=${fdtcontroladdr}
            if test -n "${surefoot_fdt}"; then
                if load ${sf_type} ${sf_disk}:${sf_part} ${fdt_addr_r} ${surefoot_fdt}; then
                    sf_fdt=${fdt_addr_r}
                else
                    sf_ready=
                fi
            fi
        fi
        setenv surefoot_tmp
        if part uuid ${sf_type} ${sf_disk}:${sf_rootfs} surefoot_tmp; then
            sf_root=PARTUUID=${surefoot_tmp}
            # Another card or eMMC may have been written from the same image, and the kernel would take whichever it finds
            # first. Then the root filesystem is named by its place: mmcblk has the number that U-Boot gives the card.
            sf_uuid=${surefoot_tmp}
            for sf_i in 0 1 2; do
                if test "x${sf_type}" = "xmmc" && test "x${sf_disk}" != "x${sf_i}"; then
                    setenv surefoot_tmp
                    if part uuid mmc ${sf_i}:${sf_rootfs} surefoot_tmp; then
                        if test "x${surefoot_tmp}" = "x${sf_uuid}"; then
                            sf_twin=${sf_i}
                        fi
                    fi
                fi
            done
            if test -n "${sf_twin}"; then
                echo "surefoot: mmc ${sf_twin} has the same partitions as mmc ${sf_disk}"
                for sf_i in 1 2 3 4 5 6 7 8 9; do
                    if test "x${sf_rootfs}" = "x0x${sf_i}" || test "x${sf_rootfs}" = "x${sf_i}"; then
                        sf_root=/dev/mmcblk${sf_disk}p${sf_i}
                        sf_place=mmc:${sf_disk}
                    fi
                done
            fi
        else
            sf_ready=
        fi
    fi
    if test -n "${sf_ready}"; then
        setenv bootargs "root=${sf_root} ro rootwait surefoot.slot=${sf_slot} surefoot.script=1 ${surefoot_args}"
        if test -n "${sf_place}"; then
            setenv bootargs "${bootargs} surefoot.disk=${sf_place}"
        fi
        if test -n "${sf_trial}"; then
            # Last on the line, so that they win: a panic and a userspace that never comes are failed boots too.
            if test -n "${surefoot_panic}"; then
                setenv bootargs "${bootargs} panic=${surefoot_panic} watchdog.open_timeout=180"
            else
                setenv bootargs "${bootargs} panic=10 watchdog.open_timeout=180"
            fi
            if test -n "${surefoot_wdt}"; then
                if test -n "${surefoot_wdt_dev}"; then
                    wdt dev ${surefoot_wdt_dev}
                fi
                wdt start ${surefoot_wdt}000
            fi
        fi
        echo "surefoot: starting slot ${sf_slot}"
        if test -n "${surefoot_go}"; then
            run surefoot_go
        else
            booti ${kernel_addr_r} ${sf_initrd} ${sf_fdt}
        fi
        # Still here: it was no kernel.
        if test -n "${sf_trial}" && test -n "${surefoot_wdt}"; then
            wdt stop
        fi
    fi
    echo "surefoot: slot ${sf_slot} cannot be started"
    setenv surefoot_tmp
    setenv kernel_comp_size
    setenv bootargs
    setenv filesize
    setenv fileaddr
    if test -n "${sf_trial}"; then
        # At once: a kernel that cannot be started now will not start at the next boot either.
        sf_nested=1
        run altbootcmd
        sf_nested=
        setenv upgrade_available 0
    fi
done

echo "surefoot: neither slot can be started"
if test -n "${surefoot_rescue}"; then
    run surefoot_rescue
fi

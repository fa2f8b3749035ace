# load.cmd: the variable surefoot_boot where the script lies on the boot partition: finds that partition by name, or by the
# number in surefoot_part_boot where the table has no names (MBR), and runs boot.scr from it.  boot.cmd empties the three
# variables that this leaves behind.
setenv surefoot_tmp ${surefoot_part_boot}
part number ${devtype} ${devnum} boot surefoot_tmp
if test -n "${surefoot_tmp}"; then
    if load ${devtype} ${devnum}:${surefoot_tmp} ${scriptaddr} boot.scr; then
        source ${scriptaddr}
    fi
fi

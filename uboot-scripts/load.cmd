# load.cmd: the variable surefoot_boot where the script lies on the boot partition: finds that partition by name and runs
# boot.scr from it.  boot.cmd empties the three variables that this leaves behind.
if part number ${devtype} ${devnum} boot surefoot_tmp; then
    if load ${devtype} ${devnum}:${surefoot_tmp} ${scriptaddr} boot.scr; then
        source ${scriptaddr}
    fi
fi

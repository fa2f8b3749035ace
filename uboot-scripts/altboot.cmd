# altboot.cmd: the variable altbootcmd.  Gives a trial up in one saveenv, then boots what surefoot_slot says.
# Run by U-Boot itself when its counter passes bootlimit, or by boot.cmd, which sets sf_nested and goes on by itself.
# Outside a trial it changes nothing, so a second run, or a cut between its write and the boot, is harmless.
if test "x${upgrade_available}" = "x1"; then
    sf_back=b
    if test "x${surefoot_slot}" = "xb"; then
        sf_back=a
    fi
    if test "x${surefoot_good}" = "xa" || test "x${surefoot_good}" = "xb"; then
        sf_back=${surefoot_good}
    fi
    setenv surefoot_slot ${sf_back}
    setenv upgrade_available 0
    setenv bootcount 0
    setenv surefoot_fallback ${surefoot_txn}
    echo "surefoot: trial ${surefoot_txn} given up, back to slot ${sf_back}"
    saveenv
fi
if test -z "${sf_nested}"; then
    run bootcmd
fi

# For recipes that use the layer's variables: names that are none of the layer's, and a layout that cannot be, are told at parse time.

python () {
    wrong = surefoot.misspelt(d.keys())
    if not bb.utils.contains("DISTRO_FEATURES", "surefoot", True, False, d):
        raise bb.parse.SkipRecipe("put `require conf/distro/include/surefoot.inc` into local.conf or the distribution")
    wrong += surefoot.layout_mistakes(d)
    if wrong:
        bb.fatal("%s: %s" % (d.getVar("PN"), "\n".join(wrong)))
}

# Names of variables that begin with SUREFOOT_ and are none of the layer's stop the parse: a misspelt one would be a default in the field.

addhandler surefoot_names
surefoot_names[eventmask] = "bb.event.ConfigParsed"
python surefoot_names () {
    wrong = surefoot.misspelt(e.data.keys())
    if wrong:
        bb.fatal("\n".join(wrong) + "\ndocs/yocto.md has a table of all variables.")
}

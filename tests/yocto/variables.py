"""The layer's variables without BitBake: the defaults of surefoot.inc, values of the caller's on top, expanded as BitBake does it."""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
LAYER = TOP / "yocto-layer"
sys.path.insert(0, str(LAYER / "lib"))
sys.dont_write_bytecode = True
import surefoot  # noqa: E402

DEFAULTS = LAYER / "conf/distro/include/surefoot.inc"


def defaults():
    """NAME -> unexpanded default, of the weak assignments."""
    return dict(re.findall(r'^(SUREFOOT_\w+) \?\?= "(.*)"$', DEFAULTS.read_text(), re.M))


class Variables:
    """What the layer's functions call `d`."""

    def __init__(self, **values):
        self.values = {**defaults(), "MACHINE": "qemuarm64", "MACHINEOVERRIDES": values.get("MACHINE", "qemuarm64"), "TARGET_ARCH": "aarch64",
                       "KERNEL_IMAGETYPE": "Image", "SERIAL_CONSOLES": "115200;ttyAMA0", "DISTRO_FEATURES": "surefoot systemd usrmerge",
                       "SUREFOOT_LAYERDIR": str(LAYER), "SUREFOOT_PRODUCT": "acme-gateway", "BP": "surefoot-0"}
        self.values.update(values)

    def getVar(self, name):
        value = self.values.get(name)
        return value if value is None else self.expand(value)

    def expand(self, text):
        """`${NAME}` and `${@expression}`; a name that is not known stands as it is."""
        for _ in range(20):
            before = text
            text = re.sub(r"\$\{@(.+?)\}", lambda m: str(eval(m[1], {"d": self, "surefoot": surefoot})), text)
            text = re.sub(r"\$\{(\w+)\}", lambda m: m[0] if self.values.get(m[1]) is None else self.values[m[1]], text)
            if text == before:
                break
        return text


def fragments(d):
    """The fragments of U-Boot's configuration that the layer adds for `d`, as one text."""
    folder = LAYER / "recipes-bsp/u-boot/files"
    return "".join(surefoot.fragment((folder / name).read_text(), d) for name in surefoot.fragment_files(d).split())


if __name__ == "__main__":
    # variables.py fragments                      prints the fragments at the defaults
    # variables.py buildroot                      what buildroot's example has of them
    # variables.py lost CONFIG                    what a finished .config has lost of them; status 1 if anything
    if sys.argv[1:] == ["fragments"]:
        print(fragments(Variables(SUREFOOT_FSTYPE="squashfs")) + fragments(Variables(SUREFOOT_FSTYPE="erofs")), end="")
    elif sys.argv[1:] == ["buildroot"]:
        print(fragments(Variables()), end="")
    elif sys.argv[1] == "lost":
        lost = surefoot.lost(fragments(Variables()), Path(sys.argv[2]).read_text())
        sys.exit("\n".join(lost) if lost else 0)
    else:
        sys.exit(64)

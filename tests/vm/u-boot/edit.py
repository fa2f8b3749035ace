#!/usr/bin/env python3
"""edit.py sandbox|arm64 TREE: the bench's changes to a U-Boot tree, made by pattern; nothing of U-Boot is copied here.

None of them touches the code under test: environment, boot counter, shell, partition and file system code stay as they are.
"""
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def edit(path, pattern, replacement, flags=0):
    text = path.read_text()
    new, count = re.subn(pattern, lambda _: replacement, text, flags=flags)
    if count != 1:
        sys.exit(f"edit.py: {path}: expected one place for {pattern!r}, found {count}")
    path.write_text(new)


def sandbox(tree):
    # The sandbox board has a fixed list of places for the environment; without this ENV_IS_IN_MMC is never asked.
    # NOWHERE must not be on it: a card with two dead copies would then be saved nowhere for the rest of the run.
    edit(tree / "board/sandbox/sandbox.c", r"(?<=env_locations\[\] = \{)[^}]*(?=\})", "\n\tENVL_MMC,\n")

    # The power plug, steered from the host's environment:
    #   UB_CUT=n [UB_TORN=b]  the process ends with status 99 after n sectors written, b bytes of the next still landing
    #   UB_FAIL=n             every sector write after the n-th fails, as on a worn-out or write-protected card
    card = tree / "drivers/mmc/sandbox_mmc.c"
    edit(card, r"memcpy\(&priv->buf\[cmd->cmdarg \* data->blocksize\], data->src,\s*data->blocks \* data->blocksize\);",
         "if (surefoot_write(&priv->buf[cmd->cmdarg * data->blocksize], data->src, data->blocks * data->blocksize))\n"
         "\t\t\treturn -EIO;")
    edit(card, r"(?=struct sandbox_mmc_plat \{)", """\
static int surefoot_write(char *to, const char *from, ulong length)
{
	static long written;
	long cut = os_surefoot_number("UB_CUT", -1), fail = os_surefoot_number("UB_FAIL", -1);

	for (; length; length -= 512, to += 512, from += 512, written++) {
		if (fail >= 0 && written >= fail)
			return -1;
		if (cut >= 0 && written >= cut) {
			memcpy(to, from, os_surefoot_number("UB_TORN", 0));
			os_exit(99);
		}
		memcpy(to, from, 512);
	}
	return 0;
}

""")
    edit(tree / "include/os.h", r"(?=#endif\s*\Z)", "long os_surefoot_number(const char *name, long otherwise);\n\n")
    with open(tree / "arch/sandbox/cpu/os.c", "a") as host:
        host.write("""
long os_surefoot_number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtol(text, NULL, 10) : otherwise;
}
""")

    # The board's memory is fresh from the host and so zero already; zeroing 128 MiB again was most of the time of a boot.
    edit(tree / "arch/sandbox/cpu/start.c", r"memset\(state->ram_buf, '\\0', state->ram_size\);", ";")

    # UB_MODERN=1 starts the modern shell; `cli set modern` would drop the rest of the line it stands on.
    shell = tree / "common/cli.c"
    edit(shell, r"if \(CONFIG_IS_ENABLED\(HUSH_OLD_PARSER\)\)(?=\s*gd->flags \|=)",
         'if (CONFIG_IS_ENABLED(HUSH_OLD_PARSER) && !os_surefoot_number("UB_MODERN", 0))')
    edit(shell, r"(?m)^(?=#include <cli\.h>)", "#include <os.h>\n")

    shutil.copy(HERE / "stand_in.c", tree / "cmd/surefoot_stand_in.c")
    with open(tree / "cmd/Makefile", "a") as makefile:
        makefile.write("\nobj-y += surefoot_stand_in.o\n")


def arm64(tree):
    # On a PCI host the card is only there once PCI is up, which is after the environment has been looked for.
    # The early place exists but hangs on a symbol that Kconfig lost.
    edit(tree / "common/board_r.c", r"defined\(CONFIG_PCI_INIT_R\) && defined\(CONFIG_SYS_EARLY_PCI_INIT\)",
         "defined(CONFIG_PCI_INIT_R)")


if __name__ == "__main__":
    {"sandbox": sandbox, "arm64": arm64}[sys.argv[1]](Path(sys.argv[2]))

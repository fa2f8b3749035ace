/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the kernel in the sandbox: takes booti's name and arguments, says on one line what would have been started,
 * and switches off.  So the boot script runs as shipped, and nothing of the bench ends up in a saved environment.
 *
 * A kernel whose first bytes are "NOSTART" is refused, as booti refuses what is no kernel image: the command returns.
 */
#include <command.h>
#include <env.h>
#include <hash.h>
#include <mapmem.h>
#include <os.h>
#include <string.h>
#include <vsprintf.h>
#include <u-boot/sha256.h>
#include <asm/state.h>

static int do_stand_in(struct cmd_tbl *cmdtp, int flag, int argc, char *const argv[])
{
	const struct sandbox_state *state = state_get_current();
	ulong size = env_get_hex("kernel_comp_size", 0);
	u8 sum[SHA256_SUM_LEN];
	const char *args = env_get("bootargs");
	const void *kernel;
	int i;

	if (argc != 4) {
		printf("SUREFOOT-STAND-IN argc=%d\n", argc);
		return CMD_RET_USAGE;
	}
	kernel = map_sysmem(hextoul(argv[1], NULL), size);
	if (size >= 7 && !memcmp(kernel, "NOSTART", 7)) {
		printf("SUREFOOT-STAND-IN refused\n");
		return CMD_RET_FAILURE;
	}
	sha256_csum_wd(kernel, size, sum, CHUNKSZ_SHA256);
	printf("SUREFOOT-BOOT size=%lu sha256=", size);
	for (i = 0; i < SHA256_SUM_LEN; i++)
		printf("%02x", sum[i]);
	printf(" initrd=%s fdt=%s watchdog=%ld args=%s\n", argv[2], argv[3],
	       state->wdt.running ? (long)state->wdt.counter : 0L, args ? args : "");
	os_exit(0);
	return 0;
}

U_BOOT_CMD(booti, 4, 0, do_stand_in, "say which kernel would start, and switch off", "KERNEL INITRD FDT");

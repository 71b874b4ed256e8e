// SPDX-License-Identifier: GPL-2.0
/*
 * A TCG plugin of QEMU for `bench`, with two duties; each is asked for by an argument:
 *
 * hold=on: a store to a submission doorbell of an emulated NVMe drive takes until QEMU has
 *	done all that it asked for, and no time at all in the guest, whose clock counts
 *	instructions. Otherwise the drive would answer some time later, after more or
 *	fewer instructions, as busy as the host is. The drive must be one of QEMU's main
 *	thread alone (null-co): when that thread sleeps, the drive is done.
 *
 * profile=FILE: count the instructions of each block of code between two markers, which
 *	the guest executes, and write "ADDRESS COUNT" lines to FILE.1, the next time to
 *	FILE.2, and so on.
 *
 * A marker is a long no-op whose displacement is "stor" in ASCII, plus 0 or 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "qemu-plugin.h"

#define SLOTS 0x100000		/* different blocks; the kernel and fio have some 100 000 */
#define MARKER 0x726f7473u	/* "stor" */

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

static int hold = -1;		/* /proc/.../stat of QEMU's main thread */
static const char *profile;
static struct qemu_plugin_scoreboard *score;
static __u64 *addresses;	/* of the block in each slot, 0 in an empty one */
static __u64 *before;	/* the counters at the first marker */

/* The slot of a block; a block that is translated again gets its old one. */
static size_t slot_of(__u64 address)
{
	size_t i = (address * 0x9e3779b97f4a7c15ull) >> 44;

	for (size_t n = 0; n < SLOTS; n++, i = (i + 1) % SLOTS) {
		if (!addresses[i])
			addresses[i] = address;
		if (addresses[i] == address)
			return i;
	}
	abort();
}

static void at_marker(unsigned int cpu, void *data)
{
	const __u64 *now = qemu_plugin_scoreboard_find(score, cpu);
	static int times;
	char name[4096];
	FILE *file;

	if (!data) {
		memcpy(before, now, SLOTS * sizeof(*now));
		return;
	}
	snprintf(name, sizeof(name), "%s.%d", profile, ++times);
	file = fopen(name, "w");
	if (!file) {
		perror(name);
		exit(1);
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (now[i] != before[i])
			fprintf(file, "%llx %llu\n", (unsigned long long)addresses[i],
				(unsigned long long)(now[i] - before[i]));
	if (fclose(file)) {
		perror(name);
		exit(1);
	}
}

/* Whether QEMU's main thread waits for something to do. */
static bool main_sleeps(void)
{
	char stat[256] = {};
	const char *state;

	if (pread(hold, stat, sizeof(stat) - 1, 0) <= 0)
		abort();
	state = strrchr(stat, ')');
	return state && !strncmp(state, ") S", 3);
}

static void after_store(unsigned int cpu, __u32 info, __u64 vaddr, void *data)
{
	const struct timespec pause = { .tv_nsec = 5000 };
	static bool precise;
	struct qemu_plugin_hwaddr *where;

	(void)cpu;
	(void)data;
	/*
	 * Doorbells begin with a page, those of submission and completion taking turns, 4
	 * bytes each: one pair for the admin queue, then one CPU's queue and its polled one.
	 * Most stores are ruled out by that, before it is looked up where they go.
	 */
	if (vaddr & 0xfe7)
		return;
	where = qemu_plugin_get_hwaddr(info, vaddr);
	if (!where || !qemu_plugin_hwaddr_is_io(where) ||
	    strcmp(qemu_plugin_hwaddr_device_name(where), "nvme"))
		return;
	if (!precise)
		precise = !prctl(PR_SET_TIMERSLACK, 1);
	/* Twice: it may have waited for a lock, for a moment. */
	for (int sleeps = 0; sleeps < 2; sleeps = main_sleeps() ? sleeps + 1 : 0)
		nanosleep(&pause, NULL);
}

static void translate(__u64 id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	bool kernel = qemu_plugin_tb_vaddr(tb) >> 63;
	struct qemu_plugin_u64 entry;

	(void)id;
	if (profile) {
		/* Programs are told apart by nobody: one address stands for all of them. */
		entry.score = score;
		entry.offset = slot_of(kernel ? qemu_plugin_tb_vaddr(tb) : 1) * sizeof(__u64);
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
								  entry, n);
	}
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		__u8 code[8] = {};
		__u32 word;

		qemu_plugin_insn_data(insn, code, sizeof(code));
		/* writel() is a plain 32-bit mov to memory, with or without a REX prefix. */
		if (kernel && hold >= 0 &&
		    (code[0] == 0x89 || ((code[0] & 0xf8) == 0x40 && code[1] == 0x89)))
			qemu_plugin_register_vcpu_mem_cb(insn, after_store, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_W, NULL);
		memcpy(&word, code + 4, sizeof(word));
		if (!kernel && profile && !memcmp(code, "\x0f\x1f\x84\x00", 4) &&
		    (word == MARKER || word == MARKER + 1))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_marker,
							       QEMU_PLUGIN_CB_NO_REGS,
							       word == MARKER ? NULL : insn);
	}
}

__attribute__((visibility("default")))
int qemu_plugin_install(__u64 id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "hold=on")) {
			char name[64];

			snprintf(name, sizeof(name), "/proc/self/task/%d/stat", (int)getpid());
			hold = open(name, O_RDONLY | O_CLOEXEC);
			if (hold < 0) {
				perror(name);
				return -1;
			}
		} else if (!strncmp(argv[i], "profile=", 8)) {
			profile = strdup(argv[i] + 8);
		} else {
			fprintf(stderr, "icount plugin: unknown argument %s\n", argv[i]);
			return -1;
		}
	}
	if (profile) {
		addresses = calloc(SLOTS, sizeof(*addresses));
		before = calloc(SLOTS, sizeof(*before));
		score = qemu_plugin_scoreboard_new(SLOTS * sizeof(__u64));
		if (!addresses || !before)
			return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}

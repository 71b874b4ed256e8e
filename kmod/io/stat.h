/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is counted of a volume, on each CPU by itself.
 */
#ifndef _STOR_STAT_H
#define _STOR_STAT_H

#include <linux/percpu.h>
#include <linux/types.h>

/* Sizes of what is counted; Rust holds them against the interface's. */
#define STOR_STAT_OPS 4
#define STOR_STAT_STAGES 4
#define STOR_STAT_STATUSES 13
#define STOR_STAT_HISTOGRAMS (STOR_STAT_OPS * STOR_STAT_STAGES)

/**
 * enum stor_stat_work - work on data that is counted apart
 * @STOR_STAT_ENCRYPTING: of writes, on their way down
 * @STOR_STAT_DECRYPTING: of reads, on their way up
 * @STOR_STAT_WORKS: how many there are
 */
enum stor_stat_work {
	STOR_STAT_ENCRYPTING,
	STOR_STAT_DECRYPTING,
	STOR_STAT_WORKS,
};

/**
 * struct stor_counters - what one CPU has counted of a volume
 * @started: I/Os begun, by op
 * @done: I/Os ended, by op
 * @bytes: bytes of I/Os that ended well, by op
 * @failed: I/Os that failed, by status
 * @worked: bytes that were worked on, by what was done to them
 */
struct stor_counters {
	u64 started[STOR_STAT_OPS];
	u64 done[STOR_STAT_OPS];
	u64 bytes[STOR_STAT_OPS];
	u64 failed[STOR_STAT_STATUSES];
	u64 worked[STOR_STAT_WORKS];
};

/**
 * struct stor_stat - what is counted of a volume
 * @counters: those of each CPU
 * @histogram: buckets of each CPU, by op and stage; NULL where there can be none
 */
struct stor_stat {
	struct stor_counters __percpu *counters;
	u64 __percpu *histogram[STOR_STAT_HISTOGRAMS];
};

int stor_stat_init(struct stor_stat *stat, bool works);
void stor_stat_exit(struct stor_stat *stat);
void stor_stat_start(const struct stor_stat *stat, unsigned int op, u64 n);
void stor_stat_end(const struct stor_stat *stat, unsigned int op,
		   unsigned int bytes, unsigned int total, unsigned int lower);
void stor_stat_failed(const struct stor_stat *stat, unsigned int op,
		      unsigned int status, unsigned int total,
		      unsigned int lower);
void stor_stat_worked(const struct stor_stat *stat, enum stor_stat_work work,
		      unsigned int bytes, unsigned int time);
void stor_stat_read(const u64 __percpu *from, unsigned int n, int cpu, u64 *to);
int stor_stat_next_cpu(unsigned int cpu);

#endif /* _STOR_STAT_H */

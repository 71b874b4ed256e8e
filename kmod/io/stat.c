// SPDX-License-Identifier: GPL-2.0
/*
 * Counters, one of each on every CPU. this_cpu_add() is one instruction: nothing
 * is lost to an interrupt, nor if the task is moved to another CPU.
 */
#include <linux/blk_types.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <uapi/stor.h>

#include "stat.h"

/* Stages that every volume has; the others are of one op each. */
#define COMMON_STAGES 2

/* The histogram of the time that work takes. */
static unsigned int time_of(enum stor_stat_work work)
{
	unsigned int op = work == STOR_STAT_ENCRYPTING ? REQ_OP_WRITE : REQ_OP_READ;

	return op * STOR_STAT_STAGES + COMMON_STAGES + work;
}

static int new_histogram(struct stor_stat *stat, unsigned int i)
{
	stat->histogram[i] = __alloc_percpu(STOR_STAT_BUCKETS * sizeof(u64),
					    SMP_CACHE_BYTES);
	return stat->histogram[i] ? 0 : -ENOMEM;
}

/**
 * stor_stat_init - make counters that are all 0
 * @stat: where
 * @works: whether data is worked on
 *
 * Return: 0 or -ENOMEM.
 */
int stor_stat_init(struct stor_stat *stat, bool works)
{
	unsigned int i;
	int err = 0;

	memset(stat, 0, sizeof(*stat));
	stat->counters = alloc_percpu(struct stor_counters);
	if (!stat->counters)
		return -ENOMEM;
	for (i = 0; !err && i < STOR_STAT_HISTOGRAMS; i++)
		if (i % STOR_STAT_STAGES < COMMON_STAGES)
			err = new_histogram(stat, i);
	for (i = 0; !err && works && i < STOR_STAT_WORKS; i++)
		err = new_histogram(stat, time_of(i));
	if (err)
		stor_stat_exit(stat);
	return err;
}

/**
 * stor_stat_exit - free counters
 * @stat: the counters; nobody counts any more
 */
void stor_stat_exit(struct stor_stat *stat)
{
	unsigned int i;

	free_percpu(stat->counters);
	for (i = 0; i < STOR_STAT_HISTOGRAMS; i++)
		free_percpu(stat->histogram[i]);
}

/**
 * stor_stat_start - count I/Os that begin
 * @stat: the counters
 * @op: what they do
 * @n: how many; ~0 takes one back
 *
 * Context: any.
 */
void stor_stat_start(const struct stor_stat *stat, unsigned int op, u64 n)
{
	this_cpu_add(stat->counters->started[op], n);
}

/**
 * stor_stat_end - count an I/O that has ended well
 * @stat: the counters
 * @op: what it did
 * @bytes: how much
 * @total: bucket of its whole time
 * @lower: bucket of its time below
 *
 * Context: any.
 */
void stor_stat_end(const struct stor_stat *stat, unsigned int op,
		   unsigned int bytes, unsigned int total, unsigned int lower)
{
	this_cpu_inc(stat->counters->done[op]);
	this_cpu_add(stat->counters->bytes[op], bytes);
	this_cpu_inc(stat->histogram[op * STOR_STAT_STAGES][total]);
	this_cpu_inc(stat->histogram[op * STOR_STAT_STAGES + 1][lower]);
}

/**
 * stor_stat_failed - count an I/O that has failed
 * @stat: the counters
 * @op: what it was to do
 * @status: how, a number of the interface
 * @total: bucket of its whole time
 * @lower: bucket of its time below; STOR_STAT_BUCKETS if it was never there
 *
 * Context: any.
 */
void stor_stat_failed(const struct stor_stat *stat, unsigned int op,
		      unsigned int status, unsigned int total,
		      unsigned int lower)
{
	this_cpu_inc(stat->counters->done[op]);
	this_cpu_inc(stat->counters->failed[status]);
	this_cpu_inc(stat->histogram[op * STOR_STAT_STAGES][total]);
	if (lower < STOR_STAT_BUCKETS)
		this_cpu_inc(stat->histogram[op * STOR_STAT_STAGES + 1][lower]);
}

/**
 * stor_stat_worked - count work on the data of an I/O
 * @stat: the counters; those not made for work count none
 * @work: what was done
 * @bytes: how much data
 * @time: bucket of how long it took
 *
 * Context: any.
 */
void stor_stat_worked(const struct stor_stat *stat, enum stor_stat_work work,
		      unsigned int bytes, unsigned int time)
{
	if (unlikely(!stat->histogram[time_of(work)]))
		return;
	this_cpu_add(stat->counters->worked[work], bytes);
	this_cpu_inc(stat->histogram[time_of(work)][time]);
}

/**
 * stor_stat_read - read counters
 * @from: the first of them
 * @n: how many
 * @cpu: of this CPU, or -1 for the sum of all
 * @to: where to
 */
void stor_stat_read(const u64 __percpu *from, unsigned int n, int cpu, u64 *to)
{
	unsigned int i;
	int c;

	memset(to, 0, n * sizeof(*to));
	for_each_possible_cpu(c) {
		const u64 *one = per_cpu_ptr(from, c);

		if (cpu >= 0 && c != cpu)
			continue;
		for (i = 0; i < n; i++)
			to[i] += READ_ONCE(one[i]);
	}
}

/**
 * stor_stat_next_cpu - the first CPU that counters exist for, from a number on
 * @cpu: that number
 *
 * Return: its number, or -1.
 */
int stor_stat_next_cpu(unsigned int cpu)
{
	unsigned int next;

	if (cpu >= nr_cpu_ids)
		return -1;
	next = cpumask_next((int)cpu - 1, cpu_possible_mask);
	return next < nr_cpu_ids ? (int)next : -1;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for what a write is sealed into.
 *
 * It comes in single pages, of which each CPU keeps some to use them again: a
 * stock kernel clears what it allocates, which would cost more than all the
 * rest here, and large blocks would take locks that all CPUs share.
 *
 * All writes together have at most a part of the memory. One half of that is for
 * whoever comes first, and the other has an equal share for each volume: what a
 * backing that hangs keeps from coming back is not missed by other volumes.
 *
 * When memory is scarce, or there is no share left, there is a reserve for each
 * volume, enough for one write. Whoever has it is on the way through the lower
 * device, and gives it back without asking for anything; everybody else comes
 * again.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/percpu_counter.h>
#include <linux/slab.h>

#include "shim.h"

/* Pages that a CPU keeps: 2 MiB of 4 KiB each. */
#define STOR_KEPT_PAGES 512

/* All writes together have at most this part of the memory: 2 %. */
#define STOR_SHARE 50

/* By how much a CPU may be ahead of the others in counting. */
#define STOR_COUNT_BATCH 1024

#define STOR_BOUNCE_GFP (GFP_NOWAIT | __GFP_NORETRY | __GFP_NOMEMALLOC)

struct stor_kept {
	unsigned int count;
	struct page *pages[STOR_KEPT_PAGES];
};

/* Used with interrupts off: a write may end in one. */
static struct stor_kept __percpu *stor_kept;

/* Pages that writes have, but for those of reserves. */
static struct percpu_counter stor_in_use;
/* Half of what they may have at most. */
static long stor_in_use_half;
/* Volumes that share the other half. */
static atomic_t stor_sharers = ATOMIC_INIT(0);

/**
 * stor_shim_bounce_init - prepare for writes that are sealed
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_bounce_init(void)
{
	stor_in_use_half = totalram_pages() / STOR_SHARE / 2;
	stor_kept = alloc_percpu(struct stor_kept);
	if (!stor_kept)
		return -ENOMEM;
	if (percpu_counter_init(&stor_in_use, 0, GFP_KERNEL)) {
		free_percpu(stor_kept);
		return -ENOMEM;
	}
	return 0;
}

/**
 * stor_shim_bounce_exit - free the pages that are kept
 *
 * Nobody may use bounce pages any more.
 */
void stor_shim_bounce_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct stor_kept *kept = per_cpu_ptr(stor_kept, cpu);

		while (kept->count)
			__free_page(kept->pages[--kept->count]);
	}
	free_percpu(stor_kept);
	percpu_counter_destroy(&stor_in_use);
}

/* Takes pages into a table, each of them full but for the last. */
static bool stor_pages_get(struct bio_vec *table, unsigned int n,
			   unsigned int bytes)
{
	struct stor_kept *kept;
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	kept = this_cpu_ptr(stor_kept);
	for (i = 0; i < n && kept->count; i++)
		table[i].bv_page = kept->pages[--kept->count];
	local_irq_restore(flags);
	for (; i < n; i++) {
		table[i].bv_page = alloc_page(STOR_BOUNCE_GFP);
		if (!table[i].bv_page)
			goto free;
	}
	for (i = 0; i < n; i++) {
		table[i].bv_offset = 0;
		table[i].bv_len = min_t(unsigned int, bytes, PAGE_SIZE);
		bytes -= table[i].bv_len;
	}
	return true;
free:
	while (i--)
		__free_page(table[i].bv_page);
	return false;
}

static void stor_pages_put(struct bio_vec *table, unsigned int n)
{
	struct stor_kept *kept;
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	kept = this_cpu_ptr(stor_kept);
	for (i = 0; i < n && kept->count < STOR_KEPT_PAGES; i++)
		kept->pages[kept->count++] = table[i].bv_page;
	local_irq_restore(flags);
	for (; i < n; i++)
		__free_page(table[i].bv_page);
}

/**
 * stor_shim_reserve_init - make the reserve of a volume
 * @reserve: what to make
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_reserve_init(struct stor_reserve *reserve)
{
	unsigned int i;

	reserve->taken = 0;
	reserve->in_use = alloc_percpu(unsigned int);
	if (!reserve->in_use)
		return -ENOMEM;
	for (i = 0; i < STOR_BOUNCE_PAGES; i++) {
		reserve->pages[i] = alloc_page(GFP_KERNEL);
		if (!reserve->pages[i])
			goto free;
	}
	atomic_inc(&stor_sharers);
	return 0;
free:
	while (i--)
		__free_page(reserve->pages[i]);
	free_percpu(reserve->in_use);
	return -ENOMEM;
}

void stor_shim_reserve_exit(struct stor_reserve *reserve)
{
	unsigned int i;

	atomic_dec(&stor_sharers);
	for (i = 0; i < STOR_BOUNCE_PAGES; i++)
		__free_page(reserve->pages[i]);
	free_percpu(reserve->in_use);
}

/* Whether a volume may have so many pages more, of its own share. */
static bool stor_has_share(struct stor_reserve *reserve, unsigned int n)
{
	unsigned int pages = n;
	int cpu;

	/*
	 * Pages may be given back on another CPU than they were taken on: single
	 * counters may wrap, and the sum does not mind.
	 */
	for_each_possible_cpu(cpu)
		pages += READ_ONCE(*per_cpu_ptr(reserve->in_use, cpu));
	return (int)pages <= stor_in_use_half / atomic_read(&stor_sharers);
}

/* Memory that is not the reserve's, if there is any. */
static bool stor_bounce_get(struct stor_bounce *bounce, unsigned int n,
			    unsigned int bytes, struct stor_reserve *reserve)
{
	if (unlikely(percpu_counter_read(&stor_in_use) >= stor_in_use_half) &&
	    !stor_has_share(reserve, n))
		return false;
	bounce->table = &bounce->single;
	bounce->kind = STOR_BOUNCE_PAGE;
	if (n > 1) {
		bounce->table = kmalloc_objs(*bounce->table, n,
					     STOR_BOUNCE_GFP);
		bounce->kind = STOR_BOUNCE_TABLE;
		if (!bounce->table)
			return false;
	}
	if (!stor_pages_get(bounce->table, n, bytes)) {
		if (n > 1)
			kfree(bounce->table);
		return false;
	}
	percpu_counter_add_batch(&stor_in_use, n, STOR_COUNT_BATCH);
	this_cpu_add(*reserve->in_use, n);
	return true;
}

/**
 * stor_shim_bounce_get - get memory to seal a write into
 * @bounce: filled in, with a table that a bio may have
 * @bytes: how much, 1 to STOR_BOUNCE_PAGES pages
 * @reserve: the volume's
 *
 * Context: any.
 * Return: false if there is none, not even the reserve.
 */
bool stor_shim_bounce_get(struct stor_bounce *bounce, unsigned int bytes,
			  struct stor_reserve *reserve)
{
	unsigned int i;

	bounce->count = DIV_ROUND_UP(bytes, PAGE_SIZE);
	if (likely(stor_bounce_get(bounce, bounce->count, bytes, reserve)))
		return true;
	if (test_and_set_bit_lock(0, &reserve->taken))
		return false;
	bounce->kind = STOR_BOUNCE_RESERVE;
	bounce->table = reserve->table;
	for (i = 0; i < bounce->count; i++) {
		unsigned int len = min_t(unsigned int, bytes, PAGE_SIZE);

		bvec_set_page(&bounce->table[i], reserve->pages[i], len, 0);
		bytes -= len;
	}
	return true;
}

/**
 * stor_shim_bounce_put - give back what stor_shim_bounce_get() gave
 * @bounce: what it has filled in
 * @reserve: the volume's
 *
 * Context: any.
 */
void stor_shim_bounce_put(struct stor_bounce *bounce,
			  struct stor_reserve *reserve)
{
	if (unlikely(bounce->kind == STOR_BOUNCE_RESERVE)) {
		clear_bit_unlock(0, &reserve->taken);
		return;
	}
	stor_pages_put(bounce->table, bounce->count);
	percpu_counter_add_batch(&stor_in_use, -(s64)bounce->count,
				 STOR_COUNT_BATCH);
	this_cpu_sub(*reserve->in_use, bounce->count);
	if (bounce->kind == STOR_BOUNCE_TABLE)
		kfree(bounce->table);
}

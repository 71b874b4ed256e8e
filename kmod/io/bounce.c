// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for what a write is encrypted into.
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

#include "bounce.h"

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

/**
 * stor_memory_init - prepare for writes that are encrypted
 * @memory: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_memory_init(struct stor_memory *memory)
{
	memory->half = totalram_pages() / STOR_SHARE / 2;
	atomic_set(&memory->sharers, 0);
	memory->kept = alloc_percpu(struct stor_kept);
	if (!memory->kept)
		return -ENOMEM;
	if (percpu_counter_init(&memory->in_use, 0, GFP_KERNEL)) {
		free_percpu(memory->kept);
		return -ENOMEM;
	}
	return 0;
}

/**
 * stor_memory_exit - free the pages that are kept
 * @memory: what nobody uses any more
 */
void stor_memory_exit(struct stor_memory *memory)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct stor_kept *kept = per_cpu_ptr(memory->kept, cpu);

		while (kept->count)
			__free_page(kept->pages[--kept->count]);
	}
	free_percpu(memory->kept);
	percpu_counter_destroy(&memory->in_use);
}

/* Takes pages into a table, each of them full but for the last. */
static bool stor_pages_get(struct stor_memory *memory, struct bio_vec *table,
			   unsigned int n, unsigned int bytes)
{
	struct stor_kept *kept;
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	kept = this_cpu_ptr(memory->kept);
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

/*
 * Whether nobody else has a page. A network may still have it, in what it would
 * send again, when the device has answered by another path: what is written to it
 * then goes out in place of what was.
 */
static bool stor_page_is_ours(struct page *page)
{
	return page_ref_count(page) == 1;
}

static void stor_pages_put(struct stor_memory *memory, struct bio_vec *table,
			   unsigned int n)
{
	struct stor_kept *kept;
	unsigned long flags;
	unsigned int i, left = 0;

	local_irq_save(flags);
	kept = this_cpu_ptr(memory->kept);
	for (i = 0; i < n; i++) {
		struct page *page = table[i].bv_page;

		if (likely(kept->count < STOR_KEPT_PAGES &&
			   stor_page_is_ours(page)))
			kept->pages[kept->count++] = page;
		else
			table[left++].bv_page = page;
	}
	local_irq_restore(flags);
	for (i = 0; i < left; i++)
		__free_page(table[i].bv_page);
}

/**
 * stor_reserve_init - make the reserve of a volume
 * @reserve: what to make
 * @memory: what there is besides; exists as long
 *
 * Return: 0 or -ENOMEM.
 */
int stor_reserve_init(struct stor_reserve *reserve, struct stor_memory *memory)
{
	unsigned int i;

	reserve->memory = memory;
	reserve->taken = 0;
	reserve->in_use = alloc_percpu(unsigned int);
	if (!reserve->in_use)
		return -ENOMEM;
	for (i = 0; i < STOR_BOUNCE_PAGES; i++) {
		reserve->pages[i] = alloc_page(GFP_KERNEL);
		if (!reserve->pages[i])
			goto free;
	}
	atomic_inc(&memory->sharers);
	return 0;
free:
	while (i--)
		__free_page(reserve->pages[i]);
	free_percpu(reserve->in_use);
	return -ENOMEM;
}

void stor_reserve_exit(struct stor_reserve *reserve)
{
	unsigned int i;

	atomic_dec(&reserve->memory->sharers);
	for (i = 0; i < STOR_BOUNCE_PAGES; i++)
		__free_page(reserve->pages[i]);
	free_percpu(reserve->in_use);
}

/* Whether a volume may have so many pages more, of its own share. */
static bool stor_has_share(struct stor_reserve *reserve, unsigned int n)
{
	struct stor_memory *memory = reserve->memory;
	unsigned int pages = n;
	int cpu;

	/*
	 * Pages may be given back on another CPU than they were taken on: single
	 * counters may wrap, and the sum does not mind.
	 */
	for_each_possible_cpu(cpu)
		pages += READ_ONCE(*per_cpu_ptr(reserve->in_use, cpu));
	return (int)pages <= memory->half / atomic_read(&memory->sharers);
}

/* Memory that is not the reserve's, if there is any. */
static bool stor_bounce_get_pages(struct stor_bounce *bounce, unsigned int n,
				  unsigned int bytes,
				  struct stor_reserve *reserve)
{
	struct stor_memory *memory = reserve->memory;

	if (unlikely(percpu_counter_read(&memory->in_use) >= memory->half) &&
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
	if (!stor_pages_get(memory, bounce->table, n, bytes)) {
		if (n > 1)
			kfree(bounce->table);
		return false;
	}
	percpu_counter_add_batch(&memory->in_use, n, STOR_COUNT_BATCH);
	this_cpu_add(*reserve->in_use, n);
	return true;
}

/*
 * Have a reserve that nobody else has any of. What somebody has is left to them, and
 * another page takes its place; false if there is none.
 */
static bool stor_reserve_renew(struct stor_reserve *reserve, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct page *page;

		if (likely(stor_page_is_ours(reserve->pages[i])))
			continue;
		page = alloc_page(STOR_BOUNCE_GFP);
		if (!page)
			return false;
		__free_page(reserve->pages[i]);
		reserve->pages[i] = page;
	}
	return true;
}

/**
 * stor_bounce_get - get memory to encrypt a write into
 * @bounce: filled in, with a table that a bio may have
 * @bytes: how much, 1 to STOR_BOUNCE_PAGES pages
 * @reserve: the volume's
 *
 * Context: any.
 * Return: false if there is none, not even the reserve.
 */
bool stor_bounce_get(struct stor_bounce *bounce, unsigned int bytes,
		     struct stor_reserve *reserve)
{
	unsigned int i;

	bounce->count = DIV_ROUND_UP(bytes, PAGE_SIZE);
	if (likely(stor_bounce_get_pages(bounce, bounce->count, bytes,
					 reserve)))
		return true;
	if (test_and_set_bit_lock(0, &reserve->taken))
		return false;
	/* A network gives back what it has by itself, so this is not for ever. */
	if (!stor_reserve_renew(reserve, bounce->count)) {
		clear_bit_unlock(0, &reserve->taken);
		return false;
	}
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
 * stor_bounce_put - give back what stor_bounce_get() gave
 * @bounce: what it has filled in
 * @reserve: the volume's
 *
 * Context: any.
 */
void stor_bounce_put(struct stor_bounce *bounce, struct stor_reserve *reserve)
{
	struct stor_memory *memory = reserve->memory;

	if (unlikely(bounce->kind == STOR_BOUNCE_RESERVE)) {
		clear_bit_unlock(0, &reserve->taken);
		return;
	}
	stor_pages_put(memory, bounce->table, bounce->count);
	percpu_counter_add_batch(&memory->in_use, -(s64)bounce->count,
				 STOR_COUNT_BATCH);
	this_cpu_sub(*reserve->in_use, bounce->count);
	if (bounce->kind == STOR_BOUNCE_TABLE)
		kfree(bounce->table);
}

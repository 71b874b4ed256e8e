/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory for what a write is encrypted into.
 */
#ifndef _STOR_BOUNCE_H
#define _STOR_BOUNCE_H

#include <linux/bvec.h>
#include <linux/percpu_counter.h>

/* Most pages of one write that is encrypted: 128 KiB. */
#define STOR_BOUNCE_PAGES 32

struct stor_kept;

/**
 * struct stor_memory - what all volumes take memory for their writes from
 * @kept: pages that each CPU keeps; used with interrupts off, in which a write
 *	may end
 * @in_use: pages that writes have, but for those of reserves
 * @half: half of what they may have at most
 * @sharers: volumes that share the other half
 */
struct stor_memory {
	struct stor_kept __percpu *kept;
	struct percpu_counter in_use;
	long half;
	atomic_t sharers;
};

/**
 * struct stor_reserve - memory for one write of a volume, come what may
 * @memory: what there is besides
 * @taken: bit 0 is a lock, held by who has the pages
 * @in_use: pages that its writes have besides, as the sum of all CPUs
 * @pages: the memory
 * @table: the same as a bio wants it
 */
struct stor_reserve {
	struct stor_memory *memory;
	unsigned long taken;
	unsigned int __percpu *in_use;
	struct page *pages[STOR_BOUNCE_PAGES];
	struct bio_vec table[STOR_BOUNCE_PAGES];
};

/**
 * enum stor_bounce_kind - where memory for a write is from
 * @STOR_BOUNCE_PAGE: one page
 * @STOR_BOUNCE_TABLE: several, with a table of their own
 * @STOR_BOUNCE_RESERVE: the volume's reserve
 */
enum stor_bounce_kind {
	STOR_BOUNCE_PAGE,
	STOR_BOUNCE_TABLE,
	STOR_BOUNCE_RESERVE,
};

/**
 * struct stor_bounce - memory for what a write is encrypted into
 * @table: its segments
 * @single: room for one
 * @count: how many
 * @kind: where it is from
 */
struct stor_bounce {
	struct bio_vec *table;
	struct bio_vec single;
	u16 count;
	u8 kind;
};

int stor_memory_init(struct stor_memory *memory);
void stor_memory_exit(struct stor_memory *memory);
int stor_reserve_init(struct stor_reserve *reserve, struct stor_memory *memory);
void stor_reserve_exit(struct stor_reserve *reserve);
bool stor_bounce_get(struct stor_bounce *bounce, unsigned int bytes,
		     struct stor_reserve *reserve);
void stor_bounce_put(struct stor_bounce *bounce, struct stor_reserve *reserve);

#endif /* _STOR_BOUNCE_H */

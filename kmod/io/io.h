/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An I/O and its legs: what lies behind each request of our queues.
 */
#ifndef _STOR_IO_H
#define _STOR_IO_H

#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/list.h>
#include <linux/llist.h>

#include "bounce.h"
#include "stat.h"

struct stor_inline_key;

/**
 * struct stor_leg - one lower bio of an I/O
 * @bio: the bio; its bi_private is the I/O
 * @lower: where it goes; Rust's
 * @table: segments of a merged request, from the pool of @lower; else NULL
 * @polled: in the list of the request's hardware queue, if @on_polled
 * @sector: where @bio starts on the lower device
 * @opf: operation and flags of @bio
 * @on_polled: @polled is in a list
 * @tried: @bio has REQ_NOWAIT because we try, not because the user asked
 * @key: what the data is encrypted with below; set where it is, and where the
 *	leg is left to the volume's worker, which takes NULL for none
 * @dun: number of the first data unit, if there is a @key
 *
 * Those below may change @bio as they like. What is needed to make it anew is
 * kept beside it.
 */
struct stor_leg {
	struct bio bio;
	const void *lower;
	struct bio_vec *table;
	struct list_head polled;
	sector_t sector;
	blk_opf_t opf;
	bool on_polled;
	bool tried;
	const struct stor_inline_key *key;
	u64 dun;
};

/**
 * struct stor_io - what lies behind each request of our queues
 * @leg: its first leg, and today its only one
 * @stat: where it is counted, or NULL
 * @start: when the request was made, in ns; 0 if nothing is counted
 * @sent: when the leg was submitted, in ns; later how long it took below
 * @bytes: length of the request; the block layer's own is gone at its end
 * @op: what it is counted as
 * @status: how it ended: the first error of a leg that matters
 * @transform: what is done to the data on its way, or NULL: a reference to what
 *	the I/O was started with, in two words, and Rust's
 * @softirq: in the list of a CPU
 * @bounce: what a write was encrypted into
 *
 * An I/O ends once, when its last leg has. While the request is not started,
 * nothing of this means anything.
 */
struct stor_io {
	struct stor_leg leg;
	const struct stor_stat *stat;
	u64 start;
	u64 sent;
	u32 bytes;
	u8 op;
	blk_status_t status;
	/* From here on only for volumes whose data is encrypted here. */
	const void *transform[2];
	struct llist_node softirq;
	struct stor_bounce bounce;
};

#endif /* _STOR_IO_H */

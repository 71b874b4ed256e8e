/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate of a disk.
 */
#ifndef _STOR_GATE_H
#define _STOR_GATE_H

#include <linux/blk-mq.h>
#include <linux/completion.h>
#include <linux/workqueue.h>

struct stor_punt;

/**
 * struct stor_gate - who waits until nobody is inside of a disk's queue_rq()
 * @work: waits, without a limit
 * @done: it has
 * @set: the tags of the disk
 */
struct stor_gate {
	struct work_struct work;
	struct completion done;
	struct blk_mq_tag_set *set;
};

void stor_gate_init(struct stor_gate *gate, struct blk_mq_tag_set *set);
void stor_gate_exit(struct stor_gate *gate);
bool stor_gate_close(struct stor_gate *gate, struct request_queue *q,
		     struct stor_punt *punt, unsigned int patience);
void stor_gate_open(struct request_queue *q);

#endif /* _STOR_GATE_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Polling.
 */
#ifndef _STOR_POLL_H
#define _STOR_POLL_H

#include <linux/blk-mq.h>

struct stor_leg;

int stor_poll_init_hctx(struct blk_mq_hw_ctx *hctx, void *driver_data,
			unsigned int index);
void stor_poll_exit_hctx(struct blk_mq_hw_ctx *hctx, unsigned int index);
bool stor_poll_add(struct stor_leg *leg, struct request *rq);
void stor_poll_del(struct stor_leg *leg, struct request *rq);
int stor_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *batch);
bool stor_poll_collect(struct request *rq, bool failed,
		       void (*complete)(struct io_comp_batch *batch));
void stor_poll_map_queues(struct blk_mq_tag_set *set);
bool stor_poll_is_offered(struct block_device *bdev);

#endif /* _STOR_POLL_H */

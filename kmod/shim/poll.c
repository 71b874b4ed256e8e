// SPDX-License-Identifier: GPL-2.0
/*
 * Polling: whoever polls one of our queues polls the lower queues that its
 * requests are on.
 *
 * Each polled hardware queue has a list of the lower bios in flight. They may be
 * on several lower queues, since a task may move to another CPU between our
 * request and the lower one. The first that was started says which lower queue
 * is polled, and goes to the end, so every one of them has its turn.
 */
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>

#include "shim.h"

struct stor_polled {
	spinlock_t lock;	/* protects bios */
	struct list_head bios;	/* whose turn it is comes first */
};

/* Where requests that end in a poll are collected; set in task context only. */
static DEFINE_PER_CPU(struct io_comp_batch *, stor_poll_batch);

/**
 * stor_shim_polled_init - give a hardware queue its list, if it is polled
 * @hctx: the queue
 * @driver_data: not used
 * @index: its number
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_polled_init(struct blk_mq_hw_ctx *hctx, void *driver_data,
			  unsigned int index)
{
	struct blk_mq_tag_set *set = hctx->queue->tag_set;
	struct stor_polled *polled;

	if (set->nr_maps <= HCTX_TYPE_POLL ||
	    index < set->map[HCTX_TYPE_POLL].queue_offset)
		return 0;
	polled = kzalloc_node(sizeof(*polled), GFP_KERNEL, hctx->numa_node);
	if (!polled)
		return -ENOMEM;
	spin_lock_init(&polled->lock);
	INIT_LIST_HEAD(&polled->bios);
	hctx->driver_data = polled;
	return 0;
}

/**
 * stor_shim_polled_exit - take the list away again
 * @hctx: the queue; none of its requests is in flight
 * @index: not used
 */
void stor_shim_polled_exit(struct blk_mq_hw_ctx *hctx, unsigned int index)
{
	kfree(hctx->driver_data);
	hctx->driver_data = NULL;
}

/**
 * stor_shim_polled_add - note a polled lower bio before it is submitted
 * @pdu: that of its request
 * @rq: its request
 *
 * A request is polled by who has its first bio, and finds the queue by it. Who
 * has one that was merged with that and is not polled may wait for the end
 * without polling, while nobody else comes.
 *
 * Context: any.
 * Return: false if it is not sure that somebody polls.
 */
bool stor_shim_polled_add(struct stor_pdu *pdu, struct request *rq)
{
	struct stor_polled *polled = rq->mq_hctx->driver_data;
	unsigned long flags;
	struct bio *bio;

	if (!polled)
		return false;
	for (bio = rq->bio; bio; bio = bio->bi_next)
		if (!(bio->bi_opf & REQ_POLLED))
			return false;
	spin_lock_irqsave(&polled->lock, flags);
	list_add_tail(&pdu->polled, &polled->bios);
	spin_unlock_irqrestore(&polled->lock, flags);
	return true;
}

/**
 * stor_shim_polled_del - forget a polled lower bio that has ended
 * @pdu: that of its request
 * @rq: its request
 *
 * Context: any.
 */
void stor_shim_polled_del(struct stor_pdu *pdu, struct request *rq)
{
	struct stor_polled *polled = rq->mq_hctx->driver_data;
	unsigned long flags;

	spin_lock_irqsave(&polled->lock, flags);
	list_del(&pdu->polled);
	spin_unlock_irqrestore(&polled->lock, flags);
}

/* The number of the lower queue to poll, or BLK_QC_T_NONE. */
static blk_qc_t stor_polled_next(struct stor_polled *polled)
{
	blk_qc_t cookie = BLK_QC_T_NONE;
	struct stor_pdu *pdu;
	unsigned long flags;

	spin_lock_irqsave(&polled->lock, flags);
	list_for_each_entry(pdu, &polled->bios, polled) {
		cookie = READ_ONCE(pdu->bio.bi_cookie);
		if (cookie != BLK_QC_T_NONE) {
			list_move_tail(&pdu->polled, &polled->bios);
			break;
		}
	}
	spin_unlock_irqrestore(&polled->lock, flags);
	return cookie;
}

/**
 * stor_shim_poll - poll a lower queue that a hardware queue's bios are on
 * @hctx: the queue
 * @bdev: the lower device
 * @batch: where to collect the requests that end, or NULL
 *
 * The queue need not be a polled one: a polled bio that was merged in front of
 * an unpolled request names that request's queue. Its end comes by itself.
 *
 * Context: process.
 * Return: how many lower requests have ended.
 */
int stor_shim_poll(struct blk_mq_hw_ctx *hctx, struct block_device *bdev,
		   struct io_comp_batch *batch)
{
	struct stor_polled *polled = hctx->driver_data;
	struct io_comp_batch lower = { };
	/* Of a bio, a poll only looks at where it is. */
	struct bio bio;
	int found;

	if (!polled)
		return 0;
	bio.bi_cookie = stor_polled_next(polled);
	if (bio.bi_cookie == BLK_QC_T_NONE)
		return 0;
	bio.bi_bdev = bdev;
	/*
	 * Also without a batch, so that the lower driver does not end requests
	 * while it holds a lock.
	 */
	found = bio_poll(&bio, &lower, BLK_POLL_ONESHOT);
	if (!rq_list_empty(&lower.req_list)) {
		preempt_disable();
		this_cpu_write(stor_poll_batch, batch);
		lower.complete(&lower);
		this_cpu_write(stor_poll_batch, NULL);
		preempt_enable();
	}
	return found;
}

/**
 * stor_shim_poll_collect - add a request that has ended to the batch of a poll
 * @rq: the request
 * @failed: with an error
 * @complete: what ends a batch of such requests
 *
 * Context: any.
 * Return: false if no poll collects here; the request is to be ended by itself.
 */
bool stor_shim_poll_collect(struct request *rq, bool failed,
			    void (*complete)(struct io_comp_batch *batch))
{
	/* With a batch set, preemption is off; but an interrupt is no poll. */
	return in_task() &&
	       blk_mq_add_to_batch(rq, this_cpu_read(stor_poll_batch), failed,
				   complete);
}

/**
 * stor_shim_map_queues - one default queue a CPU and, if offered, one polled
 * @set: the tag set
 */
void stor_shim_map_queues(struct blk_mq_tag_set *set)
{
	struct blk_mq_queue_map *map = &set->map[HCTX_TYPE_DEFAULT];
	bool poll = set->nr_maps > HCTX_TYPE_POLL;

	map->nr_queues = poll ? set->nr_hw_queues / 2 : set->nr_hw_queues;
	map->queue_offset = 0;
	blk_mq_map_queues(map);
	if (!poll)
		return;
	/* Reads have no queues of their own. */
	set->map[HCTX_TYPE_READ].nr_queues = 0;
	set->map[HCTX_TYPE_POLL].nr_queues = map->nr_queues;
	set->map[HCTX_TYPE_POLL].queue_offset = map->nr_queues;
	blk_mq_map_queues(&set->map[HCTX_TYPE_POLL]);
}

/**
 * stor_shim_bdev_can_poll - whether a device takes polled I/O by blk-mq queues
 * @bdev: the device
 *
 * A bio-based device polls each bio by itself, which would need one poller for
 * each at a time.
 */
bool stor_shim_bdev_can_poll(struct block_device *bdev)
{
	struct request_queue *q = bdev_get_queue(bdev);

	return queue_is_mq(q) && q->limits.features & BLK_FEAT_POLL;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Polling: whoever polls one of our queues polls the lower queues that its
 * requests are on.
 *
 * Each polled hardware queue has a list of the legs in flight. They may be
 * on several lower queues, since a task may move to another CPU between our
 * request and the lower one. The first that was started says which lower queue
 * is polled, and goes to the end, so every one of them has its turn.
 */
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>

#include "io.h"
#include "poll.h"

/**
 * struct stor_polled - what is polled by one hardware queue
 * @lock: protects @legs; a leaf, taken in any context
 * @legs: legs in flight; whose turn it is comes first
 * @collector: a task that polls, and has requests that end meanwhile collected
 * @batch: where; belongs to @collector
 */
struct stor_polled {
	spinlock_t lock;	/* protects legs */
	struct list_head legs;
	struct task_struct *collector;
	struct io_comp_batch *batch;
};

/**
 * stor_poll_init_hctx - give a hardware queue its list, if it is polled
 * @hctx: the queue
 * @driver_data: not used
 * @index: its number
 *
 * Return: 0 or -ENOMEM.
 */
int stor_poll_init_hctx(struct blk_mq_hw_ctx *hctx, void *driver_data,
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
	INIT_LIST_HEAD(&polled->legs);
	hctx->driver_data = polled;
	return 0;
}

/**
 * stor_poll_exit_hctx - take the list away again
 * @hctx: the queue; none of its requests is in flight
 * @index: not used
 */
void stor_poll_exit_hctx(struct blk_mq_hw_ctx *hctx, unsigned int index)
{
	kfree(hctx->driver_data);
	hctx->driver_data = NULL;
}

/**
 * stor_poll_add - note a polled lower bio before it is submitted
 * @leg: its leg
 * @rq: its request
 *
 * A request is polled by who has its first bio, and finds the queue by it. Who
 * has one that was merged with that and is not polled may wait for the end
 * without polling, while nobody else comes.
 *
 * Context: any.
 * Return: false if it is not sure that somebody polls.
 */
bool stor_poll_add(struct stor_leg *leg, struct request *rq)
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
	list_add_tail(&leg->polled, &polled->legs);
	spin_unlock_irqrestore(&polled->lock, flags);
	return true;
}

/**
 * stor_poll_del - forget a polled lower bio that has ended
 * @leg: its leg
 * @rq: its request
 *
 * Context: any.
 */
void stor_poll_del(struct stor_leg *leg, struct request *rq)
{
	struct stor_polled *polled = rq->mq_hctx->driver_data;
	unsigned long flags;

	spin_lock_irqsave(&polled->lock, flags);
	list_del(&leg->polled);
	spin_unlock_irqrestore(&polled->lock, flags);
}

/*
 * Which lower queue to poll: fills in where a bio is, which is all that a poll looks
 * at. Its device stays open as long as whoever polls has a reference to our queue.
 */
static bool stor_polled_next(struct stor_polled *polled, struct bio *bio)
{
	blk_qc_t cookie = BLK_QC_T_NONE;
	struct stor_leg *leg;
	unsigned long flags;

	spin_lock_irqsave(&polled->lock, flags);
	list_for_each_entry(leg, &polled->legs, polled) {
		cookie = READ_ONCE(leg->bio.bi_cookie);
		if (cookie != BLK_QC_T_NONE) {
			bio->bi_cookie = cookie;
			bio->bi_bdev = leg->bio.bi_bdev;
			list_move_tail(&leg->polled, &polled->legs);
			break;
		}
	}
	spin_unlock_irqrestore(&polled->lock, flags);
	return cookie != BLK_QC_T_NONE;
}

/**
 * stor_poll - poll a lower queue that a hardware queue's legs are on
 * @hctx: the queue
 * @batch: where to collect the requests that end, or NULL
 *
 * The queue need not be a polled one: a polled bio that was merged in front of
 * an unpolled request names that request's queue. Its end comes by itself.
 *
 * Context: process.
 * Return: how many lower requests have ended.
 */
int stor_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *batch)
{
	struct stor_polled *polled = hctx->driver_data;
	struct io_comp_batch lower = { };
	struct bio bio;
	bool collects;
	int found;

	if (!polled || !stor_polled_next(polled, &bio))
		return 0;
	/*
	 * Also without a batch, so that the lower driver does not end requests
	 * while it holds a lock.
	 */
	found = bio_poll(&bio, &lower, BLK_POLL_ONESHOT);
	if (rq_list_empty(&lower.req_list))
		return found;
	/* Of several who poll a queue one collects; for the others each ends by itself. */
	collects = batch && !cmpxchg(&polled->collector, NULL, current);
	if (collects)
		polled->batch = batch;
	lower.complete(&lower);
	if (collects) {
		polled->batch = NULL;
		/* The next who collects sets its own batch after this. */
		smp_store_release(&polled->collector, NULL);
	}
	return found;
}

/**
 * stor_poll_collect - add a request that has ended to the batch of a poll
 * @rq: the request, of a polled hardware queue
 * @failed: with an error
 * @complete: what ends a batch of such requests
 *
 * Context: any.
 * Return: false if no poll collects here; the request is to be ended by itself.
 */
bool stor_poll_collect(struct request *rq, bool failed,
		       void (*complete)(struct io_comp_batch *batch))
{
	struct stor_polled *polled = rq->mq_hctx->driver_data;

	/* An interrupt of the task that collects is no poll. */
	return in_task() && READ_ONCE(polled->collector) == current &&
	       blk_mq_add_to_batch(rq, polled->batch, failed, complete);
}

/**
 * stor_poll_map_queues - one default queue a CPU and, if offered, one polled
 * @set: the tag set
 */
void stor_poll_map_queues(struct blk_mq_tag_set *set)
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
 * stor_poll_is_offered - whether a device takes polled I/O by blk-mq queues
 * @bdev: the device
 *
 * A bio-based device polls each bio by itself, which would need one poller for
 * each at a time.
 */
bool stor_poll_is_offered(struct block_device *bdev)
{
	struct request_queue *q = bdev_get_queue(bdev);

	return queue_is_mq(q) && q->limits.features & BLK_FEAT_POLL;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The way of a lower bio down: what depends on the submitting task's own state,
 * which Rust has no words for, and the kernel's iterators.
 */
#include <linux/mempool.h>
#include <linux/sched.h>

#include "shim.h"

static void stor_punt_work(struct work_struct *work)
{
	struct stor_punt *punt = container_of(work, struct stor_punt, work);
	struct bio_list bios;
	struct blk_plug plug;
	struct bio *bio;

	spin_lock(&punt->lock);
	bios = punt->bios;
	bio_list_init(&punt->bios);
	spin_unlock(&punt->lock);

	blk_start_plug(&plug);
	while ((bio = bio_list_pop(&bios)))
		submit_bio_noacct(bio);
	blk_finish_plug(&plug);
}

/**
 * stor_shim_punt_init - prepare for bios to be submitted by somebody else
 * @punt: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_punt_init(struct stor_punt *punt)
{
	spin_lock_init(&punt->lock);
	bio_list_init(&punt->bios);
	INIT_WORK(&punt->work, stor_punt_work);
	punt->wq = alloc_workqueue("stor", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				   WQ_PERCPU, 1);
	return punt->wq ? 0 : -ENOMEM;
}

/**
 * stor_shim_punt_exit - wait for the last bios to be submitted, and clean up
 * @punt: what stor_shim_punt_init() has prepared
 */
void stor_shim_punt_exit(struct stor_punt *punt)
{
	destroy_workqueue(punt->wq);
}

/*
 * Whether a plug that is being flushed has more in it than requests of @q: they
 * may hold a tag, a reference or a barrier of the lower device, and nobody can
 * flush them while the flush is under way.
 */
static bool stor_plug_has_others(struct blk_plug *plug, struct request_queue *q)
{
	struct request *cached = rq_list_peek(&plug->cached_rqs);

	return !list_empty(&plug->cb_list) ||
	       (cached && cached->q != q) ||
	       (plug->multiple_queues && !rq_list_empty(&plug->mq_list));
}

/**
 * stor_shim_submit_lower - submit a bio from within queue_rq()
 * @bio: the bio; it holds a tag of ours until it ends
 * @rq: the request that it was made for
 * @punt: the way out where this task must not sleep
 *
 * It goes down at once, whatever the submitter has begun:
 *
 * - Inside submit_bio(), current->bio_list would put it off until the submitter
 *   is done with its own bio. If that is split in more pieces than we have
 *   tags, the submitter waits for a tag that only a bio put off can give back.
 * - While a plug is flushed, its rq_count is 0 and its list is being issued
 *   inside our queue's SRCU section. A request of the lower queue that joined
 *   the list would be issued there too, and quiescing the lower queue would
 *   not wait for it. So the plug is hidden.
 *
 * Below, the task may sleep. A plug that is not being flushed stays, so that
 * the scheduler flushes it then. One that is being flushed can not be flushed
 * again: if there is anything in it that the lower device could wait for, the
 * bio is submitted by a worker instead. So it is if the flush was brought about
 * by a bio whose request is made already but not in the plug yet: inside
 * submit_bio() there may be one, which nobody but this task can issue.
 *
 * Context: process.
 */
void stor_shim_submit_lower(struct bio *bio, struct request *rq,
			    struct stor_punt *punt)
{
	struct bio_list *bio_list = current->bio_list;
	struct blk_plug *plug = current->plug;

	if (plug && !plug->rq_count) {
		if (bio_list || stor_plug_has_others(plug, rq->q)) {
			spin_lock(&punt->lock);
			bio_list_add(&punt->bios, bio);
			spin_unlock(&punt->lock);
			queue_work(punt->wq, &punt->work);
			return;
		}
		/*
		 * The scheduler drops the time stamp of a task with this flag,
		 * and looks for it in the plug: a task without a plug must not
		 * have the flag.
		 */
		plug->cur_ktime = 0;
		current->flags &= ~PF_BLOCK_TS;
		barrier();
		current->plug = NULL;
	}
	current->bio_list = NULL;
	submit_bio_noacct(bio);
	current->plug = plug;
	current->bio_list = bio_list;
}

bool stor_shim_bdev_nowait(struct block_device *bdev)
{
	return bdev_nowait(bdev);
}

/**
 * stor_shim_rq_bvecs - collect the data of all bios of a request
 * @rq: the request; it has data
 * @table: where to
 * @max: room in @table
 *
 * Context: any.
 * Return: the number of entries, or 0 if @max is too small.
 */
unsigned int stor_shim_rq_bvecs(struct request *rq, struct bio_vec *table,
				unsigned int max)
{
	struct req_iterator iter;
	struct bio_vec bv;
	unsigned int n = 0;

	rq_for_each_bvec(bv, rq, iter) {
		if (n == max)
			return 0;
		table[n++] = bv;
	}
	return n;
}

/**
 * stor_shim_bvec_pool_init - make a pool of tables for merged requests
 * @pool: the pool
 * @nr_bvecs: entries in each table
 *
 * One reserved table is enough: whoever holds it is on its way through the
 * lower device, and gives it back without asking this pool for anything.
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_bvec_pool_init(struct mempool *pool, unsigned int nr_bvecs)
{
	return mempool_init_kmalloc_pool(pool, 1,
					 nr_bvecs * sizeof(struct bio_vec));
}

/**
 * stor_shim_mempool_alloc_nowait - take an element without waiting
 * @pool: the pool
 *
 * Context: any.
 * Return: the element, or NULL if the reserve is in use too.
 */
void *stor_shim_mempool_alloc_nowait(struct mempool *pool)
{
	return mempool_alloc(pool, GFP_NOWAIT);
}

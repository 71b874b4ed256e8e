// SPDX-License-Identifier: GPL-2.0
/*
 * The way of a lower bio down: what depends on the submitting task's own state,
 * which Rust has no words for, and the kernel's iterators.
 *
 * Why no task waits for itself:
 *
 * - Inside submit_bio(), current->bio_list would put a lower bio off until the
 *   submitter is done with its own bio. If that is split in more pieces than we
 *   have tags, the submitter waits for a tag that only a bio put off can give
 *   back. So the list is hidden, and lower bios go down at once.
 * - The list that queue_rqs() gets is the plug's own, and a lower request would
 *   be appended to it, issued as if it were ours, and inside our queue's SRCU
 *   section. So a plug that is being flushed is hidden, and a batch has a plug
 *   of its own, which the scheduler flushes if the task sleeps.
 * - While a plug is flushed nobody can flush it again. If it still holds
 *   requests of other queues, they may have what the lower device waits for, a
 *   tag say; then this task must not sleep below, and a worker submits instead.
 * - If the flush was brought about inside submit_bio(), there may be one more
 *   request, made already but not in the plug yet. Nothing tells whose it is. So
 *   lower bios must not wait then: they are tried with REQ_NOWAIT, and those
 *   that would have to wait are submitted again by the worker.
 * - A work queue's task that is not inside submit_bio() runs a queue for somebody:
 *   a flush, or requests that were put off. When memory is scarce it may be the
 *   only one of kblockd, and lower requests that have all the tags may need
 *   kblockd to go on. So it must not wait either, and tries.
 * - Request-based dm on a volume hands its requests on inside of RCU, in a queue
 *   that does not expect anybody to sleep. There a worker submits, too.
 * - The worker has nothing of anybody, one volume has a worker of its own, and
 *   its workqueue has a rescuer. Volumes over volumes wait for those below
 *   only, and the lowest waits for a device that knows nothing of stor.
 */
#include <linux/blk-integrity.h>
#include <linux/mempool.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "shim.h"
#include "trace.h"

/* Most requests that the block layer prepares at once for a plug. */
#define STOR_PLUG_REQUESTS 32

static __always_inline void stor_submit(struct stor_pdu *pdu)
{
	trace_stor_lower_submit(pdu->bio.bi_private, &pdu->bio);
	submit_bio_noacct(&pdu->bio);
}

static void stor_punt_work(struct work_struct *work)
{
	struct stor_punt *punt = container_of(work, struct stor_punt, work);
	struct bio_list bios;
	struct request_queue *q;
	struct blk_plug plug;
	struct request *rq;
	struct bio *bio;

	spin_lock_irq(&punt->lock);
	bios = punt->bios;
	bio_list_init(&punt->bios);
	spin_unlock_irq(&punt->lock);

	bio = bio_list_peek(&bios);
	if (!bio)
		return;
	/*
	 * Those who wait until no request is left, at the gate say, wait until
	 * this task is back from below, too: what they change or free, a key
	 * say, may be in use there. The request has a reference until then.
	 */
	rq = bio->bi_private;
	q = rq->q;
	percpu_ref_get(&q->q_usage_counter);
	blk_start_plug(&plug);
	while ((bio = bio_list_pop(&bios))) {
		struct stor_pdu *pdu = container_of(bio, struct stor_pdu, bio);

		if (pdu->stat)
			pdu->sent = ktime_get_ns();
		if (pdu->inline_key)
			stor_shim_inline_send(pdu);
		else
			stor_submit(pdu);
	}
	blk_finish_plug(&plug);
	percpu_ref_put(&q->q_usage_counter);
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

/**
 * stor_shim_punt - leave a bio to the worker
 * @pdu: that of its request
 * @inline_key: what its data is encrypted with below, or NULL
 * @punt: the volume's worker
 *
 * Context: any.
 */
void stor_shim_punt(struct stor_pdu *pdu,
		    const struct stor_inline_key *inline_key,
		    struct stor_punt *punt)
{
	unsigned long flags;

	pdu->inline_key = inline_key;
	spin_lock_irqsave(&punt->lock, flags);
	bio_list_add(&punt->bios, &pdu->bio);
	/*
	 * The worker, if it runs already, can not take the bio before the lock
	 * is given up. Until then its request keeps all of this alive.
	 */
	queue_work(punt->wq, &punt->work);
	spin_unlock_irqrestore(&punt->lock, flags);
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

/* Whether this task runs our queue in a work queue, and not in our own. */
static bool stor_runs_for_others(const struct bio_list *bios)
{
	struct work_struct *work;

	if (!(current->flags & PF_WQ_WORKER) || bios)
		return false;
	work = current_work();
	return work && work->func != stor_punt_work;
}

/**
 * stor_shim_batch_begin - prepare this task for submitting below
 * @batch: what stor_shim_batch_end() needs
 * @q: our queue, whose requests are about to be submitted
 * @nr: how many, at least 1
 * @timed: set @batch->now, unless it is a request that this task has just made
 *
 * Context: process, from within queue_rq() or queue_rqs().
 */
void stor_shim_batch_begin(struct stor_batch *batch, struct request_queue *q,
			   unsigned int nr, bool timed)
{
	struct blk_plug *plug = current->plug;

	batch->callers_plug = plug;
	batch->callers_bios = current->bio_list;
	batch->mode = STOR_SUBMIT_FREE;
	batch->plugged = false;
	if (plug && !plug->rq_count) {
		if (stor_plug_has_others(plug, q))
			batch->mode = STOR_SUBMIT_WORKER;
		else if (batch->callers_bios)
			batch->mode = STOR_SUBMIT_TRY;
		/*
		 * The scheduler drops the time stamp of a task with this flag,
		 * and looks for it in the plug: a task without a plug must not
		 * have the flag.
		 */
		plug->cur_ktime = 0;
		current->flags &= ~PF_BLOCK_TS;
		barrier();
		current->plug = NULL;
	} else if (!plug && unlikely(stor_runs_for_others(current->bio_list))) {
		batch->mode = STOR_SUBMIT_TRY;
	}
	if (unlikely(rcu_preempt_depth()))
		batch->mode = STOR_SUBMIT_NEVER;
	current->bio_list = NULL;
	/* Even a single one that is tried: see stor_shim_batch_end(). */
	if ((nr > 1 || batch->mode == STOR_SUBMIT_TRY) && !current->plug &&
	    batch->mode < STOR_SUBMIT_WORKER) {
		blk_start_plug(&batch->plug);
		batch->plug.nr_ios = min(nr, STOR_PLUG_REQUESTS);
		batch->plugged = true;
	}
	batch->now = 0;
	/*
	 * Inside submit_bio() and without a plug it is the one just made; unless
	 * some were put off, whose wait then counts as the lower device's.
	 */
	if (!timed || (!plug && batch->callers_bios))
		return;
	batch->now = ktime_get_ns();
	if (batch->plugged) {
		/* The lower queue stamps its requests with the same time. */
		batch->plug.cur_ktime = batch->now;
		barrier();
		current->flags |= PF_BLOCK_TS;
	}
}

/* The same for a task that is not inside submit_bio(), but has to look so. */
static void stor_finish_trying(struct blk_plug *plug)
{
	/* The second is for the bios that a driver's driver puts off. */
	struct bio_list bios[2];
	struct bio *bio;

	bio_list_init(&bios[0]);
	bio_list_init(&bios[1]);
	current->bio_list = bios;
	blk_finish_plug(plug);
	current->bio_list = NULL;
	/* Of a driver that is no volume, and makes bios of its own. */
	while ((bio = bio_list_pop(&bios[0])) || (bio = bio_list_pop(&bios[1])))
		submit_bio_noacct(bio);
}

/**
 * stor_shim_batch_end - issue what was submitted, and give the task back
 * @batch: what stor_shim_batch_begin() has prepared
 *
 * The list is back before the plug is flushed: if the lower device is a volume
 * too, it shall see a flush inside submit_bio(), and only try as well.
 */
void stor_shim_batch_end(struct stor_batch *batch)
{
	if (unlikely(batch->mode == STOR_SUBMIT_TRY && !batch->callers_bios)) {
		stor_finish_trying(&batch->plug);
	} else {
		current->bio_list = batch->callers_bios;
		if (batch->plugged)
			blk_finish_plug(&batch->plug);
	}
	current->plug = batch->callers_plug;
}

/*
 * Whether a bio with REQ_NOWAIT does not wait below for what this task may have,
 * and ends with BLK_STS_AGAIN as a whole. Of bio-based devices, RAID takes a
 * member that answers so for broken. Others than reads and writes are split
 * whatever they ask for. Protection information needs memory. Writeback
 * throttling, which is on by default, puts others than direct writes to sleep
 * all the same. (So does iocost, but until a time, not for somebody.)
 */
static bool stor_may_try(struct bio *bio)
{
	struct request_queue *q = bdev_get_queue(bio->bi_bdev);
	const blk_opf_t direct = REQ_SYNC | REQ_IDLE;

	if (!queue_is_mq(q) || !bdev_nowait(bio->bi_bdev) ||
	    blk_get_integrity(bio->bi_bdev->bd_disk))
		return false;
	if (bio_op(bio) == REQ_OP_READ)
		return true;
	return bio_op(bio) == REQ_OP_WRITE &&
	       (!q->rq_qos || (bio->bi_opf & direct) == direct);
}

/**
 * stor_shim_submit - submit the lower bio of a request
 * @pdu: that of the request
 * @batch: the batch that it is in
 * @punt: the volume's worker
 *
 * Context: process.
 */
void stor_shim_submit(struct stor_pdu *pdu, struct stor_batch *batch,
		      struct stor_punt *punt)
{
	struct bio *bio = &pdu->bio;
	struct request_queue *q = bdev_get_queue(bio->bi_bdev);

	/*
	 * Reads and writes that can be merged in a plug were merged in ours, by
	 * the same rules. Below, a scheduler may find more; without one there
	 * is little left to find, among what a busy driver has put off.
	 */
	if (queue_is_mq(q) && !READ_ONCE(q->elevator) &&
	    bio_op(bio) <= REQ_OP_WRITE)
		bio->bi_opf |= REQ_NOMERGE;
	if (likely(batch->mode == STOR_SUBMIT_FREE)) {
		stor_submit(pdu);
		return;
	}
	/* One that the user does not want to wait may still be put to sleep. */
	if (!stor_may_try(bio) || batch->mode == STOR_SUBMIT_NEVER ||
	    (batch->mode == STOR_SUBMIT_WORKER && !(bio->bi_opf & REQ_NOWAIT))) {
		/* Among those of others it may find a neighbour. */
		bio->bi_opf &= ~REQ_NOMERGE;
		/* The worker must not wait for a tag that only a poll frees. */
		if (pdu->on_polled) {
			stor_shim_polled_del(pdu, bio->bi_private);
			pdu->on_polled = false;
			pdu->opf &= ~REQ_POLLED;
			bio->bi_opf &= ~REQ_POLLED;
		}
		stor_shim_punt(pdu, NULL, punt);
		return;
	}
	if (!(bio->bi_opf & REQ_NOWAIT)) {
		bio->bi_opf |= REQ_NOWAIT;
		pdu->tried = true;
	}
	stor_submit(pdu);
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
	/* It counts on from what it finds there. */
	memset(pool, 0, sizeof(*pool));
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

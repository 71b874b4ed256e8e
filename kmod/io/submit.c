// SPDX-License-Identifier: GPL-2.0
/*
 * The path of a lower bio down: what depends on the submitting task's own state,
 * which Rust has no words for.
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
 * - Whoever polls must never wait below: the tag it waits for, or the freeze that
 *   it waits for the end of, may need what only it would find by polling. So a
 *   polled bio is always tried, in whatever mode. One that would have had to wait
 *   is submitted again by the worker, and not polled: an interrupt ends it.
 * - The stack of a task is small, and what lies between two volumes, dm say, uses
 *   it, too. With too little of it left a worker submits, on a stack of its own.
 * - The worker has nothing of anybody, one volume has a worker of its own, and
 *   its workqueue has a rescuer. Volumes over volumes wait for those below
 *   only, and the lowest waits for a device that knows nothing of stor.
 *
 * Inline encryption has more to wait for. A context is from a pool of the kernel
 * that all who use it share; the fallback takes bios, pages and slots for keys from
 * others. Each of them may put the task to sleep, whatever REQ_NOWAIT says.
 *
 * - So only a task that may sleep below takes any, and everybody else leaves the
 *   bio to the volume's worker. Nothing is tried.
 * - A bio gets its context right before it is submitted. What waits for the
 *   worker has none, so all there are belong to tasks that are submitting, or
 *   are below, where they come back from without us.
 * - The pools have what they need if nobody who holds some of it comes for more.
 *   So of volumes over volumes, only the lowest may be encrypted so. Others who
 *   use inline encryption, above or between, are not seen: the manual says so.
 */
#include <linux/blk-integrity.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>

#include "../kapi/inline_key.h"
#include "../shim/trace.h"
#include "io.h"
#include "poll.h"
#include "submit.h"

/* Most requests that the block layer prepares at once for a plug. */
#define STOR_PLUG_REQUESTS 32

/* Stack that a volume and what is below it are sure to need, of THREAD_SIZE. */
#define STOR_STACK_NEEDED (THREAD_SIZE * 3 / 8)

static __always_inline void stor_send(struct stor_leg *leg)
{
	trace_stor_lower_submit(blk_mq_rq_from_pdu(leg->bio.bi_private),
				&leg->bio, leg->sector);
	submit_bio_noacct(&leg->bio);
}

/* The same with a key. May sleep. */
static void stor_send_inline(struct stor_leg *leg)
{
	const u64 dun[BLK_CRYPTO_DUN_ARRAY_SIZE] = { leg->dun };
	struct bio *bio = &leg->bio;

	bio_crypt_set_ctx(bio, &leg->key->key, dun, GFP_NOIO);
	trace_stor_lower_submit(blk_mq_rq_from_pdu(bio->bi_private), bio,
				leg->sector);
	if (__blk_crypto_submit_bio(bio))
		submit_bio_noacct(bio);
}

static void stor_punt_work(struct work_struct *work)
{
	struct stor_punt *punt = container_of(work, struct stor_punt, work);
	struct request_queue *q;
	struct bio_list bios;
	struct blk_plug plug;
	struct bio *bio;

	spin_lock_irq(&punt->lock);
	bios = punt->bios;
	bio_list_init(&punt->bios);
	spin_unlock_irq(&punt->lock);

	bio = bio_list_peek(&bios);
	if (!bio)
		return;
	/*
	 * Whoever waits until the queue is not used, to delete the disk say, waits
	 * until this task is back from below, too. The request has a reference
	 * until then. (The gate looks at the work itself.)
	 */
	q = blk_mq_rq_from_pdu(bio->bi_private)->q;
	percpu_ref_get(&q->q_usage_counter);
	blk_start_plug(&plug);
	while ((bio = bio_list_pop(&bios))) {
		struct stor_leg *leg = container_of(bio, struct stor_leg, bio);
		struct stor_io *io = bio->bi_private;

		if (io->stat)
			io->sent = ktime_get_ns();
		if (leg->key)
			stor_send_inline(leg);
		else
			stor_send(leg);
	}
	blk_finish_plug(&plug);
	percpu_ref_put(&q->q_usage_counter);
}

/**
 * stor_punt_init - prepare for bios to be submitted by somebody else
 * @punt: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_punt_init(struct stor_punt *punt)
{
	spin_lock_init(&punt->lock);
	bio_list_init(&punt->bios);
	INIT_WORK(&punt->work, stor_punt_work);
	punt->wq = alloc_workqueue("stor", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				   WQ_PERCPU, 1);
	return punt->wq ? 0 : -ENOMEM;
}

/**
 * stor_punt_exit - wait for the last bios to be submitted, and clean up
 * @punt: what stor_punt_init() has prepared
 */
void stor_punt_exit(struct stor_punt *punt)
{
	destroy_workqueue(punt->wq);
}

/**
 * stor_punt - leave a leg to the worker
 * @leg: the leg
 * @punt: the volume's worker
 *
 * Nobody would poll it there.
 *
 * Context: any.
 */
void stor_punt(struct stor_leg *leg, struct stor_punt *punt)
{
	struct bio *bio = &leg->bio;
	unsigned long flags;

	if (leg->on_polled) {
		stor_poll_del(leg, blk_mq_rq_from_pdu(bio->bi_private));
		leg->on_polled = false;
		leg->opf &= ~REQ_POLLED;
		bio->bi_opf &= ~REQ_POLLED;
	}
	spin_lock_irqsave(&punt->lock, flags);
	bio_list_add(&punt->bios, bio);
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

static bool stor_stack_is_short(void)
{
	return current_stack_pointer -
	       (unsigned long)task_stack_page(current) < STOR_STACK_NEEDED;
}

/**
 * stor_submit_begin - prepare this task for submitting below
 * @submit: what stor_submit_end() needs
 * @q: our queue, whose requests are about to be submitted
 * @nr: how many, at least 1
 * @timed: set @submit->now, unless it is a request that this task has just made
 *
 * Context: process, from within queue_rq() or queue_rqs().
 */
void stor_submit_begin(struct stor_submit *submit, struct request_queue *q,
		       unsigned int nr, bool timed)
{
	struct blk_plug *plug = current->plug;

	submit->callers_plug = plug;
	submit->callers_bios = current->bio_list;
	submit->mode = STOR_SUBMIT_FREE;
	submit->plugged = false;
	if (plug && !plug->rq_count) {
		if (stor_plug_has_others(plug, q))
			submit->mode = STOR_SUBMIT_WORKER;
		else if (submit->callers_bios)
			submit->mode = STOR_SUBMIT_TRY;
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
		submit->mode = STOR_SUBMIT_TRY;
	}
	if (unlikely(rcu_preempt_depth() || stor_stack_is_short()))
		submit->mode = STOR_SUBMIT_NEVER;
	current->bio_list = NULL;
	/* Even a single one that is tried: see stor_submit_end(). */
	if ((nr > 1 || submit->mode == STOR_SUBMIT_TRY) && !current->plug &&
	    submit->mode < STOR_SUBMIT_WORKER) {
		blk_start_plug(&submit->plug);
		submit->plug.nr_ios = min(nr, STOR_PLUG_REQUESTS);
		submit->plugged = true;
	}
	submit->now = 0;
	/*
	 * Inside submit_bio() and without a plug it is the one just made; unless
	 * some were put off, whose wait then counts as the lower device's.
	 */
	if (!timed || (!plug && submit->callers_bios))
		return;
	submit->now = ktime_get_ns();
	if (submit->plugged) {
		/* The lower queue stamps its requests with the same time. */
		submit->plug.cur_ktime = submit->now;
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
 * stor_submit_end - issue what was submitted, and give the task back
 * @submit: what stor_submit_begin() has prepared
 *
 * The list is back before the plug is flushed: if the lower device is a volume
 * too, it shall see a flush inside submit_bio(), and only try as well.
 */
void stor_submit_end(struct stor_submit *submit)
{
	if (unlikely(submit->mode == STOR_SUBMIT_TRY && !submit->callers_bios)) {
		stor_finish_trying(&submit->plug);
	} else {
		current->bio_list = submit->callers_bios;
		if (submit->plugged)
			blk_finish_plug(&submit->plug);
	}
	current->plug = submit->callers_plug;
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

/* What stor_submit_leg() has to think about. */
static noinline void stor_submit_carefully(struct stor_leg *leg,
					   const struct stor_submit *submit,
					   struct stor_punt *punt)
{
	struct bio *bio = &leg->bio;
	const bool nowait = bio->bi_opf & REQ_NOWAIT;

	/* One that the user does not want to wait may still be put to sleep. */
	if (!stor_may_try(bio) || submit->mode == STOR_SUBMIT_NEVER ||
	    (submit->mode == STOR_SUBMIT_WORKER && !nowait)) {
		/* Among those of others it may find a neighbour. */
		bio->bi_opf &= ~REQ_NOMERGE;
		leg->key = NULL;
		stor_punt(leg, punt);
		return;
	}
	if (!nowait) {
		bio->bi_opf |= REQ_NOWAIT;
		leg->tried = true;
	}
	stor_send(leg);
}

/**
 * stor_submit_leg - submit a leg
 * @leg: the leg; it has no key
 * @submit: the submit context
 * @punt: the volume's worker
 *
 * Context: process.
 */
void stor_submit_leg(struct stor_leg *leg, struct stor_submit *submit,
		     struct stor_punt *punt)
{
	struct bio *bio = &leg->bio;
	struct request_queue *q = bdev_get_queue(bio->bi_bdev);

	/*
	 * Reads and writes that can be merged in a plug were merged in ours, by
	 * the same rules. Below, a scheduler may find more; without one there
	 * is little left to find, among what a busy driver has put off.
	 */
	if (queue_is_mq(q) && !READ_ONCE(q->elevator) &&
	    bio_op(bio) <= REQ_OP_WRITE)
		bio->bi_opf |= REQ_NOMERGE;
	if (likely(submit->mode == STOR_SUBMIT_FREE &&
		   !(bio->bi_opf & REQ_POLLED)))
		stor_send(leg);
	else
		stor_submit_carefully(leg, submit, punt);
}

/**
 * stor_submit_inline - submit a leg that has a key
 * @leg: the leg; it has data, and is not polled
 * @submit: the submit context
 * @punt: the volume's worker
 *
 * Context: process.
 */
void stor_submit_inline(struct stor_leg *leg, struct stor_submit *submit,
			struct stor_punt *punt)
{
	const blk_opf_t nowait = leg->bio.bi_opf & REQ_NOWAIT;

	if (submit->mode == STOR_SUBMIT_FREE &&
	    (!nowait || stor_inline_is_native(leg->key))) {
		stor_send_inline(leg);
		return;
	}
	/* The worker may wait: nobody waits for it. */
	leg->bio.bi_opf &= ~REQ_NOWAIT;
	leg->opf &= ~REQ_NOWAIT;
	stor_punt(leg, punt);
}

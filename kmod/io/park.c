// SPDX-License-Identifier: GPL-2.0
/*
 * What is parked: bios of a volume whose I/O has to wait for something that is not
 * below, a key say.
 *
 * They have given back their request, and with it its tag and its reference to
 * the queue. So nobody who freezes the queue, changes its depth or its scheduler,
 * deletes the disk or closes its gate waits for them, and other I/O finds tags
 * beside them. They wait in the order in which they came, and are submitted again,
 * to the same disk, by a worker; it may have to wait for a tag. What is already
 * known of them, as from which partition they came, they bring along.
 *
 * A bio comes back as it was, but for POLLED and NOWAIT: nobody who polls finds it
 * any more, and it has waited already. One that asked for a flush before it, or for
 * one after it, still does. The block layer may have made that flush before the bio
 * was parked; then it makes another one, which is one too many and does no harm.
 * The request which the bio had in that sequence ends as any other, and the block
 * layer finds no bio in it to end. The flush itself has a request without a bio,
 * which is never parked: what has not been written when it comes is not what it is
 * there for.
 *
 * For the block layer's own statistics a bio is counted when it ends for good:
 * what is parked is neither in flight nor done there. For those of its cgroup it
 * is one more I/O each time it is submitted. A policy on the volume itself
 * (io.cost, io.latency) sees it come twice and end once, as one that fails over to
 * another path of NVMe's multipath.
 *
 * Some have to keep their request, and are asked for again and again by the block
 * layer: those of request-based dm, which is told of the end of the request, not of
 * its bios; and those beyond STOR_PARK_MAX, as otherwise nothing would bound what a
 * guest can have the host keep for it.
 *
 * Lock order: the lock is a leaf.
 */
#include <linux/blk-mq.h>
#include <linux/ktime.h>
#include <linux/part_stat.h>

#include "park.h"

/* Most bios of a volume that are parked. */
#define STOR_PARK_MAX 65536

/*
 * Whether a request is done with when it has ended. Otherwise somebody is told of
 * its end who knows nothing of what becomes of its bios.
 */
static bool stor_park_may(const struct request *rq)
{
	if (rq->rq_flags & RQF_FLUSH_SEQ)
		return !rq->flush.saved_end_io;
	return !rq->end_io;
}

static unsigned int stor_park_op(const struct bio *bio)
{
	return min_t(unsigned int, bio_op(bio), STOR_STAT_OPS - 1);
}

static void stor_park_work(struct work_struct *work)
{
	struct stor_park *park = container_of(work, struct stor_park, work);
	struct blk_plug plug;
	struct bio *bio;

	blk_start_plug(&plug);
	for (;;) {
		spin_lock_irq(&park->lock);
		bio = bio_list_pop(&park->released);
		if (bio)
			park->count[stor_park_op(bio)]--;
		spin_unlock_irq(&park->lock);
		if (!bio)
			break;
		submit_bio_noacct(bio);
	}
	blk_finish_plug(&plug);
}

/**
 * stor_park_init - make a place for bios of a volume; it is not open
 * @park: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_park_init(struct stor_park *park)
{
	memset(park, 0, sizeof(*park));
	spin_lock_init(&park->lock);
	INIT_WORK(&park->work, stor_park_work);
	/* When memory is scarce, what was released may be what frees some. */
	park->wq = alloc_workqueue("stor_park", WQ_MEM_RECLAIM | WQ_UNBOUND, 1);
	return park->wq ? 0 : -ENOMEM;
}

/**
 * stor_park_exit - end what is left, and clean up
 * @park: what stor_park_init() has prepared
 */
void stor_park_exit(struct stor_park *park)
{
	stor_park_abort(park);
	destroy_workqueue(park->wq);
}

/**
 * stor_park_add - park the bios of a request, and end the request
 * @park: where to
 * @rq: the request, which was not started; it has bios
 *
 * Context: process.
 * Return: what has become of it; if it is not parked it is still the caller's.
 */
enum stor_parked stor_park_add(struct stor_park *park, struct request *rq)
{
	enum stor_parked refused = STOR_PARKED;
	unsigned int op, all = 0;
	struct bio *bio;

	spin_lock_irq(&park->lock);
	for (op = 0; op < STOR_STAT_OPS; op++)
		all += park->count[op];
	if (!park->open)
		refused = STOR_PARK_CLOSED;
	else if (all >= STOR_PARK_MAX || !stor_park_may(rq))
		refused = STOR_PARK_LATER;
	if (refused != STOR_PARKED) {
		spin_unlock_irq(&park->lock);
		return refused;
	}
	for (bio = rq->bio; bio; bio = bio->bi_next)
		park->count[stor_park_op(bio)]++;
	blk_steal_bios(&park->parked, rq);
	spin_unlock_irq(&park->lock);

	/* It is no I/O that was done; but it is not in flight any more. */
	if (rq->rq_flags & RQF_IO_STAT) {
		const bool rw = op_is_write(req_op(rq));

		part_stat_lock();
		part_stat_local_dec(rq->part, in_flight[rw]);
		if (bdev_is_partition(rq->part))
			part_stat_local_dec(bdev_whole(rq->part),
					    in_flight[rw]);
		part_stat_unlock();
		rq->rq_flags &= ~RQF_IO_STAT;
	}
	/* For a scheduler it has taken no time. */
	rq->io_start_time_ns = ktime_get_ns();
	blk_mq_end_request(rq, BLK_STS_OK);
	return STOR_PARKED;
}

/**
 * stor_park_open - have bios parked from now on
 * @park: where
 */
void stor_park_open(struct stor_park *park)
{
	spin_lock_irq(&park->lock);
	park->open = true;
	spin_unlock_irq(&park->lock);
}

/**
 * stor_park_release - park no more, and let go what is parked
 * @park: where
 *
 * Context: any but interrupts.
 */
void stor_park_release(struct stor_park *park)
{
	spin_lock_irq(&park->lock);
	park->open = false;
	bio_list_merge_init(&park->released, &park->parked);
	spin_unlock_irq(&park->lock);
	queue_work(park->wq, &park->work);
}

/**
 * stor_park_abort - park no more, and end what is parked with an error
 * @park: where
 *
 * Context: process.
 */
void stor_park_abort(struct stor_park *park)
{
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&park->lock);
	park->open = false;
	bios = park->parked;
	bio_list_init(&park->parked);
	bio_list_for_each(bio, &bios)
		park->count[stor_park_op(bio)]--;
	spin_unlock_irq(&park->lock);
	while ((bio = bio_list_pop(&bios)))
		bio_io_error(bio);
}

/**
 * stor_park_is_open - whether bios are parked
 * @park: where
 */
bool stor_park_is_open(struct stor_park *park)
{
	return READ_ONCE(park->open);
}

/**
 * stor_park_count - how many bios are parked, or on their way back
 * @park: where
 * @op: those that are counted as this
 */
unsigned int stor_park_count(struct stor_park *park, unsigned int op)
{
	return READ_ONCE(park->count[op]);
}

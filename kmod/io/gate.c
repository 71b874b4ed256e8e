// SPDX-License-Identifier: GPL-2.0
/*
 * The gate of a disk: closed, its queue is quiesced, nobody is inside of its
 * queue_rq(), nothing of it is in flight, and its worker is back from below.
 *
 * A freeze would do the same, but costs a grace period of RCU even for an idle
 * queue, ends I/O with EAGAIN that asked not to wait, and makes whoever begins it
 * dispatch, and so sleep below. Requests that come to a quiesced queue wait in it,
 * whatever they asked for, and those that are polled can still be found.
 *
 * Everything is waited for with a limit. The one wait that has none, for those in
 * queue_rq(), who may sleep below, is a worker's.
 */
#include <linux/blk-mq.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/srcu.h>

#include "gate.h"
#include "submit.h"

/* How often to look for what is in flight, in us: first, and at last. */
#define STOR_LOOK_MIN 20
#define STOR_LOOK_MAX 1000

static void stor_gate_work(struct work_struct *work)
{
	struct stor_gate *gate = container_of(work, struct stor_gate, work);

	synchronize_srcu_expedited(gate->set->srcu);
	complete_all(&gate->done);
}

/**
 * stor_gate_init - prepare the gate of a disk
 * @gate: what to prepare
 * @set: the tags of the disk, which block when they dispatch
 */
void stor_gate_init(struct stor_gate *gate, struct blk_mq_tag_set *set)
{
	INIT_WORK(&gate->work, stor_gate_work);
	init_completion(&gate->done);
	complete_all(&gate->done);
	gate->set = set;
}

/**
 * stor_gate_exit - wait for who may still be waiting
 * @gate: the gate of a disk that nobody is inside of any more
 */
void stor_gate_exit(struct stor_gate *gate)
{
	flush_work(&gate->work);
}

/* Wait for all who are in queue_rq(); false if that takes too long. */
static bool stor_gate_wait(struct stor_gate *gate, unsigned long end)
{
	unsigned int i;

	/* An earlier caller may have given up; its wait began too early for us. */
	for (i = 0; i < 2; i++) {
		unsigned long left = end - jiffies;

		if (time_after_eq(jiffies, end) ||
		    !wait_for_completion_timeout(&gate->done, left))
			return false;
		if (!i) {
			/* It has left when it has completed. */
			flush_work(&gate->work);
			reinit_completion(&gate->done);
			queue_work(system_dfl_long_wq, &gate->work);
		}
	}
	return true;
}

static bool stor_gate_count(struct request *rq, void *count)
{
	(*(unsigned int *)count)++;
	return true;
}

/*
 * Whether something was started and has not ended. (blk_mq_queue_inflight() passes
 * over what belongs to a sequence of flushes and waits for its end on another CPU.)
 */
static bool stor_gate_is_busy(struct stor_gate *gate, struct stor_punt *punt)
{
	unsigned int count = 0;

	blk_mq_tagset_busy_iter(gate->set, stor_gate_count, &count);
	return count || work_busy(&punt->work) & WORK_BUSY_RUNNING;
}

/**
 * stor_gate_close - close the gate of a disk
 * @gate: the gate
 * @q: the queue of the disk
 * @punt: its worker
 * @patience: for how long to wait, in ms
 *
 * One caller at a time.
 *
 * Context: process.
 * Return: false if what is in flight has not ended by then; then the gate is open
 * again. Else it is closed, until stor_gate_open().
 */
bool stor_gate_close(struct stor_gate *gate, struct request_queue *q,
		     struct stor_punt *punt, unsigned int patience)
{
	const unsigned long end = jiffies + msecs_to_jiffies(patience);
	unsigned int look = STOR_LOOK_MIN;

	blk_mq_quiesce_queue_nowait(q);
	if (!stor_gate_wait(gate, end))
		goto open;
	while (stor_gate_is_busy(gate, punt)) {
		if (time_after(jiffies, end))
			goto open;
		usleep_range(look, 2 * look);
		look = min(2 * look, STOR_LOOK_MAX);
	}
	return true;
open:
	blk_mq_unquiesce_queue(q);
	return false;
}

/**
 * stor_gate_open - open the gate of a disk
 * @q: the queue of the disk, whose gate was closed
 *
 * Context: process.
 */
void stor_gate_open(struct request_queue *q)
{
	blk_mq_unquiesce_queue(q);
}

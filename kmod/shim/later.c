// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that ended where their data can not be opened: in a hard interrupt,
 * where vector registers may not be used. They go on in a softirq of the same
 * CPU.
 */
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/workqueue.h>

#include "shim.h"

struct stor_later {
	struct llist_head list;
	struct work_struct work;
};

static DEFINE_PER_CPU(struct stor_later, stor_later);

static void stor_later_work(struct work_struct *work)
{
	struct stor_later *later = container_of(work, struct stor_later, work);
	struct stor_pdu *pdu, *next;
	struct llist_node *list;

	/* The last that came is the first in the list. */
	list = llist_reverse_order(llist_del_all(&later->list));
	llist_for_each_entry_safe(pdu, next, list, later)
		pdu->go_on(blk_mq_rq_from_pdu(pdu));
}

/**
 * stor_shim_later_init - prepare for requests that go on later
 */
void stor_shim_later_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct stor_later *later = per_cpu_ptr(&stor_later, cpu);

		init_llist_head(&later->list);
		INIT_WORK(&later->work, stor_later_work);
	}
}

/**
 * stor_shim_later_exit - wait for those on their last steps
 *
 * No request may be left.
 */
void stor_shim_later_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		flush_work(&per_cpu_ptr(&stor_later, cpu)->work);
}

/**
 * stor_shim_may_open - whether data can be opened here
 *
 * Context: any.
 */
bool stor_shim_may_open(void)
{
	return !in_hardirq() && !irqs_disabled();
}

/**
 * stor_shim_later - go on with a request in a softirq of this CPU
 * @pdu: that of the request
 * @go_on: called with the request
 *
 * Context: any, with interrupts off or in a hard interrupt.
 */
void stor_shim_later(struct stor_pdu *pdu, void (*go_on)(struct request *rq))
{
	struct stor_later *later = this_cpu_ptr(&stor_later);

	pdu->go_on = go_on;
	if (llist_add(&pdu->later, &later->list))
		queue_work(system_bh_highpri_wq, &later->work);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Where the data of reads is decrypted.
 *
 * Not in a hard interrupt, where vector registers may not be used: a read that has
 * ended in one goes on in a softirq of the same CPU.
 *
 * And not without end in a softirq, which keeps all tasks of the CPU waiting: an
 * interrupt may end hundreds of reads at once, each of 128 KiB. Softirqs of a CPU
 * decrypt for STOR_SPEND_NS of each STOR_WINDOW_NS at most, and one read more. What
 * comes then goes on in a worker of the same CPU, which is a task as any other.
 *
 * A task decrypts what has ended in it, when it polls say.
 */
#include <linux/ktime.h>
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "io.h"
#include "softirq.h"

#define STOR_WINDOW_NS (2 * NSEC_PER_MSEC)
#define STOR_SPEND_NS (NSEC_PER_MSEC / 2)

/**
 * struct stor_softirq_cpu - reads of one CPU that go on later
 * @softirq: its softirq
 * @list: for @bh
 * @bh: goes on with @list, in a softirq
 * @rest: for @worker
 * @worker: goes on with @rest, in a task
 * @since: when the window began, in ns
 * @spent: for how long softirqs have decrypted since then, in ns; both are used by
 *	softirqs of this CPU only
 */
struct stor_softirq_cpu {
	struct stor_softirq *softirq;
	struct llist_head list;
	struct work_struct bh;
	struct llist_head rest;
	struct work_struct worker;
	u64 since;
	u64 spent;
};

static void stor_softirq_bh(struct work_struct *work)
{
	struct stor_softirq_cpu *c = container_of(work, struct stor_softirq_cpu,
						  bh);
	struct stor_io *io, *next;
	struct llist_node *list;

	/* The last that came is the first in the list. */
	list = llist_reverse_order(llist_del_all(&c->list));
	llist_for_each_entry_safe(io, next, list, softirq) {
		enum stor_where where = stor_softirq_where(c->softirq);

		if (where == STOR_IN_WORKER)
			stor_softirq_later(c->softirq, io, where);
		else
			stor_io_decrypt(io);
	}
}

static void stor_softirq_worker(struct work_struct *work)
{
	struct stor_softirq_cpu *c = container_of(work, struct stor_softirq_cpu,
						  worker);
	struct stor_io *io, *next;
	struct llist_node *list;

	list = llist_reverse_order(llist_del_all(&c->rest));
	llist_for_each_entry_safe(io, next, list, softirq) {
		stor_io_decrypt(io);
		cond_resched();
	}
}

/**
 * stor_softirq_init - prepare for reads that go on later
 * @softirq: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_softirq_init(struct stor_softirq *softirq)
{
	int cpu;

	softirq->cpu = alloc_percpu(struct stor_softirq_cpu);
	/* What is read may be what frees memory. Nothing in it waits. */
	softirq->wq = alloc_workqueue("stor_decrypt", WQ_MEM_RECLAIM |
				      WQ_HIGHPRI | WQ_PERCPU, 0);
	if (!softirq->cpu || !softirq->wq) {
		stor_softirq_exit(softirq);
		return -ENOMEM;
	}
	for_each_possible_cpu(cpu) {
		struct stor_softirq_cpu *c = per_cpu_ptr(softirq->cpu, cpu);

		c->softirq = softirq;
		init_llist_head(&c->list);
		INIT_WORK(&c->bh, stor_softirq_bh);
		init_llist_head(&c->rest);
		INIT_WORK(&c->worker, stor_softirq_worker);
	}
	return 0;
}

/**
 * stor_softirq_exit - wait for those on their last steps, and clean up
 * @softirq: what stor_softirq_init() has prepared; no request may be left
 */
void stor_softirq_exit(struct stor_softirq *softirq)
{
	int cpu;

	if (softirq->cpu && softirq->wq)
		for_each_possible_cpu(cpu)
			flush_work(&per_cpu_ptr(softirq->cpu, cpu)->bh);
	if (softirq->wq)
		destroy_workqueue(softirq->wq);
	free_percpu(softirq->cpu);
}

/**
 * stor_softirq_where - where a read that ends here is to be decrypted
 * @softirq: what there is besides this context
 *
 * Context: any.
 */
enum stor_where stor_softirq_where(struct stor_softirq *softirq)
{
	struct stor_softirq_cpu *c;
	u64 now;

	if (in_hardirq() || irqs_disabled())
		return STOR_IN_SOFTIRQ;
	/* A task that has softirqs off keeps its CPU as they do. */
	if (!softirq_count())
		return STOR_HERE;
	c = this_cpu_ptr(softirq->cpu);
	now = ktime_get_ns();
	if (now - c->since >= STOR_WINDOW_NS) {
		c->since = now;
		c->spent = 0;
	}
	return c->spent < STOR_SPEND_NS ? STOR_HERE : STOR_IN_WORKER;
}

/**
 * stor_softirq_spent - note for how long something was decrypted
 * @softirq: where stor_softirq_where() has said that this is the place
 * @ns: how long, in ns
 *
 * Context: process or softirq.
 */
void stor_softirq_spent(struct stor_softirq *softirq, u64 ns)
{
	if (softirq_count())
		this_cpu_ptr(softirq->cpu)->spent += ns;
}

/**
 * stor_softirq_later - have a read decrypted elsewhere on this CPU
 * @softirq: who does
 * @io: the read
 * @where: in a softirq or in a worker
 *
 * Context: any, on the CPU that stor_softirq_where() was called on.
 */
void stor_softirq_later(struct stor_softirq *softirq, struct stor_io *io,
			enum stor_where where)
{
	struct stor_softirq_cpu *c = this_cpu_ptr(softirq->cpu);

	if (where == STOR_IN_SOFTIRQ) {
		if (llist_add(&io->softirq, &c->list))
			queue_work(system_bh_highpri_wq, &c->bh);
	} else if (llist_add(&io->softirq, &c->rest)) {
		queue_work_on(smp_processor_id(), softirq->wq, &c->worker);
	}
}

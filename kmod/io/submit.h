/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a task submits lower bios.
 */
#ifndef _STOR_SUBMIT_H
#define _STOR_SUBMIT_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct stor_leg;

/**
 * enum stor_submit_mode - how a task may submit below
 * @STOR_SUBMIT_FREE: it may sleep
 * @STOR_SUBMIT_TRY: as long as it does not sleep
 * @STOR_SUBMIT_WORKER: the volume's worker does, unless the user wants no wait
 * @STOR_SUBMIT_NEVER: the worker does, always
 */
enum stor_submit_mode {
	STOR_SUBMIT_FREE,
	STOR_SUBMIT_TRY,
	STOR_SUBMIT_WORKER,
	STOR_SUBMIT_NEVER,
};

/**
 * struct stor_submit - submit context: a task that submits below, and what it was
 *	doing
 * @plug: where lower requests are collected, if @plugged
 * @callers_plug: the task's own plug
 * @callers_bios: the task's own bio_list
 * @now: when this began, in ns; 0 if nobody asked, or the requests say it
 * @mode: how it may submit
 * @plugged: @plug is the task's plug
 */
struct stor_submit {
	struct blk_plug plug;
	struct blk_plug *callers_plug;
	struct bio_list *callers_bios;
	u64 now;
	enum stor_submit_mode mode;
	bool plugged;
};

/**
 * struct stor_punt - bios on their way to the worker of a volume, who may sleep
 * @lock: protects @bios
 * @bios: waiting for @work
 * @work: submits @bios
 * @wq: where @work runs; one for each volume, as volumes may wait for each
 *	other and memory may be scarce
 */
struct stor_punt {
	spinlock_t lock;	/* protects bios; a leaf, taken in any context */
	struct bio_list bios;
	struct work_struct work;
	struct workqueue_struct *wq;
};

int stor_punt_init(struct stor_punt *punt);
void stor_punt_exit(struct stor_punt *punt);
void stor_punt(struct stor_leg *leg, struct stor_punt *punt);
void stor_submit_begin(struct stor_submit *submit, struct request_queue *q,
		       unsigned int nr, bool timed);
void stor_submit_end(struct stor_submit *submit);
void stor_submit_leg(struct stor_leg *leg, struct stor_submit *submit,
		     struct stor_punt *punt);
void stor_submit_inline(struct stor_leg *leg, struct stor_submit *submit,
			struct stor_punt *punt);

#endif /* _STOR_SUBMIT_H */

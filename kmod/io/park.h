/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is parked: bios that have given back their request.
 */
#ifndef _STOR_PARK_H
#define _STOR_PARK_H

#include <linux/bio.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "stat.h"

struct request;

/**
 * struct stor_park - bios of a volume that wait, and those on their way back
 * @lock: protects all but @work and @wq
 * @open: bios may be parked
 * @parked: they wait
 * @released: they are about to be submitted again, by @work
 * @count: how many there are in both, by what they are counted as
 * @work: submits @released
 * @wq: where @work runs; one for each volume, as it may wait for a tag of the
 *	volume, and volumes may wait for each other
 */
struct stor_park {
	spinlock_t lock;	/* protects what follows; a leaf */
	bool open;
	struct bio_list parked;
	struct bio_list released;
	unsigned int count[STOR_STAT_OPS];
	struct work_struct work;
	struct workqueue_struct *wq;
};

/**
 * enum stor_parked - what has become of a request
 * @STOR_PARKED: its bios are parked, and it has ended
 * @STOR_PARK_CLOSED: nothing is parked here
 * @STOR_PARK_LATER: it can not be parked now, and is to come again
 */
enum stor_parked {
	STOR_PARKED,
	STOR_PARK_CLOSED,
	STOR_PARK_LATER,
};

int stor_park_init(struct stor_park *park);
void stor_park_exit(struct stor_park *park);
enum stor_parked stor_park_add(struct stor_park *park, struct request *rq);
void stor_park_open(struct stor_park *park);
void stor_park_release(struct stor_park *park);
void stor_park_abort(struct stor_park *park);
bool stor_park_is_open(struct stor_park *park);
unsigned int stor_park_count(struct stor_park *park, unsigned int op);

#endif /* _STOR_PARK_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disks whose partition table is read by a worker.
 */
#ifndef _STOR_SCAN_H
#define _STOR_SCAN_H

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/workqueue.h>

enum stor_scan_state {
	STOR_SCAN_NEW,
	STOR_SCAN_LATE,
	STOR_SCAN_DONE,
};

/**
 * struct stor_scan - who reads the partition table of a disk, when it is new
 * @work: reads it
 * @done: it was read
 * @disk: the disk
 * @bdev: the device that it stands on
 * @linked: they are linked in sysfs; set before @done
 * @state: whether it was read, or nobody waits for @done any more; what comes last
 */
struct stor_scan {
	struct work_struct work;
	struct completion done;
	struct gendisk *disk;
	struct block_device *bdev;
	bool linked;
	enum stor_scan_state state;
};

void stor_scan_init(struct stor_scan *scan, struct gendisk *disk,
		    struct block_device *bdev);
bool stor_scan(struct stor_scan *scan, unsigned int patience);
bool stor_scan_is_done(struct stor_scan *scan);
void stor_scan_exit(struct stor_scan *scan);

#endif /* _STOR_SCAN_H */

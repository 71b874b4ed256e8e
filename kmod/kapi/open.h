/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices that are opened, and disks whose partitions are read, by workers.
 */
#ifndef _STOR_OPEN_H
#define _STOR_OPEN_H

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/workqueue.h>

struct stor_bdev;

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

int stor_bdev_lookup(const char *name, unsigned int patience, dev_t *dev);
struct stor_bdev *stor_bdev_open(dev_t dev, bool read_only,
				 unsigned int patience);
void stor_bdev_close(struct stor_bdev *bdev, unsigned int patience);
struct block_device *stor_bdev_get(struct stor_bdev *bdev);
struct file *stor_bdev_file(struct stor_bdev *bdev);

/**
 * stor_backing_lost - told when a backing goes away; defined in Rust
 * @bdev: the device; it may be closed, and freed, at any time
 * @surprise: it is gone already, I/O to it can only fail
 */
void stor_backing_lost(struct block_device *bdev, bool surprise);

void stor_scan_init(struct stor_scan *scan, struct gendisk *disk,
		    struct block_device *bdev);
bool stor_scan(struct stor_scan *scan, unsigned int patience);
bool stor_scan_is_done(struct stor_scan *scan);
void stor_scan_exit(struct stor_scan *scan);

#endif /* _STOR_OPEN_H */

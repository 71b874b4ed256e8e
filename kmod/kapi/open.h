/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices that are looked up, opened and closed by workers.
 */
#ifndef _STOR_OPEN_H
#define _STOR_OPEN_H

#include <linux/blkdev.h>

struct stor_bdev;

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

#endif /* _STOR_OPEN_H */

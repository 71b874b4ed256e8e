// SPDX-License-Identifier: GPL-2.0
/*
 * Who links a new disk to its backing in sysfs, and reads its partition table. That
 * takes the open_mutex of the disk and waits for its backing, perhaps for ever, and
 * commands come with locks of generic netlink held; so a worker does it, and who asks
 * for it gives up some time.
 */
#include <linux/file.h>
#include <linux/jiffies.h>

#include "scan.h"

static void stor_scan_work(struct work_struct *work)
{
	struct stor_scan *scan = container_of(work, struct stor_scan, work);
	struct gendisk *disk = scan->disk;
	struct file *file;
	int err;

	err = bd_link_disk_holder(scan->bdev, disk);
	scan->linked = !err;
	/* Users may have opened the disk by now: it stays, without links. */
	if (err)
		pr_warn("stor: no links from disk to backing in sysfs: error %d\n",
			err);
	/* As for any disk: not if somebody has claimed it. */
	err = bd_prepare_to_claim(disk->part0, scan, NULL);
	clear_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	if (!err) {
		/*
		 * That makes its pages ready to be read, and drops them at the
		 * end. By GD_NEED_PART_SCAN somebody else could come to read
		 * them, and be killed.
		 */
		file = bdev_file_open_by_dev(disk_devt(disk), BLK_OPEN_READ,
					     NULL, NULL);
		if (!IS_ERR(file)) {
			mutex_lock(&disk->open_mutex);
			bdev_disk_changed(disk, false);
			mutex_unlock(&disk->open_mutex);
			/* Who is told may delete the volume at once. */
			__fput_sync(file);
		}
		bd_abort_claiming(disk->part0, scan);
	}
	if (xchg(&scan->state, STOR_SCAN_DONE) == STOR_SCAN_LATE)
		pr_info("stor: %s: the partition table %s\n", disk->disk_name,
			err ? "was not read, the disk is in use" : "is read now");
	complete_all(&scan->done);
}

/**
 * stor_scan_init - have a disk added without a look at its partitions
 * @scan: what to prepare
 * @disk: a disk that nobody can see yet
 * @bdev: the device that it stands on
 *
 * @scan may be freed after stor_scan_exit(), or if stor_scan() was never
 * called.
 */
void stor_scan_init(struct stor_scan *scan, struct gendisk *disk,
		    struct block_device *bdev)
{
	INIT_WORK(&scan->work, stor_scan_work);
	init_completion(&scan->done);
	scan->disk = disk;
	scan->bdev = bdev;
	scan->linked = false;
	scan->state = STOR_SCAN_NEW;
	set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
}

/**
 * stor_scan - have the partition table of a disk read, and wait
 * @scan: what stor_scan_init() has prepared; the disk was added
 * @patience: for how long to wait, in ms
 *
 * Before that, disk and device are linked in sysfs. If somebody has claimed the
 * disk by then, it is not read.
 *
 * Context: process; once.
 * Return: true if that is done; else it comes later.
 */
bool stor_scan(struct stor_scan *scan, unsigned int patience)
{
	queue_work(system_dfl_long_wq, &scan->work);
	if (wait_for_completion_killable_timeout(&scan->done,
						 msecs_to_jiffies(patience)) > 0)
		return true;
	if (xchg(&scan->state, STOR_SCAN_LATE) != STOR_SCAN_DONE)
		return false;
	wait_for_completion(&scan->done);
	return true;
}

/**
 * stor_scan_is_done - whether the partition table was read
 * @scan: that of a disk that was added
 */
bool stor_scan_is_done(struct stor_scan *scan)
{
	return completion_done(&scan->done);
}

/**
 * stor_scan_exit - wait for who reads the partition table, and end the links
 * @scan: that of a disk that was added; stor_scan_is_done()
 */
void stor_scan_exit(struct stor_scan *scan)
{
	flush_work(&scan->work);
	if (scan->linked)
		bd_unlink_disk_holder(scan->bdev, scan->disk);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Block devices that volumes stand on, and the disks that volumes are.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include "shim.h"

static void stor_mark_dead(struct block_device *bdev, bool surprise)
	__releases(&bdev->bd_holder_lock)
{
	unsigned int noio;

	/*
	 * Under the lock the claim stands, and with it a reference to the
	 * module. Keep one: the claim may go as soon as the lock does.
	 */
	__module_get(THIS_MODULE);
	/*
	 * What follows may walk up to a file system on our disk, which takes
	 * locks of the same class.
	 */
	mutex_unlock(&bdev->bd_holder_lock);
	/* The caller may be the one who has to get I/O going again. */
	noio = memalloc_noio_save();
	stor_backing_lost(bdev, surprise);
	memalloc_noio_restore(noio);
	module_put(THIS_MODULE);
}

static const struct blk_holder_ops stor_holder_ops = {
	.mark_dead = stor_mark_dead,
};

/**
 * stor_shim_bdev_open - open a device exclusively
 * @dev: its number
 * @read_only: for reading only; else for writing, too
 *
 * All opens have one holder, so that they can share a device. The caller has a
 * reference to the module, and keeps it until it has closed the file.
 *
 * Return: the open file or an ERR_PTR().
 */
struct file *stor_shim_bdev_open(dev_t dev, bool read_only)
{
	blk_mode_t mode = BLK_OPEN_READ;

	if (!read_only)
		mode |= BLK_OPEN_WRITE;
	return bdev_file_open_by_dev(dev, mode, (void *)&stor_holder_ops,
				     &stor_holder_ops);
}

bool stor_shim_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

bool stor_shim_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

/**
 * stor_shim_bdev_is_dead - whether the disk of a device is going away
 * @bdev: the device
 *
 * True before mark_dead() is called for it.
 */
bool stor_shim_bdev_is_dead(struct block_device *bdev)
{
	struct gendisk *disk = bdev->bd_disk;

	return !disk_live(disk) || test_bit(GD_DEAD, &disk->state);
}

loff_t stor_shim_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}

dev_t stor_shim_bdev_dev(struct block_device *bdev)
{
	return bdev->bd_dev;
}

unsigned int stor_shim_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

/**
 * stor_shim_bdev_name - write the kernel's name of a device, as in nvme0n1p2
 * @bdev: the device
 * @buf: where to
 * @len: its size; the name is cut off if it is longer
 */
void stor_shim_bdev_name(struct block_device *bdev, char *buf, size_t len)
{
	scnprintf(buf, len, "%pg", bdev);
}

static void stor_scan_work(struct work_struct *work)
{
	struct stor_scan *scan = container_of(work, struct stor_scan, work);
	struct gendisk *disk = scan->disk;
	struct file *file;

	/* That makes its pages ready to be read, and drops them at the end. */
	file = bdev_file_open_by_dev(disk_devt(disk), BLK_OPEN_READ, NULL,
				     NULL);
	clear_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	if (!IS_ERR(file)) {
		mutex_lock(&disk->open_mutex);
		bdev_disk_changed(disk, false);
		mutex_unlock(&disk->open_mutex);
		/* Who makes the volume may delete it as soon as it is told. */
		__fput_sync(file);
	}
	complete_all(&scan->done);
}

/**
 * stor_shim_scan_init - have a disk added without a look at its partitions
 * @scan: what to prepare; it may be freed after stor_shim_scan_exit()
 * @disk: a disk that nobody can see yet
 */
void stor_shim_scan_init(struct stor_scan *scan, struct gendisk *disk)
{
	INIT_WORK(&scan->work, stor_scan_work);
	init_completion(&scan->done);
	scan->disk = disk;
	set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
}

/**
 * stor_shim_scan - have the partition table of a disk read, and wait, but not for ever
 * @scan: what stor_shim_scan_init() has prepared; the disk was added
 * @patience: for how long to wait, in ms
 *
 * Context: process; once.
 * Return: true if all partitions are known; else that comes later.
 */
bool stor_shim_scan(struct stor_scan *scan, unsigned int patience)
{
	queue_work(system_dfl_long_wq, &scan->work);
	return wait_for_completion_timeout(&scan->done,
					   msecs_to_jiffies(patience));
}

/**
 * stor_shim_scan_is_done - whether the partition table was read
 * @scan: that of a disk that was added
 */
bool stor_shim_scan_is_done(struct stor_scan *scan)
{
	return completion_done(&scan->done);
}

/**
 * stor_shim_scan_exit - wait for who reads the partition table
 * @scan: what stor_shim_scan_init() has prepared
 */
void stor_shim_scan_exit(struct stor_scan *scan)
{
	flush_work(&scan->work);
}

/**
 * stor_shim_disk_claim_closed - shut a disk to openers unless somebody has it open
 * @disk: the disk
 * @close: called with @arg while nobody can open the disk; makes open() fail
 * @arg: for @close
 *
 * Nobody is waited for: who opens it, closes it or reads its partitions just now
 * may wait for I/O, and counts as one who has it open.
 *
 * Return: false if the disk, or a partition of it, is open.
 */
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg)
{
	bool closed;

	if (!mutex_trylock(&disk->open_mutex))
		return false;
	closed = !disk_openers(disk);
	if (closed)
		close(arg);
	mutex_unlock(&disk->open_mutex);
	return closed;
}

/**
 * stor_shim_disk_match_nowait - offer NOWAIT only if the device below does
 * @disk: a disk that nobody can see yet
 * @bdev: the device that it stands on
 *
 * blk-mq offers it for every disk, but it is the lower device that may wait.
 */
void stor_shim_disk_match_nowait(struct gendisk *disk,
				 struct block_device *bdev)
{
	if (!bdev_nowait(bdev))
		disk->queue->limits.features &= ~BLK_FEAT_NOWAIT;
}

/* Lockdep takes the locks of all sets for one, with the class they begin with. */
static void stor_set_class(struct srcu_struct *srcu, struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	lockdep_init_map(&srcu->dep_map, "stor dispatch", key, 0);
#endif
}

/**
 * stor_shim_disk_lock_classes - tell locks of a disk from those of the disk below
 * @disk: a disk that nobody can see yet
 * @flush: class of the locks of its flushes
 * @elevator: class of the lock of its scheduler
 * @dispatch: class of what dispatches requests
 *
 * The block layer ends a flush under such a lock. A flush of the device below
 * ends one of ours, which takes the same lock of another queue.
 *
 * Whoever takes away our scheduler, as del_gendisk() does, waits under its lock
 * for those who dispatch. They may wait in the device below, while somebody
 * changes the scheduler there. That is another lock.
 */
void stor_shim_disk_lock_classes(struct gendisk *disk,
				 struct lock_class_key *flush,
				 struct lock_class_key *elevator,
				 struct lock_class_key *dispatch)
{
	struct request_queue *q = disk->queue;
	struct blk_mq_hw_ctx *hctx;
	unsigned long i;

	queue_for_each_hw_ctx(q, hctx, i)
		blk_mq_hctx_set_fq_lock_class(hctx, flush);
	lockdep_set_class(&q->elevator_lock, elevator);
	stor_set_class(q->tag_set->srcu, dispatch);
}

/**
 * stor_shim_disk_mark_dead - tell what stands on a disk and on its partitions
 * @disk: the disk
 * @surprise: nothing can be written back any more
 *
 * Other than with blk_mark_disk_dead() the disk keeps its size: whoever has it
 * open shall get errors, not an end of file.
 */
void stor_shim_disk_mark_dead(struct gendisk *disk, bool surprise)
{
	struct block_device *bdev;
	unsigned long partno;

	rcu_read_lock();
	xa_for_each(&disk->part_tbl, partno, bdev) {
		struct device *dev = &bdev->bd_device;

		if (!kobject_get_unless_zero(&dev->kobj))
			continue;
		rcu_read_unlock();
		bdev_mark_dead(bdev, surprise);
		put_device(dev);
		rcu_read_lock();
	}
	rcu_read_unlock();
}

dev_t stor_shim_disk_devt(struct gendisk *disk)
{
	return disk_devt(disk);
}

/**
 * stor_shim_disk_resized - tell user space that a disk has another size
 * @disk: the disk
 */
void stor_shim_disk_resized(struct gendisk *disk)
{
	char *envp[2] = { "RESIZE=1", NULL };

	kobject_uevent_env(&disk_to_dev(disk)->kobj, KOBJ_CHANGE, envp);
}

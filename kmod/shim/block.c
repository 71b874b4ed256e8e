// SPDX-License-Identifier: GPL-2.0
/*
 * Block devices that volumes stand on, and the disks that volumes are.
 */
#include <linux/delay.h>
#include <linux/rcupdate.h>

#include "shim.h"

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

/**
 * stor_shim_disk_claim_closed - shut a disk to openers unless somebody has it open
 * @disk: the disk
 * @close: called with @arg while nobody can open the disk; makes open() fail
 * @arg: for @close
 *
 * Who opens it, closes it or reads its partitions just now may wait for I/O, and
 * soon counts as one who has it open.
 *
 * Context: process; sleeps for some 100 ms at most.
 * Return: false if the disk, or a partition of it, is open.
 */
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg)
{
	unsigned int tries = 0;
	bool closed;

	while (!mutex_trylock(&disk->open_mutex)) {
		if (++tries == 50)
			return false;
		usleep_range(1000, 2000);
	}
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

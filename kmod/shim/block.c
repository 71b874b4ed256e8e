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

/**
 * stor_shim_disk_take_back - offer no longer what the device below has lost
 * @disk: the disk
 * @bdev: the device below, which has just failed to do it
 * @op: what it has failed to do
 *
 * Drivers learn from a refusal what a device can not do, and set the limit of it
 * to 0. Whoever has asked us looks at our limit, when the bio has ended.
 *
 * Context: any.
 * Return: true if the device can not do it any more.
 */
bool stor_shim_disk_take_back(struct gendisk *disk, struct block_device *bdev,
			      enum req_op op)
{
	struct request_queue *q = disk->queue;
	const struct request_queue *lower = bdev_get_queue(bdev);

	switch (op) {
	case REQ_OP_DISCARD:
		if (READ_ONCE(lower->limits.max_discard_sectors))
			return false;
		/* Else the next change of a limit would offer it again. */
		q->limits.max_hw_discard_sectors = 0;
		blk_queue_disable_discard(q);
		return true;
	case REQ_OP_SECURE_ERASE:
		if (READ_ONCE(lower->limits.max_secure_erase_sectors))
			return false;
		blk_queue_disable_secure_erase(q);
		return true;
	case REQ_OP_WRITE_ZEROES:
		if (READ_ONCE(lower->limits.max_write_zeroes_sectors))
			return false;
		/* Else no limit could be changed any more: the two must agree. */
		q->limits.max_hw_wzeroes_unmap_sectors = 0;
		blk_queue_disable_write_zeroes(q);
		return true;
	default:
		return false;
	}
}

bool stor_shim_bdev_nowait(struct block_device *bdev)
{
	return bdev_nowait(bdev);
}

/**
 * stor_shim_rq_bvecs - collect the data of all bios of a request
 * @rq: the request; it has data
 * @table: where to
 * @max: room in @table
 *
 * Context: any.
 * Return: the number of entries, or 0 if @max is too small.
 */
unsigned int stor_shim_rq_bvecs(struct request *rq, struct bio_vec *table,
				unsigned int max)
{
	struct req_iterator iter;
	struct bio_vec bv;
	unsigned int n = 0;

	rq_for_each_bvec(bv, rq, iter) {
		if (n == max)
			return 0;
		table[n++] = bv;
	}
	return n;
}

/**
 * stor_shim_bvec_pool_init - make a pool of tables for merged requests
 * @pool: the pool
 * @nr_bvecs: entries in each table
 *
 * One reserved table is enough: whoever holds it is on its way through the
 * lower device, and gives it back without asking this pool for anything.
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_bvec_pool_init(struct mempool *pool, unsigned int nr_bvecs)
{
	/* It counts on from what it finds there. */
	memset(pool, 0, sizeof(*pool));
	return mempool_init_kmalloc_pool(pool, 1,
					 nr_bvecs * sizeof(struct bio_vec));
}

/**
 * stor_shim_mempool_alloc_nowait - take an element without waiting
 * @pool: the pool
 *
 * Context: any.
 * Return: the element, or NULL if the reserve is in use too.
 */
void *stor_shim_mempool_alloc_nowait(struct mempool *pool)
{
	return mempool_alloc(pool, GFP_NOWAIT);
}

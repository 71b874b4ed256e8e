// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's inline functions and macros as functions that Rust can call.
 * Each says of itself in which context it may run; the default is process
 * context.
 */
#include <linux/bio.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sysfs.h>

#include "shim.h"

MODULE_VERSION(STOR_VERSION);

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct stor_identity *id = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", id->serial);
}
static DEVICE_ATTR_RO(serial);

static ssize_t uuid_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct stor_identity *id = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", id->uuid);
}
static DEVICE_ATTR_RO(uuid);

static struct attribute *stor_disk_attrs[] = {
	&dev_attr_serial.attr,
	&dev_attr_uuid.attr,
	NULL
};

static const struct attribute_group stor_disk_group = {
	.attrs = stor_disk_attrs,
};

const struct attribute_group *stor_shim_disk_groups[] = {
	&stor_disk_group,
	NULL
};

unsigned int stor_shim_num_online_cpus(void)
{
	return num_online_cpus();
}

unsigned int stor_shim_noio_save(void)
{
	return memalloc_noio_save();
}

void stor_shim_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

/**
 * stor_shim_wait_for_callers - wait for those on their last steps in our code
 *
 * Whoever drops the last reference to the module may still have a few
 * instructions of it to go, and be preempted there. To be called when nothing
 * can enter the module's code any more.
 */
void stor_shim_wait_for_callers(void)
{
	synchronize_rcu_tasks();
}

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
 * stor_shim_bdev_open - open a device exclusively for reading and writing
 * @dev: its number
 *
 * All opens have one holder, so that they can share a device. The caller has a
 * reference to the module, and keeps it until it has closed the file.
 *
 * Return: the open file or an ERR_PTR().
 */
struct file *stor_shim_bdev_open(dev_t dev)
{
	return bdev_file_open_by_dev(dev, BLK_OPEN_READ | BLK_OPEN_WRITE,
				     (void *)&stor_holder_ops,
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

/**
 * stor_shim_disk_claim_closed - shut a disk to openers unless somebody has it open
 * @disk: the disk
 * @close: called with @arg while nobody can open the disk; makes open() fail
 * @arg: for @close
 *
 * Return: false if the disk, or a partition of it, is open.
 */
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg)
{
	bool closed;

	mutex_lock(&disk->open_mutex);
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

static void stor_punt_work(struct work_struct *work)
{
	struct stor_punt *punt = container_of(work, struct stor_punt, work);
	struct bio_list bios;
	struct blk_plug plug;
	struct bio *bio;

	spin_lock(&punt->lock);
	bios = punt->bios;
	bio_list_init(&punt->bios);
	spin_unlock(&punt->lock);

	blk_start_plug(&plug);
	while ((bio = bio_list_pop(&bios)))
		submit_bio_noacct(bio);
	blk_finish_plug(&plug);
}

/**
 * stor_shim_punt_init - prepare for bios to be submitted by somebody else
 * @punt: what to prepare
 *
 * Return: 0 or -ENOMEM.
 */
int stor_shim_punt_init(struct stor_punt *punt)
{
	spin_lock_init(&punt->lock);
	bio_list_init(&punt->bios);
	INIT_WORK(&punt->work, stor_punt_work);
	punt->wq = alloc_workqueue("stor", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				   WQ_PERCPU, 1);
	return punt->wq ? 0 : -ENOMEM;
}

/**
 * stor_shim_punt_exit - wait for the last bios to be submitted, and clean up
 * @punt: what stor_shim_punt_init() has prepared
 */
void stor_shim_punt_exit(struct stor_punt *punt)
{
	destroy_workqueue(punt->wq);
}

/*
 * Whether a plug that is being flushed has more in it than requests of @q: they
 * may hold a tag, a reference or a barrier of the lower device, and nobody can
 * flush them while the flush is under way.
 */
static bool stor_plug_has_others(struct blk_plug *plug, struct request_queue *q)
{
	struct request *cached = rq_list_peek(&plug->cached_rqs);

	return !list_empty(&plug->cb_list) ||
	       (cached && cached->q != q) ||
	       (plug->multiple_queues && !rq_list_empty(&plug->mq_list));
}

/**
 * stor_shim_submit_lower - submit a bio from within queue_rq()
 * @bio: the bio; it holds a tag of ours until it ends
 * @rq: the request that it was made for
 * @punt: the way out where this task must not sleep
 *
 * It goes down at once, whatever the submitter has begun:
 *
 * - Inside submit_bio(), current->bio_list would put it off until the submitter
 *   is done with its own bio. If that is split in more pieces than we have
 *   tags, the submitter waits for a tag that only a bio put off can give back.
 * - While a plug is flushed, its rq_count is 0 and its list is being issued
 *   inside our queue's SRCU section. A request of the lower queue that joined
 *   the list would be issued there too, and quiescing the lower queue would
 *   not wait for it. So the plug is hidden.
 *
 * Below, the task may sleep. A plug that is not being flushed stays, so that
 * the scheduler flushes it then. One that is being flushed can not be flushed
 * again: if there is anything in it that the lower device could wait for, the
 * bio is submitted by a worker instead.
 *
 * Context: process.
 */
void stor_shim_submit_lower(struct bio *bio, struct request *rq,
			    struct stor_punt *punt)
{
	struct bio_list *bio_list = current->bio_list;
	struct blk_plug *plug = current->plug;

	if (plug && !plug->rq_count) {
		if (stor_plug_has_others(plug, rq->q)) {
			spin_lock(&punt->lock);
			bio_list_add(&punt->bios, bio);
			spin_unlock(&punt->lock);
			queue_work(punt->wq, &punt->work);
			return;
		}
		/*
		 * The scheduler drops the time stamp of a task with this flag,
		 * and looks for it in the plug: a task without a plug must not
		 * have the flag.
		 */
		plug->cur_ktime = 0;
		current->flags &= ~PF_BLOCK_TS;
		barrier();
		current->plug = NULL;
	}
	current->bio_list = NULL;
	submit_bio_noacct(bio);
	current->plug = plug;
	current->bio_list = bio_list;
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

bool stor_shim_genl_privileged(struct sk_buff *skb)
{
	return netlink_capable(skb, CAP_SYS_ADMIN);
}

/**
 * stor_shim_genl_attrs - the attributes of a request
 * @nlh: the request, whose headers the core has checked
 * @len: set to their length in bytes
 *
 * Return: the first attribute; not to be looked at if @len is 0.
 */
const void *stor_shim_genl_attrs(const struct nlmsghdr *nlh, size_t *len)
{
	*len = max(nlmsg_attrlen(nlh, GENL_HDRLEN), 0);
	return nlmsg_attrdata(nlh, GENL_HDRLEN);
}

struct sk_buff *stor_shim_genl_reply_new(struct genl_info *info, u8 cmd,
					 void **hdr)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE + PATH_MAX,
					  GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &stor_nl_family, 0, cmd);
	return skb;
}

int stor_shim_genl_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

/**
 * stor_shim_genl_ntf_new - begin an event
 * @cmd: the notification
 * @hdr: set to its header, NULL if there is no room
 *
 * A backing may go away while memory is scarce and I/O is what would free it,
 * so the allocation starts none.
 *
 * Return: the message, or NULL.
 */
struct sk_buff *stor_shim_genl_ntf_new(u8 cmd, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE + PATH_MAX,
					  GFP_NOIO);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put(skb, 0, 0, &stor_nl_family, 0, cmd);
	return skb;
}

void stor_shim_genl_ntf(struct sk_buff *skb)
{
	/* -ESRCH, nobody listens, is no error. */
	genlmsg_multicast(&stor_nl_family, skb, 0, STOR_NLGRP_MONITOR, GFP_NOIO);
}

void *stor_shim_genl_dump_put(struct sk_buff *skb, struct netlink_callback *cb,
			      u8 cmd)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, &stor_nl_family,
				NLM_F_MULTI, cmd);

	if (hdr)
		genl_dump_check_consistent(cb, hdr);
	return hdr;
}

unsigned long *stor_shim_genl_dump_cursor(struct netlink_callback *cb)
{
	return (unsigned long *)cb->ctx;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What stor needs of the kernel's inline functions and macros, as functions
 * that Rust can call.
 */
#ifndef _STOR_SHIM_H
#define _STOR_SHIM_H

#include <linux/blk-mq.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include "stor-nl-gen.h"

/**
 * struct stor_identity - what sysfs tells of a disk
 * @serial: name of the volume
 * @uuid: UUID of the volume in text form
 *
 * The disk's private_data points to it for as long as the disk is in sysfs.
 */
struct stor_identity {
	char serial[32];
	char uuid[40];
};

/* Version of the module. */
#define STOR_VERSION "0.1.0"

/* Constants that bindgen can not read from their macros. */
enum stor_shim_const {
	STOR_SHIM_STS_NOTSUPP = (__force int)BLK_STS_NOTSUPP,
	STOR_SHIM_STS_RESOURCE = (__force int)BLK_STS_RESOURCE,
	STOR_SHIM_STS_IOERR = (__force int)BLK_STS_IOERR,
};

/**
 * struct stor_punt - bios on their way to somebody who may sleep
 * @lock: protects @bios
 * @bios: waiting for @work
 * @work: submits @bios
 * @wq: where @work runs; one for each volume, as volumes may wait for each
 *	other and memory may be scarce
 */
struct stor_punt {
	spinlock_t lock;	/* protects bios */
	struct bio_list bios;
	struct work_struct work;
	struct workqueue_struct *wq;
};

extern const struct attribute_group *stor_shim_disk_groups[];

unsigned int stor_shim_num_online_cpus(void);
unsigned int stor_shim_noio_save(void);
void stor_shim_noio_restore(unsigned int flags);
void stor_shim_wait_for_callers(void);

struct file *stor_shim_bdev_open(dev_t dev);
bool stor_shim_bdev_read_only(struct block_device *bdev);
bool stor_shim_bdev_is_zoned(struct block_device *bdev);
bool stor_shim_bdev_is_dead(struct block_device *bdev);
loff_t stor_shim_bdev_nr_bytes(struct block_device *bdev);
dev_t stor_shim_bdev_dev(struct block_device *bdev);
unsigned int stor_shim_bdev_logical_block_size(struct block_device *bdev);
void stor_shim_bdev_name(struct block_device *bdev, char *buf, size_t len);

/**
 * stor_backing_lost - told when a backing goes away; defined in Rust
 * @bdev: the device; it may be closed, and freed, at any time
 * @surprise: it is gone already, I/O to it can only fail
 */
void stor_backing_lost(struct block_device *bdev, bool surprise);

void stor_shim_disk_match_nowait(struct gendisk *disk,
				 struct block_device *bdev);
void stor_shim_disk_mark_dead(struct gendisk *disk, bool surprise);
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg);
dev_t stor_shim_disk_devt(struct gendisk *disk);

int stor_shim_punt_init(struct stor_punt *punt);
void stor_shim_punt_exit(struct stor_punt *punt);
void stor_shim_submit_lower(struct bio *bio, struct request *rq,
			    struct stor_punt *punt);
bool stor_shim_bdev_nowait(struct block_device *bdev);
unsigned int stor_shim_rq_bvecs(struct request *rq, struct bio_vec *table,
				unsigned int max);
int stor_shim_bvec_pool_init(struct mempool *pool, unsigned int nr_bvecs);
void *stor_shim_mempool_alloc_nowait(struct mempool *pool);

bool stor_shim_genl_privileged(struct sk_buff *skb);
const void *stor_shim_genl_attrs(const struct nlmsghdr *nlh, size_t *len);
struct sk_buff *stor_shim_genl_reply_new(struct genl_info *info, u8 cmd,
					 void **hdr);
int stor_shim_genl_reply(struct sk_buff *skb, struct genl_info *info);
struct sk_buff *stor_shim_genl_ntf_new(u8 cmd, void **hdr);
void stor_shim_genl_ntf(struct sk_buff *skb);
void *stor_shim_genl_dump_put(struct sk_buff *skb, struct netlink_callback *cb,
			      u8 cmd);
unsigned long *stor_shim_genl_dump_cursor(struct netlink_callback *cb);

#endif /* _STOR_SHIM_H */

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
#include <linux/mempool.h>
#include <net/genetlink.h>
#include <uapi/stor.h>

#include "stor-nl-gen.h"

/* Constants that bindgen can not read from their macros. */
enum stor_shim_const {
	STOR_SHIM_STS_NOTSUPP = (__force int)BLK_STS_NOTSUPP,
	STOR_SHIM_STS_RESOURCE = (__force int)BLK_STS_RESOURCE,
	STOR_SHIM_STS_IOERR = (__force int)BLK_STS_IOERR,
	STOR_SHIM_STS_TIMEOUT = (__force int)BLK_STS_TIMEOUT,
	STOR_SHIM_STS_NOSPC = (__force int)BLK_STS_NOSPC,
	STOR_SHIM_STS_TRANSPORT = (__force int)BLK_STS_TRANSPORT,
	STOR_SHIM_STS_TARGET = (__force int)BLK_STS_TARGET,
	STOR_SHIM_STS_RESV_CONFLICT = (__force int)BLK_STS_RESV_CONFLICT,
	STOR_SHIM_STS_MEDIUM = (__force int)BLK_STS_MEDIUM,
	STOR_SHIM_STS_PROTECTION = (__force int)BLK_STS_PROTECTION,
	STOR_SHIM_STS_AGAIN = (__force int)BLK_STS_AGAIN,
	STOR_SHIM_STS_OFFLINE = (__force int)BLK_STS_OFFLINE,
	STOR_SHIM_QUEUE_FLAG_DISABLE_WBT = QUEUE_FLAG_DISABLE_WBT_DEF,
	STOR_SHIM_QUEUE_FLAG_SAME_FORCE = QUEUE_FLAG_SAME_FORCE,
	STOR_SHIM_FEAT_ATOMIC_WRITES = (__force int)BLK_FEAT_ATOMIC_WRITES,
	STOR_SHIM_FEAT_WRITE_CACHE = (__force int)BLK_FEAT_WRITE_CACHE,
	STOR_SHIM_FEAT_FUA = (__force int)BLK_FEAT_FUA,
	STOR_SHIM_FEAT_STABLE_WRITES = (__force int)BLK_FEAT_STABLE_WRITES,
};

unsigned int stor_shim_num_online_cpus(void);
unsigned int stor_shim_noio_save(void);
void stor_shim_noio_restore(unsigned int flags);
void stor_shim_wait_for_callers(void);

bool stor_shim_bdev_read_only(struct block_device *bdev);
bool stor_shim_bdev_is_zoned(struct block_device *bdev);
bool stor_shim_bdev_is_dead(struct block_device *bdev);
loff_t stor_shim_bdev_nr_bytes(struct block_device *bdev);
dev_t stor_shim_bdev_dev(struct block_device *bdev);
unsigned int stor_shim_bdev_logical_block_size(struct block_device *bdev);
void stor_shim_bdev_name(struct block_device *bdev, char *buf, size_t len);

void stor_shim_disk_match_nowait(struct gendisk *disk,
				 struct block_device *bdev);
void stor_shim_disk_lock_classes(struct gendisk *disk,
				 struct lock_class_key *flush,
				 struct lock_class_key *elevator,
				 struct lock_class_key *dispatch);
void stor_shim_disk_mark_dead(struct gendisk *disk, bool surprise);
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg);
dev_t stor_shim_disk_devt(struct gendisk *disk);
void stor_shim_disk_resized(struct gendisk *disk);
bool stor_shim_disk_take_back(struct gendisk *disk, struct block_device *bdev,
			      enum req_op op);

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

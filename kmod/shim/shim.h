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
#include <linux/completion.h>
#include <linux/llist.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <uapi/stor.h>

#include "stor-nl-gen.h"

/* What /sys/block/storN/stor/ has, each a file of its own. */
enum stor_sysfs {
	STOR_SYSFS_STATE,
	STOR_SYSFS_BACKING,
	STOR_SYSFS_OFFSET,
	STOR_SYSFS_LENGTH,
	STOR_SYSFS_READ_ONLY,
	STOR_SYSFS_INFLIGHT,
	STOR_SYSFS_READS,
	STOR_SYSFS_WRITES,
	STOR_SYSFS_FLUSHES,
	STOR_SYSFS_DISCARDS,
	STOR_SYSFS_READ_BYTES,
	STOR_SYSFS_WRITE_BYTES,
	STOR_SYSFS_ERRORS,
	STOR_SYSFS_GATE_COUNT,
	STOR_SYSFS_GATE_LAST_NS,
	STOR_SYSFS_GATE_LONGEST_NS,
};

/**
 * struct stor_identity - what sysfs tells of a disk
 * @serial: name of the volume
 * @uuid: UUID of the volume in text form
 * @show: writes the value of a file of the group "stor"; defined in Rust
 *
 * The disk's private_data points to it for as long as the disk is in sysfs.
 */
struct stor_identity {
	char serial[32];
	char uuid[40];
	ssize_t (*show)(struct gendisk *disk, enum stor_sysfs what, char *buf);
};

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
};

struct stor_stat;

/* Most pages of one write that is sealed: 128 KiB. */
#define STOR_BOUNCE_PAGES 32

/**
 * struct stor_reserve - memory for one write of a volume, come what may
 * @taken: bit 0 is a lock, held by who has the memory
 * @in_use: pages that its writes have besides, as the sum of all CPUs
 * @pages: the memory
 * @table: the same as a bio wants it
 */
struct stor_reserve {
	unsigned long taken;
	unsigned int __percpu *in_use;
	struct page *pages[STOR_BOUNCE_PAGES];
	struct bio_vec table[STOR_BOUNCE_PAGES];
};

/**
 * enum stor_bounce_kind - where memory for a write is from
 * @STOR_BOUNCE_PAGE: one page
 * @STOR_BOUNCE_TABLE: several, with a table of their own
 * @STOR_BOUNCE_RESERVE: the volume's reserve
 */
enum stor_bounce_kind {
	STOR_BOUNCE_PAGE,
	STOR_BOUNCE_TABLE,
	STOR_BOUNCE_RESERVE,
};

/**
 * struct stor_bounce - memory for what a write is sealed into
 * @table: its segments
 * @single: room for one
 * @count: how many
 * @kind: where it is from
 */
struct stor_bounce {
	struct bio_vec *table;
	struct bio_vec single;
	u16 count;
	u8 kind;
};

/* Most pieces of a sector. */
#define STOR_PIECES 8

/**
 * struct stor_piece - memory in one piece
 * @page: the page that it begins in
 * @offset: first byte, from the beginning of @page
 * @length: in bytes
 */
struct stor_piece {
	struct page *page;
	u32 offset;
	u32 length;
};

struct stor_inline_key;

/**
 * struct stor_pdu - what lies behind each request of our queues
 * @bio: the lower bio
 * @lower: where @bio goes; Rust's
 * @stat: where it is counted, or NULL
 * @table: segments of a merged request, from the pool of @lower; else NULL
 * @start: when the request was made, in ns; 0 if nothing is counted
 * @sent: when @bio was submitted, in ns; later how long it took below
 * @polled: in the list of its hardware queue, if @on_polled
 * @sector: where @bio starts on the lower device
 * @opf: operation and flags of @bio
 * @bytes: length of the request; the block layer's own is gone at its end
 * @op: what it is counted as
 * @on_polled: @polled is in a list
 * @tried: @bio has REQ_NOWAIT because we try, not because the user asked
 * @status: how @bio ended
 * @transform: what is done to the data on the way, or NULL; Rust's
 * @later: in the list of a CPU
 * @go_on: what is done with the request then
 * @bounce: what a write was sealed into
 * @inline_key: what @bio is encrypted with below; set where it is, and where it
 *	is left to the volume's worker, which takes NULL for none
 * @dun: number of the first data unit, if @bio is encrypted below
 */
struct stor_pdu {
	struct bio bio;
	const void *lower;
	const struct stor_stat *stat;
	struct bio_vec *table;
	u64 start;
	u64 sent;
	struct list_head polled;
	sector_t sector;
	blk_opf_t opf;
	u32 bytes;
	u8 op;
	bool on_polled;
	bool tried;
	blk_status_t status;
	/* From here on only for volumes whose data is transformed. */
	const void *transform;
	struct llist_node later;
	void (*go_on)(struct request *rq);
	struct stor_bounce bounce;
	const struct stor_inline_key *inline_key;
	u64 dun;
};

/**
 * enum stor_submit - how a task may submit below
 * @STOR_SUBMIT_FREE: it may sleep
 * @STOR_SUBMIT_TRY: as long as it does not sleep
 * @STOR_SUBMIT_WORKER: the volume's worker does, unless the user wants no wait
 * @STOR_SUBMIT_NEVER: the worker does, always
 */
enum stor_submit {
	STOR_SUBMIT_FREE,
	STOR_SUBMIT_TRY,
	STOR_SUBMIT_WORKER,
	STOR_SUBMIT_NEVER,
};

/**
 * struct stor_batch - a task that submits below, and what it was doing
 * @plug: where lower requests are collected, if @plugged
 * @callers_plug: the task's own plug
 * @callers_bios: the task's own bio_list
 * @now: when this began, in ns; 0 if nobody asked, or the requests say it
 * @mode: how it may submit
 * @plugged: @plug is the task's plug
 */
struct stor_batch {
	struct blk_plug plug;
	struct blk_plug *callers_plug;
	struct bio_list *callers_bios;
	u64 now;
	enum stor_submit mode;
	bool plugged;
};

/* Sizes of what is counted; Rust holds them against the interface's. */
#define STOR_STAT_OPS 4
#define STOR_STAT_STAGES 4
#define STOR_STAT_STATUSES 13
#define STOR_STAT_HISTOGRAMS (STOR_STAT_OPS * STOR_STAT_STAGES)

/**
 * enum stor_stat_work - work on data that is counted apart
 * @STOR_STAT_SEALING: of writes, on their way down
 * @STOR_STAT_OPENING: of reads, on their way up
 * @STOR_STAT_WORKS: how many there are
 */
enum stor_stat_work {
	STOR_STAT_SEALING,
	STOR_STAT_OPENING,
	STOR_STAT_WORKS,
};

/**
 * struct stor_counters - what one CPU has counted of a volume
 * @started: I/Os begun, by op
 * @done: I/Os ended, by op
 * @bytes: bytes of I/Os that ended well, by op
 * @failed: I/Os that failed, by status
 * @worked: bytes that were worked on, by what was done to them
 */
struct stor_counters {
	u64 started[STOR_STAT_OPS];
	u64 done[STOR_STAT_OPS];
	u64 bytes[STOR_STAT_OPS];
	u64 failed[STOR_STAT_STATUSES];
	u64 worked[STOR_STAT_WORKS];
};

/**
 * struct stor_stat - what is counted of a volume
 * @counters: those of each CPU
 * @histogram: buckets of each CPU, by op and stage; NULL where there can be none
 */
struct stor_stat {
	struct stor_counters __percpu *counters;
	u64 __percpu *histogram[STOR_STAT_HISTOGRAMS];
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
	spinlock_t lock;	/* protects bios; a leaf, taken in any context */
	struct bio_list bios;
	struct work_struct work;
	struct workqueue_struct *wq;
};

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

struct stor_bdev;

/* Types of keys; Rust has the same. */
enum stor_key_type {
	STOR_KEY_LOGON,
	STOR_KEY_USER,
	STOR_KEY_ENCRYPTED,
	STOR_KEY_TRUSTED,
};

struct stor_cipher;

/* Bytes that tell a key from another. */
#define STOR_PROOF_LEN 32

extern const struct attribute_group *stor_shim_disk_groups[];

unsigned int stor_shim_num_online_cpus(void);
unsigned int stor_shim_noio_save(void);
void stor_shim_noio_restore(unsigned int flags);
void stor_shim_wait_for_callers(void);

struct stor_bdev *stor_shim_bdev_open(dev_t dev, bool read_only,
				      unsigned int patience);
void stor_shim_bdev_close(struct stor_bdev *bdev, unsigned int patience);
struct block_device *stor_shim_bdev_get(struct stor_bdev *bdev);
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
void stor_shim_disk_lock_classes(struct gendisk *disk,
				 struct lock_class_key *flush,
				 struct lock_class_key *elevator,
				 struct lock_class_key *dispatch);
void stor_shim_disk_mark_dead(struct gendisk *disk, bool surprise);
void stor_shim_scan_init(struct stor_scan *scan, struct gendisk *disk,
			 struct block_device *bdev);
bool stor_shim_scan(struct stor_scan *scan, unsigned int patience);
bool stor_shim_scan_is_done(struct stor_scan *scan);
void stor_shim_scan_exit(struct stor_scan *scan);
bool stor_shim_disk_claim_closed(struct gendisk *disk, void (*close)(void *),
				 void *arg);
dev_t stor_shim_disk_devt(struct gendisk *disk);
void stor_shim_disk_resized(struct gendisk *disk);

int stor_shim_punt_init(struct stor_punt *punt);
void stor_shim_punt_exit(struct stor_punt *punt);
void stor_shim_batch_begin(struct stor_batch *batch, struct request_queue *q,
			   unsigned int nr, bool timed);
void stor_shim_batch_end(struct stor_batch *batch);
void stor_shim_submit(struct stor_pdu *pdu, struct stor_batch *batch,
		      struct stor_punt *punt);
void stor_shim_punt(struct stor_pdu *pdu,
		    const struct stor_inline_key *inline_key,
		    struct stor_punt *punt);
bool stor_shim_bdev_nowait(struct block_device *bdev);
unsigned int stor_shim_rq_bvecs(struct request *rq, struct bio_vec *table,
				unsigned int max);
int stor_shim_bvec_pool_init(struct mempool *pool, unsigned int nr_bvecs);
void *stor_shim_mempool_alloc_nowait(struct mempool *pool);

int stor_shim_polled_init(struct blk_mq_hw_ctx *hctx, void *driver_data,
			  unsigned int index);
void stor_shim_polled_exit(struct blk_mq_hw_ctx *hctx, unsigned int index);
bool stor_shim_polled_add(struct stor_pdu *pdu, struct request *rq);
void stor_shim_polled_del(struct stor_pdu *pdu, struct request *rq);
int stor_shim_poll(struct blk_mq_hw_ctx *hctx, struct block_device *bdev,
		   struct io_comp_batch *batch);
bool stor_shim_poll_collect(struct request *rq, bool failed,
			    void (*complete)(struct io_comp_batch *batch));
void stor_shim_map_queues(struct blk_mq_tag_set *set);
bool stor_shim_bdev_can_poll(struct block_device *bdev);

void stor_shim_cipher_load(void);
struct stor_cipher *stor_shim_cipher_new(const u8 *key, unsigned int len);
void stor_shim_cipher_free(struct stor_cipher *cipher);
int stor_shim_cipher_proof(const struct stor_cipher *cipher, u8 *proof);
const char *stor_shim_cipher_driver(const struct stor_cipher *cipher);
bool stor_shim_cipher_is_fast(const struct stor_cipher *cipher);
int stor_shim_crypt_run(const struct stor_cipher *cipher,
			const struct stor_piece *from,
			const struct stor_piece *to, unsigned int sector,
			u64 tweak, u64 step, bool seal);
int stor_shim_crypt_torn(const struct stor_cipher *cipher,
			 const struct stor_piece *from, unsigned int n,
			 const struct stor_piece *to, unsigned int sector,
			 u64 tweak, bool seal);

struct stor_inline_key *stor_shim_inline_new(struct block_device *bdev,
					     const u8 *bytes, unsigned int len,
					     unsigned int sector, bool hardware,
					     bool fallback);
void stor_shim_inline_free(struct stor_inline_key *inline_key);
bool stor_shim_inline_is_native(const struct stor_inline_key *inline_key);
void stor_shim_inline_send(struct stor_pdu *pdu);
void stor_shim_inline_submit(struct stor_pdu *pdu, struct stor_batch *batch,
			     struct stor_punt *punt);

ssize_t stor_shim_key_read(enum stor_key_type type, const char *description,
			   u8 *buf, size_t max);
void stor_shim_wipe(void *secret, size_t len);

int stor_shim_reserve_init(struct stor_reserve *reserve);
void stor_shim_reserve_exit(struct stor_reserve *reserve);
bool stor_shim_bounce_get(struct stor_bounce *bounce, unsigned int bytes,
			  struct stor_reserve *reserve);
void stor_shim_bounce_put(struct stor_bounce *bounce,
			  struct stor_reserve *reserve);
int stor_shim_bounce_init(void);
void stor_shim_bounce_exit(void);

void stor_shim_later_init(void);
void stor_shim_later_exit(void);
bool stor_shim_may_open(void);
void stor_shim_later(struct stor_pdu *pdu, void (*go_on)(struct request *rq));

int stor_shim_stat_init(struct stor_stat *stat, bool works);
void stor_shim_stat_exit(struct stor_stat *stat);
void stor_shim_stat_start(const struct stor_stat *stat, unsigned int op, u64 n);
void stor_shim_stat_end(const struct stor_stat *stat, unsigned int op,
			unsigned int bytes, unsigned int total,
			unsigned int lower);
void stor_shim_stat_failed(const struct stor_stat *stat, unsigned int op,
			   unsigned int status, unsigned int total,
			   unsigned int lower);
void stor_shim_stat_worked(const struct stor_stat *stat,
			   enum stor_stat_work work, unsigned int bytes,
			   unsigned int time);
void stor_shim_stat_read(const u64 __percpu *from, unsigned int n, int cpu,
			 u64 *to);
int stor_shim_next_cpu(unsigned int cpu);

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

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What /sys/block/storN/ tells.
 */
#ifndef _STOR_SYSFS_H
#define _STOR_SYSFS_H

#include <linux/blkdev.h>
#include <linux/sysfs.h>

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

extern const struct attribute_group *stor_sysfs_groups[];

#endif /* _STOR_SYSFS_H */

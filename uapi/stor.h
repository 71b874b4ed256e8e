/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	uapi/stor.yaml */
/* YNL-GEN uapi header */
/* To regenerate run: tools/net/ynl/ynl-regen.sh */

#ifndef _UAPI_LINUX_STOR_H
#define _UAPI_LINUX_STOR_H

#define STOR_FAMILY_NAME	"stor"
#define STOR_FAMILY_VERSION	1

#define STOR_ABI_VERSION	1
#define STOR_NAME_MAX_LEN	31
#define STOR_UUID_LEN		16
#define STOR_INDEX_MAX		65535

/**
 * enum stor_feature - What a module can do. A bit that is not listed here is
 *   from a later one.
 * @STOR_FEATURE_VOLUME: Volumes that pass I/O through to a backing.
 */
enum stor_feature {
	STOR_FEATURE_VOLUME = 1,
};

/**
 * enum stor_volume_state - The state of a volume.
 * @STOR_VOLUME_STATE_LIVE: The volume serves I/O.
 * @STOR_VOLUME_STATE_FAILED: The backing is gone. Every I/O ends with an
 *   error; the volume can only be deleted.
 */
enum stor_volume_state {
	STOR_VOLUME_STATE_LIVE,
	STOR_VOLUME_STATE_FAILED,
};

enum {
	STOR_A_INFO_MODULE_VERSION = 1,
	STOR_A_INFO_ABI_VERSION,
	STOR_A_INFO_FEATURES,

	__STOR_A_INFO_MAX,
	STOR_A_INFO_MAX = (__STOR_A_INFO_MAX - 1)
};

enum {
	STOR_A_VOLUME_NAME = 1,
	STOR_A_VOLUME_UUID,
	STOR_A_VOLUME_INDEX,
	STOR_A_VOLUME_BACKING,
	STOR_A_VOLUME_OFFSET,
	STOR_A_VOLUME_LENGTH,
	STOR_A_VOLUME_STATE,
	STOR_A_VOLUME_DISK,
	STOR_A_VOLUME_DEV_MAJOR,
	STOR_A_VOLUME_DEV_MINOR,
	STOR_A_VOLUME_BACKING_DISK,
	STOR_A_VOLUME_BACKING_MAJOR,
	STOR_A_VOLUME_BACKING_MINOR,
	STOR_A_VOLUME_LOGICAL_BLOCK_SIZE,
	STOR_A_VOLUME_PHYSICAL_BLOCK_SIZE,

	__STOR_A_VOLUME_MAX,
	STOR_A_VOLUME_MAX = (__STOR_A_VOLUME_MAX - 1)
};

enum {
	STOR_CMD_INFO_GET = 1,
	STOR_CMD_VOLUME_NEW,
	STOR_CMD_VOLUME_DEL,
	STOR_CMD_VOLUME_GET,
	STOR_CMD_VOLUME_ADD_NTF,
	STOR_CMD_VOLUME_DEL_NTF,
	STOR_CMD_VOLUME_FAIL_NTF,

	__STOR_CMD_MAX,
	STOR_CMD_MAX = (__STOR_CMD_MAX - 1)
};

#define STOR_MCGRP_MONITOR	"monitor"

#endif /* _UAPI_LINUX_STOR_H */

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
#define STOR_STAT_BUCKETS	2048
#define STOR_STAT_CHUNK		256

/**
 * enum stor_feature - What a module can do. A bit that is not listed here is
 *   from a later one.
 * @STOR_FEATURE_VOLUME: Volumes that pass I/O through to a backing.
 * @STOR_FEATURE_GATE: Volumes that are changed under running I/O.
 * @STOR_FEATURE_STAT: Counters and latency histograms.
 * @STOR_FEATURE_ENCRYPTION: Volumes whose backing holds nothing but
 *   ciphertext.
 * @STOR_FEATURE_LOCK: Encrypted volumes that forget their key while the disk
 *   stays.
 * @STOR_FEATURE_CRYPTO_ENGINE: A choice of who encrypts, the module or the
 *   backing.
 */
enum stor_feature {
	STOR_FEATURE_VOLUME = 1,
	STOR_FEATURE_GATE = 2,
	STOR_FEATURE_STAT = 4,
	STOR_FEATURE_ENCRYPTION = 8,
	STOR_FEATURE_LOCK = 16,
	STOR_FEATURE_CRYPTO_ENGINE = 32,
};

/**
 * enum stor_volume_state - The state of a volume.
 * @STOR_VOLUME_STATE_LIVE: The volume serves I/O.
 * @STOR_VOLUME_STATE_FAILED: The backing is gone. Every I/O ends with an
 *   error; the volume can only be deleted.
 * @STOR_VOLUME_STATE_LOCKED: The volume has forgotten its key. I/O waits or
 *   fails, as lock says, until the volume is unlocked.
 */
enum stor_volume_state {
	STOR_VOLUME_STATE_LIVE,
	STOR_VOLUME_STATE_FAILED,
	STOR_VOLUME_STATE_LOCKED,
};

/**
 * enum stor_volume_lock - What happens to the I/O of a volume that has no key.
 * @STOR_VOLUME_LOCK_HOLD: It waits until the volume is unlocked, in order on
 *   each CPU.
 * @STOR_VOLUME_LOCK_FAIL: It ends with an error.
 */
enum stor_volume_lock {
	STOR_VOLUME_LOCK_HOLD,
	STOR_VOLUME_LOCK_FAIL,
};

/**
 * enum stor_crypto_engine - Who encrypts the data of a volume.
 * @STOR_CRYPTO_ENGINE_AUTO: Hardware of the backing that can do what is asked
 *   for, else the module. Never in a reply.
 * @STOR_CRYPTO_ENGINE_SOFTWARE: The module, with a cipher of the kernel.
 * @STOR_CRYPTO_ENGINE_BLK_CRYPTO: Who is below: data goes down as it is, and
 *   with it, by the kernel's inline encryption, which key and which number it
 *   is to be encrypted with. Without such hardware in the backing, the kernel
 *   encrypts in its place.
 */
enum stor_crypto_engine {
	STOR_CRYPTO_ENGINE_AUTO,
	STOR_CRYPTO_ENGINE_SOFTWARE,
	STOR_CRYPTO_ENGINE_BLK_CRYPTO,
};

/**
 * enum stor_stat_op - What an I/O does, as it is counted.
 * @STOR_STAT_OP_READ: Read data.
 * @STOR_STAT_OP_WRITE: Write data.
 * @STOR_STAT_OP_FLUSH: Make what was written durable.
 * @STOR_STAT_OP_DISCARD: Discard, secure erase and write zeroes, none of which
 *   carry data.
 */
enum stor_stat_op {
	STOR_STAT_OP_READ,
	STOR_STAT_OP_WRITE,
	STOR_STAT_OP_FLUSH,
	STOR_STAT_OP_DISCARD,
};

/**
 * enum stor_stat_stage - The part of an I/O's way that a latency is of.
 * @STOR_STAT_STAGE_TOTAL: The whole way, from the disk's queue to the end of
 *   the request.
 * @STOR_STAT_STAGE_LOWER: In the backing, from the submission of the lower I/O
 *   to its end.
 * @STOR_STAT_STAGE_SEAL: Encryption of a write, before its lower I/O. Only of
 *   volumes whose data stor encrypts.
 * @STOR_STAT_STAGE_OPEN: Decryption of a read, after its lower I/O. Only of
 *   volumes whose data stor encrypts.
 */
enum stor_stat_stage {
	STOR_STAT_STAGE_TOTAL,
	STOR_STAT_STAGE_LOWER,
	STOR_STAT_STAGE_SEAL,
	STOR_STAT_STAGE_OPEN,
};

/**
 * enum stor_stat_status - How an I/O failed; the names are those of the
 *   kernel's block layer.
 * @STOR_STAT_STATUS_OTHER: None of the following.
 * @STOR_STAT_STATUS_NOTSUPP: Operation not supported.
 * @STOR_STAT_STATUS_TIMEOUT: The backing did not answer in time.
 * @STOR_STAT_STATUS_NOSPC: No space on the backing.
 * @STOR_STAT_STATUS_TRANSPORT: A link on the way to the backing failed; it may
 *   recover.
 * @STOR_STAT_STATUS_TARGET: The backing failed in a way that will not pass.
 * @STOR_STAT_STATUS_RESV_CONFLICT: A reservation on the backing forbids it.
 * @STOR_STAT_STATUS_MEDIUM: The medium of the backing is bad there.
 * @STOR_STAT_STATUS_PROTECTION: Protection information does not fit the data.
 * @STOR_STAT_STATUS_RESOURCE: Out of memory or of another resource.
 * @STOR_STAT_STATUS_IOERR: Any other I/O error.
 * @STOR_STAT_STATUS_AGAIN: The I/O must not wait, and would have to.
 * @STOR_STAT_STATUS_OFFLINE: The backing is offline.
 */
enum stor_stat_status {
	STOR_STAT_STATUS_OTHER,
	STOR_STAT_STATUS_NOTSUPP,
	STOR_STAT_STATUS_TIMEOUT,
	STOR_STAT_STATUS_NOSPC,
	STOR_STAT_STATUS_TRANSPORT,
	STOR_STAT_STATUS_TARGET,
	STOR_STAT_STATUS_RESV_CONFLICT,
	STOR_STAT_STATUS_MEDIUM,
	STOR_STAT_STATUS_PROTECTION,
	STOR_STAT_STATUS_RESOURCE,
	STOR_STAT_STATUS_IOERR,
	STOR_STAT_STATUS_AGAIN,
	STOR_STAT_STATUS_OFFLINE,
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
	STOR_A_VOLUME_READ_ONLY,
	STOR_A_VOLUME_GATE_COUNT,
	STOR_A_VOLUME_GATE_LAST,
	STOR_A_VOLUME_GATE_LONGEST,
	STOR_A_VOLUME_KEY,
	STOR_A_VOLUME_CIPHER,
	STOR_A_VOLUME_CIPHER_DRIVER,
	STOR_A_VOLUME_CIPHER_SLOW,
	STOR_A_VOLUME_KEY_SIZE,
	STOR_A_VOLUME_CRYPTO_SECTOR,
	STOR_A_VOLUME_IV_OFFSET,
	STOR_A_VOLUME_IV_LARGE_SECTORS,
	STOR_A_VOLUME_DISCARD,
	STOR_A_VOLUME_LOCK,
	STOR_A_VOLUME_CRYPTO_ENGINE,
	STOR_A_VOLUME_CRYPTO_NATIVE,

	__STOR_A_VOLUME_MAX,
	STOR_A_VOLUME_MAX = (__STOR_A_VOLUME_MAX - 1)
};

enum {
	STOR_A_STAT_NAME = 1,
	STOR_A_STAT_UUID,
	STOR_A_STAT_INDEX,
	STOR_A_STAT_PER_CPU,
	STOR_A_STAT_CPU,
	STOR_A_STAT_TIME,
	STOR_A_STAT_OP,
	STOR_A_STAT_STARTED,
	STOR_A_STAT_DONE,
	STOR_A_STAT_BYTES,
	STOR_A_STAT_STAGE,
	STOR_A_STAT_FIRST_BUCKET,
	STOR_A_STAT_COUNTS,
	STOR_A_STAT_STATUS,
	STOR_A_STAT_FAILED,

	__STOR_A_STAT_MAX,
	STOR_A_STAT_MAX = (__STOR_A_STAT_MAX - 1)
};

enum {
	STOR_CMD_INFO_GET = 1,
	STOR_CMD_VOLUME_NEW,
	STOR_CMD_VOLUME_DEL,
	STOR_CMD_VOLUME_GET,
	STOR_CMD_VOLUME_ADD_NTF,
	STOR_CMD_VOLUME_DEL_NTF,
	STOR_CMD_VOLUME_FAIL_NTF,
	STOR_CMD_VOLUME_SET,
	STOR_CMD_VOLUME_GATE,
	STOR_CMD_VOLUME_SET_NTF,
	STOR_CMD_STAT_GET,
	STOR_CMD_VOLUME_LOCK,
	STOR_CMD_VOLUME_UNLOCK,

	__STOR_CMD_MAX,
	STOR_CMD_MAX = (__STOR_CMD_MAX - 1)
};

#define STOR_MCGRP_MONITOR	"monitor"

#endif /* _UAPI_LINUX_STOR_H */

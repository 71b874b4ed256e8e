/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys for inline encryption.
 */
#ifndef _STOR_INLINE_KEY_H
#define _STOR_INLINE_KEY_H

#include <linux/blk-crypto.h>
#include <linux/completion.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>

struct stor_bdev;

/* Numbers of data units have 64 bits, as those of dm-crypt's plain64. */
#define STOR_DUN_BYTES sizeof(u64)

/**
 * struct stor_inline_key - a key for hardware, or for the kernel in its place
 * @key: the kernel's; only with BLK_CRYPTO_CFG_ALLOW_HW if hardware has it, so
 *	that who encrypts does not change while it is in use
 * @backing: the device below, open as long as it may have the key
 * @work: takes the key away from the device, and wipes it
 * @done: it has done so
 * @users: who has dropped the key, and the worker
 *
 * There is a reference to the module for each, until @work is nearly done; the rest
 * is what stor_shim_wait_for_callers() waits for.
 */
struct stor_inline_key {
	struct blk_crypto_key key;
	struct file *backing;
	struct work_struct work;
	struct completion done;
	refcount_t users;
};

struct stor_inline_key *stor_inline_new(struct stor_bdev *backing,
					const u8 *bytes, unsigned int len,
					unsigned int sector, bool hardware,
					bool fallback);
void stor_inline_free(struct stor_inline_key *inline_key,
		      unsigned int patience);
bool stor_inline_is_native(const struct stor_inline_key *inline_key);

#endif /* _STOR_INLINE_KEY_H */

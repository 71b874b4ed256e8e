/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys for inline encryption.
 */
#ifndef _STOR_INLINE_KEY_H
#define _STOR_INLINE_KEY_H

#include <linux/blk-crypto.h>
#include <linux/blkdev.h>

/* Numbers of data units have 64 bits, as those of dm-crypt's plain64. */
#define STOR_DUN_BYTES sizeof(u64)

/**
 * struct stor_inline_key - a key for hardware, or for the kernel in its place
 * @key: the kernel's; only with BLK_CRYPTO_CFG_ALLOW_HW if hardware has it, so
 *	that who encrypts does not change while it is in use
 * @disk: that of the device below; a reference is held
 */
struct stor_inline_key {
	struct blk_crypto_key key;
	struct gendisk *disk;
};

struct stor_inline_key *stor_inline_new(struct block_device *bdev,
					const u8 *bytes, unsigned int len,
					unsigned int sector, bool hardware,
					bool fallback);
void stor_inline_free(struct stor_inline_key *inline_key);
bool stor_inline_is_native(const struct stor_inline_key *inline_key);

#endif /* _STOR_INLINE_KEY_H */
